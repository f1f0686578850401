//! The text form of blocks.

use pycontext_core::kind::Kind;
use pycontext_core::render::{self, Label};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;

/// Content as it may stand under a header: no line of it can be taken for one.
#[pyfunction]
pub fn escape(content: &str) -> String {
    render::escape(content).into_owned()
}

/// The header of a block of the type with that number, which came from others, or not.
#[pyfunction]
pub fn header(kind: usize, is_foreign: bool) -> PyResult<&'static str> {
    let kind = Kind::ALL.get(kind).copied();
    let kind = kind.ok_or_else(|| PyIndexError::new_err("there is no such type"))?;
    Ok(render::header(Label::of(kind, is_foreign)))
}

/// The content that `escape` was given.
#[pyfunction]
pub fn unescape(rendered: &str) -> String {
    render::unescape(rendered).into_owned()
}
