//! Blocks as columns.

mod memory;
mod part;

use std::hash::BuildHasher;

use hashbrown::hash_table::Entry;
use hashbrown::{DefaultHashBuilder, HashSet, HashTable};

use crate::cost::{Cost, CostColumn, Render, Tails, cost};
use crate::count::Counter;
use crate::error::Fault;
use crate::kind::Kind;
use crate::limits::Limits;
use crate::policy::References;
use crate::provider::{Call, Provider};
use crate::render::Label;
use crate::row::{Extra, Rare, Row, read};
use crate::slice::Slice;
use crate::texts::Texts;
use crate::twin::Twins;
use crate::unit::Units;

pub use part::Part;

/// A set of blocks, a vector for each field.
///
/// `T` holds the strings: the Python binding fills it with Python's own.
#[derive(Debug, Clone)]
pub struct Columns<T> {
    id: Vec<T>,
    content: Vec<T>,
    kind: Vec<Kind>,
    score: Vec<f64>,
    timestamp: Vec<i64>,
    tokens: Vec<u32>,
    metadata: Vec<Texts<T>>,
    rare: Vec<Option<Box<Rare<T>>>>,
    extra: Vec<Option<Box<Extra<T>>>>,
    /// Rows that have rare parts, ascending.
    tied: Vec<u32>,
    /// MEMORY and KNOWLEDGE rows that say the same.
    twins: Twins,
    /// What is tied together by results, and by names.
    units: Units,
    /// Rows by the hash of their id. The seed never matters to a result.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Tokens by type: metrics cost the same for any number of blocks.
    type_tokens: [u64; Kind::ALL.len()],
    /// Costs by rendering, filled up to some row when first asked for.
    costs: [Costs; Render::ALL.len()],
}

/// The fields that every block has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plain<T> {
    pub id: T,
    pub content: T,
    pub kind: Kind,
    pub score: f64,
    pub timestamp: i64,
    pub tokens: u32,
}

#[derive(Debug, Clone)]
struct Costs {
    rows: Vec<Cost>,
    /// Rows whose block was written to since they were counted.
    stale: HashSet<usize>,
    sum: u64,
    /// Of all rows that there ever were: the kernel needs bounds.
    tails: Tails,
    /// Whether every row that there ever was is exact.
    is_exact: bool,
}

impl Default for Costs {
    fn default() -> Self {
        let tails = Tails::default();
        Self { rows: Vec::new(), stale: HashSet::new(), sum: 0, tails, is_exact: true }
    }
}

impl<T> Default for Columns<T> {
    fn default() -> Self {
        Self {
            id: Vec::new(),
            content: Vec::new(),
            kind: Vec::new(),
            score: Vec::new(),
            timestamp: Vec::new(),
            tokens: Vec::new(),
            metadata: Vec::new(),
            rare: Vec::new(),
            extra: Vec::new(),
            tied: Vec::new(),
            twins: Twins::default(),
            units: Units::default(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            type_tokens: [0; Kind::ALL.len()],
            costs: [Costs::default(), Costs::default()],
        }
    }
}

impl<T: AsRef<str>> Columns<T> {
    /// Number of blocks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.id.len()
    }

    /// Whether there is no block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.id.is_empty()
    }

    /// Ids in order.
    #[must_use]
    pub fn ids(&self) -> &[T] {
        &self.id
    }

    /// Contents in order.
    #[must_use]
    pub fn contents(&self) -> &[T] {
        &self.content
    }

    /// Types in order.
    #[must_use]
    pub fn kinds(&self) -> &[Kind] {
        &self.kind
    }

    /// Base scores in order.
    #[must_use]
    pub fn scores(&self) -> &[f64] {
        &self.score
    }

    /// Milliseconds since the epoch, in order.
    #[must_use]
    pub fn timestamps(&self) -> &[i64] {
        &self.timestamp
    }

    /// The newest timestamp, 0 where there is none.
    #[must_use]
    pub fn newest(&self) -> i64 {
        self.timestamp.iter().copied().max().unwrap_or(0)
    }

    /// Tokens of the contents alone, in order.
    #[must_use]
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens of the contents by type, in the order of `Kind::ALL`.
    #[must_use]
    pub fn type_tokens(&self) -> [u64; Kind::ALL.len()] {
        self.type_tokens
    }

    /// References of a row.
    pub fn references(&self, row: usize) -> impl Iterator<Item = &str> {
        self.rare[row].iter().flat_map(|rare| rare.references.iter())
    }

    /// Name of the unit that a row says it belongs to.
    #[must_use]
    pub fn unit(&self, row: usize) -> Option<&T> {
        self.rare(row)?.unit.as_ref()
    }

    /// Provider fields of a row.
    #[must_use]
    pub fn provider(&self, row: usize) -> Option<&Provider> {
        let provider = self.rare(row)?.provider.as_ref()?;
        Some(provider.get_or_init(|| read(self.metadata(row).pairs())))
    }

    /// Whether a row has provider fields that nobody has read.
    #[must_use]
    pub fn is_unread(&self, row: usize) -> bool {
        let provider = self.rare(row).and_then(|rare| rare.provider.as_ref());
        provider.is_some_and(|provider| provider.get().is_none())
    }

    /// Metadata of a row, keys and values in turn, in the order in which they were written.
    #[must_use]
    pub fn metadata(&self, row: usize) -> &Texts<T> {
        &self.metadata[row]
    }

    /// Whom a row came from, where it is not one's own.
    #[must_use]
    pub fn origin(&self, row: usize) -> Option<&T> {
        self.extra[row].as_ref()?.origin.as_ref()
    }

    /// What the header of a row says.
    #[must_use]
    pub fn label(&self, row: usize) -> Label {
        Label::of(self.kind[row], self.origin(row).is_some())
    }

    /// What the kernel reads and most rows lack.
    #[must_use]
    pub fn rare(&self, row: usize) -> Option<&Rare<T>> {
        self.rare[row].as_deref()
    }

    /// What only travels with a row.
    #[must_use]
    pub fn extra(&self, row: usize) -> Option<&Extra<T>> {
        self.extra[row].as_deref()
    }

    /// Whether a row has references, a named unit or provider fields.
    #[must_use]
    pub fn is_tied(&self, row: usize) -> bool {
        self.rare[row].is_some()
    }

    /// Rows that have references, a named unit or provider fields, ascending.
    #[must_use]
    pub fn tied(&self) -> &[u32] {
        &self.tied
    }

    /// The units of the rows, `None` where `settle` has to come first.
    #[must_use]
    pub fn units(&self) -> Option<&Units> {
        (!self.units.is_stale()).then_some(&self.units)
    }

    /// Reads the units anew, where a change has spoilt them.
    pub fn settle(&mut self) {
        if self.units.is_stale() {
            self.units = Units::of(self, References::Results);
        }
    }

    /// MEMORY and KNOWLEDGE rows that say what another says, each with the row that stands for the text.
    #[must_use]
    pub fn repeats(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.twins.repeats()
    }

    /// The row with that id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(id);
        let row = self.index.find(hash, |&row| self.id[row as usize].as_ref() == id)?;
        Some(*row as usize)
    }

    /// Appends a row.
    ///
    /// # Errors
    /// The id is taken; nothing was changed.
    pub fn push(&mut self, row: Row<T>) -> Result<(), Fault> {
        let at = u32::try_from(self.len()).map_err(|_| too_many())?;
        let hash = self.hasher.hash_one(row.id.as_ref());
        let id_of = |row: &u32| self.id[*row as usize].as_ref();
        let hash_of = |row: &u32| self.hasher.hash_one(id_of(row));
        match self.index.entry(hash, |other| id_of(other) == row.id.as_ref(), hash_of) {
            Entry::Occupied(taken) => {
                return Err(id_is_taken(row.id.as_ref(), *taken.get() as usize));
            }
            Entry::Vacant(free) => free.insert(at),
        };
        self.put(at, row);
        self.note(at);
        Ok(())
    }

    /// Appends a block that no other one names: it is not found by its id.
    #[inline]
    pub(crate) fn push_nameless(&mut self, row: Plain<T>) {
        let at = to_u32(self.len());
        self.id.push(row.id);
        self.type_tokens[row.kind as usize] += u64::from(row.tokens);
        self.content.push(row.content);
        self.kind.push(row.kind);
        self.score.push(row.score);
        self.timestamp.push(row.timestamp);
        self.tokens.push(row.tokens);
        self.metadata.push(Texts::default());
        self.rare.push(None);
        self.extra.push(None);
        if row.kind.is_fact() {
            self.enter_twin(at);
        }
        self.units.push_alone();
    }

    /// Appends a row that nobody can find and that is tied to nothing before `enter_all`.
    pub(crate) fn append(&mut self, row: Row<T>) {
        self.put(to_u32(self.len()), row);
    }

    /// Notes the ids of rows that were appended, and what they are tied to.
    ///
    /// # Errors
    /// The first row whose id is taken, and what is wrong: then these columns are good for nothing.
    pub(crate) fn enter_all(&mut self) -> Result<(), (usize, Fault)> {
        let rows = u32::try_from(self.len()).map_err(|_| (0, too_many()))?;
        for at in 0..rows {
            let id = self.id[at as usize].as_ref();
            let id_of = |row: &u32| self.id[*row as usize].as_ref();
            let hash_of = |row: &u32| self.hasher.hash_one(id_of(row));
            match self.index.entry(self.hasher.hash_one(id), |other| id_of(other) == id, hash_of) {
                Entry::Occupied(taken) => {
                    return Err((at as usize, id_is_taken(id, *taken.get() as usize)));
                }
                Entry::Vacant(free) => free.insert(at),
            };
            self.note(at);
        }
        Ok(())
    }

    /// Says how many tokens a row has.
    pub(crate) fn set_tokens(&mut self, row: usize, tokens: u32) {
        let sum = &mut self.type_tokens[self.kind[row] as usize];
        *sum = *sum - u64::from(self.tokens[row]) + u64::from(tokens);
        self.tokens[row] = tokens;
    }

    /// Appends the fields of a row.
    fn put(&mut self, at: u32, row: Row<T>) {
        self.id.push(row.id);
        self.type_tokens[row.kind as usize] += u64::from(row.tokens);
        self.content.push(row.content);
        self.kind.push(row.kind);
        self.score.push(row.score);
        self.timestamp.push(row.timestamp);
        self.tokens.push(row.tokens);
        self.metadata.push(row.metadata);
        if row.rare.is_some() {
            self.tied.push(at);
        }
        self.rare.push(row.rare);
        self.extra.push(row.extra);
    }

    /// Notes what a row says, and what it is tied to.
    fn note(&mut self, at: u32) {
        self.enter_twin(at);
        if !self.units.is_stale() {
            let mut units = std::mem::take(&mut self.units);
            units.push(self);
            self.units = units;
        }
    }

    /// Appends rows, all or none.
    ///
    /// # Errors
    /// The position among `rows` of the first whose id is taken, and what is wrong; nothing was changed.
    pub fn extend(
        &mut self,
        rows: impl ExactSizeIterator<Item = Row<T>>,
    ) -> Result<(), (usize, Fault)> {
        let before = self.len();
        self.reserve(rows.len());
        self.twins.reserve(rows.len());
        for (position, row) in rows.enumerate() {
            if let Err(fault) = self.push(row) {
                let keep: Vec<_> = (0..self.len()).map(|row| row < before).collect();
                self.retain(&keep);
                return Err((position, fault));
            }
        }
        Ok(())
    }

    /// Makes room for so many rows more.
    pub(crate) fn reserve(&mut self, rows: usize) {
        self.id.reserve(rows);
        self.content.reserve(rows);
        self.kind.reserve(rows);
        self.score.reserve(rows);
        self.timestamp.reserve(rows);
        self.tokens.reserve(rows);
        self.metadata.reserve(rows);
        self.rare.reserve(rows);
        self.extra.reserve(rows);
        let hash_of = |&row: &u32| self.hasher.hash_one(self.id[row as usize].as_ref());
        self.index.reserve(rows, hash_of);
        self.units.reserve(rows);
    }

    /// Puts a block in the place of another.
    ///
    /// # Errors
    /// The id is taken by a third; nothing was changed.
    pub fn set(&mut self, at: usize, row: Row<T>) -> Result<(), Fault> {
        self.check_free(row.id.as_ref(), at)?;
        let number = to_u32(at);
        self.forget_twin(number);
        let is_tied = row.rare.is_some() || self.rare[at].is_some();
        if is_tied || row.kind != self.kind[at] || row.id.as_ref() != self.id[at].as_ref() {
            self.units.spoil();
        }
        self.type_tokens[self.kind[at] as usize] -= u64::from(self.tokens[at]);
        self.type_tokens[row.kind as usize] += u64::from(row.tokens);
        if row.id.as_ref() == self.id[at].as_ref() {
            self.id[at] = row.id;
        } else {
            self.forget(at);
            self.id[at] = row.id;
            self.enter(number);
        }
        match (self.tied.binary_search(&number), row.rare.is_some()) {
            (Ok(place), false) => drop(self.tied.remove(place)),
            (Err(place), true) => self.tied.insert(place, number),
            _ => {}
        }
        self.content[at] = row.content;
        self.kind[at] = row.kind;
        self.score[at] = row.score;
        self.timestamp[at] = row.timestamp;
        self.tokens[at] = row.tokens;
        self.metadata[at] = row.metadata;
        self.rare[at] = row.rare;
        // What this version does not know is not in what was read back: it stays with the row.
        let unknown = self.extra[at].take().map_or_else(Box::default, |old| old.unknown);
        self.extra[at] = match row.extra {
            Some(new) if new.unknown.is_empty() => Extra::of(new.origin, unknown),
            None => Extra::of(None, unknown),
            new => new,
        };
        self.enter_twin(number);
        for costs in &mut self.costs {
            if at < costs.rows.len() {
                costs.stale.insert(at);
            }
        }
        Ok(())
    }

    /// Drops all rows, and keeps their room for others.
    pub(crate) fn clear(&mut self) {
        self.id.clear();
        self.content.clear();
        self.kind.clear();
        self.score.clear();
        self.timestamp.clear();
        self.tokens.clear();
        self.metadata.clear();
        self.rare.clear();
        self.extra.clear();
        self.tied.clear();
        self.twins.clear();
        self.units.clear();
        self.index.clear();
        self.type_tokens = Default::default();
        for costs in &mut self.costs {
            costs.rows.clear();
            costs.stale.clear();
            *costs = Costs { rows: std::mem::take(&mut costs.rows), ..Costs::default() };
        }
    }

    /// Drops the rows whose flag is false; `keep` has one flag a row.
    pub fn retain(&mut self, keep: &[bool]) {
        filter(&mut self.id, keep);
        filter(&mut self.content, keep);
        filter(&mut self.metadata, keep);
        filter(&mut self.rare, keep);
        filter(&mut self.extra, keep);
        self.retain_numbers(keep);
    }

    /// Puts base scores in the place of all.
    ///
    /// # Errors
    /// Not one score a row, or one outside [0, 1]: its position. Nothing was changed.
    pub fn set_scores(&mut self, scores: Vec<f64>) -> Result<(), (Option<usize>, Fault)> {
        if scores.len() != self.len() {
            let rule = format!("has {} entries for {} blocks", scores.len(), self.len());
            return Err((None, Fault::new("scores", "", rule)));
        }
        for (row, score) in scores.iter().enumerate() {
            Limits::DEFAULT.score(*score).map_err(|fault| (Some(row), fault))?;
        }
        self.score = scores;
        Ok(())
    }

    /// Says of all rows whom they came from; what only their sender knows goes.
    pub fn set_origin(&mut self, origin: Option<&T>)
    where
        T: Clone,
    {
        for extra in &mut self.extra {
            *extra = Extra::of(origin.cloned(), Box::default());
        }
        // Headers say it.
        self.costs = Default::default();
    }

    /// The first row of the unit of every row; `settle` comes first.
    #[must_use]
    pub fn heads(&self) -> Vec<usize> {
        (0..self.units.len()).map(|row| self.units.head(row)).collect()
    }

    /// Rows that reference a block which has another name now.
    pub fn referring(&self, is_named: impl Fn(&str) -> bool) -> Vec<usize> {
        let tied = self.tied.iter().map(|row| *row as usize);
        tied.filter(|row| self.references(*row).any(&is_named)).collect()
    }

    /// Lets references of rows name other blocks: `named` has for an id the one that takes its place.
    pub fn rename_references(&mut self, rows: &[usize], named: impl Fn(&str) -> Option<T>)
    where
        T: From<Slice>,
    {
        for row in rows {
            if let Some(rare) = &mut self.rare[*row] {
                rare.references.rename(&named);
            }
        }
        self.units.spoil();
    }

    /// Whether `costs` knows every row.
    #[must_use]
    pub fn has_costs(&self, render: Render) -> bool {
        let costs = &self.costs[render as usize];
        costs.rows.len() == self.len() && costs.stale.is_empty()
    }

    /// Costs of the rows, as far as `fill_costs` has come.
    #[must_use]
    pub fn costs(&self, render: Render) -> CostColumn<'_> {
        let costs = &self.costs[render as usize];
        CostColumn { rows: &costs.rows, tails: costs.tails, is_exact: costs.is_exact }
    }

    /// Tokens of the whole set as rendered; `fill_costs` comes first.
    #[must_use]
    pub fn total_cost(&self, render: Render) -> u64 {
        let costs = &self.costs[render as usize];
        let tail = costs.rows.last().map(|c| i64::from(c.tail));
        tail.map_or(0, |tail| (costs.sum + u64::from(render.fixed())).saturating_add_signed(tail))
    }

    /// Asks `counter` for every text whose count the costs of a rendering still need, and keeps nothing.
    pub fn ask_uncounted(&self, render: Render, counter: &impl Counter) {
        let costs = &self.costs[render as usize];
        let fresh = costs.rows.len()..self.len();
        for row in costs.stale.iter().copied().chain(fresh) {
            self.cost(row, render, counter);
        }
    }

    fn cost(&self, row: usize, render: Render, counter: &impl Counter) -> Cost {
        cost(
            render,
            self.label(row),
            self.content[row].as_ref(),
            self.tokens[row],
            self.provider(row),
            counter,
        )
    }

    /// Counts what the costs of a rendering still need.
    pub fn fill_costs(&mut self, render: Render, counter: &impl Counter) {
        let mut costs = std::mem::take(&mut self.costs[render as usize]);
        for row in std::mem::take(&mut costs.stale) {
            let one = self.cost(row, render, counter);
            costs.sum -= u64::from(costs.rows[row].tokens);
            costs.note(one);
            costs.rows[row] = one;
        }
        costs.rows.reserve(self.len() - costs.rows.len());
        for row in costs.rows.len()..self.len() {
            let one = self.cost(row, render, counter);
            costs.note(one);
            costs.rows.push(one);
        }
        self.costs[render as usize] = costs;
    }

    /// Notes what a MEMORY or KNOWLEDGE row says.
    fn enter_twin(&mut self, row: u32) {
        let mut twins = std::mem::take(&mut self.twins);
        let said = |row: u32| Said::of(self, row as usize);
        if let Some(this) = said(row) {
            let hash = self.hasher.hash_one(&this);
            twins.enter(row, hash, |other| said(other).as_ref() == Some(&this));
        }
        self.twins = twins;
    }

    fn forget_twin(&mut self, row: u32) {
        let hash = Said::of(self, row as usize).map(|this| self.hasher.hash_one(&this));
        if let Some(hash) = hash {
            self.twins.forget(row, hash);
        }
    }

    fn check_free(&self, id: &str, except: usize) -> Result<(), Fault> {
        match self.find(id) {
            Some(taken) if taken != except => Err(id_is_taken(id, taken)),
            _ => Ok(()),
        }
    }

    /// Notes the id of a row.
    fn enter(&mut self, row: u32) {
        let hash_of = |&row: &u32| self.hasher.hash_one(self.id[row as usize].as_ref());
        self.index.insert_unique(hash_of(&row), row, hash_of);
    }

    fn forget(&mut self, row: usize) {
        let hash = self.hasher.hash_one(self.id[row].as_ref());
        if let Ok(entry) = self.index.find_entry(hash, |&other| other as usize == row) {
            entry.remove();
        }
    }
}

/// What makes two facts the same: the type, the text, and calls, which nobody expects there.
#[derive(PartialEq, Eq, Hash)]
struct Said<'a> {
    kind: Kind,
    content: &'a str,
    calls: &'a [Call],
}

impl<'a> Said<'a> {
    /// `None` for rows that say nothing twice.
    fn of<T: AsRef<str>>(columns: &'a Columns<T>, row: usize) -> Option<Self> {
        let kind = columns.kind[row];
        if !kind.is_fact() {
            return None;
        }
        let calls = columns.provider(row).map_or(&[][..], |provider| &provider.calls);
        let content = columns.content[row].as_ref();
        Some(Self { kind, content, calls })
    }
}

impl Costs {
    /// Adds the cost of a row to the sums.
    fn note(&mut self, cost: Cost) {
        self.sum += u64::from(cost.tokens);
        self.tails.note(cost.tail);
        self.is_exact &= cost.is_exact;
    }

    fn retain(&mut self, keep: &[bool]) {
        for (cost, _) in self.rows.iter().zip(keep).filter(|(_, kept)| !**kept) {
            self.sum -= u64::from(cost.tokens);
        }
        filter(&mut self.rows, keep);
        if self.stale.is_empty() {
            return;
        }
        let stale = std::mem::take(&mut self.stale);
        let kept = (0..keep.len()).filter(|&row| keep[row]);
        self.stale =
            kept.enumerate().filter(|(_, old)| stale.contains(old)).map(|(new, _)| new).collect();
    }
}

fn too_many() -> Fault {
    Fault::new("blocks", "", "are more than 2**32 - 1")
}

fn id_is_taken(id: &str, by: usize) -> Fault {
    Fault::new("id", &format!("'{id}'"), format!("is already the id of blocks[{by}]"))
}

fn to_u32(row: usize) -> u32 {
    // `push` holds the number of rows below 2**32.
    u32::try_from(row).unwrap_or(u32::MAX)
}

/// Keeps the flagged items; `items` may be shorter than `keep`.
fn filter<V>(items: &mut Vec<V>, keep: &[bool]) {
    let mut flags = keep.iter();
    items.retain(|_| flags.next().copied().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::count::Encoding;

    fn row(id: &str, content: &str) -> Row<String> {
        Row {
            id: id.to_owned(),
            content: content.to_owned(),
            kind: Kind::User,
            score: 0.5,
            timestamp: 0,
            tokens: Encoding::O200k.count(content),
            metadata: Texts::default(),
            rare: None,
            extra: None,
        }
    }

    pub(super) fn filled(n: usize) -> Columns<String> {
        let mut columns = Columns::default();
        for i in 0..n {
            let added = columns.push(row(&format!("b{i}"), &"word ".repeat(i)));
            assert_eq!(added, Ok(()));
        }
        columns
    }

    #[test]
    fn an_id_is_found_until_it_goes() {
        let mut columns = filled(100);
        assert_eq!(columns.find("b42"), Some(42));
        let keep: Vec<_> = (0..100).map(|i| i % 2 == 0).collect();
        columns.retain(&keep);
        assert_eq!(columns.find("b42"), Some(21));
        assert_eq!(columns.find("b43"), None);
        assert!(columns.set(21, row("new", "x")).is_ok());
        assert_eq!((columns.find("b42"), columns.find("new")), (None, Some(21)));
    }

    #[test]
    fn what_is_said_twice_is_known_whatever_happens_to_the_rows() {
        let mut columns = Columns::default();
        let fact = |id: usize, text: usize, kind| Row {
            kind,
            ..row(&format!("b{id}"), &format!("fact {text}"))
        };
        // A small generator: the same steps in every run.
        let mut state = 7_usize;
        let mut draw = |below: usize| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for step in 0..2_000 {
            let kind = [Kind::Memory, Kind::Knowledge, Kind::User][draw(3)];
            let at = draw(columns.len().max(1));
            match draw(10) {
                0 if !columns.is_empty() => {
                    let keep: Vec<_> = (0..columns.len()).map(|_| draw(8) > 0).collect();
                    columns.retain(&keep);
                }
                1..4 if !columns.is_empty() => {
                    assert!(columns.set(at, fact(step, draw(5), kind)).is_ok());
                }
                _ => assert!(columns.push(fact(step, draw(5), kind)).is_ok()),
            }
            let said: Vec<_> = (0..columns.len()).map(|row| Said::of(&columns, row)).collect();
            let stands: HashMap<u32, u32> = columns.repeats().collect();
            let text_of =
                |row: usize| stands.get(&to_u32(row)).map_or(row, |first| *first as usize);
            for (a, fact) in said.iter().enumerate() {
                assert!(said[text_of(a)] == *fact, "step {step}: row {a} says something else");
                for (b, other) in said[..a].iter().enumerate() {
                    let is_same = fact.is_some() && fact == other;
                    assert_eq!(text_of(a) == text_of(b), is_same, "step {step}: rows {a} and {b}");
                }
            }
        }
    }

    #[test]
    fn a_taken_id_changes_nothing() {
        let mut columns = filled(3);
        let before = columns.type_tokens();
        assert!(columns.push(row("b1", "more")).is_err());
        assert!(columns.set(0, row("b1", "more")).is_err());
        assert_eq!((columns.len(), columns.type_tokens()), (3, before));
    }

    #[test]
    fn running_sums_follow_every_change() {
        let mut columns = filled(20);
        for render in Render::ALL {
            columns.fill_costs(render, &Encoding::O200k);
        }
        assert!(columns.set(7, row("b7", "changed")).is_ok());
        columns.retain(&(0..20).map(|i| i != 3 && i != 19).collect::<Vec<_>>());
        assert!(columns.push(row("late", "added")).is_ok());
        for render in Render::ALL {
            let mut fresh = Columns::default();
            for i in 0..columns.len() {
                assert!(fresh.push(row(&columns.id[i], &columns.content[i])).is_ok());
            }
            columns.fill_costs(render, &Encoding::O200k);
            fresh.fill_costs(render, &Encoding::O200k);
            assert_eq!(columns.total_cost(render), fresh.total_cost(render));
            assert_eq!(columns.type_tokens(), fresh.type_tokens());
        }
    }
}
