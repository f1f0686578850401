//! What to keep first, as data.

/// The order in which blocks that are not pinned are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Best score first; of equal scores the newer.
    Score,
    /// Newest first, whatever the score.
    Time,
}

/// What to do with blocks that say the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// Keep all.
    Keep,
    /// Of equal texts of one type, MEMORY or KNOWLEDGE, keep the best.
    Drop,
}

/// How the kernel chooses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Which blocks are taken first.
    pub order: Order,
    /// Base score below which a unit that is not pinned is left out.
    pub threshold: f64,
    /// What happens to equal texts.
    pub duplicates: Duplicates,
}

impl Order {
    /// The order of that name in the Python API.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "score" => Some(Self::Score),
            "time" => Some(Self::Time),
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
