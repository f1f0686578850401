//! The protobuf encoding: varints, tags and lengths.

use crate::error::Fault;

/// How a value is written.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// The largest number that a field can have.
const MOST_FIELDS: u64 = (1 << 29) - 1;

/// Bytes of a varint.
pub fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
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

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn put_tag(out: &mut Vec<u8>, number: u8, wire: u8) {
    debug_assert!(number < 16, "a tag of one byte");
    out.push(number << 3 | wire);
}

/// Appends text or bytes, unless there are none.
pub fn put_bytes(out: &mut Vec<u8>, number: u8, value: &[u8]) {
    if !value.is_empty() {
        put_nested(out, number, value.len());
        out.extend_from_slice(value);
    }
}

/// Appends the tag and the length of a message that follows.
pub fn put_nested(out: &mut Vec<u8>, number: u8, len: usize) {
    put_tag(out, number, BYTES);
    put_varint(out, len as u64);
}

/// Appends a number, unless it is 0.
pub fn put_number(out: &mut Vec<u8>, number: u8, value: u64) {
    if value != 0 {
        put_present(out, number, value);
    }
}

/// Appends a number, also 0.
pub fn put_present(out: &mut Vec<u8>, number: u8, value: u64) {
    put_tag(out, number, VARINT);
    put_varint(out, value);
}

/// Appends a float, unless it is 0.
pub fn put_f32(out: &mut Vec<u8>, number: u8, value: f32) {
    if value != 0.0 {
        put_tag(out, number, FIXED32);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// Appends a double.
pub fn put_f64(out: &mut Vec<u8>, number: u8, value: f64) {
    put_tag(out, number, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends an entry of a map from text to text.
pub fn put_entry(out: &mut Vec<u8>, number: u8, key: &str, value: &str) {
    put_nested(out, number, entry_len(key, value));
    put_bytes(out, 1, key.as_bytes());
    put_bytes(out, 2, value.as_bytes());
}

/// Bytes of an entry of a map from text to text, without its own tag and length.
pub fn entry_len(key: &str, value: &str) -> usize {
    bytes_len(key.len()) + bytes_len(value.len())
}

/// The value of a field.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    /// Numbers, booleans and enumerations.
    Varint(u64),
    /// Doubles.
    Fixed64(u64),
    /// Texts, bytes and messages, with the place of the first byte in the data.
    Bytes(&'a [u8], usize),
    /// Floats.
    Fixed32(u32),
}

/// One field of a message.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// As in the schema.
    pub number: u32,
    /// What it holds.
    pub value: Value<'a>,
    /// Tag and value as they came.
    pub raw: &'a [u8],
}

/// Reads a message field by field.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Place of the first byte in the data.
    base: usize,
}

impl<'a> Reader<'a> {
    /// Reads a message that begins at `base` in the data.
    pub fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, at: 0, base }
    }

    /// Bytes of the message.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The next field, `None` at the end.
    ///
    /// # Errors
    /// The bytes are no protobuf message; the place is named.
    pub fn next(&mut self) -> Result<Option<Field<'a>>, Fault> {
        let start = self.at;
        if start == self.bytes.len() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > MOST_FIELDS {
            return Err(self.malformed(start, &format!("has a field of the number {number}")));
        }
        let wire = tag.to_le_bytes()[0] & 7;
        let value = match wire {
            VARINT => Value::Varint(self.varint()?),
            FIXED64 => Value::Fixed64(u64::from_le_bytes(self.take()?)),
            FIXED32 => Value::Fixed32(u32::from_le_bytes(self.take()?)),
            BYTES => {
                let len = self.varint()?;
                let left = self.bytes.len() - self.at;
                let len = usize::try_from(len).ok().filter(|len| *len <= left);
                let len = len.ok_or_else(|| self.malformed(start, "ends inside a field"))?;
                let from = self.at;
                self.at += len;
                Value::Bytes(&self.bytes[from..self.at], self.base + from)
            }
            _ => return Err(self.malformed(start, &format!("has the wire type {wire}"))),
        };
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        Ok(Some(Field { number, value, raw: &self.bytes[start..self.at] }))
    }

    fn varint(&mut self) -> Result<u64, Fault> {
        let start = self.at;
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self
                .bytes
                .get(self.at)
                .ok_or_else(|| self.malformed(start, "ends inside a field"))?;
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

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let found = self.bytes[self.at..].first_chunk::<N>().copied();
        self.at += N;
        found.ok_or_else(|| self.malformed(self.at - N, "ends inside a field"))
    }

    fn malformed(&self, at: usize, what: &str) -> Fault {
        malformed(self.base + at, what)
    }
}

/// The fault of bytes that are no protobuf message.
fn malformed(at: usize, what: &str) -> Fault {
    Fault::new("protobuf", "", format!("{what} at byte {at}"))
}

impl<'a> Field<'a> {
    /// The value as text; `name` is that of the field.
    pub fn text(&self, name: &str) -> Result<&'a str, Fault> {
        let (bytes, at) = self.bytes(name)?;
        std::str::from_utf8(bytes).map_err(|error| {
            let place = at + error.valid_up_to();
            Fault::new(name, "", format!("is not UTF-8 at byte {place}"))
        })
    }

    /// The value as bytes, and their place in the data.
    pub fn bytes(&self, name: &str) -> Result<(&'a [u8], usize), Fault> {
        match self.value {
            Value::Bytes(bytes, at) => Ok((bytes, at)),
            _ => Err(self.is_not(name, "text or bytes")),
        }
    }

    /// The value as a message.
    pub fn message(&self, name: &str) -> Result<Reader<'a>, Fault> {
        self.bytes(name).map(|(bytes, at)| Reader::new(bytes, at))
    }

    /// The value as a number from 0 to `most`.
    pub fn number(&self, name: &str, most: u64) -> Result<u64, Fault> {
        match self.value {
            Value::Varint(number) if number <= most => Ok(number),
            Value::Varint(number) => {
                Err(Fault::new(name, &number.to_string(), format!("is not from 0 to {most}")))
            }
            _ => Err(self.is_not(name, "a whole number")),
        }
    }

    /// The value as a number of 32 bits.
    pub fn u32(&self, name: &str) -> Result<u32, Fault> {
        let number = self.number(name, u32::MAX.into())?;
        Ok(u32::try_from(number).unwrap_or(u32::MAX))
    }

    /// The value as a float.
    pub fn f32(&self, name: &str) -> Result<f32, Fault> {
        match self.value {
            Value::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(self.is_not(name, "a float")),
        }
    }

    /// The value as a double.
    pub fn f64(&self, name: &str) -> Result<f64, Fault> {
        match self.value {
            Value::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(self.is_not(name, "a double")),
        }
    }

    fn is_not(&self, name: &str, wanted: &str) -> Fault {
        Fault::new(name, "", format!("(field {}) is not {wanted}", self.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_comes_back_and_has_the_length_it_says() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), 1 << 63, u64::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out.len(), varint_len(value), "{value}");
            assert_eq!(Reader::new(&out, 0).varint(), Ok(value));
        }
    }

    #[test]
    fn what_is_no_message_is_refused_at_its_place() {
        for (bytes, place) in [
            (&b"\x0a"[..], "byte 7"),
            (b"\x08\x01\x0a\x05ab", "byte 9"),
            (b"\x00", "number 0"),
            (b"\x0b", "wire type 3"),
            (b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "64 bits"),
            (b"\x0d\x00", "byte 7"),
        ] {
            let mut reader = Reader::new(bytes, 7);
            let fault = loop {
                match reader.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("{bytes:?} was taken"),
                    Err(fault) => break fault,
                }
            };
            assert!(fault.to_string().contains(place), "{fault}");
        }
    }
}
