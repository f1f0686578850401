//! The result of the kernel, with the blocks as they were.

use std::collections::HashMap;
use std::sync::Arc;

use numpy::PyArray1;
use pycontext_core::render::{SEPARATOR, body, escape, header};
use pycontext_core::selection::Selection as Chosen;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyTuple;

use crate::error::refuse;
use crate::field::backed;
use crate::table::Table;

/// What stays and why; later changes of the set do not reach it.
#[derive(Debug)]
#[pyclass(frozen, module = "pycontext._core")]
pub struct Selection {
    table: Arc<Table>,
    chosen: Chosen,
}

impl Selection {
    /// A selection over the table it was made from.
    pub fn new(table: Arc<Table>, chosen: Chosen) -> Self {
        Self { table, chosen }
    }
}

#[pymethods]
impl Selection {
    /// Rows that stay, in order.
    fn rows(&self) -> Vec<u32> {
        self.chosen.kept.clone()
    }

    /// Rows that stay, in order, as an array.
    fn indices<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        PyArray1::from_iter(py, self.chosen.kept.iter().map(|row| i64::from(*row)))
    }

    /// Ids of all blocks, in order.
    fn ids(&self) -> Vec<PyBackedStr> {
        self.table.columns.ids().to_vec()
    }

    /// Tokens of what stays, as rendered.
    #[getter]
    fn tokens(&self) -> u64 {
        self.chosen.tokens
    }

    /// Tokens that there were.
    #[getter]
    fn available(&self) -> u64 {
        self.chosen.available
    }

    /// Whether nothing was estimated.
    #[getter]
    fn exact(&self) -> bool {
        self.chosen.is_exact
    }

    /// Reason and detail of every block, in order.
    fn reasons(&self) -> Vec<(&'static str, String)> {
        let detail = |row| self.chosen.detail(&self.table.columns, row);
        let reasons = self.chosen.reasons.iter().enumerate();
        reasons.map(|(row, reason)| (reason.code(), detail(row))).collect()
    }

    /// Tokens of every block as rendered, in order.
    fn costs(&self) -> Vec<u32> {
        self.chosen.costs.clone()
    }

    /// Ids of duplicates that fell while the copy stays, and the id of that copy.
    fn copies(&self) -> HashMap<PyBackedStr, PyBackedStr> {
        let ids = self.table.columns.ids();
        let named = |(row, copy): (usize, usize)| (ids[row].clone(), ids[copy].clone());
        self.chosen.copies().map(named).collect()
    }

    /// One sentence about the block of that id.
    fn explain(&self, id: &Bound<'_, PyAny>) -> PyResult<String> {
        let sentence =
            backed(id, "id").and_then(|id| self.chosen.explain(&self.table.columns, &id));
        sentence.map_err(|fault| refuse(id.py(), fault))
    }

    /// The fields of a block in the order of `ContextBlock`, the type by its number.
    fn get<'py>(&self, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyTuple>> {
        if row < self.table.columns.len() {
            self.table.fields(py, row)
        } else {
            Err(PyIndexError::new_err(format!("no row {row}")))
        }
    }

    /// What stays in the text form.
    fn text(&self) -> String {
        let columns = &self.table.columns;
        let mut out = String::new();
        for row in self.chosen.kept.iter().map(|row| *row as usize) {
            if !out.is_empty() {
                out.push_str(SEPARATOR);
            }
            out.push_str(header(columns.kinds()[row]));
            out.push_str(&escape(&body(&columns.contents()[row], columns.provider(row))));
        }
        out
    }
}
