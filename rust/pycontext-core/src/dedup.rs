//! Equal texts said twice.
//!
//! Only MEMORY and KNOWLEDGE blocks outside units can be duplicates: equal tool results answer different calls, and
//! a second "yes" is a second turn. Exact ones are about one in a hundred of real traffic: this is for correctness,
//! and costs what there is of them.

use crate::columns::Columns;
use crate::policy::References;
use crate::unit::Units;

/// Duplicates of a whole set, by their base scores, with the copies that are to stay.
#[must_use]
pub fn redundant<T: AsRef<str>>(columns: &Columns<T>) -> Vec<(usize, usize)> {
    if columns.repeats().len() == 0 {
        return Vec::new();
    }
    let units = Units::known(columns, References::Results);
    duplicates(columns, columns.scores(), |row| units.is_single(row), |_| false)
}

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
    // Rows by the row that stands for their text, which is one of them.
    let mut same: Vec<(u32, u32)> = columns.repeats().map(|(row, first)| (first, row)).collect();
    let firsts = same.iter().map(|(first, _)| (*first, *first));
    same.extend(firsts.collect::<Vec<_>>());
    same.sort_unstable();
    same.dedup();

    let is_better = |a: &usize, b: &usize| {
        let order = is_pinned(*a)
            .cmp(&is_pinned(*b))
            // -0.0 is 0.0.
            .then((scores[*a] + 0.0).total_cmp(&(scores[*b] + 0.0)))
            .then(columns.timestamps()[*a].cmp(&columns.timestamps()[*b]));
        order.then(a.cmp(b))
    };
    let mut found = Vec::new();
    for copies in same.chunk_by(|a, b| a.0 == b.0) {
        let rows = copies.iter().map(|(_, row)| *row as usize).filter(|row| is_candidate(*row));
        let Some(best) = rows.clone().max_by(is_better) else { continue };
        found.extend(rows.filter(|row| *row != best && !is_pinned(*row)).map(|row| (row, best)));
    }
    found
}
