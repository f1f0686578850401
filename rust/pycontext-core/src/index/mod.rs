//! What the texts of a set say, by word and by identifier: read once, at the first query after a block came, and asked
//! by every query.

mod bm25;
mod dictionary;
pub mod identifiers;
mod mentions;
mod names;
mod query;
mod tfidf;

use crate::kind::Kind;
use crate::provider::Provider;
use crate::render::body;
use crate::stored::places;
use crate::words::words;

use dictionary::Dictionary;
use names::{NONE, to_u32};

pub use bm25::to_best;
pub(crate) use mentions::Mentions;
pub use query::{EARLIER_TURNS, Query, Term};

/// An inverted index over the texts of a set, one row a text.
///
/// It keeps the words, not the texts, and forgets a word with its last row.
#[derive(Debug, Clone, Default)]
pub struct Index {
    dictionary: Dictionary,
    /// By term, in the order of rows.
    postings: Vec<Vec<Posting>>,
    /// Words by row, stop words left out.
    lengths: Vec<u32>,
    /// Sum of the lengths.
    total: u64,
    /// Terms without postings: rows changed.
    unused: usize,
    mentions: Mentions,
}

/// How words are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// BM25, as a part of the best score in the set.
    Bm25,
    /// Cosine of TF-IDF vectors.
    Tfidf,
}

/// How often a row has a term.
#[derive(Debug, Clone, Copy)]
struct Posting {
    row: u32,
    count: u32,
}

/// A block as the index reads it.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// What it says.
    pub content: &'a str,
    /// What it is: identifiers are sought in turns only.
    pub kind: Kind,
    /// The calls it makes.
    pub provider: Option<&'a Provider>,
}

/// Unused terms that are not worth a look at all words.
const FEW: usize = 1_024;

impl Index {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The identifiers of the rows.
    #[must_use]
    pub(crate) fn mentions(&self) -> &Mentions {
        &self.mentions
    }

    /// How well each row matches a text, in `[0, 1]`.
    #[must_use]
    pub fn matches(&self, text: &str, measure: Measure) -> Vec<f64> {
        match measure {
            Measure::Bm25 => self.relevance(&Query::of(self, &[text])),
            Measure::Tfidf => self.tfidf(text),
        }
    }

    /// Bytes of the words and of where they are.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let rows = self.postings.iter().map(places).sum::<usize>();
        self.dictionary.memory_bytes()
            + places(&self.postings)
            + rows
            + places(&self.lengths)
            + self.mentions.memory_bytes()
    }

    /// Gives back the room that is kept for texts to come.
    pub fn shrink_to_fit(&mut self) {
        self.dictionary.shrink_to_fit();
        self.postings.iter_mut().for_each(Vec::shrink_to_fit);
        self.postings.shrink_to_fit();
        self.lengths.shrink_to_fit();
        self.mentions.shrink_to_fit();
    }

    /// Appends a row.
    pub fn push(&mut self, document: Document<'_>) {
        let row = to_u32(self.len());
        let length = self.add(row, document);
        self.lengths.push(length);
        self.total += u64::from(length);
        self.mentions.push(document.prose(), document.arguments());
    }

    /// Changes the text of a row; `old` is the text, with its calls, that the row was indexed with.
    pub fn replace(&mut self, row: usize, old: &str, new: Document<'_>) {
        self.total -= u64::from(self.lengths[row]);
        // The new words come first: a word in both texts keeps its posting, and nothing behind it moves.
        self.lengths[row] = self.add(to_u32(row), new);
        self.total += u64::from(self.lengths[row]);
        words(old, |word| self.subtract(to_u32(row), word));
        self.mentions.replace(row, new.prose(), new.arguments());
        if self.unused > FEW.max(self.dictionary.len() / 2) {
            self.forget_unused();
        }
    }

    /// Drops the rows whose flag is false; `keep` has one flag a row, and later rows move up.
    ///
    /// Takes time linear in the postings.
    pub fn retain(&mut self, keep: &[bool]) {
        if keep.iter().all(|keep| *keep) {
            return;
        }
        let mut kept = 0;
        let moved: Vec<Option<u32>> = keep
            .iter()
            .map(|&flag| {
                let row = flag.then_some(kept);
                kept += u32::from(flag);
                row
            })
            .collect();
        for list in &mut self.postings {
            list.retain_mut(|posting| {
                let row = moved[posting.row as usize];
                posting.row = row.unwrap_or(posting.row);
                row.is_some()
            });
        }
        let mut flags = keep.iter();
        self.lengths.retain(|_| flags.next().copied().unwrap_or(true));
        self.total = self.lengths.iter().copied().map(u64::from).sum();
        self.mentions.retain(keep);
        self.forget_unused();
    }

    /// The terms of a text that was indexed, each once, with how often the text has it, in the order of their numbers.
    #[must_use]
    pub fn terms_of(&self, text: &str) -> Vec<(u32, u32)> {
        let mut all = Vec::new();
        words(text, |word| all.extend(self.dictionary.look_up(word)));
        all.sort_unstable();
        all.chunk_by(|a, b| a == b).map(|run| (run[0], to_u32(run.len()))).collect()
    }

    /// A term by its number.
    #[must_use]
    pub fn term(&self, number: u32) -> &str {
        self.dictionary.term(number)
    }

    /// Words of a row, stop words left out.
    #[must_use]
    pub fn length(&self, row: usize) -> u32 {
        self.lengths[row]
    }

    fn forget_unused(&mut self) {
        let is_used: Vec<_> = self.postings.iter().map(|list| !list.is_empty()).collect();
        if is_used.iter().all(|is_used| *is_used) {
            return;
        }
        self.dictionary.retain(&is_used);
        self.postings.retain(|list| !list.is_empty());
        self.unused = 0;
    }

    /// Notes the words of a text for a row and returns their number.
    fn add(&mut self, row: u32, document: Document<'_>) -> u32 {
        let mut length = 0_u32;
        words(&body(document.content, document.provider), |word| {
            let term = self.dictionary.learn(word);
            if term == NONE {
                return;
            }
            length = length.saturating_add(1);
            let Some(found) = self.postings.get_mut(term as usize) else {
                self.postings.push(vec![Posting { row, count: 1 }]);
                return;
            };
            self.unused -= usize::from(found.is_empty());
            match found.last_mut() {
                Some(last) if last.row == row => last.count += 1,
                Some(last) if last.row > row => match found.binary_search_by_key(&row, |p| p.row) {
                    Ok(at) => found[at].count += 1,
                    Err(at) => found.insert(at, Posting { row, count: 1 }),
                },
                _ => found.push(Posting { row, count: 1 }),
            }
        });
        length
    }

    /// Takes one of a word from a row.
    fn subtract(&mut self, row: u32, word: &str) {
        let Some(term) = self.dictionary.look_up(word) else { return };
        let list = &mut self.postings[term as usize];
        let Ok(at) = list.binary_search_by_key(&row, |p| p.row) else { return };
        list[at].count -= 1;
        if list[at].count == 0 {
            list.remove(at);
        }
        self.unused += usize::from(list.is_empty());
    }
}

impl Measure {
    /// The measure of that name in the Python API.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "bm25" => Some(Self::Bm25),
            "tfidf" => Some(Self::Tfidf),
            _ => None,
        }
    }
}

impl<'a> Document<'a> {
    /// Where identifiers are sought besides the calls.
    fn prose(&self) -> &'a str {
        if self.kind.is_turn() { self.content } else { "" }
    }

    fn arguments(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let calls = self.provider.map_or(&[][..], |provider| &provider.calls);
        calls.iter().map(|call| call.arguments.as_str())
    }
}
