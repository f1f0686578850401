//! Metadata: a map from text to text.

use std::collections::HashSet;

use crate::error::Fault;
use crate::limits::{Limits, is_provider};
use crate::row::UNIT;
use crate::wire::proto::{Read, Reader};

/// Keys from which a set finds those that come twice sooner than a look at all.
const MANY_KEYS: usize = 16;

/// How many keys are remembered.
const MOST_KNOWN: usize = 16;

/// The entries of a block; used for one block after the other.
#[derive(Debug, Default)]
pub struct Metadata<'a> {
    entries: Vec<Entry<'a>>,
    /// Good keys of blocks before: the same few come in all of them, and these are not looked at twice.
    known: Vec<&'a str>,
}

#[derive(Debug, Default)]
struct Entry<'a> {
    key: &'a str,
    value: &'a str,
    is_known: bool,
}

impl<'a> Metadata<'a> {
    /// Forgets the entries.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values in turn.
    pub fn texts(&self) -> impl Iterator<Item = &'a str> {
        self.entries.iter().flat_map(|entry| [entry.key, entry.value])
    }

    /// The unit that the block says it belongs to.
    pub fn unit(&self) -> Option<&'a str> {
        self.entries.iter().find(|entry| entry.key == UNIT).map(|entry| entry.value)
    }

    /// Whether a key holds a provider's own field.
    pub fn has_provider(&self) -> bool {
        self.entries.iter().any(|entry| is_provider(entry.key))
    }

    /// Reads an entry.
    pub fn take(&mut self, mut reader: Reader<'a>) -> Read<()> {
        let mut entry = Entry::default();
        while let Some(tag) = reader.tag()? {
            match tag.number() {
                1 => {
                    (entry.key, entry.is_known) =
                        reader.text_among(tag, "metadata key", &self.known)?;
                }
                2 => entry.value = reader.text(tag, "metadata")?,
                _ => drop(reader.skip(tag)?),
            }
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Drops entries whose key comes again: the last one counts.
    pub fn keep_last(&mut self) {
        let entries = &mut self.entries;
        let is_repeated = if entries.len() < MANY_KEYS {
            let is_before = |at: usize| entries[..at].iter().any(|e| e.key == entries[at].key);
            (1..entries.len()).any(is_before)
        } else {
            let mut seen = HashSet::with_capacity(entries.len());
            entries.iter().any(|entry| !seen.insert(entry.key))
        };
        if is_repeated {
            let mut seen = HashSet::with_capacity(entries.len());
            entries.reverse();
            entries.retain(|entry| seen.insert(entry.key));
            entries.reverse();
        }
    }

    /// Checks the entries, and with them the size of the block.
    pub fn check(&mut self, content: &str, limits: &Limits) -> Result<(), Fault> {
        for entry in self.entries.iter().filter(|entry| !entry.is_known) {
            limits.key(entry.key)?;
            if self.known.len() < MOST_KNOWN {
                self.known.push(entry.key);
            }
        }
        limits.totals(content, self.entries.iter().map(|entry| (entry.key, entry.value)))
    }
}
