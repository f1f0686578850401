//! Which two tokens merge, and into which: one entry a token.
//!
//! A merge looks for the rank of the joined bytes, so that in principle several pairs could make one token. Inside the
//! bytes of a token merges run in one order whatever stands around them, as long as none crosses its ends; so its last
//! merge is always of the same two halves, and those are all there is to keep.

#![allow(
    clippy::cast_possible_truncation,
    reason = "a hash is cut to a place, an entry to its rank"
)]

use super::vocabulary::Vocabulary;

/// No token.
pub const NONE: u32 = u32::MAX;

const RANK_BITS: u32 = 18;
const SLOT_BITS: u32 = 18;
const FILTER_BITS: u32 = 21;
const EMPTY: u64 = u64::MAX;
/// An odd number without pattern.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// The pairs of a vocabulary.
#[derive(Debug)]
pub struct Pairs {
    /// `left << 36 | right << 18 | rank`, open addressing, a slot further when taken.
    slots: Box<[u64]>,
    /// One bit a hash: most pairs that are asked for are none, and 256 KB answer that from the second-level cache.
    filter: Box<[u64]>,
    /// The token of two bytes, at `first << 8 | second`.
    of_bytes: Box<[u32]>,
    /// The token of one byte.
    bytes: [u32; 256],
}

impl Pairs {
    /// Reads the halves of all tokens.
    pub fn new(vocabulary: Vocabulary) -> Self {
        let mut pairs = Self {
            slots: vec![EMPTY; 1 << SLOT_BITS].into(),
            filter: vec![0; 1 << (FILTER_BITS - 6)].into(),
            of_bytes: vec![NONE; 1 << 16].into(),
            bytes: [NONE; 256],
        };
        for (token, rank) in vocabulary.tokens().zip(0..) {
            match (token.bytes, token.halves) {
                ([byte], _) => pairs.bytes[usize::from(*byte)] = rank,
                (bytes, Some((left, right))) => {
                    pairs.insert(left, right, rank);
                    if let [first, second] = bytes {
                        pairs.of_bytes[usize::from(*first) << 8 | usize::from(*second)] = rank;
                    }
                }
                _ => {}
            }
        }
        pairs
    }

    fn insert(&mut self, left: u32, right: u32, rank: u32) {
        let (key, hash) = hashed(left, right);
        self.filter[bit(hash) >> 6] |= 1 << (bit(hash) & 63);
        let mut slot = first(hash);
        while self.slots[slot] != EMPTY {
            slot = (slot + 1) % (1 << SLOT_BITS);
        }
        self.slots[slot] = key << RANK_BITS | u64::from(rank);
    }

    /// The token that two neighbours merge into, or `NONE`.
    #[inline]
    pub fn merged(&self, left: u32, right: u32) -> u32 {
        let (key, hash) = hashed(left, right);
        if self.filter[bit(hash) >> 6] >> (bit(hash) & 63) & 1 == 0 {
            return NONE;
        }
        let mut slot = first(hash);
        loop {
            let entry = self.slots[slot];
            if entry >> RANK_BITS == key {
                return (entry & ((1 << RANK_BITS) - 1)) as u32;
            }
            if entry == EMPTY {
                return NONE;
            }
            slot = (slot + 1) % (1 << SLOT_BITS);
        }
    }

    /// The token of two bytes, or `NONE`.
    #[inline]
    pub fn of_bytes(&self, first: u8, second: u8) -> u32 {
        self.of_bytes[usize::from(first) << 8 | usize::from(second)]
    }

    /// The token of one byte.
    #[inline]
    pub fn byte(&self, byte: u8) -> u32 {
        self.bytes[usize::from(byte)]
    }
}

#[inline]
fn hashed(left: u32, right: u32) -> (u64, u64) {
    let key = u64::from(left) << RANK_BITS | u64::from(right);
    (key, key.wrapping_mul(MIX))
}

#[inline]
fn bit(hash: u64) -> usize {
    (hash >> (64 - FILTER_BITS)) as usize
}

#[inline]
fn first(hash: u64) -> usize {
    (hash >> (64 - SLOT_BITS)) as usize
}
