//! What a provider's own message fields add to a block: tool calls, names, parts that are not text.

mod anthropic;
mod object;
mod responses;

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;
use serde_json::value::RawValue;

use object::Object;

/// Prefixes of the metadata keys that the adapters write; each value is JSON.
const OPENAI: &str = "openai.";
const ANTHROPIC: &str = "anthropic.";

/// An image of unknown size: the most that the documented tile rule of gpt-4o and gpt-4.1 can give, eight tiles
/// of 170 and 85 for the whole. Other models count images by other rules, so that it stays an estimate.
const IMAGE_TOKENS: u32 = 1_445;

/// An image asked for in low detail, by the same rule.
const LOW_DETAIL_IMAGE_TOKENS: u32 = 85;

/// One tool call, as the model wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Call {
    /// Name of the tool.
    pub name: String,
    /// The arguments, JSON without blanks where they are JSON.
    pub arguments: String,
}

/// The provider fields of one block, ready to be counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provider {
    /// Tool calls of an AGENT block.
    pub calls: Vec<Call>,
    /// Name of the participant.
    pub name: Option<String>,
    /// The block is the answer to a tool call and goes back under the role for that.
    pub is_result: bool,
    /// Text that is sent besides the content: a refusal, fields this version does not know.
    pub extra: Vec<String>,
    /// Tokens of parts that are not text, estimated from above.
    pub estimated_tokens: u32,
    /// Whether every token of this message is counted by a rule that was published or recorded.
    pub is_exact: bool,
}

/// Numbers of calls in one message whose tokens were recorded; any other number is an upper bound.
const RECORDED_CALLS: [usize; 3] = [0, 1, 5];

/// Fields of a call that are not sent to the model as text, or are counted by themselves.
const CALL_FIELDS: [&str; 5] = ["id", "type", "index", "function", "custom"];

/// Fields of a part that is text or an image.
const PART_FIELDS: [&str; 3] = ["type", "text", "image_url"];

impl Provider {
    /// The fields of a message that makes calls, and has no other that counts.
    #[must_use]
    pub fn of_calls(calls: Vec<Call>) -> Self {
        let is_exact = RECORDED_CALLS.contains(&calls.len());
        Self { calls, is_exact, ..Self::default() }
    }

    /// The fields of a result.
    #[must_use]
    pub fn of_result(tool: Option<String>) -> Self {
        let name = tool.filter(|name| !name.is_empty());
        Self { name, is_result: true, is_exact: true, ..Self::default() }
    }

    /// Reads the provider fields among `metadata`; `None` when there are none.
    ///
    /// A field that does not hold what it should is counted as the text it is, never refused: the rendering
    /// sends it as it stands.
    pub fn read<'a>(metadata: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut found: Option<Self> = None;
        for (key, json) in metadata {
            let new = || Self { is_exact: true, ..Self::default() };
            if let Some(field) = key.strip_prefix(OPENAI) {
                found.get_or_insert_with(new).take(field, json);
            } else if let Some(field) = key.strip_prefix(ANTHROPIC) {
                found.get_or_insert_with(new).take_anthropic(field, json);
            }
        }
        if let Some(provider) = &mut found {
            provider.is_exact &= RECORDED_CALLS.contains(&provider.calls.len());
        }
        found
    }

    fn take(&mut self, field: &str, json: &str) {
        match field {
            "tool_call_id" => self.is_result = true,
            "role" => {
                self.is_result |= matches!(json, "\"tool\"" | "\"function\"");
                self.is_exact &= !matches!(json, "\"developer\"" | "\"function\"");
            }
            "name" => match serde_json::from_str::<Option<String>>(json) {
                Ok(name) => self.name = name.filter(|name| !name.is_empty()),
                Err(_) => self.take_unknown(json),
            },
            "tool_calls" => match serde_json::from_str::<Option<Vec<Value>>>(json) {
                Ok(calls) => calls.into_iter().flatten().for_each(|call| self.take_call(&call)),
                Err(_) => self.take_unknown(json),
            },
            "function_call" => match serde_json::from_str::<Option<Value>>(json) {
                Ok(Some(function)) => {
                    let call = self.read_function(&function, "arguments");
                    self.is_exact = false;
                    self.calls.push(call.unwrap_or_else(|| strange_call(&function)));
                }
                Ok(None) => {}
                Err(_) => self.take_unknown(json),
            },
            "refusal" => match serde_json::from_str::<Option<String>>(json) {
                Ok(text) => self.extra.extend(text),
                Err(_) => self.take_unknown(json),
            },
            "items" => self.take_items(json),
            // `true` says that the content of the block is the content of the message.
            "content" if json == "true" => {}
            "content" => match serde_json::from_str::<Option<Vec<Value>>>(json) {
                Ok(parts) => self.take_parts(&parts.unwrap_or_default()),
                Err(_) => self.take_unknown(json),
            },
            _ => self.take_unknown(json),
        }
    }

    /// A call of a shape that this version does not know counts as its whole JSON.
    fn take_call(&mut self, call: &Value) {
        let is_custom = call.get("custom").is_some();
        let read = match (call.get("function"), call.get("custom")) {
            (Some(function), None) => self.read_function(function, "arguments"),
            (None, Some(custom)) => self.read_function(custom, "input"),
            _ => None,
        };
        // The form of custom calls was never recorded.
        self.is_exact &= read.is_some() && !is_custom;
        if read.is_some() {
            self.take_other_fields(call, &CALL_FIELDS);
        }
        self.calls.push(read.unwrap_or_else(|| strange_call(call)));
    }

    fn read_function(&mut self, function: &Value, arguments: &str) -> Option<Call> {
        let name = function.get("name")?.as_str()?;
        let text = function.get(arguments).map_or(Some(""), Value::as_str)?;
        self.take_other_fields(function, &["name", arguments]);
        Some(Call { name: name.to_owned(), arguments: compact(text).into_owned() })
    }

    /// Content that was not a string: text parts are in the block's content, the others are estimated.
    fn take_parts(&mut self, parts: &[Value]) {
        self.is_exact &= parts.len() <= 1;
        for part in parts {
            let kind = part.get("type").and_then(Value::as_str);
            match (kind, part.get("text"), part.get("image_url")) {
                (Some("text"), Some(Value::String(_)), _) => {
                    self.take_other_fields(part, &PART_FIELDS);
                }
                (Some("image_url"), _, Some(image)) => {
                    self.take_image(image.get("detail").and_then(Value::as_str) == Some("low"));
                    self.take_other_fields(part, &PART_FIELDS);
                }
                _ => self.take_unknown(&part.to_string()),
            }
        }
    }

    fn take_image(&mut self, is_low: bool) {
        self.is_exact = false;
        let tokens = if is_low { LOW_DETAIL_IMAGE_TOKENS } else { IMAGE_TOKENS };
        self.estimated_tokens = self.estimated_tokens.saturating_add(tokens);
    }

    /// Counts the fields of an object that `known` does not name as the JSON that they were written in.
    fn take_others(&mut self, object: &Object<'_>, known: &[&str]) {
        object.others(known).for_each(|json| self.take_unknown(json));
    }

    /// Counts the fields of an object that `known` does not name as their JSON.
    fn take_other_fields(&mut self, object: &Value, known: &[&str]) {
        for (field, value) in object.as_object().into_iter().flatten() {
            if !known.contains(&field.as_str()) {
                self.take_unknown(&value.to_string());
            }
        }
    }

    fn take_unknown(&mut self, json: &str) {
        if !matches!(json.trim(), "null" | "[]" | "{}" | "\"\"") {
            self.is_exact = false;
            self.extra.push(compact(json).into_owned());
        }
    }
}

/// A call that cannot be read: all of it counts, and it answers to no name.
fn strange_call(call: &Value) -> Call {
    Call { name: String::new(), arguments: call.to_string() }
}

impl Call {
    /// The call as one line of compact JSON, the form that text renderings and scorers see.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::from("{\"name\":");
        quote(&self.name, &mut out);
        out.push_str(",\"arguments\":");
        if serde_json::from_str::<&RawValue>(&self.arguments).is_ok() {
            out.push_str(&self.arguments);
        } else {
            quote(&self.arguments, &mut out);
        }
        out.push('}');
        out
    }
}

fn quote(text: &str, out: &mut String) {
    // Writing a string as JSON into a string has no way to fail.
    let _ = write!(out, "{}", serde_json::Value::from(text));
}

/// JSON without the blanks outside its strings; what is no object or list, or no JSON, is left as it is.
///
/// Providers write a call's arguments anew before the model sees them: on the recorded usage the prompt grew
/// by the compact form, whatever blanks the client sent.
#[must_use]
pub fn compact(json: &str) -> Cow<'_, str> {
    let trimmed = json.trim();
    let is_json =
        trimmed.starts_with(['{', '[']) && serde_json::from_str::<&RawValue>(trimmed).is_ok();
    if !is_json {
        return Cow::Borrowed(json);
    }
    let (mut in_string, mut escaped) = (false, false);
    let blank = |c: char| matches!(c, ' ' | '\n' | '\r' | '\t');
    let keep = |c: &char| {
        if in_string {
            in_string = escaped || *c != '"';
            escaped = !escaped && *c == '\\';
            true
        } else {
            in_string = *c == '"';
            !blank(*c)
        }
    };
    Cow::Owned(trimmed.chars().filter(keep).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Provider {
        Provider::read(pairs.iter().copied()).expect("provider fields")
    }

    #[test]
    fn blanks_go_only_outside_strings() {
        assert_eq!(compact("{\"a b\": [1, \"x \\\" y\"]}"), "{\"a b\":[1,\"x \\\" y\"]}");
        for text in ["not json at all", "{cut  off", "{ \"a\": [1, 2", "\"a  b\"", ""] {
            assert_eq!(compact(text), text);
        }
    }

    #[test]
    fn calls_are_read_and_strange_ones_counted_whole() {
        let json = r#"[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},{"odd": 1}]"#;
        let provider = read(&[("openai.tool_calls", json)]);
        assert_eq!(provider.calls.len(), 2);
        assert_eq!(provider.calls[0].to_json(), r#"{"name":"f","arguments":{"a":1}}"#);
        assert_eq!(provider.calls[1].arguments, r#"{"odd":1}"#);
        assert!(!provider.is_exact);
        let noted = r#"[{"id":"c","index":0,"note":"why","function":{"name":"f","arguments":""}}]"#;
        let provider = read(&[("openai.tool_calls", noted)]);
        assert_eq!(provider.extra, ["\"why\""]);
        assert!(!provider.is_exact);
    }

    #[test]
    fn empty_fields_of_a_client_dump_cost_nothing() {
        let provider = read(&[
            ("openai.refusal", "null"),
            ("openai.annotations", "[]"),
            ("openai.tool_calls", "null"),
        ]);
        assert!(provider.is_exact && provider.extra.is_empty() && provider.calls.is_empty());
    }

    #[test]
    fn a_broken_field_is_counted_as_text() {
        let provider = read(&[("openai.tool_calls", "{broken")]);
        assert_eq!(provider.extra, ["{broken"]);
        assert!(!provider.is_exact);
    }

    #[test]
    fn no_provider_fields_no_record() {
        assert_eq!(Provider::read([("note", "x")].into_iter()), None);
    }
}
