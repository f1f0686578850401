//! Rows that are sorted by session: where each session ends, and what waits for the batches to come.

use std::cmp::Ordering;

use arrow_array::{Array, RecordBatch};
use arrow_schema::ArrowError;
use arrow_select::concat::concat_batches;

use crate::error::Fault;

use super::cell::{Numbers, Texts};
use super::frame::{Frame, prune_rows};
use super::job::Job;

/// The key of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Key {
    Text(String),
    Number(i64),
}

impl Key {
    fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("'{text}'"),
            Self::Number(number) => number.to_string(),
        }
    }
}

/// The session that is open at the border of two batches.
#[derive(Debug)]
pub struct Sorted {
    column: String,
    /// Its rows so far, which may be parts of many batches.
    open: Vec<RecordBatch>,
    key: Option<Key>,
    /// Rows that came so far.
    rows: usize,
}

/// What failed: the session by its number in what was pruned, and why.
type Wrong = (Option<usize>, Fault);

impl Sorted {
    /// No session yet; `column` has their keys.
    #[must_use]
    pub fn new(column: &str) -> Self {
        Self { column: column.to_owned(), open: Vec::new(), key: None, rows: 0 }
    }

    /// Prunes the sessions that end in a batch; the last one waits for the next.
    ///
    /// # Errors
    /// The column is not there or has a null, a session comes after one that it should come before, or is no
    /// conversation.
    pub fn push(&mut self, job: &Job, batch: &RecordBatch) -> Result<Option<Frame>, Wrong> {
        let none = |rule: &str| (None, Fault::new("session", &format!("'{}'", self.column), rule));
        let at = batch.schema().index_of(&self.column).map_err(|_| none("is not a column"))?;
        let keys = batch.column(at);
        let keys = match (Texts::of(keys.as_ref()), Numbers::whole(keys.as_ref())) {
            (Some(texts), _) => Keys::Texts(texts),
            (_, Some(numbers)) => Keys::Numbers(numbers),
            _ => {
                let rule = format!("is {}, not utf8 or whole numbers", keys.data_type());
                return Err(none(&rule));
            }
        };
        // Where sessions begin in this batch.
        let mut starts = Vec::new();
        for row in 0..batch.num_rows() {
            let number = self.rows + row;
            match keys.compare(row, self.key.as_ref()) {
                Some(Ordering::Equal) => {}
                Some(Ordering::Greater) => {
                    starts.push(row);
                    self.key = keys.get(row);
                }
                Some(Ordering::Less) => {
                    let (key, before) = (keys.get(row), self.key.as_ref());
                    let [key, before] = [key.as_ref(), before].map(|key| key.map(Key::shown));
                    let rule = format!(
                        "at row {number} comes after {}: the input is not sorted by {}",
                        before.unwrap_or_default(),
                        self.column
                    );
                    return Err((None, Fault::new("session", &key.unwrap_or_default(), rule)));
                }
                None => {
                    let rule = format!("is null at row {number}");
                    return Err(none(&rule));
                }
            }
        }
        self.rows += batch.num_rows();
        let Some(&last) = starts.last() else {
            self.open.push(batch.clone());
            return Ok(None);
        };
        let carried: usize = self.open.iter().map(RecordBatch::num_rows).sum();
        self.open.push(batch.slice(0, last));
        let closed = self.whole()?;
        self.open = vec![batch.slice(last, batch.num_rows() - last)];
        let ends: Vec<_> = starts.iter().map(|row| carried + row).filter(|end| *end > 0).collect();
        if ends.is_empty() {
            return Ok(None);
        }
        prune_rows(job, &closed, &ends).map(Some)
    }

    /// Prunes the session that is open.
    ///
    /// # Errors
    /// It is no conversation.
    pub fn finish(&mut self, job: &Job) -> Result<Option<Frame>, Wrong> {
        if self.open.is_empty() {
            return Ok(None);
        }
        let last = self.whole()?;
        self.open.clear();
        prune_rows(job, &last, &[last.num_rows()]).map(Some)
    }

    fn whole(&self) -> Result<RecordBatch, Wrong> {
        let failed = |error: ArrowError| (None, Fault::new("batch", "", error.to_string()));
        let schema = self.open[0].schema();
        concat_batches(&schema, &self.open).map_err(failed)
    }
}

/// The keys of a batch.
enum Keys<'a> {
    Texts(Texts<'a>),
    Numbers(Numbers<'a, i64>),
}

impl Keys<'_> {
    fn get(&self, row: usize) -> Option<Key> {
        match self {
            Self::Texts(texts) => texts.get(row).map(|text| Key::Text(text.to_owned())),
            Self::Numbers(numbers) => numbers.get(row).map(Key::Number),
        }
    }

    /// How a row stands to the key before it, `None` where it is null.
    fn compare(&self, row: usize, before: Option<&Key>) -> Option<Ordering> {
        Some(match (self, before) {
            (Self::Texts(texts), Some(Key::Text(before))) => texts.get(row)?.cmp(before),
            (Self::Numbers(numbers), Some(Key::Number(before))) => numbers.get(row)?.cmp(before),
            _ => self.get(row).map(|_| Ordering::Greater)?,
        })
    }
}
