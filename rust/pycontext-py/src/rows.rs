//! Blocks that were decoded.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pycontext_core::draft::Draft;
use pyo3::prelude::*;

use crate::text::Text;

/// Blocks that were read and wait for a set.
#[derive(Debug)]
#[pyclass(frozen, module = "pycontext._core")]
pub struct Rows {
    blocks: Mutex<Draft<Text>>,
}

impl Rows {
    /// Blocks as they were read.
    pub fn of(blocks: Draft<Text>) -> Self {
        Self { blocks: Mutex::new(blocks) }
    }

    /// The blocks, which are gone then.
    pub fn take(&self) -> Draft<Text> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Draft<Text>> {
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Rows {
    /// Believe no token count.
    fn distrust(&self) {
        self.lock().distrust();
    }

    /// Texts that have to be counted, in order.
    fn uncounted(&self) -> Vec<String> {
        self.lock().uncounted().map(str::to_owned).collect()
    }
}
