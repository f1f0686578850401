//! The two patterns that cut a text into pieces, by hand: no piece is ever merged with another.
//!
//! `end` is the definition; the vector code must agree with it on every text. A pattern has no look-behind, so that a
//! piece depends on nothing before its start.

#![allow(
    clippy::inline_always,
    reason = "what vectors are compiled for has to be inside of what is compiled for vectors"
)]

use super::class::{
    self, BLANK, CASELESS, LETTER, LOWER, MARK, NEWLINE, NUMBER, OTHER, UPPER, WHITE,
};

/// A way of cutting a text into pieces.
pub trait Pattern: Copy {
    /// Whether an upper-case letter begins a piece behind a lower-case one, and contractions end the piece of their word.
    const WORDS_HAVE_CASE: bool;
    /// Whether `/` goes on with line ends behind punctuation.
    const SLASH_TRAILS: bool;
    /// Whether white space at the end of the text is one piece in any case.
    const END_IS_ONE: bool;

    /// Where the piece ends that begins at `start`, which is below the length of `text`. `text` is UTF-8.
    fn end(text: &[u8], start: usize) -> usize;
}

/// The pattern of `o200k_base`.
#[derive(Debug, Clone, Copy)]
pub struct O200k;

/// The pattern of `cl100k_base`.
#[derive(Debug, Clone, Copy)]
pub struct Cl100k;

impl Pattern for O200k {
    const WORDS_HAVE_CASE: bool = true;
    const SLASH_TRAILS: bool = true;
    const END_IS_ONE: bool = false;

    #[inline(always)]
    fn end(text: &[u8], start: usize) -> usize {
        let (first, width) = class::at(text, start);
        let word = if first & LETTER != 0 {
            let (word, upper) = case_word(text, start);
            word.or(Some(upper))
        } else if first & (BLANK | OTHER | MARK) != 0 {
            // One character that is no letter may begin a word; a mark may be that, or a letter of the word itself.
            let (word, upper) = case_word(text, start + width);
            let alone = || if first == MARK { case_word(text, start).0 } else { None };
            word.or_else(alone).or((upper > start + width).then_some(upper))
        } else {
            None
        };
        match word {
            Some(end) => end + contraction(text, end),
            None => no_word::<Self>(text, start, first),
        }
    }
}

impl Pattern for Cl100k {
    const WORDS_HAVE_CASE: bool = false;
    const SLASH_TRAILS: bool = false;
    const END_IS_ONE: bool = true;

    #[inline(always)]
    fn end(text: &[u8], start: usize) -> usize {
        let length = contraction(text, start);
        if length > 0 {
            return start + length;
        }
        let (first, width) = class::at(text, start);
        let letters = match first {
            LOWER | UPPER | CASELESS => start,
            NUMBER | NEWLINE => return no_word::<Self>(text, start, first),
            _ => start + width,
        };
        let end = run(text, letters, LETTER);
        if end > letters { end } else { no_word::<Self>(text, start, first) }
    }
}

/// `[UXM]*[LXM]+` from `at` (upper, lower, caseless, marks), and where the run of `[UXM]` ends, for `[UXM]+[LXM]*`.
#[inline(always)]
fn case_word(text: &[u8], at: usize) -> (Option<usize>, usize) {
    let mut end = at;
    // Behind the last character of the run that both halves take: there the second half can begin by giving one back.
    let mut both = None;
    while end < text.len() {
        let (class, width) = class::at(text, end);
        if class & (UPPER | CASELESS | MARK) == 0 {
            if class == LOWER {
                return (Some(run(text, end, LOWER | CASELESS | MARK)), end);
            }
            break;
        }
        end += width;
        if class != UPPER {
            both = Some(end);
        }
    }
    (both, end)
}

/// Length of `'s`, `'t`, `'d`, `'m`, `'re`, `'ve` or `'ll` at `at` in any case, 0 where there is none.
#[inline(always)]
pub fn contraction(text: &[u8], at: usize) -> usize {
    if text.get(at) != Some(&b'\'') {
        return 0;
    }
    let letter = |i: usize| text.get(at + i).copied().unwrap_or(0);
    match (letter(1) | 0x20, letter(2) | 0x20) {
        (b's' | b't' | b'd' | b'm', _) => 2,
        (b'r' | b'v', b'e') | (b'l', b'l') => 3,
        // U+017F, the long s, is an s without case; no other character is one of these letters.
        _ if letter(1) == 0xC5 && letter(2) == 0xBF => 3,
        _ => 0,
    }
}

/// Numbers, punctuation and white space.
#[inline(always)]
fn no_word<P: Pattern>(text: &[u8], start: usize, first: u8) -> usize {
    if first == NUMBER {
        return numbers(text, start);
    }
    let symbols = if text[start] == b' ' { start + 1 } else { start };
    if first & WHITE == 0
        || symbols < text.len() && class::at(text, symbols).0 & (OTHER | MARK) != 0
    {
        let end = run(text, symbols, OTHER | MARK);
        let trails = |b: &&u8| matches!(b, b'\r' | b'\n') || P::SLASH_TRAILS && **b == b'/';
        return end + text[end..].iter().take_while(trails).count();
    }
    white::<P>(text, start)
}

/// One to three.
#[inline(always)]
fn numbers(text: &[u8], start: usize) -> usize {
    let mut end = start;
    for _ in 0..3 {
        match text.get(end).map(|_| class::at(text, end)) {
            Some((NUMBER, width)) => end += width,
            _ => break,
        }
    }
    end
}

/// Up to the last line end of the run; where there is none, all but the last, which may begin the next piece.
#[inline(always)]
fn white<P: Pattern>(text: &[u8], start: usize) -> usize {
    let mut end = start;
    let mut last = start;
    let mut newline = None;
    while end < text.len() {
        let (class, width) = class::at(text, end);
        if class & WHITE == 0 {
            break;
        }
        last = end;
        end += width;
        if class == NEWLINE {
            newline = Some(end);
        }
    }
    if P::END_IS_ONE && end == text.len() {
        return end;
    }
    newline.unwrap_or(if end == text.len() || last == start { end } else { last })
}

/// Where the characters of these classes end that begin at `at`.
#[inline(always)]
fn run(text: &[u8], at: usize, classes: u8) -> usize {
    let mut end = at;
    while end < text.len() {
        let (class, width) = class::at(text, end);
        if class & classes == 0 {
            break;
        }
        end += width;
    }
    end
}

/// The last place from `from` to `to` where a piece ends whatever is before and behind: a letter or a number, then
/// something that cannot go on with it.
pub fn cut(text: &str, from: usize, to: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut behind = text.floor_char_boundary(to);
    let goes_on = |at: usize| {
        at < bytes.len()
            && (bytes[at] == b'\'' || class::at(bytes, at).0 & (LETTER | MARK | NUMBER) != 0)
    };
    let mut is_certain = !goes_on(behind);
    while behind > from {
        let before = text.floor_char_boundary(behind - 1);
        if is_certain && class::at(bytes, before).0 & (LETTER | NUMBER) != 0 {
            return Some(behind);
        }
        is_certain = !goes_on(before);
        behind = before;
    }
    None
}
