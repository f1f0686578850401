//! Shorter forms of what tools returned.

use pycontext_core::shorten;
use pyo3::prelude::*;

/// The same JSON without blanks; None where the text is no JSON object or list.
#[pyfunction]
pub fn repack(py: Python<'_>, text: &str) -> Option<String> {
    py.detach(|| shorten::repack(text))
}

/// A stub of JSON, marked with an id; None where the text is no JSON object or list, or a stub.
#[pyfunction]
pub fn stub(py: Python<'_>, text: &str, id: &str) -> Option<String> {
    py.detach(|| shorten::stub(text, id))
}
