//! All that a vocabulary needs to count, made once a process and shared by its threads.

#![allow(
    clippy::inline_always,
    reason = "what vectors are compiled for has to be inside of what is compiled for vectors"
)]

use super::kept::Kept;
use super::pairs::Pairs;
use super::scratch::Split;
use super::table::{Key, Table};
use super::vocabulary::Vocabulary;

/// The tables of a vocabulary.
#[derive(Debug)]
pub struct Tables {
    /// Which tokens merge.
    pub pairs: Pairs,
    /// Bytes of each token, by rank.
    pub lengths: Box<[u8]>,
    /// Counts of pieces of up to 15 bytes.
    pub short: Table<2>,
    /// Counts of pieces of 16 to 31 bytes.
    pub middle: Table<4>,
    /// Counts of longer pieces, and of whole texts.
    pub kept: Kept,
}

impl Tables {
    /// Has what a piece will be looked up in fetched.
    #[inline(always)]
    pub fn fetch<S: Split>(&self, split: S, buffer: &[u8], start: usize, length: usize) {
        if length <= Key::<2>::BYTES {
            split.fetch(self.short.entry(Key::new(buffer, start, length)));
        } else if length <= Key::<4>::BYTES {
            split.fetch(self.middle.entry(Key::new(buffer, start, length)));
        }
    }

    /// Makes them; every token of the vocabulary is a piece of one token.
    pub fn new(vocabulary: Vocabulary) -> Self {
        let short = Table::new(17);
        let middle = Table::new(14);
        let mut padded = [0; 288];
        for token in vocabulary.tokens() {
            let length = token.bytes.len();
            if length <= Key::<4>::BYTES {
                padded[..length].copy_from_slice(token.bytes);
                if length <= Key::<2>::BYTES {
                    short.put(Key::new(&padded, 0, length), 1);
                } else {
                    middle.put(Key::new(&padded, 0, length), 1);
                }
            }
        }
        let lengths = vocabulary
            .tokens()
            .map(|token| u8::try_from(token.bytes.len()).unwrap_or(u8::MAX))
            .collect();
        Self { pairs: Pairs::new(vocabulary), lengths, short, middle, kept: Kept::new() }
    }
}
