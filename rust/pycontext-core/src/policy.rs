//! How to choose, as data.

use crate::decay::Decay;
use crate::kind::Kinds;

/// The order in which the units of a tier are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Best score first; of equal scores the newer.
    Score,
    /// Newest first, whatever the score.
    Time,
    /// What speaks for a unit first, given what is asked; see `evidence`.
    Evidence,
}

/// What to do with blocks that say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// Keep all.
    Keep,
    /// Of equal texts of one type, MEMORY or KNOWLEDGE, keep the best.
    Drop,
}

/// What references tie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum References {
    /// Results to their calls, and nothing else.
    Results,
    /// Every block to all that it references.
    Require,
}

/// Units that are taken in one order, up to a share of the budget.
#[derive(Debug, Clone, PartialEq)]
pub struct Tier {
    /// Shown in the reason `share:<name>`.
    pub name: String,
    /// A unit is in the tier when the type of its first block is one of these.
    pub kinds: Kinds,
    /// Which units are taken first.
    pub order: Order,
    /// Share of the available tokens that may be used when this tier is full, those before it included: what they
    /// leave is this one's.
    pub share: f64,
}

impl Tier {
    /// Tokens that may be used when the tier is full.
    #[must_use]
    pub fn limit(&self, available: u64) -> u64 {
        part(self.share, available)
    }
}

/// A part of so many tokens, rounded down.
fn part(share: f64, tokens: u64) -> u64 {
    if share >= 1.0 {
        return tokens;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of at most 2**53 tokens, rounded down"
    )]
    // A share such as 0.29 of 100 is meant to be 29, and the product is a hair below it.
    let part = (tokens as f64).mul_add(share, 1e-6) as u64;
    part
}

/// How the kernel chooses.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// One after the other, until the budget is full.
    pub tiers: Vec<Tier>,
    /// Base score below which a unit that is not pinned is left out.
    pub threshold: f64,
    /// What happens to equal texts.
    pub duplicates: Duplicates,
    /// What is tied together.
    pub references: References,
    /// How scores fall with age; `None` where they do not.
    pub decay: Option<Decay>,
    /// What is added to the score of the newest turn, less for the turns before it.
    pub recency: f64,
    /// Relevance to the question, as a part of the best, below which a reference is left out.
    pub min_relevance: f64,
    /// Similarity from which of two facts that say nearly the same the better stays; `None` where all stay.
    pub near_duplicates: Option<f64>,
    /// When to choose anew, where requests are to begin like those before them; `None` for every time.
    pub marks: Option<Marks>,
}

/// Parts of the room that SYSTEM blocks leave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Marks {
    /// Up to here what comes is added to what was sent.
    pub high: f64,
    /// Down to here is chosen anew when the high mark is passed.
    pub low: f64,
}

impl Marks {
    /// The tokens at a mark, of `available` of which SYSTEM blocks and framing take `system`.
    #[must_use]
    pub fn at(mark: f64, system: u64, available: u64) -> u64 {
        system + part(mark, available.saturating_sub(system))
    }
}

impl Policy {
    /// Whether a tier takes its units in that order.
    #[must_use]
    pub fn has(&self, order: Order) -> bool {
        self.tiers.iter().any(|tier| tier.order == order)
    }
}

impl Default for Policy {
    /// Best score first, whatever the type.
    fn default() -> Self {
        let all =
            Tier { name: "all".to_owned(), kinds: Kinds::ALL, order: Order::Score, share: 1.0 };
        Self {
            tiers: vec![all],
            threshold: 0.0,
            duplicates: Duplicates::Drop,
            references: References::Results,
            decay: None,
            recency: 0.0,
            min_relevance: 0.0,
            near_duplicates: None,
            marks: None,
        }
    }
}

impl Order {
    /// The order of that name in the Python API.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "score" => Some(Self::Score),
            "time" => Some(Self::Time),
            "evidence" => Some(Self::Evidence),
            _ => None,
        }
    }
}

impl Duplicates {
    /// The choice of that name in the Python API.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "keep" => Some(Self::Keep),
            "drop" => Some(Self::Drop),
            _ => None,
        }
    }
}

impl References {
    /// The choice of that name in the Python API.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "results" => Some(Self::Results),
            "require" => Some(Self::Require),
            _ => None,
        }
    }
}
