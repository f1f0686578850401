//! The text form of blocks.

use pycontext_core::render;
use pyo3::prelude::*;

/// Content as it may stand under a header: no line of it can be taken for one.
#[pyfunction]
pub fn escape(content: &str) -> String {
    render::escape(content).into_owned()
}

/// The content that `escape` was given.
#[pyfunction]
pub fn unescape(rendered: &str) -> String {
    render::unescape(rendered).into_owned()
}
