//! Equal texts said twice.
//!
//! Only MEMORY and KNOWLEDGE blocks outside units can be duplicates: equal tool results answer different calls, and
//! a second "yes" is a second turn.

use std::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashTable};

use crate::columns::Columns;

/// Finds exact duplicates among the rows that `is_candidate` names.
///
/// Returns pairs of a row to drop and the copy to keep: the pinned one, else the one with the highest score, else the
/// newest, else the last. Two pinned copies both stay.
pub fn duplicates<T: AsRef<str>>(
    columns: &Columns<T>,
    scores: &[f64],
    is_candidate: impl Fn(usize) -> bool,
    is_pinned: impl Fn(usize) -> bool,
) -> Vec<(usize, usize)> {
    let hasher = DefaultHashBuilder::default();
    let key = |row: usize| (columns.kinds()[row], columns.contents()[row].as_ref());
    let better = |a: usize, b: usize| {
        let order = is_pinned(a)
            .cmp(&is_pinned(b))
            .then(scores[a].total_cmp(&scores[b]))
            .then(columns.timestamps()[a].cmp(&columns.timestamps()[b]));
        order.then(a.cmp(&b)).is_gt()
    };
    let mut best: HashTable<usize> = HashTable::new();
    let candidates: Vec<_> = (0..columns.len()).filter(|&row| is_candidate(row)).collect();
    for &row in &candidates {
        let entry = best.entry(
            hasher.hash_one(key(row)),
            |&other| key(other) == key(row),
            |&other| hasher.hash_one(key(other)),
        );
        match entry {
            Entry::Occupied(mut kept) => {
                if better(row, *kept.get()) {
                    *kept.get_mut() = row;
                }
            }
            Entry::Vacant(free) => {
                free.insert(row);
            }
        }
    }
    let copy_of = |row: usize| {
        let found = best.find(hasher.hash_one(key(row)), |&other| key(other) == key(row));
        found.copied().unwrap_or(row)
    };
    let dropped = candidates.iter().filter(|&&row| !is_pinned(row));
    dropped.map(|&row| (row, copy_of(row))).filter(|(row, copy)| row != copy).collect()
}
