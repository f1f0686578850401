//! Pieces of one long text: what arrives together stays in one allocation.

use std::sync::{Arc, OnceLock};

/// A piece of a text that others have pieces of.
///
/// The text lives as long as any of its pieces.
#[derive(Debug, Clone)]
pub struct Slice {
    whole: Arc<OnceLock<String>>,
    start: u32,
    end: u32,
}

impl AsRef<str> for Slice {
    /// The piece; empty before the text is whole.
    fn as_ref(&self) -> &str {
        self.whole.get().map_or("", |whole| &whole[self.start as usize..self.end as usize])
    }
}

/// Where pieces come from: a text that grows until it is whole.
#[derive(Debug)]
pub struct Pieces {
    text: String,
    whole: Arc<OnceLock<String>>,
}

impl Pieces {
    /// A text that will have at most about so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), whole: Arc::default() }
    }

    /// Appends a text and returns the piece that it is; the text has to stay below 4 GiB.
    pub fn push(&mut self, text: &str) -> Slice {
        let start = self.text.len();
        self.text.push_str(text);
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Slice { whole: Arc::clone(&self.whole), start: place(start), end: place(self.text.len()) }
    }

    /// Lets the pieces be read.
    pub fn finish(self) {
        // Nobody else can have set it.
        drop(self.whole.set(self.text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_what_was_pushed_once_the_text_is_whole() {
        let mut pieces = Pieces::with_capacity(0);
        let made: Vec<_> = ["a", "", "éb"].iter().map(|text| pieces.push(text)).collect();
        assert_eq!(made[2].as_ref(), "");
        pieces.finish();
        assert!(made.iter().map(AsRef::as_ref).eq(["a", "", "éb"]));
    }
}
