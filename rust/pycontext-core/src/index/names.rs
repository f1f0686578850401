//! Texts by number: each is kept once.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::stored::places;

/// A number that no name has.
pub const NONE: u32 = u32::MAX;

/// Names in the order in which they came, and the way back.
#[derive(Debug, Clone, Default)]
pub struct Names {
    hasher: DefaultHashBuilder,
    by_name: HashTable<u32>,
    in_order: Vec<Box<str>>,
}

impl Names {
    /// Number of names.
    pub fn len(&self) -> usize {
        self.in_order.len()
    }

    /// The name of a number.
    pub fn name(&self, number: u32) -> &str {
        &self.in_order[number as usize]
    }

    /// The number of a name.
    pub fn find(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.by_name.find(hash, |&number| self.name(number) == name).copied()
    }

    /// The number of a name, which is noted if it is new.
    pub fn number(&mut self, name: &str) -> u32 {
        self.find(name).unwrap_or_else(|| {
            let number = to_u32(self.in_order.len());
            self.in_order.push(name.into());
            self.enter(number);
            number
        })
    }

    fn enter(&mut self, number: u32) {
        let (hasher, texts) = (&self.hasher, &self.in_order);
        let hash = |&number: &u32| hasher.hash_one(&*texts[number as usize]);
        self.by_name.insert_unique(hash(&number), number, hash);
    }

    /// Forgets the names that are not used, and returns the new numbers of the others, which stay in order; `NONE` for
    /// what is gone.
    pub fn retain(&mut self, is_used: &[bool]) -> Vec<u32> {
        let mut next = 0;
        let moved: Vec<_> = is_used
            .iter()
            .map(|is_used| {
                let number = if *is_used { next } else { NONE };
                next += u32::from(*is_used);
                number
            })
            .collect();
        let mut flags = is_used.iter();
        self.in_order.retain(|_| flags.next().copied().unwrap_or(true));
        self.by_name.clear();
        (0..to_u32(self.in_order.len())).for_each(|number| self.enter(number));
        moved
    }

    /// Bytes of the names.
    pub fn memory_bytes(&self) -> usize {
        let texts = self.in_order.iter().map(|name| name.len()).sum::<usize>();
        self.by_name.allocation_size() + places(&self.in_order) + texts
    }

    /// Gives back the room that is kept for names to come.
    pub fn shrink_to_fit(&mut self) {
        let (hasher, texts) = (&self.hasher, &self.in_order);
        self.by_name.shrink_to_fit(|&number| hasher.hash_one(&*texts[number as usize]));
        self.in_order.shrink_to_fit();
    }
}

/// A number of rows, names or bytes of one text: `Columns::push` holds them below 2**32.
pub fn to_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(NONE)
}
