//! What a block costs in a request: its content and everything that the rendering puts around it.
//!
//! Costs add up. In a list of messages every message is counted by itself. In the text form the piece of a block
//! runs from its header to the separator behind it, and both encodings always start a new pre-token at the `[` of
//! the next header, so that the sum of the pieces is the count of the whole; only the last block has no separator,
//! which is its `tail`.

use std::sync::OnceLock;

use crate::count::{Counter, Encoding};
use crate::kind::Kind;
use crate::provider::{Call, Provider};
use crate::render::{Label, SEPARATOR, body, escape, header, needs_escape};

/// How blocks are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Render {
    /// `OpenAI` chat messages.
    OpenAi = 0,
    /// The text form with headers.
    Text = 1,
}

impl Render {
    /// Every rendering, in the order in which messages list them.
    pub const ALL: [Self; 2] = [Self::OpenAi, Self::Text];

    /// The name in the Python API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Text => "text",
        }
    }

    /// The rendering of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|r| r.name() == name)
    }

    /// Tokens of a request that belong to no block.
    #[must_use]
    pub fn fixed(self) -> u32 {
        match self {
            Self::OpenAi => framing::REPLY,
            Self::Text => 0,
        }
    }
}

/// The framing model of `OpenAI` chat requests; `docs/framing.md` has the fit on recorded usage.
pub mod framing {
    /// Around every message.
    pub const MESSAGE: u32 = 4;
    /// The start of the model's reply, once a request.
    pub const REPLY: u32 = 3;
    /// Before the name of a participant.
    pub const NAME: u32 = 1;
    /// A message with one call, besides the arguments and twice the name; its result is a plain message.
    pub const ONE_CALL: u32 = 9;
    /// A message with several calls, its results' framing included, besides the calls' JSON.
    pub const SEVERAL_CALLS: u32 = 21;
}

/// Tokens of one block in one rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Tokens with the separator behind it, where the rendering has one.
    pub tokens: u32,
    /// What to add when the block is the last one and nothing stands behind it: mostly 0 or -1.
    pub tail: i32,
    /// Whether nothing was estimated.
    pub is_exact: bool,
}

/// The costs of a set in one rendering, one a row.
#[derive(Debug, Clone, Copy)]
pub struct CostColumn<'a> {
    /// In the order of the rows.
    pub rows: &'a [Cost],
    /// Bounds of the rows' tails.
    pub tails: Tails,
    /// Whether every row is exact; where it is false, some may be.
    pub is_exact: bool,
}

/// The range that tails are in; 0 is always inside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tails {
    /// No tail is less.
    pub least: i32,
    /// No tail is more.
    pub most: i32,
}

impl Tails {
    /// Widens the range.
    pub fn note(&mut self, tail: i32) {
        self.least = self.least.min(tail);
        self.most = self.most.max(tail);
    }
}

/// The cost of a block whose content has `tokens` tokens.
pub fn cost(
    render: Render,
    label: Label,
    content: &str,
    tokens: u32,
    provider: Option<&Provider>,
    counter: &impl Counter,
) -> Cost {
    match render {
        Render::OpenAi => message(label, content, tokens, provider, counter),
        Render::Text => piece(label, content, tokens, provider, counter),
    }
}

fn message(
    label: Label,
    content: &str,
    tokens: u32,
    provider: Option<&Provider>,
    counter: &impl Counter,
) -> Cost {
    let kind = label.kind;
    let has_role = !kind.is_fact() && (kind != Kind::Tool || provider.is_some_and(|p| p.is_result));
    if !has_role {
        let sum = under_header(label, content, tokens, counter);
        return Cost { tokens: sum.saturating_add(framing::MESSAGE), tail: 0, is_exact: true };
    }
    let mut sum = tokens;
    let calls = provider.map_or(&[][..], |p| &p.calls);
    let says_more = provider.is_some_and(|p| !p.extra.is_empty() || p.estimated_tokens > 0);
    if calls.is_empty() || !content.is_empty() || says_more {
        sum = sum.saturating_add(framing::MESSAGE);
    }
    sum = sum.saturating_add(call_tokens(calls, counter));
    if let Some(provider) = provider {
        // A result has no name of its own: the name of its tool is counted with the call.
        if let Some(name) = provider.name.as_ref().filter(|_| kind != Kind::Tool) {
            sum = sum.saturating_add(framing::NAME).saturating_add(counter.count(name));
        }
        for text in &provider.extra {
            sum = sum.saturating_add(counter.count(text));
        }
        sum = sum.saturating_add(provider.estimated_tokens);
    }
    Cost { tokens: sum, tail: 0, is_exact: provider.is_none_or(|p| p.is_exact) }
}

/// Calls of one message. One call: the provider writes the name before the arguments and again before the result.
/// Several: one JSON object, which is the only form that gives the recorded counts.
fn call_tokens(calls: &[Call], counter: &impl Counter) -> u32 {
    match calls {
        [] => 0,
        [call] => {
            let name = counter.count(&call.name).saturating_mul(2);
            name.saturating_add(counter.count(&call.arguments)).saturating_add(framing::ONE_CALL)
        }
        _ => {
            let uses: Vec<_> = calls
                .iter()
                .map(|c| {
                    format!(
                        r#"{{"recipient_name":"functions.{}","parameters":{}}}"#,
                        c.name, c.arguments
                    )
                })
                .collect();
            let json = format!(r#"{{"tool_uses":[{}]}}"#, uses.join(","));
            // Recorded for five calls only: fewer may share the fixed part, more cost at least their messages.
            // The results pay for their own messages, so that is taken off here, down to one token.
            let results =
                u32::try_from(calls.len()).map_or(u32::MAX, |n| n.saturating_mul(framing::MESSAGE));
            let shared = framing::SEVERAL_CALLS.saturating_sub(results).max(1);
            counter.count(&json).saturating_add(shared)
        }
    }
}

/// Tokens of a header alone, which is counted once: every block of the text form has one.
fn header_tokens(encoding: Encoding, label: Label) -> u32 {
    type Tokens = [[u32; 2]; Kind::ALL.len()];
    static TOKENS: [OnceLock<Tokens>; Encoding::ALL.len()] =
        [const { OnceLock::new() }; Encoding::ALL.len()];
    let count = |kind, is_data| encoding.count(header(Label { kind, is_data }));
    let count_all = || Kind::ALL.map(|kind| [false, true].map(|is_data| count(kind, is_data)));
    TOKENS[encoding as usize].get_or_init(count_all)[label.kind as usize]
        [usize::from(label.is_data)]
}

/// Tokens of header and content as one string.
fn under_header(label: Label, content: &str, tokens: u32, counter: &impl Counter) -> u32 {
    match counter.encoding() {
        Some(encoding) if starts_apart(content) && !needs_escape(content) => {
            header_tokens(encoding, label).saturating_add(tokens)
        }
        _ => counter.count(&[header(label), &escape(content)].concat()),
    }
}

fn piece(
    label: Label,
    content: &str,
    tokens: u32,
    provider: Option<&Provider>,
    counter: &impl Counter,
) -> Cost {
    let has_calls = provider.is_some_and(|p| !p.calls.is_empty());
    let ending = if has_calls { None } else { split_ending(content) };
    let (without, separator) = match (counter.encoding(), ending) {
        (Some(encoding), Some(ending)) if starts_apart(content) && !needs_escape(content) => {
            let head = header_tokens(encoding, label).saturating_add(tokens);
            (head, separator_tokens(encoding, ending))
        }
        _ => {
            let body = body(content, provider);
            let text = [header(label), &escape(&body)].concat();
            let without = counter.count(&text);
            let with = counter.count(&(text + SEPARATOR));
            (without, i64::from(with) - i64::from(without))
        }
    };
    Cost {
        tokens: u32::try_from(i64::from(without) + separator).unwrap_or(u32::MAX),
        tail: i32::try_from(-separator).unwrap_or(0),
        // Text renders no part that is not text, so that nothing is left to estimate.
        is_exact: true,
    }
}

/// Whether the pre-token with the line end of the header ends there: it would take more line ends and slashes.
fn starts_apart(content: &str) -> bool {
    !content.is_empty() && !content.starts_with(['\n', '\r', '/'])
}

/// The last characters of `content` that a separator could join in one pre-token: ASCII that is no letter or digit,
/// behind one that is. There a pre-token always ends. `None` where that cannot be said from the bytes.
fn split_ending(content: &str) -> Option<&str> {
    let bytes = content.as_bytes();
    let joined = |b: &u8| b.is_ascii() && !b.is_ascii_alphanumeric();
    let start = bytes.len() - bytes.iter().rev().take_while(|b| joined(b)).count();
    let before = start.checked_sub(1)?;
    bytes[before].is_ascii_alphanumeric().then(|| &content[start..])
}

/// Tokens that the separator adds behind such an ending; white space may merge into fewer.
fn separator_tokens(encoding: Encoding, ending: &str) -> i64 {
    let joint = encoding.count(&[ending, SEPARATOR].concat());
    i64::from(joint) - i64::from(encoding.count(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    const O200K: Encoding = Encoding::O200k;

    fn text_cost(content: &str) -> Cost {
        cost(
            Render::Text,
            Label::of(Kind::User, false),
            content,
            O200K.count(content),
            None,
            &O200K,
        )
    }

    #[test]
    fn pieces_add_up_to_the_whole() {
        let contents =
            ["hello", "end.", "x\n", "/path", "", "  ", "数字", "a'", "1,", "[x]", "\n\n", "!\n "];
        for a in contents {
            for b in contents {
                let whole = format!("[USER]\n{}\n\n[USER]\n{}", escape(a), escape(b));
                let (first, last) = (text_cost(a), text_cost(b));
                let sum = i64::from(first.tokens) + i64::from(last.tokens) + i64::from(last.tail);
                assert_eq!(sum, i64::from(O200K.count(&whole)), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn a_separator_may_take_tokens_away() {
        // White space before a line end joins it: the difference is signed.
        let content = "x \n ";
        let cost = text_cost(content);
        let with = O200K.count(&format!("[USER]\n{content}\n\n"));
        assert_eq!(cost.tokens, with);
    }

    #[test]
    fn one_call_and_its_result_cost_what_was_recorded() {
        let fields =
            [("openai.tool_calls", r#"[{"function":{"name":"get_users","arguments":"{}"}}]"#)];
        let provider = Provider::read(fields.into_iter());
        let call =
            cost(Render::OpenAi, Label::of(Kind::Agent, false), "", 0, provider.as_ref(), &O200K);
        assert_eq!(
            call.tokens,
            2 * O200K.count("get_users") + O200K.count("{}") + framing::ONE_CALL
        );
    }
}
