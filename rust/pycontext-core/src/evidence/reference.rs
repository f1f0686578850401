//! What references matter: BM25, widened by the words of its best matches, fused with another scorer where there is one,
//! and shared with the neighbours in a dialogue.

use hashbrown::HashMap;

use crate::columns::Columns;
use crate::index::{Query, Term, to_best};
use crate::kind::Kind;
use crate::render::body;

use super::{Member, Question};

/// The units that are chosen for what they are about.
#[derive(Debug, Clone, Copy)]
pub struct References<'a, T> {
    pub columns: &'a Columns<T>,
    pub question: Question<'a>,
    pub query: &'a Query,
    /// Rows that hold the question itself.
    pub own: &'a [usize],
    pub members: &'a [Member<'a>],
}

/// What the units matter.
#[derive(Debug)]
pub struct Weighed {
    /// One a unit, as a part of the best.
    pub values: Vec<f64>,
    pub added_terms: Vec<String>,
}

/// Best matches whose words are taken to be about the question.
const FEEDBACK_UNITS: usize = 5;
/// Words of them that are asked for as well.
const FEEDBACK_TERMS: usize = 10;
/// How much these count beside the words of the question.
const FEEDBACK_WEIGHT: f64 = 0.3;

/// How much words count beside another scorer.
const WORDS_WEIGHT: f64 = 0.5;

/// How much of a turn's neighbour a turn has, and tokens from which on a turn speaks for itself.
const NEIGHBOUR_WEIGHT: f64 = 0.3;
const LONG_TURN: u64 = 100;

impl<T: AsRef<str>> References<'_, T> {
    /// Weighs the units.
    pub fn weigh(&self) -> Weighed {
        if self.question.turns.is_empty() {
            // Nothing is asked: a block's own score decides.
            return Weighed { values: vec![1.0; self.members.len()], added_terms: Vec::new() };
        }
        let index = self.question.index;
        let first = self.by_unit(&index.bm25(&self.query.terms));
        let (wider, added) = self.widened(&first);
        let mut values = if wider.is_empty() { first } else { self.by_unit(&index.bm25(&wider)) };
        if let Some(relevance) = self.question.relevance {
            let (words, other) = (standard(&values), standard(&self.by_unit(relevance)));
            values = words
                .iter()
                .zip(other)
                .map(|(words, other)| WORDS_WEIGHT * words + other)
                .collect();
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            for value in &mut values {
                *value -= least;
            }
        }
        self.share_with_neighbours(&mut values);
        to_best(&mut values);
        let added_terms = added.iter().map(|term| index.term(*term).to_owned()).collect();
        Weighed { values, added_terms }
    }

    fn by_unit(&self, by_row: &[f64]) -> Vec<f64> {
        self.members.iter().map(|member| member.best(by_row)).collect()
    }

    /// The question with the words of its best matches: relevance feedback in the form RM3 (Abdul-Jaleel et al., 2004).
    /// Also the words that it did not have.
    fn widened(&self, matches: &[f64]) -> (Vec<Term>, Vec<u32>) {
        let index = self.question.index;
        let is_own =
            |at: usize| self.members[at].rows().any(|row| self.own.binary_search(&row).is_ok());
        let mut best: Vec<_> =
            (0..matches.len()).filter(|at| matches[*at] > 0.0 && !is_own(*at)).collect();
        let before = |a: &usize, b: &usize| matches[*b].total_cmp(&matches[*a]).then(a.cmp(b));
        if best.len() > FEEDBACK_UNITS {
            best.select_nth_unstable_by(FEEDBACK_UNITS, before);
            best.truncate(FEEDBACK_UNITS);
        }
        best.sort_unstable_by(before);
        let sum: f64 = best.iter().map(|at| matches[*at]).sum();
        let mut weights: HashMap<u32, f64> = HashMap::new();
        for at in best {
            let member = &self.members[at];
            let words: u32 = member.rows().map(|row| index.length(row)).sum();
            let part = matches[at] / sum / f64::from(words.max(1));
            for row in member.rows() {
                let text = body(self.columns.contents()[row].as_ref(), self.columns.provider(row));
                for (term, count) in index.terms_of(&text) {
                    *weights.entry(term).or_default() += part * f64::from(count) * index.idf(term);
                }
            }
        }
        let mut found: Vec<_> = weights.into_iter().collect();
        // The name decides between equal weights, so that every process takes the same.
        found.sort_unstable_by(|(a, weight_a), (b, weight_b)| {
            weight_b.total_cmp(weight_a).then_with(|| index.term(*a).cmp(index.term(*b)))
        });
        found.truncate(FEEDBACK_TERMS);
        let total: f64 = found.iter().map(|(_, weight)| weight).sum();
        if total <= 0.0 {
            return (Vec::new(), Vec::new());
        }
        let own_weight = (1.0 - FEEDBACK_WEIGHT) / self.query.weight;
        let own = |term: &Term| Term { weight: term.weight * own_weight, ..*term };
        let mut wider: Vec<_> = self.query.terms.iter().map(own).collect();
        let mut added = Vec::new();
        for (number, weight) in found {
            let weight = FEEDBACK_WEIGHT * weight / total;
            if let Some(term) = wider.iter_mut().find(|term| term.number == number) {
                term.weight += weight;
            } else {
                wider.push(Term { number, weight });
                added.push(number);
            }
        }
        (wider, added)
    }

    /// A short turn is about what the turns beside it are about.
    fn share_with_neighbours(&self, values: &mut [f64]) {
        let kinds = self.columns.kinds();
        let is_turn =
            |at: &usize| matches!(kinds[self.members[*at].head()], Kind::User | Kind::Agent);
        let turns: Vec<_> = (0..values.len()).filter(is_turn).collect();
        let before: Vec<_> = turns.iter().map(|at| values[*at]).collect();
        for (place, &at) in turns.iter().enumerate() {
            if self.members[at].unit.cost < LONG_TURN {
                let neighbour = |place: usize| before.get(place).copied().unwrap_or(0.0);
                let previous = place.checked_sub(1).map_or(0.0, neighbour);
                values[at] += NEIGHBOUR_WEIGHT * previous.max(neighbour(place + 1));
            }
        }
    }
}

/// Values with mean 0 and deviation 1; all 0 where they are equal.
#[expect(clippy::cast_precision_loss, reason = "no set has 2**53 rows")]
fn standard(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
    let scale = if deviation > 1e-12 { 1.0 / deviation } else { 0.0 };
    values.iter().map(|value| (value - mean) * scale).collect()
}
