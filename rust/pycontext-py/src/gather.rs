//! Rows of several sets on their way into a new one.

use pycontext_core::draft::Draft;
use pycontext_core::error::Fault;
use pyo3::prelude::*;

use crate::columns::Columns;
use crate::error::refuse;
use crate::rows::Rows;
use crate::table::copied;
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
    let mut rows = Draft::with_capacity(runs.iter().map(|(_, _, count)| count).sum());
    for (set, start, count) in runs {
        let table = tables.get(set).filter(|table| start.saturating_add(count) <= table.len());
        let Some(table) = table else {
            let rule = format!("has no rows {start} to {}", start.saturating_add(count));
            return Err(refuse(py, Fault::new("set", &set.to_string(), rule)));
        };
        (start..start + count).for_each(|row| rows.push(copied(table, row), true));
    }
    Ok(Rows::of(rows))
}
