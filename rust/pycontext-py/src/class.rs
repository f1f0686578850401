//! The classes of the package that are used from here, each looked up once.

use pycontext_core::kind::Kind;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// `ContextBlock`.
pub fn block(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "pycontext.block", "ContextBlock")
}

/// `Counted`, the counts that a counter made.
pub fn counted(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "pycontext.block", "Counted")
}

/// The members of `ContextType` in the order of `Kind::ALL`.
pub fn kinds(py: Python<'_>) -> PyResult<&Vec<Py<PyAny>>> {
    static MEMBERS: PyOnceLock<Vec<Py<PyAny>>> = PyOnceLock::new();
    MEMBERS.get_or_try_init(py, || {
        let enumeration = py.import("pycontext.block")?.getattr("ContextType")?;
        let members = Kind::ALL.map(|kind| enumeration.getattr(kind.name()).map(Bound::unbind));
        members.into_iter().collect()
    })
}

/// The members of `Reason` by their codes, in the order of `codes`.
pub fn reasons<'py>(py: Python<'py>, codes: &[&str]) -> PyResult<&'py Vec<Py<PyAny>>> {
    static MEMBERS: PyOnceLock<Vec<Py<PyAny>>> = PyOnceLock::new();
    MEMBERS.get_or_try_init(py, || {
        let enumeration = py.import("pycontext.selection")?.getattr("Reason")?;
        codes.iter().map(|code| enumeration.call1((*code,)).map(Bound::unbind)).collect()
    })
}

/// `ValidationError`.
pub fn validation_error(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "pycontext.errors", "ValidationError")
}

/// `FencedError`.
pub fn fenced_error(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "pycontext.errors", "FencedError")
}

/// `BudgetExceededError`.
pub fn budget_exceeded_error(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    CLASS.import(py, "pycontext.errors", "BudgetExceededError")
}
