//! Token counts.

use numpy::PyArray1;
use pycontext_core::count::{Counter, Encoding};
use pycontext_core::error::Fault;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyString};

use crate::error::refuse;
use crate::field::{backed, one_of};

/// The encoding of current models.
const DEFAULT: Encoding = Encoding::O200k;

/// Bytes of text from which counting pays for letting other threads run.
const DETACH_BYTES: usize = 4096;

/// The encoding of that name.
pub fn encoding(name: &Bound<'_, PyAny>) -> PyResult<Encoding> {
    let found = one_of(name, "encoding", Encoding::named, &Encoding::ALL.map(Encoding::name));
    found.map_err(|fault| refuse(name.py(), fault))
}

/// Counts `bytes` of text; many of them without the interpreter.
pub fn detached<R: Send>(py: Python<'_>, bytes: usize, count: impl FnOnce() -> R + Send) -> R {
    if bytes < DETACH_BYTES { count() } else { py.detach(count) }
}

/// Count the tokens of a text exactly: the length of tiktoken's `encode_ordinary`.
#[pyfunction]
#[pyo3(signature = (text, encoding = None), text_signature = "(text, encoding='o200k_base')")]
pub fn count_tokens(text: &Bound<'_, PyAny>, encoding: Option<&Bound<'_, PyAny>>) -> PyResult<u32> {
    let py = text.py();
    let encoding = encoding.map_or(Ok(DEFAULT), self::encoding)?;
    let text = backed(text, "text").map_err(|fault| refuse(py, fault))?;
    Ok(detached(py, text.len(), || encoding.count(&text)))
}

/// Count the tokens of many texts in one call, one uint32 a text.
#[pyfunction]
#[pyo3(signature = (texts, encoding = None), text_signature = "(texts, encoding='o200k_base')")]
pub fn count_tokens_batch<'py>(
    texts: &Bound<'py, PyAny>,
    encoding: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let py = texts.py();
    let encoding = encoding.map_or(Ok(DEFAULT), self::encoding)?;
    if texts.is_instance_of::<PyString>() {
        let fault = Fault::new("texts", "", "is one str, not a sequence of them");
        return Err(refuse(py, fault));
    }
    let mut all: Vec<PyBackedStr> = Vec::with_capacity(texts.len().unwrap_or(0));
    for (i, text) in texts.try_iter()?.enumerate() {
        let text = backed(&text?, &format!("texts[{i}]")).map_err(|fault| refuse(py, fault))?;
        all.push(text);
    }
    let bytes = all.iter().map(|text| text.len()).sum();
    let count_all = || all.iter().map(|text| encoding.count(text)).collect();
    let counts = detached(py, bytes, count_all);
    Ok(PyArray1::from_vec(py, counts))
}

/// The bytes of every token in the order of their ranks, for building an oracle from the same ranks.
#[pyfunction]
pub fn vocabulary<'py>(encoding: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let py = encoding.py();
    let tokens = self::encoding(encoding)?.vocabulary();
    Ok(tokens.into_iter().map(|t| PyBytes::new(py, t)).collect())
}
