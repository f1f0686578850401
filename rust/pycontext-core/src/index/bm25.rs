//! BM25 (Robertson and Zaragoza, 2009).

use std::cmp::Ordering;

use super::names::to_u32;
use super::{Index, Query, Term};

/// How soon more of the same word stops to matter.
const K1: f64 = 1.5;
/// How much a long text is held against its words.
const B: f64 = 0.9;

impl Index {
    /// How well each row matches a query, in `[0, 1]`: BM25 as a part of the best score in the set.
    ///
    /// A word said twice in the query counts once. All is 0.0 where no row has a word of the query.
    #[must_use]
    pub fn relevance(&self, query: &Query) -> Vec<f64> {
        let mut scores = self.bm25(&query.terms);
        to_best(&mut scores);
        scores
    }

    /// The `most` rows that match a text best and their relevance, the best first, of equal ones the first.
    #[must_use]
    pub fn search(&self, text: &str, most: usize) -> Vec<(usize, f64)> {
        let scores = self.bm25(&Query::of(self, &[text]).terms);
        let mut found: Vec<(usize, f64)> = Vec::new();
        let mut least = 0.0;
        let before = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        for (part, chunk) in scores.chunks(CHUNK).enumerate() {
            if largest(chunk) <= least {
                continue;
            }
            let rows = (part * CHUNK..).zip(chunk.iter().copied());
            found.extend(rows.filter(|(_, score)| *score > least));
            // Rows come in order, and one that is as good as the last of the best comes too late.
            if found.len() >= most.saturating_mul(2).max(CHUNK) {
                keep_best(&mut found, most, before);
                least = found.iter().fold(f64::INFINITY, |least, (_, score)| score.min(least));
            }
        }
        keep_best(&mut found, most, before);
        found.sort_unstable_by(before);
        let best = found.first().map_or(1.0, |(_, score)| *score);
        for (_, score) in &mut found {
            *score /= best;
        }
        found
    }

    /// BM25 of each row. Only the postings of the terms are read, in the order of the terms, so that every process gets
    /// the same numbers. The usual factor `K1 + 1` is left out: it changes no order.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no set has 2**53 words")]
    pub fn bm25(&self, terms: &[Term]) -> Vec<f64> {
        let mut scores = vec![0.0; self.len()];
        let mean = self.total as f64 / self.len() as f64;
        for term in terms {
            let weight = term.weight * self.idf(term.number);
            for posting in &self.postings[term.number as usize] {
                let row = posting.row as usize;
                let (count, length) = (f64::from(posting.count), f64::from(self.lengths[row]));
                scores[row] += weight * count / (count + K1 * (1.0 - B + B * length / mean));
            }
        }
        scores
    }

    /// How rare a term is: the logarithm of the odds that a row has it not, never below 0.
    #[must_use]
    pub fn idf(&self, term: u32) -> f64 {
        self.idf_of(self.postings[term as usize].len())
    }

    /// How rare a term is that so many rows have.
    #[must_use]
    pub fn idf_of(&self, rows: usize) -> f64 {
        let (all, found) = (f64::from(to_u32(self.len())), f64::from(to_u32(rows)));
        (1.0 + (all - found + 0.5) / (found + 0.5)).ln()
    }

    /// The number of a term by its name.
    #[must_use]
    pub fn find(&self, term: &str) -> Option<u32> {
        self.dictionary.find(term).filter(|term| !self.postings[*term as usize].is_empty())
    }

    /// The rows that have a term, ascending.
    pub fn rows(&self, term: u32) -> impl Iterator<Item = usize> {
        self.postings[term as usize].iter().map(|posting| posting.row as usize)
    }
}

/// Rows that are looked at together.
const CHUNK: usize = 64;

fn keep_best<V>(found: &mut Vec<V>, most: usize, before: impl Fn(&V, &V) -> Ordering) {
    if most < found.len() {
        if most > 0 {
            found.select_nth_unstable_by(most - 1, before);
        }
        found.truncate(most);
    }
}

/// Makes scores, none of which is negative, a part of the best one, unless all are 0.
pub fn to_best(scores: &mut [f64]) {
    let best = largest(scores);
    if best > 0.0 {
        // To multiply is faster; the factor is rounded up, so that the best is 1.0 and none is more.
        let mut factor = 1.0 / best;
        while best * factor < 1.0 {
            factor = factor.next_up();
        }
        for score in scores {
            let part = *score * factor;
            *score = if part > 1.0 { 1.0 } else { part };
        }
    }
}

/// The largest of numbers, none of which is negative: several at a time, which `f64::max` in a row is not.
fn largest(numbers: &[f64]) -> f64 {
    let larger = |a: f64, b: f64| if b > a { b } else { a };
    let (chunks, rest) = numbers.as_chunks::<8>();
    let mut best = [0.0; 8];
    for chunk in chunks {
        for (best, number) in best.iter_mut().zip(chunk) {
            *best = larger(*best, *number);
        }
    }
    best.into_iter().chain(rest.iter().copied()).fold(0.0, larger)
}
