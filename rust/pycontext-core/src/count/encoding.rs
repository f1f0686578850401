//! The vocabularies inside this library.

use bpe_openai::Tokenizer;

use super::Counter;

/// A vocabulary with its pre-tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// GPT-4o and later.
    O200k,
    /// GPT-3.5 and GPT-4.
    Cl100k,
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
        let bpe = &self.tokenizer().bpe;
        (0..u32::try_from(bpe.num_tokens()).unwrap_or(u32::MAX))
            .map(|rank| bpe.token_bytes(rank))
            .collect()
    }

    fn tokenizer(self) -> &'static Tokenizer {
        match self {
            Self::O200k => bpe_openai::o200k_base(),
            Self::Cl100k => bpe_openai::cl100k_base(),
        }
    }
}

impl Counter for Encoding {
    /// Exact: equal to the length of tiktoken's `encode_ordinary`. A text of over `u32::MAX` tokens saturates.
    fn count(&self, text: &str) -> u32 {
        u32::try_from(self.tokenizer().count(text)).unwrap_or(u32::MAX)
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
