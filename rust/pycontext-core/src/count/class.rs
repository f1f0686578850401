//! What the patterns ask of a character: one bit a class.
//!
//! The table is tiktoken's own answer for every code point (`data/make.py`): the Unicode tables of Python, of `regex`
//! and of Rust's crates differ from it, and from each other, in thousands of letters.

#![allow(clippy::inline_always, reason = "called for every character that is not ASCII")]

/// `\p{Ll}`.
pub const LOWER: u8 = 1;
/// `\p{Lu}` and `\p{Lt}`.
pub const UPPER: u8 = 1 << 1;
/// `\p{Lm}` and `\p{Lo}`: letters without case.
pub const CASELESS: u8 = 1 << 2;
/// `\p{M}`.
pub const MARK: u8 = 1 << 3;
/// `\p{N}`.
pub const NUMBER: u8 = 1 << 4;
/// White space that ends no line.
pub const BLANK: u8 = 1 << 5;
/// `\r` and `\n`.
pub const NEWLINE: u8 = 1 << 6;
/// All else: punctuation, symbols, control characters, unassigned code points.
pub const OTHER: u8 = 1 << 7;

/// `\p{L}`.
pub const LETTER: u8 = LOWER | UPPER | CASELESS;
/// `\s`.
pub const WHITE: u8 = BLANK | NEWLINE;

/// For each 128 code points the number of a block, then the blocks.
static TABLE: &[u8] = include_bytes!("../../data/classes.bin");
const BLOCK_BITS: u32 = 7;
const BLOCKS: usize = 0x11_0000 >> BLOCK_BITS;

/// The class of a code point.
#[inline(always)]
fn of(code: u32) -> u8 {
    let block = usize::from(TABLE[(code >> BLOCK_BITS) as usize]);
    TABLE[BLOCKS + (block << BLOCK_BITS) + (code & ((1 << BLOCK_BITS) - 1)) as usize]
}

/// Class and length in bytes of the character that begins at `at`.
#[inline(always)]
pub fn at(text: &[u8], at: usize) -> (u8, usize) {
    let first = u32::from(text[at]);
    let next = |i: usize| u32::from(text[at + i] & 0x3F);
    match first {
        0..0x80 => (of(first), 1),
        0x80..0xE0 => (of((first & 0x1F) << 6 | next(1)), 2),
        0xE0..0xF0 => (of((first & 0x0F) << 12 | next(1) << 6 | next(2)), 3),
        _ => (of((first & 0x07) << 18 | next(1) << 12 | next(2) << 6 | next(3)), 4),
    }
}
