//! Counters over a file of ranks that a user has.

use numpy::PyArray1;
use pycontext_core::count::{Counter, Ranks, UserPattern};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::count::{detached, sequence};
use crate::error::refuse;
use crate::field::backed;

/// A vocabulary from a file of ranks in tiktoken's format, and the pattern that cuts a text into pieces.
#[pyclass(frozen, module = "pycontext._core")]
#[derive(Debug)]
pub struct RankFile {
    ranks: Ranks,
}

#[pymethods]
impl RankFile {
    #[new]
    fn new(file: &Bound<'_, PyBytes>, pattern: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = file.py();
        let pattern = backed(pattern, "pattern").and_then(|pattern| UserPattern::new(&pattern));
        let pattern = pattern.map_err(|fault| refuse(py, fault))?;
        let file = file.as_bytes();
        let ranks = py.detach(|| Ranks::read(file, pattern)).map_err(|fault| refuse(py, fault))?;
        Ok(Self { ranks })
    }

    /// How many tokens the vocabulary has.
    #[getter]
    fn tokens(&self) -> usize {
        self.ranks.tokens()
    }

    /// Tokens of a text.
    fn count(&self, text: &Bound<'_, PyAny>) -> PyResult<u32> {
        let py = text.py();
        let text = backed(text, "text").map_err(|fault| refuse(py, fault))?;
        Ok(detached(py, text.len(), || self.ranks.count(&text)))
    }

    /// Tokens of many texts, one uint32 a text.
    fn count_batch<'py>(&self, texts: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let py = texts.py();
        let texts = sequence(texts)?;
        let bytes = texts.iter().map(|text| text.len()).sum();
        let counts =
            detached(py, bytes, || texts.iter().map(|text| self.ranks.count(text)).collect());
        Ok(PyArray1::from_vec(py, counts))
    }
}
