//! What a thread needs to count: a padded copy of the text at hand, the starts of its pieces, and what it counted last.
//!
//! A text is read in chunks that end where a piece ends for certain. The copy costs little beside the rest, and gives
//! every load some bytes to reach into behind the end.

#![allow(
    clippy::inline_always,
    reason = "what vectors are compiled for has to be inside of what is compiled for vectors"
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "places in a chunk and counts of its pieces fit"
)]

use super::blocks::{BLOCK, Lanes, starts};
use super::giant::{self, GIANT};
use super::merge::Merging;
use super::pattern::{Pattern, cut};
use super::table::{Key, padding};
use super::tables::Tables;

/// Bytes of a chunk; more where no piece ends for certain.
const CHUNK: usize = 16 << 10;

/// Bytes behind the text: a block, and the longest key.
const PADDING: usize = BLOCK + 32;

/// Bytes in which `limit` tokens are likely to end.
fn enough(limit: u64) -> usize {
    usize::try_from(limit.saturating_mul(8)).unwrap_or(CHUNK).clamp(256, CHUNK)
}

/// Capacity that is kept between texts, in bytes of the longest chunk.
const KEPT: usize = 4 * CHUNK;

/// Pieces that are looked up at once.
const GROUP: usize = 256;

const RECENT_BITS: u32 = 16;
const LONG_BITS: u32 = 14;
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// The memory of one thread for one vocabulary.
#[derive(Debug)]
pub struct Scratch {
    buffer: Vec<u8>,
    starts: Vec<u32>,
    /// Counts of pieces of up to eight bytes that came lately. The hash is a bijection, so that the bits of it that do
    /// not choose the place stand for the piece: `hash << 15 | count`.
    recent: Box<[u64]>,
    /// The same for pieces of up to 15 bytes, as the table of all threads has them.
    recent_long: Box<[[u64; 2]]>,
    merging: Merging,
}

impl Scratch {
    /// Empty.
    pub fn new() -> Self {
        Self {
            buffer: Vec::new(),
            starts: Vec::new(),
            recent: vec![0; 1 << RECENT_BITS].into(),
            recent_long: vec![[0; 2]; 1 << LONG_BITS].into(),
            merging: Merging::default(),
        }
    }

    /// Tokens of `text`, or of its beginning if they are more than `limit`.
    #[inline(always)]
    pub fn count<P: Pattern, S: Split>(
        &mut self,
        split: S,
        tables: &Tables,
        text: &str,
        limit: u64,
    ) -> u64 {
        let mut sum = 0;
        let mut place = Place { at: 0, most: enough(limit) };
        while sum <= limit {
            let Some((_, pieces)) = self.next::<P, S>(split, text, &mut place) else { break };
            sum += self.look_up(split, tables, pieces);
        }
        self.shrink();
        sum
    }

    /// Calls `each` with the end in bytes and the tokens of every piece of `text`, in order.
    pub fn pieces<P: Pattern, S: Split>(
        &mut self,
        split: S,
        tables: &Tables,
        text: &str,
        mut each: impl FnMut(usize, u32),
    ) {
        let mut place = Place { at: 0, most: CHUNK };
        while let Some((at, pieces)) = self.next::<P, S>(split, text, &mut place) {
            for i in 0..pieces {
                let (start, end) = (self.starts[i] as usize, self.starts[i + 1] as usize);
                each(at + end, piece(tables, &mut self.merging, &self.buffer, start, end));
            }
        }
        self.shrink();
    }

    /// Reads the next chunk, and returns where it begins and how many pieces it has.
    #[inline(always)]
    fn next<P: Pattern, S: Split>(
        &mut self,
        split: S,
        text: &str,
        place: &mut Place,
    ) -> Option<(usize, usize)> {
        let at = place.at;
        if at == text.len() {
            return None;
        }
        let end = chunk_end(text, place);
        let length = end - at;
        self.buffer.clear();
        self.buffer.extend_from_slice(&text.as_bytes()[at..end]);
        self.buffer.resize(length + PADDING, 0);
        if self.starts.len() < length + BLOCK {
            self.starts.resize(length + BLOCK, 0);
        }
        let pieces = split.starts::<P>(&self.buffer, length, &mut self.starts);
        self.starts[pieces] = length as u32;
        Some((at, pieces))
    }

    /// A text without end is not remembered.
    fn shrink(&mut self) {
        self.buffer.truncate(KEPT);
        self.buffer.shrink_to(KEPT);
        self.starts.truncate(KEPT);
        self.starts.shrink_to(KEPT);
    }

    /// Tokens of the pieces between the starts.
    ///
    /// Level by level, each over all pieces of a group that the one before did not have: so that the loads of many
    /// pieces are on their way at once, and whether a piece is found is no branch.
    #[inline(always)]
    fn look_up<S: Split>(&mut self, split: S, tables: &Tables, pieces: usize) -> u64 {
        let Self { buffer, starts, recent, recent_long, merging } = self;
        let mut sum = 0;
        let mut open = [[0; 2]; GROUP];
        let mut still_open = [[0; 2]; GROUP];
        let mut first = 0;
        while first < pieces {
            let group = &starts[first..=pieces.min(first + GROUP)];
            first += GROUP;
            let mut opens = 0;
            let mut start = group[0];
            for end in &group[1..] {
                let length = end - start;
                let (place, tag) = hashed(buffer, start as usize, length as usize);
                let count = recent[place] ^ tag;
                let is_hit = count.wrapping_sub(1) < 255 && length <= 8;
                sum += if is_hit { count } else { 0 };
                open[opens % GROUP] = [start, *end];
                opens += usize::from(!is_hit);
                start = *end;
            }
            let mut still = 0;
            for [start, end] in &open[..opens] {
                let length = (end - start) as usize;
                let key = Key::<2>::new(buffer, *start as usize, length);
                let entry = &recent_long[key.place(LONG_BITS)];
                let count = entry[1] ^ key.last();
                let is_hit = entry[0] == key.first()
                    && count.wrapping_sub(1) < 255
                    && length <= Key::<2>::BYTES;
                sum += if is_hit { count } else { 0 };
                still_open[still % GROUP] = [*start, *end];
                still += usize::from(!is_hit);
            }
            for [start, end] in &still_open[..still] {
                tables.fetch(split, buffer, *start as usize, (end - start) as usize);
            }
            for [start, end] in &still_open[..still] {
                let (start, end) = (*start as usize, *end as usize);
                let count = piece(tables, merging, buffer, start, end);
                let length = end - start;
                if length <= 8 {
                    let (place, tag) = hashed(buffer, start, length);
                    recent[place] = tag | u64::from(count);
                } else if length <= Key::<2>::BYTES {
                    let key = Key::<2>::new(buffer, start, length);
                    recent_long[key.place(LONG_BITS)] =
                        [key.first(), key.last() | u64::from(count)];
                }
                sum += u64::from(count);
            }
        }
        sum
    }
}

/// Where the next chunk begins, and how long it may be where there is a choice.
struct Place {
    at: usize,
    most: usize,
}

/// Where the chunk ends that begins at `place`, which moves there.
#[inline(never)]
fn chunk_end(text: &str, place: &mut Place) -> usize {
    let at = place.at;
    let mut most = place.most;
    let end = loop {
        if text.len() - at <= most {
            break text.len();
        }
        if let Some(end) = cut(text, at, at + most) {
            break end;
        }
        most *= 2;
    };
    *place = Place { at: end, most: CHUNK.min(2 * place.most) };
    end
}

/// Tokens of a piece, from the tables of all threads or by merging.
#[inline(always)]
fn piece(tables: &Tables, merging: &mut Merging, buffer: &[u8], start: usize, end: usize) -> u32 {
    if end - start > Key::<2>::BYTES {
        return long(tables, merging, buffer, start, end);
    }
    let key = Key::new(buffer, start, end - start);
    let mut count = tables.short.get(key);
    if count == 0 {
        count = merging.merge(&tables.pairs, &buffer[start..end]).len() as u32;
        tables.short.put(key, count);
    }
    count
}

/// Tokens of a piece of 16 bytes and more.
#[inline(never)]
fn long(tables: &Tables, merging: &mut Merging, buffer: &[u8], start: usize, end: usize) -> u32 {
    let piece = &buffer[start..end];
    if piece.len() <= Key::<4>::BYTES {
        let key = Key::new(buffer, start, piece.len());
        let mut count = tables.middle.get(key);
        if count == 0 {
            count = merging.merge(&tables.pairs, piece).len() as u32;
            tables.middle.put(key, count);
        }
        return count;
    }
    let content = tables.kept.content(piece);
    tables.kept.get(content).unwrap_or_else(|| {
        let count = if piece.len() < GIANT {
            merging.merge(&tables.pairs, piece).len() as u32
        } else {
            giant::count(&tables.pairs, &tables.lengths, merging, piece)
        };
        tables.kept.put(content, count);
        count
    })
}

/// Place and tag of a piece of up to eight bytes; of a longer one, of its first eight.
#[inline(always)]
fn hashed(buffer: &[u8], start: usize, length: usize) -> (usize, u64) {
    let word = buffer[start..start + 8].try_into().map_or(0, u64::from_le_bytes);
    let hash = (word | padding(length)).wrapping_mul(MIX);
    ((hash >> (64 - RECENT_BITS)) as usize, hash << RECENT_BITS)
}

/// A way to find the starts of pieces.
pub trait Split: Copy {
    /// Lists the start of every piece of `buffer[..length]`, and says how many there are.
    fn starts<P: Pattern>(self, buffer: &[u8], length: usize, starts: &mut [u32]) -> usize;

    /// Has the processor fetch what will be read soon.
    #[inline(always)]
    fn fetch<T>(self, _soon: &T) {}
}

/// Character by character, as the pattern says.
#[derive(Debug, Clone, Copy)]
pub struct ByPattern;

impl Split for ByPattern {
    #[inline(always)]
    fn starts<P: Pattern>(self, buffer: &[u8], length: usize, starts: &mut [u32]) -> usize {
        let text = &buffer[..length];
        let mut at = 0;
        let mut listed = 0;
        while at < length {
            starts[listed] = at as u32;
            listed += 1;
            at = P::end(text, at);
        }
        listed
    }
}

/// By blocks of 64 bytes.
#[derive(Debug, Clone, Copy)]
pub struct ByBlocks<L>(pub L);

impl<L: Lanes> Split for ByBlocks<L> {
    #[inline(always)]
    fn fetch<T>(self, soon: &T) {
        self.0.fetch(soon);
    }

    #[inline(always)]
    fn starts<P: Pattern>(self, buffer: &[u8], length: usize, out: &mut [u32]) -> usize {
        starts::<P, L>(self.0, buffer, length, out)
    }
}
