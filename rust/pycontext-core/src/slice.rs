//! Texts of bytes that arrived together: they stay where they are and are looked at in place.

use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use self_cell::self_cell;

use crate::stored::{Stored, places};

/// Bytes with texts in them, whoever holds them.
pub trait Source: AsRef<[u8]> + Debug + Send + Sync {}

impl<B: AsRef<[u8]> + Debug + Send + Sync> Source for B {}

type Held = Box<dyn Source>;
type Found<'a> = Vec<&'a str>;

self_cell!(
    /// The bytes, and what was found in them.
    struct Whole {
        owner: Held,
        #[covariant]
        dependent: Found,
    }
    impl {Debug}
);

/// A text among bytes, which live as long as any of their texts.
#[derive(Debug, Clone)]
pub struct Slice {
    whole: Arc<OnceLock<Whole>>,
    at: u32,
}

impl AsRef<str> for Slice {
    /// The text; empty before all are found.
    #[inline]
    fn as_ref(&self) -> &str {
        self.whole.get().map_or("", |whole| whole.borrow_dependent()[self.at as usize])
    }
}

impl Stored for Slice {
    fn address(&self) -> usize {
        Arc::as_ptr(&self.whole).addr()
    }

    fn bytes(&self) -> usize {
        bytes_of(&self.whole)
    }
}

impl Stored for Run {
    fn address(&self) -> usize {
        Arc::as_ptr(&self.whole).addr()
    }

    fn bytes(&self) -> usize {
        bytes_of(&self.whole)
    }
}

fn bytes_of(whole: &OnceLock<Whole>) -> usize {
    let found = |whole: &Whole| {
        let bytes = whole.borrow_owner().as_ref().as_ref().len();
        bytes + places(whole.borrow_dependent())
    };
    size_of::<OnceLock<Whole>>() + whole.get().map_or(0, found)
}

/// Texts that were found one right after the other.
#[derive(Debug, Clone)]
pub struct Run {
    whole: Arc<OnceLock<Whole>>,
    start: u32,
    end: u32,
}

impl Run {
    /// The texts; none before all are found.
    #[inline]
    #[must_use]
    pub fn texts(&self) -> &[&str] {
        let range = self.start as usize..self.end as usize;
        self.whole.get().map_or(&[], |whole| &whole.borrow_dependent()[range])
    }

    /// How many there are, known before they can be looked at.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.end as usize - self.start as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of the texts by itself.
    #[must_use]
    pub fn slice(&self, at: usize) -> Slice {
        Slice { whole: Arc::clone(&self.whole), at: self.start + to_u32(at) }
    }
}

/// What is found, while it is.
#[derive(Debug)]
pub struct Finds<'a> {
    found: Found<'a>,
    whole: Arc<OnceLock<Whole>>,
}

impl<'a> Finds<'a> {
    /// Makes room for so many texts more.
    pub fn reserve(&mut self, texts: usize) {
        self.found.reserve(texts);
    }

    /// Notes a text.
    #[inline]
    pub fn slice(&mut self, text: &'a str) -> Slice {
        let at = to_u32(self.found.len());
        self.found.push(text);
        Slice { whole: Arc::clone(&self.whole), at }
    }

    /// Notes texts.
    #[inline]
    pub fn run(&mut self, texts: impl Iterator<Item = &'a str>) -> Run {
        let start = to_u32(self.found.len());
        self.found.extend(texts);
        Run { whole: Arc::clone(&self.whole), start, end: to_u32(self.found.len()) }
    }
}

/// Has `find` find texts in a part of `bytes`; when it is done, they can be looked at.
///
/// # Errors
/// Those of `find`.
pub fn find<E>(
    bytes: impl Source + 'static,
    part: Range<usize>,
    find: impl for<'a> FnOnce(&'a [u8], &mut Finds<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let shared = Arc::default();
    let whole = Whole::try_new(Box::new(bytes), |bytes| {
        let mut finds = Finds { found: Vec::new(), whole: Arc::clone(&shared) };
        find(&bytes.as_ref().as_ref()[part], &mut finds)?;
        Ok(finds.found)
    })?;
    // Nobody else can have set it.
    drop(shared.set(whole));
    Ok(())
}

fn to_u32(at: usize) -> u32 {
    // A text takes two bytes and more, and of those there are fewer than 4 GiB.
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_what_was_found_once_all_are() {
        let mut found = Vec::new();
        let ended = find(b"xa\xc3\xa9b".to_vec(), 1..5, |bytes, finds| {
            let text = std::str::from_utf8(bytes)?;
            found.push(finds.slice(&text[..1]));
            let run = finds.run(["", &text[1..]].into_iter());
            assert_eq!((found[0].as_ref(), run.texts().len(), run.len()), ("", 0, 2));
            found.extend([run.slice(0), run.slice(1)]);
            Ok::<_, std::str::Utf8Error>(())
        });
        assert_eq!(ended, Ok(()));
        assert!(found.iter().map(AsRef::as_ref).eq(["a", "", "éb"]));
    }
}
