//! JSON lines, one conversation each.

use pycontext_core::batch;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::job::{Job, sums};

/// A line that could not be pruned: its number, where its bytes are, what is wrong, the id, and the tokens needed and
/// available where it is a conversation that does not fit.
type Problem = (u64, usize, usize, String, Option<String>, Option<[u64; 2]>);

/// The lines that stay, the sums, the problems, how many lines there were, and how many that are not blank.
type Pruned<'py> = (Bound<'py, PyBytes>, Bound<'py, PyDict>, Bound<'py, PyList>, u64, u64);

/// Prune the conversations in the first `length` bytes of `data`, which are whole lines.
///
/// `left_out` has a bit for every document of the file that is to be left out, of which `first` is the first one here.
#[pyfunction]
#[pyo3(signature = (job, data, length, left_out = None, first = 0))]
pub fn prune_lines<'py>(
    py: Python<'py>,
    job: &Job,
    data: &[u8],
    length: usize,
    left_out: Option<&[u8]>,
    first: u64,
) -> PyResult<Pruned<'py>> {
    let is_left_out = |document: u64| {
        left_out.is_some_and(|bits| {
            let at = first + document;
            let byte = usize::try_from(at / 8).ok().and_then(|at| bits.get(at));
            byte.is_some_and(|byte| byte >> (at % 8) & 1 == 1)
        })
    };
    let bytes = &data[..length.min(data.len())];
    let part = py.detach(|| batch::prune_lines(&job.core, bytes, is_left_out));
    let problems = part.problems.into_iter().map(|problem| -> Problem {
        let batch::Problem { line, bytes, reason, id, needed } = problem;
        (line, bytes.start, bytes.end, reason, id, needed)
    });
    Ok((
        PyBytes::new(py, &part.output),
        sums(py, &part.tally)?,
        PyList::new(py, problems.collect::<Vec<_>>())?,
        part.lines,
        part.documents,
    ))
}
