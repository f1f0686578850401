//! What the fields of an Anthropic message add to a block.

use super::object::Object;
use super::{Call, Provider, compact};

/// An image of unknown size: the most that the published rule gives, a token for every 28 by 28 pixels of the
/// 3.75 megapixels that the largest native resolution has.
const IMAGE_TOKENS: u32 = 4_784;

/// Fields of a message that the API writes into its answers and the model never sees.
const MESSAGE_FIELDS: [&str; 9] = [
    "id",
    "type",
    "role",
    "content",
    "model",
    "stop_reason",
    "stop_sequence",
    "usage",
    "container",
];
const TEXT_FIELDS: [&str; 3] = ["type", "text", "cache_control"];
const IMAGE_FIELDS: [&str; 3] = ["type", "source", "cache_control"];
const CALL_FIELDS: [&str; 6] = ["type", "id", "name", "input", "cache_control", "caller"];
const RESULT_FIELDS: [&str; 5] = ["type", "tool_use_id", "content", "is_error", "cache_control"];

impl Provider {
    /// Takes a field that the Anthropic adapter wrote.
    pub(super) fn take_anthropic(&mut self, field: &str, json: &str) {
        match field {
            // The name of the message that a block was a piece of is not sent.
            "of" => {}
            "message" => match Object::read(json) {
                Some(message) => self.take_others(&message, &MESSAGE_FIELDS),
                None => self.take_unknown(json),
            },
            "content" => self.take_message(json),
            _ => self.take_unknown(json),
        }
    }

    fn take_message(&mut self, json: &str) {
        match Object::read_all(json).as_deref() {
            Some([Ok(part)]) if part.text("type").as_deref() == Some("tool_result") => {
                self.is_result = true;
                self.take_others(part, &RESULT_FIELDS);
                if !part.is_text("content") {
                    self.take_blocks(part.get("content").unwrap_or("[]"));
                }
            }
            _ => self.take_blocks(json),
        }
    }

    /// The parts of a message or of a result; text parts are in the block's content.
    fn take_blocks(&mut self, json: &str) {
        let Some(parts) = Object::read_all(json) else {
            return self.take_unknown(json);
        };
        for part in &parts {
            match part {
                Ok(part) => self.take_block(part),
                Err(json) => self.take_unknown(json),
            }
        }
    }

    fn take_block(&mut self, part: &Object<'_>) {
        match (part.text("type").as_deref(), part.text("name")) {
            (Some("text"), _) if part.is_text("text") => self.take_others(part, &TEXT_FIELDS),
            (Some("image"), _) => {
                self.is_exact = false;
                self.estimated_tokens = self.estimated_tokens.saturating_add(IMAGE_TOKENS);
                self.take_others(part, &IMAGE_FIELDS);
            }
            (Some("tool_use"), Some(name)) => {
                let arguments = compact(part.get("input").unwrap_or("{}")).into_owned();
                self.calls.push(Call { name, arguments });
                self.take_others(part, &CALL_FIELDS);
            }
            // Thinking and its signature too: the text they are is never less than what the model is shown.
            _ => self.take_unknown(part.json),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Provider {
        Provider::read(pairs.iter().copied()).expect("provider fields")
    }

    #[test]
    fn calls_keep_the_form_of_their_input() {
        let json = r#"[{"type":"text","text":true},{"type":"tool_use","id":"t","name":"f","input":{"b": 1e16, "a": 1.0}}]"#;
        let provider = read(&[("anthropic.content", json)]);
        assert_eq!(provider.calls.len(), 1);
        assert_eq!(provider.calls[0].arguments, r#"{"b":1e16,"a":1.0}"#);
        assert!(provider.is_exact && provider.extra.is_empty());
    }

    #[test]
    fn a_result_is_one_and_its_images_are_estimated() {
        let json = r#"[{"type":"tool_result","tool_use_id":"t","is_error":true,"content":[{"type":"text","text":true},{"type":"image","source":{}}]}]"#;
        let provider = read(&[("anthropic.content", json), ("anthropic.of", "\"m2\"")]);
        assert!(provider.is_result && !provider.is_exact);
        assert_eq!(provider.estimated_tokens, IMAGE_TOKENS);
        assert!(provider.extra.is_empty());
    }

    #[test]
    fn thinking_is_counted_as_the_text_it_is() {
        let json = r#"[{"type":"thinking","thinking":"why","signature":"c2ln"}]"#;
        let provider = read(&[("anthropic.content", json)]);
        assert_eq!(provider.extra, [&json[1..json.len() - 1]]);
        assert!(!provider.is_exact);
    }

    #[test]
    fn nothing_broken_is_free() {
        for json in ["{broken", "{}x", "[7]", r#"[{"type":"tool_use"}]"#] {
            let provider = read(&[("anthropic.content", json)]);
            assert!(!provider.is_exact && provider.extra.len() == 1, "{json}");
        }
    }

    #[test]
    fn what_the_api_says_of_its_answer_is_not_counted() {
        let json = r#"{"id":"msg_1","role":"assistant","content":true,"usage":{"input_tokens":9}}"#;
        assert!(read(&[("anthropic.message", json)]).is_exact);
        let json = r#"{"role":"user","content":true,"note":"why"}"#;
        assert_eq!(read(&[("anthropic.message", json)]).extra, ["\"why\""]);
    }
}
