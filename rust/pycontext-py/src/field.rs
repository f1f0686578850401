//! One field of a block: from a Python object to the core's type, or the fault.

use pycontext_core::error::{Fault, shorten};
use pycontext_core::kind::Kind;
use pycontext_core::limits::Limits;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType};

use crate::block::Count;
use crate::text::Text;

/// The str behind `value`, without a copy where Python has it as UTF-8.
///
/// A subclass of str is taken as the text it is: nothing of it may run while the set is locked.
pub fn backed(value: &Bound<'_, PyAny>, field: &str) -> Result<PyBackedStr, Fault> {
    let text = value.cast::<PyString>().map_err(|_| wrong_type(value, field, "str"))?;
    let surrogate = |_| Fault::new(field, &shown(value), "holds a lone surrogate");
    let backed = PyBackedStr::try_from(text.clone()).map_err(surrogate)?;
    if text.is_exact_instance_of::<PyString>() {
        return Ok(backed);
    }
    PyBackedStr::try_from(PyString::new(value.py(), &backed)).map_err(surrogate)
}

/// What `value` names; `named` finds it, `valid` lists what there is.
pub fn one_of<T>(
    value: &Bound<'_, PyAny>,
    field: &str,
    named: impl Fn(&str) -> Option<T>,
    valid: &[&str],
) -> Result<T, Fault> {
    let found = backed(value, field).ok().and_then(|name| named(&name));
    let fault = || Fault::new(field, &shown(value), format!("is not one of {}", valid.join(", ")));
    found.ok_or_else(fault)
}

/// A real number; whether it is in range is for `Limits`.
pub fn score(value: &Bound<'_, PyAny>) -> Result<f64, Fault> {
    if let Ok(float) = value.cast_exact::<PyFloat>() {
        return Ok(float.value());
    }
    let kind = value.get_type().name().map(|n| n.to_string());
    let is_bool = kind.is_ok_and(|n| n.starts_with("bool"));
    let number = if is_bool { None } else { value.extract::<f64>().ok() };
    number.ok_or_else(|| wrong_type(value, "relevance_score", "a number from 0 to 1"))
}

/// The type, which must be one of the members of `ContextType` themselves.
pub fn kind(value: &Bound<'_, PyAny>, kinds: &[Py<PyAny>]) -> Result<Kind, Fault> {
    let at = kinds.iter().position(|kind| value.is(kind));
    at.map(|at| Kind::ALL[at]).ok_or_else(|| {
        let names = Kind::ALL.map(|k| format!("ContextType.{}", k.name()));
        Fault::new("type", &shown(value), format!("is not one of {}", names.join(", ")))
    })
}

/// A whole number from 0 to `limit`.
pub fn integer(value: &Bound<'_, PyAny>, field: &str, limit: i64) -> Result<i64, Fault> {
    let is_plain = value.is_exact_instance_of::<PyInt>();
    if !is_plain && (value.is_instance_of::<PyBool>() || value.is_instance_of::<PyFloat>()) {
        return Err(wrong_type(value, field, "int"));
    }
    match value.extract::<i64>() {
        Ok(number) if (0..=limit).contains(&number) => Ok(number),
        Ok(_) => Err(Fault::new(field, &shown(value), format!("is not from 0 to {limit}"))),
        Err(_) if value.is_instance_of::<PyInt>() => {
            Err(Fault::new(field, &shown(value), format!("is not from 0 to {limit}")))
        }
        Err(_) => Err(wrong_type(value, field, "int")),
    }
}

/// What a block knows of its tokens; a count that was made of another content is none.
pub fn count(
    value: &Bound<'_, PyAny>,
    counted: &Bound<'_, PyType>,
    content: &str,
) -> Result<Count, Fault> {
    if value.is_none() {
        return Ok(Count::Unknown);
    }
    let number = integer(value, "token_count", u32::MAX.into())?;
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    if value.is_exact_instance_of::<PyInt>() || !value.get_type().is(counted) {
        return Ok(Count::Given(number));
    }
    let text = |name| {
        let found = value
            .getattr(name)
            .map_err(|error| Fault::new("token_count", "", error.to_string()))?;
        backed(&found, "token_count")
    };
    let is_same = *text("content")? == *content;
    Ok(if is_same { Count::By(number, text("counter")?) } else { Count::Unknown })
}

/// Ids of other blocks.
pub fn references(value: &Bound<'_, PyAny>, limits: &Limits) -> Result<Vec<Text>, Fault> {
    let read = |i: usize, item: Bound<'_, PyAny>| {
        // The name of the field is made where it is needed.
        let named = |fault: Fault| Fault { field: format!("references[{i}]"), ..fault };
        let id = backed(&item, "references").map_err(named)?;
        limits.id("references", &id).map_err(named)?;
        Ok(id.into())
    };
    let counted = |count| limits.references(count);
    if let Ok(list) = value.cast::<PyList>() {
        counted(list.len())?;
        list.iter().enumerate().map(|(i, item)| read(i, item)).collect()
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        counted(tuple.len())?;
        tuple.iter().enumerate().map(|(i, item)| read(i, item)).collect()
    } else {
        Err(wrong_type(value, "references", "a list of str"))
    }
}

/// Whom a block came from.
pub fn origin(value: Option<&Bound<'_, PyAny>>, limits: &Limits) -> Result<Option<Text>, Fault> {
    let Some(value) = value.filter(|value| !value.is_none()) else { return Ok(None) };
    let origin = backed(value, "origin")?;
    limits.id("origin", &origin)?;
    Ok(Some(origin.into()))
}

/// Metadata as keys and values in turn, in order.
pub fn metadata(value: &Bound<'_, PyAny>) -> Result<Vec<Text>, Fault> {
    let dict = value
        .cast::<PyDict>()
        .map_err(|_| wrong_type(value, "metadata", "a dict of str to str"))?;
    let mut texts = Vec::with_capacity(2 * dict.len());
    for (key, value) in dict {
        let key = backed(&key, "metadata key")?;
        let named = |fault| Fault { field: format!("metadata['{}']", shorten(&key)), ..fault };
        let value = backed(&value, "metadata").map_err(named)?;
        texts.extend([key.into(), value.into()]);
    }
    Ok(texts)
}

fn wrong_type(value: &Bound<'_, PyAny>, field: &str, wanted: &str) -> Fault {
    let kind = value.get_type().name();
    let kind = kind.map_or_else(|_| "of another type".to_owned(), |n| n.to_string());
    Fault::new(field, &shown(value), format!("is {}, not {wanted}", shorten(&kind)))
}

/// The value as Python shows it; `Fault` cuts it.
pub fn shown(value: &Bound<'_, PyAny>) -> String {
    let text = value.repr().map(|r| r.to_string_lossy().into_owned());
    text.unwrap_or_else(|_| "a value".to_owned())
}
