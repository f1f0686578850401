//! What the lock of a set guards.

use std::sync::Arc;

use pycontext_core::error::Fault;
use pycontext_core::index::{Document, Index};
use pycontext_core::near::Near;
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
    /// What the first rows have in common with others, likewise.
    near: Arc<Near>,
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
        Self {
            table: Arc::clone(&self.table),
            index: Arc::clone(&self.index),
            near: Arc::clone(&self.near),
            fence: None,
        }
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
        if at < self.near.len() {
            let (kind, text) = (self.table.kinds()[at], &self.table.contents()[at]);
            Arc::make_mut(&mut self.near).replace(at, kind, text);
        }
        Ok(())
    }

    /// Drops the rows whose flag is false.
    pub fn retain(&mut self, keep: &[bool]) {
        self.retain_read(keep);
        self.change().retain(keep);
    }

    /// Has the rows whose flag is true, made beside the others, in the place of all.
    pub fn replace(&mut self, kept: Table, keep: &[bool]) {
        self.retain_read(keep);
        self.table = Arc::new(kept);
    }

    fn retain_read(&mut self, keep: &[bool]) {
        if !self.index.is_empty() {
            let read = self.index.len();
            Arc::make_mut(&mut self.index).retain(&keep[..read]);
        }
        if !self.near.is_empty() {
            let read = self.near.len();
            Arc::make_mut(&mut self.near).retain(&keep[..read]);
        }
    }

    /// Bytes of what was read of the rows.
    pub fn index_bytes(&self) -> usize {
        self.index.memory_bytes() + self.near.memory_bytes()
    }

    /// Gives back the room that is kept for blocks to come, where nobody else looks at the table.
    pub fn shrink(&mut self) {
        if let Some(index) = Arc::get_mut(&mut self.index) {
            index.shrink_to_fit();
        }
        if let Some(near) = Arc::get_mut(&mut self.near) {
            near.shrink_to_fit();
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

    /// What the facts say, come up to the last row.
    pub fn near(&mut self) -> Arc<Near> {
        let rows = self.near.len()..self.table.len();
        if !rows.is_empty() {
            let near = Arc::make_mut(&mut self.near);
            rows.for_each(|row| near.push(self.table.kinds()[row], &self.table.contents()[row]));
        }
        Arc::clone(&self.near)
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
