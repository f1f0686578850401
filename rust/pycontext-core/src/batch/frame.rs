//! Arrow batches, one conversation a row: a list of messages or of blocks, of which some items go.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BooleanArray, GenericListArray, OffsetSizeTrait, RecordBatch,
    RecordBatchOptions, StructArray,
};
use arrow_buffer::{ArrowNativeType, BooleanBufferBuilder, NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field};
use arrow_select::filter::{filter, filter_record_batch};
use bumpalo::Bump;

use crate::columns::{Columns, Plain};
use crate::count::{Counter, Encoding};
use crate::error::{Error, Fault};
use crate::kind::Kind;
use crate::limits::Limits;
use crate::row::{Rare, Row};
use crate::texts;

use super::cell::{Numbers, Texts, is_null, value};
use super::job::{Job, Overflow};
use super::json::{Type, Value};
use super::message::Messages;
use super::tally::{Large, Tally};

/// A batch as it came out.
#[derive(Debug)]
pub struct Frame {
    /// The rows that stay, with the items that stay.
    pub batch: RecordBatch,
    /// What became of the conversations.
    pub tally: Tally,
    /// Rows that did not fit: the number, what is wrong, tokens needed and available.
    pub problems: Vec<(usize, String, [u64; 2])>,
}

/// Prunes the lists of a column.
///
/// # Errors
/// The column is none of lists of messages or blocks, or a row is no conversation: its number.
pub fn prune_frame(
    job: &Job,
    batch: &RecordBatch,
    column: &str,
) -> Result<Frame, (Option<usize>, Fault)> {
    let none = |rule: String| (None, Fault::new("column", &format!("'{column}'"), rule));
    let at = batch.schema().index_of(column).map_err(|_| none("is not there".to_owned()))?;
    let lists = batch.column(at);
    let mut pruned = match lists.data_type() {
        DataType::List(_) => Pruned::of(job, lists.as_list::<i32>(), &[])?,
        DataType::LargeList(_) => Pruned::of(job, lists.as_list::<i64>(), &[])?,
        other => return Err(none(format!("is {other}, not a list of structs"))),
    };
    let mut columns = batch.columns().to_vec();
    columns[at] = pruned.lists;
    let failed = |error: ArrowError| (None, Fault::new("batch", "", error.to_string()));
    let mut whole = RecordBatch::try_new(batch.schema(), columns).map_err(failed)?;
    if let Some(rows) = pruned.rows.take() {
        whole = filter_record_batch(&whole, &rows).map_err(failed)?;
    }
    Ok(Frame { batch: whole, tally: pruned.tally, problems: pruned.problems })
}

/// Fields of a message that stands in a table of its own among other columns.
const MESSAGE_FIELDS: [&str; 7] =
    ["role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal"];

/// Prunes sessions of which every item is a row; `ends` are the rows behind the last of each.
///
/// # Errors
/// The columns are those of no messages or blocks, or a session is no conversation: its number.
pub fn prune_rows(
    job: &Job,
    batch: &RecordBatch,
    ends: &[usize],
) -> Result<Frame, (Option<usize>, Fault)> {
    let items = StructArray::from(batch.clone());
    let lengths = ends.iter().scan(0, |from, end| Some(end - std::mem::replace(from, *end)));
    let field = Field::new("item", items.data_type().clone(), false);
    let offsets = OffsetBuffer::<i64>::from_lengths(lengths);
    let failed = |error: ArrowError| (None, Fault::new("batch", "", error.to_string()));
    let lists = GenericListArray::try_new(Arc::new(field), offsets, Arc::new(items), None);
    let pruned = Pruned::of(job, &lists.map_err(failed)?, &MESSAGE_FIELDS)?;
    let rows = pruned.lists.as_list::<i64>().values().as_struct().clone();
    let columns = rows.columns().to_vec();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(batch.schema(), columns, &options);
    Ok(Frame { batch: batch.map_err(failed)?, tally: pruned.tally, problems: pruned.problems })
}

/// The lists as they come out.
struct Pruned {
    lists: ArrayRef,
    /// Rows that stay, where not all do.
    rows: Option<BooleanArray>,
    tally: Tally,
    problems: Vec<(usize, String, [u64; 2])>,
}

impl Pruned {
    /// Prunes lists; of messages only `fields` are read, all of them where there are none.
    fn of<O: OffsetSizeTrait>(
        job: &Job,
        lists: &GenericListArray<O>,
        fields: &[&str],
    ) -> Result<Self, (Option<usize>, Fault)> {
        let DataType::Struct(_) = lists.value_type() else {
            let rule = format!("is a list of {}, not of structs", lists.value_type());
            return Err((None, Fault::new("column", "", rule)));
        };
        let offsets = lists.value_offsets();
        let start = offsets[0].as_usize();
        let end = offsets[lists.len()].as_usize();
        let items = lists.values().slice(start, end - start);
        let items = items.as_struct();
        let arena = Bump::new();
        let mut reader = Reader::of(items, job, &arena, fields).map_err(|fault| (None, fault))?;
        let mut columns = Columns::default();
        let mut keep = BooleanBufferBuilder::new(items.len());
        let mut rows = BooleanBufferBuilder::new(lists.len());
        let mut nulls: Option<Vec<bool>> = None;
        let mut lengths = Vec::with_capacity(lists.len());
        let (mut tally, mut problems) = (Tally::default(), Vec::new());
        let mut kept_items = 0;
        for row in 0..lists.len() {
            let from = offsets[row].as_usize() - start;
            let to = offsets[row + 1].as_usize() - start;
            if lists.is_null(row) {
                keep.append_n(to - from, false);
                rows.append(true);
                lengths.push(0);
                continue;
            }
            columns.clear();
            reader.read(from, to, &mut columns).map_err(|fault| (Some(row), fault))?;
            let chosen = job.choose(&mut columns);
            let is_whole = chosen.is_err() && job.overflow == Overflow::Keep;
            let is_written = chosen.is_ok() || is_whole;
            let [before, after] = tally.note(&columns, chosen.as_ref().ok(), is_written);
            tally.name(before, || Large {
                before,
                after,
                messages: columns.len() as u64,
                at: row as u64,
                id: String::new(),
            });
            let before_items = kept_items;
            match &chosen {
                Ok(chosen) if chosen.kept.len() < columns.len() => {
                    for reason in &chosen.reasons {
                        keep.append(reason.is_kept());
                    }
                    kept_items += chosen.kept.len();
                }
                _ => {
                    keep.append_n(to - from, is_written);
                    kept_items += if is_written { to - from } else { 0 };
                }
            }
            if let Err(Error::Budget { needed, available, .. }) = &chosen {
                tally.could_not_fit += 1;
                let said = chosen.as_ref().err().map(ToString::to_string).unwrap_or_default();
                problems.push((row, said, [*needed, *available]));
                if job.overflow == Overflow::Null {
                    let all = || (0..lists.len()).map(|row| lists.is_valid(row)).collect();
                    nulls.get_or_insert_with(all)[row] = false;
                }
            }
            rows.append(is_written || job.overflow == Overflow::Null);
            lengths.push(kept_items - before_items);
        }
        let keep = BooleanArray::new(keep.finish(), None);
        let failed = |error: ArrowError| (None, Fault::new("column", "", error.to_string()));
        let items = filter(items, &keep).map_err(failed)?;
        let field = match lists.data_type() {
            DataType::List(field) | DataType::LargeList(field) => Arc::clone(field),
            _ => return Err((None, Fault::new("column", "", "is no list"))),
        };
        let nulls =
            nulls.map_or_else(|| lists.nulls().cloned(), |valid| Some(NullBuffer::from(valid)));
        let offsets = OffsetBuffer::<O>::from_lengths(lengths);
        let lists = GenericListArray::<O>::try_new(field, offsets, items, nulls).map_err(failed)?;
        let rows = BooleanArray::new(rows.finish(), None);
        let rows = (rows.true_count() < rows.len()).then_some(rows);
        Ok(Self { lists: Arc::new(lists), rows, tally, problems })
    }
}

/// Reads the items of a list into columns.
enum Reader<'a> {
    Messages(MessageReader<'a>),
    Blocks(BlockReader<'a>),
}

impl<'a> Reader<'a> {
    fn of(
        items: &'a StructArray,
        job: &Job,
        arena: &'a Bump,
        only: &[&str],
    ) -> Result<Self, Fault> {
        if items.column_by_name("role").is_some() {
            let messages = Messages::new(arena, Some(job.encoding));
            let is_read = |name: &String| only.is_empty() || only.contains(&name.as_str());
            let fields = items.fields().iter().zip(items.columns());
            let fields =
                fields.filter(|(field, _)| is_read(field.name())).map(|(field, column)| Column {
                    name: field.name(),
                    texts: Texts::of(column.as_ref()),
                    values: column.as_ref(),
                });
            Ok(Self::Messages(MessageReader { items, fields: fields.collect(), messages, arena }))
        } else if items.column_by_name("content").is_some()
            && items.column_by_name("type").is_some()
        {
            BlockReader::of(items, Some(job.encoding), arena).map(Self::Blocks)
        } else {
            let names: Vec<_> = items.fields().iter().map(|field| field.name().as_str()).collect();
            let rule = "has neither role (messages) nor content and type (blocks)";
            Err(Fault::new("struct", &names.join(", "), rule))
        }
    }

    fn read(
        &mut self,
        from: usize,
        to: usize,
        columns: &mut Columns<&'a str>,
    ) -> Result<(), Fault> {
        match self {
            Self::Messages(reader) => reader.read_all(from, to, columns),
            Self::Blocks(reader) => reader.read_all(from, to, columns),
        }
    }
}

fn placed(list: &str, at: usize, fault: Fault) -> Fault {
    Fault { field: format!("{list}[{at}]: {}", fault.field), ..fault }
}

/// Chat messages; a field that is null is not there.
struct MessageReader<'a> {
    items: &'a StructArray,
    fields: Vec<Column<'a>>,
    messages: Messages<'a>,
    arena: &'a Bump,
}

/// A field of all messages.
struct Column<'a> {
    name: &'a str,
    texts: Option<Texts<'a>>,
    values: &'a dyn Array,
}

impl<'a> MessageReader<'a> {
    fn read_all(
        &mut self,
        from: usize,
        to: usize,
        columns: &mut Columns<&'a str>,
    ) -> Result<(), Fault> {
        self.messages.begin();
        for at in from..to {
            let read = self.read(at, at - from).and_then(|row| columns.push(row));
            read.map_err(|fault| placed("messages", at - from, fault))?;
        }
        Ok(())
    }

    fn read(&mut self, at: usize, number: usize) -> Result<Row<&'a str>, Fault> {
        if self.items.is_null(at) {
            return Err(Fault::new("message", "", "is null, not a struct"));
        }
        self.messages.fields.clear();
        for Column { name, texts, values } in &self.fields {
            let value = match texts.as_ref().and_then(|texts| texts.get(at)) {
                Some(raw) => Value { raw, kind: Type::Bare },
                None if is_null(*values, at) && *name != "content" => continue,
                None => value(*values, at, self.arena).map_err(|fault| Fault {
                    field: format!("{name}: {}", fault.field),
                    ..fault
                })?,
            };
            self.messages.fields.push((*name, value));
        }
        self.messages.read(number)
    }
}

/// Blocks, of whose fields only the content and the type have to be there.
pub(super) struct BlockReader<'a> {
    /// What counts tokens that are not given; `None` where nobody does yet.
    encoding: Option<Encoding>,
    items: &'a StructArray,
    content: Texts<'a>,
    kinds: Kinds<'a>,
    score: Option<Numbers<'a, f64>>,
    timestamp: Option<Numbers<'a, i64>>,
    count: Option<Numbers<'a, i64>>,
    id: Option<Texts<'a>>,
    references: Option<&'a dyn Array>,
    metadata: Option<&'a dyn Array>,
    /// `b0`, `b1`, ... as far as they were needed.
    names: Vec<&'a str>,
    arena: &'a Bump,
}

/// Types by name or by number.
enum Kinds<'a> {
    Names(Texts<'a>),
    Numbers(Numbers<'a, i64>),
}

impl Kinds<'_> {
    fn get(&self, at: usize) -> Result<Kind, Fault> {
        let unknown = |shown: &str| Fault::new("type", shown, "is no type of block");
        match self {
            Self::Names(names) => {
                let name = names.get(at).ok_or_else(|| unknown("null"))?;
                let kind =
                    Kind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
                kind.ok_or_else(|| unknown(&format!("'{name}'")))
            }
            Self::Numbers(numbers) => {
                let number = numbers.get(at).ok_or_else(|| unknown("null"))?;
                let kind = Kind::ALL.into_iter().find(|kind| *kind as i64 == number);
                kind.ok_or_else(|| unknown(&number.to_string()))
            }
        }
    }
}

impl<'a> BlockReader<'a> {
    pub fn of(
        items: &'a StructArray,
        encoding: Option<Encoding>,
        arena: &'a Bump,
    ) -> Result<Self, Fault> {
        let column = |name: &str| items.column_by_name(name).map(|column| &**column as &dyn Array);
        let wrong = |name: &str, array: &dyn Array, what: &str| {
            Fault::new(name, "", format!("is {}, not {what}", array.data_type()))
        };
        let texts = |name: &str| {
            let read = |array| Texts::of(array).ok_or_else(|| wrong(name, array, "utf8"));
            column(name).map(read).transpose()
        };
        let numbers = |name: &str| {
            let read =
                |array| Numbers::whole(array).ok_or_else(|| wrong(name, array, "whole numbers"));
            column(name).map(read).transpose()
        };
        let kinds =
            match column("type").map(|array| (Texts::of(array), Numbers::whole(array), array)) {
                Some((Some(names), ..)) => Kinds::Names(names),
                Some((_, Some(numbers), _)) => Kinds::Numbers(numbers),
                Some((.., array)) => return Err(wrong("type", array, "utf8 or whole numbers")),
                None => return Err(Fault::new("type", "", "is missing")),
            };
        let score = column("score").or_else(|| column("relevance_score"));
        let read = |array| Numbers::real(array).ok_or_else(|| wrong("score", array, "numbers"));
        Ok(Self {
            encoding,
            items,
            content: texts("content")?.ok_or_else(|| Fault::new("content", "", "is missing"))?,
            kinds,
            score: score.map(read).transpose()?,
            timestamp: numbers("timestamp")?,
            count: numbers("token_count")?,
            id: texts("id")?,
            references: column("references"),
            metadata: column("metadata"),
            names: Vec::new(),
            arena,
        })
    }

    fn read_all(
        &mut self,
        from: usize,
        to: usize,
        columns: &mut Columns<&'a str>,
    ) -> Result<(), Fault> {
        let is_plain = self.references.is_none() && self.metadata.is_none() && self.id.is_none();
        for at in from..to {
            let number = at - from;
            let read = if is_plain {
                // What nothing names need not be found.
                self.plain(at, number).map(|plain| columns.push_nameless(plain))
            } else {
                self.read(at, number).and_then(|row| columns.push(row))
            };
            read.map_err(|fault| placed("blocks", number, fault))?;
        }
        Ok(())
    }

    /// Whether a row says how many tokens it has.
    pub fn counts(&self) -> impl Fn(usize) -> bool + use<'a> {
        let counts = self.items.column_by_name("token_count");
        move |at| counts.is_some_and(|counts| !is_null(counts, at))
    }

    /// The metadata of a row, keys and values in turn.
    pub fn metadata(&self, at: usize) -> Result<Vec<&'a str>, Fault> {
        self.metadata.map_or(Ok(Vec::new()), |maps| metadata(maps, at))
    }

    /// The row at a place, as the block of that number; its tokens are counted where they are not given.
    pub fn read(&mut self, at: usize, number: usize) -> Result<Row<&'a str>, Fault> {
        let limits = Limits::DEFAULT;
        let Plain { mut id, content, kind, score, timestamp, tokens } = self.plain(at, number)?;
        if let Some(ids) = &self.id {
            id = ids.get(at).ok_or_else(|| Fault::new("id", "", "is null"))?;
            limits.id("id", id)?;
        }
        let references = self.references.map_or(Ok(Vec::new()), |lists| references(lists, at))?;
        limits.references(references.len())?;
        references.iter().try_for_each(|id| limits.id("reference", id))?;
        let metadata = self.metadata(at)?;
        let pairs = metadata.as_chunks().0.iter().map(|[key, value]| (*key, *value));
        limits.sizes(content, pairs)?;
        let rare = Rare::of(references, &metadata);
        let metadata = texts::Texts::default();
        Ok(Row { id, content, kind, score, timestamp, tokens, metadata, rare, extra: None })
    }

    /// The fields that every block has.
    #[inline]
    fn plain(&mut self, at: usize, number: usize) -> Result<Plain<&'a str>, Fault> {
        if self.items.is_null(at) {
            return Err(Fault::new("block", "", "is null, not a struct"));
        }
        let content = self.content.get(at);
        let content = content.ok_or_else(|| Fault::new("content", "", "is null"))?;
        Limits::DEFAULT.block(content.len())?;
        let kind = self.kinds.get(at)?;
        let score = self.score.as_ref().and_then(|scores| scores.get(at));
        let score = score.unwrap_or_else(|| kind.usual_score());
        Limits::DEFAULT.score(score)?;
        let timestamp = self.timestamp.as_ref().and_then(|times| times.get(at));
        let timestamp = timestamp.unwrap_or_else(|| i64::try_from(number).unwrap_or(i64::MAX));
        if timestamp < 0 {
            return Err(Fault::new("timestamp", &timestamp.to_string(), "is below 0"));
        }
        let tokens = match self.count.as_ref().and_then(|counts| counts.get(at)) {
            Some(count) => u32::try_from(count).map_err(|_| {
                Fault::new("token_count", &count.to_string(), "is not from 0 to 4294967295")
            })?,
            None => self.encoding.map_or(0, |encoding| encoding.count(content)),
        };
        Ok(Plain { id: self.name(number), content, kind, score, timestamp, tokens })
    }

    fn name(&mut self, number: usize) -> &'a str {
        while self.names.len() <= number {
            self.names.push(self.arena.alloc_str(&format!("b{}", self.names.len())));
        }
        self.names[number]
    }
}

/// The texts of a list in a row.
fn references<'a>(lists: &'a dyn Array, at: usize) -> Result<Vec<&'a str>, Fault> {
    let wrong = || {
        let rule = format!("are {}, not a list of utf8", lists.data_type());
        Fault::new("references", "", rule)
    };
    let (values, from, to): (&'a dyn Array, _, _) = match lists.data_type() {
        DataType::List(_) => {
            let lists = lists.as_list::<i32>();
            let offsets = lists.value_offsets();
            (lists.values(), offsets[at].as_usize(), offsets[at + 1].as_usize())
        }
        DataType::LargeList(_) => {
            let lists = lists.as_list::<i64>();
            let offsets = lists.value_offsets();
            (lists.values(), offsets[at].as_usize(), offsets[at + 1].as_usize())
        }
        DataType::Null => return Ok(Vec::new()),
        _ => return Err(wrong()),
    };
    if lists.is_null(at) || from == to {
        return Ok(Vec::new());
    }
    let texts = Texts::of(values).ok_or_else(wrong)?;
    let null = || Fault::new("reference", "", "is null");
    (from..to).map(|at| texts.get(at).ok_or_else(null)).collect()
}

/// The keys and values of a map, or of a struct of texts, in a row, in turn.
fn metadata(maps: &dyn Array, at: usize) -> Result<Vec<&str>, Fault> {
    let wrong = || {
        let rule = format!("is {}, not a map or a struct of utf8", maps.data_type());
        Fault::new("metadata", "", rule)
    };
    let mut found = Vec::new();
    match maps.data_type() {
        _ if maps.is_null(at) => {}
        DataType::Null => {}
        DataType::Map(..) => {
            let map = maps.as_map();
            let offsets = map.value_offsets();
            let keys = Texts::of(map.keys().as_ref()).ok_or_else(wrong)?;
            let values = Texts::of(map.values().as_ref()).ok_or_else(wrong)?;
            for at in offsets[at].as_usize()..offsets[at + 1].as_usize() {
                let null = || Fault::new("metadata", "", "has a null");
                found.extend([keys.get(at).ok_or_else(null)?, values.get(at).ok_or_else(null)?]);
            }
        }
        DataType::Struct(_) => {
            let object = maps.as_struct();
            for (field, column) in object.fields().iter().zip(object.columns()) {
                if !column.is_null(at) {
                    let value = Texts::of(column.as_ref()).ok_or_else(wrong)?.get(at);
                    found.extend([field.name().as_str(), value.unwrap_or_default()]);
                }
            }
        }
        _ => return Err(wrong()),
    }
    Ok(found)
}
