//! What the lock of a set guards.

use std::sync::Arc;

use pycontext_core::error::Fault;
use pycontext_core::index::{Document, Index};
use pycontext_core::render::body;
use pycontext_core::row::Row;

use crate::table::Table;
use crate::text::Text;

/// The blocks of a set and the index of their words.
#[derive(Debug, Default)]
pub struct State {
    /// Shared with selections; copied on the first write while one is alive.
    pub table: Arc<Table>,
    /// Of the first rows: it comes up to the last one when a query is asked, and never leaves a row behind. So sets
    /// that are never asked pay nothing, and a set that is pays for each block once. Shared with kernels that run and
    /// with snapshots.
    index: Arc<Index>,
    /// Says who owns the session now: then nothing changes here any more.
    pub fence: Option<String>,
}

impl State {
    /// The state of a set that begins with these blocks.
    pub fn of(table: Arc<Table>) -> Self {
        Self { table, ..Self::default() }
    }

    /// The same blocks and the same index, for another set.
    pub fn shared(&self) -> Self {
        let (table, index) = (Arc::clone(&self.table), Arc::clone(&self.index));
        Self { table, index, fence: None }
    }

    /// The table, to append to it or to change what no word depends on.
    pub fn change(&mut self) -> &mut Table {
        Arc::make_mut(&mut self.table)
    }

    /// Puts a block in the place of another, or changes nothing.
    pub fn set(&mut self, at: usize, row: Row<Text>) -> Result<(), Fault> {
        let indexed = (at < self.index.len()).then(|| (self.text(at), self.table.kinds()[at]));
        self.change().set(at, row)?;
        if let Some((text, kind)) = indexed
            && (kind, &text) != (self.table.kinds()[at], &self.text(at))
        {
            let index = Arc::make_mut(&mut self.index);
            index.replace(at, &text, document(&self.table, at));
        }
        Ok(())
    }

    /// Drops the rows whose flag is false.
    pub fn retain(&mut self, keep: &[bool]) {
        let indexed = self.index.len();
        self.retain_index(&keep[..indexed]);
        self.change().retain(keep);
    }

    /// Has the rows whose flag is true, made beside the others, in the place of all.
    pub fn replace(&mut self, kept: Table, keep: &[bool]) {
        let indexed = self.index.len();
        self.retain_index(&keep[..indexed]);
        self.table = Arc::new(kept);
    }

    fn retain_index(&mut self, keep: &[bool]) {
        if !keep.is_empty() {
            Arc::make_mut(&mut self.index).retain(keep);
        }
    }

    /// Bytes of the index.
    pub fn index_bytes(&self) -> usize {
        self.index.memory_bytes()
    }

    /// Gives back the room that is kept for blocks to come, where nobody else looks at the table.
    pub fn shrink(&mut self) {
        if let Some(index) = Arc::get_mut(&mut self.index) {
            index.shrink_to_fit();
        }
        if let Some(table) = Arc::get_mut(&mut self.table) {
            table.shrink_to_fit();
        }
    }

    /// The index, come up to the last row.
    pub fn index(&mut self) -> Arc<Index> {
        let rows = self.index.len()..self.table.len();
        if !rows.is_empty() {
            let index = Arc::make_mut(&mut self.index);
            rows.for_each(|row| index.push(document(&self.table, row)));
        }
        Arc::clone(&self.index)
    }

    /// What a row says.
    fn text(&self, row: usize) -> String {
        let columns = &self.table;
        body(&columns.contents()[row], columns.provider(row)).into_owned()
    }
}

/// A row as the index reads it.
fn document(table: &Table, row: usize) -> Document<'_> {
    Document {
        content: &table.contents()[row],
        kind: table.kinds()[row],
        provider: table.provider(row),
    }
}
