//! Counters over a `tokenizer.json` that a user has; only with the feature `tokenizers`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use numpy::PyArray1;
use pycontext_core::count::LARGEST_FILE;
use pycontext_core::error::Fault;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyBytes;
use tokenizers::Tokenizer;

use crate::count::{detached, sequence};
use crate::error::refuse;
use crate::field::backed;

/// A tokenizer as the crate `tokenizers` reads it; it adds no special tokens, cuts nothing and fills nothing up.
#[pyclass(frozen, module = "pycontext._core")]
#[derive(Debug)]
pub struct TokenizerFile {
    tokenizer: Tokenizer,
}

#[pymethods]
impl TokenizerFile {
    #[new]
    fn new(file: &Bound<'_, PyBytes>) -> PyResult<Self> {
        let py = file.py();
        let file = file.as_bytes();
        if file.len() > LARGEST_FILE {
            let fault = Fault::new(
                "tokenizer file",
                &file.len().to_string(),
                format!("bytes are more than {LARGEST_FILE}"),
            );
            return Err(refuse(py, fault));
        }
        let read = || quiet(|| Tokenizer::from_bytes(file));
        let mut tokenizer =
            py.detach(read).map_err(|rule| refuse(py, Fault::new("tokenizer file", "", rule)))?;
        tokenizer.with_padding(None);
        let cut = tokenizer.with_truncation(None).map(|_| ());
        cut.map_err(|error| refuse(py, Fault::new("tokenizer file", "", error.to_string())))?;
        Ok(Self { tokenizer })
    }

    /// Tokens of a text.
    fn count(&self, text: &Bound<'_, PyAny>) -> PyResult<u32> {
        let py = text.py();
        let text = backed(text, "text").map_err(|fault| refuse(py, fault))?;
        detached(py, text.len(), || self.tokens(&text)).map_err(|fault| refuse(py, fault))
    }

    /// Tokens of many texts, one uint32 a text.
    fn count_batch<'py>(&self, texts: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let py = texts.py();
        let texts: Vec<PyBackedStr> = sequence(texts)?;
        let bytes = texts.iter().map(|text| text.len()).sum();
        let count =
            || texts.iter().map(|text| self.tokens(text)).collect::<Result<Vec<u32>, Fault>>();
        let counts = detached(py, bytes, count).map_err(|fault| refuse(py, fault))?;
        Ok(PyArray1::from_vec(py, counts))
    }
}

impl TokenizerFile {
    fn tokens(&self, text: &str) -> Result<u32, Fault> {
        let encoding = quiet(|| self.tokenizer.encode_fast(text, false));
        let encoding = encoding.map_err(|rule| Fault::new("text", text, rule))?;
        Ok(u32::try_from(encoding.len()).unwrap_or(u32::MAX))
    }
}

/// What the crate says, in one line, also where it panics: the file is not ours.
fn quiet<T>(act: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    let line = |error: String| {
        format!("is not read by tokenizers: {}", error.lines().next().unwrap_or_default())
    };
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(|error| line(error.to_string())),
        Err(_) => Err(line("it panicked".to_owned())),
    }
}
