//! What a selection dropped, taken out of a set.

use std::collections::HashMap;
use std::sync::Arc;

use pycontext_core::dedup::redundant;
use pycontext_core::draft::Draft;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::columns::Columns;
use crate::rows::Rows;
use crate::selection::Selection;
use crate::state::State;
use crate::table::{Table, copied, fields, pause, release};
use crate::text::Text;

/// Rows that fell, as they were; nothing is copied before somebody asks.
#[derive(Debug)]
#[pyclass(frozen, module = "pycontext._core")]
pub struct Fallen {
    /// The set before they fell.
    table: Arc<Table>,
    /// Ascending.
    rows: Vec<usize>,
}

impl Drop for Fallen {
    fn drop(&mut self) {
        release(std::mem::take(&mut self.table));
    }
}

#[pymethods]
impl Fallen {
    fn __len__(&self) -> usize {
        self.rows.len()
    }

    /// Ids in order.
    fn ids(&self) -> Vec<&Text> {
        self.rows.iter().map(|row| &self.table.ids()[*row]).collect()
    }

    /// The fields of a block in the order of `ContextBlock`, the type by its number.
    fn get<'py>(&self, py: Python<'py>, at: usize) -> PyResult<Bound<'py, PyTuple>> {
        let row = self.rows.get(at);
        let row = row.ok_or_else(|| PyIndexError::new_err(format!("no row {at}")))?;
        fields(&self.table, py, *row)
    }

    /// The last blocks, as many as those limits allow, and whether that is all.
    fn newest(&self, most_blocks: usize, most_bytes: usize) -> (Rows, bool) {
        let mut bytes = 0;
        let fits = |row: &&usize| {
            bytes += size(&self.table, **row);
            bytes <= most_bytes
        };
        let count = self.rows.iter().rev().take(most_blocks).take_while(fits).count();
        let newest = &self.rows[self.rows.len() - count..];
        let mut rows = Draft::with_capacity(count);
        for row in newest {
            rows.push(copied(&self.table, *row), true);
        }
        (Rows::of(rows), count == self.rows.len())
    }
}

/// Bytes of the texts of every block in UTF-8: contents, metadata, ids and references.
#[pyfunction]
pub fn sizes(py: Python<'_>, columns: &Columns) -> Vec<usize> {
    let table = columns.table(py);
    (0..table.len()).map(|row| size(&table, row)).collect()
}

fn size(table: &Table, row: usize) -> usize {
    let lists = table.metadata(row).iter().chain(table.references(row)).map(str::len);
    table.ids()[row].len() + table.contents()[row].len() + lists.sum::<usize>()
}

/// What fell, the ids of duplicates among it with those of the copies that take their place, and where the rows that
/// the caller holds are then.
type Cut = (Fallen, HashMap<String, Text>, Vec<Option<usize>>);

/// Drop what a selection dropped and is there still; references to duplicates name their copies then.
#[pyfunction]
pub fn cut(
    py: Python<'_>,
    columns: &Columns,
    selection: &Selection,
    held: Vec<usize>,
) -> PyResult<Cut> {
    let mut state = columns.open(py)?;
    let table = Arc::clone(&state.table);
    let (rows, copies) = py.detach(|| selection.fallen(&table));
    let copies = selection.named(copies);
    Ok(remove(py, &mut state, table, rows, copies, held))
}

/// Drop exact duplicates; references to them name their copies then.
#[pyfunction]
pub fn cut_duplicates(py: Python<'_>, columns: &Columns, held: Vec<usize>) -> PyResult<Cut> {
    let mut state = columns.open(py)?;
    let table = Arc::clone(&state.table);
    let pairs = py.detach(|| redundant(&table));
    let ids = table.ids();
    let copies =
        pairs.iter().map(|(row, copy)| (ids[*row].to_string(), ids[*copy].clone())).collect();
    let mut rows: Vec<_> = pairs.into_iter().map(|(row, _)| row).collect();
    rows.sort_unstable();
    Ok(remove(py, &mut state, table, rows, copies, held))
}

/// Drops rows, which ascend, of `table`, which is that of `state`.
fn remove(
    py: Python<'_>,
    state: &mut State,
    table: Arc<Table>,
    rows: Vec<usize>,
    copies: HashMap<String, Text>,
    held: Vec<usize>,
) -> Cut {
    let mut keep = vec![true; table.len()];
    for row in &rows {
        keep[*row] = false;
    }
    let place = |row: usize| {
        let stays = keep.get(row).is_some_and(|kept| *kept);
        stays.then(|| row - rows.partition_point(|gone| *gone < row))
    };
    let held = held.into_iter().map(place).collect();
    if !rows.is_empty() {
        // Others get the interpreter for a moment, and whoever wants this very set waits for its lock without it.
        let texts = table.texts_of(&keep, || pause(py));
        py.detach(|| state.replace(table.part(&keep, texts), &keep));
    }
    if !copies.is_empty() {
        let table = &state.table;
        let rows = py.detach(|| table.referring(|id| copies.contains_key(id)));
        if !rows.is_empty() {
            state.change().rename_references(&rows, |id| copies.get(id).cloned());
        }
    }
    (Fallen { table, rows }, copies, held)
}
