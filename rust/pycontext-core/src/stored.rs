//! What things take in memory.

/// A text that is kept somewhere, maybe with others.
pub trait Stored {
    /// Where: texts that are kept together are at the same address.
    fn address(&self) -> usize;

    /// Bytes of memory there.
    fn bytes(&self) -> usize;
}

impl Stored for String {
    fn address(&self) -> usize {
        // Empty ones are all at the same one, and take nothing.
        self.as_ptr().addr()
    }

    fn bytes(&self) -> usize {
        self.capacity()
    }
}

/// Bytes of the places in a vector, those for items to come included.
pub(crate) fn places<V>(items: &Vec<V>) -> usize {
    items.capacity() * size_of::<V>()
}
