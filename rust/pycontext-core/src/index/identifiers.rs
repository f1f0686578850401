//! Identifiers in texts: what a later call may need verbatim.
//!
//! Weights by kind are measured on recorded conversations with tools: codes, dates and e-mail addresses are what calls
//! take as arguments; short numbers and times of the day fill tables and are rarely asked for again.

/// What an identifier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `name@example.com`.
    Email,
    /// `2026-11-24`.
    Date,
    /// Letters with digits, or six digits and more.
    Code,
    /// Words joined by underscores.
    Name,
    /// A number of few digits.
    Number,
    /// `10:30`, alone or with its day.
    Time,
}

impl Shape {
    /// How much it counts that an identifier of this shape stays.
    #[must_use]
    pub fn weight(self) -> f64 {
        match self {
            Self::Email | Self::Date | Self::Code => 1.0,
            Self::Name => 0.2,
            Self::Number | Self::Time => 0.1,
        }
    }

    /// The shape of a piece of text, `None` where it is no identifier.
    fn of(piece: &str) -> Option<Self> {
        let bytes = piece.as_bytes();
        if bytes.len() < SHORTEST {
            return None;
        }
        let digits = bytes.iter().filter(|byte| byte.is_ascii_digit()).count();
        let has_letters = bytes.iter().any(u8::is_ascii_alphabetic);
        if let Some((name, host)) = piece.split_once('@') {
            let is_email = !name.is_empty() && host.contains('.') && !host.contains('@');
            return is_email.then_some(Self::Email);
        }
        if digits == 0 {
            return (has_letters && bytes.contains(&b'_')).then_some(Self::Name);
        }
        if is_date(bytes) {
            return Some(Self::Date);
        }
        let is_day_and_time =
            bytes.len() > DATE && is_date(&bytes[..DATE]) && matches!(bytes[DATE], b'T' | b't');
        if is_day_and_time || (!has_letters && bytes.contains(&b':')) {
            return Some(Self::Time);
        }
        Some(if has_letters || digits >= MANY_DIGITS { Self::Code } else { Self::Number })
    }
}

/// Bytes of the shortest identifier.
const SHORTEST: usize = 3;

/// Digits from which on a number names something.
const MANY_DIGITS: usize = 6;

/// Bytes of `2026-11-24`.
const DATE: usize = 10;

fn is_date(bytes: &[u8]) -> bool {
    let is_at = |at: usize| match at {
        4 | 7 => bytes[at] == b'-',
        _ => bytes[at].is_ascii_digit(),
    };
    bytes.len() == DATE && (0..DATE).all(is_at)
}

/// Calls `each` with every identifier of a text, as it is written, and its shape.
///
/// An identifier is a run of ASCII letters, digits and `_`, with `@ . + : -` between them. The keys of JSON objects are
/// none: they name the field and not what is in it.
pub fn identifiers<'a>(text: &'a str, mut each: impl FnMut(&'a str, Shape)) {
    let bytes = text.as_bytes();
    let is_word =
        |at: usize| bytes.get(at).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(at) {
            at += 1;
            continue;
        }
        let start = at;
        let mut is_plain = true;
        loop {
            while is_word(at) {
                at += 1;
            }
            let joins =
                bytes.get(at).is_some_and(|byte| b"@.+:-".contains(byte)) && is_word(at + 1);
            if !joins {
                break;
            }
            is_plain = false;
            at += 1;
        }
        if is_plain && start > 0 && bytes[start - 1] == b'"' && is_key_end(&bytes[at..]) {
            continue;
        }
        let piece = text[start..at].trim_matches(|char| "_.:-+".contains(char));
        if let Some(shape) = Shape::of(piece) {
            each(piece, shape);
        }
    }
}

/// Whether what follows says that the string before it is a key: a quote, blanks, a colon.
fn is_key_end(rest: &[u8]) -> bool {
    let [b'"', rest @ ..] = rest else { return false };
    rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(&str, Shape)> {
        let mut found = Vec::new();
        identifiers(text, |piece, shape| found.push((piece, shape)));
        found
    }

    #[test]
    fn shapes_are_told_apart() {
        let text = "mia_li_3668 mia.li3818@example.com 2024-05-20 HAT136 555-123-2002 one_way $350.50 10:30 2024-05-20T10:30:00 78750";
        let expected = [
            ("mia_li_3668", Shape::Code),
            ("mia.li3818@example.com", Shape::Email),
            ("2024-05-20", Shape::Date),
            ("HAT136", Shape::Code),
            ("555-123-2002", Shape::Code),
            ("one_way", Shape::Name),
            ("350.50", Shape::Number),
            ("10:30", Shape::Time),
            ("2024-05-20T10:30:00", Shape::Time),
            ("78750", Shape::Number),
        ];
        assert_eq!(found(text), expected);
    }

    #[test]
    fn keys_of_json_are_none() {
        let text =
            r#"{"flight_number": "HAT069", "user_id" : "mia_li_3668","n":12, "a_b":["c_d"]}"#;
        let expected =
            [("HAT069", Shape::Code), ("mia_li_3668", Shape::Code), ("c_d", Shape::Name)];
        assert_eq!(found(text), expected);
    }

    #[test]
    fn words_and_punctuation_are_none() {
        assert_eq!(found("Yes, go ahead. It is 42 - or 7: all_ of_ @home a@b ... __ é1"), []);
        assert_eq!(found(""), []);
        assert_eq!(found("see v1.2.3."), [("v1.2.3", Shape::Code)]);
    }
}
