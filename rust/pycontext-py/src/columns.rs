//! The columns behind a `BlockSet`.

use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pycontext_core::cost::Render;
use pycontext_core::count::{Counter, Encoding};
use pycontext_core::error::Fault;
use pycontext_core::index::Index;
use pycontext_core::kind::Kind;
use pycontext_core::limits::Limits;
use pycontext_core::near::Near;
use pycontext_core::row::Row;
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::batch::{self, Numbers};
use crate::block::{Fields, RawFields, placed, read};
use crate::chat::Reader;
use crate::count;
use crate::error::{fenced, raise, refuse};
use crate::field::{self, backed};
use crate::rows::Rows;
use crate::state::State;
use crate::table::{Table, copied, fields, is_same, release};
use crate::text::Text;

/// Blocks from which it pays to let other threads run.
pub const DETACH_BLOCKS: usize = 500;

/// Blocks as columns; `BlockSet` of the package is the face of it.
///
/// The lock is taken while attached, and a thread that waits for it lets the interpreter go: one that works detached
/// can always come back and finish.
#[derive(Debug)]
#[pyclass(frozen, module = "pycontext._core")]
pub struct Columns {
    state: Mutex<State>,
    /// `None` when a plug-in counts: then the counts come with the blocks.
    pub encoding: Option<Encoding>,
    /// Name of the counter: its own counts are believed.
    counter: String,
}

impl Columns {
    /// The blocks, for as long as the guard lives.
    pub fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        // A poisoned lock means a panic between two writes, which the core does not do: go on with what there is.
        let locked = self.state.lock_py_attached(py);
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    /// The blocks, to change what they say.
    ///
    /// # Errors
    /// The session goes on under another owner.
    pub fn open(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, State>> {
        let state = self.lock(py);
        match &state.fence {
            Some(fence) => {
                let fence = fence.clone();
                // To make the exception may run anybody's code.
                drop(state);
                Err(fenced(py, &fence))
            }
            None => Ok(state),
        }
    }

    /// The table as it is now. Python objects are made from this and never under the lock: to make one may start the
    /// garbage collector, which may run a `__del__` that asks this very set.
    pub fn table(&self, py: Python<'_>) -> Arc<Table> {
        Arc::clone(&self.lock(py).table)
    }

    /// The table as the kernel wants it: with its units and its costs of a rendering, and the index of its words where
    /// that is needed.
    pub fn ready(
        &self,
        py: Python<'_>,
        render: Option<Render>,
        needs_index: bool,
    ) -> Result<(Arc<Table>, Option<Arc<Index>>), Fault> {
        let mut state = self.lock(py);
        if state.table.units().is_none() {
            let columns = state.change();
            py.detach(|| columns.settle());
        }
        Self::priced(py, &mut state, self.encoding, render)?;
        let index = needs_index.then(|| {
            let state = &mut *state;
            py.detach(|| state.index())
        });
        Ok((Arc::clone(&state.table), index))
    }

    /// What the facts say, to be compared.
    pub fn near(&self, py: Python<'_>) -> Arc<Near> {
        let mut state = self.lock(py);
        let state = &mut *state;
        py.detach(|| state.near())
    }

    /// The table as it is now, with its costs of a rendering; its units may be stale.
    pub fn with_costs(&self, py: Python<'_>, render: Render) -> Result<Arc<Table>, Fault> {
        let mut state = self.lock(py);
        Self::priced(py, &mut state, self.encoding, Some(render))?;
        Ok(Arc::clone(&state.table))
    }

    fn priced(
        py: Python<'_>,
        state: &mut State,
        encoding: Option<Encoding>,
        render: Option<Render>,
    ) -> Result<(), Fault> {
        if let Some(render) = render.filter(|render| !state.table.has_costs(*render)) {
            let rule = || format!("of {} are not counted", render.name());
            let encoding = encoding.ok_or_else(|| Fault::new("costs", "", rule()))?;
            let columns = state.change();
            py.detach(|| columns.fill_costs(render, &encoding));
        }
        Ok(())
    }

    /// Appends rows, all or none; other threads run while many are noted.
    fn add(
        &self,
        py: Python<'_>,
        rows: impl ExactSizeIterator<Item = Row<Text>> + Send,
    ) -> PyResult<()> {
        let mut state = self.open(py)?;
        let table = state.change();
        let many = rows.len() >= DETACH_BLOCKS;
        let added = if many { py.detach(|| table.extend(rows)) } else { table.extend(rows) };
        drop(state);
        added.map_err(|(row, fault)| raise(py, &fault.at(Some(row), None)))
    }

    /// Tokens of blocks: what they say themselves, where that can be believed, else counted; `plugged` has the
    /// counts of a plug-in.
    fn tokens(
        &self,
        py: Python<'_>,
        blocks: &[Fields],
        plugged: Option<&[u32]>,
    ) -> PyResult<Vec<u32>> {
        let known = blocks.iter().enumerate().map(|(i, block)| {
            let counted = || plugged.and_then(|counts| counts.get(i).copied());
            block.tokens(&self.counter).or_else(counted)
        });
        let known: Vec<Option<u32>> = known.collect();
        let Some(encoding) = self.encoding else {
            let all: Option<Vec<u32>> = known.into_iter().collect();
            let fault = || Fault::new("token_count", "", "is not counted by the plug-in");
            return all.ok_or_else(|| refuse(py, fault()));
        };
        let missing = || blocks.iter().zip(&known).filter(|(_, known)| known.is_none());
        let bytes = missing().map(|(block, _)| block.content.len()).sum();
        Ok(count::detached(py, bytes, || {
            let count = |(block, known): (&Fields, &Option<u32>)| {
                known.unwrap_or_else(|| encoding.count(&block.content))
            };
            blocks.iter().zip(&known).map(count).collect()
        }))
    }
}

impl Drop for Columns {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        release(std::mem::take(&mut state.table));
    }
}

#[pymethods]
impl Columns {
    /// Empty columns for the counter of that name, which is `encoding`, or a plug-in when that is None.
    #[new]
    fn new(encoding: Option<Bound<'_, PyAny>>, counter: String) -> PyResult<Self> {
        let encoding = encoding.map(|name| count::encoding(&name)).transpose()?;
        Ok(Self { state: Mutex::default(), encoding, counter })
    }

    /// Columns of their own with the same blocks, which are copied when one of the two is first written to; `is_indexed`
    /// has the words read before, so that they are read once.
    #[pyo3(signature = (is_indexed = false))]
    fn snapshot(&self, py: Python<'_>, is_indexed: bool) -> Self {
        let mut state = self.lock(py);
        if is_indexed {
            let state = &mut *state;
            py.detach(|| state.index());
        }
        let state = Mutex::new(state.shared());
        Self { state, encoding: self.encoding, counter: self.counter.clone() }
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.lock(py).table.len()
    }

    /// Append one block given by its fields.
    #[expect(clippy::too_many_arguments, reason = "the fields of a block")]
    fn append(
        &self,
        id: Bound<'_, PyAny>,
        content: Bound<'_, PyAny>,
        relevance_score: Bound<'_, PyAny>,
        r#type: Bound<'_, PyAny>,
        metadata: Bound<'_, PyAny>,
        timestamp: Bound<'_, PyAny>,
        token_count: Bound<'_, PyAny>,
        references: Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let py = id.py();
        let fields = RawFields {
            id,
            content,
            score: relevance_score,
            kind: r#type,
            metadata,
            timestamp,
            count: token_count,
            references,
            origin: None,
        };
        let failed = |fault: Fault| raise(py, &placed(fault, None, &fields.id));
        let checked = fields.check()?.map_err(failed)?;
        let tokens = self.tokens(py, slice::from_ref(&checked), None)?[0];
        let added = self.open(py)?.change().push(checked.into_row(tokens));
        added.map_err(failed)
    }

    /// Append blocks, all or none; `counts` has their tokens where a plug-in counts.
    #[pyo3(signature = (blocks, counts = None))]
    fn extend(&self, blocks: &Bound<'_, PyList>, counts: Option<Vec<u32>>) -> PyResult<()> {
        let py = blocks.py();
        // Not collected: the fields are large, and a vector that grows would copy them.
        let mut fields = Vec::with_capacity(blocks.len());
        for (i, block) in blocks.iter().enumerate() {
            fields.push(read(&block, Some(i))?);
        }
        let tokens = self.tokens(py, &fields, counts.as_deref())?;
        self.add(py, fields.into_iter().zip(tokens).map(|(fields, tokens)| fields.into_row(tokens)))
    }

    /// Append blocks given by their columns, all or none; `ids` are `b0`, `b1`, ... after the blocks that there are,
    /// where there are none.
    #[expect(clippy::too_many_arguments, reason = "the columns of a set")]
    fn extend_columns(
        &self,
        contents: &Bound<'_, PyList>,
        types: &Bound<'_, PyList>,
        scores: Numbers<'_, f64>,
        timestamps: Numbers<'_, i64>,
        ids: Option<&Bound<'_, PyList>>,
        counts: Option<Numbers<'_, i64>>,
        references: Option<&Bound<'_, PyList>>,
        metadata: Option<&Bound<'_, PyList>>,
    ) -> PyResult<()> {
        let py = contents.py();
        let (scores, timestamps, counts) = (&scores, &timestamps, counts.as_ref());
        let columns = batch::Columns {
            contents,
            types,
            scores,
            timestamps,
            ids,
            counts,
            references,
            metadata,
        };
        let failed = |(row, fault): (usize, Fault)| raise(py, &fault.at(Some(row), None));
        let fields = columns.read(py, self.table(py).len())?.map_err(failed)?;
        let tokens = self.tokens(py, &fields, None)?;
        self.add(py, fields.into_iter().zip(tokens).map(|(fields, tokens)| fields.into_row(tokens)))
    }

    /// Append chat messages, the first of which has the number `start`, all or none; `tied` has references by number.
    /// False where a message has a shape that is not known here, or is outside a limit: then nothing was appended.
    fn extend_chat(
        &self,
        messages: &Bound<'_, PyList>,
        start: usize,
        tied: &Bound<'_, PyDict>,
    ) -> PyResult<bool> {
        let py = messages.py();
        let Some(fields) = Reader::new(start, tied).read(messages) else { return Ok(false) };
        let tokens = self.tokens(py, &fields, None)?;
        let rows = fields.into_iter().zip(tokens);
        self.add(py, rows.map(|(fields, tokens)| fields.into_row(tokens)))?;
        Ok(true)
    }

    /// Take blocks that were decoded in the place of all; `counts` has the tokens of those that have none, where a
    /// plug-in counts.
    #[pyo3(signature = (rows, counts = None))]
    fn load(&self, py: Python<'_>, rows: &Rows, counts: Option<Vec<u32>>) -> PyResult<()> {
        let mut blocks = rows.take();
        let mut plugged = counts.into_iter().flatten();
        let encoding = self.encoding;
        let read = py.detach(|| {
            let counted = blocks.count(|text| {
                encoding.map(|encoding| encoding.count(text)).or_else(|| plugged.next())
            });
            counted.then(|| blocks.finish())
        });
        let Some(read) = read else {
            let fault = Fault::new("token_count", "", "is not counted by the plug-in");
            return Err(refuse(py, fault));
        };
        let table = read.map_err(|(row, fault)| raise(py, &fault.at(Some(row), None)))?;
        let before = std::mem::replace(&mut *self.open(py)?, State::of(Arc::new(table)));
        // Freed without the lock: that may run anybody's code.
        drop(before);
        Ok(())
    }

    /// Append copies of all blocks of another set that counts alike, all or none.
    fn join(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        let table = other.table(py);
        // Copied before other threads run: a str of Python's is copied by whoever has the interpreter.
        let rows: Vec<_> = (0..table.len()).map(|row| copied(&table, row)).collect();
        self.add(py, rows.into_iter())
    }

    /// Have the blocks that another set has, in the place of all.
    fn become_like(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        let state = State::of(other.table(py));
        let before = std::mem::replace(&mut *self.open(py)?, state);
        // Freed without the lock: that may run anybody's code.
        drop(before);
        Ok(())
    }

    /// Say of all blocks whom they came from, and forget their fields that this version does not know.
    fn set_origin(&self, py: Python<'_>, origin: &Bound<'_, PyAny>) -> PyResult<()> {
        let origin = field::origin(Some(origin), &Limits::DEFAULT);
        let origin = origin.map_err(|fault| refuse(py, fault))?;
        self.open(py)?.change().set_origin(origin.as_ref());
        Ok(())
    }

    /// Let nothing change any more; `reason` is what a change is answered with.
    fn fence(&self, py: Python<'_>, reason: String) {
        self.lock(py).fence = Some(reason);
    }

    /// What a change is answered with, None where changes are let in.
    fn fenced(&self, py: Python<'_>) -> Option<String> {
        self.lock(py).fence.clone()
    }

    /// Whether the blocks came from more than one: each origin is one, and one's own another.
    fn is_mixed(&self, py: Python<'_>) -> bool {
        let table = self.table(py);
        (1..table.len()).any(|row| table.origin(row) != table.origin(0))
    }

    /// Rows that make calls, with the name of each tool and the arguments.
    fn calls(&self, py: Python<'_>) -> Vec<(usize, Vec<(String, String)>)> {
        let table = self.table(py);
        let calls = |row: usize| {
            let calls = table.provider(row).map_or(&[][..], |provider| &provider.calls);
            calls.iter().map(|call| (call.name.clone(), call.arguments.clone())).collect::<Vec<_>>()
        };
        let tied = table.tied().iter().map(|row| *row as usize);
        tied.map(|row| (row, calls(row))).filter(|(_, calls)| !calls.is_empty()).collect()
    }

    /// Raise unless changes are let in.
    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        self.open(py).map(drop)
    }

    /// The first row of the unit of every row.
    fn units(&self, py: Python<'_>) -> PyResult<Vec<usize>> {
        let (table, _) = self.ready(py, None, false).map_err(|fault| refuse(py, fault))?;
        Ok(table.heads())
    }

    /// The fields of a block in the order of `ContextBlock`, the type by its number.
    fn get<'py>(&self, py: Python<'py>, row: usize) -> PyResult<Bound<'py, PyTuple>> {
        let table = self.table(py);
        check_row(&table, row)?;
        fields(&table, py, row)
    }

    /// Read a block back into its row; whether it differed from what was there.
    #[pyo3(signature = (row, block, count = None))]
    fn set(&self, row: usize, block: &Bound<'_, PyAny>, count: Option<u32>) -> PyResult<bool> {
        let py = block.py();
        let fields = read(block, None)?;
        let plugged = count.as_slice();
        let tokens = self.tokens(py, slice::from_ref(&fields), Some(plugged))?[0];
        let table = self.table(py);
        check_row(&table, row)?;
        if table.tokens()[row] == tokens && is_same(&table, row, &fields) {
            return Ok(false);
        }
        // Else what follows would copy it.
        drop(table);
        let id = fields.id.clone();
        let set = self.open(py)?.set(row, fields.into_row(tokens));
        set.map_err(|fault| raise(py, &fault.at(None, Some(&id))))?;
        Ok(true)
    }

    /// Drop rows.
    fn remove(&self, py: Python<'_>, rows: Vec<usize>) -> PyResult<()> {
        let mut state = self.open(py)?;
        let mut keep = vec![true; state.table.len()];
        for row in rows {
            if let Some(flag) = keep.get_mut(row) {
                *flag = false;
            }
        }
        state.retain(&keep);
        Ok(())
    }

    /// Give back the room that is kept for blocks to come; nothing where a selection shares the blocks.
    fn shrink(&self, py: Python<'_>) {
        let mut state = self.lock(py);
        let state = &mut *state;
        py.detach(|| state.shrink());
    }

    /// The row of that id, or None, also for what cannot be an id.
    fn find(&self, id: &Bound<'_, PyAny>) -> Option<usize> {
        let id = backed(id, "id").ok().map(|text| (id.py(), text));
        id.and_then(|(py, id)| self.lock(py).table.find(&id))
    }

    /// Tokens of the contents by type, in the order of the types' numbers.
    fn type_tokens(&self, py: Python<'_>) -> [u64; Kind::ALL.len()] {
        self.lock(py).table.type_tokens()
    }
}

fn check_row(table: &Table, row: usize) -> PyResult<()> {
    let n = table.len();
    if row < n {
        Ok(())
    } else {
        let message = format!("row {row} is not below {n}");
        Err(PyIndexError::new_err(message))
    }
}
