//! What became of many conversations, in the same room however many they are.

use crate::columns::Columns;
use crate::kind::Kind;
use crate::selection::{Reason, Selection};

use super::job::Job;

/// The largest conversations that are named.
pub const LARGEST: usize = 20;

/// Buckets of the histograms, two an octave; `BOUNDS[i]` is the least number of tokens of bucket `i`.
pub const BOUNDS: [u64; 64] = bounds();

const fn bounds() -> [u64; 64] {
    let mut bounds = [0; 64];
    bounds[1] = 1;
    let mut at = 2;
    while at < 64 {
        bounds[at] = if at.is_multiple_of(2) { 1 << (at / 2) } else { 3 << (at / 2 - 1) };
        at += 1;
    }
    bounds
}

/// The bucket of so many tokens.
#[must_use]
pub fn bucket(tokens: u64) -> usize {
    BOUNDS.partition_point(|least| *least <= tokens) - 1
}

/// Messages and their tokens as rendered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many messages.
    pub messages: u64,
    /// How many tokens.
    pub tokens: u64,
}

impl Sum {
    fn add(&mut self, tokens: u64) {
        self.messages += 1;
        self.tokens += tokens;
    }
}

/// A large conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Large {
    /// Tokens of the request before.
    pub before: u64,
    /// And after; as before where it was left out.
    pub after: u64,
    /// Its messages.
    pub messages: u64,
    /// Where it stands: the line or row of the part, from 0.
    pub at: u64,
    /// Its id, where it has one.
    pub id: String,
}

/// The sums.
#[derive(Debug, Clone)]
pub struct Tally {
    /// Conversations that were read.
    pub conversations: u64,
    /// Those that came out.
    pub written: u64,
    /// Those of which nothing fell.
    pub untouched: u64,
    /// Those whose pinned messages are more than the budget.
    pub could_not_fit: u64,
    /// Those that say nearly what an earlier one says.
    pub near_duplicates: u64,
    /// Those with a token that was estimated.
    pub estimated: u64,
    /// Before the cut and after it.
    pub tokens: [u64; 2],
    /// By type, before the cut and after it.
    pub by_kind: [[Sum; 2]; Kind::ALL.len()],
    /// What fell, by the number of the reason.
    pub fell: [Sum; Reason::CODES.len()],
    /// Conversations by tokens, before the cut and after it.
    pub histogram: [[u64; BOUNDS.len()]; 2],
    /// The largest, in no order.
    pub largest: Vec<Large>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            conversations: 0,
            written: 0,
            untouched: 0,
            could_not_fit: 0,
            near_duplicates: 0,
            estimated: 0,
            tokens: [0; 2],
            by_kind: Default::default(),
            fell: Default::default(),
            histogram: [[0; BOUNDS.len()]; 2],
            largest: Vec::new(),
        }
    }
}

impl Tally {
    /// Notes a conversation: `chosen` is what stays, `None` for all of it, where it is written anyway.
    pub fn note<T: AsRef<str>>(
        &mut self,
        columns: &Columns<T>,
        chosen: Option<&Selection>,
        is_written: bool,
    ) -> [u64; 2] {
        let costs = columns.costs(Job::RENDER).rows;
        let before = columns.total_cost(Job::RENDER);
        let after = chosen.map_or(if is_written { before } else { 0 }, |chosen| chosen.tokens);
        self.conversations += 1;
        self.written += u64::from(is_written);
        for (row, (kind, cost)) in columns.kinds().iter().zip(costs).enumerate() {
            let (sums, tokens) = (&mut self.by_kind[*kind as usize], u64::from(cost.tokens));
            sums[0].add(tokens);
            let reason = chosen.map(|chosen| chosen.reasons[row]);
            match reason {
                Some(reason) if !reason.is_kept() => self.fell[reason.number()].add(tokens),
                _ if is_written => sums[1].add(tokens),
                _ => {}
            }
        }
        if let Some(chosen) = chosen {
            self.untouched += u64::from(chosen.kept.len() == columns.len());
            self.estimated += u64::from(!chosen.is_exact);
        }
        self.tokens[0] += before;
        self.tokens[1] += after;
        self.histogram[0][bucket(before)] += 1;
        self.histogram[1][bucket(after)] += u64::from(is_written);
        [before, after]
    }

    /// Names a conversation, if it is among the largest so far.
    pub fn name(&mut self, before: u64, large: impl FnOnce() -> Large) {
        let is_full = self.largest.len() >= LARGEST;
        // The first of equals stays, so that the order of the parts does not matter.
        let least = self
            .largest
            .iter()
            .enumerate()
            .min_by_key(|(at, large)| (large.before, std::cmp::Reverse((large.at, *at))));
        match least.map(|(at, large)| (at, large.before)) {
            Some((at, least)) if is_full => {
                if before > least {
                    self.largest[at] = large();
                }
            }
            _ => self.largest.push(large()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_count_has_its_bucket() {
        assert_eq!(BOUNDS[..10], [0, 1, 2, 3, 4, 6, 8, 12, 16, 24]);
        for (at, least) in BOUNDS.iter().enumerate() {
            assert_eq!(bucket(*least), at);
            assert!(at == 0 || bucket(least - 1) == at - 1);
        }
        assert_eq!(bucket(u64::MAX), BOUNDS.len() - 1);
    }
}
