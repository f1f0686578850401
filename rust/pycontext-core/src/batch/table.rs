//! Sets of blocks as Arrow tables, one block a row, and back.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, MapBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, LargeStringArray, RecordBatch, StringArray,
    StructArray, UInt32Array,
};
use arrow_buffer::{ArrowNativeType, Buffer};
use arrow_schema::{ArrowError, DataType};
use bumpalo::Bump;

use crate::columns::Columns;
use crate::draft::Draft;
use crate::error::Fault;
use crate::kind::Kind;
use crate::row::{Rare, Row};
use crate::slice::{Slice, find};
use crate::texts::Texts as List;

use super::cell::Texts;
use super::frame::BlockReader;

/// Memory of Arrow's, with texts in it.
struct Bytes(Buffer);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Reads the blocks of batches; contents stay where they are where each array has its texts in one piece.
///
/// # Errors
/// A column is missing or of another type, or a value is outside its limits: the row.
pub fn read_blocks<T: AsRef<str> + Clone + From<Slice>>(
    batches: &[RecordBatch],
) -> Result<Draft<T>, (Option<usize>, Fault)> {
    let mut draft = Draft::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        let first = draft.len();
        let items = StructArray::from(batch.clone());
        let arena = Bump::new();
        let mut reader = BlockReader::of(&items, None, &arena).map_err(|fault| (None, fault))?;
        let is_counted = reader.counts();
        let contents: Vec<T> = column(&items, "content").map_err(|fault| (None, fault))?;
        let mut rows = Vec::with_capacity(items.len());
        let mut rest = Copied::default();
        for at in 0..items.len() {
            let placed = |fault| (Some(first + at), fault);
            let row = reader.read(at, first + at).map_err(placed)?;
            let id = rest.add(row.id);
            let references: Vec<_> = row
                .rare
                .iter()
                .flat_map(|rare| rare.references.iter())
                .map(|id| rest.add(id))
                .collect();
            let metadata = reader.metadata(at).map_err(placed)?;
            let metadata: Vec<_> = metadata.iter().map(|text| rest.add(text)).collect();
            rows.push((row.kind, row.score, row.timestamp, row.tokens, id, references, metadata));
        }
        let texts: Vec<T> = rest.texts();
        let text = |at: &usize| texts[*at].clone();
        for (at, ((kind, score, timestamp, tokens, id, references, metadata), content)) in
            rows.into_iter().zip(contents).enumerate()
        {
            let references: Vec<T> = references.iter().map(text).collect();
            let metadata: Vec<T> = metadata.iter().map(text).collect();
            let row = Row {
                id: text(&id),
                content,
                kind,
                score,
                timestamp,
                tokens,
                rare: Rare::of(references, &metadata),
                metadata: List::from(metadata),
                extra: None,
            };
            draft.push(row, is_counted(at));
        }
    }
    Ok(draft)
}

/// The texts of a column where they are, where they stand in one piece, else copied into one.
fn column<T: From<Slice>>(items: &StructArray, name: &str) -> Result<Vec<T>, Fault> {
    let missing = || Fault::new(name, "", "is missing");
    let array = items.column_by_name(name).ok_or_else(missing)?;
    match array.data_type() {
        DataType::Utf8 => {
            let array: &StringArray = array.as_string();
            let at = |at: &i32| at.as_usize();
            Ok(in_place(array.values(), &array.value_offsets().iter().map(at).collect::<Vec<_>>()))
        }
        DataType::LargeUtf8 => {
            let array: &LargeStringArray = array.as_string();
            let at = |at: &i64| at.as_usize();
            Ok(in_place(array.values(), &array.value_offsets().iter().map(at).collect::<Vec<_>>()))
        }
        _ => {
            let texts = Texts::of(array.as_ref()).ok_or_else(missing)?;
            let mut copied = Copied::default();
            for row in 0..array.len() {
                copied.add(texts.get(row).unwrap_or_default());
            }
            Ok(copied.texts())
        }
    }
}

fn in_place<T: From<Slice>>(values: &Buffer, offsets: &[usize]) -> Vec<T> {
    let ranges = offsets.windows(2).map(|pair| pair[0]..pair[1]).collect();
    found(Bytes(values.clone()), values.len(), ranges)
}

/// Texts that stand in one piece of memory.
fn found<T: From<Slice>>(
    bytes: impl AsRef<[u8]> + fmt::Debug + Send + Sync + 'static,
    length: usize,
    ranges: Vec<Range<usize>>,
) -> Vec<T> {
    let mut texts = Vec::with_capacity(ranges.len());
    let ended = find(bytes, 0..length, |bytes, finds| {
        finds.reserve(ranges.len());
        for range in ranges {
            // Arrow's arrays are checked when they come in.
            let text = simdutf8::basic::from_utf8(&bytes[range]).map_err(|_| ())?;
            texts.push(T::from(finds.slice(text)));
        }
        Ok::<_, ()>(())
    });
    debug_assert_eq!(ended, Ok(()));
    texts
}

/// Texts that are copied into one piece of memory.
#[derive(Default)]
struct Copied {
    bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl Copied {
    fn add(&mut self, text: &str) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text.as_bytes());
        self.ranges.push(start..self.bytes.len());
        self.ranges.len() - 1
    }

    fn texts<T: From<Slice>>(self) -> Vec<T> {
        let length = self.bytes.len();
        found(self.bytes, length, self.ranges)
    }
}

/// The blocks as a batch with all fields but the origin.
///
/// # Errors
/// The texts of a column are over 2 GiB, but for the contents.
pub fn write_blocks<T: AsRef<str>>(columns: &Columns<T>) -> Result<RecordBatch, ArrowError> {
    let rows = 0..columns.len();
    let ids: StringArray = columns.ids().iter().map(|id| Some(id.as_ref())).collect();
    let contents: LargeStringArray =
        columns.contents().iter().map(|text| Some(text.as_ref())).collect();
    let kinds: StringArray = columns.kinds().iter().map(|kind: &Kind| Some(kind.name())).collect();
    let mut references = ListBuilder::new(StringBuilder::new());
    let mut metadata = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for row in rows {
        columns.references(row).for_each(|id| references.values().append_value(id));
        references.append(true);
        for (key, value) in columns.metadata(row).pairs() {
            metadata.keys().append_value(key);
            metadata.values().append_value(value);
        }
        metadata.append(true)?;
    }
    let all: [(&str, ArrayRef); 8] = [
        ("id", Arc::new(ids)),
        ("content", Arc::new(contents)),
        ("type", Arc::new(kinds)),
        ("score", Arc::new(Float64Array::from(columns.scores().to_vec()))),
        ("timestamp", Arc::new(Int64Array::from(columns.timestamps().to_vec()))),
        ("token_count", Arc::new(UInt32Array::from(columns.tokens().to_vec()))),
        ("references", Arc::new(references.finish())),
        ("metadata", Arc::new(metadata.finish())),
    ];
    RecordBatch::try_from_iter(all)
}
