//! TF-IDF with cosine similarity, in the form that scikit-learn made usual.

use hashbrown::HashMap;

use crate::words::{term, words};

use super::Index;
use super::names::to_u32;

impl Index {
    /// Cosine of each row with a query, in `[0, 1]`: counts times `ln((1 + n) / (1 + df)) + 1`, of unit length; the query
    /// is one of the `n` texts.
    #[must_use]
    pub fn tfidf(&self, query: &str) -> Vec<f64> {
        let mut dots = vec![0.0; self.len()];
        let mut squares = vec![0.0; self.len()];
        let mut asked: HashMap<String, u32> = HashMap::new();
        words(query, |word| {
            if let Some(term) = term(word) {
                *asked.entry(term).or_default() += 1;
            }
        });
        // The query is one text more.
        let texts = f64::from(to_u32(self.len())) + 1.0;
        let idf = |rows: usize| ((1.0 + texts) / (1.0 + f64::from(to_u32(rows)))).ln() + 1.0;
        let mut own = 0.0;
        let mut counts = HashMap::new();
        // In one order in every process: sums depend on it.
        let mut asked: Vec<_> = asked.into_iter().collect();
        asked.sort_unstable();
        for (term, count) in asked {
            let found = self.find(&term);
            let rows = found.map_or(0, |number| self.postings[number as usize].len());
            own += (f64::from(count) * idf(rows + 1)).powi(2);
            counts.extend(found.map(|number| (number, f64::from(count))));
        }
        for (number, list) in (0..).zip(&self.postings) {
            let asked = counts.get(&number);
            let idf = idf(list.len() + usize::from(asked.is_some()));
            for posting in list {
                let weight = f64::from(posting.count) * idf;
                squares[posting.row as usize] += weight * weight;
                if let Some(count) = asked {
                    dots[posting.row as usize] += weight * count * idf;
                }
            }
        }
        for (dot, square) in dots.iter_mut().zip(squares) {
            if *dot > 0.0 {
                *dot = (*dot / (square * own).sqrt()).min(1.0);
            }
        }
        dots
    }
}
