//! Content hashes.

use pycontext_core::hash;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::columns::Columns;

/// The hash of every block, in order.
#[pyfunction]
pub fn block_hashes<'py>(py: Python<'py>, columns: &Columns) -> Vec<Bound<'py, PyBytes>> {
    let table = columns.table(py);
    let hashes: Vec<_> = py.detach(|| (0..table.len()).map(|row| hash::row(&table, row)).collect());
    hashes.iter().map(|hash| PyBytes::new(py, hash)).collect()
}

/// The hash of all blocks in their order.
#[pyfunction]
pub fn content_hash<'py>(py: Python<'py>, columns: &Columns) -> Bound<'py, PyBytes> {
    let table = columns.table(py);
    PyBytes::new(py, &py.detach(|| hash::content(&table)))
}
