//! What the lock of a set guards.

use std::sync::Arc;

use pycontext_core::error::Fault;
use pycontext_core::lexical::Index;
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
    /// that are never asked pay nothing, and a set that is pays for each block once.
    index: Index,
    /// Says who owns the session now: then nothing changes here any more.
    pub fence: Option<String>,
}

impl State {
    /// The state of a set that begins with these blocks.
    pub fn of(table: Arc<Table>) -> Self {
        Self { table, ..Self::default() }
    }

    /// The table, to append to it or to change what no word depends on.
    pub fn change(&mut self) -> &mut Table {
        Arc::make_mut(&mut self.table)
    }

    /// Puts a block in the place of another, or changes nothing.
    pub fn set(&mut self, at: usize, row: Row<Text>) -> Result<(), Fault> {
        let indexed = (at < self.index.len()).then(|| self.text(at));
        self.change().set(at, row)?;
        if let Some(old) = indexed {
            let new = self.text(at);
            if old != new {
                self.index.replace(at, &old, &new);
            }
        }
        Ok(())
    }

    /// Drops the rows whose flag is false.
    pub fn retain(&mut self, keep: &[bool]) {
        let indexed = self.index.len();
        self.index.retain(&keep[..indexed]);
        self.change().retain(keep);
    }

    /// Has the rows whose flag is true, made beside the others, in the place of all.
    pub fn replace(&mut self, kept: Table, keep: &[bool]) {
        let indexed = self.index.len();
        self.index.retain(&keep[..indexed]);
        self.table = Arc::new(kept);
    }

    /// Bytes of the index.
    pub fn index_bytes(&self) -> usize {
        self.index.memory_bytes()
    }

    /// Gives back the room that is kept for blocks to come, where nobody else looks at the table.
    pub fn shrink(&mut self) {
        self.index.shrink_to_fit();
        if let Some(table) = Arc::get_mut(&mut self.table) {
            table.shrink_to_fit();
        }
    }

    /// How well each row matches a query.
    pub fn matches(&mut self, query: &str) -> Vec<f64> {
        let columns = &self.table;
        for row in self.index.len()..columns.len() {
            self.index.push(&body(&columns.contents()[row], columns.provider(row)));
        }
        self.index.relevance(query)
    }

    /// What a row says.
    fn text(&self, row: usize) -> String {
        let columns = &self.table;
        body(&columns.contents()[row], columns.provider(row)).into_owned()
    }
}
