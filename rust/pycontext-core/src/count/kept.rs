//! Counts of texts and of long pieces, by a keyed hash of their content: what a framework sends again is not counted again.
//!
//! Of the 128 bits of the hash 96 are compared and 14 choose the bucket; its key is drawn when the process starts: nobody outside
//! can make two texts that are taken for one another. Only hash and count are kept, four a bucket, the oldest goes.

#![allow(
    clippy::cast_possible_truncation,
    reason = "a hash is cut to a place, a word to its count"
)]

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use highway::{HighwayHash, HighwayHasher, Key};

const WAYS: usize = 4;
const BUCKET_BITS: u32 = 14;
const MIX: u64 = 0x9FB2_1C65_1E98_DF25;

/// A bounded table of counts.
#[derive(Debug)]
pub struct Kept {
    key: [u64; 4],
    buckets: Box<[[[AtomicU64; 2]; WAYS]]>,
}

/// What stands for a text.
#[derive(Debug, Clone, Copy)]
pub struct Content {
    first: u64,
    second: u64,
}

impl Kept {
    /// An empty table of a megabyte.
    pub fn new() -> Self {
        let random = RandomState::new();
        let empty = || [const { [const { AtomicU64::new(0) }; 2] }; WAYS];
        Self {
            key: [0_u64, 1, 2, 3].map(|i| random.hash_one(i)),
            buckets: (0..1 << BUCKET_BITS).map(|_| empty()).collect(),
        }
    }

    /// The hash of a text.
    pub fn content(&self, text: &[u8]) -> Content {
        let [first, second] = HighwayHasher::new(Key(self.key)).hash128(text);
        Content { first, second }
    }

    /// The count of a text, if it is here.
    pub fn get(&self, content: Content) -> Option<u32> {
        self.bucket(content).iter().find_map(|entry| {
            let (first, second) = (entry[0].load(Relaxed), entry[1].load(Relaxed));
            let is_same = (second ^ content.second) >> 32 == 0
                && first ^ second.wrapping_mul(MIX) == content.first;
            is_same.then_some(second as u32)
        })
    }

    /// Keeps the count of a text.
    pub fn put(&self, content: Content, count: u32) {
        let bucket = self.bucket(content);
        let words = |way: usize| [bucket[way][0].load(Relaxed), bucket[way][1].load(Relaxed)];
        // Each moves one further, so that the last falls out.
        for way in (1..WAYS).rev() {
            store(&bucket[way], words(way - 1));
        }
        let second = content.second >> 32 << 32 | u64::from(count);
        store(&bucket[0], [content.first ^ second.wrapping_mul(MIX), second]);
    }

    fn bucket(&self, content: Content) -> &[[AtomicU64; 2]; WAYS] {
        &self.buckets[content.second as usize % (1 << BUCKET_BITS)]
    }
}

fn store(entry: &[AtomicU64; 2], words: [u64; 2]) {
    entry[0].store(words[0], Relaxed);
    entry[1].store(words[1], Relaxed);
}
