//! JSON lines, one conversation each: from bytes to columns to bytes.
//!
//! A line that stays is the line that came, without the messages that fell: everything else in it, blanks included, is
//! copied byte for byte.

use std::ops::Range;

use bumpalo::Bump;
use memchr::memchr;

use crate::columns::Columns;
use crate::count::Encoding;
use crate::error::{Error, Fault};
use crate::kind::Kind;
use crate::near::document::{BINS, Sketch, sketch};

use super::job::{Job, Overflow};
use super::json::{Value, Walk};
use super::message::{Messages, halved};
use super::tally::{Large, Tally};

/// Bytes of a line, as `Limits.package_bytes` of the package has it.
const LINE_BYTES: usize = 64 << 20;

/// The longest id that is repeated, in bytes.
const ID_BYTES: usize = 200;

/// What became of a part of a file.
#[derive(Debug, Default)]
pub struct Part {
    /// The lines that stay, each with its line end.
    pub output: Vec<u8>,
    /// What became of the conversations.
    pub tally: Tally,
    /// Lines that were not written, or not cut, as they came.
    pub problems: Vec<Problem>,
    /// Lines, blank ones too.
    pub lines: u64,
    /// Lines that are not blank.
    pub documents: u64,
}

/// A line that could not be pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its number, from 0.
    pub line: u64,
    /// Its bytes, without the line end.
    pub bytes: Range<usize>,
    /// What is wrong, in one line.
    pub reason: String,
    /// The id of the conversation, where there is one.
    pub id: Option<String>,
    /// Tokens that are needed and available; `None` where the line is no conversation.
    pub needed: Option<[u64; 2]>,
}

/// Prunes the conversations in whole lines; the last one may lack its line end. Document `n` is left out where
/// `is_left_out(n)`, counted from the first that is not blank.
#[must_use]
pub fn prune_lines(job: &Job, bytes: &[u8], is_left_out: impl Fn(u64) -> bool) -> Part {
    let mut part = Part { output: Vec::with_capacity(bytes.len()), ..Part::default() };
    let mut arena = Bump::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length);
        let line = at..end;
        at = end + 1;
        let number = part.lines;
        part.lines += 1;
        let text = bytes[line.clone()].trim_ascii_end();
        if text.is_empty() {
            continue;
        }
        part.documents += 1;
        if is_left_out(part.documents - 1) {
            part.tally.conversations += 1;
            part.tally.near_duplicates += 1;
            continue;
        }
        let problem = match Line::read(text, Some(job.encoding), &arena) {
            Ok(conversation) => {
                let blanks = &bytes[line.start + text.len()..line.end];
                conversation.prune(job, &mut part, number, blanks)
            }
            Err(fault) => Some((fault.to_string(), None, None)),
        };
        if let Some((reason, id, needed)) = problem {
            part.problems.push(Problem { line: number, bytes: line, reason, id, needed });
        }
        arena.reset();
    }
    part
}

/// Sketches the conversations in whole lines, one for every line that is not blank: what the user, the model and the
/// tools say; that of a line that is none has no words.
#[must_use]
pub fn sketch_lines(bytes: &[u8]) -> Vec<Sketch> {
    let mut arena = Bump::new();
    let mut sketches = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        // Nothing is counted.
        let read = Line::read(text, None, &arena);
        sketches.push(read.map_or([0; BINS], |line| {
            let rows = line.columns.kinds().iter().zip(line.columns.contents());
            // What the operator says is the same in all conversations of an agent.
            sketch(rows.filter(|(kind, _)| **kind != Kind::System).map(|(_, text)| *text))
        }));
        arena.reset();
    }
    sketches
}

/// Bytes that are looked at together.
const WORDS: usize = 256;

/// Whether no byte is below a blank; all are looked at, which is sooner done than to stop at one.
fn has_no_control(bytes: &[u8]) -> bool {
    bytes.iter().fold(u8::MAX, |least, byte| least.min(*byte)) >= b' '
}

/// What is wrong, the id of the conversation, and the tokens that it needs and that there are.
type Wrong = (String, Option<String>, Option<[u64; 2]>);

/// A conversation in a line.
struct Line<'a> {
    text: &'a str,
    id: Option<Value<'a>>,
    /// Where its messages are.
    messages: Vec<Range<usize>>,
    columns: Columns<&'a str>,
}

impl<'a> Line<'a> {
    fn read(line: &'a [u8], encoding: Option<Encoding>, arena: &'a Bump) -> Result<Self, Fault> {
        if line.len() > LINE_BYTES {
            let rule = format!("is {} bytes, over {LINE_BYTES}", line.len());
            return Err(Fault::new("line", "", rule));
        }
        let text = simdutf8::compat::from_utf8(line).map_err(|error| {
            Fault::new("line", "", format!("is not UTF-8 at byte {}", error.valid_up_to()))
        })?;
        let is_plain = line.chunks(WORDS).all(has_no_control);
        let mut walk = Walk::new(text, arena, is_plain);
        let (mut messages, mut columns, mut id) = (Vec::new(), Columns::default(), None);
        let mut has_messages = false;
        if walk.peek() != b'{' {
            let value = walk.value()?;
            walk.end()?;
            let rule = format!("is {}, not an object with messages", value.kind.name());
            return Err(Fault::new("line", "", rule));
        }
        let mut reader = Messages::new(arena, encoding);
        walk.object(|walk, key| match key {
            "messages" => {
                if walk.peek() != b'[' {
                    let value = walk.value()?;
                    let rule = format!("is {}, not a list", value.kind.name());
                    return Err(Fault::new("messages", "", rule));
                }
                has_messages = true;
                walk.list(|walk| {
                    let number = messages.len();
                    let placed = |fault: Fault| Fault {
                        field: format!("messages[{number}]: {}", fault.field),
                        ..fault
                    };
                    let is_object = walk.peek() == b'{';
                    let start = walk.at();
                    if !is_object {
                        let value = walk.value()?;
                        let rule = format!("is {}, not a dict", value.kind.name());
                        return Err(placed(Fault::new("message", value.raw, rule)));
                    }
                    reader.fields.clear();
                    walk.has_half_a_key = false;
                    walk.object(|walk, key| {
                        let value = walk.read()?.ok_or_else(|| placed(halved(key)))?;
                        reader.fields.push((key, value));
                        Ok(())
                    })?;
                    if walk.has_half_a_key {
                        return Err(placed(halved("key")));
                    }
                    messages.push(start..walk.at());
                    let row = reader.read(number).map_err(placed)?;
                    columns.push(row).map_err(placed)
                })
            }
            "id" => {
                id = Some(walk.value()?);
                Ok(())
            }
            _ => walk.value().map(drop),
        })?;
        walk.end()?;
        if !has_messages {
            return Err(Fault::new("key", "'messages'", "is missing"));
        }
        Ok(Self { text, id, messages, columns })
    }

    /// Writes what stays, and the blanks that end the line; says what is wrong where that is not possible.
    fn prune(mut self, job: &Job, part: &mut Part, number: u64, blanks: &[u8]) -> Option<Wrong> {
        let chosen = job.choose(&mut self.columns);
        let (kept, wrong) = match &chosen {
            Ok(chosen) => (Some(chosen), None),
            Err(error) => (None, Some(error)),
        };
        let is_written = kept.is_some() || job.overflow == Overflow::Keep;
        let [before, after] = part.tally.note(&self.columns, kept, is_written);
        part.tally.could_not_fit += u64::from(wrong.is_some());
        let id = || self.id.map(shown);
        part.tally.name(before, || Large {
            before,
            after,
            messages: self.messages.len() as u64,
            at: number,
            id: id().unwrap_or_default(),
        });
        if is_written {
            match kept {
                Some(kept) if kept.kept.len() < self.messages.len() => {
                    self.write(&kept.kept, &mut part.output);
                }
                _ => part.output.extend_from_slice(self.text.as_bytes()),
            }
            part.output.extend_from_slice(blanks);
            part.output.push(b'\n');
        }
        wrong.map(|error| {
            let needed = match error {
                Error::Budget { needed, available, .. } => Some([*needed, *available]),
                Error::Invalid { .. } => None,
            };
            (error.to_string(), id(), needed)
        })
    }

    /// The line with some of its messages.
    fn write(&self, kept: &[u32], output: &mut Vec<u8>) {
        let bytes = self.text.as_bytes();
        // The first message takes the place of the first, every other one keeps what stands before it.
        let mut done = self.messages.first().map_or(0, |first| first.start);
        output.extend_from_slice(&bytes[..done]);
        for (place, row) in kept.iter().enumerate() {
            let row = *row as usize;
            let end = self.messages[row].end;
            let start =
                if place == 0 { self.messages[row].start } else { self.messages[row - 1].end };
            output.extend_from_slice(&bytes[start..end]);
            done = end;
        }
        let end = self.messages.last().map_or(done, |last| last.end);
        output.extend_from_slice(&bytes[end..]);
    }
}

/// An id as people read it.
fn shown(id: Value<'_>) -> String {
    let bare = id.raw.trim_matches('"');
    let mut end = bare.len().min(ID_BYTES);
    while !bare.is_char_boundary(end) {
        end -= 1;
    }
    bare[..end].to_owned()
}
