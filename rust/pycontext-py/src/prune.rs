//! The kernel.

use numpy::PyReadonlyArray1;
use pycontext_core::cost::{Cost, CostColumn, Tails};
use pycontext_core::error::Fault;
use pycontext_core::evidence::{self, Question};
use pycontext_core::policy::Order;
use pycontext_core::prune::{Request, prune as run};
use pyo3::prelude::*;

use crate::columns::{Columns, DETACH_BLOCKS};
use crate::cost::render;
use crate::error::{raise, refuse};
use crate::field::{backed, shown};
use crate::policy::Policy;
use crate::selection::{Priced, Selection};
use crate::table::Table;

/// Choose the blocks that stay; changes nothing.
///
/// `pins` are ids; `query` is what the user says, turn after turn. `relevance` and `costs`, where given, have one entry
/// a block: what a scorer says of the query, and what takes the place of the costs of `render`. `before` is the selection
/// of the request before.
#[pyfunction]
#[pyo3(signature = (columns, available, render, policy, pins, now = None, query = None, relevance = None, costs = None, before = None))]
#[expect(clippy::too_many_arguments, reason = "all that a caller may say")]
pub fn prune(
    py: Python<'_>,
    columns: &Columns,
    available: u64,
    render: &Bound<'_, PyAny>,
    policy: &Policy,
    pins: Vec<Bound<'_, PyAny>>,
    now: Option<i64>,
    query: Option<Vec<String>>,
    relevance: Option<PyReadonlyArray1<'_, f64>>,
    costs: Option<PyReadonlyArray1<'_, u32>>,
    before: Option<&Bound<'_, Selection>>,
) -> PyResult<Selection> {
    let render = self::render(render)?;
    let given: Option<Vec<Cost>> =
        costs.map(|array| array.as_array().iter().copied().map(plain).collect());
    let refused = |fault| refuse(py, fault);
    let priced = given.is_none().then_some(render);
    // By evidence something is asked in any case: what the user said last.
    let query = query.or_else(|| policy.core.has(Order::Evidence).then(Vec::new));
    let (table, index) = columns.ready(py, priced, query.is_some()).map_err(refused)?;
    let near = policy.core.near_duplicates.map(|_| columns.near(py));
    let turns = query.map_or_else(Vec::new, |query| evidence::turns(&table, query));
    let relevance = relevance.map(|array| array.as_array().to_vec());
    let n = table.len();
    for (name, len) in
        [("relevance", relevance.as_ref().map(Vec::len)), ("costs", given.as_ref().map(Vec::len))]
    {
        if let Some(len) = len.filter(|len| *len != n) {
            let fault = Fault::new(name, "", format!("has {len} entries for {n} blocks"));
            return Err(refused(fault));
        }
    }
    let pins = rows(&table, &pins)?;
    let before = before.map(|selection| selection.get().fates_in(&table));
    let choose = || {
        let request = Request {
            available,
            fixed: if given.is_some() { 0 } else { render.fixed() },
            policy: &policy.core,
            pins: &pins,
            question: index.as_deref().map(|index| Question {
                index,
                turns: &turns,
                relevance: relevance.as_deref(),
            }),
            now,
            near: near.as_deref(),
            before: before.as_deref(),
        };
        let costs = match &given {
            Some(rows) => CostColumn { rows, tails: Tails::default(), is_exact: true },
            None => table.costs(render),
        };
        run(&table, costs, &request)
    };
    let chosen = if n < DETACH_BLOCKS { choose() } else { py.detach(choose) };
    let chosen = chosen.map_err(|error| raise(py, &error))?;
    let costs = given.map_or(Priced::As(render), Priced::Given);
    Ok(Selection::new(table, chosen, costs))
}

/// The turns of a question, the newest last: the last turn of the user in the set where none is given, with the two before
/// it.
#[pyfunction]
pub fn turns(py: Python<'_>, columns: &Columns, query: Vec<String>) -> Vec<String> {
    evidence::turns(&columns.table(py), query)
}

/// A cost that a formatter gave: nothing is known of its edges.
fn plain(tokens: u32) -> Cost {
    Cost { tokens, tail: 0, is_exact: true }
}

fn rows(table: &Table, pins: &[Bound<'_, PyAny>]) -> PyResult<Vec<usize>> {
    let find = |id: &Bound<'_, PyAny>| {
        let row = backed(id, "pin").ok().and_then(|id| table.find(&id));
        let fault = || Fault::new("pin", &shown(id), "is not the id of a block");
        row.ok_or_else(|| refuse(id.py(), fault()))
    };
    pins.iter().map(find).collect()
}
