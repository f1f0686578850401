//! Exact token counts, as fast as the machine reads text.
//!
//! # Problem
//! Byte pair encoding cuts a text into pieces by a pattern, and merges the bytes of each piece. Users ask how many
//! tokens, not which: so nothing here makes ids. More than nine pieces of ten are a token of the vocabulary, and most
//! of the others came before.
//!
//! # The walk of a text
//! 1. `encoding` asks `kept` whether the text as a whole was counted before.
//! 2. `scratch`, one a thread, copies the next chunk, which ends where a piece ends for certain (`pattern::cut`).
//! 3. `path` is the way that this processor counts: `pattern` finds pieces character by character (`class` says what a
//!    character is); `blocks` finds them from the masks of `avx2` or `avx512`, and leaves to `pattern` what is not ASCII.
//! 4. Pieces are looked up level by level: what this thread counted last, then `table`, shared by all threads and begun
//!    with the vocabulary, then `kept` for the longest.
//! 5. What no table has is merged (`merge`, over the `pairs` that are the halves of the tokens in `vocabulary`); a piece
//!    without end by `giant`.
//!
//! `batch` has several threads do this. `ranks` and `user_pattern` count with a vocabulary that a user brings.
//!
//! # Figures
//! `benches/tokens.md` has them beside other libraries. On the machine of 2026-11-24 (Zen 4, noisy), MB/s of English on
//! one thread: character by character 150, by AVX2 490, by AVX-512 550, with the tables warm; 1.2 ns a piece for its
//! start, 1.5 for the first level, the rest for the 12 % of pieces that the first level does not have.
//!
//! # What failed
//! - Waiting for the table of all threads piece by piece: fetching the entries of a group ahead gave 8 %.
//! - A first level of 2^15 or 2^17 entries instead of 2^16: 10 % slower each (more misses; more than the cache holds).
//! - Merging with keys in registers, eight pieces in turns, with or without fetching pairs ahead: no gain or a loss. A
//!   piece that has to be merged takes 400 ns, mostly for branches that cannot be predicted; the next step would be
//!   sixteen pieces in lockstep without branches, as a prototype did in 115 ns.
//! - Twice the slots or four times the filter of `pairs`, huge pages: no gain.
//! - Closures around the levels: they are not compiled for the vectors of the function that calls them, 10 % slower.

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
