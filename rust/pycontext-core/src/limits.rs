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
}

/// Prefixes of metadata keys that hold a provider's own message fields.
pub const PROVIDER_PREFIXES: [&str; 2] = ["openai.", "anthropic."];

impl Limits {
    /// The limits in force.
    pub const DEFAULT: Self =
        Self { id_bytes: 256, block_bytes: 1 << 20, metadata_bytes: 64 << 10, metadata_keys: 256 };

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
        } else if id.chars().any(char::is_control) {
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
        metadata: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Fault> {
        let (mut block, mut bytes, mut keys) = (content.len(), 0, 0);
        for (key, value) in metadata {
            self.id("metadata key", key)?;
            if PROVIDER_PREFIXES.iter().any(|p| key.starts_with(p)) {
                block += key.len() + value.len();
            } else {
                bytes += key.len() + value.len();
                keys += 1;
            }
        }
        let over = |field, size: usize, unit, limit: usize| {
            Err(Fault::new(field, "", format!("is {size} {unit}, over {limit}")))
        };
        if block > self.block_bytes {
            over("content", block, "bytes", self.block_bytes)
        } else if bytes > self.metadata_bytes {
            over("metadata", bytes, "bytes", self.metadata_bytes)
        } else if keys > self.metadata_keys {
            over("metadata", keys, "keys", self.metadata_keys)
        } else {
            Ok(())
        }
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
    fn scores_outside_are_refused() {
        for score in [f64::NAN, f64::INFINITY, -0.1, 1.5, 1e300] {
            assert!(Limits::DEFAULT.score(score).is_err(), "{score}");
        }
        assert!(Limits::DEFAULT.score(0.0).is_ok() && Limits::DEFAULT.score(1.0).is_ok());
    }
}
