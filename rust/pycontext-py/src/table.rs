//! Columns of the core with what only Python reads.

use pycontext_core::columns::{Columns, Row};
use pycontext_core::error::Fault;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::block::Fields;

/// The blocks of a set.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// What the kernel reads.
    pub columns: Columns<PyBackedStr>,
    /// Our own copies of the metadata, never changed in place: a clone of the table may share them.
    pub metadata: Vec<Metadata>,
}

/// The metadata of a row, `None` when empty.
pub type Metadata = Option<Py<PyDict>>;

impl Table {
    /// Appends a row, or changes nothing.
    pub fn push(&mut self, row: Row<PyBackedStr>, metadata: Metadata) -> Result<(), Fault> {
        self.columns.push(row)?;
        self.metadata.push(metadata);
        Ok(())
    }

    /// Appends rows, all or none.
    pub fn extend(
        &mut self,
        rows: impl ExactSizeIterator<Item = (Row<PyBackedStr>, Metadata)>,
    ) -> Result<(), (usize, Fault)> {
        let before = self.metadata.len();
        self.metadata.reserve(rows.len());
        let metadata = &mut self.metadata;
        let added = self.columns.extend(rows.map(|(row, of_row)| {
            metadata.push(of_row);
            row
        }));
        if added.is_err() {
            self.metadata.truncate(before);
        }
        added
    }

    /// Puts a block in the place of another, or changes nothing.
    pub fn set(
        &mut self,
        at: usize,
        row: Row<PyBackedStr>,
        metadata: Metadata,
    ) -> Result<(), Fault> {
        self.columns.set(at, row)?;
        self.metadata[at] = metadata;
        Ok(())
    }

    /// Drops the rows whose flag is false.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut flags = keep.iter();
        self.metadata.retain(|_| flags.next() == Some(&true));
        self.columns.retain(keep);
    }

    /// The fields of a row in the order of `ContextBlock`, the type by its number, nothing shared.
    pub fn fields<'py>(&self, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyTuple>> {
        let columns = &self.columns;
        let metadata = match &self.metadata[row] {
            Some(dict) => dict.bind(py).copy()?,
            None => PyDict::new(py),
        };
        let references = columns.references(row).iter().map(PyBackedStr::as_py_str);
        (
            columns.ids()[row].as_py_str(),
            columns.contents()[row].as_py_str(),
            columns.scores()[row],
            columns.kinds()[row] as u8,
            metadata,
            columns.timestamps()[row],
            columns.tokens()[row],
            PyList::new(py, references)?,
        )
            .into_pyobject(py)
    }

    /// Whether the row holds just these fields; its tokens are not compared.
    pub fn is_same(&self, py: Python<'_>, row: usize, fields: &Fields) -> PyResult<bool> {
        let columns = &self.columns;
        let references = fields.rare.as_ref().map_or(&[][..], |r| &r.references);
        let is_same = *columns.ids()[row] == *fields.id
            && *columns.contents()[row] == *fields.content
            && columns.scores()[row].to_bits() == fields.score.to_bits()
            && columns.kinds()[row] == fields.kind
            && columns.timestamps()[row] == fields.timestamp
            && columns.references(row).iter().eq(references);
        match (&self.metadata[row], &fields.metadata) {
            _ if !is_same => Ok(false),
            (None, None) => Ok(true),
            (Some(old), Some(new)) => old.bind(py).eq(new.bind(py)),
            _ => Ok(false),
        }
    }
}
