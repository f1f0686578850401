//! Exact token counts.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod batch;
mod blocks;
mod class;
mod encoding;
mod giant;
mod kept;
mod merge;
mod pairs;
mod path;
mod pattern;
mod ranks;
mod scratch;
mod table;
mod tables;
mod user_pattern;
mod vocabulary;

pub use batch::{count_all, threads_for};
pub use encoding::Encoding;
pub use path::Path;
pub use ranks::{LARGEST_FILE, Ranks};
pub use user_pattern::UserPattern;

/// Counts the tokens of a text.
pub trait Counter {
    /// Tokens of `text`.
    fn count(&self, text: &str) -> u32;

    /// The encoding behind the counter, when it is one whose split points are known.
    ///
    /// With it, a header or a separator is counted without counting the content again.
    fn encoding(&self) -> Option<Encoding> {
        None
    }
}

impl<F: Fn(&str) -> u32> Counter for F {
    fn count(&self, text: &str) -> u32 {
        self(text)
    }
}
