//! `ContextBlock` to a row of the core, with every check on the way.

use pycontext_core::error::{Error, Fault};
use pycontext_core::kind::Kind;
use pycontext_core::limits::Limits;
use pycontext_core::row::{Extra, Rare, Row};
use pyo3::exceptions::PyAttributeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyType;

use crate::class;
use crate::error::{raise, refuse};
use crate::field::{backed, count, integer, kind, metadata, origin, references, score, shown};
use crate::text::Text;

/// The fields of one block, checked, not yet counted.
#[derive(Debug)]
pub struct Fields {
    pub id: Text,
    pub content: Text,
    pub score: f64,
    pub kind: Kind,
    /// Keys and values in turn.
    pub metadata: Vec<Text>,
    pub timestamp: i64,
    pub count: Count,
    pub rare: Option<Box<Rare<Text>>>,
    pub origin: Option<Text>,
}

/// What a block knows of its tokens.
#[derive(Debug)]
pub enum Count {
    Unknown,
    /// Said by the caller, believed.
    Given(u32),
    /// Made of this content by the counter of that name.
    By(u32, PyBackedStr),
}

impl Fields {
    /// The count, where a set whose counter has that name may believe it.
    pub fn tokens(&self, counter: &str) -> Option<u32> {
        match &self.count {
            Count::Given(tokens) => Some(*tokens),
            Count::By(tokens, name) => (**name == *counter).then_some(*tokens),
            Count::Unknown => None,
        }
    }

    /// The row, once its tokens are known.
    pub fn into_row(self, tokens: u32) -> Row<Text> {
        Row {
            id: self.id,
            content: self.content,
            kind: self.kind,
            score: self.score,
            timestamp: self.timestamp,
            tokens,
            metadata: self.metadata.into(),
            rare: self.rare,
            extra: Extra::of(self.origin, Box::default()),
        }
    }
}

/// Checks every field of a block.
#[pyfunction]
pub fn check_block(block: &Bound<'_, PyAny>) -> PyResult<()> {
    read(block, None).map(drop)
}

/// Checks an id: a str of 1 to 256 bytes without control characters.
#[pyfunction]
pub fn check_id(field: &str, id: &Bound<'_, PyAny>) -> PyResult<()> {
    let checked = backed(id, field).and_then(|id| Limits::DEFAULT.id(field, &id));
    checked.map_err(|fault| refuse(id.py(), fault))
}

/// Reads a `ContextBlock`, the `index`th of several.
pub fn read(block: &Bound<'_, PyAny>, index: Option<usize>) -> PyResult<Fields> {
    let py = block.py();
    let class = class::block(py)?;
    if !block.get_type().is(class) && !block.is_instance(class)? {
        let kind = block.get_type().name()?;
        let fault = Fault::new("block", &shown(block), format!("is {kind}, not ContextBlock"));
        return Err(raise(py, &fault.at(index, None)));
    }
    let fields = RawFields::of(block).map_err(|error| {
        if error.is_instance_of::<PyAttributeError>(py) {
            // Somebody deleted a field.
            let fault = Fault::new("block", "", format!("has lost a field: {error}"));
            raise(py, &fault.at(index, None))
        } else {
            error
        }
    })?;
    fields.check()?.map_err(|fault| raise(py, &placed(fault, index, &fields.id)))
}

/// The fields of a block as Python objects.
#[derive(Debug)]
pub struct RawFields<'py> {
    pub id: Bound<'py, PyAny>,
    pub content: Bound<'py, PyAny>,
    pub score: Bound<'py, PyAny>,
    pub kind: Bound<'py, PyAny>,
    pub metadata: Bound<'py, PyAny>,
    pub timestamp: Bound<'py, PyAny>,
    pub count: Bound<'py, PyAny>,
    pub references: Bound<'py, PyAny>,
    pub origin: Option<Bound<'py, PyAny>>,
}

impl<'py> RawFields<'py> {
    /// The fields of a `ContextBlock`.
    fn of(block: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = block.py();
        Ok(Self {
            id: block.getattr(intern!(py, "id"))?,
            content: block.getattr(intern!(py, "_raw_content"))?,
            score: block.getattr(intern!(py, "relevance_score"))?,
            kind: block.getattr(intern!(py, "type"))?,
            metadata: block.getattr(intern!(py, "metadata"))?,
            timestamp: block.getattr(intern!(py, "timestamp"))?,
            count: block.getattr(intern!(py, "_raw_token_count"))?,
            references: block.getattr(intern!(py, "references"))?,
            origin: Some(block.getattr(intern!(py, "origin"))?),
        })
    }

    /// The checked fields, or the first fault; the outer error is for what Python itself refuses.
    pub fn check(&self) -> PyResult<Result<Fields, Fault>> {
        let kinds = class::kinds(self.kind.py())?;
        let counted = class::counted(self.kind.py())?;
        Ok(self.check_with(kinds, counted))
    }

    fn check_with(
        &self,
        kinds: &[Py<PyAny>],
        counted: &Bound<'_, PyType>,
    ) -> Result<Fields, Fault> {
        let limits = Limits::DEFAULT;
        let id = backed(&self.id, "id")?;
        limits.id("id", &id)?;
        let content = backed(&self.content, "content")?;
        let score = score(&self.score)?;
        limits.score(score)?;
        let kind = kind(&self.kind, kinds)?;
        let timestamp = integer(&self.timestamp, "timestamp", i64::MAX)?;
        let count = count(&self.count, counted, &content)?;
        let references = references(&self.references, &limits)?;
        let metadata = metadata(&self.metadata)?;
        let pairs = metadata.as_chunks().0.iter().map(|[key, value]| (&**key, &**value));
        limits.sizes(&content, pairs)?;
        let origin = origin(self.origin.as_ref(), &limits)?;
        let rare = Rare::of(references, &metadata);
        Ok(Fields {
            id: id.into(),
            content: content.into(),
            score,
            kind,
            metadata,
            timestamp,
            count,
            rare,
            origin,
        })
    }
}

/// The error for a fault in the block whose id is `id`, whatever that is.
pub fn placed(fault: Fault, index: Option<usize>, id: &Bound<'_, PyAny>) -> Error {
    let id = backed(id, "id").ok().filter(|id| !id.is_empty());
    // A fault of the id itself already shows it.
    let id = id.filter(|_| fault.field != "id");
    fault.at(index, id.as_deref())
}
