//! The six types of block.

/// What a block is; the numbers are those of the wire schema and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Instructions of the operator: always pinned.
    System = 0,
    /// A turn of the user.
    User = 1,
    /// A turn of the model, tool calls included.
    Agent = 2,
    /// Something remembered from earlier sessions.
    Memory = 3,
    /// A passage from outside.
    Knowledge = 4,
    /// The result of a tool.
    Tool = 5,
}

impl Kind {
    /// All types in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::System, Self::User, Self::Agent, Self::Memory, Self::Knowledge, Self::Tool];

    /// The name in the schema and in rendered headers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "SYSTEM",
            Self::User => "USER",
            Self::Agent => "AGENT",
            Self::Memory => "MEMORY",
            Self::Knowledge => "KNOWLEDGE",
            Self::Tool => "TOOL",
        }
    }

    /// The type of that name, in whatever case.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        // No two begin alike.
        let kind = match name.as_bytes().first()?.to_ascii_lowercase() {
            b's' => Self::System,
            b'u' => Self::User,
            b'a' => Self::Agent,
            b'm' => Self::Memory,
            b'k' => Self::Knowledge,
            b't' => Self::Tool,
            _ => return None,
        };
        kind.name().eq_ignore_ascii_case(name).then_some(kind)
    }

    /// The score of a block of which nobody says more; those of turns and results are the article's.
    #[must_use]
    pub fn usual_score(self) -> f64 {
        match self {
            Self::System => 1.0,
            Self::User | Self::Agent => 0.9,
            Self::Tool => 0.8,
            Self::Memory | Self::Knowledge => 0.5,
        }
    }

    /// Whether blocks of this type are turns of the conversation, whose order tells what is open.
    #[must_use]
    pub fn is_turn(self) -> bool {
        matches!(self, Self::User | Self::Agent | Self::Tool)
    }

    /// Whether equal texts of this type say nothing twice: turns and results are never duplicates.
    #[must_use]
    pub fn is_fact(self) -> bool {
        matches!(self, Self::Memory | Self::Knowledge)
    }
}

/// A set of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Every type.
    pub const ALL: Self = Self(0b11_1111);

    /// The set of these types.
    #[must_use]
    pub fn of(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | 1 << kind as u8))
    }

    /// Whether the set holds that type.
    #[must_use]
    pub fn holds(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }
}
