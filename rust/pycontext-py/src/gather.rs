//! Rows of several sets on their way into a new one.

use pycontext_core::columns::{Extra, Rare, Row};
use pycontext_core::error::Fault;
use pycontext_core::limits::is_provider;
use pyo3::prelude::*;

use crate::columns::Columns;
use crate::error::refuse;
use crate::rows::Rows;
use crate::table::Table;
use crate::text::Text;

/// Which set, its first row, how many.
type Run = (usize, usize, usize);

/// The ids of all blocks, in order.
#[pyfunction]
pub fn ids(py: Python<'_>, columns: &Columns) -> Vec<Text> {
    columns.table(py).ids().to_vec()
}

/// Copies of the rows of runs, with their tokens.
#[pyfunction]
pub fn gather(py: Python<'_>, sets: Vec<Py<Columns>>, runs: Vec<Run>) -> PyResult<Rows> {
    let tables: Vec<_> = sets.iter().map(|set| set.get().table(py)).collect();
    let mut rows = Vec::new();
    for (set, start, count) in runs {
        let table = tables.get(set).filter(|table| start.saturating_add(count) <= table.len());
        let Some(table) = table else {
            let rule = format!("has no rows {start} to {}", start.saturating_add(count));
            return Err(refuse(py, Fault::new("set", &set.to_string(), rule)));
        };
        let run = start..start + count;
        rows.extend(run.map(|row| (copied(table, row), Some(table.tokens()[row]))));
    }
    Ok(Rows::of(rows))
}

/// A row as it is; the provider's fields are read again by whoever asks.
fn copied(table: &Table, row: usize) -> Row<Text> {
    let has_provider = table.metadata(row).iter().any(|(key, _)| is_provider(key));
    Row {
        id: table.ids()[row].clone(),
        content: table.contents()[row].clone(),
        kind: table.kinds()[row],
        score: table.scores()[row],
        timestamp: table.timestamps()[row],
        tokens: table.tokens()[row],
        rare: Rare::unread(table.references(row).to_vec(), table.unit(row).cloned(), has_provider),
        extra: table.extra(row).map(|extra| Box::new(Extra::clone(extra))),
    }
}
