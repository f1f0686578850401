//! Errors of the core as the exceptions of `pycontext.errors`.

use pycontext_core::error::{Error, Fault};
use pyo3::prelude::*;

use crate::class;

/// The exception for `error`, or whatever kept it from being made.
pub fn raise(py: Python<'_>, error: &Error) -> PyErr {
    let message = error.to_string();
    let raised = match error {
        Error::Invalid { .. } => {
            class::validation_error(py).and_then(|class| class.call1((message,)))
        }
        Error::Budget { needed, available, blockers, .. } => class::budget_exceeded_error(py)
            .and_then(|class| class.call1((message, *needed, *available, blockers.clone()))),
    };
    raised.map_or_else(|error| error, PyErr::from_value)
}

/// The exception for a change of what goes on under another owner.
pub fn fenced(py: Python<'_>, reason: &str) -> PyErr {
    let raised = class::fenced_error(py).and_then(|class| class.call1((reason,)));
    raised.map_or_else(|error| error, PyErr::from_value)
}

/// The exception for a fault that belongs to no block.
pub fn refuse(py: Python<'_>, fault: Fault) -> PyErr {
    raise(py, &fault.at(None, None))
}
