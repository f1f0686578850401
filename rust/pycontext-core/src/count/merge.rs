//! Byte pair encoding of one piece: of all neighbours that merge, the lowest rank first, of equal ones the leftmost.
//!
//! Short pieces look through all ranks at every step: a few vectors, faster than any queue. Long ones keep a queue.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::pairs::{NONE, Pairs};

/// Bytes up to which looking through all is the faster way.
const SHORT: usize = 256;

/// The tokens of a piece while they are merged, and their merges with the next.
#[derive(Debug, Default)]
pub struct Merging {
    tokens: Vec<u32>,
    /// What token `i` and the next one merge into; the last has no next one.
    ranks: Vec<u32>,
}

impl Merging {
    /// The tokens of a piece.
    #[inline]
    pub fn merge(&mut self, pairs: &Pairs, piece: &[u8]) -> &[u32] {
        self.tokens.clear();
        self.tokens.extend(piece.iter().map(|byte| pairs.byte(*byte)));
        self.ranks.clear();
        self.ranks.extend(piece.windows(2).map(|two| pairs.of_bytes(two[0], two[1])));
        if piece.len() <= SHORT {
            self.look_through(pairs);
        } else {
            self.queue(pairs);
        }
        &self.tokens
    }

    #[inline]
    fn look_through(&mut self, pairs: &Pairs) {
        loop {
            let lowest = self.ranks.iter().fold(NONE, |a, b| a.min(*b));
            if lowest == NONE {
                return;
            }
            let Some(at) = self.ranks.iter().position(|rank| *rank == lowest) else { return };
            self.tokens[at] = lowest;
            self.tokens.remove(at + 1);
            self.ranks.remove(at);
            if at > 0 {
                self.ranks[at - 1] = pairs.merged(self.tokens[at - 1], lowest);
            }
            if at < self.ranks.len() {
                self.ranks[at] = pairs.merged(lowest, self.tokens[at + 1]);
            }
        }
    }

    /// Entries of the queue are left in it when their pair has gone, and known by a rank that is no longer theirs.
    fn queue(&mut self, pairs: &Pairs) {
        let (tokens, ranks) = (&mut self.tokens, &mut self.ranks);
        let length = tokens.len();
        ranks.push(NONE);
        let mut before: Vec<usize> = (0..length).map(|i| i.wrapping_sub(1)).collect();
        let mut behind: Vec<usize> = (1..=length).collect();
        let mut waiting: BinaryHeap<_> = ranks
            .iter()
            .enumerate()
            .filter(|(_, rank)| **rank != NONE)
            .map(|(at, rank)| Reverse((*rank, at)))
            .collect();
        while let Some(Reverse((rank, at))) = waiting.pop() {
            if ranks[at] != rank {
                continue;
            }
            let gone = behind[at];
            tokens[at] = rank;
            tokens[gone] = NONE;
            ranks[gone] = NONE;
            ranks[at] = NONE;
            behind[at] = behind[gone];
            if behind[at] < length {
                before[behind[at]] = at;
            }
            for (left, right) in [(before[at], at), (at, behind[at])] {
                if left < length && right < length {
                    ranks[left] = pairs.merged(tokens[left], tokens[right]);
                    if ranks[left] != NONE {
                        waiting.push(Reverse((ranks[left], left)));
                    }
                }
            }
        }
        tokens.retain(|token| *token != NONE);
    }
}
