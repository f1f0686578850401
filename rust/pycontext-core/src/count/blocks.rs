//! Where pieces begin, 64 bytes at a time: classes as bit masks, and from them the starts by shifts and additions.
//!
//! Exact for ASCII; a block with another byte is left to `Pattern::end`, from the last start on until that byte is
//! behind. Since a pattern has no look-behind, the masks can take over again at any start, wherever it is.
//!
//! The rules, for a character and the one before it (`o` a symbol, `w` white space, `l` a letter):
//! - a letter begins a piece behind a digit, a line end, the end of a contraction, or `oo`; also an upper-case letter
//!   behind a lower-case one. A single `o` that begins a piece, and a blank, begin the piece of the letter behind them;
//! - a symbol begins a piece unless behind a symbol or a space; line ends and `/` behind symbols belong to them (the
//!   trail: an addition carries through the run);
//! - the first of a run of white space begins a piece, so does what is behind its last line end, so does its last one;
//! - of digits every third.

#![allow(
    clippy::inline_always,
    reason = "what vectors are compiled for has to be inside of what is compiled for vectors"
)]
#![allow(clippy::cast_possible_truncation, reason = "places in a chunk and halves of a word fit")]

use super::pattern::{Pattern, contraction};

/// Bytes of a block.
pub const BLOCK: usize = 64;

/// The classes of a block, bit `i` for byte `i`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Masks {
    /// A to Z, a to z.
    pub letter: u64,
    /// A to Z.
    pub upper: u64,
    /// 0 to 9.
    pub digit: u64,
    /// Tab, line feed, vertical tab, form feed, carriage return, space.
    pub white: u64,
    /// The space.
    pub space: u64,
    /// Line feed and carriage return.
    pub newline: u64,
    /// `/`.
    pub slash: u64,
    /// `'`.
    pub apostrophe: u64,
    /// Not ASCII.
    pub foreign: u64,
}

/// A processor's way to make masks and to list bits. A value of it is the proof that the processor can.
pub trait Lanes: Copy {
    /// The classes of 64 bytes.
    fn masks(self, block: &[u8; BLOCK]) -> Masks;

    /// Writes `base` plus the number of each bit that is set, in order; what is behind them in `out` may be anything.
    fn list(self, bits: u64, base: u32, out: &mut [u32; BLOCK]);

    /// Has the processor fetch what will be read soon.
    #[inline(always)]
    fn fetch<T>(self, _soon: &T) {}
}

/// Lists the start of every piece of `buffer[..length]` in `starts`, and says how many there are. Behind the text the
/// buffer goes on for `BLOCK` bytes; `starts` has room for one a byte and `BLOCK` more.
#[inline(always)]
pub fn starts<P: Pattern, L: Lanes>(
    lanes: L,
    buffer: &[u8],
    length: usize,
    starts: &mut [u32],
) -> usize {
    let text = &buffer[..length];
    let mut listed = 0;
    let mut at = 0;
    while at < length {
        let Some(stop) = Walk::<P, L>::new(lanes, buffer, length).run(at, starts, &mut listed)
        else {
            break;
        };
        if listed == 0 || starts[listed - 1] < to_u32(at) {
            starts[listed] = to_u32(at);
            listed += 1;
        }
        at = by_pattern::<P>(text, stop, starts, &mut listed);
    }
    listed
}

/// Goes on from the last start until `stop` is behind and a block of ASCII is ahead; what it returns is the next start.
#[inline(always)]
fn by_pattern<P: Pattern>(
    text: &[u8],
    mut stop: usize,
    starts: &mut [u32],
    listed: &mut usize,
) -> usize {
    let mut end = starts[*listed - 1] as usize;
    loop {
        end = P::end(text, end);
        if end >= text.len() {
            return text.len();
        }
        if end >= stop {
            let ahead = &text[end..text.len().min(end + BLOCK)];
            match ahead.iter().rposition(|byte| !byte.is_ascii()) {
                None => return end,
                Some(last) => stop = end + last + 1,
            }
        }
        starts[*listed] = to_u32(end);
        *listed += 1;
    }
}

/// What a block must know of those before it.
struct Walk<'a, P, L> {
    lanes: L,
    buffer: &'a [u8],
    length: usize,
    /// Bit 0 where the last byte of the block before was of that class.
    letter: u64,
    lower: u64,
    blank: u64,
    white: u64,
    newline: u64,
    space: u64,
    symbol: u64,
    /// A symbol, whether it trails or not.
    any_symbol: u64,
    trail: u64,
    symbol_start: u64,
    /// Digits since the last start among them; 0 behind no digit.
    digits: u32,
    /// Bits of the next block that are starts, and that are none, whatever their classes say.
    force: u64,
    clear: u64,
    /// An apostrophe there does not end the piece before it: that ended with a contraction already.
    ended: usize,
    pattern: std::marker::PhantomData<P>,
}

impl<'a, P: Pattern, L: Lanes> Walk<'a, P, L> {
    #[inline(always)]
    fn new(lanes: L, buffer: &'a [u8], length: usize) -> Self {
        Self {
            lanes,
            buffer,
            length,
            letter: 0,
            lower: 0,
            blank: 0,
            white: 0,
            newline: 0,
            space: 0,
            symbol: 0,
            any_symbol: 0,
            trail: 0,
            symbol_start: 0,
            digits: 0,
            force: 0,
            clear: 0,
            ended: usize::MAX,
            pattern: std::marker::PhantomData,
        }
    }

    /// Lists starts from the start `at` on. Where it has to give up: up to which byte pieces must be found otherwise.
    #[inline(always)]
    fn run(&mut self, at: usize, starts: &mut [u32], listed: &mut usize) -> Option<usize> {
        let mut base = at;
        let mut here = self.masks(base);
        loop {
            let left = self.length - base;
            let valid = if left >= BLOCK { u64::MAX } else { (1 << left) - 1 };
            let foreign = here.foreign & valid;
            if foreign != 0 {
                return Some(base + BLOCK - foreign.leading_zeros() as usize);
            }
            let is_last = left <= BLOCK;
            // Behind the end it looks like white space, so that the last of a run is not held for one before a word.
            let next = if is_last { Masks::default() } else { self.masks(base + BLOCK) };
            if left < BLOCK {
                here = cut(here, valid);
            }
            let Some(mut found) = self.block(here, next, base, is_last) else {
                // White space that goes on further than can be seen; `end` looks at all of it.
                return Some(base + BLOCK);
            };
            found &= valid;
            let Ok(out) = (&mut starts[*listed..*listed + BLOCK]).try_into() else {
                return Some(base);
            };
            self.lanes.list(found, to_u32(base), out);
            *listed += found.count_ones() as usize;
            if is_last {
                return None;
            }
            base += BLOCK;
            here = next;
        }
    }

    #[inline(always)]
    fn masks(&self, base: usize) -> Masks {
        match self.buffer[base..base + BLOCK].try_into() {
            Ok(block) => self.lanes.masks(block),
            Err(_) => Masks::default(),
        }
    }

    /// The starts of a block, or `None` where the next one does not settle what its white space is.
    #[inline(always)]
    fn block(&mut self, here: Masks, next: Masks, base: usize, is_last: bool) -> Option<u64> {
        const TOP: u32 = 63;
        let Masks { letter, upper, digit, white, space, newline, slash, apostrophe, .. } = here;
        let any_symbol = !(letter | digit | white);

        // The trail of symbols.
        let trails = if P::SLASH_TRAILS { newline | slash } else { newline };
        let seeds = newline & (any_symbol << 1 | self.any_symbol) | trails & self.trail;
        let trail =
            if seeds == 0 { 0 } else { ((seeds.wrapping_add(trails) ^ trails) | seeds) & trails };
        let symbol = any_symbol & !trail;
        let white = white & !trail;
        let newline = newline & !trail;
        let blank = white & !newline;

        // White space.
        let (next_white, next_newline) = if is_last {
            (1, P::END_IS_ONE)
        } else if white >> TOP == 0 {
            (0, false)
        } else {
            let run = next.white.trailing_ones();
            let reaches_end = run as usize >= self.length - (base + BLOCK);
            let is_newline =
                run > 0 && next.newline << (64 - run) != 0 || P::END_IS_ONE && reaches_end;
            if run == 64 && !is_newline || run < 64 && next.foreign >> run & 1 != 0 {
                return None;
            }
            (next.white & 1, is_newline)
        };
        let white_start = white & !(white << 1 | self.white);
        let last_blank = blank & !(white >> 1 | next_white << TOP);
        let mut behind_newline = blank & (newline << 1 | self.newline);
        if behind_newline != 0 {
            // Those from which white space leads to another line end are inside a piece.
            let mut flood = newline | u64::from(next_newline) << TOP & white;
            let mut through = white;
            for step in [1, 2, 4, 8, 16, 32] {
                flood |= flood >> step & through;
                through &= through >> step;
            }
            behind_newline &= !flood;
        }

        // Symbols and words.
        let symbol_start = symbol & !(symbol << 1 | self.symbol) & !(space << 1 | self.space);
        let lower = letter & !upper;
        let inside = letter << 1
            | self.letter
            | blank << 1
            | self.blank
            | symbol_start << 1
            | self.symbol_start;
        let mut word_start = letter & !inside;
        if P::WORDS_HAVE_CASE {
            word_start |= upper & (lower << 1 | self.lower);
        }

        // Digits.
        let mut number_start = 0;
        if digit != 0 {
            let mut every_third = digit & !(digit << 1 | u64::from(self.digits > 0));
            if self.digits > 0 {
                // The place where the run that goes on has its next start.
                let place = 3 - self.digits;
                let run = digit.trailing_ones();
                every_third |= u64::from(run > place) << place;
            }
            let can = digit & digit << 1 & digit << 2;
            while every_third != 0 {
                number_start |= every_third;
                every_third = every_third << 3 & can;
            }
        }

        let mut found = white_start
            | last_blank
            | behind_newline
            | symbol_start
            | word_start
            | number_start
            | self.force;
        found &= !self.clear;
        self.force = 0;
        self.clear = 0;
        let candidates = if P::WORDS_HAVE_CASE {
            apostrophe & (letter << 1 | self.letter)
        } else {
            apostrophe & symbol_start
        };
        if candidates != 0 {
            found = self.contractions(candidates, found, base);
        }

        let digits_at_end = digit.leading_ones();
        self.digits = if digits_at_end == 0 {
            0
        } else if digits_at_end == 64 && number_start == 0 {
            // Impossible: a run that fills the block has starts in it.
            self.digits
        } else {
            (number_start.leading_zeros() + 1).min(3)
        };
        self.letter = letter >> TOP;
        self.lower = lower >> TOP;
        self.blank = blank >> TOP;
        self.white = white >> TOP;
        self.newline = newline >> TOP;
        self.space = space >> TOP;
        self.symbol = symbol >> TOP;
        self.any_symbol = any_symbol >> TOP;
        self.trail = trail >> TOP;
        self.symbol_start = symbol_start >> TOP;
        Some(found)
    }

    /// Few texts have many: one by one.
    #[inline(never)]
    fn contractions(&mut self, mut candidates: u64, mut found: u64, base: usize) -> u64 {
        while candidates != 0 {
            let bit = candidates.trailing_zeros();
            candidates &= candidates - 1;
            let at = base + bit as usize;
            if P::WORDS_HAVE_CASE && at == self.ended {
                continue;
            }
            let length = contraction(&self.buffer[..self.length], at);
            if length == 0 {
                continue;
            }
            let end = at + length;
            let begin = if P::WORDS_HAVE_CASE { at } else { at + 1 };
            self.ended = end;
            let is_letter = self.buffer[end].is_ascii_alphabetic();
            let inside = span(begin - base, end - base);
            found &= !inside.0;
            self.clear |= inside.1;
            let behind = span(end - base, end - base + 1);
            if is_letter {
                found |= behind.0;
                self.force |= behind.1;
            }
        }
        found
    }
}

/// Bits from `from` to `to` of a block and of the next one.
fn span(from: usize, to: usize) -> (u64, u64) {
    let bits = (u128::MAX >> (128 - (to - from))) << from;
    (bits as u64, (bits >> 64) as u64)
}

/// The masks of the bytes that are there; those behind the end are nothing at all.
fn cut(masks: Masks, valid: u64) -> Masks {
    Masks {
        letter: masks.letter & valid,
        upper: masks.upper & valid,
        digit: masks.digit & valid,
        white: masks.white & valid | !valid,
        space: masks.space & valid,
        newline: masks.newline & valid,
        slash: masks.slash & valid,
        apostrophe: masks.apostrophe & valid,
        foreign: 0,
    }
}

#[inline]
fn to_u32(at: usize) -> u32 {
    // A buffer is shorter: `Scratch::load` sees to it.
    at as u32
}

/// Masks without vectors: what the others must be equal to, for tests and for other processors.
#[derive(Debug, Clone, Copy)]
pub struct Portable;

impl Lanes for Portable {
    fn masks(self, block: &[u8; BLOCK]) -> Masks {
        let mask = |is: fn(&u8) -> bool| {
            block.iter().rev().fold(0, |bits, byte| bits << 1 | u64::from(is(byte)))
        };
        Masks {
            letter: mask(u8::is_ascii_alphabetic),
            upper: mask(u8::is_ascii_uppercase),
            digit: mask(u8::is_ascii_digit),
            white: mask(|byte| matches!(byte, b'\t'..=b'\r' | b' ')),
            space: mask(|byte| *byte == b' '),
            newline: mask(|byte| matches!(byte, b'\r' | b'\n')),
            slash: mask(|byte| *byte == b'/'),
            apostrophe: mask(|byte| *byte == b'\''),
            foreign: mask(|byte| !byte.is_ascii()),
        }
    }

    fn list(self, mut bits: u64, base: u32, out: &mut [u32; BLOCK]) {
        for place in out {
            if bits == 0 {
                return;
            }
            *place = base + bits.trailing_zeros();
            bits &= bits - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::Path;
    use super::*;

    fn masks(path: Path, block: &[u8; BLOCK]) -> Option<Masks> {
        match path {
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(lanes) => Some(lanes.masks(block)),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512(lanes) => Some(lanes.masks(block)),
            _ => None,
        }
    }

    fn list(path: Path, bits: u64) -> Vec<u32> {
        let mut out = [0; BLOCK];
        match path {
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(lanes) => lanes.list(bits, 1_000, &mut out),
            #[cfg(target_arch = "x86_64")]
            Path::Avx512(lanes) => lanes.list(bits, 1_000, &mut out),
            _ => Portable.list(bits, 1_000, &mut out),
        }
        out[..bits.count_ones() as usize].to_vec()
    }

    #[test]
    fn vectors_see_in_every_byte_what_their_twin_sees() {
        for path in Path::all() {
            for byte in 0..=u8::MAX {
                for place in 0..BLOCK {
                    let mut block = [b'x'; BLOCK];
                    block[place] = byte;
                    block[BLOCK - 1 - place] = byte.wrapping_add(1);
                    if let Some(masks) = masks(path, &block) {
                        assert_eq!(
                            masks,
                            Portable.masks(&block),
                            "{} {byte} at {place}",
                            path.name()
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn vectors_list_bits_as_their_twin_does() {
        for path in Path::all() {
            for seed in 0..64 {
                for dense in
                    [0, u64::MAX, 0x5555_5555_5555_5555, 0x9E37_79B9_7F4A_7C15, 1 << 63, 0xFFFF]
                {
                    let bits = dense.rotate_left(seed) & (u64::MAX >> (seed / 2));
                    assert_eq!(
                        list(path, bits),
                        (0..64)
                            .filter(|i| bits >> i & 1 == 1)
                            .map(|i| 1_000 + i)
                            .collect::<Vec<_>>()
                    );
                }
            }
        }
    }
}
