//! A part of the rows, made beside all of them: whoever else looks at those goes on.

use super::{Columns, filter};
use crate::row::{Extra, Rare};
use crate::texts::Texts;

/// Copies between two pauses: what takes a millisecond. Fewer rows than that know no pause.
const STRIDE: usize = if cfg!(test) { 16 } else { 16_384 };

/// The texts of some rows.
#[derive(Debug)]
pub struct Part<T> {
    id: Vec<T>,
    content: Vec<T>,
    metadata: Vec<Texts<T>>,
    rare: Vec<Option<Box<Rare<T>>>>,
    extra: Vec<Option<Box<Extra<T>>>>,
}

impl<T: AsRef<str> + Clone> Columns<T> {
    /// Copies the texts of the rows whose flag is true.
    ///
    /// To copy a text may need what others wait for: `pause` is called again and again, to let it go for a moment.
    #[must_use]
    pub fn texts_of(&self, keep: &[bool], mut pause: impl FnMut()) -> Part<T> {
        Part {
            id: copies(&self.id, keep, &mut pause),
            content: copies(&self.content, keep, &mut pause),
            metadata: copies(&self.metadata, keep, &mut pause),
            rare: copies(&self.rare, keep, &mut pause),
            extra: copies(&self.extra, keep, &mut pause),
        }
    }

    /// The rows whose flag is true, with their texts, as `retain` would leave them; copies no text.
    #[must_use]
    pub fn part(&self, keep: &[bool], texts: Part<T>) -> Self {
        let mut part = Self {
            id: texts.id,
            content: texts.content,
            metadata: texts.metadata,
            rare: texts.rare,
            extra: texts.extra,
            kind: self.kind.clone(),
            score: self.score.clone(),
            timestamp: self.timestamp.clone(),
            tokens: self.tokens.clone(),
            tied: self.tied.clone(),
            twins: self.twins.clone(),
            units: crate::unit::Units::default(),
            index: self.index.clone(),
            hasher: self.hasher.clone(),
            type_tokens: self.type_tokens,
            costs: self.costs.clone(),
        };
        part.retain_numbers(keep);
        part
    }
}

impl<T> Columns<T> {
    /// Drops the rows whose flag is false from all but the texts.
    pub(super) fn retain_numbers(&mut self, keep: &[bool]) {
        for (row, _) in keep.iter().enumerate().filter(|(_, kept)| !**kept) {
            self.type_tokens[self.kind[row] as usize] -= u64::from(self.tokens[row]);
        }
        for costs in &mut self.costs {
            costs.retain(keep);
        }
        filter(&mut self.kind, keep);
        filter(&mut self.score, keep);
        filter(&mut self.timestamp, keep);
        filter(&mut self.tokens, keep);
        // Hashes do not change when rows move up: the tables are corrected in place.
        let place = |next: &mut u32, kept: &bool| {
            let row = *next;
            *next += u32::from(*kept);
            Some(row)
        };
        let moved: Vec<u32> = keep.iter().scan(0, place).collect();
        let follow = |row: &mut u32| {
            let stays = keep[*row as usize];
            *row = moved[*row as usize];
            stays
        };
        self.index.retain(follow);
        self.tied.retain_mut(follow);
        self.twins.retain(keep, &moved);
        self.units.spoil();
    }
}

impl<T> Columns<T> {
    /// Lets go of all rows; to let go of a text may need what others wait for, and `pause` lets that go.
    pub fn release(mut self, mut pause: impl FnMut()) {
        release(&mut self.id, &mut pause);
        release(&mut self.content, &mut pause);
        release(&mut self.metadata, &mut pause);
        release(&mut self.rare, &mut pause);
        release(&mut self.extra, &mut pause);
    }
}

fn release<V>(items: &mut Vec<V>, pause: &mut impl FnMut()) {
    while items.len() > STRIDE {
        items.truncate(items.len() - STRIDE);
        pause();
    }
    items.clear();
}

fn copies<V: Clone>(items: &[V], keep: &[bool], pause: &mut impl FnMut()) -> Vec<V> {
    let mut copies = Vec::with_capacity(keep.iter().filter(|kept| **kept).count());
    for (items, keep) in items.chunks(STRIDE).zip(keep.chunks(STRIDE)) {
        if !copies.is_empty() {
            pause();
        }
        let kept = items.iter().zip(keep).filter(|(_, kept)| **kept);
        copies.extend(kept.map(|(item, _)| item.clone()));
    }
    copies
}

#[cfg(test)]
mod tests {
    use super::super::tests::filled;
    use crate::cost::Render;
    use crate::count::Encoding;

    #[test]
    fn a_part_is_what_retain_leaves() {
        let mut columns = filled(100);
        columns.fill_costs(Render::Text, &Encoding::O200k);
        let keep: Vec<_> = (0..100).map(|row| row % 3 > 0).collect();
        let mut pauses = 0;
        let texts = columns.texts_of(&keep, || pauses += 1);
        let mut part = columns.part(&keep, texts);
        columns.retain(&keep);
        assert_eq!(pauses, 5 * 6, "100 rows of each column of texts are seven strides");
        assert_eq!((part.ids(), part.contents()), (columns.ids(), columns.contents()));
        assert_eq!(part.type_tokens(), columns.type_tokens());
        assert!(part.has_costs(Render::Text));
        assert_eq!(part.total_cost(Render::Text), columns.total_cost(Render::Text));
        assert_eq!((part.find("b4"), part.find("b3")), (columns.find("b4"), None));
        part.settle();
        columns.settle();
        assert_eq!(part.heads(), columns.heads());
    }
}
