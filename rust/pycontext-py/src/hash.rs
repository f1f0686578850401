//! Content hashes.

use pycontext_core::hash::{self, Hash};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::columns::Columns;
use crate::table::Table;

/// The hash of every block, in order.
#[pyfunction]
pub fn block_hashes<'py>(py: Python<'py>, columns: &Columns) -> Vec<Bound<'py, PyBytes>> {
    each(py, columns, hash::row)
}

/// The same with all that travels with a block.
#[pyfunction]
pub fn exact_hashes<'py>(py: Python<'py>, columns: &Columns) -> Vec<Bound<'py, PyBytes>> {
    each(py, columns, hash::exact)
}

fn each<'py>(
    py: Python<'py>,
    columns: &Columns,
    hash: fn(&Table, usize) -> Hash,
) -> Vec<Bound<'py, PyBytes>> {
    let table = columns.table(py);
    let hashes: Vec<Hash> = py.detach(|| (0..table.len()).map(|row| hash(&table, row)).collect());
    hashes.iter().map(|hash| PyBytes::new(py, hash)).collect()
}

/// The hash of all blocks in their order.
#[pyfunction]
pub fn content_hash<'py>(py: Python<'py>, columns: &Columns) -> Bound<'py, PyBytes> {
    let table = columns.table(py);
    PyBytes::new(py, &py.detach(|| hash::content(&table)))
}
