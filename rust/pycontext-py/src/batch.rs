//! Blocks that come as columns.

use numpy::ndarray::ArrayView1;
use numpy::{Element, PyReadonlyArray1};
use pycontext_core::error::Fault;
use pycontext_core::limits::Limits;
use pycontext_core::row::Rare;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyList, PyString};

use crate::block::{Count, Fields};
use crate::class;
use crate::field::{backed, integer, kind, metadata, references, score};

/// A column of numbers.
#[derive(Debug, FromPyObject)]
pub enum Numbers<'py, T: Element> {
    /// One type for all.
    Array(PyReadonlyArray1<'py, T>),
    /// Any numbers that Python has.
    List(Bound<'py, PyList>),
}

/// One entry a block in each.
#[derive(Debug)]
pub struct Columns<'a, 'py> {
    pub contents: &'a Bound<'py, PyList>,
    pub types: &'a Bound<'py, PyList>,
    pub scores: &'a Numbers<'py, f64>,
    pub timestamps: &'a Numbers<'py, i64>,
    /// `None` for `b0`, `b1`, ...
    pub ids: Option<&'a Bound<'py, PyList>>,
    /// `None` to have them counted.
    pub counts: Option<&'a Numbers<'py, i64>>,
    pub references: Option<&'a Bound<'py, PyList>>,
    pub metadata: Option<&'a Bound<'py, PyList>>,
}

impl Columns<'_, '_> {
    /// The checked fields of every block, or the first fault with its row; the first id is that of row `first`.
    pub fn read(
        &self,
        py: Python<'_>,
        first: usize,
    ) -> PyResult<Result<Vec<Fields>, (usize, Fault)>> {
        let kinds = class::kinds(py)?;
        let (scores, timestamps) = (View::of(self.scores), View::of(self.timestamps));
        let counts = self.counts.map(View::of);
        let row = |row: usize| -> Result<Fields, Fault> {
            let limits = Limits::DEFAULT;
            let content = backed(&item(self.contents, row)?, "content")?;
            let metadata = match self.metadata {
                Some(dicts) => metadata(&item(dicts, row)?)?,
                None => Vec::new(),
            };
            let pairs = metadata.as_chunks().0.iter().map(|[key, value]| (&**key, &**value));
            limits.sizes(&content, pairs)?;
            let score = match scores {
                View::Array(array) => array.get(row).copied().ok_or_else(shrunk)?,
                View::List(list) => score(&item(list, row)?)?,
            };
            limits.score(score)?;
            let timestamp = timestamps.integer(row, "timestamp", i64::MAX)?;
            let most = i64::from(u32::MAX);
            let count =
                counts.map(|counts| counts.integer(row, "token_count", most)).transpose()?;
            let count = count.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
            let id = match self.ids {
                Some(ids) => backed(&item(ids, row)?, "id")?,
                None => numbered(py, first + row)?,
            };
            limits.id("id", &id)?;
            let references = match self.references {
                Some(lists) => references(&item(lists, row)?, &limits)?,
                None => Vec::new(),
            };
            Ok(Fields {
                id: id.into(),
                content: content.into(),
                score,
                kind: kind(&item(self.types, row)?, kinds)?,
                rare: Rare::of(references, &metadata),
                metadata,
                timestamp,
                count: count.map_or(Count::Unknown, Count::Given),
                origin: None,
            })
        };
        // Not collected: the fields are large, and a vector that grows would copy them.
        let mut all = Vec::with_capacity(self.contents.len());
        for at in 0..self.contents.len() {
            match row(at) {
                Ok(fields) => all.push(fields),
                Err(fault) => return Ok(Err((at, fault))),
            }
        }
        Ok(Ok(all))
    }
}

/// A column of numbers, ready to be read.
#[derive(Clone, Copy)]
enum View<'a, 'py, T> {
    Array(ArrayView1<'a, T>),
    List(&'a Bound<'py, PyList>),
}

impl<'a, 'py, T: Element> View<'a, 'py, T> {
    fn of(numbers: &'a Numbers<'py, T>) -> Self {
        match numbers {
            Numbers::Array(array) => Self::Array(array.as_array()),
            Numbers::List(list) => Self::List(list),
        }
    }
}

impl View<'_, '_, i64> {
    /// A whole number from 0 to `most`.
    fn integer(self, row: usize, field: &str, most: i64) -> Result<i64, Fault> {
        match self {
            Self::List(list) => integer(&item(list, row)?, field, most),
            Self::Array(array) => {
                let number = array.get(row).copied().ok_or_else(shrunk)?;
                let rule = || format!("is not from 0 to {most}");
                let fault = || Fault::new(field, &number.to_string(), rule());
                (0..=most).contains(&number).then_some(number).ok_or_else(fault)
            }
        }
    }
}

fn item<'py>(list: &Bound<'py, PyList>, row: usize) -> Result<Bound<'py, PyAny>, Fault> {
    list.get_item(row).map_err(|_| shrunk())
}

/// Somebody took entries away while they were read.
fn shrunk() -> Fault {
    Fault::new("columns", "", "got shorter meanwhile")
}

/// The id of a block that got none.
fn numbered(py: Python<'_>, number: usize) -> Result<PyBackedStr, Fault> {
    let failed = |error: PyErr| Fault::new("id", "", error.to_string());
    PyBackedStr::try_from(PyString::new(py, &format!("b{number}"))).map_err(failed)
}
