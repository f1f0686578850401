//! What can go wrong, said in one line.

use std::fmt;

/// Longest piece of a rejected value that a message repeats, in characters.
const SHOWN: usize = 40;

/// One value outside its limits: the field, the value, the rule it breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Name of the field as the caller knows it.
    pub field: String,
    /// The value as the caller wrote it, at most 40 characters.
    pub value: String,
    /// What is required, as the end of a sentence: "is not in [0, 1]".
    pub rule: String,
}

impl Fault {
    /// A fault of `field`, whose `value` is cut to 40 characters.
    pub fn new(field: &str, value: &str, rule: impl Into<String>) -> Self {
        Self { field: field.to_owned(), value: shorten(value), rule: rule.into() }
    }

    /// The same fault with the block it was found in.
    #[must_use]
    pub fn at(self, index: Option<usize>, id: Option<&str>) -> Error {
        Error::Invalid { index, id: id.map(shorten), fault: self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value.is_empty() {
            write!(f, "{} {}", self.field, self.rule)
        } else {
            write!(f, "{} {} {}", self.field, self.value, self.rule)
        }
    }
}

/// Everything the core refuses to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A value is outside its limits; nothing was changed.
    Invalid {
        /// Position in the input, when there was more than one block.
        index: Option<usize>,
        /// The block's id, when it is known.
        id: Option<String>,
        /// What is wrong.
        fault: Fault,
    },
    /// What must stay does not fit.
    Budget {
        /// Tokens that the pinned blocks need as rendered.
        needed: u64,
        /// Tokens that there are.
        available: u64,
        /// The largest pinned blocks: without them the rest would fit.
        blockers: Vec<String>,
        /// Tokens of the first blocker as rendered.
        largest: u64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { index, id, fault } => {
                match (index, id) {
                    (Some(i), Some(id)) => write!(f, "blocks[{i}] '{id}': ")?,
                    (Some(i), None) => write!(f, "blocks[{i}]: ")?,
                    (None, Some(id)) => write!(f, "block '{id}': ")?,
                    (None, None) => {}
                }
                fault.fmt(f)
            }
            Self::Budget { needed, available, blockers, largest } => {
                write!(
                    f,
                    "budget of {available} tokens: {needed} are pinned and cannot be dropped"
                )?;
                if let Some(first) = blockers.first() {
                    write!(f, "; largest is block '{}' with {largest}", shorten(first))?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for Error {}

/// `text` on one line, cut to what a message may repeat.
#[must_use]
pub fn shorten(text: &str) -> String {
    let mut out = String::new();
    let mut room = SHOWN;
    for c in text.chars() {
        // Line ends of Unicode are no control characters.
        let is_escaped = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        let len = if is_escaped { c.escape_default().len() } else { 1 };
        if len > room {
            out.push('…');
            break;
        }
        room -= len;
        if is_escaped {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_short_line() {
        let fault = Fault::new("id", &"a\n".repeat(100), "is longer than 256 bytes");
        let text = fault.at(Some(3), Some("x\ny")).to_string();
        assert!(!text.contains('\n'));
        assert!(text.starts_with("blocks[3] 'x\\ny': id a\\na"));
        assert!(text.len() < 200);
    }

    #[test]
    fn what_is_escaped_takes_its_room() {
        assert_eq!(shorten(&"x".repeat(40)), "x".repeat(40));
        assert_eq!(shorten(&"x".repeat(41)), "x".repeat(40) + "…");
        assert_eq!(shorten(&"\u{2028}".repeat(40)), r"\u{2028}".repeat(5) + "…");
    }
}
