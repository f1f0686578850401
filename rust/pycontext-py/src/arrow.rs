//! Columns of text by the Arrow C interface, from whatever library has them.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, LargeStringArray, StringArray, StringViewArray};
use pycontext_core::error::Fault;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3_arrow::PyChunkedArray;
use pyo3_arrow::input::AnyArray;

use crate::field::shown;

/// The parts of a column, or `None` for what is no Arrow column.
pub fn chunks(value: &Bound<'_, PyAny>) -> PyResult<Option<Vec<ArrayRef>>> {
    let py = value.py();
    if !value.hasattr(intern!(py, "__arrow_c_array__"))?
        && !value.hasattr(intern!(py, "__arrow_c_stream__"))?
    {
        return Ok(None);
    }
    let column: PyChunkedArray = value.extract::<AnyArray>()?.into_chunked_array()?;
    Ok(Some(column.chunks().iter().map(Arc::clone).collect()))
}

/// The texts of a column, none of which may be missing.
///
/// The bytes come from another library: offsets and UTF-8 are checked before anything reads them.
pub fn texts<'a>(chunks: &'a [ArrayRef], value: &Bound<'_, PyAny>) -> Result<Vec<&'a str>, Fault> {
    let fault = |problem: String| Fault::new("texts", &shown(value), problem);
    let mut texts = Vec::new();
    for chunk in chunks {
        chunk
            .to_data()
            .validate_full()
            .map_err(|error| fault(format!("is no valid Arrow array: {error}")))?;
        let array = chunk.as_any();
        if let Some(array) = array.downcast_ref::<StringArray>() {
            texts.extend(array.iter());
        } else if let Some(array) = array.downcast_ref::<LargeStringArray>() {
            texts.extend(array.iter());
        } else if let Some(array) = array.downcast_ref::<StringViewArray>() {
            texts.extend(array.iter());
        } else {
            return Err(fault(format!(
                "is an Arrow array of {}, not of strings",
                chunk.data_type()
            )));
        }
    }
    let missing =
        |i: usize| Fault::new(&format!("texts[{i}]"), "", "is null, not a string".to_owned());
    texts.into_iter().enumerate().map(|(i, text)| text.ok_or_else(|| missing(i))).collect()
}
