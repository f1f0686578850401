//! JSON objects whose fields keep the form in which they were written.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// An object, with its own JSON.
#[derive(Debug)]
pub struct Object<'a> {
    /// All of it.
    pub json: &'a str,
    fields: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    /// Reads an object.
    pub fn read(json: &'a str) -> Option<Self> {
        Some(Self { json, fields: serde_json::from_str(json).ok()? })
    }

    /// Reads a list of objects; the error is the JSON of what is none.
    pub fn read_all(json: &'a str) -> Option<Vec<Result<Self, &'a str>>> {
        let values: Vec<&RawValue> = serde_json::from_str(json).ok()?;
        Some(values.iter().map(|value| Self::read(value.get()).ok_or(value.get())).collect())
    }

    /// The JSON of a field.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.fields.get(key).map(|value| value.get())
    }

    /// The text of a field.
    pub fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(|json| serde_json::from_str(json).ok())
    }

    /// Whether a field is a text, or says that its text is the content of the block.
    pub fn is_text(&self, key: &str) -> bool {
        self.get(key).is_some_and(|json| json == "true" || json.starts_with('"'))
    }

    /// The JSON of the fields that `known` does not name.
    pub fn others(&self, known: &[&str]) -> impl Iterator<Item = &'a str> {
        let unknown = self.fields.iter().filter(|(key, _)| !known.contains(&key.as_str()));
        unknown.map(|(_, value)| value.get())
    }
}
