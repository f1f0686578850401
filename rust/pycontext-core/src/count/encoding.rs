//! The vocabularies inside this library.

use std::cell::RefCell;
use std::sync::{LazyLock, OnceLock};

use super::Counter;
use super::path::Path;
use super::pattern::{Cl100k, O200k};
use super::scratch::Scratch;
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

thread_local! {
    static SCRATCH: [RefCell<Option<Box<Scratch>>>; Encoding::ALL.len()] = const { [const { RefCell::new(None) }; 2] };
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

    /// Tokens of `text` by one of the ways of this processor; those beyond `limit` need not be counted.
    #[must_use]
    pub fn count_by(self, path: Path, text: &str, limit: u64) -> u64 {
        let tables = self.tables();
        SCRATCH.with(|all| {
            let mut scratch = all[self as usize].borrow_mut();
            let scratch = scratch.get_or_insert_with(|| Box::new(Scratch::new()));
            match self {
                Self::O200k => path.count::<O200k>(scratch, tables, text, limit),
                Self::Cl100k => path.count::<Cl100k>(scratch, tables, text, limit),
            }
        })
    }

    fn tables(self) -> &'static Tables {
        static TABLES: [OnceLock<Tables>; Encoding::ALL.len()] = [const { OnceLock::new() }; Encoding::ALL.len()];
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
        u32::try_from(self.count_by(best(), text, u64::MAX)).unwrap_or(u32::MAX)
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
