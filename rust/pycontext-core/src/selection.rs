//! What the kernel chose, with a reason for every block.

use std::borrow::Cow;
use std::sync::Arc;

use crate::columns::Columns;
use crate::cost::{Cost, CostColumn};
use crate::error::Fault;
use crate::evidence::{Account, Signal};
use crate::policy::Policy;
use crate::unit::{Broken, Units};

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
    /// It does not fit into the tokens that are left when all is chosen, which are so many.
    Budget(u32),
    /// It would have fitted when that tier was full, but for its share, which had so many tokens left.
    Share(u8, u32),
    /// Its base score is below the threshold.
    BelowThreshold,
    /// It matters less to the question than the policy asks for.
    Irrelevant,
    /// The same text as that row, which stays.
    Duplicate(u32),
    /// Nearly the same text as that row, which stays; so many percent of their word triples are the same.
    NearDuplicate(u32, u8),
    /// It belongs to the unit of that row, which has the reason.
    Unit(u32),
    /// A result without a call, a call without its results, or a block without what it requires.
    Orphan(Broken),
    /// It fell at an earlier cut, and nothing is chosen anew before the request is full.
    Cut,
}

impl Reason {
    /// The stable codes that receipts carry.
    pub const CODES: [&str; 10] = [
        "pinned",
        "kept",
        "budget",
        "share",
        "below_threshold",
        "duplicate",
        "unit",
        "orphan",
        "cut",
        "near_duplicate",
    ];

    /// Its place among the codes.
    #[must_use]
    pub fn number(self) -> usize {
        match self {
            Self::Pinned(_) => 0,
            Self::Kept => 1,
            Self::Budget(_) => 2,
            Self::Share(..) => 3,
            Self::BelowThreshold | Self::Irrelevant => 4,
            Self::Duplicate(_) => 5,
            Self::Unit(_) => 6,
            Self::Orphan(_) => 7,
            Self::Cut => 8,
            Self::NearDuplicate(..) => 9,
        }
    }

    /// The stable code that receipts carry.
    #[must_use]
    pub fn code(self) -> &'static str {
        Self::CODES[self.number()]
    }

    /// Whether the block stays.
    #[must_use]
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Pinned(_) | Self::Kept)
    }

    /// The row that says the same, or nearly so.
    #[must_use]
    pub fn copy(self) -> Option<usize> {
        match self {
            Self::Duplicate(row) | Self::NearDuplicate(row, _) => Some(row as usize),
            _ => None,
        }
    }

    /// The row that the reason points to.
    #[must_use]
    pub fn target(self) -> Option<usize> {
        match self {
            Self::Duplicate(row) | Self::NearDuplicate(row, _) | Self::Unit(row) => {
                Some(row as usize)
            }
            _ => None,
        }
    }
}

/// The result of one run of the kernel.
#[derive(Debug, Clone)]
pub struct Selection {
    /// How it was chosen.
    pub policy: Arc<Policy>,
    /// Rows that stay, in their original order.
    pub kept: Vec<u32>,
    /// One reason a row.
    pub reasons: Vec<Reason>,
    /// Tokens of what stays, as rendered.
    pub tokens: u64,
    /// Tokens that there were.
    pub available: u64,
    /// Tokens that were to be used at most: fewer than there were, where the request was cut to a mark.
    pub room: u64,
    /// Whether nothing was estimated.
    pub is_exact: bool,
    /// Effective scores by row, where they are not the base scores.
    pub scores: Option<Vec<f64>>,
    /// Which signals counted, where units were taken by evidence.
    pub account: Option<Arc<Account>>,
}

/// A selection with what it was made from, to say what decided.
#[derive(Debug)]
pub struct Receipt<'a, T> {
    selection: &'a Selection,
    columns: &'a Columns<T>,
    costs: &'a [Cost],
    units: Cow<'a, Units>,
}

impl Selection {
    /// Duplicates that fell while the copy stays, and the row of that copy.
    pub fn copies(&self) -> impl Iterator<Item = (usize, usize)> {
        let copy_of = |(row, reason): (usize, &Reason)| {
            let copy = reason.copy().filter(|copy| self.reasons[*copy].is_kept());
            copy.map(|copy| (row, copy))
        };
        self.reasons.iter().enumerate().filter_map(copy_of)
    }
}

impl Selection {
    /// The same choice at other costs.
    #[must_use]
    pub fn priced_at(&self, costs: CostColumn<'_>, fixed: u32) -> Self {
        let kept = self.kept.iter().map(|row| &costs.rows[*row as usize]);
        let sum: u64 = kept.clone().map(|cost| u64::from(cost.tokens)).sum();
        let tail = kept.clone().next_back().map(|cost| cost.tail.into());
        let tokens = tail.map_or(0, |tail| (sum + u64::from(fixed)).saturating_add_signed(tail));
        let left = u32::try_from(self.room.saturating_sub(tokens)).unwrap_or(u32::MAX);
        let restated = |reason: &Reason| match reason {
            Reason::Budget(_) => Reason::Budget(left),
            other => *other,
        };
        let is_exact = costs.is_exact || kept.clone().all(|cost| cost.is_exact);
        let reasons = self.reasons.iter().map(restated).collect();
        Self { reasons, tokens, is_exact, ..self.clone() }
    }
}

impl<'a, T: AsRef<str>> Receipt<'a, T> {
    /// The receipt of a selection from `columns`, with the costs that it was made with.
    #[must_use]
    pub fn new(selection: &'a Selection, columns: &'a Columns<T>, costs: &'a [Cost]) -> Self {
        let units = Units::known(columns, selection.policy.references);
        Self { selection, columns, costs, units }
    }

    /// Tokens of a row as rendered.
    #[must_use]
    pub fn cost(&self, row: usize) -> u32 {
        self.costs[row].tokens
    }

    /// What the reason of `row` says besides its code: an id, the name of a tier, or the numbers.
    #[must_use]
    pub fn detail(&self, row: usize) -> String {
        match self.selection.reasons[row] {
            Reason::Duplicate(other) | Reason::NearDuplicate(other, _) | Reason::Unit(other) => {
                self.id(other).to_owned()
            }
            Reason::Budget(left) => format!("needs {} of {left} left", self.unit_cost(row)),
            Reason::Share(tier, _) => self.tier(tier).to_owned(),
            Reason::BelowThreshold => format!(
                "score {} below {}",
                self.columns.scores()[row],
                self.selection.policy.threshold
            ),
            Reason::Irrelevant => format!(
                "relevance {:.3} below {}",
                self.relevance(row),
                self.selection.policy.min_relevance
            ),
            Reason::Orphan(Broken::NoCall) => "the call is not in the input".to_owned(),
            Reason::Orphan(Broken::NoReference) => {
                "a block that it requires is not in the input".to_owned()
            }
            Reason::Orphan(Broken::NoResult(calls, results)) => {
                format!("{results} of {calls} results are in the input")
            }
            Reason::Cut => "fell at an earlier cut".to_owned(),
            Reason::Pinned(pin) => pin_name(pin).to_owned(),
            Reason::Kept => String::new(),
        }
    }

    /// One English sentence with the numbers that decided about the block called `id`.
    ///
    /// # Errors
    /// There is no such block.
    pub fn explain(&self, id: &str) -> Result<String, Fault> {
        let row = self
            .columns
            .find(id)
            .filter(|&row| row < self.selection.reasons.len())
            .ok_or_else(|| Fault::new("id", &format!("'{id}'"), "is not among the blocks"))?;
        let kind = self.columns.kinds()[row].name();
        let cost = self.costs[row].tokens;
        let Selection { available, room, .. } = *self.selection;
        let mark = if room < available { ", to which the request was cut," } else { "" };
        let whole = match self.unit_cost(row) {
            unit_cost if unit_cost == u64::from(cost) => String::new(),
            unit_cost => format!(", {unit_cost} with its unit"),
        };
        let merit = self.merit(row);
        let start = format!("{kind} block '{id}' ({cost} tokens{whole})");
        Ok(match self.selection.reasons[row] {
            Reason::Pinned(pin) => format!("{start} stays: {}.", pin_name(pin)),
            Reason::Kept => format!(
                "{start} stays: with {merit} it fitted into the {room} tokens {}.",
                if room < available { "to which the request was cut" } else { "available" }
            ),
            Reason::Budget(left) => format!(
                "{start} falls: with {merit} it found no room, {left} of {room} tokens{mark} are left."
            ),
            Reason::Share(tier, left) => format!(
                "{start} falls: with {merit} it found no room in the share of {}, which has {left} tokens left.",
                self.tier(tier)
            ),
            Reason::BelowThreshold | Reason::Irrelevant | Reason::Orphan(_) => {
                format!("{start} falls: {}.", self.why(row))
            }
            Reason::Cut => format!(
                "{start} stays out: it fell at an earlier cut, and so that the request begins like the one before, \
                 nothing is chosen anew until it is full."
            ),
            reason @ (Reason::Duplicate(copy) | Reason::NearDuplicate(copy, _)) => {
                let id = self.id(copy);
                let same = match reason {
                    Reason::NearDuplicate(_, percent) => {
                        format!("nearly the same ({percent} % of the word triples)")
                    }
                    _ => "the same".to_owned(),
                };
                if self.selection.reasons[copy as usize].is_kept() {
                    format!("{start} falls: block '{id}' says {same} and stays.")
                } else {
                    let why = self.why_of_other(copy as usize);
                    format!(
                        "{start} falls: block '{id}' says {same} and is the better copy, which falls as well: {why}."
                    )
                }
            }
            Reason::Unit(head) => format!(
                "{start} falls with block '{}', which it belongs to: {}.",
                self.id(head),
                self.why_of_other(head as usize)
            ),
        })
    }

    /// Why a row falls that neither room nor another row decides about.
    fn why(&self, row: usize) -> String {
        match self.selection.reasons[row] {
            Reason::BelowThreshold => format!(
                "its score of {} is below the threshold of {}",
                self.columns.scores()[row],
                self.selection.policy.threshold
            ),
            Reason::Irrelevant => format!(
                "its relevance of {:.3} is below the least of {}",
                self.relevance(row),
                self.selection.policy.min_relevance
            ),
            _ => self.detail(row),
        }
    }

    /// What spoke for the unit of a row.
    fn merit(&self, row: usize) -> String {
        let score = self.unit_score(row);
        match self.signal(row) {
            Signal::None => format!("a score of {score:.3}"),
            Signal::Relevance(relevance) => {
                format!("a relevance of {relevance:.3} and a score of {score:.3}")
            }
            Signal::Identifiers(n, weight, relevance) => {
                let words = if relevance > 0.0 {
                    format!(" and words of the query that weigh {relevance:.3}")
                } else {
                    String::new()
                };
                let s = if n == 1 { "" } else { "s" };
                format!("{n} identifier{s} that nothing kept before it had, which weigh {weight:.3},{words} and a score of {score:.3}")
                    .replace(", and words", " and words")
            }
        }
    }

    fn signal(&self, row: usize) -> Signal {
        let head = self.units.head(row);
        let signals = self.selection.account.as_ref().map(|account| &account.signals);
        signals.and_then(|signals| signals.get(head)).copied().unwrap_or_default()
    }

    /// What the unit of a row matters to the question, as a part of the best.
    fn relevance(&self, row: usize) -> f32 {
        match self.signal(row) {
            Signal::Relevance(relevance) => relevance,
            Signal::None | Signal::Identifiers(..) => 0.0,
        }
    }

    fn why_of_other(&self, row: usize) -> String {
        match self.selection.reasons[row] {
            Reason::Unit(_) => "unit".to_owned(),
            other => format!("{}, {}", other.code(), self.detail(row)),
        }
    }

    fn id(&self, row: u32) -> &str {
        self.columns.ids()[row as usize].as_ref()
    }

    fn tier(&self, number: u8) -> &str {
        self.selection.policy.tiers.get(usize::from(number)).map_or("", |tier| &tier.name)
    }

    fn unit_cost(&self, row: usize) -> u64 {
        self.units.rows(row).into_iter().map(|row| u64::from(self.costs[row].tokens)).sum()
    }

    fn unit_score(&self, row: usize) -> f64 {
        let scores = self.selection.scores.as_deref().unwrap_or(self.columns.scores());
        self.units.rows(row).into_iter().map(|row| scores[row]).fold(0.0, f64::max)
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
