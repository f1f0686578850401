//! The message `ContextDelta`: what makes one package of another.

use std::ops::Range;

use crate::error::Fault;
use crate::limits::Limits;
use crate::wire::package::hash;
use crate::wire::proto::{
    Out, Read, Reader, bytes_len, nested_len, number_len, put_bytes, put_nested, put_number,
};

// The numbers of the schema.
const PACKAGE: u8 = 1;
const BASE_HASH: u8 = 2;
const CONTENT_HASH: u8 = 3;
const RUNS: u8 = 4;

/// Blocks that follow each other in the base, or among those that the delta carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first one in the base; `None` for the next ones that the delta carries.
    pub start: Option<u32>,
    /// How many there are.
    pub count: u32,
}

/// What makes one package of another; the package, as a message, has the new header and the blocks that are carried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delta {
    /// Content hash of the package that it is for.
    pub base_hash: Vec<u8>,
    /// Content hash of the package that it makes.
    pub content_hash: Vec<u8>,
    /// Where the blocks of that are, in order.
    pub runs: Vec<Run>,
}

impl Delta {
    /// The message, around that of a package.
    #[must_use]
    pub fn encode(&self, package: &[u8]) -> Vec<u8> {
        let runs: usize = self.runs.iter().map(|run| nested_len(run.len())).sum();
        let hashes = bytes_len(self.base_hash.len()) + bytes_len(self.content_hash.len());
        let mut bytes = vec![0; nested_len(package.len()) + hashes + runs];
        let out = &mut Out::new(&mut bytes);
        put_nested(out, PACKAGE, package.len());
        out.put(package);
        put_bytes(out, BASE_HASH, &self.base_hash);
        put_bytes(out, CONTENT_HASH, &self.content_hash);
        for run in &self.runs {
            put_nested(out, RUNS, run.len());
            put_number(out, 1, run.from());
            put_number(out, 2, run.count.into());
        }
        bytes
    }

    /// Reads the message, and where in it the package is.
    ///
    /// # Errors
    /// The bytes are no such message, or it makes more blocks than `limits` take: a few bytes can ask for many.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<(Self, Range<usize>), Box<Fault>> {
        let mut delta = Self::default();
        let mut package = 0..0;
        let mut blocks = 0_usize;
        let mut reader = Reader::new(bytes, 0);
        while let Some(tag) = reader.tag()? {
            match u8::try_from(tag.number()).unwrap_or(0) {
                PACKAGE => {
                    package = reader.message(tag, "package")?.place();
                }
                BASE_HASH => delta.base_hash = hash(&mut reader, tag, "base_hash")?,
                CONTENT_HASH => delta.content_hash = hash(&mut reader, tag, "content_hash")?,
                RUNS => {
                    let run = Run::read(reader.message(tag, "runs")?)?;
                    blocks = blocks.saturating_add(run.count as usize);
                    limits.package_blocks(blocks).map_err(Box::new)?;
                    delta.runs.push(run);
                }
                _ => drop(reader.skip(tag)?),
            }
        }
        for (name, hash) in [("base_hash", &delta.base_hash), ("content_hash", &delta.content_hash)]
        {
            if hash.is_empty() {
                return Err(Box::new(Fault::new(name, "", "is missing")));
            }
        }
        Ok((delta, package))
    }
}

impl Run {
    /// As the schema has it: one more than the first row, 0 for blocks that are carried.
    fn from(self) -> u64 {
        self.start.map_or(0, |start| u64::from(start) + 1)
    }

    fn len(self) -> usize {
        number_len(self.from()) + number_len(self.count.into())
    }

    fn read(mut reader: Reader<'_>) -> Read<Self> {
        let mut run = Self { start: None, count: 0 };
        while let Some(tag) = reader.tag()? {
            match tag.number() {
                1 => run.start = reader.u32(tag, "runs.from")?.checked_sub(1),
                2 => run.count = reader.u32(tag, "runs.count")?,
                _ => drop(reader.skip(tag)?),
            }
        }
        if run.count == 0 {
            // Else there might be any number of them.
            return Err(Box::new(Fault::new("runs.count", "0", "is not 1 or more")));
        }
        Ok(run)
    }
}
