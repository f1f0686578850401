//! The terms of an index by number, and the words that they came from.
//!
//! A word is looked up as it is written, so that stemming, lower-casing and normalising are done once for each
//! spelling: what comes after is one hash a word.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::words::term;

use super::names::{NONE, Names, to_u32};

/// Terms with their numbers.
#[derive(Debug, Clone, Default)]
pub struct Dictionary {
    terms: Names,
    hasher: DefaultHashBuilder,
    spellings: HashTable<Spelling>,
    /// The spellings, one behind the other.
    text: String,
}

/// A word as it is written.
#[derive(Debug, Clone)]
struct Spelling {
    /// Where it begins in the text.
    start: usize,
    len: u32,
    term: u32,
}

impl Dictionary {
    /// Number of terms.
    pub fn len(&self) -> usize {
        self.terms.len()
    }

    /// A term by its number.
    pub fn term(&self, number: u32) -> &str {
        self.terms.name(number)
    }

    /// The number of a term.
    pub fn find(&self, term: &str) -> Option<u32> {
        self.terms.find(term)
    }

    /// The number of the term of a word that was learned.
    pub fn look_up(&self, word: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(word);
        let found = self.spellings.find(hash, |spelling| spelling.of(&self.text) == word);
        found.map(|spelling| spelling.term).filter(|term| *term != NONE)
    }

    /// The number of the term of a word, which is noted if it is new; `NONE` where it has none.
    pub fn learn(&mut self, word: &str) -> u32 {
        let hash = self.hasher.hash_one(word);
        if let Some(found) = self.spellings.find(hash, |spelling| spelling.of(&self.text) == word) {
            return found.term;
        }
        let term = term(word).map_or(NONE, |name| self.terms.number(&name));
        self.enter(hash, word, term);
        term
    }

    fn enter(&mut self, hash: u64, word: &str, term: u32) {
        let spelling = Spelling { start: self.text.len(), len: to_u32(word.len()), term };
        self.text.push_str(word);
        let (hasher, text) = (&self.hasher, &self.text);
        self.spellings.insert_unique(hash, spelling, |other| hasher.hash_one(other.of(text)));
    }

    /// Forgets the terms that are not used, with their words, and returns the new numbers of the others.
    pub fn retain(&mut self, is_used: &[bool]) -> Vec<u32> {
        let moved = self.terms.retain(is_used);
        let text = std::mem::take(&mut self.text);
        for spelling in std::mem::take(&mut self.spellings) {
            let term = moved.get(spelling.term as usize).copied().filter(|term| *term != NONE);
            if let Some(term) = term {
                let word = spelling.of(&text);
                self.enter(self.hasher.hash_one(word), word, term);
            }
        }
        moved
    }

    /// Bytes of the terms and the words.
    pub fn memory_bytes(&self) -> usize {
        self.terms.memory_bytes() + self.spellings.allocation_size() + self.text.capacity()
    }

    /// Gives back the room that is kept for words to come.
    pub fn shrink_to_fit(&mut self) {
        let (hasher, text) = (&self.hasher, &self.text);
        self.spellings.shrink_to_fit(|spelling| hasher.hash_one(spelling.of(text)));
        self.text.shrink_to_fit();
        self.terms.shrink_to_fit();
    }
}

impl Spelling {
    fn of<'a>(&self, text: &'a str) -> &'a str {
        &text[self.start..self.start + self.len as usize]
    }
}
