//! Which rows mention which identifiers.

use crate::stored::places;

use super::identifiers::{Shape, identifiers};
use super::names::Names;

/// The identifiers of a set of texts by number, and where they are.
#[derive(Debug, Clone, Default)]
pub struct Mentions {
    names: Names,
    shapes: Vec<Shape>,
    /// By row, ascending, each once.
    rows: Vec<Box<[Mention]>>,
    /// Identifiers when it was last seen to that all are used.
    used: usize,
}

/// An identifier in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// Its number.
    pub identifier: u32,
    /// Whether a call has it as an argument.
    pub is_in_call: bool,
}

impl Mentions {
    /// Number of identifiers.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }

    /// What an identifier is.
    pub(crate) fn shape(&self, identifier: u32) -> Shape {
        self.shapes[identifier as usize]
    }

    /// The identifiers that a row mentions.
    pub(crate) fn of(&self, row: usize) -> &[Mention] {
        &self.rows[row]
    }

    /// Appends a row.
    pub(crate) fn push<'a>(&mut self, content: &str, calls: impl Iterator<Item = &'a str>) {
        let found = self.read(content, calls);
        self.rows.push(found);
    }

    /// Changes a row.
    pub(crate) fn replace<'a>(
        &mut self,
        row: usize,
        content: &str,
        calls: impl Iterator<Item = &'a str>,
    ) {
        self.rows[row] = self.read(content, calls);
        if self.count() > FEW.max(2 * self.used) {
            self.forget_unused();
        }
    }

    fn read<'a>(&mut self, content: &str, calls: impl Iterator<Item = &'a str>) -> Box<[Mention]> {
        let mut found = Vec::new();
        let mut note = |text: &str, is_in_call| {
            identifiers(text, |name, shape| {
                let identifier = self.number(name, shape);
                found.push(Mention { identifier, is_in_call });
            });
        };
        note(content, false);
        calls.for_each(|call| note(call, true));
        found.sort_unstable();
        // Of two mentions the one in a call is the later.
        found.dedup_by(|later, kept| {
            let is_same = later.identifier == kept.identifier;
            kept.is_in_call |= is_same && later.is_in_call;
            is_same
        });
        found.into()
    }

    fn number(&mut self, name: &str, shape: Shape) -> u32 {
        let mut lower = [0; LONGEST_ON_STACK];
        let number = match lower.get_mut(..name.len()) {
            Some(lower) => {
                lower.copy_from_slice(name.as_bytes());
                lower.make_ascii_lowercase();
                // Identifiers are ASCII.
                self.names.number(std::str::from_utf8(lower).unwrap_or(name))
            }
            None => self.names.number(&name.to_ascii_lowercase()),
        };
        if number as usize == self.shapes.len() {
            self.shapes.push(shape);
        }
        number
    }

    /// Drops the rows whose flag is false, and identifiers that nobody mentions then.
    pub(crate) fn retain(&mut self, keep: &[bool]) {
        let mut flags = keep.iter();
        self.rows.retain(|_| flags.next().copied().unwrap_or(true));
        self.forget_unused();
    }

    fn forget_unused(&mut self) {
        let mut is_used = vec![false; self.names.len()];
        for mention in self.rows.iter().flatten() {
            is_used[mention.identifier as usize] = true;
        }
        self.used = is_used.iter().filter(|is_used| **is_used).count();
        if self.used == is_used.len() {
            return;
        }
        let moved = self.names.retain(&is_used);
        for mention in self.rows.iter_mut().flatten() {
            mention.identifier = moved[mention.identifier as usize];
        }
        let mut flags = is_used.iter();
        self.shapes.retain(|_| flags.next().copied().unwrap_or(true));
    }

    /// Bytes of the identifiers and of where they are.
    pub(crate) fn memory_bytes(&self) -> usize {
        let rows = self.rows.iter().map(|row| size_of_val(&**row)).sum::<usize>();
        self.names.memory_bytes() + places(&self.shapes) + places(&self.rows) + rows
    }

    /// Gives back the room that is kept for rows to come.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.names.shrink_to_fit();
        self.shapes.shrink_to_fit();
        self.rows.shrink_to_fit();
    }
}

/// Identifiers that are not worth a look at all rows.
const FEW: usize = 1_024;

/// Identifiers up to so many bytes are made lower case without an allocation.
const LONGEST_ON_STACK: usize = 64;
