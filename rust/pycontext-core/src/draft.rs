//! Blocks that were read and are no set yet.

use crate::columns::Columns;
use crate::error::Fault;
use crate::row::Row;

/// Blocks whose ids nobody has compared, and whose tokens nobody has believed.
#[derive(Debug)]
pub struct Draft<T> {
    columns: Columns<T>,
    /// Rows whose sender did not count.
    uncounted: Vec<usize>,
}

impl<T> Default for Draft<T> {
    fn default() -> Self {
        Self { columns: Columns::default(), uncounted: Vec::new() }
    }
}

impl<T: AsRef<str>> Draft<T> {
    /// A draft of so many blocks.
    #[must_use]
    pub fn with_capacity(rows: usize) -> Self {
        let mut columns = Columns::default();
        columns.reserve(rows);
        Self { columns, uncounted: Vec::new() }
    }

    /// Number of blocks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there is no block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Appends a block, whose texts need not be readable yet.
    #[inline]
    pub fn push(&mut self, row: Row<T>, is_counted: bool) {
        if !is_counted {
            self.uncounted.push(self.columns.len());
        }
        self.columns.append(row);
    }

    /// Believes no count.
    pub fn distrust(&mut self) {
        self.uncounted = (0..self.columns.len()).collect();
    }

    /// Contents whose tokens are still to be counted.
    pub fn uncounted(&self) -> impl Iterator<Item = &str> {
        self.uncounted.iter().map(|row| self.columns.contents()[*row].as_ref())
    }

    /// Counts what is still to be counted; whether `count` knew every text.
    pub fn count(&mut self, mut count: impl FnMut(&str) -> Option<u32>) -> bool {
        self.uncounted.drain(..).all(|row| {
            let tokens = count(self.columns.contents()[row].as_ref());
            self.columns.set_tokens(row, tokens.unwrap_or_default());
            tokens.is_some()
        })
    }

    /// The blocks as a set.
    ///
    /// # Errors
    /// The first block whose id is taken, and what is wrong.
    pub fn finish(mut self) -> Result<Columns<T>, (usize, Fault)> {
        self.columns.enter_all()?;
        Ok(self.columns)
    }
}
