//! What a set takes in memory.

use pycontext_core::stored::Stored;
use pyo3::intern;
use pyo3::prelude::*;

use crate::columns::Columns;
use crate::table::pause;
use crate::text::Text;

/// Bytes of all that a set holds: its columns, the index of its words, and its texts, each once.
#[pyfunction]
pub fn memory_bytes(py: Python<'_>, columns: &Columns) -> usize {
    let table = columns.table(py);
    let index = columns.lock(py).index_bytes();
    index + table.memory_bytes(|| pause(py))
}

impl Stored for Text {
    fn address(&self) -> usize {
        match self {
            Self::Python(text) => text.as_py_str().as_ptr().addr(),
            Self::Decoded(text) => text.address(),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            // What Python itself says: a str that is not ASCII has its text twice.
            Self::Python(text) => Python::attach(|py| {
                let size = text.as_py_str().call_method0(py, intern!(py, "__sizeof__"));
                size.and_then(|size| size.extract(py)).unwrap_or(text.len())
            }),
            Self::Decoded(text) => text.bytes(),
        }
    }
}
