//! What is asked of every conversation of a batch, and what became of them.

use std::sync::Arc;

use pycontext_core::batch::{self, Asked, BOUNDS, Overflow, Tally};
use pycontext_core::count::Encoding;
use pycontext_core::error::Fault;
use pycontext_core::kind::Kind;
use pycontext_core::selection::Reason;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::error::refuse;
use crate::policy::Policy;

/// How conversations are pruned, checked and ready for the kernel.
#[derive(Debug)]
#[pyclass(frozen, module = "pycontext._core")]
pub struct Job {
    pub core: batch::Job,
}

#[pymethods]
impl Job {
    /// `turns` are what the model is asked, none at all for what the user said last; None where nothing is asked.
    #[new]
    fn new(
        py: Python<'_>,
        available: u64,
        policy: &Policy,
        turns: Option<Vec<String>>,
        encoding: &str,
        overflow: &str,
    ) -> PyResult<Self> {
        let unknown =
            |name, value| refuse(py, Fault::new(name, &format!("'{value}'"), "is not known"));
        let overflow = match overflow {
            "drop" => Overflow::Drop,
            "keep" => Overflow::Keep,
            "null" => Overflow::Null,
            _ => return Err(unknown("on_overflow", overflow)),
        };
        let asked = match turns {
            None => Asked::Nothing,
            Some(turns) if turns.is_empty() => Asked::LastTurn,
            Some(turns) => Asked::Turns(turns),
        };
        let encoding = Encoding::named(encoding).ok_or_else(|| unknown("encoding", encoding))?;
        let policy = Arc::clone(&policy.core);
        Ok(Self { core: batch::Job { available, policy, asked, encoding, overflow } })
    }
}

/// The sums as Python adds them up: numbers and lists of numbers, and the largest conversations.
pub fn sums<'py>(py: Python<'py>, tally: &Tally) -> PyResult<Bound<'py, PyDict>> {
    let sums = PyDict::new(py);
    for (name, number) in [
        ("conversations", tally.conversations),
        ("written", tally.written),
        ("untouched", tally.untouched),
        ("could_not_fit", tally.could_not_fit),
        ("near_duplicates", tally.near_duplicates),
        ("estimated", tally.estimated),
        ("tokens_before", tally.tokens[0]),
        ("tokens_after", tally.tokens[1]),
    ] {
        sums.set_item(name, number)?;
    }
    let by_type = PyDict::new(py);
    for (kind, [before, after]) in Kind::ALL.iter().zip(&tally.by_kind) {
        let row = [before.messages, after.messages, before.tokens, after.tokens];
        by_type.set_item(kind.name().to_ascii_lowercase(), row)?;
    }
    sums.set_item("by_type", by_type)?;
    let fell = PyDict::new(py);
    for (code, sum) in Reason::CODES.iter().zip(&tally.fell).filter(|(_, sum)| sum.messages > 0) {
        fell.set_item(code, [sum.messages, sum.tokens])?;
    }
    sums.set_item("fell", fell)?;
    sums.set_item("histogram_before", PyList::new(py, tally.histogram[0])?)?;
    sums.set_item("histogram_after", PyList::new(py, tally.histogram[1])?)?;
    let largest = tally
        .largest
        .iter()
        .map(|large| (large.before, large.at, large.id.as_str(), large.messages, large.after));
    sums.set_item("largest", PyList::new(py, largest)?)?;
    Ok(sums)
}

/// The least tokens of every bucket of the histograms.
#[pyfunction]
pub fn bounds() -> Vec<u64> {
    BOUNDS.to_vec()
}

/// The sums of nothing.
#[pyfunction]
pub fn no_sums(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    sums(py, &Tally::default())
}
