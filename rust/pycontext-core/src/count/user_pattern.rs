//! A pattern that a user brings, in tiktoken's dialect, by an engine that takes linear time for a match.
//!
//! Two things of the dialect are no regular expressions: `\s+(?!\S)`, which is matched as white space that gives its
//! last character back, and possessive quantifiers, which are plain ones where nothing follows in their alternative.

use regex_automata::meta::Regex;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use crate::error::Fault;

/// Bytes of a pattern.
const LONGEST: usize = 16 << 10;

/// Bytes of an engine.
const LARGEST: usize = 8 << 20;

const LOOKAHEAD: &str = r"\s+(?!\S)";

/// A pattern that cuts a text into pieces.
#[derive(Debug)]
pub struct UserPattern {
    regex: Regex,
    /// The alternative whose last character is given back.
    gives_back: Option<usize>,
}

impl UserPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is too long, no pattern, can match nothing at all, or has a look-around or a possessive quantifier beyond
    /// those that tiktoken's own patterns have.
    pub fn new(pattern: &str) -> Result<Self, Fault> {
        let fault = |rule: String| Fault::new("pattern", pattern, rule);
        if pattern.len() > LONGEST {
            return Err(fault(format!("is longer than {LONGEST} bytes")));
        }
        let mut parts = Vec::new();
        let mut gives_back = None;
        for alternative in alternatives(pattern) {
            if alternative == LOOKAHEAD {
                // At the end of the text all of it, elsewhere all but the last.
                parts.push(r"\s+$".to_owned());
                gives_back = Some(parts.len());
                parts.push(r"\s+\s".to_owned());
            } else {
                parts.push(plain(alternative).map_err(fault)?);
            }
        }
        let regex = Regex::builder()
            .configure(Regex::config().nfa_size_limit(Some(LARGEST)).hybrid_cache_capacity(LARGEST))
            .syntax(syntax::Config::new().unicode(true).utf8(true))
            .build_many(&parts)
            .map_err(|error| fault(format!("is no pattern: {}", cause(&error))))?;
        let matches_nothing = parts.iter().any(|part| {
            let one = Regex::new(part);
            one.is_ok_and(|one| one.is_match(Input::new("").anchored(Anchored::Yes)))
        });
        if matches_nothing {
            return Err(fault("matches a text without characters".to_owned()));
        }
        Ok(Self { regex, gives_back })
    }

    /// The pieces of a text; what no alternative matches is in none of them.
    pub fn pieces<'a>(&self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let found = self.regex.find(Input::new(text).range(at..))?;
            let mut end = found.end();
            if self.gives_back == Some(found.pattern().as_usize()) {
                end -= text[..end].chars().next_back().map_or(0, char::len_utf8);
            }
            at = end;
            Some(&text[found.start()..end])
        })
    }
}

/// The innermost reason, in one line.
fn cause(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string().lines().last().unwrap_or_default().trim().to_owned()
}

/// What stands between the `|` that are in no group and no class.
fn alternatives(pattern: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let (mut begin, mut depth) = (0, 0_u32);
    for (at, item) in items(pattern) {
        match item {
            Item::Open => depth += 1,
            Item::Close => depth = depth.saturating_sub(1),
            Item::Bar if depth == 0 => {
                all.push(&pattern[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    all.push(&pattern[begin..]);
    all
}

/// An alternative without what the engine does not know, if it means the same.
fn plain(alternative: &str) -> Result<String, String> {
    if ["(?!", "(?=", "(?<!", "(?<="].iter().any(|look| alternative.contains(look)) {
        return Err(format!("looks around; of that only the alternative {LOOKAHEAD} is known"));
    }
    let body = alternative.strip_suffix('$').unwrap_or(alternative);
    let possessive = items(alternative).into_iter().find(|(_, item)| *item == Item::Possessive);
    match possessive {
        None => Ok(alternative.to_owned()),
        Some((at, _)) if at + 1 == body.len() => {
            Ok([&body[..at], &alternative[body.len()..]].concat())
        }
        Some(_) => {
            Err("has a possessive quantifier that is not the last of its alternative".to_owned())
        }
    }
}

/// What matters here of a part of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Open,
    Close,
    Bar,
    Quantifier,
    /// The `+` behind a quantifier.
    Possessive,
    Other,
}

/// The parts of a pattern, each with the place of its first byte.
fn items(pattern: &str) -> Vec<(usize, Item)> {
    let bytes = pattern.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let behind = |at: usize, end: u8| {
        bytes[at..].iter().position(|b| *b == end).map_or(bytes.len(), |i| at + i + 1)
    };
    let mut items: Vec<(usize, Item)> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let is_quantified = items.last().is_some_and(|(_, item)| *item == Item::Quantifier);
        let (item, next) = match byte(at) {
            b'\\' if byte(at + 2) == b'{' && byte(at + 1).is_ascii_alphabetic() => {
                (Item::Other, behind(at, b'}'))
            }
            b'\\' => (Item::Other, at + 2),
            b'[' => (Item::Other, behind_class(bytes, at)),
            b'(' => (Item::Open, at + 1),
            b')' => (Item::Close, at + 1),
            b'|' => (Item::Bar, at + 1),
            b'+' if is_quantified => (Item::Possessive, at + 1),
            b'?' if is_quantified => (Item::Other, at + 1),
            b'{' if byte(at + 1).is_ascii_digit() => (Item::Quantifier, behind(at, b'}')),
            b'*' | b'+' | b'?' => (Item::Quantifier, at + 1),
            _ => (Item::Other, at + 1),
        };
        items.push((at, item));
        at = next;
    }
    items
}

/// Where a class ends that begins at `at`; classes may hold classes.
fn behind_class(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'[' => depth += 1,
            b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}
