//! The texts of blocks.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use pycontext_core::slice::Slice;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyString;

/// A text, wherever it is: what came from Python is shared with it, what came as bytes is no Python object until
/// somebody looks.
#[derive(Debug, Clone)]
pub enum Text {
    /// A str of Python's.
    Python(PyBackedStr),
    /// A piece of what was decoded.
    Decoded(Slice),
}

impl Text {
    /// The text as a str of Python's.
    pub fn to_py<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        match self {
            Self::Python(text) => text.as_py_str().bind(py).clone(),
            Self::Decoded(text) => PyString::new(py, text.as_ref()),
        }
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Python(text) => text,
            Self::Decoded(text) => text.as_ref(),
        }
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

// As str has them: a map of texts is asked with a str.
impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text {}

impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl From<PyBackedStr> for Text {
    fn from(text: PyBackedStr) -> Self {
        Self::Python(text)
    }
}

impl From<Slice> for Text {
    fn from(text: Slice) -> Self {
        Self::Decoded(text)
    }
}

impl<'py> IntoPyObject<'py> for &Text {
    type Target = PyString;
    type Output = Bound<'py, PyString>;
    type Error = std::convert::Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Self::Error> {
        Ok(self.to_py(py))
    }
}

impl<'py> IntoPyObject<'py> for Text {
    type Target = PyString;
    type Output = Bound<'py, PyString>;
    type Error = std::convert::Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Self::Error> {
        Ok(self.to_py(py))
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Text {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        value.extract().map(Self::Python)
    }
}
