//! Blocks that live or die together.
//!
//! A TOOL block that references an AGENT block is the result of its call: the call and all its results are one
//! unit. Blocks that name the same `unit` in their metadata are one as well, and where references are required every
//! block with those that it references. Everything else is a unit of its own, and costs nothing here: only rows that
//! have something to be tied by are looked at.

use std::ops::Range;

use hashbrown::HashMap;

use crate::columns::Columns;
use crate::kind::Kind;
use crate::policy::References;

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
    /// For every row the first row of its unit; empty when every row is a unit of its own.
    head: Vec<u32>,
    /// The rows of units with several, unit by unit, ascending.
    members: Vec<u32>,
    /// The units with several rows, by head.
    groups: Vec<Group>,
    /// What is wrong, by head, with the row that shows it.
    broken: HashMap<u32, (u32, Broken)>,
    /// Head of the last unit that holds a turn and is not broken, with the row of its last turn.
    last_turn: Option<(u32, u32)>,
}

#[derive(Debug, Clone)]
struct Group {
    head: u32,
    /// In `members`.
    rows: Range<usize>,
}

impl Units {
    /// Finds the units of `columns`.
    #[must_use]
    pub fn of<T: AsRef<str>>(columns: &Columns<T>, references: References) -> Self {
        let mut ties = Ties::default();
        if !columns.tied().is_empty() {
            ties.read(columns, references);
        }
        let mut units = Self::default();
        units.gather(ties.head, ties.joined);
        for (row, what) in ties.orphans {
            units.broken.entry(to_u32(units.head(row as usize))).or_insert((row, what));
        }
        units.check_calls(columns, &ties.open_calls);
        units
    }

    /// First row of the unit of `row`.
    #[must_use]
    pub fn head(&self, row: usize) -> usize {
        self.head.get(row).map_or(row, |head| *head as usize)
    }

    /// Whether a row is a unit of its own.
    #[must_use]
    pub fn is_single(&self, row: usize) -> bool {
        let head = to_u32(self.head(row));
        self.groups.binary_search_by_key(&head, |group| group.head).is_err()
    }

    /// The units with several rows, by head, each with its rows, ascending.
    pub fn groups(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let rows = |group: &Group| &self.members[group.rows.clone()];
        self.groups.iter().map(move |group| (group.head as usize, rows(group)))
    }

    /// The rows of the unit of `row`, ascending.
    #[must_use]
    pub fn rows(&self, row: usize) -> Vec<usize> {
        let head = to_u32(self.head(row));
        match self.groups.binary_search_by_key(&head, |group| group.head) {
            Ok(at) => {
                let rows = self.members[self.groups[at].rows.clone()].iter();
                rows.map(|row| *row as usize).collect()
            }
            Err(_) => vec![row],
        }
    }

    /// The broken units: head, the row that shows it, and what is wrong.
    pub fn broken(&self) -> impl Iterator<Item = (usize, usize, Broken)> {
        self.broken.iter().map(|(head, (row, what))| (*head as usize, *row as usize, *what))
    }

    /// The last sound unit with a turn of the conversation: its head and its last turn.
    #[must_use]
    pub fn last_turn(&self) -> Option<(usize, usize)> {
        self.last_turn.map(|(head, row)| (head as usize, row as usize))
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

    /// Marks calls without all their results; at the end of the conversation they are pending.
    fn check_calls<T: AsRef<str>>(&mut self, columns: &Columns<T>, open: &[OpenCall]) {
        let kinds = columns.kinds();
        let is_sound = |row: &usize| !self.broken.contains_key(&to_u32(self.head(*row)));
        let turns = (0..columns.len()).rev().filter(|row| kinds[*row].is_turn());
        let Some(last) = turns.clone().find(is_sound) else { return };
        let head = to_u32(self.head(last));
        self.last_turn = Some((head, to_u32(last)));
        for call in open.iter().rev().filter(|call| (call.row as usize) < last) {
            let of = to_u32(self.head(call.row as usize));
            if of != head {
                self.broken
                    .entry(of)
                    .or_insert((call.row, Broken::NoResult(call.calls, call.results)));
            }
        }
    }
}

/// What ties rows together, as it is read.
#[derive(Debug, Default)]
struct Ties {
    /// For every row one of the same unit, itself where it is the first.
    head: Vec<u32>,
    /// Rows of units with several.
    joined: Vec<u32>,
    /// Rows that show what is missing.
    orphans: Vec<(u32, Broken)>,
    /// Calls with fewer results than calls, ascending.
    open_calls: Vec<OpenCall>,
}

/// An AGENT row that makes calls.
#[derive(Debug)]
struct OpenCall {
    row: u32,
    calls: u16,
    results: u16,
    /// The last result counted: one that references its call twice is one result.
    last: u32,
}

impl Ties {
    fn read<T: AsRef<str>>(&mut self, columns: &Columns<T>, references: References) {
        let mut named: HashMap<&str, u32> = HashMap::new();
        self.head = (0..to_u32(columns.len())).collect();
        // Calls first: a result may stand before its call.
        for &row in columns.tied() {
            let calls = columns.provider(row as usize).map_or(0, |provider| provider.calls.len());
            if calls > 0 && columns.kinds()[row as usize] == Kind::Agent {
                let calls = u16::try_from(calls).unwrap_or(u16::MAX);
                self.open_calls.push(OpenCall { row, calls, results: 0, last: row });
            }
        }
        for &row in columns.tied() {
            if let Some(name) = columns.unit(row as usize) {
                let first = *named.entry(name.as_ref()).or_insert(row);
                self.join(first, row);
            }
            self.read_references(columns, references, row);
        }
        self.open_calls.retain(|call| call.results < call.calls);
    }

    fn read_references<T: AsRef<str>>(
        &mut self,
        columns: &Columns<T>,
        references: References,
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
            match columns.find(reference.as_ref()) {
                Some(found) if is_result && kinds[found] == Kind::Agent => {
                    has_call = true;
                    self.answer(to_u32(found), row);
                    self.join(to_u32(found), row);
                }
                Some(found) if is_required => self.join(to_u32(found), row),
                Some(_) => {}
                None => is_missing = true,
            }
        }
        if is_missing && is_result && !has_call {
            self.orphans.push((row, Broken::NoCall));
        } else if is_missing && is_required {
            self.orphans.push((row, Broken::NoReference));
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
