//! JSON without blanks.

use super::{is_json, string_end};

/// The same JSON without blanks between its parts: keys, texts and numbers are what they were, byte by byte. `None`
/// where the text is no JSON object or list.
#[must_use]
pub fn repack(text: &str) -> Option<String> {
    if !is_json(text) {
        return None;
    }
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'"' => string_end(bytes, at),
            b' ' | b'\n' | b'\r' | b'\t' => {
                at += 1;
                continue;
            }
            // Outside of strings JSON is ASCII.
            _ => at + 1,
        };
        out.push_str(&text[at..end]);
        at = end;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_blanks_goes() {
        let text = " {\n \"a b\" : [1.10, -0e5 ,\t\"x \\\" y\\\\\"], \"é\":{ } }\r\n";
        let expected = r#"{"a b":[1.10,-0e5,"x \" y\\"],"é":{}}"#;
        assert_eq!(repack(text).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_no_object_or_list_has_none() {
        let deep = "[".repeat(100_000);
        for text in ["", "plain", "12", "\"x\"", "{\"a\":}", "{} {}", "[1,]", &deep] {
            assert_eq!(repack(text), None, "{text:.20}");
        }
    }
}
