//! Rows as Python sees them.

use pycontext_core::columns::Columns;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::block::Fields;
use crate::text::Text;

/// The blocks of a set.
pub type Table = Columns<Text>;

/// The fields of a row in the order of `ContextBlock`, the type by its number, nothing shared.
pub fn fields<'py>(table: &Table, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyTuple>> {
    let metadata = PyDict::new(py);
    for (key, value) in table.metadata(row) {
        metadata.set_item(key, value)?;
    }
    (
        &table.ids()[row],
        &table.contents()[row],
        table.scores()[row],
        table.kinds()[row] as u8,
        metadata,
        table.timestamps()[row],
        table.tokens()[row],
        PyList::new(py, table.references(row))?,
        table.origin(row),
    )
        .into_pyobject(py)
}

/// Whether the row holds just these fields; its tokens are not compared.
pub fn is_same(table: &Table, row: usize, fields: &Fields) -> bool {
    let references = fields.rare.as_ref().map_or(&[][..], |rare| &rare.references);
    table.ids()[row] == fields.id
        && table.contents()[row] == fields.content
        && table.scores()[row].to_bits() == fields.score.to_bits()
        && table.kinds()[row] == fields.kind
        && table.timestamps()[row] == fields.timestamp
        && table.references(row) == references
        && table.metadata(row) == fields.metadata
        && table.origin(row) == fields.origin.as_ref()
}
