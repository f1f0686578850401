//! The vocabularies inside this library.

use std::cell::RefCell;
use std::sync::{LazyLock, OnceLock};

use super::Counter;
use super::kept::Content;
use super::path::Path;
use super::pattern::{Cl100k, O200k};
use super::scratch::{ByPattern, Scratch};
use super::tables::Tables;
use super::vocabulary::Vocabulary;

/// A vocabulary with its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// GPT-4o and later.
    O200k,
    /// GPT-3.5 and GPT-4.
    Cl100k,
}

static FILES: [Vocabulary; Encoding::ALL.len()] = [
    Vocabulary::new(include_bytes!("../../data/o200k_base.tokens")),
    Vocabulary::new(include_bytes!("../../data/cl100k_base.tokens")),
];

/// Bytes of a text from which its count is kept.
const KEPT_BYTES: usize = 256;

thread_local! {
    static SCRATCH: [RefCell<Option<Scratch>>; Encoding::ALL.len()] = const { [const { RefCell::new(None) }; 2] };
}

impl Encoding {
    /// Every encoding, in the order in which messages list them.
    pub const ALL: [Self; 2] = [Self::O200k, Self::Cl100k];

    /// The name that tiktoken uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::O200k => "o200k_base",
            Self::Cl100k => "cl100k_base",
        }
    }

    /// The encoding of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|e| e.name() == name)
    }

    /// The bytes of every ordinary token, in the order of their ranks.
    #[must_use]
    pub fn vocabulary(self) -> Vec<&'static [u8]> {
        FILES[self as usize].tokens().map(|token| token.bytes).collect()
    }

    /// Tokens of `text`, or `None` if they are more than `limit`; what is behind the limit is hardly looked at.
    #[must_use]
    pub fn count_within(self, text: &str, limit: u32) -> Option<u32> {
        // No token is longer than 255 bytes.
        if text.len() as u64 > u64::from(limit) * 255 {
            return None;
        }
        let within = |count: u64| u32::try_from(count).ok().filter(|count| *count <= limit);
        let kept = self.kept(text);
        if let Some(count) = kept.and_then(|content| self.tables().kept.get(content)) {
            return within(count.into());
        }
        let count = within(self.count_by(best(), text, limit.into()))?;
        self.keep(kept, count);
        Some(count)
    }

    /// How many tokens a prefix of `text` has: ends of pieces, in characters and in order, and the tokens up to each.
    /// They are exact for the text that ends there; where they would not be, no end is named.
    #[must_use]
    pub fn prefix_counts(self, text: &str) -> (Vec<u64>, Vec<u64>) {
        let (mut ends, mut counts) = (Vec::new(), Vec::new());
        let (mut at, mut characters, mut sum) = (0, 0, 0);
        let each = |end: usize, count: u32| {
            // White space that another character divides is not divided where the text ends with it.
            let is_divided =
                text[..at].ends_with(char::is_whitespace) && text[at..end].trim_start().is_empty();
            characters += text[at..end].chars().count() as u64;
            at = end;
            sum += u64::from(count);
            if is_divided && end < text.len() {
                return;
            }
            ends.push(characters);
            counts.push(sum);
        };
        self.with_scratch(|scratch, tables| match self {
            Self::O200k => scratch.pieces::<O200k, _>(ByPattern, tables, text, each),
            Self::Cl100k => scratch.pieces::<Cl100k, _>(ByPattern, tables, text, each),
        });
        (ends, counts)
    }

    /// Tokens of `text` by one of the ways of this processor, nothing remembered of the text as a whole; those beyond
    /// `limit` need not be counted.
    #[must_use]
    pub fn count_by(self, path: Path, text: &str, limit: u64) -> u64 {
        self.with_scratch(|scratch, tables| match self {
            Self::O200k => path.count::<O200k>(scratch, tables, text, limit),
            Self::Cl100k => path.count::<Cl100k>(scratch, tables, text, limit),
        })
    }

    fn with_scratch<R>(self, act: impl FnOnce(&mut Scratch, &Tables) -> R) -> R {
        let tables = self.tables();
        SCRATCH.with(|all| {
            act(all[self as usize].borrow_mut().get_or_insert_with(Scratch::new), tables)
        })
    }

    /// What this thread has for counting, to be given to another one, in exchange for what that had.
    pub(super) fn exchange(self, scratch: Option<Scratch>) -> Option<Scratch> {
        SCRATCH.with(|all| all[self as usize].replace(scratch))
    }

    /// What a text is known by, if it is long enough that to find it is faster than to count it.
    fn kept(self, text: &str) -> Option<Content> {
        (text.len() >= KEPT_BYTES).then(|| self.tables().kept.content(text.as_bytes()))
    }

    fn keep(self, content: Option<Content>, count: u32) {
        if let Some(content) = content {
            self.tables().kept.put(content, count);
        }
    }

    fn tables(self) -> &'static Tables {
        static TABLES: [OnceLock<Tables>; Encoding::ALL.len()] =
            [const { OnceLock::new() }; Encoding::ALL.len()];
        TABLES[self as usize].get_or_init(|| Tables::new(FILES[self as usize]))
    }
}

/// The fastest way of this processor.
fn best() -> Path {
    static BEST: LazyLock<Path> = LazyLock::new(|| Path::all().next().unwrap_or(Path::Scalar));
    *BEST
}

impl Counter for Encoding {
    /// Exact: equal to the length of tiktoken's `encode_ordinary`. A text of over `u32::MAX` tokens saturates.
    fn count(&self, text: &str) -> u32 {
        let kept = self.kept(text);
        if let Some(count) = kept.and_then(|content| self.tables().kept.get(content)) {
            return count;
        }
        let count = u32::try_from(self.count_by(best(), text, u64::MAX)).unwrap_or(u32::MAX);
        self.keep(kept, count);
        count
    }

    fn encoding(&self) -> Option<Encoding> {
        Some(*self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_tokens_in_text_are_ordinary_text() {
        assert_eq!(Encoding::O200k.count("<|endoftext|>"), 7);
        assert_eq!(Encoding::Cl100k.count("<|endoftext|>"), 7);
    }

    #[test]
    fn a_megabyte_of_blanks_is_counted() {
        assert_eq!(Encoding::O200k.count(&" ".repeat(1_000_000)), 7_813);
    }

    #[test]
    fn names_go_both_ways() {
        for encoding in Encoding::ALL {
            assert_eq!(Encoding::named(encoding.name()), Some(encoding));
        }
        assert_eq!(Encoding::named("p50k_base"), None);
    }
}
