//! Token counts.

use numpy::PyArray1;
use pycontext_core::count::{Counter, Encoding, threads_for};
use pycontext_core::error::Fault;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyString};

use crate::arrow;
use crate::error::refuse;
use crate::field::{backed, integer, one_of};

/// The encoding of current models.
const DEFAULT: Encoding = Encoding::O200k;

/// Bytes of text from which counting pays for letting other threads run.
const DETACH_BYTES: usize = 4096;

/// More threads than this are a mistake.
const MOST_THREADS: i64 = 1024;

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
#[pyo3(
    signature = (texts, encoding = None, *, threads = None),
    text_signature = "(texts, encoding='o200k_base', *, threads=None)"
)]
pub fn count_tokens_batch<'py>(
    texts: &Bound<'py, PyAny>,
    encoding: Option<&Bound<'py, PyAny>>,
    threads: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let py = texts.py();
    let encoding = encoding.map_or(Ok(DEFAULT), self::encoding)?;
    let threads = threads.filter(|threads| !threads.is_none()).map(self::threads).transpose()?;
    if let Some(chunks) = arrow::chunks(texts)? {
        let all = arrow::texts(&chunks, texts).map_err(|fault| refuse(py, fault))?;
        return Ok(PyArray1::from_vec(py, count_all(py, encoding, &all, threads)));
    }
    let all = sequence(texts)?;
    Ok(PyArray1::from_vec(py, count_all(py, encoding, &all, threads)))
}

/// The texts of a sequence.
pub fn sequence(texts: &Bound<'_, PyAny>) -> PyResult<Vec<PyBackedStr>> {
    let py = texts.py();
    if texts.is_instance_of::<PyString>() {
        let fault = Fault::new("texts", "", "is one str, not a sequence of them");
        return Err(refuse(py, fault));
    }
    let mut all: Vec<PyBackedStr> = Vec::with_capacity(texts.len().unwrap_or(0));
    for (i, text) in texts.try_iter()?.enumerate() {
        // The name of the field is made where it is needed.
        let named = |fault: Fault| Fault { field: format!("texts[{i}]"), ..fault };
        all.push(backed(&text?, "texts").map_err(|fault| refuse(py, named(fault)))?);
    }
    Ok(all)
}

fn count_all<T: AsRef<str> + Sync>(
    py: Python<'_>,
    encoding: Encoding,
    texts: &[T],
    threads: Option<usize>,
) -> Vec<u32> {
    let bytes = texts.iter().map(|text| text.as_ref().len()).sum();
    let threads = threads.unwrap_or_else(|| threads_for(bytes));
    detached(py, bytes, || pycontext_core::count::count_all(encoding, texts, threads))
}

fn threads(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    let threads = integer(value, "threads", MOST_THREADS).and_then(|threads| {
        let none = || Fault::new("threads", "0", format!("is not from 1 to {MOST_THREADS}"));
        usize::try_from(threads).ok().filter(|threads| *threads > 0).ok_or_else(none)
    });
    threads.map_err(|fault| refuse(value.py(), fault))
}

/// Count the tokens of a text if they are no more than `limit`, else return None without reading it to its end.
#[pyfunction]
#[pyo3(signature = (text, limit, encoding = None), text_signature = "(text, limit, encoding='o200k_base')")]
pub fn count_within(
    text: &Bound<'_, PyAny>,
    limit: &Bound<'_, PyAny>,
    encoding: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<u32>> {
    let py = text.py();
    let encoding = encoding.map_or(Ok(DEFAULT), self::encoding)?;
    let limit = integer(limit, "limit", u32::MAX.into()).map_err(|fault| refuse(py, fault))?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let text = backed(text, "text").map_err(|fault| refuse(py, fault))?;
    Ok(detached(py, text.len(), || encoding.count_within(&text, limit)))
}

type Counts<'py> = (Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>);

/// Count the tokens of prefixes of a text: ends in characters, and the tokens up to each, both uint64 and ascending.
#[pyfunction]
#[pyo3(signature = (text, encoding = None), text_signature = "(text, encoding='o200k_base')")]
pub fn prefix_counts<'py>(
    text: &Bound<'py, PyAny>,
    encoding: Option<&Bound<'py, PyAny>>,
) -> PyResult<Counts<'py>> {
    let py = text.py();
    let encoding = encoding.map_or(Ok(DEFAULT), self::encoding)?;
    let text = backed(text, "text").map_err(|fault| refuse(py, fault))?;
    let (ends, counts) = detached(py, text.len(), || encoding.prefix_counts(&text));
    Ok((PyArray1::from_vec(py, ends), PyArray1::from_vec(py, counts)))
}

/// The bytes of every token in the order of their ranks, for building an oracle from the same ranks.
#[pyfunction]
pub fn vocabulary<'py>(encoding: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let py = encoding.py();
    let tokens = self::encoding(encoding)?.vocabulary();
    Ok(tokens.into_iter().map(|t| PyBytes::new(py, t)).collect())
}
