//! Blocks that were decoded.

use std::sync::{Mutex, PoisonError};

use pycontext_core::columns::Row;
use pyo3::prelude::*;

use crate::text::Text;

/// Blocks that were read and wait for a set.
#[derive(Debug)]
#[pyclass(frozen, module = "pycontext._core")]
pub struct Rows {
    rows: Mutex<Vec<(Row<Text>, Option<u32>)>>,
}

impl Rows {
    /// Blocks with their tokens, `None` where nobody counted.
    pub fn of(rows: Vec<(Row<Text>, Option<u32>)>) -> Self {
        Self { rows: Mutex::new(rows) }
    }

    /// The blocks, which are gone then, with their tokens; `None` where nobody counted, or nobody is to be believed.
    pub fn take(&self, recount: bool) -> Vec<(Row<Text>, Option<u32>)> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = std::mem::take(&mut *rows);
        if recount {
            for (_, tokens) in &mut rows {
                *tokens = None;
            }
        }
        rows
    }
}

#[pymethods]
impl Rows {
    /// Texts that have to be counted, in order; all of them where no count is to be believed.
    fn uncounted(&self, recount: bool) -> Vec<String> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = rows.iter().filter(|(_, tokens)| recount || tokens.is_none());
        asked.map(|(row, _)| row.content.to_string()).collect()
    }
}
