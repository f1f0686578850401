//! One block on its way into the columns.

use std::sync::OnceLock;

use crate::kind::Kind;
use crate::limits::is_provider;
use crate::provider::Provider;
use crate::texts::Texts;

/// The metadata key that names a unit.
pub const UNIT: &str = "unit";

/// One block on its way into the columns.
#[derive(Debug, Clone)]
pub struct Row<T> {
    /// Unique in its set.
    pub id: T,
    /// What the block says.
    pub content: T,
    /// What the block is.
    pub kind: Kind,
    /// Base score in `[0, 1]`.
    pub score: f64,
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// Tokens of the content alone.
    pub tokens: u32,
    /// Keys, each once, and values in turn, in the order in which they were written.
    pub metadata: Texts<T>,
    /// What few blocks have and the kernel reads.
    pub rare: Option<Box<Rare<T>>>,
    /// What few blocks have and only travels with them.
    pub extra: Option<Box<Extra<T>>>,
}

/// The parts of a block that most blocks lack and the kernel reads.
#[derive(Debug, Clone)]
pub struct Rare<T> {
    /// Ids of other blocks; in a TOOL block, of the calls it answers.
    pub references: Texts<T>,
    /// Blocks with the same name here live or die together.
    pub unit: Option<T>,
    /// The provider's own fields of the message, read from the metadata by whoever first asks.
    pub provider: Option<OnceLock<Box<Provider>>>,
}

impl<T: AsRef<str> + Clone> Rare<T> {
    /// What the references and the metadata of a block come to; `None` where they say nothing.
    pub fn of(references: Vec<T>, metadata: &[T]) -> Option<Box<Self>> {
        let entries = || metadata.as_chunks().0.iter();
        let unit = entries().find(|[key, _]| key.as_ref() == UNIT);
        let has_provider = entries().any(|[key, _]| is_provider(key.as_ref()));
        let unit = unit.map(|[_, name]| name.clone());
        let rare = Self::unread(references.into(), unit, has_provider)?;
        if let Some(provider) = &rare.provider {
            let views = entries().map(|[key, value]| (key.as_ref(), value.as_ref()));
            provider.get_or_init(|| read(views));
        }
        Some(rare)
    }
}

impl<T: AsRef<str>> Rare<T> {
    /// The parts, the provider's fields not yet read: that is JSON, and takes most of the time of a block.
    pub fn unread(references: Texts<T>, unit: Option<T>, has_provider: bool) -> Option<Box<Self>> {
        let is_plain = references.is_empty() && unit.is_none() && !has_provider;
        let provider = has_provider.then(OnceLock::new);
        (!is_plain).then(|| Box::new(Self { references, unit, provider }))
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "few blocks have one, and it is large")]
pub(crate) fn read<'a>(metadata: impl Iterator<Item = (&'a str, &'a str)>) -> Box<Provider> {
    Box::new(Provider::read(metadata).unwrap_or_default())
}

/// The parts of a block that most blocks lack and only travel with it.
#[derive(Debug, Clone)]
pub struct Extra<T> {
    /// Whom the block came from, where it is not one's own: said by the importer, never by the block.
    pub origin: Option<T>,
    /// Protobuf fields that this version does not know, as they came.
    pub unknown: Box<[u8]>,
}

impl<T> Extra<T> {
    /// The parts, where there are any.
    pub fn of(origin: Option<T>, unknown: Box<[u8]>) -> Option<Box<Self>> {
        let is_plain = origin.is_none() && unknown.is_empty();
        (!is_plain).then(|| Box::new(Self { origin, unknown }))
    }
}
