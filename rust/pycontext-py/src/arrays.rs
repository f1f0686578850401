//! Columns as `NumPy` arrays.

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1};
use pycontext_core::decay::Decay;
use pycontext_core::index::Measure;
use pyo3::prelude::*;

use crate::columns::Columns;
use crate::error::{raise, refuse};
use crate::field::{backed, one_of};
use crate::text::Text;

/// Base scores, a copy.
#[pyfunction]
pub fn scores<'py>(py: Python<'py>, columns: &Columns) -> Bound<'py, PyArray1<f64>> {
    sealed(PyArray1::from_slice(py, columns.table(py).scores()))
}

/// Tokens of the contents alone, a copy.
#[pyfunction]
pub fn token_counts<'py>(py: Python<'py>, columns: &Columns) -> Bound<'py, PyArray1<u32>> {
    sealed(PyArray1::from_slice(py, columns.table(py).tokens()))
}

/// Milliseconds since the epoch, a copy.
#[pyfunction]
pub fn timestamps<'py>(py: Python<'py>, columns: &Columns) -> Bound<'py, PyArray1<i64>> {
    sealed(PyArray1::from_slice(py, columns.table(py).timestamps()))
}

/// Types by their numbers, a copy.
#[pyfunction]
pub fn types<'py>(py: Python<'py>, columns: &Columns) -> Bound<'py, PyArray1<u8>> {
    let table = columns.table(py);
    sealed(PyArray1::from_iter(py, table.kinds().iter().map(|kind| *kind as u8)))
}

/// How well each block matches a query by its words, from 0 to 1; `kind` is "bm25" or "tfidf".
#[pyfunction]
#[pyo3(signature = (columns, query, kind = None))]
pub fn matches<'py>(
    columns: &Columns,
    query: &Bound<'py, PyAny>,
    kind: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let py = query.py();
    let refused = |fault| refuse(py, fault);
    let query = backed(query, "query").map_err(refused)?;
    let measure = kind.map_or(Ok(Measure::Bm25), |kind| {
        one_of(kind, "kind", Measure::named, &["bm25", "tfidf"]).map_err(refused)
    })?;
    let (_, index) = columns.ready(py, None, true).map_err(refused)?;
    let found = py.detach(|| index.map(|index| index.matches(&query, measure)));
    Ok(PyArray1::from_vec(py, found.unwrap_or_default()))
}

/// The rows that match a query best and their relevance, the best first.
#[pyfunction]
pub fn search(
    columns: &Columns,
    query: &Bound<'_, PyAny>,
    most: usize,
) -> PyResult<Vec<(Text, f64)>> {
    let py = query.py();
    let refused = |fault| refuse(py, fault);
    let query = backed(query, "query").map_err(refused)?;
    let (table, index) = columns.ready(py, None, true).map_err(refused)?;
    let found = py.detach(|| index.map(|index| index.search(&query, most)));
    let named = |(row, relevance): (usize, f64)| (table.ids()[row].clone(), relevance);
    Ok(found.unwrap_or_default().into_iter().map(named).collect())
}

/// Put base scores in the place of all, or change nothing.
#[pyfunction]
pub fn set_scores(
    py: Python<'_>,
    columns: &Columns,
    scores: PyReadonlyArray1<'_, f64>,
) -> PyResult<()> {
    let scores = scores.as_array().to_vec();
    let set = columns.open(py)?.change().set_scores(scores);
    set.map_err(|(row, fault)| raise(py, &fault.at(row, None)))
}

/// Scores at `now` when each falls by a factor in a minute, down to a floor; SYSTEM blocks keep theirs.
#[pyfunction]
pub fn effective_scores<'py>(
    py: Python<'py>,
    columns: &Columns,
    factor_per_minute: f64,
    floor: f64,
    now: Option<i64>,
) -> Bound<'py, PyArray1<f64>> {
    let table = columns.table(py);
    let columns = &table;
    let decay = Decay::by_factor(factor_per_minute, floor);
    let scores = py.detach(|| {
        let now = now.unwrap_or_else(|| columns.newest());
        decay.apply(columns.scores(), columns.timestamps(), columns.kinds(), now)
    });
    PyArray1::from_vec(py, scores)
}

/// The array, which nobody may write to: what is written there would mean nothing to the set.
fn sealed<T: numpy::Element>(array: Bound<'_, PyArray1<T>>) -> Bound<'_, PyArray1<T>> {
    // The array is new, and nobody else has borrowed it.
    drop(array.readwrite().make_nonwriteable());
    array
}
