//! A vocabulary that a user brings: a file of ranks as tiktoken reads it, with its pattern.
//!
//! The file is not trusted: everything in it is bounded and checked. Merges look up the joined bytes, as tiktoken does,
//! with a queue, so that no piece takes more than `n log n` steps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hashbrown::{HashMap, HashSet};

use super::Counter;
use super::user_pattern::UserPattern;
use crate::error::Fault;

/// Bytes of a file.
pub const LARGEST_FILE: usize = 64 << 20;

/// Tokens of a file.
const MOST_TOKENS: usize = 2_000_000;

/// Bytes of a token.
const LONGEST_TOKEN: usize = 1024;

/// Ranks by bytes, and how a text is cut into pieces.
#[derive(Debug)]
pub struct Ranks {
    by_bytes: HashMap<Box<[u8]>, u32>,
    longest: usize,
    pattern: UserPattern,
}

impl Ranks {
    /// Reads a file: a line a token, its bytes in base64, a space, its rank.
    ///
    /// # Errors
    /// The file is too large or wrong; the line is named.
    pub fn read(file: &[u8], pattern: UserPattern) -> Result<Self, Fault> {
        let fault = |field: &str, value: &[u8], rule: String| {
            Fault::new(field, &String::from_utf8_lossy(value), rule)
        };
        if file.len() > LARGEST_FILE {
            return Err(Fault::new(
                "rank file",
                &file.len().to_string(),
                format!("bytes are more than {LARGEST_FILE}"),
            ));
        }
        let mut by_bytes = HashMap::new();
        let mut seen = HashSet::new();
        let mut longest = 0;
        for (line, number) in file.split(|byte| *byte == b'\n').zip(1_usize..) {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() {
                continue;
            }
            let field = format!("rank file, line {number}");
            let wrong = || fault(&field, line, "is not base64, a space and a rank".to_owned());
            let space = line.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let token = STANDARD.decode(&line[..space]).ok().ok_or_else(wrong)?;
            let rank = std::str::from_utf8(&line[space + 1..])
                .ok()
                .and_then(|rank| rank.parse::<u32>().ok());
            let rank = rank.filter(|rank| *rank < u32::MAX).ok_or_else(wrong)?;
            if token.is_empty() || token.len() > LONGEST_TOKEN {
                return Err(fault(
                    &field,
                    line,
                    format!("is a token of {} bytes, not of 1 to {LONGEST_TOKEN}", token.len()),
                ));
            }
            if by_bytes.len() == MOST_TOKENS {
                return Err(fault(&field, line, format!("is one token more than {MOST_TOKENS}")));
            }
            longest = longest.max(token.len());
            if !seen.insert(rank) {
                return Err(fault(&field, line, "has a rank that another line has".to_owned()));
            }
            if by_bytes.insert(token.into(), rank).is_some() {
                return Err(fault(&field, line, "is a token that another line has".to_owned()));
            }
        }
        if let Some(byte) = (0..=u8::MAX).find(|byte| !by_bytes.contains_key(&[*byte][..])) {
            let shown = format!("0x{byte:02X}");
            return Err(Fault::new("rank file", &shown, "is a byte without a token"));
        }
        Ok(Self { by_bytes, longest, pattern })
    }

    /// How many tokens there are.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.by_bytes.len()
    }

    fn rank(&self, bytes: &[u8]) -> Option<u32> {
        if bytes.len() > self.longest { None } else { self.by_bytes.get(bytes).copied() }
    }

    /// Tokens of a piece.
    fn merged(&self, piece: &[u8]) -> usize {
        if self.rank(piece).is_some() {
            return 1;
        }
        let length = piece.len();
        // By the first byte of each part: where the next part begins, and where the one before.
        let mut next: Vec<usize> = (1..=length).collect();
        let mut before: Vec<usize> = (0..length).map(|at| at.wrapping_sub(1)).collect();
        let mut ranks = vec![None; length];
        let mut waiting = BinaryHeap::new();
        for (at, two) in piece.windows(2).enumerate() {
            ranks[at] = self.rank(two);
            waiting.extend(ranks[at].map(|rank| Reverse((rank, at))));
        }
        let mut parts = length;
        while let Some(Reverse((rank, at))) = waiting.pop() {
            // What is no longer so has stayed in the queue.
            if ranks[at] != Some(rank) {
                continue;
            }
            let gone = next[at];
            next[at] = next[gone];
            ranks[gone] = None;
            parts -= 1;
            if next[at] < length {
                before[next[at]] = at;
            }
            for left in [before[at], at] {
                if left < length {
                    let right = next[left];
                    ranks[left] =
                        if right < length { self.rank(&piece[left..next[right]]) } else { None };
                    waiting.extend(ranks[left].map(|rank| Reverse((rank, left))));
                }
            }
        }
        parts
    }
}

impl Counter for Ranks {
    /// Exact: equal to the length of tiktoken's `encode_ordinary` for the same file and pattern.
    fn count(&self, text: &str) -> u32 {
        let tokens: usize =
            self.pattern.pieces(text).map(|piece| self.merged(piece.as_bytes())).sum();
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }
}
