//! The message `ContextBlock`.

use crate::columns::Columns;
use crate::error::Fault;
use crate::kind::Kind;
use crate::limits::Limits;
use crate::row::{Extra, Rare, Row};
use crate::slice::{Finds, Slice};
use crate::texts::Texts;
use crate::wire::metadata::Metadata;
use crate::wire::proto::{
    Out, Read, Reader, bytes_len, entry_len, float_len, nested_len, number_len, put_bytes,
    put_entry, put_f32, put_f64, put_nested, put_number, put_present, varint_len,
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

/// Bytes of a row as a message.
pub fn len<T: AsRef<str>>(columns: &Columns<T>, row: usize) -> usize {
    let score = Score::of(columns.scores()[row]);
    let mut len = bytes_len(columns.ids()[row].as_ref().len())
        + number_len(columns.timestamps()[row].unsigned_abs())
        + bytes_len(columns.contents()[row].as_ref().len())
        + number_len(columns.kinds()[row] as u64)
        + 1
        + varint_len(columns.tokens()[row].into())
        + float_len(score.rounded)
        + score.exact.map_or(0, |_| 9);
    for reference in columns.references(row) {
        len += nested_len(reference.len());
    }
    for (key, value) in columns.metadata(row).pairs() {
        len += nested_len(entry_len(key, value));
    }
    if let Some(extra) = columns.extra(row) {
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
    for (key, value) in columns.metadata(row).pairs() {
        put_entry(out, METADATA, key, value);
    }
    put_number(out, TYPE, columns.kinds()[row] as u64);
    // Also where it is 0: nothing there means that nobody counted.
    put_present(out, TOKENS, columns.tokens()[row].into());
    for reference in columns.references(row) {
        put_nested(out, REFERENCES, reference.len());
        out.put(reference.as_bytes());
    }
    if let Some(exact) = score.exact {
        put_f64(out, EXACT_SCORE, exact);
    }
    if let Some(extra) = columns.extra(row) {
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
    metadata: Metadata<'a>,
    kind: Option<Kind>,
    tokens: Option<u32>,
    references: Vec<&'a str>,
    origin: Option<&'a str>,
    unknown: Vec<u8>,
}

impl<'a> Fields<'a> {
    /// Reads a block, checked, and whether its sender counted its tokens.
    pub fn row<T: AsRef<str> + From<Slice>>(
        &mut self,
        reader: Reader<'a>,
        limits: &Limits,
        finds: &mut Finds<'a>,
    ) -> Result<(Row<T>, bool), Refused<'a>> {
        self.clear();
        let read = limits
            .message(reader.len())
            .and_then(|()| self.read(reader, limits).map_err(|fault| *fault))
            .and_then(|()| self.check(limits));
        read.map_err(|fault| (Some(self.id).filter(|_| fault.field != "id"), fault))?;
        let unit = self.metadata.unit().map(|name| finds.slice(name).into());
        let references = if self.references.is_empty() {
            Texts::default()
        } else {
            finds.run(self.references.iter().copied()).into()
        };
        let metadata = if self.metadata.is_empty() {
            Texts::default()
        } else {
            finds.run(self.metadata.texts()).into()
        };
        let origin = self.origin.map(|origin| finds.slice(origin).into());
        let row = Row {
            id: finds.slice(self.id).into(),
            content: finds.slice(self.content).into(),
            // As proto3 has it: what nobody wrote is 0.
            kind: self.kind.unwrap_or(Kind::System),
            score: self.score.value(),
            timestamp: self.timestamp,
            tokens: self.tokens.unwrap_or_default(),
            metadata,
            rare: Rare::unread(references, unit, self.metadata.has_provider()),
            extra: Extra::of(origin, self.unknown.as_slice().into()),
        };
        Ok((row, self.tokens.is_some()))
    }

    fn clear(&mut self) {
        self.metadata.clear();
        self.references.clear();
        self.unknown.clear();
        (self.id, self.content) = ("", "");
        (self.timestamp, self.score) = (0, Score::default());
        (self.kind, self.tokens, self.origin) = (None, None, None);
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
                METADATA => self.metadata.take(reader.message(tag, "metadata")?)?,
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
        self.metadata.keep_last();
        Ok(())
    }

    fn check(&mut self, limits: &Limits) -> Result<(), Fault> {
        limits.id("id", self.id)?;
        limits.score(self.score.rounded.into())?;
        limits.score(self.score.value())?;
        self.metadata.check(self.content, limits)?;
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
