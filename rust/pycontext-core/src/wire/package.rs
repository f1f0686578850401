//! The message `ContextPackage`.

use std::ops::Range;

use crate::columns::Columns;
use crate::draft::Draft;
use crate::error::{Error, Fault};
use crate::limits::{Limits, within};
use crate::slice::{self, Slice, Source};
use crate::wire::block::{self, Fields, Refused};
use crate::wire::proto::{
    Out, Read, Reader, Tag, bytes_len, float_len, nested_len, number_len, put_bytes, put_f32,
    put_nested, put_number,
};

/// Bytes of a content hash.
pub const HASH_BYTES: usize = 32;

// The numbers of the schema.
const SESSION_ID: u8 = 1;
const AGENT_ID: u8 = 2;
const BLOCKS: u8 = 3;
const METRICS: u8 = 4;
const VERSION: u8 = 5;
const TRACE_ID: u8 = 6;
const COUNTER: u8 = 7;
const OPERATION_ID: u8 = 8;
const PARENTS: u8 = 9;
const HOPS: u8 = 10;
const EPOCH: u8 = 11;
const SENDER: u8 = 12;

/// A merge has two.
const MOST_PARENTS: usize = 16;

/// What a package says besides its blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// The session that the blocks are of.
    pub session_id: String,
    /// Who owns the session.
    pub agent_id: String,
    /// Raised by every change.
    pub version: u32,
    /// Follows the session through handoffs.
    pub trace_id: String,
    /// Name of what counted the tokens; empty where the sender did not say.
    pub counter: String,
    /// Id of the last change.
    pub operation_id: String,
    /// What this was made from.
    pub parents: Vec<Parent>,
    /// Handoffs since the first package.
    pub hops: u32,
    /// Transfers of this session.
    pub epoch: u32,
    /// Who handed it over; empty where it is its agent's own.
    pub sender: String,
    /// Fields that this version does not know, as they came.
    pub unknown: Vec<u8>,
}

/// A package that another was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parent {
    /// Its session.
    pub session_id: String,
    /// Its version.
    pub version: u32,
    /// Hash of its blocks.
    pub content_hash: Vec<u8>,
}

/// How full a package is: written for readers of other languages, never read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// Tokens of the contents alone.
    pub total_tokens: u32,
    /// Their share of the budget.
    pub context_saturation: f32,
    /// Share of the tokens by name of the type.
    pub type_distribution: Vec<(String, f32)>,
}

/// A package, measured and ready to be written.
#[derive(Debug)]
pub struct Encoder<'a, T> {
    header: &'a Header,
    metrics: &'a Metrics,
    columns: &'a Columns<T>,
    /// Bytes of every block.
    lens: Vec<usize>,
    len: usize,
}

impl<'a, T: AsRef<str>> Encoder<'a, T> {
    /// Measures a package.
    ///
    /// # Errors
    /// More blocks or bytes than a reader takes.
    pub fn new(
        header: &'a Header,
        metrics: &'a Metrics,
        columns: &'a Columns<T>,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        limits.package_blocks(columns.len())?;
        let lens: Vec<usize> = (0..columns.len()).map(|row| block::len(columns, row)).collect();
        let blocks: usize = lens.iter().map(|len| nested_len(*len)).sum();
        let len = blocks + header.len() + nested_len(metrics.len());
        limits.package_bytes(len)?;
        Ok(Self { header, metrics, columns, lens, len })
    }

    /// Bytes of the message.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the message has no bytes, which none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Writes the message to a place of just its size.
    pub fn write(&self, bytes: &mut [u8]) {
        let out = &mut Out::new(bytes);
        put_bytes(out, SESSION_ID, self.header.session_id.as_bytes());
        put_bytes(out, AGENT_ID, self.header.agent_id.as_bytes());
        for (row, len) in self.lens.iter().enumerate() {
            put_nested(out, BLOCKS, *len);
            block::put(out, self.columns, row);
        }
        put_nested(out, METRICS, self.metrics.len());
        self.metrics.put(out);
        self.header.put_rest(out);
    }
}

/// A package as it was read.
#[derive(Debug)]
pub struct Package<T> {
    /// All but its blocks.
    pub header: Header,
    /// Its blocks.
    pub blocks: Draft<T>,
}

/// Reads the package that is a part of `bytes`, which its blocks keep: their texts stay where they are.
///
/// # Errors
/// The bytes are no such message, or a value is outside `limits`; the number of blocks is compared before any is read.
pub fn decode<T: AsRef<str> + From<Slice>>(
    bytes: impl Source + 'static,
    part: Range<usize>,
    limits: &Limits,
) -> Result<Package<T>, Error> {
    let of_package = |fault: Fault| fault.at(None, None);
    if part.is_empty() {
        return Err(of_package(Fault::new("protobuf", "", "is empty")));
    }
    limits.package_bytes(part.len()).map_err(of_package)?;
    let outlined = outline(&bytes.as_ref()[part.clone()], limits);
    let (header, count) = outlined.map_err(|fault| fault.at(None, None))?;
    limits.package_blocks(count).map_err(of_package)?;
    let mut blocks = Draft::with_capacity(count);
    slice::find(bytes, part, |bytes, finds| {
        let unboxed = |fault: Box<Fault>| fault.at(None, None);
        // Most blocks have two and no more.
        finds.reserve(2 * count);
        let mut fields = Fields::default();
        let mut reader = Reader::new(bytes, 0);
        while let Some(tag) = reader.tag().map_err(unboxed)? {
            if tag.number() != u64::from(BLOCKS) {
                reader.skip(tag).map_err(unboxed)?;
                continue;
            }
            let at = Some(blocks.len());
            let message = reader.message(tag, "blocks").map_err(|fault| fault.at(at, None))?;
            let refused = |(id, fault): Refused<'_>| fault.at(at, id.filter(|id| !id.is_empty()));
            let (row, is_counted) = fields.row(message, limits, finds).map_err(refused)?;
            blocks.push(row, is_counted);
        }
        Ok(())
    })?;
    Ok(Package { header, blocks })
}

/// All of a package but its blocks, and how many there are.
fn outline(bytes: &[u8], limits: &Limits) -> Read<(Header, usize)> {
    let mut header = Header::default();
    let mut count = 0;
    let mut reader = Reader::new(bytes, 0);
    while let Some(tag) = reader.tag()? {
        if tag.number() == u64::from(BLOCKS) {
            reader.skip(tag)?;
            count += 1;
        } else {
            header.take(tag, &mut reader, limits)?;
        }
    }
    Ok((header, count))
}

impl Header {
    fn len(&self) -> usize {
        let texts = [
            &self.session_id,
            &self.agent_id,
            &self.trace_id,
            &self.counter,
            &self.operation_id,
            &self.sender,
        ];
        let numbers = [self.version, self.hops, self.epoch];
        texts.iter().map(|text| bytes_len(text.len())).sum::<usize>()
            + numbers.iter().map(|number| number_len((*number).into())).sum::<usize>()
            + self.parents.iter().map(|parent| nested_len(parent.len())).sum::<usize>()
            + self.unknown.len()
    }

    /// Appends what comes behind the blocks.
    fn put_rest(&self, out: &mut Out<'_>) {
        put_number(out, VERSION, self.version.into());
        put_bytes(out, TRACE_ID, self.trace_id.as_bytes());
        put_bytes(out, COUNTER, self.counter.as_bytes());
        put_bytes(out, OPERATION_ID, self.operation_id.as_bytes());
        for parent in &self.parents {
            put_nested(out, PARENTS, parent.len());
            put_bytes(out, 1, parent.session_id.as_bytes());
            put_number(out, 2, parent.version.into());
            put_bytes(out, 3, &parent.content_hash);
        }
        put_number(out, HOPS, self.hops.into());
        put_number(out, EPOCH, self.epoch.into());
        put_bytes(out, SENDER, self.sender.as_bytes());
        out.put(&self.unknown);
    }

    fn take(&mut self, tag: Tag, reader: &mut Reader<'_>, limits: &Limits) -> Read<()> {
        match u8::try_from(tag.number()).unwrap_or(0) {
            SESSION_ID => self.session_id = reader.text(tag, "session_id")?.into(),
            AGENT_ID => self.agent_id = reader.text(tag, "agent_id")?.into(),
            // Measured anew from the blocks.
            METRICS => drop(reader.bytes(tag, "metrics")?),
            VERSION => self.version = reader.u32(tag, "version")?,
            TRACE_ID => self.trace_id = reader.text(tag, "trace_id")?.into(),
            COUNTER => self.counter = reader.text(tag, "counter")?.into(),
            OPERATION_ID => self.operation_id = reader.text(tag, "operation_id")?.into(),
            PARENTS => {
                self.parents.push(Parent::read(reader.message(tag, "parents")?)?);
                within("parents", "are", self.parents.len(), "packages", MOST_PARENTS)
                    .map_err(Box::new)?;
            }
            HOPS => self.hops = reader.u32(tag, "hops")?,
            EPOCH => self.epoch = reader.u32(tag, "epoch")?,
            SENDER => self.sender = reader.text(tag, "sender")?.into(),
            _ => {
                self.unknown.extend_from_slice(reader.skip(tag)?);
                let limit = limits.metadata_bytes;
                within("unknown fields", "are", self.unknown.len(), "bytes", limit)
                    .map_err(Box::new)?;
            }
        }
        Ok(())
    }
}

impl Parent {
    fn len(&self) -> usize {
        bytes_len(self.session_id.len())
            + number_len(self.version.into())
            + bytes_len(self.content_hash.len())
    }

    fn read(mut reader: Reader<'_>) -> Read<Self> {
        let mut parent = Self::default();
        while let Some(tag) = reader.tag()? {
            match tag.number() {
                1 => parent.session_id = reader.text(tag, "parents.session_id")?.into(),
                2 => parent.version = reader.u32(tag, "parents.version")?,
                3 => parent.content_hash = hash(&mut reader, tag, "parents.content_hash")?,
                _ => drop(reader.skip(tag)?),
            }
        }
        Ok(parent)
    }
}

/// A content hash.
pub(super) fn hash(reader: &mut Reader<'_>, tag: Tag, name: &str) -> Read<Vec<u8>> {
    let bytes = reader.bytes(tag, name)?;
    if bytes.len() == HASH_BYTES {
        Ok(bytes.to_vec())
    } else {
        let rule = format!("is {} bytes, not {HASH_BYTES}", bytes.len());
        Err(Box::new(Fault::new(name, "", rule)))
    }
}

impl Metrics {
    fn len(&self) -> usize {
        let share = |(name, share): &(String, f32)| nested_len(share_len(name, *share));
        number_len(self.total_tokens.into())
            + float_len(self.context_saturation)
            + self.type_distribution.iter().map(share).sum::<usize>()
    }

    fn put(&self, out: &mut Out<'_>) {
        put_number(out, 1, self.total_tokens.into());
        put_f32(out, 2, self.context_saturation);
        for (name, share) in &self.type_distribution {
            put_nested(out, 3, share_len(name, *share));
            put_bytes(out, 1, name.as_bytes());
            put_f32(out, 2, *share);
        }
    }
}

fn share_len(name: &str, share: f32) -> usize {
    bytes_len(name.len()) + float_len(share)
}
