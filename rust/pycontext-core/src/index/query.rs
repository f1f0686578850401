//! What is asked, as terms with weights.

use hashbrown::HashSet;

use crate::words::{term, words};

use super::Index;

/// Weight of a term that only an earlier turn has: what was asked before still helps to understand "and for two?".
const EARLIER: f64 = 0.2;

/// Earlier turns that are read.
pub const EARLIER_TURNS: usize = 2;

/// A term that is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// Its number in the index.
    pub number: u32,
    /// How much it counts.
    pub weight: f64,
}

/// A question to an index.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Terms that some row has, each once: those of the newest turn, in its order, then those of earlier turns.
    pub terms: Vec<Term>,
    /// How many of them are of the newest turn.
    pub newest: usize,
    /// Sum of the weights, those of terms that no row has included.
    pub weight: f64,
}

impl Query {
    /// The question that turns of the user ask, the newest last: it counts most, and no more than two before it count
    /// at all.
    #[must_use]
    pub fn of(index: &Index, turns: &[impl AsRef<str>]) -> Self {
        let mut query = Self::default();
        let mut seen = HashSet::new();
        for (age, turn) in turns.iter().rev().take(1 + EARLIER_TURNS).enumerate() {
            let weight = if age == 0 { 1.0 } else { EARLIER };
            words(turn.as_ref(), |word| {
                let Some(name) = term(word).filter(|name| !seen.contains(name)) else { return };
                query.weight += weight;
                query.terms.extend(index.find(&name).map(|number| Term { number, weight }));
                seen.insert(name);
            });
            if age == 0 {
                query.newest = query.terms.len();
            }
        }
        query
    }

    /// The terms of the newest turn.
    #[must_use]
    pub fn newest_terms(&self) -> &[Term] {
        &self.terms[..self.newest]
    }
}
