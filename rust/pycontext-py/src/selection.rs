//! The result of the kernel, with the blocks as they were.

use std::collections::HashMap;
use std::sync::Arc;

use numpy::PyArray1;
use pycontext_core::cost::{Cost, Render};
use pycontext_core::error::Fault;
use pycontext_core::evidence::Account;
use pycontext_core::hash;
use pycontext_core::kind::Kind;
use pycontext_core::prune::Before;
use pycontext_core::render::{SEPARATOR, body, escape, header};
use pycontext_core::selection::{Reason, Receipt, Selection as Chosen};
use pyo3::exceptions::PyIndexError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::class;
use crate::columns::Columns;
use crate::cost;
use crate::error::refuse;
use crate::field::backed;
use crate::table::{Table, fields, release};
use crate::text::Text;

/// What stays and why; later changes of the set do not reach it, and nothing is built before somebody asks.
#[derive(Debug)]
#[pyclass(frozen, module = "pycontext._core")]
pub struct Selection {
    table: Arc<Table>,
    chosen: Chosen,
    costs: Priced,
}

/// Where the costs of the blocks are.
#[derive(Debug)]
pub enum Priced {
    /// In the table, for that rendering.
    As(Render),
    /// Here: a formatter gave them.
    Given(Vec<Cost>),
}

impl Selection {
    /// A selection over the table it was made from.
    pub fn new(table: Arc<Table>, chosen: Chosen, costs: Priced) -> Self {
        Self { table, chosen, costs }
    }

    fn receipt(&self) -> Receipt<'_, Text> {
        let costs = match &self.costs {
            Priced::As(render) => self.table.costs(*render).rows,
            Priced::Given(costs) => costs,
        };
        Receipt::new(&self.chosen, &self.table, costs)
    }

    /// Rows of `table`, which is that of a later moment, that hold what fell, ascending; own rows of duplicates that
    /// fell, with those of their copies. Needs no interpreter.
    pub fn fallen(&self, table: &Table) -> (Vec<usize>, Vec<(usize, usize)>) {
        let (then, now) = (&self.table, &table);
        let still = |row: usize| {
            let found = now.find(&then.ids()[row])?;
            let is_same = now.timestamps()[found] == then.timestamps()[row]
                && now.kinds()[found] == then.kinds()[row];
            is_same.then_some(found)
        };
        let (mut rows, mut copies) = (Vec::new(), Vec::new());
        for (row, reason) in self.chosen.reasons.iter().enumerate().filter(|(_, r)| !r.is_kept()) {
            let found = still(row);
            if let Some(copy) = reason.copy().filter(|copy| self.chosen.reasons[*copy].is_kept()) {
                if still(copy).is_none() {
                    continue;
                }
                // Also where somebody else has removed it.
                if found.is_some() || now.find(&then.ids()[row]).is_none() {
                    copies.push((row, copy));
                }
            }
            rows.extend(found);
        }
        // Somebody may have turned the order around meanwhile.
        rows.sort_unstable();
        (rows, copies)
    }

    /// Rows of duplicates and of their copies, by their ids.
    pub fn named(&self, copies: impl IntoIterator<Item = (usize, usize)>) -> HashMap<String, Text> {
        let ids = self.table.ids();
        let named = |(row, copy): (usize, usize)| (ids[row].to_string(), ids[copy].clone());
        copies.into_iter().map(named).collect()
    }

    /// What became here of every row of `table`, which is that of a later moment.
    pub fn fates_in(&self, table: &Table) -> Vec<Before> {
        let then = &self.table;
        let fate = |(row, id): (usize, &Text)| {
            // Most rows are where they were.
            let is_there = then.ids().get(row).is_some_and(|other| other == id);
            let found = if is_there { Some(row) } else { then.find(id) };
            match found.map(|row| self.chosen.reasons[row].is_kept()) {
                None => Before::New,
                Some(true) => Before::Stayed,
                Some(false) => Before::Fell,
            }
        };
        table.ids().iter().enumerate().map(fate).collect()
    }

    fn kept(&self) -> impl Iterator<Item = usize> {
        self.chosen.kept.iter().map(|row| *row as usize)
    }
}

impl Drop for Selection {
    fn drop(&mut self) {
        release(std::mem::take(&mut self.table));
    }
}

#[pymethods]
impl Selection {
    /// Rows that stay, in order.
    fn rows(&self) -> &[u32] {
        &self.chosen.kept
    }

    /// Rows that stay, in order, as an array.
    fn indices<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        let rows = self.chosen.kept.iter().map(|row| i64::from(*row));
        PyArray1::from_vec(py, rows.collect())
    }

    /// Ids of the blocks that stay, in order.
    fn kept_ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let ids = self.table.ids();
        let rows = self.chosen.kept.iter();
        PyList::new(py, rows.map(|row| &ids[*row as usize]))
    }

    /// Ids of the blocks that fall, in order.
    fn dropped_ids(&self) -> Vec<&Text> {
        let ids = self.table.ids();
        let fell = |(id, reason): (_, &Reason)| (!reason.is_kept()).then_some(id);
        ids.iter().zip(&self.chosen.reasons).filter_map(fell).collect()
    }

    /// Number of blocks there were.
    fn __len__(&self) -> usize {
        self.chosen.reasons.len()
    }

    /// Tokens of what stays, as rendered.
    #[getter]
    fn tokens(&self) -> u64 {
        self.chosen.tokens
    }

    /// Tokens that there were.
    #[getter]
    fn available(&self) -> u64 {
        self.chosen.available
    }

    /// Tokens that were to be used at most.
    #[getter]
    fn room(&self) -> u64 {
        self.chosen.room
    }

    /// Tokens of the request with every block in it.
    fn whole(&self) -> u64 {
        match &self.costs {
            Priced::As(render) => self.table.total_cost(*render),
            Priced::Given(costs) => costs.iter().map(|cost| u64::from(cost.tokens)).sum(),
        }
    }

    /// What this request and an earlier one have in common at the beginning: blocks and their tokens; the tokens of the
    /// blocks that were not there then, and of what belongs to no block; and whether the earlier one went on differently.
    fn shared(&self, earlier: &Bound<'_, Self>) -> (usize, u64, u64, bool) {
        let earlier = earlier.get();
        let (then, now) = (&earlier.table, &self.table);
        let is_same = |&(&a, &b): &(&u32, &u32)| {
            let (a, b) = (a as usize, b as usize);
            now.ids()[a] == then.ids()[b]
                && now.contents()[a] == then.contents()[b]
                && now.kinds()[a] == then.kinds()[b]
                && now.metadata(a).iter().eq(then.metadata(b).iter())
        };
        let pairs = self.chosen.kept.iter().zip(&earlier.chosen.kept);
        let blocks = pairs.take_while(is_same).count();
        let receipt = self.receipt();
        let cost = |row: usize| u64::from(receipt.cost(row));
        let tokens = self.kept().take(blocks).map(cost).sum();
        let fates = earlier.fates_in(now);
        let new = fates.iter().enumerate().filter(|(_, fate)| **fate == Before::New);
        let is_broken = blocks < earlier.chosen.kept.len();
        // What belongs to no block comes behind all of them, and anew every time.
        let fixed = match &self.costs {
            Priced::As(render) => u64::from(render.fixed()),
            Priced::Given(_) => 0,
        };
        let new_tokens = fixed + new.map(|(row, _)| cost(row)).sum::<u64>();
        (blocks, tokens, new_tokens, is_broken)
    }

    /// Tokens of every block as rendered, in order.
    fn costs(&self) -> Vec<u32> {
        let receipt = self.receipt();
        (0..self.table.len()).map(|row| receipt.cost(row)).collect()
    }

    /// The same choice over blocks whose contents are others now.
    fn over(&self, py: Python<'_>, columns: &Columns, render: &Bound<'_, PyAny>) -> PyResult<Self> {
        let render = cost::render(render)?;
        let table = columns.with_costs(py, render).map_err(|fault| refuse(py, fault))?;
        if table.len() != self.table.len() {
            let fault = Fault::new(
                "columns",
                "",
                format!("have {} blocks, not {}", table.len(), self.table.len()),
            );
            return Err(refuse(py, fault));
        }
        let chosen = self.chosen.priced_at(table.costs(render), render.fixed());
        Ok(Self::new(table, chosen, Priced::As(render)))
    }

    /// BLAKE3 over the first blocks that stay, as the hash of a package's content is made.
    fn prefix_hash(&self, py: Python<'_>, blocks: usize) -> [u8; 32] {
        let rows: Vec<usize> = self.kept().take(blocks).collect();
        py.detach(|| hash::rows(&self.table, &rows))
    }

    /// Whether nothing was estimated.
    #[getter]
    fn exact(&self) -> bool {
        self.chosen.is_exact
    }

    /// Which signals counted: terms of the query, terms that were added, whether a scorer counted, the share of
    /// references and the gate; None where units were not taken by evidence.
    fn evidence(&self) -> Option<Evidence<'_>> {
        let account = self.chosen.account.as_ref()?;
        let Account { terms, added_terms, is_fused, share, gate, .. } = &**account;
        Some((terms, added_terms, *is_fused, *share, *gate))
    }

    /// The reason of every block, in order: members of `Reason`.
    fn reasons<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let members = class::reasons(py, &Reason::CODES)?;
        PyList::new(py, self.chosen.reasons.iter().map(|reason| &members[reason.number()]))
    }

    /// Id, reason, detail and tokens of every block, or of those that fall, in order.
    fn entries(&self, py: Python<'_>, fell_only: bool) -> PyResult<Vec<Entry<'_>>> {
        let members = class::reasons(py, &Reason::CODES)?;
        let receipt = self.receipt();
        let rows = self.chosen.reasons.iter().enumerate();
        let shown = rows.filter(|(_, reason)| !(fell_only && reason.is_kept()));
        let entry = |(row, reason): (usize, &Reason)| {
            let member = members[reason.number()].clone_ref(py);
            (&self.table.ids()[row], member, receipt.detail(row), receipt.cost(row))
        };
        Ok(shown.map(entry).collect())
    }

    /// Ids of duplicates that fell while the copy stays, and the id of that copy.
    fn copies(&self) -> HashMap<String, Text> {
        self.named(self.chosen.copies())
    }

    /// One sentence about the block of that id.
    fn explain(&self, id: &Bound<'_, PyAny>) -> PyResult<String> {
        let sentence = backed(id, "id").and_then(|id| self.receipt().explain(&id));
        sentence.map_err(|fault| refuse(id.py(), fault))
    }

    /// The fields of a block in the order of `ContextBlock`, the type by its number.
    fn get<'py>(&self, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyTuple>> {
        if row < self.table.len() {
            fields(&self.table, py, row)
        } else {
            Err(PyIndexError::new_err(format!("no row {row}")))
        }
    }

    /// What stays as `OpenAI` chat messages; None for those that have fields of their own in the metadata, with the
    /// place and the row of each.
    fn messages<'py>(&self, py: Python<'py>) -> PyResult<Messages<'py>> {
        let columns = &self.table;
        let (out, mut others) = (PyList::empty(py), Vec::new());
        for (at, row) in self.kept().enumerate() {
            if columns.provider(row).is_some() {
                others.push((at, row));
                out.append(py.None())?;
                continue;
            }
            let message = PyDict::new(py);
            let kind = columns.kinds()[row];
            let role = match kind {
                Kind::System => intern!(py, "system"),
                Kind::Agent => intern!(py, "assistant"),
                // No role of the API fits the others: they come from the user, under a header.
                _ => intern!(py, "user"),
            };
            message.set_item(intern!(py, "role"), role)?;
            let content = &columns.contents()[row];
            if kind.is_fact() || kind == Kind::Tool {
                let text = [header(columns.label(row)), &escape(content)].concat();
                message.set_item(intern!(py, "content"), text)?;
            } else {
                message.set_item(intern!(py, "content"), content)?;
            }
            out.append(message)?;
        }
        Ok((out, others))
    }

    /// What stays in the text form.
    fn text(&self, py: Python<'_>) -> String {
        py.detach(|| self.written())
    }
}

impl Selection {
    fn written(&self) -> String {
        let columns = &self.table;
        let mut out = String::new();
        for row in self.kept() {
            if !out.is_empty() {
                out.push_str(SEPARATOR);
            }
            out.push_str(header(columns.label(row)));
            out.push_str(&escape(&body(&columns.contents()[row], columns.provider(row))));
        }
        out
    }
}

/// Id, reason, detail and tokens of a block.
type Entry<'a> = (&'a Text, Py<PyAny>, String, u32);

/// Terms, terms that were added, whether a scorer counted, the share of references, the gate.
type Evidence<'a> = (&'a [String], &'a [String], bool, Option<f64>, f64);

/// Messages, and the place and row of those that are left to others.
type Messages<'py> = (Bound<'py, PyList>, Vec<(usize, usize)>);
