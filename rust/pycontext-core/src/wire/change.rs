//! The message `ContextChange`: what a store keeps of one change of a session.

use std::ops::Range;

use crate::error::Fault;
use crate::limits::Limits;
use crate::wire::proto::{
    Out, Read, Reader, Tag, bytes_len, nested_len, number_len, put_bytes, put_nested, put_number,
};

// The numbers of the schema.
const PACKAGE: u8 = 1;
const KIND: u8 = 2;
const REMOVED: u8 = 3;

/// What a change does, around a package as a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// What becomes of the package: 0 its blocks are appended, 1 they take the place of those of their ids, 2 its header
    /// is that of the session.
    pub kind: u32,
    /// Ids of blocks that go.
    pub removed: Vec<String>,
}

impl Change {
    /// The message, around that of a package.
    #[must_use]
    pub fn encode(&self, package: &[u8]) -> Vec<u8> {
        let removed: usize = self.removed.iter().map(|id| bytes_len(id.len())).sum();
        let len = nested_len(package.len()) + number_len(self.kind.into()) + removed;
        let mut bytes = vec![0; len];
        let out = &mut Out::new(&mut bytes);
        put_nested(out, PACKAGE, package.len());
        out.put(package);
        put_number(out, KIND, self.kind.into());
        for id in &self.removed {
            put_bytes(out, REMOVED, id.as_bytes());
        }
        bytes
    }

    /// Reads the message, and where in it the package is.
    ///
    /// # Errors
    /// The bytes are no such message, or it is outside `limits`.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<(Self, Range<usize>), Box<Fault>> {
        let mut change = Self::default();
        let mut package = 0..0;
        let mut reader = Reader::new(bytes, 0);
        while let Some(tag) = reader.tag()? {
            match u8::try_from(tag.number()).unwrap_or(0) {
                PACKAGE => package = reader.message(tag, "package")?.place(),
                KIND => change.kind = reader.u32(tag, "kind")?,
                REMOVED => change.remove(&mut reader, tag, limits)?,
                _ => drop(reader.skip(tag)?),
            }
        }
        Ok((change, package))
    }

    fn remove(&mut self, reader: &mut Reader<'_>, tag: Tag, limits: &Limits) -> Read<()> {
        let id = reader.text(tag, "removed")?;
        limits.id("removed", id).map_err(Box::new)?;
        self.removed.push(id.to_owned());
        limits.package_blocks(self.removed.len()).map_err(Box::new)
    }
}
