//! How large a block may be, and the checks that hold it to that.

use crate::error::Fault;

/// Sizes above which a block is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an id or a reference in UTF-8.
    pub id_bytes: usize,
    /// Bytes of a block in UTF-8: content and provider fields together.
    pub block_bytes: usize,
    /// Bytes of metadata keys and values in UTF-8, provider fields left out.
    pub metadata_bytes: usize,
    /// Number of metadata keys, provider fields left out.
    pub metadata_keys: usize,
    /// Number of references of a block.
    pub references: usize,
    /// Bytes of a package, before it is compressed.
    pub package_bytes: usize,
    /// Number of blocks of a package.
    pub package_blocks: usize,
}

/// Prefixes of metadata keys that hold a provider's own message fields.
pub const PROVIDER_PREFIXES: [&str; 2] = ["openai.", "anthropic."];

/// Whether a metadata key holds a provider's own field.
#[must_use]
pub fn is_provider(key: &str) -> bool {
    PROVIDER_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

impl Limits {
    /// The limits in force.
    pub const DEFAULT: Self = Self {
        id_bytes: 256,
        block_bytes: 1 << 20,
        metadata_bytes: 64 << 10,
        metadata_keys: 256,
        references: 10_000,
        package_bytes: 64 << 20,
        package_blocks: 100_000,
    };

    /// Checks an id, or a reference to one.
    ///
    /// # Errors
    /// Empty, longer than `id_bytes`, or with a control character.
    pub fn id(&self, field: &str, id: &str) -> Result<(), Fault> {
        let quoted = || format!("'{id}'");
        if id.is_empty() {
            Err(Fault::new(field, "''", "is empty"))
        } else if id.len() > self.id_bytes {
            let rule = format!("is {} bytes, over {}", id.len(), self.id_bytes);
            Err(Fault::new(field, &quoted(), rule))
        } else if has_control(id) {
            Err(Fault::new(field, &quoted(), "holds a control character"))
        } else {
            Ok(())
        }
    }

    /// Checks that a score is finite and in `[0, 1]`.
    ///
    /// # Errors
    /// NaN, infinite, or outside.
    pub fn score(&self, score: f64) -> Result<(), Fault> {
        if (0.0..=1.0).contains(&score) {
            Ok(())
        } else {
            Err(Fault::new("relevance_score", &score.to_string(), "is not a number from 0 to 1"))
        }
    }

    /// Checks content and metadata, pair by pair, against the size limits.
    ///
    /// # Errors
    /// Too many bytes or keys, or a control character in a key.
    pub fn sizes<'a>(
        &self,
        content: &str,
        metadata: impl Iterator<Item = (&'a str, &'a str)> + Clone,
    ) -> Result<(), Fault> {
        metadata.clone().try_for_each(|(key, _)| self.key(key))?;
        self.totals(content, metadata)
    }

    /// Checks a metadata key.
    ///
    /// # Errors
    /// As for an id.
    pub fn key(&self, key: &str) -> Result<(), Fault> {
        self.id("metadata key", key)
    }

    /// Checks content and metadata, whose keys are known to be good, against the size limits.
    ///
    /// # Errors
    /// Too many bytes or keys.
    pub fn totals<'a>(
        &self,
        content: &str,
        metadata: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Fault> {
        let (mut block, mut bytes, mut keys) = (content.len(), 0, 0);
        for (key, value) in metadata {
            if is_provider(key) {
                block += key.len() + value.len();
            } else {
                bytes += key.len() + value.len();
                keys += 1;
            }
        }
        self.block(block)?;
        within("metadata", "is", bytes, "bytes", self.metadata_bytes)?;
        within("metadata", "is", keys, "keys", self.metadata_keys)
    }

    /// Checks the bytes of a block: content, provider fields and fields that nobody knows.
    ///
    /// # Errors
    /// More than `block_bytes`.
    pub fn block(&self, bytes: usize) -> Result<(), Fault> {
        within("content", "is", bytes, "bytes", self.block_bytes)
    }

    /// Checks the bytes of a whole block on the wire, before anything of it is kept.
    ///
    /// # Errors
    /// More than a block within all other limits can have.
    pub fn message(&self, bytes: usize) -> Result<(), Fault> {
        // Tags and lengths take at most as much as the metadata may.
        let rest = self.metadata_bytes * 2 + self.references * (self.id_bytes + 3);
        within("block", "is", bytes, "bytes", self.block_bytes + rest)
    }

    /// Checks the number of references of a block.
    ///
    /// # Errors
    /// More than `references`.
    pub fn references(&self, count: usize) -> Result<(), Fault> {
        within("references", "are", count, "ids", self.references)
    }

    /// Checks the bytes of a package.
    ///
    /// # Errors
    /// More than `package_bytes`.
    pub fn package_bytes(&self, bytes: usize) -> Result<(), Fault> {
        within("package", "is", bytes, "bytes", self.package_bytes)
    }

    /// Checks the number of blocks of a package.
    ///
    /// # Errors
    /// More than `package_blocks`.
    pub fn package_blocks(&self, count: usize) -> Result<(), Fault> {
        within("package", "has", count, "blocks", self.package_blocks)
    }
}

fn has_control(text: &str) -> bool {
    // Bytes first: decoding takes most of the time of an id.
    !is_printable_ascii(text.as_bytes()) && text.chars().any(char::is_control)
}

/// Whether every byte is a character from the blank to the tilde; eight at a time, because this is asked of every id.
fn is_printable_ascii(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    let is_good = |bytes: &[u8; 8]| {
        let word = u64::from_le_bytes(*bytes);
        let each = |byte: u8| u64::from_le_bytes([byte; 8]);
        // The high bit of a byte is set if it was, if DEL was one below it, or if there was nothing to take a blank from.
        // What is carried into the next byte comes from one that is refused anyway.
        (word | word.wrapping_add(each(1)) | word.wrapping_sub(each(b' '))) & each(0x80) == 0
    };
    words.iter().all(is_good) && is_good(&last)
}

/// Checks a size against its limit.
pub(crate) fn within(
    field: &str,
    verb: &str,
    size: usize,
    unit: &str,
    limit: usize,
) -> Result<(), Fault> {
    if size > limit {
        Err(Fault::new(field, "", format!("{verb} {size} {unit}, over {limit}")))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_fields_count_against_the_block() {
        let big = "x".repeat(70 << 10);
        let limits = Limits::DEFAULT;
        let of = |key: &'static str| [(key, big.as_str())].into_iter();
        assert!(limits.sizes("", of("openai.tool_calls")).is_ok());
        assert!(limits.sizes("", of("note")).is_err());
        let huge = "x".repeat(1 << 20);
        let pairs = [("openai.tool_calls", huge.as_str())].into_iter();
        let fault = limits.sizes("", pairs).expect_err("over a mebibyte");
        assert_eq!(fault.field, "content");
    }

    #[test]
    fn every_control_character_is_found_wherever_it_is() {
        for len in 1..20 {
            for at in 0..len {
                for byte in 0..0x80 {
                    let mut id = vec![b'~'; len];
                    id[at] = byte;
                    let id = String::from_utf8(id).expect("ASCII");
                    assert_eq!(has_control(&id), byte.is_ascii_control(), "{id:?}");
                }
            }
        }
        assert!(has_control("caf\u{e9}\u{85}") && !has_control("caf\u{e9}"));
    }

    #[test]
    fn scores_outside_are_refused() {
        for score in [f64::NAN, f64::INFINITY, -0.1, 1.5, 1e300] {
            assert!(Limits::DEFAULT.score(score).is_err(), "{score}");
        }
        assert!(Limits::DEFAULT.score(0.0).is_ok() && Limits::DEFAULT.score(1.0).is_ok());
    }
}
