//! A chat message in the form of `OpenAI`'s API as a row, whatever it was written in.
//!
//! The rules are those of `messages/openai.py`; what only the way back needs is left out, because here messages go back
//! as they came.

use std::sync::OnceLock;

use bumpalo::Bump;
use bumpalo::collections::String as ArenaString;
use hashbrown::HashMap;

use crate::count::{Counter, Encoding};
use crate::error::Fault;
use crate::kind::Kind;
use crate::limits::Limits;
use crate::provider::{Call, Provider, compact};
use crate::row::{Rare, Row};
use crate::texts::Texts;

use super::json::{Type, Value, Walk};

/// The prefix of a provider's fields.
const PREFIX: &str = "openai.";

/// Reads the messages of one conversation after the other.
#[derive(Debug)]
pub struct Messages<'a> {
    arena: &'a Bump,
    /// What counts tokens; `None` where nobody asks for them.
    encoding: Option<Encoding>,
    waiting: Waiting<'a>,
    /// The fields of the message at hand.
    pub fields: Vec<(&'a str, Value<'a>)>,
    metadata: Vec<&'a str>,
}

impl<'a> Messages<'a> {
    /// A reader whose texts are in `arena`.
    pub fn new(arena: &'a Bump, encoding: Option<Encoding>) -> Self {
        let (fields, metadata) = (Vec::new(), Vec::new());
        Self { arena, encoding, waiting: Waiting::default(), fields, metadata }
    }

    /// Begins the next conversation.
    pub fn begin(&mut self) {
        self.waiting.last.clear();
        self.waiting.calls.clear();
    }

    /// The message whose fields are there, as the row of that number.
    pub fn read(&mut self, number: usize) -> Result<Row<&'a str>, Fault> {
        let arena = self.arena;
        let field = |name: &str| self.fields.iter().find(|(key, _)| *key == name).map(|(_, v)| *v);
        let (role, kind, has_own_role) = self.role()?;
        let content = field("content");
        let text = content.filter(|value| value.is_text());
        let content = match (content, text) {
            (_, Some(text)) => text.text(arena).ok_or_else(|| halved("content"))?,
            (None, _) => "",
            (Some(value), _) => match value.kind {
                Type::Null => "",
                Type::List => texts_of(value, arena)?,
                other => {
                    let wrong = format!("is {}, not str, list or null", other.name());
                    return Err(Fault::new("content", value.raw, wrong));
                }
            },
        };
        let is_plain = text.is_some()
            && has_own_role
            && self.fields.iter().take(2).map(|(key, _)| *key).eq(["role", "content"])
            && (kind != Kind::Tool || field("tool_call_id").is_some());
        let usual = self.usual(kind, content);
        self.metadata.clear();
        let skipped = if is_plain { 2 } else { 0 };
        // What a usual message comes to is known without its metadata.
        let skipped = if usual.is_some() { self.fields.len() } else { skipped };
        for (key, value) in self.fields.iter().skip(skipped) {
            let json = if text.is_some() && *key == "content" {
                "true"
            } else {
                value.compact(arena).ok_or_else(|| halved(key))?
            };
            self.metadata.extend([prefixed(key, arena), json]);
        }
        let pairs = self.metadata.as_chunks().0.iter().map(|[key, value]| (*key, *value));
        Limits::DEFAULT.sizes(content, pairs)?;
        let id: &'a str = self.id(number);
        let references = match kind {
            Kind::Tool => {
                let name = field(if role == "function" { "name" } else { "tool_call_id" });
                let name = name.map_or(Some("null"), |value| value.compact(arena));
                let name = name.ok_or_else(|| halved("tool_call_id"))?;
                let call = self.waiting.answer(role == "function", name);
                vec![call.map_or_else(
                    || &*arena.alloc_str(&format!("m{number}.call")),
                    |call| self.id(call),
                )]
            }
            Kind::Agent => {
                self.note_calls(number)?;
                Vec::new()
            }
            _ => Vec::new(),
        };
        Ok(Row {
            id,
            content,
            kind,
            score: kind.usual_score(),
            timestamp: i64::try_from(number).unwrap_or(i64::MAX),
            tokens: self.encoding.map_or(0, |encoding| encoding.count(content)),
            rare: match usual {
                Some(provider) => Some(Box::new(Rare {
                    references: references.into(),
                    unit: None,
                    provider: Some(OnceLock::from(Box::new(provider))),
                })),
                None => Rare::of(references, &self.metadata),
            },
            metadata: Texts::default(),
            extra: None,
        })
    }

    /// What the fields of a result, or of a message with calls, come to, where they are the usual ones and far below all
    /// limits: most messages with fields of a provider are of these.
    fn usual(&self, kind: Kind, content: &str) -> Option<Provider> {
        let bytes: usize = self.fields.iter().map(|(key, value)| key.len() + value.raw.len()).sum();
        if bytes + content.len() > Limits::DEFAULT.block_bytes / 4 {
            return None;
        }
        let (mut calls, mut name, mut is_result) = (None, None, false);
        for (key, value) in &self.fields {
            match (*key, kind) {
                ("role", _) => {
                    // The other roles of a type are estimated.
                    let role = value.text(self.arena)?;
                    if role != "assistant" && role != "tool" {
                        return None;
                    }
                }
                ("content", _) if value.is_text() || value.kind == Type::Null => {}
                ("tool_calls", Kind::Agent) if value.kind == Type::List => {
                    calls = Some(usual_calls(*value, self.arena)?);
                }
                ("tool_call_id", Kind::Tool) => {
                    value.compact(self.arena)?;
                    is_result = true;
                }
                ("name", Kind::Tool) => name = Some(value.text(self.arena)?.to_owned()),
                _ => return None,
            }
        }
        match (calls, is_result) {
            (Some(calls), false) => Some(Provider::of_calls(calls)),
            (None, true) => Some(Provider::of_result(name)),
            _ => None,
        }
    }

    fn id(&self, number: usize) -> &'a str {
        self.arena.alloc_str(&format!("m{number}"))
    }

    /// The role, its type, and whether it is the one that belongs to the type.
    fn role(&self) -> Result<(&'a str, Kind, bool), Fault> {
        let value = self.fields.iter().find(|(key, _)| *key == "role").map(|(_, value)| *value);
        let role = value.and_then(|value| value.text(self.arena));
        Ok(match role {
            Some(role @ "system") => (role, Kind::System, true),
            Some(role @ "developer") => (role, Kind::System, false),
            Some(role @ "user") => (role, Kind::User, true),
            Some(role @ "assistant") => (role, Kind::Agent, true),
            Some(role @ "tool") => (role, Kind::Tool, true),
            Some(role @ "function") => (role, Kind::Tool, false),
            _ => {
                let shown = value.map_or("None", |value| value.raw);
                let wrong = "is not one of system, developer, user, assistant, tool, function";
                return Err(Fault::new("role", shown, wrong));
            }
        })
    }

    /// Notes the calls of a message, by the names under which their results will come.
    fn note_calls(&mut self, number: usize) -> Result<(), Fault> {
        let arena = self.arena;
        for at in 0..self.fields.len() {
            let (key, value) = self.fields[at];
            if key == "tool_calls" && value.kind == Type::List {
                let waiting = &mut self.waiting;
                // Every item was walked before.
                Walk::new(value.raw, arena, true).list(|walk| {
                    if let Some(id) = named(walk, "id", arena)? {
                        waiting.call(false, id, number);
                    }
                    Ok(())
                })?;
            } else if key == "function_call" && value.kind == Type::Object {
                let mut walk = Walk::new(value.raw, arena, true);
                if let Some(name) = named(&mut walk, "name", arena)? {
                    self.waiting.call(true, name, number);
                }
            }
        }
        Ok(())
    }
}

/// The calls of a list, where each is a function with a name, arguments and nothing else that counts.
fn usual_calls<'a>(list: Value<'a>, arena: &'a Bump) -> Option<Vec<Call>> {
    let mut calls = Vec::new();
    let mut is_usual = true;
    let walked = Walk::new(list.raw, arena, true).list(|walk| {
        let (mut name, mut arguments) = (None, None);
        if walk.peek() != b'{' {
            is_usual = false;
            return walk.value().map(drop);
        }
        walk.object(|walk, key| match key {
            "id" | "type" | "index" => walk.value().map(drop),
            "function" if walk.peek() == b'{' => walk.object(|walk, key| {
                let value = walk.read()?;
                let text =
                    value.filter(|value| value.is_text()).and_then(|value| value.text(arena));
                match key {
                    "name" => name = text,
                    "arguments" => arguments = text,
                    _ => is_usual = false,
                }
                Ok(())
            }),
            _ => {
                is_usual = false;
                walk.value().map(drop)
            }
        })?;
        match name.zip(arguments) {
            Some((name, arguments)) => {
                let arguments = compact(arguments).into_owned();
                calls.push(Call { name: name.to_owned(), arguments });
            }
            None => is_usual = false,
        }
        Ok(())
    });
    (walked.is_ok() && is_usual).then_some(calls)
}

/// Walks over a value; the JSON of that field of it, `null` where it has none, where it is an object.
fn named<'a>(walk: &mut Walk<'a>, field: &str, arena: &'a Bump) -> Result<Option<&'a str>, Fault> {
    if walk.peek() != b'{' {
        walk.value()?;
        return Ok(None);
    }
    let mut found = "null";
    walk.object(|walk, key| {
        let value = walk.value()?;
        if key == field {
            found = value.compact(arena).ok_or_else(|| halved(field))?;
        }
        Ok(())
    })?;
    Ok(Some(found))
}

/// The texts of the parts of a content, line by line.
fn texts_of<'a>(parts: Value<'a>, arena: &'a Bump) -> Result<&'a str, Fault> {
    let mut joined = ArenaString::new_in(arena);
    let mut is_first = true;
    Walk::new(parts.raw, arena, true).list(|walk| {
        if walk.peek() != b'{' {
            return walk.value().map(drop);
        }
        let (mut is_text, mut said) = (false, None);
        walk.object(|walk, key| {
            let value = walk.value()?;
            match key {
                "type" => is_text = value.text(arena) == Some("text"),
                "text" if value.is_text() => {
                    said = Some(value.text(arena).ok_or_else(|| halved("content"))?);
                }
                _ => {}
            }
            Ok(())
        })?;
        if let Some(text) = said.filter(|_| is_text) {
            if !std::mem::take(&mut is_first) {
                joined.push('\n');
            }
            joined.push_str(text);
        }
        Ok(())
    })?;
    Ok(joined.into_bump_str())
}

/// The name that a field has in the metadata.
fn prefixed<'a>(key: &str, arena: &'a Bump) -> &'a str {
    match key {
        "role" => "openai.role",
        "content" => "openai.content",
        "tool_calls" => "openai.tool_calls",
        "tool_call_id" => "openai.tool_call_id",
        "name" => "openai.name",
        "refusal" => "openai.refusal",
        _ => {
            let mut name = ArenaString::with_capacity_in(PREFIX.len() + key.len(), arena);
            name.push_str(PREFIX);
            name.push_str(key);
            name.into_bump_str()
        }
    }
}

/// A field with half of a surrogate pair.
pub fn halved(field: &str) -> Fault {
    Fault::new(field, "", "holds half of a surrogate pair, which is no text")
}

/// Calls without a result yet; of equal names the last one is answered first.
#[derive(Debug, Default)]
struct Waiting<'a> {
    /// By whether it is a function's, and its name: the last call, among `calls`.
    last: HashMap<(bool, &'a str), usize>,
    /// The message of a call, and the one before it of that name.
    calls: Vec<(usize, Option<usize>)>,
}

impl<'a> Waiting<'a> {
    fn call(&mut self, is_function: bool, name: &'a str, message: usize) {
        let before = self.last.insert((is_function, name), self.calls.len());
        self.calls.push((message, before));
    }

    fn answer(&mut self, is_function: bool, name: &'a str) -> Option<usize> {
        let at = self.last.remove(&(is_function, name))?;
        let (message, before) = self.calls[at];
        if let Some(before) = before {
            self.last.insert((is_function, name), before);
        }
        Some(message)
    }
}
