//! `OpenAI` chat messages as most clients write them, to the fields of blocks without a Python object in between.
//!
//! What this makes of a message is what `messages/openai.py` makes of it; what is not in the shapes known here, or
//! outside a limit, is left to that.

use std::collections::HashMap;
use std::fmt::Write;

use pycontext_core::kind::Kind;
use pycontext_core::limits::Limits;
use pycontext_core::row::Rare;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyString};

use crate::block::{Count, Fields};
use crate::field::{backed, references};
use crate::text::Text;

/// How deep lists and objects may be inside each other.
const DEPTH: usize = 64;

/// Reads messages, the first of which has the number `start`; `tied` has the references of those that have some, by
/// number.
pub struct Reader<'a, 'py> {
    pub start: usize,
    pub tied: &'a Bound<'py, PyDict>,
    /// Names of metadata by those of the fields.
    names: HashMap<String, Text>,
}

impl<'a, 'py> Reader<'a, 'py> {
    pub fn new(start: usize, tied: &'a Bound<'py, PyDict>) -> Self {
        Self { start, tied, names: HashMap::new() }
    }

    /// The fields of all messages, `None` where one is of another shape.
    pub fn read(&mut self, messages: &Bound<'py, PyList>) -> Option<Vec<Fields>> {
        // Not collected: the fields are large, and a vector that grows would copy them.
        let mut all = Vec::with_capacity(messages.len());
        for (at, message) in messages.iter().enumerate() {
            all.push(self.message(self.start + at, &message)?);
        }
        Some(all)
    }

    fn message(&mut self, number: usize, message: &Bound<'py, PyAny>) -> Option<Fields> {
        let py = message.py();
        let message = message.cast_exact::<PyDict>().ok()?;
        let mut entries = Vec::with_capacity(message.len());
        for (key, value) in message {
            entries.push((text(&key)?, value));
        }
        let field = |name: &str| entries.iter().find(|(key, _)| **key == *name);
        let role = text(&field("role")?.1)?;
        let (kind, score, has_own_role) = known(&role)?;
        let content = match field("content") {
            None => None,
            Some((_, value)) if value.is_none() => None,
            Some((_, value)) => Some(text(value)?),
        };
        let is_plain = content.is_some()
            && has_own_role
            && entries.iter().take(2).map(|(key, _)| &**key).eq(["role", "content"])
            && (kind != Kind::Tool || field("tool_call_id").is_some());
        let mut metadata = Vec::with_capacity(2 * entries.len());
        for (key, value) in entries.iter().skip(if is_plain { 2 } else { 0 }) {
            let mut json = String::new();
            if content.is_some() && **key == *"content" {
                json.push_str("true");
            } else {
                write(value, &mut json, DEPTH)?;
            }
            metadata.extend([self.name(py, key)?, made(py, &json)?]);
        }
        let content = content.map_or_else(|| made(py, ""), |text| Some(text.into()))?;
        let limits = Limits::DEFAULT;
        let pairs = metadata.as_chunks().0.iter().map(|[key, value]| (&**key, &**value));
        limits.sizes(&content, pairs).ok()?;
        let tied = self.tied.get_item(number).ok()?;
        let references = match tied {
            Some(ids) => references(&ids, &limits).ok()?,
            None => Vec::new(),
        };
        Some(Fields {
            id: made(py, &format!("m{number}"))?,
            content,
            score,
            kind,
            rare: Rare::of(references, &metadata),
            metadata,
            timestamp: i64::try_from(number).ok()?,
            count: Count::Unknown,
            origin: None,
        })
    }

    fn name(&mut self, py: Python<'_>, key: &str) -> Option<Text> {
        if let Some(name) = self.names.get(key) {
            return Some(name.clone());
        }
        let name = made(py, &format!("openai.{key}"))?;
        self.names.insert(key.to_owned(), name.clone());
        Some(name)
    }
}

/// The type and the score of a role, and whether it is the one that belongs to the type.
fn known(role: &str) -> Option<(Kind, f64, bool)> {
    Some(match role {
        "system" => (Kind::System, 1.0, true),
        "developer" => (Kind::System, 1.0, false),
        "user" => (Kind::User, 0.9, true),
        "assistant" => (Kind::Agent, 0.9, true),
        "tool" => (Kind::Tool, 0.8, true),
        "function" => (Kind::Tool, 0.8, false),
        _ => return None,
    })
}

fn text(value: &Bound<'_, PyAny>) -> Option<PyBackedStr> {
    if value.is_exact_instance_of::<PyString>() { backed(value, "text").ok() } else { None }
}

fn made(py: Python<'_>, text: &str) -> Option<Text> {
    PyBackedStr::try_from(PyString::new(py, text)).ok().map(Text::from)
}

/// A value as JSON without blanks, as Python's encoder writes it.
fn write(value: &Bound<'_, PyAny>, out: &mut String, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    if let Some(text) = text(value) {
        quote(&text, out);
    } else if value.is_none() {
        out.push_str("null");
    } else if let Ok(flag) = value.cast_exact::<PyBool>() {
        out.push_str(if flag.is_true() { "true" } else { "false" });
    } else if value.is_exact_instance_of::<PyInt>() {
        write!(out, "{}", value.extract::<i64>().ok()?).ok()?;
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        out.push('{');
        for (at, (key, value)) in dict.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            quote(&text(&key)?, out);
            out.push(':');
            write(&value, out, depth)?;
        }
        out.push('}');
    } else {
        let list = value.cast_exact::<PyList>().ok()?;
        out.push('[');
        for (at, value) in list.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            write(&value, out, depth)?;
        }
        out.push(']');
    }
    Some(())
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
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
        out.push_str(&text[done..at]);
        out.push_str(escape);
        if escape.is_empty() {
            // A String takes whatever is written.
            let _ = write!(out, "\\u{byte:04x}");
        }
        done = at + 1;
    }
    out.push_str(&text[done..]);
    out.push('"');
}
