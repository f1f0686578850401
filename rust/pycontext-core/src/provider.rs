//! What a provider's own message fields add to a block: tool calls, names, parts that are not text.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Prefix of the metadata keys that the `OpenAI` chat adapter writes; each value is JSON.
const PREFIX: &str = "openai.";

/// An image of unknown size: the most that the documented tile rule of gpt-4o and gpt-4.1 can give, eight tiles
/// of 170 and 85 for the whole. Other models count images by other rules, so that it stays an estimate.
const IMAGE_TOKENS: u32 = 1_445;

/// An image asked for in low detail, by the same rule.
const LOW_DETAIL_IMAGE_TOKENS: u32 = 85;

/// One tool call, as the model wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Whether every token of this message can be counted.
    pub is_exact: bool,
}

#[derive(Deserialize)]
struct RawCall<'a> {
    #[serde(borrow)]
    function: Option<RawFunction<'a>>,
    custom: Option<RawFunction<'a>>,
}

#[derive(Deserialize)]
struct RawFunction<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow, alias = "input", default)]
    arguments: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Part<'a> {
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    image_url: Option<Image<'a>>,
}

#[derive(Deserialize)]
struct Image<'a> {
    #[serde(borrow)]
    detail: Option<Cow<'a, str>>,
}

impl Provider {
    /// Reads the provider fields among `metadata`; `None` when there are none.
    ///
    /// A field that does not hold what it should is counted as the text it is, never refused: the rendering
    /// sends it as it stands.
    pub fn read<'a>(metadata: impl Iterator<Item = (&'a str, &'a str)>) -> Option<Self> {
        let mut found: Option<Self> = None;
        for (key, json) in metadata {
            let Some(field) = key.strip_prefix(PREFIX) else {
                continue;
            };
            let provider = found.get_or_insert_with(|| Self { is_exact: true, ..Self::default() });
            provider.take(field, json);
        }
        if let Some(provider) = &mut found
            && provider.is_result
        {
            // The name of the tool is counted with the call; a result has no name of its own.
            provider.name = None;
        }
        found
    }

    fn take(&mut self, field: &str, json: &str) {
        match field {
            "tool_call_id" => self.is_result = true,
            "role" => self.is_result |= matches!(json, "\"tool\"" | "\"function\""),
            "name" => match serde_json::from_str(json) {
                Ok(name) => self.name = Some(name),
                Err(_) => self.take_unknown(json),
            },
            "tool_calls" => match serde_json::from_str::<Option<Vec<&RawValue>>>(json) {
                Ok(calls) => {
                    for raw in calls.unwrap_or_default() {
                        let call = self.read_call(raw.get());
                        self.calls.push(call);
                    }
                }
                Err(_) => self.take_unknown(json),
            },
            "function_call" => match serde_json::from_str::<Option<RawFunction<'_>>>(json) {
                Ok(call) => self.calls.extend(call.map(Call::from)),
                Err(_) => self.take_unknown(json),
            },
            "refusal" => match serde_json::from_str::<Option<String>>(json) {
                Ok(text) => self.extra.extend(text),
                Err(_) => self.take_unknown(json),
            },
            // `true` says that the content of the block is the content of the message.
            "content" if json == "true" => {}
            "content" => self.take_parts(json),
            _ => self.take_unknown(json),
        }
    }

    /// A call of a shape that this version does not know counts as its whole JSON.
    fn read_call(&mut self, json: &str) -> Call {
        match serde_json::from_str::<RawCall<'_>>(json) {
            Ok(RawCall { function: Some(call), .. }) => call.into(),
            Ok(RawCall { custom: Some(call), .. }) => {
                self.is_exact = false;
                call.into()
            }
            _ => {
                self.is_exact = false;
                Call { name: String::new(), arguments: compact(json).into_owned() }
            }
        }
    }

    /// Content that was not a string: text parts are in the block's content, the others are estimated.
    fn take_parts(&mut self, json: &str) {
        let Ok(parts) = serde_json::from_str::<Option<Vec<&RawValue>>>(json) else {
            return self.take_unknown(json);
        };
        let parts = parts.unwrap_or_default();
        self.is_exact &= parts.len() <= 1;
        for raw in parts {
            let part: Option<Part<'_>> = serde_json::from_str(raw.get()).ok();
            let kind = part.as_ref().and_then(|p| p.r#type.as_deref());
            match (kind, part.as_ref().and_then(|p| p.image_url.as_ref())) {
                (Some("text"), _) => {}
                (Some("image_url"), Some(image)) => {
                    self.is_exact = false;
                    self.estimated_tokens += match image.detail.as_deref() {
                        Some("low") => LOW_DETAIL_IMAGE_TOKENS,
                        _ => IMAGE_TOKENS,
                    };
                }
                _ => self.take_unknown(raw.get()),
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

impl From<RawFunction<'_>> for Call {
    fn from(raw: RawFunction<'_>) -> Self {
        Self { name: raw.name.into_owned(), arguments: compact(&raw.arguments).into_owned() }
    }
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

/// JSON without the blanks outside its strings; a text that is no object or list is left as it is.
///
/// Providers write a call's arguments anew before the model sees them: on the recorded usage the prompt grew
/// by the compact form, whatever blanks the client sent.
#[must_use]
pub fn compact(json: &str) -> Cow<'_, str> {
    let trimmed = json.trim();
    if !trimmed.starts_with(['{', '[']) {
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
        assert_eq!(compact("not json at all"), "not json at all");
    }

    #[test]
    fn calls_are_read_and_strange_ones_counted_whole() {
        let json = r#"[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},{"odd": 1}]"#;
        let provider = read(&[("openai.tool_calls", json)]);
        assert_eq!(provider.calls.len(), 2);
        assert_eq!(provider.calls[0].to_json(), r#"{"name":"f","arguments":{"a":1}}"#);
        assert_eq!(provider.calls[1].arguments, r#"{"odd":1}"#);
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
