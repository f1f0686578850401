//! A stub of JSON: its shape with the leaves that a later call may need.

use super::{repack, string_end};
use crate::index::identifiers::identifiers;

/// Bytes of the shortest and the longest word that is taken for a status.
const STATUS: std::ops::RangeInclusive<usize> = 2..=24;

/// The key that marks a stub.
const MARK: &str = "shortened";

/// The JSON of a text with nothing but numbers, flags, identifiers and words that say a status, such as "confirmed";
/// marked with `id`, under which the whole can be had. `None` where the text is no JSON object or list, or has
/// the mark already.
#[must_use]
pub fn stub(text: &str, id: &str) -> Option<String> {
    let packed = repack(text)?;
    let mark = format!("{{\"{MARK}\":{}", serde_json::Value::from(id));
    if packed.starts_with(&format!("{{\"{MARK}\":")) {
        return None;
    }
    let mut out = String::with_capacity(packed.len());
    let mut walk = Walk { text: &packed, at: 0 };
    let is_kept = walk.value(&mut out);
    Some(match (is_kept, out.strip_prefix('{')) {
        (false, _) => format!("{mark}}}"),
        (true, Some(rest)) => format!("{mark},{rest}"),
        (true, None) => format!("{mark},\"rest\":{out}}}"),
    })
}

/// Reads JSON that is known to be such, and has no blanks.
struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl Walk<'_> {
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }

    /// Writes what is kept of a value, and says whether anything is.
    fn value(&mut self, out: &mut String) -> bool {
        match self.byte() {
            b'{' => self.items(out, b'}', true),
            b'[' => self.items(out, b']', false),
            b'"' => {
                let text = self.string();
                let is_kept = is_telling(&text[1..text.len() - 1]);
                out.push_str(if is_kept { text } else { "" });
                is_kept
            }
            _ => {
                let rest = &self.text[self.at..];
                let end = rest.find([',', '}', ']']).unwrap_or(rest.len());
                self.at += end;
                let is_kept = &rest[..end] != "null";
                out.push_str(if is_kept { &rest[..end] } else { "" });
                is_kept
            }
        }
    }

    fn string(&mut self) -> &str {
        let end = string_end(self.text.as_bytes(), self.at);
        let text = &self.text[self.at..end];
        self.at = end;
        text
    }

    fn items(&mut self, out: &mut String, close: u8, has_keys: bool) -> bool {
        let start = out.len();
        out.push(char::from(self.byte()));
        self.at += 1;
        let empty = out.len();
        while self.byte() != close && self.at < self.text.len() {
            let before = out.len();
            if before > empty {
                out.push(',');
            }
            if has_keys {
                let key = self.string();
                out.push_str(key);
                out.push(':');
                self.at += 1;
            }
            if !self.value(out) {
                out.truncate(before);
            }
            if self.byte() == b',' {
                self.at += 1;
            }
        }
        self.at += 1;
        let is_kept = out.len() > empty;
        if is_kept {
            out.push(char::from(close));
        } else {
            out.truncate(start);
        }
        is_kept
    }
}

/// Whether a text holds an identifier, or is one word in lower case.
fn is_telling(text: &str) -> bool {
    let mut found = false;
    identifiers(text, |_, _| found = true);
    found || (STATUS.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_numbers_flags_and_words_of_status_stay() {
        let text = r#"{"id": "HAT136", "city": "New York", "status": "available", "free": true, "seats": {"economy": 12,
            "note": "Window seats only"}, "legs": [{"city": "Boston"}, {"day": "2024-05-20"}], "none": null, "empty": []}"#;
        let expected = r#"{"shortened":"m7","id":"HAT136","status":"available","free":true,"seats":{"economy":12},"legs":[{"day":"2024-05-20"}]}"#;
        assert_eq!(stub(text, "m7").as_deref(), Some(expected));
    }

    #[test]
    fn a_list_is_wrapped_and_nothing_leaves_the_mark() {
        assert_eq!(
            stub("[1, \"Some words\"]", "a\"b").as_deref(),
            Some(r#"{"shortened":"a\"b","rest":[1]}"#)
        );
        assert_eq!(stub("{\"a\": \"Some words\"}", "m1").as_deref(), Some(r#"{"shortened":"m1"}"#));
        assert_eq!(stub("{}", "m1").as_deref(), Some(r#"{"shortened":"m1"}"#));
    }

    #[test]
    fn a_stub_has_no_stub_and_text_has_none() {
        assert_eq!(stub(r#"{"shortened":"m1","n":1}"#, "m1"), None);
        assert_eq!(stub("plain text", "m1"), None);
    }
}
