//! What columns take in memory.

use hashbrown::HashSet;

use super::{Columns, Costs};
use crate::cost::Cost;
use crate::provider::{Call, Provider};
use crate::row::{Extra, Rare};
use crate::stored::{Stored, places};
use crate::texts::Texts;

/// Rows between two pauses.
const STRIDE: usize = 8192;

impl<T: AsRef<str> + Stored> Columns<T> {
    /// Bytes of all that the columns hold, room for more included; what several texts share is counted once.
    ///
    /// To ask a text may need what others wait for: `pause` is called again and again, to let it go for a moment.
    #[must_use]
    pub fn memory_bytes(&self, mut pause: impl FnMut()) -> usize {
        let mut seen = HashSet::new();
        let mut bytes = size_of::<Self>() + self.own_bytes();
        for row in 0..self.len() {
            if row > 0 && row % STRIDE == 0 {
                pause();
            }
            bytes += once(&self.id[row], &mut seen) + once(&self.content[row], &mut seen);
            bytes += list(&self.metadata[row], &mut seen);
            if let Some(rare) = self.rare(row) {
                bytes += size_of::<Rare<T>>() + list(&rare.references, &mut seen);
                bytes += rare.unit.as_ref().map_or(0, |unit| once(unit, &mut seen));
                let provider = rare.provider.as_ref().and_then(|provider| provider.get());
                bytes += provider.map_or(0, |provider| provider_bytes(provider));
            }
            if let Some(extra) = self.extra(row) {
                bytes += size_of::<Extra<T>>() + extra.unknown.len();
                bytes += extra.origin.as_ref().map_or(0, |origin| once(origin, &mut seen));
            }
        }
        bytes
    }

    /// Bytes of everything but the texts.
    fn own_bytes(&self) -> usize {
        let texts = places(&self.id) + places(&self.content) + places(&self.metadata);
        let numbers = places(&self.kind) + places(&self.score) + places(&self.timestamp);
        let rest = places(&self.tokens) + places(&self.rare) + places(&self.extra);
        let costs: usize = self.costs.iter().map(Costs::memory_bytes).sum();
        texts
            + numbers
            + rest
            + places(&self.tied)
            + self.twins.memory_bytes()
            + self.units.memory_bytes()
            + self.index.allocation_size()
            + costs
    }

    /// Gives back the room that is kept for rows to come.
    pub fn shrink_to_fit(&mut self) {
        self.id.shrink_to_fit();
        self.content.shrink_to_fit();
        self.kind.shrink_to_fit();
        self.score.shrink_to_fit();
        self.timestamp.shrink_to_fit();
        self.tokens.shrink_to_fit();
        self.metadata.shrink_to_fit();
        self.rare.shrink_to_fit();
        self.extra.shrink_to_fit();
        self.tied.shrink_to_fit();
        self.twins.shrink_to_fit();
        self.units.shrink_to_fit();
        let hash_of = |&row: &u32| {
            use std::hash::BuildHasher;
            self.hasher.hash_one(self.id[row as usize].as_ref())
        };
        self.index.shrink_to_fit(hash_of);
        for costs in &mut self.costs {
            costs.rows.shrink_to_fit();
            costs.stale.shrink_to_fit();
        }
    }
}

impl Costs {
    fn memory_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Cost>() + self.stale.allocation_size()
    }
}

/// Bytes of a text, 0 where it was counted before.
fn once(text: &impl Stored, seen: &mut HashSet<usize>) -> usize {
    if seen.insert(text.address()) { text.bytes() } else { 0 }
}

fn list<T: Stored>(texts: &Texts<T>, seen: &mut HashSet<usize>) -> usize {
    match texts {
        Texts::Made(texts) => {
            size_of_val::<[T]>(texts) + texts.iter().map(|text| once(text, seen)).sum::<usize>()
        }
        Texts::Found(run) => once(run, seen),
    }
}

fn provider_bytes(provider: &Provider) -> usize {
    let call = |call: &Call| call.name.capacity() + call.arguments.capacity();
    size_of::<Provider>()
        + places(&provider.calls)
        + provider.calls.iter().map(call).sum::<usize>()
        + provider.name.as_ref().map_or(0, String::capacity)
        + places(&provider.extra)
        + provider.extra.iter().map(String::capacity).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::super::tests::filled;

    #[test]
    fn the_texts_and_the_places_are_in_the_sum_and_room_is_given_back() {
        let mut columns = filled(1_000);
        let texts: usize = columns.contents().iter().map(String::len).sum();
        let full = columns.memory_bytes(|| ());
        assert!(full > texts + 1_000 * 100, "{full} bytes");
        let keep: Vec<_> = (0..1_000).map(|row| row < 100).collect();
        columns.retain(&keep);
        let roomy = columns.memory_bytes(|| ());
        columns.shrink_to_fit();
        let tight = columns.memory_bytes(|| ());
        assert!(tight < roomy && roomy < full, "{tight} {roomy} {full}");
        assert_eq!(columns.find("b42"), Some(42));
    }
}
