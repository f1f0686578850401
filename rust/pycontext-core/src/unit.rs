//! Blocks that live or die together.
//!
//! A TOOL block that references an AGENT block is the result of its call: the call and all its results are one
//! unit. Blocks that name the same `unit` in their metadata are one as well, and where references are required every
//! block with those that it references. Everything else is a unit of its own and costs nothing here.
//!
//! Units are noted as blocks come. What a new block ties together is mostly itself and the last unit; anything else
//! (a result before its call, a named unit, a change in the middle) marks them stale, and they are read once more when
//! they are next needed.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::ops::Range;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet};

use crate::columns::Columns;
use crate::kind::Kind;
use crate::policy::References;
use crate::stored::places;

/// What is wrong with a unit that must not be sent as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A result whose call is not in the input.
    NoCall,
    /// A block that is required is not in the input.
    NoReference,
    /// A call with fewer results than calls, and turns after it: calls and results.
    NoResult(u16, u16),
}

/// The units of a set of blocks.
#[derive(Debug, Clone, Default)]
pub struct Units {
    /// For every row the first row of its unit.
    head: Vec<u32>,
    /// The rows of units with several, unit by unit, ascending.
    members: Vec<u32>,
    /// The units with several rows, by head.
    groups: Vec<Group>,
    /// Rows that show that something is not in the input.
    orphans: Vec<(u32, Broken)>,
    /// Calls with fewer results than calls, ascending.
    open_calls: Vec<OpenCall>,
    /// Hashes of ids that results reference and nobody has: such a block would tie what is there already.
    missing: HashSet<u64>,
    hasher: DefaultHashBuilder,
    is_stale: bool,
}

#[derive(Debug, Clone)]
struct Group {
    head: u32,
    /// In `members`.
    rows: Range<usize>,
}

/// An AGENT row that makes calls.
#[derive(Debug, Clone)]
struct OpenCall {
    row: u32,
    calls: u16,
    results: u16,
    /// The last result counted: one that references its call twice is one result.
    last: u32,
}

/// What is wrong with the units of a set, and which one is the last.
#[derive(Debug, Default)]
pub struct Health {
    /// By the first row of the unit: the row that shows what is wrong.
    pub broken: HashMap<usize, (usize, Broken)>,
    /// The last sound unit with a turn of the conversation: its first row and its last turn.
    pub last_turn: Option<(usize, usize)>,
}

impl Units {
    /// Finds the units of `columns`.
    #[must_use]
    pub fn of<T: AsRef<str>>(columns: &Columns<T>, references: References) -> Self {
        let mut ties = Ties { head: (0..to_u32(columns.len())).collect(), ..Ties::default() };
        let mut units = Self::default();
        if !columns.tied().is_empty() {
            ties.read(columns, references, &mut units);
        }
        units.gather(ties.head, ties.joined);
        units
    }

    /// The units of `columns`: those that it has noted, where they are what is asked for.
    #[must_use]
    pub fn known<T: AsRef<str>>(columns: &Columns<T>, references: References) -> Cow<'_, Self> {
        let noted = columns.units().filter(|_| references == References::Results);
        noted.map_or_else(|| Cow::Owned(Self::of(columns, references)), Cow::Borrowed)
    }

    /// Takes in the next row of `columns`.
    pub fn push<T: AsRef<str>>(&mut self, columns: &Columns<T>) {
        if self.is_stale {
            return;
        }
        let at = self.head.len();
        let row = to_u32(at);
        if !self.missing.is_empty() && self.missing.contains(&self.hash_of(columns, at)) {
            self.is_stale = true;
            return;
        }
        self.head.push(row);
        if !columns.is_tied(at) {
            return;
        }
        // Who makes calls is not known before the provider's fields are read: then all is read at once.
        self.is_stale |= columns.unit(at).is_some() || columns.is_unread(at);
        if self.is_stale {
            return;
        }
        self.open_calls.extend(OpenCall::of(columns, row));
        if columns.kinds()[at] != Kind::Tool {
            return;
        }
        let mut call = None;
        let mut is_missing = false;
        for reference in columns.references(at) {
            match columns.find(reference) {
                Some(found) if columns.kinds()[found] == Kind::Agent => {
                    // A result of several calls joins their units.
                    self.is_stale |= call.is_some_and(|other| other != found);
                    call = Some(found);
                    self.answer(to_u32(found), row);
                }
                Some(_) => {}
                None => {
                    is_missing = true;
                    self.missing.insert(self.hasher.hash_one(reference));
                }
            }
        }
        match call {
            Some(call) => self.append(self.head[call], row),
            None if is_missing => self.orphans.push((row, Broken::NoCall)),
            None => {}
        }
    }

    /// Takes in a row that is tied to nothing, where nothing is missing.
    #[inline]
    pub fn push_alone(&mut self) {
        self.head.push(to_u32(self.head.len()));
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.head.clear();
        self.members.clear();
        self.groups.clear();
        self.orphans.clear();
        self.open_calls.clear();
        self.missing.clear();
        self.is_stale = false;
    }

    /// Makes room for so many rows more.
    pub fn reserve(&mut self, rows: usize) {
        self.head.reserve(rows);
    }

    /// Bytes of what is noted.
    pub fn memory_bytes(&self) -> usize {
        places(&self.head)
            + places(&self.members)
            + places(&self.groups)
            + places(&self.orphans)
            + places(&self.open_calls)
            + self.missing.allocation_size()
    }

    /// Gives back the room that is kept for rows to come.
    pub fn shrink_to_fit(&mut self) {
        self.head.shrink_to_fit();
        self.members.shrink_to_fit();
        self.groups.shrink_to_fit();
        self.missing.shrink_to_fit();
    }

    /// Says that rows changed in another way.
    pub fn spoil(&mut self) {
        self.is_stale = true;
    }

    /// Whether the units are those of the rows.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.head.len()
    }

    /// First row of the unit of `row`.
    #[must_use]
    pub fn head(&self, row: usize) -> usize {
        self.head[row] as usize
    }

    /// Whether a row is a unit of its own.
    #[must_use]
    pub fn is_single(&self, row: usize) -> bool {
        self.group_of(row).is_none()
    }

    /// The units with several rows, by head, each with its rows, ascending.
    pub fn groups(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let rows = |group: &Group| &self.members[group.rows.clone()];
        self.groups.iter().map(move |group| (group.head as usize, rows(group)))
    }

    /// The place among the groups of the unit of `row`, if it has several rows.
    #[must_use]
    pub fn group_of(&self, row: usize) -> Option<usize> {
        let head = self.head[row];
        self.groups.binary_search_by_key(&head, |group| group.head).ok()
    }

    /// The rows of the unit of `row`, ascending, where it has several.
    #[must_use]
    pub fn rows_of_group(&self, row: usize) -> Option<&[u32]> {
        self.group_of(row).map(|at| &self.members[self.groups[at].rows.clone()])
    }

    /// The rows of the unit of `row`, ascending.
    #[must_use]
    pub fn rows(&self, row: usize) -> Vec<usize> {
        let rows = |at: usize| self.members[self.groups[at].rows.clone()].iter();
        self.group_of(row)
            .map_or_else(|| vec![row], |at| rows(at).map(|row| *row as usize).collect())
    }

    /// What is wrong with the units; a call without all its results is pending at the end of the conversation.
    #[must_use]
    pub fn health<T: AsRef<str>>(&self, columns: &Columns<T>) -> Health {
        let mut health = Health::default();
        for (row, what) in &self.orphans {
            let row = *row as usize;
            health.broken.entry(self.head(row)).or_insert((row, *what));
        }
        let is_sound =
            |row: usize| health.broken.is_empty() || !health.broken.contains_key(&self.head(row));
        let is_last = |row: &usize| columns.kinds()[*row].is_turn() && is_sound(*row);
        let Some(last) = (0..columns.len()).rev().find(is_last) else { return health };
        let head = self.head(last);
        health.last_turn = Some((head, last));
        for call in self.open_calls.iter().rev().filter(|call| (call.row as usize) < last) {
            let row = call.row as usize;
            if self.head(row) != head {
                let what = Broken::NoResult(call.calls, call.results);
                health.broken.entry(self.head(row)).or_insert((row, what));
            }
        }
        health
    }

    /// Puts a row that came behind all others into the unit of `head`.
    fn append(&mut self, head: u32, row: u32) {
        self.head[row as usize] = head;
        let end = self.members.len();
        match self.groups.last_mut() {
            Some(group) if group.head == head => {
                self.members.push(row);
                group.rows.end = end + 1;
            }
            Some(group) if group.head > head => self.is_stale = true,
            _ => {
                self.members.extend([head, row]);
                self.groups.push(Group { head, rows: end..end + 2 });
            }
        }
    }

    /// Notes that `row` is a result of the call in `call`.
    fn answer(&mut self, call: u32, row: u32) {
        if let Ok(at) = self.open_calls.binary_search_by_key(&call, |open| open.row) {
            let open = &mut self.open_calls[at];
            if open.last != row {
                open.results = open.results.saturating_add(1);
                open.last = row;
            }
            if open.results == open.calls {
                self.open_calls.remove(at);
            }
        }
    }

    /// Takes rows that were joined, and groups them by their heads.
    fn gather(&mut self, mut head: Vec<u32>, mut joined: Vec<u32>) {
        joined.sort_unstable();
        joined.dedup();
        for &row in &joined {
            head[row as usize] = root(&mut head, row);
        }
        joined.sort_by_key(|row| (head[*row as usize], *row));
        for (at, &row) in joined.iter().enumerate() {
            let head = head[row as usize];
            match self.groups.last_mut().filter(|group| group.head == head) {
                Some(group) => group.rows.end = at + 1,
                None => self.groups.push(Group { head, rows: at..at + 1 }),
            }
        }
        self.members = joined;
        self.head = head;
    }

    fn hash_of<T: AsRef<str>>(&self, columns: &Columns<T>, row: usize) -> u64 {
        self.hasher.hash_one(columns.ids()[row].as_ref())
    }
}

impl OpenCall {
    /// The calls of a row; none where it makes none.
    fn of<T: AsRef<str>>(columns: &Columns<T>, row: u32) -> Option<Self> {
        let calls = columns.provider(row as usize).map_or(0, |provider| provider.calls.len());
        let calls = u16::try_from(calls).unwrap_or(u16::MAX);
        let is_call = calls > 0 && columns.kinds()[row as usize] == Kind::Agent;
        is_call.then_some(Self { row, calls, results: 0, last: row })
    }
}

/// What ties the rows of a whole set together.
#[derive(Debug, Default)]
struct Ties {
    /// For every row one of the same unit, itself where it is the first.
    head: Vec<u32>,
    /// Rows of units with several.
    joined: Vec<u32>,
}

impl Ties {
    fn read<T: AsRef<str>>(
        &mut self,
        columns: &Columns<T>,
        references: References,
        units: &mut Units,
    ) {
        // Calls first: a result may stand before its call.
        units.open_calls =
            columns.tied().iter().filter_map(|row| OpenCall::of(columns, *row)).collect();
        let mut named: HashMap<&str, u32> = HashMap::new();
        for &row in columns.tied() {
            if let Some(name) = columns.unit(row as usize) {
                let first = *named.entry(name.as_ref()).or_insert(row);
                self.join(first, row);
            }
            self.read_references(columns, references, units, row);
        }
    }

    fn read_references<T: AsRef<str>>(
        &mut self,
        columns: &Columns<T>,
        references: References,
        units: &mut Units,
        row: u32,
    ) {
        let kinds = columns.kinds();
        let is_result = kinds[row as usize] == Kind::Tool;
        let is_required = references == References::Require;
        if !is_result && !is_required {
            return;
        }
        let (mut has_call, mut is_missing) = (false, false);
        for reference in columns.references(row as usize) {
            match columns.find(reference) {
                Some(found) if is_result && kinds[found] == Kind::Agent => {
                    has_call = true;
                    units.answer(to_u32(found), row);
                    self.join(to_u32(found), row);
                }
                Some(found) if is_required => self.join(to_u32(found), row),
                Some(_) => {}
                None => {
                    is_missing = true;
                    units.missing.insert(units.hasher.hash_one(reference));
                }
            }
        }
        if is_missing && is_result && !has_call {
            units.orphans.push((row, Broken::NoCall));
        } else if is_missing && is_required {
            units.orphans.push((row, Broken::NoReference));
        }
    }

    fn join(&mut self, a: u32, b: u32) {
        let (first, second) = (root(&mut self.head, a), root(&mut self.head, b));
        if first != second {
            // The smaller row is always the root, so that a unit is known by its first block.
            self.head[first.max(second) as usize] = first.min(second);
            self.joined.extend([a, b, first, second]);
        }
    }
}

/// The first row of a unit; every step halves the path for the next.
fn root(head: &mut [u32], mut row: u32) -> u32 {
    while head[row as usize] != row {
        let above = head[row as usize];
        head[row as usize] = head[above as usize];
        row = above;
    }
    row
}

fn to_u32(n: usize) -> u32 {
    // `Columns::push` holds the number of rows below 2**32.
    u32::try_from(n).unwrap_or(u32::MAX)
}
