//! The message `ContextBlock`.

use std::collections::HashSet;

use crate::columns::{Columns, Extra, Rare, Row, UNIT};
use crate::error::Fault;
use crate::kind::Kind;
use crate::limits::{Limits, is_provider};
use crate::wire::proto::{
    Out, Read, Reader, bytes_len, entry_len, nested_len, number_len, put_bytes, put_entry, put_f32,
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
pub fn put<T: AsRef<str>>(out: &mut Out<'_>, columns: &Columns<T>, row: usize) {
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
        out.put(reference.as_ref().as_bytes());
    }
    if let Some(exact) = score.exact {
        put_f64(out, EXACT_SCORE, exact);
    }
    if let Some(extra) = extra {
        put_bytes(out, ORIGIN, extra.origin.as_ref().map_or("", AsRef::as_ref).as_bytes());
        out.put(&extra.unknown);
    }
}

/// A score as two fields: the article's has 32 bits.
#[derive(Debug, Default)]
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

/// The id of a block, where that was read, and what is wrong with it.
pub type Refused<'a> = (Option<&'a str>, Fault);

/// The fields of a block as they are read; used for one after the other, so that its lists are made once.
#[derive(Debug, Default)]
pub struct Fields<'a> {
    id: &'a str,
    timestamp: i64,
    content: &'a str,
    score: Score,
    metadata: Vec<(&'a str, &'a str)>,
    kind: Option<Kind>,
    tokens: Option<u32>,
    references: Vec<&'a str>,
    origin: Option<&'a str>,
    unknown: Vec<u8>,
}

impl<'a> Fields<'a> {
    /// Reads a block, checked, its texts as `text` makes them, and the tokens that the sender counted, if any.
    pub fn row<T>(
        &mut self,
        reader: Reader<'a>,
        limits: &Limits,
        mut text: impl FnMut(&'a str) -> T,
    ) -> Result<(Row<T>, Option<u32>), Refused<'a>> {
        self.clear();
        let read = limits
            .message(reader.len())
            .and_then(|()| self.read(reader, limits).map_err(|fault| *fault))
            .and_then(|()| self.check(limits));
        read.map_err(|fault| (Some(self.id).filter(|_| fault.field != "id"), fault))?;
        let unit = self.metadata.iter().find(|(key, _)| *key == UNIT);
        let unit = unit.map(|(_, name)| text(name));
        let has_provider = self.metadata.iter().any(|(key, _)| is_provider(key));
        let references = self.references.iter().map(|id| text(id)).collect();
        let metadata = self.metadata.iter().map(|(key, value)| (text(key), text(value)));
        let metadata = metadata.collect();
        let row = Row {
            id: text(self.id),
            content: text(self.content),
            // As proto3 has it: what nobody wrote is 0.
            kind: self.kind.unwrap_or(Kind::System),
            score: self.score.value(),
            timestamp: self.timestamp,
            tokens: 0,
            rare: Rare::unread(references, unit, has_provider),
            extra: Extra::of(metadata, self.origin.map(text), self.unknown.as_slice().into()),
        };
        Ok((row, self.tokens))
    }

    fn clear(&mut self) {
        let (mut metadata, mut references, mut unknown) = (
            std::mem::take(&mut self.metadata),
            std::mem::take(&mut self.references),
            std::mem::take(&mut self.unknown),
        );
        metadata.clear();
        references.clear();
        unknown.clear();
        *self = Self { metadata, references, unknown, ..Self::default() };
    }

    fn read(&mut self, mut reader: Reader<'a>, limits: &Limits) -> Read<()> {
        while let Some(tag) = reader.tag()? {
            match u8::try_from(tag.number()).unwrap_or(0) {
                ID => self.id = reader.text(tag, "id")?,
                TIMESTAMP => {
                    let most = i64::MAX.unsigned_abs();
                    self.timestamp = reader.number(tag, "timestamp", most)?.cast_signed();
                }
                CONTENT => self.content = reader.text(tag, "content")?,
                SCORE => self.score.rounded = reader.f32(tag, "relevance_score")?,
                METADATA => self.metadata.push(entry(reader.message(tag, "metadata")?)?),
                TYPE => self.kind = Some(kind(reader.number(tag, "type", u64::MAX)?)?),
                TOKENS => self.tokens = Some(reader.u32(tag, "token_count")?),
                REFERENCES => {
                    self.references.push(reader.text(tag, "references")?);
                    limits.references(self.references.len()).map_err(Box::new)?;
                }
                EXACT_SCORE => self.score.exact = Some(reader.f64(tag, "relevance_score")?),
                ORIGIN => self.origin = Some(reader.text(tag, "origin")?).filter(|o| !o.is_empty()),
                _ => self.unknown.extend_from_slice(reader.skip(tag)?),
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

fn kind(number: u64) -> Read<Kind> {
    let found = usize::try_from(number).ok().and_then(|at| Kind::ALL.get(at).copied());
    found.ok_or_else(|| {
        let names = Kind::ALL.map(|kind| format!("{} {}", kind as u8, kind.name()));
        let rule = format!("is not one of {}", names.join(", "));
        Box::new(Fault::new("type", &number.to_string(), rule))
    })
}

fn entry(mut reader: Reader<'_>) -> Read<(&str, &str)> {
    let (mut key, mut value) = ("", "");
    while let Some(tag) = reader.tag()? {
        match tag.number() {
            1 => key = reader.text(tag, "metadata key")?,
            2 => value = reader.text(tag, "metadata")?,
            _ => drop(reader.skip(tag)?),
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
