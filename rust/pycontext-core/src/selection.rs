//! What the kernel chose, with a reason for every block.

use crate::columns::Columns;
use crate::error::Fault;
use crate::unit::Broken;

/// Why a block is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// SYSTEM blocks always are.
    System,
    /// The last turn of the user.
    LastUser,
    /// The last unit of the conversation, when it comes after the last turn of the user.
    LastUnit,
    /// The caller named it.
    Named,
}

/// Why a block is in the selection, or is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Never dropped.
    Pinned(Pin),
    /// Chosen.
    Kept,
    /// It did not fit into so many tokens that were left.
    Budget(u64),
    /// Its base score is below the threshold.
    BelowThreshold,
    /// The same text as that row, which stays.
    Duplicate(u32),
    /// It belongs to the unit of that row, which has the reason.
    Unit(u32),
    /// A result without a call, or a call without its results.
    Orphan(Broken),
}

impl Reason {
    /// The stable code that receipts carry.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Pinned(_) => "pinned",
            Self::Kept => "kept",
            Self::Budget(_) => "budget",
            Self::BelowThreshold => "below_threshold",
            Self::Duplicate(_) => "duplicate",
            Self::Unit(_) => "unit",
            Self::Orphan(_) => "orphan",
        }
    }

    /// Whether the block stays.
    #[must_use]
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Pinned(_) | Self::Kept)
    }

    /// The row that the reason points to.
    #[must_use]
    pub fn target(self) -> Option<usize> {
        match self {
            Self::Duplicate(row) | Self::Unit(row) => Some(row as usize),
            _ => None,
        }
    }
}

/// The result of one run of the kernel.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Rows that stay, in their original order.
    pub kept: Vec<u32>,
    /// One reason a row.
    pub reasons: Vec<Reason>,
    /// Tokens of what stays, as rendered.
    pub tokens: u64,
    /// Tokens that there were.
    pub available: u64,
    /// Whether nothing was estimated.
    pub is_exact: bool,
    /// Effective score of the unit, by row.
    pub scores: Vec<f64>,
    /// Tokens as rendered, by row.
    pub costs: Vec<u32>,
    /// Tokens of the unit as rendered, by row.
    pub unit_costs: Vec<u64>,
    /// Base score below which units were left out.
    pub threshold: f64,
}

impl Selection {
    /// Duplicates that fell while the copy stays, and the row of that copy.
    pub fn copies(&self) -> impl Iterator<Item = (usize, usize)> {
        let copy_of = |(row, reason): (usize, &Reason)| match *reason {
            Reason::Duplicate(copy) if self.reasons[copy as usize].is_kept() => {
                Some((row, copy as usize))
            }
            _ => None,
        };
        self.reasons.iter().enumerate().filter_map(copy_of)
    }

    /// What the reason of `row` says besides its code: an id, or the numbers.
    #[must_use]
    pub fn detail<T: AsRef<str>>(&self, columns: &Columns<T>, row: usize) -> String {
        match self.reasons[row] {
            Reason::Duplicate(other) | Reason::Unit(other) => {
                columns.ids()[other as usize].as_ref().to_owned()
            }
            Reason::Budget(left) => format!("needs {} of {left} left", self.unit_costs[row]),
            Reason::BelowThreshold => {
                format!("score {} below {}", columns.scores()[row], self.threshold)
            }
            Reason::Orphan(Broken::NoCall) => "the call is not in the input".to_owned(),
            Reason::Orphan(Broken::NoResult(calls, results)) => {
                format!("{results} of {calls} results are in the input")
            }
            Reason::Pinned(pin) => pin_name(pin).to_owned(),
            Reason::Kept => String::new(),
        }
    }

    /// One English sentence with the numbers that decided about the block called `id`.
    ///
    /// # Errors
    /// There is no such block.
    pub fn explain<T: AsRef<str>>(&self, columns: &Columns<T>, id: &str) -> Result<String, Fault> {
        let row = columns
            .find(id)
            .filter(|&row| row < self.reasons.len())
            .ok_or_else(|| Fault::new("id", &format!("'{id}'"), "is not among the blocks"))?;
        let kind = columns.kinds()[row].name();
        let cost = self.costs[row];
        let available = self.available;
        let whole = if self.unit_costs[row] == u64::from(cost) {
            String::new()
        } else {
            format!(", {} with its unit", self.unit_costs[row])
        };
        let score = self.scores[row];
        let start = format!("{kind} block '{id}' ({cost} tokens{whole})");
        Ok(match self.reasons[row] {
            Reason::Pinned(pin) => format!("{start} stays: {}.", pin_name(pin)),
            Reason::Kept => format!(
                "{start} stays: with a score of {score:.3} it fitted into the {available} tokens available."
            ),
            Reason::Budget(left) => format!(
                "{start} falls: when its turn came with a score of {score:.3}, {left} of {available} tokens were left."
            ),
            Reason::BelowThreshold => format!(
                "{start} falls: its score of {} is below the threshold of {}.",
                columns.scores()[row],
                self.threshold
            ),
            Reason::Duplicate(copy) => {
                let copy = copy as usize;
                let id = columns.ids()[copy].as_ref();
                if self.reasons[copy].is_kept() {
                    format!("{start} falls: block '{id}' says the same and stays.")
                } else {
                    let why = self.detail_of_head(columns, copy);
                    format!(
                        "{start} falls: block '{id}' says the same and is the better copy, which falls as well: {why}."
                    )
                }
            }
            Reason::Unit(head) => format!(
                "{start} falls with block '{}', which it belongs to: {}.",
                columns.ids()[head as usize].as_ref(),
                self.detail_of_head(columns, head as usize)
            ),
            Reason::Orphan(_) => {
                format!("{start} falls: {}.", self.detail(columns, row))
            }
        })
    }

    fn detail_of_head<T: AsRef<str>>(&self, columns: &Columns<T>, head: usize) -> String {
        match self.reasons[head] {
            Reason::Unit(_) => "unit".to_owned(),
            other => format!("{}, {}", other.code(), self.detail(columns, head)),
        }
    }
}

fn pin_name(pin: Pin) -> &'static str {
    match pin {
        Pin::System => "SYSTEM blocks are pinned",
        Pin::LastUser => "the last turn of the user is pinned",
        Pin::LastUnit => "the last unit is pinned",
        Pin::Named => "the caller pinned it",
    }
}
