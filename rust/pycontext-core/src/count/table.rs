//! Counts of pieces that were seen, by their bytes: shared by all threads, bounded, and exact.
//!
//! A piece is padded with 0xFF, which is in no UTF-8 text: so a piece is never taken for one that ends in NUL. Entries
//! are words that threads read and write as they like; `word 0` is mixed with the others, so that an entry whose words
//! come from two writes at once looks like another piece, not like a wrong count. What must go is chosen among the
//! four of a bucket, never a token of the vocabulary if it can be another: a table that stops to take new pieces when
//! it is full loses half of the speed of the counter.

#![allow(
    clippy::inline_always,
    reason = "what vectors are compiled for has to be inside of what is compiled for vectors"
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "a hash is cut to a place, a count is below 256"
)]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const MIX: u64 = 0xD6E8_FEB8_6659_FD93;
const WAYS: usize = 4;

/// A table for pieces of up to `8 * WORDS - 1` bytes.
#[derive(Debug)]
pub struct Table<const WORDS: usize> {
    /// A bucket after the other, in each the words of its four entries.
    words: Box<[[AtomicU64; WAYS]]>,
    bits: u32,
}

/// A piece as the table wants it: its bytes, padded; the last byte is free for the count.
#[derive(Debug, Clone, Copy)]
pub struct Key<const WORDS: usize>([u64; WORDS]);

impl<const WORDS: usize> Key<WORDS> {
    /// Bytes that fit.
    pub const BYTES: usize = 8 * WORDS - 1;

    /// The piece of `length` bytes that begins at `start`; `text` goes on for at least `8 * WORDS` bytes from there.
    #[inline]
    pub fn new(text: &[u8], start: usize, length: usize) -> Self {
        let bytes = &text[start..start + 8 * WORDS];
        let mut words = [0; WORDS];
        for ((i, word), chunk) in words.iter_mut().enumerate().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*chunk) | padding(length.saturating_sub(8 * i));
        }
        // The count goes into the last byte.
        words[WORDS - 1] <<= 8;
        Self(words)
    }

    /// The first word.
    #[inline(always)]
    pub fn first(self) -> u64 {
        self.0[0]
    }

    /// The last word, whose last byte is free for the count.
    #[inline(always)]
    pub fn last(self) -> u64 {
        self.0[WORDS - 1]
    }

    /// A place in a table of `1 << bits`.
    #[inline(always)]
    pub fn place(self, bits: u32) -> usize {
        let hash = (self.0[0] ^ mixed(&self.0[1..])).wrapping_mul(MIX);
        (hash >> (64 - bits)) as usize
    }
}

/// Ones where a word holds no byte of a piece that has `length` bytes from its beginning on.
#[inline]
pub fn padding(length: usize) -> u64 {
    const PADDING: [u64; 9] = {
        let mut all = [u64::MAX; 9];
        let mut i = 1;
        while i < 8 {
            all[i] = u64::MAX << (8 * i);
            i += 1;
        }
        all[8] = 0;
        all
    };
    PADDING[length.min(8)]
}

#[inline]
fn mixed(words: &[u64]) -> u64 {
    words.iter().fold(0, |sum: u64, word| (sum.rotate_left(29) ^ word).wrapping_mul(MIX))
}

impl<const WORDS: usize> Table<WORDS> {
    /// A table of `4 << bits` entries.
    pub fn new(bits: u32) -> Self {
        let words = (0..WORDS << bits).map(|_| [const { AtomicU64::new(0) }; WAYS]).collect();
        Self { words, bits }
    }

    #[inline]
    fn bucket(&self, key: Key<WORDS>) -> &[[AtomicU64; WAYS]] {
        let at = key.place(self.bits) * WORDS;
        &self.words[at..at + WORDS]
    }

    /// What is read when this piece is asked for.
    #[inline(always)]
    pub fn entry(&self, key: Key<WORDS>) -> &impl Sized {
        &self.bucket(key)[0]
    }

    /// The count of the piece, or 0.
    ///
    /// Looks at all entries of the bucket: which one it is cannot be predicted, that it is one of them can.
    #[inline(always)]
    pub fn get(&self, key: Key<WORDS>) -> u32 {
        let bucket = self.bucket(key);
        let load = |i: usize, way: usize| bucket[i][way].load(Relaxed);
        let mut found = 0;
        for way in 0..WAYS {
            let mut words = [0; WORDS];
            for (i, word) in words.iter_mut().enumerate() {
                *word = load(i, way);
            }
            let count = words[WORDS - 1] ^ key.0[WORDS - 1];
            let first = words[0] ^ mixed(&words[1..]);
            let rest = (1..WORDS - 1).fold(first ^ key.0[0], |rest, i| rest | words[i] ^ key.0[i]);
            found |= if rest == 0 && count < 256 { count as u32 } else { 0 };
        }
        found
    }

    /// Keeps a count from 1 to 255; one of 1 is a token's, and stays as long as there are others to put out.
    pub fn put(&self, key: Key<WORDS>, count: u32) {
        let bucket = self.bucket(key);
        let mut words = key.0;
        words[WORDS - 1] |= u64::from(count);
        let kept = |way: usize| (bucket[WORDS - 1][way].load(Relaxed) & 0xFF) as u32;
        let from = (words[0] ^ words[WORDS - 1]).wrapping_mul(MIX) >> 62;
        let turn = |i: usize| (i + from as usize) % WAYS;
        let ways = || (0..WAYS).map(turn);
        let empty = ways().find(|way| kept(*way) == 0);
        let way = empty.or_else(|| ways().find(|way| kept(*way) != 1)).unwrap_or(turn(0));
        bucket[0][way].store(words[0] ^ mixed(&words[1..]), Relaxed);
        for i in 1..WORDS {
            bucket[i][way].store(words[i], Relaxed);
        }
    }
}
