//! Lists of texts: references, and metadata as keys and values in turn.

use crate::slice::{Run, Slice};

/// A list of texts.
#[derive(Debug, Clone)]
pub enum Texts<T> {
    /// Each made by itself.
    Made(Box<[T]>),
    /// Found together: these cost one count of their bytes' owners, however many they are.
    Found(Run),
}

impl<T> Default for Texts<T> {
    fn default() -> Self {
        Self::Made(Box::default())
    }
}

impl<T> From<Vec<T>> for Texts<T> {
    fn from(texts: Vec<T>) -> Self {
        Self::Made(texts.into())
    }
}

impl<T> From<Run> for Texts<T> {
    fn from(texts: Run) -> Self {
        Self::Found(texts)
    }
}

impl<T: AsRef<str>> Texts<T> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Made(texts) => texts.len(),
            Self::Found(texts) => texts.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The texts in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (made, found) = self.parts();
        made.iter().map(AsRef::as_ref).chain(found.iter().copied())
    }

    /// The texts two by two, as metadata has its keys and values.
    #[inline]
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        let (made, found) = self.parts();
        let made = made.as_chunks().0.iter().map(|[key, value]| (key.as_ref(), value.as_ref()));
        made.chain(found.as_chunks().0.iter().map(|[key, value]| (*key, *value)))
    }

    /// Puts other texts in the place of some: `named` has the one for each.
    pub fn rename(&mut self, named: impl Fn(&str) -> Option<T>)
    where
        T: From<Slice>,
    {
        if let Self::Found(run) = self {
            if run.texts().iter().all(|text| named(text).is_none()) {
                return;
            }
            *self =
                (0..run.texts().len()).map(|at| run.slice(at).into()).collect::<Vec<_>>().into();
        }
        if let Self::Made(texts) = self {
            for text in texts {
                if let Some(other) = named(text.as_ref()) {
                    *text = other;
                }
            }
        }
    }

    /// The texts, in one of two forms; the other one is empty.
    fn parts(&self) -> (&[T], &[&str]) {
        match self {
            Self::Made(texts) => (texts, &[]),
            Self::Found(texts) => (&[], texts.texts()),
        }
    }
}
