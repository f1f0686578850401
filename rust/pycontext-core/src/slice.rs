//! Pieces of one long text: what arrives together stays in one allocation.

use std::sync::Arc;

/// A piece of a text that others have pieces of.
///
/// The text lives as long as any of its pieces.
#[derive(Debug, Clone, Default)]
pub struct Slice {
    text: Arc<String>,
    start: u32,
    end: u32,
}

impl Slice {
    /// The bytes from `start` to `end`; `None` where they are not inside the text, or cut a character.
    #[must_use]
    pub fn of(text: &Arc<String>, start: usize, end: usize) -> Option<Self> {
        text.get(start..end)?;
        let (start, end) = (u32::try_from(start).ok()?, u32::try_from(end).ok()?);
        Some(Self { text: Arc::clone(text), start, end })
    }
}

impl AsRef<str> for Slice {
    fn as_ref(&self) -> &str {
        &self.text[self.start as usize..self.end as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_what_was_asked_for_or_nothing() {
        let text = Arc::new("aéb".to_owned());
        let of = |start, end| Slice::of(&text, start, end);
        assert_eq!(of(1, 3).as_ref().map(AsRef::as_ref), Some("é"));
        assert_eq!(of(4, 4).as_ref().map(AsRef::as_ref), Some(""));
        assert!(of(2, 3).is_none() && of(3, 2).is_none() && of(0, 5).is_none());
    }
}
