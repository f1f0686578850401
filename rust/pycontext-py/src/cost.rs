//! What the blocks of a set cost as rendered.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use pycontext_core::cost::Render;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;

use crate::columns::Columns;
use crate::error::refuse;
use crate::field::one_of;

/// The rendering of that name.
pub fn render(name: &Bound<'_, PyAny>) -> PyResult<Render> {
    let found = one_of(name, "render", Render::named, &Render::ALL.map(Render::name));
    found.map_err(|fault| refuse(name.py(), fault))
}

/// Count what the costs of `render` still need; a plug-in's counts come by `set_counts`.
#[pyfunction]
pub fn fill_costs(py: Python<'_>, columns: &Columns, render: &Bound<'_, PyAny>) -> PyResult<()> {
    let render = self::render(render)?;
    columns.with_costs(py, render).map(drop).map_err(|fault| refuse(py, fault))
}

/// Tokens of the whole set as rendered; `fill_costs` or `set_counts` comes first.
#[pyfunction]
pub fn total_cost(py: Python<'_>, columns: &Columns, render: &Bound<'_, PyAny>) -> PyResult<u64> {
    let render = self::render(render)?;
    let table = columns.with_costs(py, render).map_err(|fault| refuse(py, fault))?;
    Ok(table.total_cost(render))
}

/// Texts that a plug-in has to count before the costs of `render` are known.
#[pyfunction]
pub fn uncounted(
    py: Python<'_>,
    columns: &Columns,
    render: &Bound<'_, PyAny>,
) -> PyResult<Vec<String>> {
    let asked = RefCell::new(Vec::new());
    let ask = |text: &str| {
        asked.borrow_mut().push(text.to_owned());
        0
    };
    let render = self::render(render)?;
    columns.lock(py).table.ask_uncounted(render, &ask);
    Ok(asked.into_inner())
}

/// Take the counts of the texts that `uncounted` listed.
#[pyfunction]
pub fn set_counts(
    py: Python<'_>,
    columns: &Columns,
    render: &Bound<'_, PyAny>,
    counts: HashMap<PyBackedStr, u32>,
) -> PyResult<()> {
    let render = self::render(render)?;
    let look_up = |text: &str| counts.get(text).copied().unwrap_or(u32::MAX);
    let mut guard = columns.lock(py);
    Arc::make_mut(&mut guard.table).fill_costs(render, &look_up);
    Ok(())
}
