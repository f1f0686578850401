//! Blocks that come as columns.

use pycontext_core::columns::Rare;
use pycontext_core::error::Fault;
use pycontext_core::limits::Limits;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyList, PyString};

use crate::block::{Count, Fields};
use crate::class;
use crate::field::{backed, kind, references};

/// One entry a block in each.
#[derive(Debug)]
pub struct Columns<'a, 'py> {
    pub contents: &'a Bound<'py, PyList>,
    pub types: &'a Bound<'py, PyList>,
    pub scores: Vec<f64>,
    pub timestamps: Vec<i64>,
    /// `None` for `b0`, `b1`, ...
    pub ids: Option<&'a Bound<'py, PyList>>,
    /// `None` to have them counted.
    pub counts: Option<Vec<u32>>,
    pub references: Option<&'a Bound<'py, PyList>>,
}

impl Columns<'_, '_> {
    /// The checked fields of every block, or the first fault with its row; the first id is that of row `first`.
    ///
    /// All columns are as long as `contents`.
    pub fn read(
        &self,
        py: Python<'_>,
        first: usize,
    ) -> PyResult<Result<Vec<Fields>, (usize, Fault)>> {
        let kinds = class::kinds(py)?;
        let row = |(row, content)| self.row(py, kinds, row, first, &content).map_err(|f| (row, f));
        Ok(self.contents.iter().enumerate().map(row).collect())
    }

    fn row(
        &self,
        py: Python<'_>,
        kinds: &[Py<PyAny>],
        row: usize,
        first: usize,
        content: &Bound<'_, PyAny>,
    ) -> Result<Fields, Fault> {
        let limits = Limits::DEFAULT;
        let content = backed(content, "content")?;
        limits.sizes(&content, std::iter::empty())?;
        let score = self.scores[row];
        limits.score(score)?;
        let timestamp = self.timestamps[row];
        if timestamp < 0 {
            let rule = format!("is not from 0 to {}", i64::MAX);
            return Err(Fault::new("timestamp", &timestamp.to_string(), rule));
        }
        let missing = |_| Fault::new("columns", "", "got shorter meanwhile");
        let id = match self.ids {
            Some(ids) => backed(&ids.get_item(row).map_err(missing)?, "id")?,
            None => numbered(py, first + row)?,
        };
        limits.id("id", &id)?;
        let references = match self.references {
            Some(lists) => references(&lists.get_item(row).map_err(missing)?, &limits)?,
            None => Vec::new(),
        };
        let rare = Rare { references, unit: None, provider: None };
        Ok(Fields {
            id,
            content,
            score,
            kind: kind(&self.types.get_item(row).map_err(missing)?, kinds)?,
            metadata: None,
            timestamp,
            count: self.counts.as_ref().map_or(Count::Unknown, |counts| Count::Given(counts[row])),
            rare: (!rare.references.is_empty()).then(|| Box::new(rare)),
        })
    }
}

/// The id of a block that got none.
fn numbered(py: Python<'_>, number: usize) -> Result<PyBackedStr, Fault> {
    let failed = |error: PyErr| Fault::new("id", "", error.to_string());
    PyBackedStr::try_from(PyString::new(py, &format!("b{number}"))).map_err(failed)
}
