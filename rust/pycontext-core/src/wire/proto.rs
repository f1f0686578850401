//! The protobuf encoding: varints, tags and lengths.

use std::num::NonZeroU64;
use std::ops::Range;

use crate::error::Fault;

/// What was read, or what is wrong: in a box, because what is mostly there fits into registers then.
pub type Read<T> = Result<T, Box<Fault>>;

/// How a value is written.
const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const GROUP: u64 = 3;
const GROUP_END: u64 = 4;
const FIXED32: u64 = 5;

/// The largest number that a field can have.
const MOST_FIELDS: u64 = (1 << 29) - 1;

/// Groups inside each other: as many as other readers take.
const MOST_GROUPS: usize = 100;

/// Where a message is written: a place of just its size, so that it is written once and never moved.
#[derive(Debug)]
pub struct Out<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> Out<'a> {
    /// Writes from the start of `bytes`.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Appends bytes; what was measured always has room.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        self.bytes[self.at..end].copy_from_slice(bytes);
        self.at = end;
    }
}

/// Bytes of a varint.
pub fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    // Bits by seven, rounded up, for the numbers that there are.
    (bits * 9 + 64) / 64
}

/// Bytes of a field whose number is below 16 and whose value has a length; nothing where the value is empty.
pub fn bytes_len(len: usize) -> usize {
    if len == 0 { 0 } else { nested_len(len) }
}

/// The same for a message, which is written also where it is empty.
pub fn nested_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Bytes of a field whose number is below 16 and whose value is a varint; nothing where it is 0.
pub fn number_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(value) }
}

/// Bytes of a float whose field has a number below 16; nothing where it is 0.
pub fn float_len(value: f32) -> usize {
    if value.to_bits() == 0 { 0 } else { 5 }
}

/// Appends a varint.
pub fn put_varint(out: &mut Out<'_>, mut value: u64) {
    while value >= 0x80 {
        out.put(&[value.to_le_bytes()[0] | 0x80]);
        value >>= 7;
    }
    out.put(&[value.to_le_bytes()[0]]);
}

fn tag_of(number: u8, wire: u64) -> u8 {
    debug_assert!(number < 16, "a tag of one byte");
    number << 3 | wire.to_le_bytes()[0]
}

/// Appends text or bytes, unless there are none.
pub fn put_bytes(out: &mut Out<'_>, number: u8, value: &[u8]) {
    if !value.is_empty() {
        put_nested(out, number, value.len());
        out.put(value);
    }
}

/// Appends the tag and the length of a message that follows.
pub fn put_nested(out: &mut Out<'_>, number: u8, len: usize) {
    put_present_as(out, number, BYTES, len as u64);
}

/// Appends a number, unless it is 0.
pub fn put_number(out: &mut Out<'_>, number: u8, value: u64) {
    if value != 0 {
        put_present(out, number, value);
    }
}

/// Appends a number, also 0.
pub fn put_present(out: &mut Out<'_>, number: u8, value: u64) {
    put_present_as(out, number, VARINT, value);
}

/// Appends a tag and a varint, which mostly has one byte or two: then all of it at once.
#[inline]
fn put_present_as(out: &mut Out<'_>, number: u8, wire: u64, value: u64) {
    let tag = tag_of(number, wire);
    let [low, high, ..] = value.to_le_bytes();
    match value {
        0..0x80 => out.put(&[tag, low]),
        0x80..0x4000 => out.put(&[tag, low | 0x80, high << 1 | low >> 7]),
        _ => {
            out.put(&[tag]);
            put_varint(out, value);
        }
    }
}

/// Appends a float, unless it is 0; -0 is another number.
pub fn put_f32(out: &mut Out<'_>, number: u8, value: f32) {
    if value.to_bits() != 0 {
        let [a, b, c, d] = value.to_le_bytes();
        out.put(&[tag_of(number, FIXED32), a, b, c, d]);
    }
}

/// Appends a double.
pub fn put_f64(out: &mut Out<'_>, number: u8, value: f64) {
    out.put(&[tag_of(number, FIXED64)]);
    out.put(&value.to_le_bytes());
}

/// Appends an entry of a map from text to text.
pub fn put_entry(out: &mut Out<'_>, number: u8, key: &str, value: &str) {
    put_nested(out, number, entry_len(key, value));
    put_bytes(out, 1, key.as_bytes());
    put_bytes(out, 2, value.as_bytes());
}

/// Bytes of an entry of a map from text to text, without its own tag and length.
pub fn entry_len(key: &str, value: &str) -> usize {
    bytes_len(key.len()) + bytes_len(value.len())
}

/// Number and wire type of a field.
///
/// One word, so that it is handed on in registers: what is written in parts and read as one makes the processor wait as
/// long as all the rest of a block takes.
#[derive(Debug, Clone, Copy)]
pub struct Tag(NonZeroU64);

impl Tag {
    /// Number of the field, as in the schema.
    #[inline]
    pub fn number(self) -> u64 {
        self.0.get() >> 3
    }

    #[inline]
    fn wire(self) -> u64 {
        self.0.get() & 7
    }
}

/// Reads a message: tag after tag, and behind each the value, or nothing of it.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the field begins whose tag was read last.
    start: usize,
    /// Place of the first byte in the data.
    base: usize,
}

impl<'a> Reader<'a> {
    /// Reads a message that begins at `base` in the data.
    pub fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, at: 0, start: 0, base }
    }

    /// Bytes of the message.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Where the message is in the data.
    pub fn place(&self) -> Range<usize> {
        self.base..self.base + self.bytes.len()
    }

    /// The next tag, `None` at the end.
    #[inline]
    pub fn tag(&mut self) -> Read<Option<Tag>> {
        self.start = self.at;
        if self.start == self.bytes.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        match tag >> 3 {
            1..=MOST_FIELDS => Ok(NonZeroU64::new(tag).map(Tag)),
            number => Err(self.is_no_field(number)),
        }
    }

    /// Passes over the value, and returns tag and value as they are.
    pub fn skip(&mut self, tag: Tag) -> Read<&'a [u8]> {
        match tag.wire() {
            VARINT => drop(self.varint()?),
            FIXED64 => drop(self.take::<8>()?),
            FIXED32 => drop(self.take::<4>()?),
            BYTES => drop(self.run()?),
            GROUP => self.skip_group(tag)?,
            wire => return Err(self.malformed(self.start, &format!("has the wire type {wire}"))),
        }
        Ok(&self.bytes[self.start..self.at])
    }

    /// Passes over fields until a group ends, which is how protobuf once wrote messages inside messages.
    #[cold]
    fn skip_group(&mut self, group: Tag) -> Read<()> {
        let start = self.start;
        let mut open = vec![group.number()];
        while let Some(&innermost) = open.last() {
            let Some(tag) = self.tag()? else { return Err(self.is_cut(start)) };
            match tag.wire() {
                GROUP if open.len() < MOST_GROUPS => open.push(tag.number()),
                GROUP => return Err(self.malformed(self.start, "has groups nested too deep")),
                GROUP_END if tag.number() == innermost => drop(open.pop()),
                _ => drop(self.skip(tag)?),
            }
        }
        // Of the whole group, for who wants its bytes.
        self.start = start;
        Ok(())
    }

    /// The value as text; `name` is that of the field.
    #[inline]
    pub fn text(&mut self, tag: Tag, name: &str) -> Read<&'a str> {
        let bytes = self.bytes(tag, name)?;
        self.as_text(bytes, name)
    }

    /// The value as text, and whether it is one of `known`.
    pub fn text_among(&mut self, tag: Tag, name: &str, known: &[&'a str]) -> Read<(&'a str, bool)> {
        let bytes = self.bytes(tag, name)?;
        match known.iter().find(|text| text.as_bytes() == bytes) {
            Some(text) => Ok((text, true)),
            None => Ok((self.as_text(bytes, name)?, false)),
        }
    }

    /// Bytes that were read last as text.
    #[inline]
    fn as_text(&self, bytes: &'a [u8], name: &str) -> Read<&'a str> {
        simdutf8::basic::from_utf8(bytes).map_err(|_| self.is_no_text(bytes, name))
    }

    /// The value as bytes.
    #[inline]
    pub fn bytes(&mut self, tag: Tag, name: &str) -> Read<&'a [u8]> {
        if tag.wire() == BYTES { self.run() } else { Err(is_not(tag, name, "text or bytes")) }
    }

    /// The value as a message.
    pub fn message(&mut self, tag: Tag, name: &str) -> Read<Self> {
        let bytes = self.bytes(tag, name)?;
        Ok(Self::new(bytes, self.base + self.at - bytes.len()))
    }

    /// The value as a number from 0 to `most`.
    #[inline]
    pub fn number(&mut self, tag: Tag, name: &str, most: u64) -> Read<u64> {
        if tag.wire() != VARINT {
            return Err(is_not(tag, name, "a whole number"));
        }
        let number = self.varint()?;
        if number > most {
            let rule = format!("is not from 0 to {most}");
            return Err(Box::new(Fault::new(name, &number.to_string(), rule)));
        }
        Ok(number)
    }

    /// The value as a number of 32 bits.
    pub fn u32(&mut self, tag: Tag, name: &str) -> Read<u32> {
        let number = self.number(tag, name, u32::MAX.into())?;
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// The value as a float.
    pub fn f32(&mut self, tag: Tag, name: &str) -> Read<f32> {
        if tag.wire() == FIXED32 {
            Ok(f32::from_le_bytes(self.take()?))
        } else {
            Err(is_not(tag, name, "a float"))
        }
    }

    /// The value as a double.
    pub fn f64(&mut self, tag: Tag, name: &str) -> Read<f64> {
        if tag.wire() == FIXED64 {
            Ok(f64::from_le_bytes(self.take()?))
        } else {
            Err(is_not(tag, name, "a double"))
        }
    }

    #[inline]
    fn varint(&mut self) -> Read<u64> {
        match self.bytes[self.at..] {
            [byte, ..] if byte < 0x80 => {
                self.at += 1;
                Ok(byte.into())
            }
            [low, high, ..] if high < 0x80 => {
                self.at += 2;
                Ok(u64::from(low & 0x7F) | u64::from(high) << 7)
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Read<u64> {
        let start = self.at;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.at) else { return Err(self.is_cut(start)) };
            self.at += 1;
            let bits = u64::from(byte & 0x7F);
            // Of the tenth byte only one bit is left.
            if shift == 63 && byte > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed(start, "has a number of more than 64 bits"))
    }

    /// A length, and so many bytes.
    #[inline]
    fn run(&mut self) -> Read<&'a [u8]> {
        let len = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        let left = &self.bytes[self.at..];
        match left.get(..len) {
            Some(run) => {
                self.at += len;
                Ok(run)
            }
            None => Err(self.is_cut(self.start)),
        }
    }

    fn take<const N: usize>(&mut self) -> Read<[u8; N]> {
        match self.bytes[self.at..].first_chunk::<N>() {
            Some(found) => {
                self.at += N;
                Ok(*found)
            }
            None => Err(self.is_cut(self.start)),
        }
    }

    /// The fault of `bytes`, which were read last.
    #[cold]
    #[expect(clippy::unnecessary_box_returns, reason = "what it is for wants a box")]
    fn is_no_text(&self, bytes: &[u8], name: &str) -> Box<Fault> {
        let good = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        let place = self.base + self.at - bytes.len() + good;
        Box::new(Fault::new(name, "", format!("is not UTF-8 at byte {place}")))
    }

    #[cold]
    #[expect(clippy::unnecessary_box_returns, reason = "what it is for wants a box")]
    fn is_no_field(&self, number: u64) -> Box<Fault> {
        self.malformed(self.start, &format!("has a field of the number {number}"))
    }

    #[cold]
    #[expect(clippy::unnecessary_box_returns, reason = "what it is for wants a box")]
    fn is_cut(&self, at: usize) -> Box<Fault> {
        self.malformed(at, "ends inside a field")
    }

    /// The fault of bytes that are no protobuf message.
    #[cold]
    #[expect(clippy::unnecessary_box_returns, reason = "what it is for wants a box")]
    fn malformed(&self, at: usize, what: &str) -> Box<Fault> {
        let place = self.base + at;
        Box::new(Fault::new("protobuf", "", format!("{what} at byte {place}")))
    }
}

#[cold]
#[expect(clippy::unnecessary_box_returns, reason = "what it is for wants a box")]
fn is_not(tag: Tag, name: &str, wanted: &str) -> Box<Fault> {
    Box::new(Fault::new(name, "", format!("(field {}) is not {wanted}", tag.number())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_comes_back_and_has_the_length_it_says() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), 1 << 63, u64::MAX] {
            // Only what was measured has room.
            let mut out = vec![0; varint_len(value)];
            put_varint(&mut Out::new(&mut out), value);
            assert_eq!(Reader::new(&out, 0).varint(), Ok(value));
        }
    }

    #[test]
    fn what_is_no_message_is_refused_at_its_place() {
        for (bytes, place) in [
            (&b"\x0a"[..], "byte 8"),
            (b"\x08\x01\x0a\x05ab", "byte 9"),
            (b"\x00", "number 0"),
            (b"\x0c", "wire type 4"),
            (b"\x0b\x14", "wire type 4"),
            (b"\x0b\x08\x01", "byte 7"),
            (&b"\x0b".repeat(101), "byte 107"),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "64 bits"),
            (b"\x0d\x00", "byte 7"),
        ] {
            let mut reader = Reader::new(bytes, 7);
            let fault = loop {
                match reader.tag().and_then(|tag| tag.map(|tag| reader.skip(tag)).transpose()) {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{bytes:?} was taken"),
                    Err(fault) => break fault,
                }
            };
            assert!(fault.to_string().contains(place), "{fault}");
        }
    }
}
