//! The kernel.

use numpy::PyReadonlyArray1;
use pycontext_core::cost::Cost;
use pycontext_core::error::Fault;
use pycontext_core::policy::{Duplicates, Order, Policy};
use pycontext_core::prune::{Request, prune as run};
use pyo3::prelude::*;

use crate::columns::Columns;
use crate::cost::{render, with_costs};
use crate::error::{raise, refuse};
use crate::field::{backed, one_of, shown};
use crate::selection::Selection;
use crate::table::Table;

/// Choose the blocks that stay; changes nothing.
///
/// `pins` are ids. `relevance` and `costs`, where given, have one entry a block; `costs` replaces those of `render`.
#[pyfunction]
#[pyo3(signature = (columns, available, render, order, threshold, duplicates, pins, relevance = None, costs = None))]
#[expect(clippy::too_many_arguments, reason = "all that a policy and a caller may say")]
pub fn prune(
    py: Python<'_>,
    columns: &Columns,
    available: u64,
    render: &Bound<'_, PyAny>,
    order: &Bound<'_, PyAny>,
    threshold: f64,
    duplicates: &Bound<'_, PyAny>,
    pins: Vec<Bound<'_, PyAny>>,
    relevance: Option<PyReadonlyArray1<'_, f64>>,
    costs: Option<PyReadonlyArray1<'_, u32>>,
) -> PyResult<Selection> {
    let render = self::render(render)?;
    let refused = |fault| refuse(py, fault);
    let policy = Policy {
        order: one_of(order, "order", Order::named, &["score", "time"]).map_err(refused)?,
        threshold,
        duplicates: one_of(duplicates, "duplicates", Duplicates::named, &["drop", "keep"])
            .map_err(refused)?,
    };
    let relevance = relevance.map(|array| array.as_array().to_vec());
    let costs = costs.map(|array| array.as_array().iter().copied().map(plain).collect::<Vec<_>>());
    let table = match &costs {
        Some(_) => columns.table(py),
        None => with_costs(py, columns, render)?,
    };
    let n = table.columns.len();
    for (name, len) in
        [("relevance", relevance.as_ref().map(Vec::len)), ("costs", costs.as_ref().map(Vec::len))]
    {
        if let Some(len) = len.filter(|len| *len != n) {
            let fault = Fault::new(name, "", format!("has {len} entries for {n} blocks"));
            return Err(refuse(py, fault));
        }
    }
    let pins = rows(&table, &pins)?;
    let selection = py.detach(|| {
        let request = Request {
            available,
            fixed: if costs.is_some() { 0 } else { render.fixed() },
            policy,
            pins: &pins,
            relevance: relevance.as_deref(),
        };
        let costs = costs.as_deref().unwrap_or_else(|| table.columns.costs(render));
        run(&table.columns, costs, &request)
    });
    let selection = selection.map_err(|error| raise(py, &error))?;
    Ok(Selection::new(table, selection))
}

/// A cost that a formatter gave: nothing is known of its edges.
fn plain(tokens: u32) -> Cost {
    Cost { tokens, tail: 0, is_exact: true }
}

fn rows(table: &Table, pins: &[Bound<'_, PyAny>]) -> PyResult<Vec<usize>> {
    let find = |id: &Bound<'_, PyAny>| {
        let row = backed(id, "pin").ok().and_then(|id| table.columns.find(&id));
        let fault = || Fault::new("pin", &shown(id), "is not the id of a block");
        row.ok_or_else(|| refuse(id.py(), fault()))
    };
    pins.iter().map(find).collect()
}
