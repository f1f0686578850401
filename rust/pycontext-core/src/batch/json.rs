//! JSON text, walked once: all of it is checked, and places are kept instead of values.
//!
//! What is refused here is what `strict_json.py` refuses: a key that comes twice, NaN, numbers beyond what others can
//! hold, text that is too deep or has too many values.

use std::fmt::Write;
use std::ops::Range;

use bumpalo::Bump;
use bumpalo::collections::String as ArenaString;
use hashbrown::HashSet;
use memchr::{memchr, memchr2};

use crate::error::Fault;

/// How deep lists and objects may be inside each other.
const DEPTH: usize = 64;

/// Lists, objects and what stands in them.
const VALUES: usize = 5_000_000;

/// Digits of a whole number.
const DIGITS: usize = 1_000;

/// Keys from which it pays to hash them to find one that comes twice.
const MANY_KEYS: usize = 16;

/// A value by the place where it stands.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a> {
    /// Its JSON, as it was written; of a bare text the text itself.
    pub raw: &'a str,
    /// What it is.
    pub kind: Type,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A text that was never JSON.
    Bare,
    /// A string in which every character stands for itself.
    Text,
    /// A string with backslashes in it.
    Escaped,
    /// A whole number.
    Whole,
    /// A number with a point or an exponent.
    Real,
    /// A list.
    List,
    /// An object.
    Object,
    /// `true` or `false`.
    Flag,
    /// `null`.
    Null,
}

impl Type {
    /// What Python calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bare | Self::Text | Self::Escaped => "str",
            Self::Whole => "int",
            Self::Real => "float",
            Self::List => "list",
            Self::Object => "dict",
            Self::Flag => "bool",
            Self::Null => "NoneType",
        }
    }
}

impl<'a> Value<'a> {
    /// Whether it is a string.
    pub fn is_text(self) -> bool {
        matches!(self.kind, Type::Bare | Type::Text | Type::Escaped)
    }

    /// The text of a string, `None` for what is none or has half of a surrogate pair.
    pub fn text(self, arena: &'a Bump) -> Option<&'a str> {
        match self.kind {
            Type::Bare => Some(self.raw),
            Type::Text => Some(&self.raw[1..self.raw.len() - 1]),
            Type::Escaped => unescaped(&self.raw[1..self.raw.len() - 1], arena),
            _ => None,
        }
    }

    /// The value as Python's encoder writes it without blanks; `None` where it has half of a surrogate pair.
    pub fn compact(self, arena: &'a Bump) -> Option<&'a str> {
        if matches!(self.kind, Type::Text | Type::Flag | Type::Null) {
            return Some(self.raw);
        }
        let mut out = ArenaString::with_capacity_in(self.raw.len() + 2, arena);
        if self.kind == Type::Bare {
            quote(self.raw, &mut out);
            return Some(out.into_bump_str());
        }
        // What was walked before has no fault.
        Walk::new(self.raw, arena, true).write(&mut out).ok()?;
        Some(out.into_bump_str())
    }
}

/// A walk over a text.
#[derive(Debug)]
pub struct Walk<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    values: usize,
    arena: &'a Bump,
    /// Whether no string can hold a control character: nothing below a blank is anywhere in the text.
    is_plain: bool,
    /// Whether a key had half of a surrogate pair, which no text can hold.
    pub has_half_a_key: bool,
    /// Keys of the objects that are open, those of the innermost last.
    keys: Vec<&'a str>,
    /// Where the backslashes of the last string are.
    escapes: Vec<usize>,
}

impl<'a> Walk<'a> {
    /// A walk from the beginning of a text; `is_plain` where there is no byte below a blank in it.
    pub fn new(text: &'a str, arena: &'a Bump, is_plain: bool) -> Self {
        let (keys, escapes) = (Vec::new(), Vec::new());
        Self {
            text,
            at: 0,
            depth: 0,
            values: 1,
            arena,
            is_plain,
            has_half_a_key: false,
            keys,
            escapes,
        }
    }

    /// How many bytes are behind.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Passes blanks, and has the next byte, 0 at the end.
    pub fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return *byte;
            }
            self.at += 1;
        }
        0
    }

    /// Passes the end of the text, behind which nothing stands but blanks.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.peek();
        if self.at < self.text.len() { Err(self.fault("more behind its end")) } else { Ok(()) }
    }

    /// Walks over an object; `each` has to walk over the value of its key.
    pub fn object(
        &mut self,
        mut each: impl FnMut(&mut Self, &'a str) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.open(b'{')?;
        let first = self.keys.len();
        let mut is_more = self.peek() != b'}';
        while is_more {
            let key = self.key()?;
            self.keys.push(key);
            if self.peek() != b':' {
                return Err(self.fault("no ':' behind a key"));
            }
            self.at += 1;
            each(self, key)?;
            is_more = self.peek() == b',';
            if is_more {
                self.at += 1;
                self.values += 1;
                self.peek();
            }
        }
        self.check_keys(first)?;
        self.keys.truncate(first);
        self.close(b'}')
    }

    /// Walks over a list; `each` has to walk over the item that begins where the walk is.
    pub fn list(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.open(b'[')?;
        let mut is_more = self.peek() != b']';
        while is_more {
            each(self)?;
            is_more = self.peek() == b',';
            if is_more {
                self.at += 1;
                self.values += 1;
                self.peek();
            }
        }
        self.close(b']')
    }

    /// Walks over a value of any type.
    pub fn value(&mut self) -> Result<Value<'a>, Fault> {
        let first = self.peek();
        let start = self.at;
        let kind = match first {
            b'"' => self.string()?,
            b'{' => {
                self.object(|walk, _| walk.value().map(drop))?;
                Type::Object
            }
            b'[' => {
                self.list(|walk| walk.value().map(drop))?;
                Type::List
            }
            b't' => self.word("true", Type::Flag)?,
            b'f' => self.word("false", Type::Flag)?,
            b'n' => self.word("null", Type::Null)?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => return Err(self.fault("no value")),
        };
        Ok(Value { raw: &self.text[start..self.at], kind })
    }

    /// The same, a string with its text; `None` instead of a text with half of a surrogate pair.
    pub fn read(&mut self) -> Result<Option<Value<'a>>, Fault> {
        let value = self.value()?;
        if value.kind != Type::Escaped {
            return Ok(Some(value));
        }
        let raw = &value.raw[1..value.raw.len() - 1];
        let start = self.at - 1 - raw.len();
        let places = self.escapes.iter().map(|at| at - start);
        let text = unescaped_at(raw, places, self.arena);
        Ok(text.map(|raw| Value { raw, kind: Type::Bare }))
    }

    /// Writes the next value without blanks, as Python's encoder does.
    fn write(&mut self, out: &mut ArenaString<'a>) -> Result<(), Fault> {
        match self.peek() {
            b'{' => {
                let mut separator = '{';
                self.object(|walk, key| {
                    out.push(separator);
                    separator = ',';
                    quote(key, out);
                    out.push(':');
                    walk.write(out)
                })?;
                out.push_str(if separator == '{' { "{}" } else { "}" });
            }
            b'[' => {
                let mut separator = '[';
                self.list(|walk| {
                    out.push(separator);
                    separator = ',';
                    walk.write(out)
                })?;
                out.push_str(if separator == '[' { "[]" } else { "]" });
            }
            _ => {
                let value = self.value()?;
                match value.kind {
                    Type::Escaped => {
                        let text = value.text(self.arena);
                        quote(text.ok_or_else(|| self.fault("half of a surrogate pair"))?, out);
                    }
                    Type::Real => out.push_str(&repr(value.raw.parse().unwrap_or_default())),
                    Type::Whole if value.raw == "-0" => out.push('0'),
                    _ => out.push_str(value.raw),
                }
            }
        }
        Ok(())
    }

    /// A key, unescaped; with half of a surrogate pair as it was written.
    fn key(&mut self) -> Result<&'a str, Fault> {
        if self.text.as_bytes().get(self.at) != Some(&b'"') {
            return Err(self.fault("no key"));
        }
        let start = self.at + 1;
        let kind = self.string()?;
        let raw = &self.text[start..self.at - 1];
        if kind == Type::Text {
            return Ok(raw);
        }
        Ok(unescaped(raw, self.arena).unwrap_or_else(|| {
            self.has_half_a_key = true;
            self.arena.alloc_str(&raw.to_ascii_lowercase())
        }))
    }

    /// Walks over a string; the next byte is its quote.
    fn string(&mut self) -> Result<Type, Fault> {
        let bytes = self.text.as_bytes();
        let start = self.at + 1;
        let mut at = start;
        let mut kind = Type::Text;
        self.escapes.clear();
        loop {
            let Some(found) = memchr2(b'"', b'\\', &bytes[at..]) else {
                return Err(self.fault("a string without end"));
            };
            at += found;
            if bytes[at] == b'"' {
                break;
            }
            kind = Type::Escaped;
            self.escapes.push(at);
            at += match bytes.get(at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                Some(b'u') if hex(bytes, at + 2).is_some() => 6,
                _ => {
                    self.at = at;
                    return Err(self.fault("no such escape"));
                }
            };
        }
        if !self.is_plain
            && let Some(control) = bytes[start..at].iter().position(|byte| *byte < b' ')
        {
            self.at = start + control;
            return Err(self.fault("a control character in a string"));
        }
        self.at = at + 1;
        Ok(kind)
    }

    fn number(&mut self) -> Result<Type, Fault> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        let digits = |from: usize| {
            from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count()
        };
        let whole = start + usize::from(bytes[start] == b'-');
        let mut at = digits(whole);
        let is_good = at > whole && (bytes[whole] != b'0' || at == whole + 1);
        if !is_good {
            return Err(self.fault("no number"));
        }
        let mut kind = Type::Whole;
        if bytes.get(at) == Some(&b'.') {
            let end = digits(at + 1);
            if end > at + 1 {
                (kind, at) = (Type::Real, end);
            }
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            let end = digits(at + 1 + sign);
            if end > at + 1 + sign {
                (kind, at) = (Type::Real, end);
            }
        }
        let raw = &self.text[start..at];
        if kind == Type::Whole && at - whole > DIGITS {
            let rule = format!("has {} digits, over {DIGITS}", at - whole);
            return Err(Fault::new("number", raw, rule));
        }
        if kind == Type::Real && raw.parse().is_ok_and(f64::is_infinite) {
            return Err(Fault::new("number", raw, "is too large"));
        }
        self.at = at;
        Ok(kind)
    }

    fn word(&mut self, word: &str, kind: Type) -> Result<Type, Fault> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.fault("no value"));
        }
        self.at += word.len();
        Ok(kind)
    }

    fn open(&mut self, byte: u8) -> Result<(), Fault> {
        debug_assert_eq!(self.text.as_bytes()[self.at], byte, "the caller looked");
        self.at += 1;
        self.depth += 1;
        self.values += 1;
        if self.depth > DEPTH {
            return Err(Fault::new("JSON", "", format!("is nested over {DEPTH} deep")));
        }
        if self.values > VALUES {
            return Err(Fault::new("JSON", "", format!("has over {VALUES} values")));
        }
        Ok(())
    }

    fn close(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() != byte {
            return Err(self.fault("no ',' and no end"));
        }
        if self.values > VALUES {
            return Err(Fault::new("JSON", "", format!("has over {VALUES} values")));
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Refuses a key that comes twice among those from `first` on.
    fn check_keys(&self, first: usize) -> Result<(), Fault> {
        let keys = &self.keys[first..];
        let twice = if keys.len() < MANY_KEYS {
            (1..keys.len()).find(|at| keys[..*at].contains(&keys[*at]))
        } else {
            let mut seen = HashSet::with_capacity(keys.len());
            (0..keys.len()).find(|at| !seen.insert(keys[*at]))
        };
        twice.map_or(Ok(()), |at| Err(Fault::new("key", &format!("'{}'", keys[at]), "comes twice")))
    }

    fn fault(&self, what: &str) -> Fault {
        let column = self.text[..self.at].chars().count() + 1;
        Fault::new("line", "", format!("is not JSON: {what} at column {column}"))
    }
}

/// The four hexadecimal digits at a place.
fn hex(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |sum, byte| Some(sum * 16 + char::from(*byte).to_digit(16)?))
}

/// What stands between the quotes of a string, whose escapes were checked; `None` where half of a surrogate pair is.
fn unescaped<'a>(raw: &str, arena: &'a Bump) -> Option<&'a str> {
    let mut from = 0;
    let places = std::iter::from_fn(|| {
        let at = from + memchr(b'\\', raw.as_bytes().get(from..)?)?;
        from = at + 2;
        Some(at)
    });
    unescaped_at(raw, places, arena)
}

/// Bytes that are copied at once, without asking how many are wanted.
const WORD: usize = 32;

/// The same, where it is known where the backslashes are.
fn unescaped_at<'a>(
    raw: &str,
    places: impl Iterator<Item = usize>,
    arena: &'a Bump,
) -> Option<&'a str> {
    let bytes = raw.as_bytes();
    // A text gets no longer; a word more, so that its end can be copied like the rest.
    let out = arena.alloc_slice_fill_copy(bytes.len() + WORD, 0);
    let (mut from, mut end) = (0, 0);
    for at in places {
        // The second half of a pair was taken with the first.
        if at < from {
            continue;
        }
        end = copy(bytes, from..at, out, end);
        from = at + 2;
        let plain = match bytes[at + 1] {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut code = hex(bytes, at + 2)?;
                from = at + 6;
                if (0xd800..0xdc00).contains(&code) && bytes[from..].starts_with(b"\\u") {
                    let low = hex(bytes, from + 2).filter(|low| (0xdc00..0xe000).contains(low))?;
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    from += 6;
                }
                end += char::from_u32(code)?.encode_utf8(&mut out[end..]).len();
                continue;
            }
            other => other,
        };
        out[end] = plain;
        end += 1;
    }
    end = copy(bytes, from..bytes.len(), out, end);
    simdutf8::basic::from_utf8(&out[..end]).ok()
}

/// Copies a range behind what is there; returns the new end.
#[inline]
fn copy(bytes: &[u8], range: Range<usize>, out: &mut [u8], end: usize) -> usize {
    let length = range.len();
    // Most runs are lines of text or shorter: to call for each takes longer than to copy a word.
    if length <= WORD
        && let Some(word) = bytes.get(range.start..range.start + WORD)
        && let Some(room) = out.get_mut(end..end + WORD)
    {
        room.copy_from_slice(word);
    } else {
        out[end..end + length].copy_from_slice(&bytes[range]);
    }
    end + length
}

/// Writes a text in quotes, as Python's encoder does that leaves what is not ASCII.
pub fn quote(text: &str, out: &mut impl Write) {
    // Nothing here has a way to fail: a string takes whatever is written.
    let _ = out.write_char('"');
    let mut done = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..0x20 => "",
            _ => continue,
        };
        let _ = out.write_str(&text[done..at]);
        let _ = out.write_str(escape);
        if escape.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        }
        done = at + 1;
    }
    let _ = out.write_str(&text[done..]);
    let _ = out.write_char('"');
}

/// A number as Python writes it: the fewest digits that come back, with an exponent outside 1e-4 to 1e16.
#[must_use]
pub fn repr(number: f64) -> String {
    let short = format!("{number:e}");
    let (digits, exponent) = short.split_once('e').unwrap_or((&short, "0"));
    let power: i32 = exponent.parse().unwrap_or_default();
    if number == 0.0 || (-4..16).contains(&power) {
        return format!("{number:?}");
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", power.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(text: &str) -> Result<String, String> {
        let arena = Bump::new();
        let mut walk = Walk::new(text, &arena, !text.bytes().any(|byte| byte < b' '));
        let value = walk.value().map_err(|fault| fault.to_string())?;
        walk.end().map_err(|fault| fault.to_string())?;
        Ok(value.compact(&arena).unwrap_or("half").to_owned())
    }

    #[test]
    fn what_is_good_is_written_without_blanks() {
        for text in
            ["{}", "[]", "null", "-1", "0", "\"\\\"\\\\\\n\\u0001é\"", "{\"a\":[1,{\"b\":true}]}"]
        {
            assert_eq!(walked(text).as_deref(), Ok(text));
        }
        assert_eq!(walked(" { \"a\" : [ 1 , 2 ] } ").as_deref(), Ok("{\"a\":[1,2]}"));
        assert_eq!(walked(r#""\u00e9\/\ud83d\ude00""#).as_deref(), Ok("\"é/😀\""));
        assert_eq!(walked(r#""\ud800""#).as_deref(), Ok("half"));
        assert_eq!(walked(r#""\ud800\u0041""#).as_deref(), Ok("half"));
        assert_eq!(
            walked("[1e5,1E+16,1.50,-0,-0.0,1e-5,0.0001]").as_deref(),
            Ok("[100000.0,1e+16,1.5,0,-0.0,1e-05,0.0001]")
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "01",
            "1.",
            "-",
            "+1",
            "NaN",
            "Infinity",
            "tru",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\t\"",
            "1 2",
            "[1 2]",
            "1e999",
            "{\"a\":1,\"\\u0061\":2}",
            "'a'",
        ] {
            assert!(walked(text).is_err(), "{text}");
        }
        assert!(walked(&"[".repeat(65)).is_err());
        assert!(walked(&("[".repeat(64) + &"]".repeat(64))).is_ok());
        assert!(walked(&"9".repeat(1_001)).is_err());
        let keys: Vec<_> = (0..40).map(|n| format!("\"k{}\":1", n % 39)).collect();
        assert!(walked(&format!("{{{}}}", keys.join(","))).is_err());
    }
}
