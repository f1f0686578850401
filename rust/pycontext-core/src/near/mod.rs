//! Texts that say nearly the same: word triples in common, found by `MinHash` and banding and then compared exactly.
//!
//! Two texts are as similar as the Jaccard index of their sets of word triples. To compare all pairs takes quadratic
//! time. So each set gets a signature by one-permutation hashing, cut into bands: sets that are equal in one band are
//! compared, exactly, so that nothing falls by chance. Measured against `SimHash`: see benches/near.md.

pub mod document;
mod shingles;
mod signature;

use std::sync::Arc;

use hashbrown::HashMap;

use crate::kind::Kind;
use crate::stored::places;

use shingles::{jaccard, shingles};
use signature::{BANDS, bands, needed};

/// What is compared of a text.
#[derive(Debug)]
struct Sketch {
    /// Ascending, each once.
    shingles: Box<[u64]>,
    bands: [u64; BANDS],
}

/// The sketches of a set's rows: read once, when they are first asked for, and shared by copies.
#[derive(Debug, Clone, Default)]
pub struct Near {
    /// `None` where a row has no words, or is no fact.
    rows: Vec<Option<Arc<Sketch>>>,
}

/// A row that says nearly what another says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Echo {
    /// The row that falls.
    pub row: u32,
    /// The better one.
    pub copy: u32,
    /// Jaccard index of their word triples.
    pub similarity: f64,
}

impl Near {
    /// Number of rows that were read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Reads the next row.
    pub fn push(&mut self, kind: Kind, text: &str) {
        self.rows.push(sketch(kind, text));
    }

    /// Reads a row anew.
    pub fn replace(&mut self, at: usize, kind: Kind, text: &str) {
        self.rows[at] = sketch(kind, text);
    }

    /// Forgets the rows whose flag is false.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut flags = keep.iter();
        self.rows.retain(|_| flags.next().is_none_or(|keep| *keep));
    }

    /// Bytes of the sketches, as if nobody shared them.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let sketches = self.rows.iter().flatten();
        let bytes = |sketch: &Arc<Sketch>| size_of::<Sketch>() + size_of_val(&*sketch.shingles);
        places(&self.rows) + sketches.map(bytes).sum::<usize>()
    }

    /// Gives back the room that is kept for rows to come.
    pub fn shrink_to_fit(&mut self) {
        self.rows.shrink_to_fit();
    }

    /// Of rows, the best first, those that are at least so similar to a better one of their type that stays.
    ///
    /// `is_sure` names rows that stay in any case. Of several better ones the most similar is named.
    #[must_use]
    pub fn echoes(
        &self,
        rows: &[u32],
        kinds: &[Kind],
        threshold: f64,
        is_sure: impl Fn(u32) -> bool,
    ) -> Vec<Echo> {
        let bands = needed(threshold);
        let mut buckets = Buckets::default();
        let mut seen = vec![u32::MAX; self.rows.len()];
        let mut found = Vec::new();
        for &row in rows {
            let Some(sketch) = &self.rows[row as usize] else { continue };
            let kind = kinds[row as usize];
            let mut best: Option<Echo> = None;
            for band in &sketch.bands[..bands] {
                for copy in buckets.rows(*band) {
                    let is_new = std::mem::replace(&mut seen[copy as usize], row) != row;
                    if !is_new || kinds[copy as usize] != kind {
                        continue;
                    }
                    let Some(other) = &self.rows[copy as usize] else { continue };
                    let similarity = jaccard(&sketch.shingles, &other.shingles);
                    if similarity >= threshold && best.is_none_or(|b| similarity > b.similarity) {
                        best = Some(Echo { row, copy, similarity });
                    }
                }
            }
            match best.filter(|_| !is_sure(row)) {
                Some(echo) => found.push(echo),
                None => buckets.add(&sketch.bands[..bands], row),
            }
        }
        found
    }
}

/// Rows by the bands of their signatures: chains through one vector, so that no band has one of its own.
#[derive(Default)]
struct Buckets {
    heads: HashMap<u64, u32>,
    links: Vec<(u32, u32)>,
}

/// The end of a chain.
const END: u32 = u32::MAX;

impl Buckets {
    fn add(&mut self, bands: &[u64], row: u32) {
        for band in bands {
            // A set has fewer than 2**32 rows; one with so many bands is not compared any further.
            let Ok(link) = u32::try_from(self.links.len()) else { return };
            let next = self.heads.insert(*band, link).unwrap_or(END);
            self.links.push((row, next));
        }
    }

    fn rows(&self, band: u64) -> impl Iterator<Item = u32> {
        let mut at = self.heads.get(&band).copied().unwrap_or(END);
        std::iter::from_fn(move || {
            let (row, next) = *self.links.get(at as usize)?;
            at = next;
            Some(row)
        })
    }
}

fn sketch(kind: Kind, text: &str) -> Option<Arc<Sketch>> {
    if !kind.is_fact() {
        return None;
    }
    let shingles = shingles(text);
    if shingles.is_empty() {
        return None;
    }
    let bands = bands(&shingles);
    Some(Arc::new(Sketch { shingles: shingles.into(), bands }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(range: std::ops::Range<u32>) -> String {
        range.map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ")
    }

    fn echoes(texts: &[&str], threshold: f64) -> Vec<(u32, u32)> {
        let mut near = Near::default();
        for text in texts {
            near.push(Kind::Memory, text);
        }
        let rows: Vec<u32> = (0..).take(texts.len()).collect();
        let kinds = vec![Kind::Memory; texts.len()];
        let found = near.echoes(&rows, &kinds, threshold, |_| false);
        found.into_iter().map(|echo| (echo.row, echo.copy)).collect()
    }

    #[test]
    fn case_and_punctuation_do_not_matter() {
        let (one, other) = (words(0..30), words(0..30).to_uppercase().replace(' ', ", "));
        assert_eq!(echoes(&[&one, &other], 1.0), [(1, 0)]);
    }

    #[test]
    fn what_is_below_the_threshold_stays() {
        // 28 triples of 30 words, 26 of them in common: 26 of 30.
        let (one, other) = (words(0..30), words(2..32));
        assert_eq!(echoes(&[&one, &other], 0.86), [(1, 0)]);
        assert_eq!(echoes(&[&one, &other], 0.87), []);
    }

    #[test]
    fn nothing_falls_to_what_fell() {
        let texts = [words(0..30), words(2..32), words(4..34)];
        assert_eq!(echoes(&texts.each_ref().map(String::as_str), 0.86), [(1, 0)]);
    }

    #[test]
    fn short_texts_are_compared_whole_and_empty_ones_not() {
        assert_eq!(echoes(&["Two words", "two  words!", "two", "", ""], 0.9), [(1, 0)]);
        assert_eq!(echoes(&["我喜欢吃苹果", "我喜欢吃苹果。"], 0.9), [(1, 0)]);
    }
}
