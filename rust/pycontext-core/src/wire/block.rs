//! The message `ContextBlock`.

use std::collections::HashSet;
use std::sync::Arc;

use crate::columns::{Columns, Extra, Rare, Row};
use crate::error::Fault;
use crate::kind::Kind;
use crate::limits::Limits;
use crate::slice::Slice;
use crate::wire::proto::{
    Field, Reader, bytes_len, entry_len, nested_len, number_len, put_bytes, put_entry, put_f32,
    put_f64, put_nested, put_number, put_present, varint_len,
};

// The numbers of the schema.
const ID: u8 = 1;
const TIMESTAMP: u8 = 2;
const CONTENT: u8 = 3;
const SCORE: u8 = 4;
const METADATA: u8 = 5;
const TYPE: u8 = 6;
const TOKENS: u8 = 7;
const REFERENCES: u8 = 8;
const EXACT_SCORE: u8 = 9;
const ORIGIN: u8 = 10;

/// Metadata keys from which a set finds those that come twice sooner than a look at all.
const MANY_KEYS: usize = 16;

/// Bytes of a row as a message.
pub fn len<T: AsRef<str>>(columns: &Columns<T>, row: usize) -> usize {
    let score = Score::of(columns.scores()[row]);
    let mut len = bytes_len(columns.ids()[row].as_ref().len())
        + number_len(columns.timestamps()[row].unsigned_abs())
        + bytes_len(columns.contents()[row].as_ref().len())
        + number_len(columns.kinds()[row] as u64)
        + 1
        + varint_len(columns.tokens()[row].into())
        + if score.rounded == 0.0 { 0 } else { 5 }
        + score.exact.map_or(0, |_| 9);
    for reference in columns.references(row) {
        len += nested_len(reference.as_ref().len());
    }
    if let Some(extra) = columns.extra(row) {
        for (key, value) in &extra.metadata {
            len += nested_len(entry_len(key.as_ref(), value.as_ref()));
        }
        len += extra.origin.as_ref().map_or(0, |origin| bytes_len(origin.as_ref().len()));
        len += extra.unknown.len();
    }
    len
}

/// Appends a row as a message.
pub fn put<T: AsRef<str>>(out: &mut Vec<u8>, columns: &Columns<T>, row: usize) {
    let score = Score::of(columns.scores()[row]);
    put_bytes(out, ID, columns.ids()[row].as_ref().as_bytes());
    put_number(out, TIMESTAMP, columns.timestamps()[row].unsigned_abs());
    put_bytes(out, CONTENT, columns.contents()[row].as_ref().as_bytes());
    put_f32(out, SCORE, score.rounded);
    let extra = columns.extra(row);
    for (key, value) in extra.map_or(&[][..], |extra| &extra.metadata) {
        put_entry(out, METADATA, key.as_ref(), value.as_ref());
    }
    put_number(out, TYPE, columns.kinds()[row] as u64);
    // Also where it is 0: nothing there means that nobody counted.
    put_present(out, TOKENS, columns.tokens()[row].into());
    for reference in columns.references(row) {
        put_nested(out, REFERENCES, reference.as_ref().len());
        out.extend_from_slice(reference.as_ref().as_bytes());
    }
    if let Some(exact) = score.exact {
        put_f64(out, EXACT_SCORE, exact);
    }
    if let Some(extra) = extra {
        put_bytes(out, ORIGIN, extra.origin.as_ref().map_or("", AsRef::as_ref).as_bytes());
        out.extend_from_slice(&extra.unknown);
    }
}

/// A score as two fields: the article's has 32 bits.
struct Score {
    rounded: f32,
    /// What 32 bits cannot hold.
    exact: Option<f64>,
}

impl Score {
    fn of(score: f64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "rounding is what is meant")]
        let rounded = score as f32;
        let is_same = f64::from(rounded).to_bits() == score.to_bits();
        Self { rounded, exact: (!is_same).then_some(score) }
    }

    /// The exact score, while it belongs to the rounded one: somebody may have written to that alone.
    fn value(&self) -> f64 {
        let rounded = f64::from(self.rounded);
        self.exact
            .filter(|exact| Self::of(*exact).rounded.to_bits() == self.rounded.to_bits())
            .unwrap_or(rounded)
    }
}

/// A block as it was read, checked, its texts still in the data.
#[derive(Debug)]
pub struct Block<'a> {
    /// Its fields; `tokens` are 0.
    pub row: Row<&'a str>,
    /// Tokens that the sender counted, if any.
    pub tokens: Option<u32>,
}

impl<'a> Block<'a> {
    /// Reads a block, or says what is wrong with it and its id, where that was read.
    pub fn read(reader: Reader<'a>, limits: &Limits) -> Result<Self, (Option<&'a str>, Fault)> {
        let mut fields = Fields::default();
        let read = limits
            .message(reader.len())
            .and_then(|()| fields.read(reader, limits))
            .and_then(|()| fields.check(limits));
        read.map_err(|fault| (Some(fields.id).filter(|_| fault.field != "id"), fault))?;
        let rare = Rare::of(fields.references, &fields.metadata);
        let row = Row {
            id: fields.id,
            content: fields.content,
            kind: fields.kind,
            score: fields.score.value(),
            timestamp: fields.timestamp,
            tokens: 0,
            rare,
            extra: Extra::of(fields.metadata, fields.origin, fields.unknown.into()),
        };
        Ok(Self { row, tokens: fields.tokens })
    }
}

struct Fields<'a> {
    id: &'a str,
    timestamp: i64,
    content: &'a str,
    score: Score,
    metadata: Vec<(&'a str, &'a str)>,
    kind: Kind,
    tokens: Option<u32>,
    references: Vec<&'a str>,
    origin: Option<&'a str>,
    unknown: Vec<u8>,
}

impl Default for Fields<'_> {
    /// What proto3 says of fields that are not there.
    fn default() -> Self {
        Self {
            id: "",
            timestamp: 0,
            content: "",
            score: Score { rounded: 0.0, exact: None },
            metadata: Vec::new(),
            kind: Kind::System,
            tokens: None,
            references: Vec::new(),
            origin: None,
            unknown: Vec::new(),
        }
    }
}

impl<'a> Fields<'a> {
    fn read(&mut self, mut reader: Reader<'a>, limits: &Limits) -> Result<(), Fault> {
        while let Some(field) = reader.next()? {
            match u8::try_from(field.number).unwrap_or(0) {
                ID => self.id = field.text("id")?,
                TIMESTAMP => {
                    let most = i64::MAX.unsigned_abs();
                    self.timestamp = field.number("timestamp", most)?.cast_signed();
                }
                CONTENT => self.content = field.text("content")?,
                SCORE => self.score.rounded = field.f32("relevance_score")?,
                METADATA => self.metadata.push(entry(&field)?),
                TYPE => self.kind = kind(&field)?,
                TOKENS => self.tokens = Some(field.u32("token_count")?),
                REFERENCES => {
                    self.references.push(field.text("references")?);
                    limits.references(self.references.len())?;
                }
                EXACT_SCORE => self.score.exact = Some(field.f64("relevance_score")?),
                ORIGIN => self.origin = Some(field.text("origin")?).filter(|o| !o.is_empty()),
                _ => self.unknown.extend_from_slice(field.raw),
            }
        }
        keep_last(&mut self.metadata);
        Ok(())
    }

    fn check(&self, limits: &Limits) -> Result<(), Fault> {
        limits.id("id", self.id)?;
        limits.score(self.score.rounded.into())?;
        limits.score(self.score.value())?;
        limits.sizes(self.content, self.metadata.iter().copied())?;
        for (i, reference) in self.references.iter().enumerate() {
            limits
                .id("references", reference)
                .map_err(|fault| Fault { field: format!("references[{i}]"), ..fault })?;
        }
        self.origin.map_or(Ok(()), |origin| limits.id("origin", origin))?;
        limits.block(self.content.len() + self.unknown.len())
    }
}

fn kind(field: &Field<'_>) -> Result<Kind, Fault> {
    let number = field.number("type", u64::MAX)?;
    let found = usize::try_from(number).ok().and_then(|at| Kind::ALL.get(at).copied());
    found.ok_or_else(|| {
        let names = Kind::ALL.map(|kind| format!("{} {}", kind as u8, kind.name()));
        Fault::new("type", &number.to_string(), format!("is not one of {}", names.join(", ")))
    })
}

fn entry<'a>(field: &Field<'a>) -> Result<(&'a str, &'a str), Fault> {
    let mut reader = field.message("metadata")?;
    let (mut key, mut value) = ("", "");
    while let Some(field) = reader.next()? {
        match field.number {
            1 => key = field.text("metadata key")?,
            2 => value = field.text("metadata")?,
            _ => {}
        }
    }
    Ok((key, value))
}

/// Of entries with the same key the last one counts.
fn keep_last(entries: &mut Vec<(&str, &str)>) {
    let is_repeated = if entries.len() < MANY_KEYS {
        (1..entries.len()).any(|at| entries[..at].iter().any(|(key, _)| *key == entries[at].0))
    } else {
        let mut seen = HashSet::with_capacity(entries.len());
        entries.iter().any(|(key, _)| !seen.insert(*key))
    };
    if is_repeated {
        let mut seen = HashSet::with_capacity(entries.len());
        entries.reverse();
        entries.retain(|(key, _)| seen.insert(*key));
        entries.reverse();
    }
}

/// Blocks whose texts are no longer in the data but in one text of their own.
pub fn settle<T: From<Slice> + AsRef<str>>(
    blocks: Vec<Block<'_>>,
    capacity: usize,
) -> Vec<(Row<T>, Option<u32>)> {
    let mut arena = String::with_capacity(capacity);
    let rows: Vec<_> = blocks
        .into_iter()
        .map(|block| {
            let place = |text: &str| {
                let start = arena.len();
                arena.push_str(text);
                start..arena.len()
            };
            (block.row.map(place), block.tokens)
        })
        .collect();
    let arena = Arc::new(arena);
    let piece = |range: std::ops::Range<usize>| {
        T::from(Slice::of(&arena, range.start, range.end).unwrap_or_default())
    };
    rows.into_iter().map(|(row, tokens)| (row.map(piece), tokens)).collect()
}
