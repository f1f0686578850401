//! Rows that say the same, known from the moment when the second one is added.

use std::collections::BTreeMap;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Rows by what they say, and those that repeat another.
#[derive(Debug, Clone, Default)]
pub struct Twins {
    /// One row for each text, with the hash of it.
    texts: HashTable<(u64, u32)>,
    /// Rows that repeat a text, with the row in `texts`.
    repeats: BTreeMap<u32, u32>,
}

impl Twins {
    /// Makes room for so many texts more.
    pub fn reserve(&mut self, texts: usize) {
        self.texts.reserve(texts, |(hash, _)| *hash);
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.texts.clear();
        self.repeats.clear();
    }

    /// Notes a row; `is_same` compares it with another of the same hash.
    pub fn enter(&mut self, row: u32, hash: u64, is_same: impl Fn(u32) -> bool) {
        let equal = |&(other_hash, other): &(u64, u32)| other_hash == hash && is_same(other);
        match self.texts.entry(hash, equal, |(hash, _)| *hash) {
            Entry::Occupied(first) => {
                self.repeats.insert(row, first.get().1);
            }
            Entry::Vacant(free) => {
                free.insert((hash, row));
            }
        }
    }

    /// Forgets a row; the first of those that repeat it takes its place.
    pub fn forget(&mut self, row: u32, hash: u64) {
        if self.repeats.remove(&row).is_some() {
            return;
        }
        let Ok(mut entry) = self.texts.find_entry(hash, |(_, first)| *first == row) else {
            return;
        };
        let mut others = self.repeats.iter().filter(|(_, first)| **first == row);
        if let Some((&next, _)) = others.next() {
            entry.get_mut().1 = next;
            self.repeats.remove(&next);
            for first in self.repeats.values_mut().filter(|first| **first == row) {
                *first = next;
            }
        } else {
            entry.remove();
        }
    }

    /// Forgets the rows whose flag is false, and follows the others; `moved` has the new row of those that stay.
    pub fn retain(&mut self, keep: &[bool], moved: &[u32]) {
        let stays = |row: u32| keep[row as usize];
        // Where the row in `texts` goes, the first that repeats it takes its place.
        let mut heirs = BTreeMap::new();
        for (&row, &first) in &self.repeats {
            if stays(row) && !stays(first) {
                heirs.entry(first).or_insert(row);
            }
        }
        let settled = |row: u32| if stays(row) { Some(row) } else { heirs.get(&row).copied() };
        self.texts.retain(|(_, first)| match settled(*first) {
            Some(row) => {
                *first = moved[row as usize];
                true
            }
            None => false,
        });
        let repeats = std::mem::take(&mut self.repeats).into_iter();
        self.repeats = repeats
            .filter(|(row, _)| stays(*row))
            .filter_map(|(row, first)| settled(first).map(|first| (row, first)))
            .filter(|(row, first)| row != first)
            .map(|(row, first)| (moved[row as usize], moved[first as usize]))
            .collect();
    }

    /// Bytes of what is noted.
    pub fn memory_bytes(&self) -> usize {
        // The nodes of the map are half to quite full, and nobody says how many there are.
        self.texts.allocation_size() + self.repeats.len() * 2 * size_of::<(u32, u32)>()
    }

    /// Gives back the room that is kept for texts to come.
    pub fn shrink_to_fit(&mut self) {
        self.texts.shrink_to_fit(|(hash, _)| *hash);
    }

    /// Rows that repeat a text, each with the row that stands for the text.
    pub fn repeats(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.repeats.iter().map(|(row, first)| (*row, *first))
    }
}
