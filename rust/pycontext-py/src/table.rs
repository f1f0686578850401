//! Rows as Python sees them.

use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use pycontext_core::columns::Columns;
use pycontext_core::row::{Extra, Rare, Row};
use pycontext_core::texts::Texts;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::block::Fields;
use crate::text::Text;

/// The blocks of a set.
pub type Table = Columns<Text>;

/// Rows from which it pays to let other threads run while their texts are let go.
const MANY: usize = 10_000;

/// Lets other threads have the interpreter for a moment.
///
/// Only to let it go would not do: whoever waits for it wakes up too late, and begins to wait anew.
pub fn pause(py: Python<'_>) {
    py.detach(|| sleep(Duration::from_micros(20)));
}

/// Lets go of the blocks of a set, of many in strides, where nobody else looks at them.
pub fn release(table: Arc<Table>) {
    if let Some(table) = Arc::into_inner(table).filter(|table| table.len() >= MANY) {
        Python::attach(|py| table.release(|| pause(py)));
    }
}

/// The fields of a row in the order of `ContextBlock`, the type by its number, nothing shared.
pub fn fields<'py>(table: &Table, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyTuple>> {
    let metadata = PyDict::new(py);
    match table.metadata(row) {
        Texts::Made(texts) => {
            for [key, value] in texts.as_chunks().0 {
                metadata.set_item(key, value)?;
            }
        }
        found @ Texts::Found(_) => {
            for (key, value) in found.pairs() {
                metadata.set_item(key, value)?;
            }
        }
    }
    let references = match table.rare(row).map(|rare| &rare.references) {
        Some(Texts::Made(texts)) => PyList::new(py, texts)?,
        Some(Texts::Found(run)) => PyList::new(py, run.texts())?,
        None => PyList::empty(py),
    };
    (
        &table.ids()[row],
        &table.contents()[row],
        table.scores()[row],
        table.kinds()[row] as u8,
        metadata,
        table.timestamps()[row],
        table.tokens()[row],
        references,
        table.origin(row),
    )
        .into_pyobject(py)
}

/// Whether the row holds just these fields; its tokens are not compared.
pub fn is_same(table: &Table, row: usize, fields: &Fields) -> bool {
    let references = fields.rare.iter().flat_map(|rare| rare.references.iter());
    let metadata = fields.metadata.iter().map(AsRef::as_ref);
    table.ids()[row] == fields.id
        && table.contents()[row] == fields.content
        && table.scores()[row].to_bits() == fields.score.to_bits()
        && table.kinds()[row] == fields.kind
        && table.timestamps()[row] == fields.timestamp
        && table.references(row).eq(references)
        && table.metadata(row).iter().eq(metadata)
        && table.origin(row) == fields.origin.as_ref()
}

/// A row as it is; the provider's fields are read again by whoever asks.
pub fn copied(table: &Table, row: usize) -> Row<Text> {
    Row {
        id: table.ids()[row].clone(),
        content: table.contents()[row].clone(),
        kind: table.kinds()[row],
        score: table.scores()[row],
        timestamp: table.timestamps()[row],
        tokens: table.tokens()[row],
        metadata: table.metadata(row).clone(),
        rare: table.rare(row).and_then(|rare| {
            Rare::unread(rare.references.clone(), rare.unit.clone(), rare.provider.is_some())
        }),
        extra: table.extra(row).map(|extra| Box::new(Extra::clone(extra))),
    }
}
