//! Arrow batches of conversations, from whatever library has them and back to it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchReader, StructArray};
use arrow_schema::{ArrowError, Field, FieldRef, SchemaRef};
use pycontext_core::batch::{Frame, Sorted, prune_frame};
use pycontext_core::draft::Draft;
use pycontext_core::error::Fault;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PyIterator, PyTuple};
use pyo3_arrow::PyRecordBatchReader;
use pyo3_arrow::ffi::{
    ArrayIterator, to_array_pycapsules, to_schema_pycapsule, to_stream_pycapsule,
};
use pyo3_arrow::input::AnyRecordBatch;

use crate::columns::Columns;
use crate::error::refuse;
use crate::job::{Job, sums};
use crate::rows::Rows;

/// A batch, which any library of Arrow can take.
#[derive(Debug)]
#[pyclass(frozen, module = "pycontext._core")]
pub struct Batch {
    core: RecordBatch,
}

#[pymethods]
impl Batch {
    /// Rows.
    fn __len__(&self) -> usize {
        self.core.num_rows()
    }

    /// Bytes that the arrays take, shared ones too.
    #[getter]
    fn nbytes(&self) -> usize {
        self.core.get_array_memory_size()
    }

    /// The schema by the Arrow C interface.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        Ok(to_schema_pycapsule(py, self.core.schema().as_ref())?)
    }

    /// The rows by the Arrow C interface.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let (rows, field) = self.rows();
        Ok(to_array_pycapsules(py, field, &rows, requested_schema)?)
    }

    /// The rows as a stream of one batch by the Arrow C interface.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyCapsule>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let (rows, field) = self.rows();
        let rows: ArrayRef = Arc::new(rows);
        let stream = ArrayIterator::new([Ok(rows)], field);
        Ok(to_stream_pycapsule(py, Box::new(stream), requested_schema)?)
    }
}

impl Batch {
    /// The rows as an array of structs, and what it is called.
    fn rows(&self) -> (StructArray, FieldRef) {
        let schema = self.core.schema();
        let field = Field::new_struct("", schema.fields().clone(), false);
        let field = field.with_metadata(schema.metadata().clone());
        (StructArray::from(self.core.clone()), Arc::new(field))
    }
}

/// Batches of at most so many rows, read when they are asked for.
#[pyclass(frozen, module = "pycontext._core")]
pub struct Batches {
    source: Mutex<Source>,
    schema: SchemaRef,
    most: usize,
}

impl std::fmt::Debug for Batches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batches of {}", self.schema)
    }
}

struct Source {
    reader: Box<dyn RecordBatchReader + Send>,
    parts: VecDeque<RecordBatch>,
}

#[pymethods]
impl Batches {
    /// The batches of whatever has them by the Arrow C interface.
    #[new]
    fn new(source: AnyRecordBatch, most: usize) -> PyResult<Self> {
        let reader = source.into_reader()?;
        let schema = reader.schema();
        let source = Mutex::new(Source { reader, parts: VecDeque::new() });
        Ok(Self { source, schema, most: most.max(1) })
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Batch>> {
        let read = py.detach(|| self.lock().next(self.most));
        read.map(|batch| batch.map(|core| Batch { core })).map_err(|error| failed(py, &error))
    }

    /// The schema by the Arrow C interface.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        Ok(to_schema_pycapsule(py, self.schema.as_ref())?)
    }

    /// What an iterator of batches yields, as a stream with this schema.
    fn stream(&self, batches: Bound<'_, PyIterator>) -> PyRecordBatchReader {
        let yielded = Yielded { schema: self.schema.clone(), batches: batches.unbind() };
        PyRecordBatchReader::new(Box::new(yielded))
    }
}

impl Batches {
    fn lock(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn next(&mut self, most: usize) -> Result<Option<RecordBatch>, ArrowError> {
        while self.parts.is_empty() {
            let Some(batch) = self.reader.next().transpose()? else { return Ok(None) };
            let rows = batch.num_rows();
            let part = |start| batch.slice(start, most.min(rows - start));
            self.parts.extend((0..rows).step_by(most).map(part));
        }
        Ok(self.parts.pop_front())
    }
}

/// Batches that Python yields, for a library that asks for them without it.
struct Yielded {
    schema: SchemaRef,
    batches: Py<PyIterator>,
}

impl Iterator for Yielded {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        Python::attach(|py| {
            let batch = self.batches.bind(py).clone().next()?;
            let read = batch.and_then(|batch| Ok(batch.cast_into::<Batch>()?.get().core.clone()));
            Some(read.map_err(|error| ArrowError::ExternalError(Box::new(error))))
        })
    }
}

impl RecordBatchReader for Yielded {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }
}

/// Rows that did not fit: the number, what is wrong, tokens needed and available.
type Problem = (usize, String, [u64; 2]);

/// A batch that came out, the sums, and what did not fit.
type Out<'py> = (Batch, Bound<'py, PyDict>, Vec<Problem>);

fn out(py: Python<'_>, frame: Frame) -> PyResult<Out<'_>> {
    let sums = sums(py, &frame.tally)?;
    Ok((Batch { core: frame.batch }, sums, frame.problems))
}

fn failed(py: Python<'_>, error: &ArrowError) -> PyErr {
    refuse(py, Fault::new("batch", "", error.to_string()))
}

/// The exception for a fault of a row, which is the `first` + n-th of all.
fn raised(py: Python<'_>, what: &str, first: usize, (row, fault): (Option<usize>, Fault)) -> PyErr {
    let placed = match row {
        Some(row) => Fault { field: format!("{what} {}: {}", first + row, fault.field), ..fault },
        None => fault,
    };
    refuse(py, placed)
}

/// Prune the conversations in a column of a batch, whose first row has the number `first`.
#[pyfunction]
pub fn prune_batch<'py>(
    py: Python<'py>,
    job: &Job,
    batch: &Batch,
    column: &str,
    first: usize,
) -> PyResult<Out<'py>> {
    let pruned = py.detach(|| prune_frame(&job.core, &batch.core, column));
    out(py, pruned.map_err(|wrong| raised(py, "row", first, wrong))?)
}

/// Prunes rows that are sorted by session.
#[derive(Debug)]
#[pyclass(frozen, module = "pycontext._core")]
pub struct Sessions {
    core: Mutex<(Sorted, usize)>,
}

#[pymethods]
impl Sessions {
    /// No session yet; `column` has their keys.
    #[new]
    fn new(column: &str) -> Self {
        Self { core: Mutex::new((Sorted::new(column), 0)) }
    }

    /// Prune the sessions that end in a batch; None for the end of all.
    fn push<'py>(
        &self,
        py: Python<'py>,
        job: &Job,
        batch: Option<&Batch>,
    ) -> PyResult<Option<Out<'py>>> {
        let (pruned, first) = py.detach(|| {
            let mut guard = self.core.lock().unwrap_or_else(PoisonError::into_inner);
            let (sorted, sessions) = &mut *guard;
            let first = *sessions;
            let pruned = match batch {
                Some(batch) => sorted.push(&job.core, &batch.core),
                None => sorted.finish(&job.core),
            };
            if let Ok(Some(frame)) = &pruned {
                *sessions += usize::try_from(frame.tally.conversations).unwrap_or_default();
            }
            (pruned, first)
        });
        let frame = pruned.map_err(|wrong| raised(py, "session", first, wrong))?;
        frame.map(|frame| out(py, frame)).transpose()
    }
}

/// The blocks of a table, one block a row; uncounted ones wait for it.
#[pyfunction]
pub fn read_blocks(py: Python<'_>, source: AnyRecordBatch) -> PyResult<Rows> {
    let reader = source.into_reader()?;
    let draft = py.detach(|| {
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(Err)?;
        let read: Result<Draft<_>, _> = pycontext_core::batch::read_blocks(&batches);
        read.map_err(Ok)
    });
    draft.map(Rows::of).map_err(|wrong| match wrong {
        Ok(wrong) => raised(py, "row", 0, wrong),
        Err(error) => failed(py, &error),
    })
}

/// All blocks as a table, one block a row.
#[pyfunction]
pub fn write_blocks(py: Python<'_>, columns: &Columns) -> PyResult<Batch> {
    let table = columns.table(py);
    let written = py.detach(|| pycontext_core::batch::write_blocks(&table));
    written.map(|core| Batch { core }).map_err(|error| failed(py, &error))
}
