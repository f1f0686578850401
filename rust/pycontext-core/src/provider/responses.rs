//! What `OpenAI` Responses items add to a block.

use super::object::Object;
use super::{Call, Provider, compact};

const MESSAGE_FIELDS: [&str; 6] = ["type", "id", "role", "status", "phase", "content"];
const TEXT_FIELDS: [&str; 3] = ["type", "text", "logprobs"];
const IMAGE_FIELDS: [&str; 4] = ["type", "image_url", "file_id", "detail"];
const CALL_FIELDS: [&str; 7] = ["type", "id", "call_id", "name", "arguments", "input", "status"];
const RESULT_FIELDS: [&str; 5] = ["type", "id", "call_id", "output", "status"];

impl Provider {
    /// Takes the items of a block.
    pub(super) fn take_items(&mut self, json: &str) {
        let Some(items) = Object::read_all(json) else {
            return self.take_unknown(json);
        };
        if let [Ok(item)] = items.as_slice()
            && answers(item)
        {
            return self.take_result(item);
        }
        for item in &items {
            match item {
                Ok(item) => self.take_item(item),
                Err(json) => self.take_unknown(json),
            }
        }
    }

    fn take_result(&mut self, item: &Object<'_>) {
        self.is_result = true;
        match item.get("output") {
            Some(_) if item.is_text("output") => self.take_others(item, &RESULT_FIELDS),
            Some(output) => {
                self.take_content(output);
                self.take_others(item, &RESULT_FIELDS);
            }
            None => self.take_unknown(item.json),
        }
    }

    fn take_item(&mut self, item: &Object<'_>) {
        let kind = item.text("type").unwrap_or_default();
        if let Some(role) = item.get("role").filter(|_| matches!(kind.as_str(), "" | "message")) {
            // Counted as `system`, which was never recorded.
            self.is_exact &= role != "\"developer\"";
            if !item.is_text("content") {
                self.take_content(item.get("content").unwrap_or("[]"));
            }
            self.take_others(item, &MESSAGE_FIELDS);
        } else if calls(item, &kind) {
            self.take_client_call(item, &kind);
        } else {
            self.take_unknown(item.json);
        }
    }

    /// A call that a client answers; one of a shape that has no counterpart in chat counts as its whole JSON.
    fn take_client_call(&mut self, item: &Object<'_>, kind: &str) {
        let is_function = kind == "function_call";
        let input = if is_function { "arguments" } else { "input" };
        let has_counterpart = is_function || kind == "custom_tool_call";
        let named = item.text("name").zip(item.text(input)).filter(|_| has_counterpart);
        self.is_exact &= is_function && named.is_some();
        let (name, arguments) = if let Some((name, text)) = named {
            self.take_others(item, &CALL_FIELDS);
            (name, compact(&text).into_owned())
        } else {
            (kind.to_owned(), compact(item.json).into_owned())
        };
        self.calls.push(Call { name, arguments });
    }

    fn take_content(&mut self, json: &str) {
        let Some(parts) = Object::read_all(json) else {
            return self.take_unknown(json);
        };
        for part in &parts {
            let part = match part {
                Ok(part) => part,
                Err(json) => {
                    self.take_unknown(json);
                    continue;
                }
            };
            match part.text("type").as_deref() {
                Some("input_text" | "output_text" | "text") if part.is_text("text") => {
                    self.take_others(part, &TEXT_FIELDS);
                }
                Some("input_image") => {
                    self.take_image(part.get("detail") == Some("\"low\""));
                    // An image that is named by its file is sent by that name where chat takes none.
                    self.take_others(part, &IMAGE_FIELDS);
                }
                _ => self.take_unknown(part.json),
            }
        }
    }
}

/// Whether an item is a call whose result will come from a client.
fn calls(item: &Object<'_>, kind: &str) -> bool {
    let key = match kind {
        "mcp_approval_request" => "id",
        _ if kind.ends_with("_call") => "call_id",
        _ => return false,
    };
    item.text(key).is_some()
}

/// Whether an item is the result of a call.
fn answers(item: &Object<'_>) -> bool {
    let kind = item.text("type").unwrap_or_default();
    let key = match kind.as_str() {
        "mcp_approval_response" => "approval_request_id",
        "local_shell_call_output" if item.get("call_id").is_none() => "id",
        _ if kind.ends_with("_output") => "call_id",
        _ => return false,
    };
    item.text(key).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Provider {
        Provider::read([("openai.items", json)].into_iter()).expect("provider fields")
    }

    #[test]
    fn calls_and_texts_are_read_and_reasoning_is_counted_as_text() {
        let reasoning = r#"{"type":"reasoning","id":"rs_1","summary":[]}"#;
        let call = r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\": 1}","id":"fc"}"#;
        let message = r#"{"role":"assistant","content":true}"#;
        let provider = read(&format!("[{reasoning},{call},{message}]"));
        let expected = Call { name: "f".to_owned(), arguments: r#"{"a":1}"#.to_owned() };
        assert_eq!(provider.calls, [expected]);
        assert_eq!(provider.extra, [reasoning]);
        assert!(!provider.is_exact && !provider.is_result);
        assert!(read(&format!("[{call},{message}]")).is_exact);
    }

    #[test]
    fn every_call_that_waits_for_a_client_is_one() {
        for item in [
            r#"{"type":"custom_tool_call","call_id":"c","name":"f","input":"x"}"#,
            r#"{"type":"shell_call","call_id":"c","action":{}}"#,
            r#"{"type":"mcp_approval_request","id":"c","name":"f","arguments":"{}"}"#,
        ] {
            let provider = read(&format!("[{item}]"));
            assert_eq!(provider.calls.len(), 1, "{item}");
            assert!(!provider.is_exact);
        }
        for item in
            [r#"{"type":"web_search_call","id":"c"}"#, r#"{"type":"item_reference","id":"c"}"#]
        {
            let provider = read(&format!("[{item}]"));
            assert!(provider.calls.is_empty() && provider.extra == [item]);
        }
    }

    #[test]
    fn results_are_known_by_the_id_they_answer() {
        for item in [
            r#"{"type":"function_call_output","call_id":"c","output":true}"#,
            r#"{"type":"local_shell_call_output","id":"c","output":true}"#,
            r#"{"type":"mcp_approval_response","approval_request_id":"c","approve":true}"#,
        ] {
            assert!(read(&format!("[{item}]")).is_result, "{item}");
        }
        let server = r#"[{"type":"tool_search_output","id":"x","call_id":null,"tools":[]}]"#;
        assert!(!read(server).is_result);
    }
}
