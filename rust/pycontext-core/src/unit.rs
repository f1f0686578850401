//! Blocks that live or die together.
//!
//! A TOOL block that references an AGENT block is the result of its call: the call and all its results are one
//! unit. Blocks that name the same `unit` in their metadata are one as well. Everything else is a unit of its own.

use hashbrown::HashMap;

use crate::columns::Columns;
use crate::kind::Kind;

/// What is wrong with a unit that must not be sent as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A result whose call is not in the input.
    NoCall,
    /// A call with fewer results than calls, and turns after it: calls and results.
    NoResult(u32, u32),
}

/// The units of a set of blocks.
#[derive(Debug)]
pub struct Units {
    /// For every row the first row of its unit.
    head: Vec<u32>,
    /// Rows in the unit, by head.
    size: Vec<u32>,
    /// What is wrong, by head, with the row that shows it.
    broken: HashMap<u32, (u32, Broken)>,
    /// Head of the last unit that holds a turn and is not broken, with the row of its last turn.
    last_turn: Option<(u32, u32)>,
}

impl Units {
    /// Finds the units of `columns`.
    #[must_use]
    pub fn of<T: AsRef<str>>(columns: &Columns<T>) -> Self {
        let n = columns.len();
        let mut head: Vec<u32> = (0..to_u32(n)).collect();
        let mut results = HashMap::new();
        let mut orphans = Vec::new();
        if columns.has_ties() {
            tie(columns, &mut head, &mut results, &mut orphans);
        }
        let mut size = vec![0; n];
        for row in 0..n {
            head[row] = root(&mut head, to_u32(row));
            size[head[row] as usize] += 1;
        }
        let mut units = Self { broken: HashMap::new(), last_turn: None, size, head };
        for row in orphans {
            let head = units.head[row as usize];
            units.broken.entry(head).or_insert((row, Broken::NoCall));
        }
        units.check_calls(columns, &results);
        units
    }

    /// First row of the unit of `row`.
    #[must_use]
    pub fn head(&self, row: usize) -> usize {
        self.head[row] as usize
    }

    /// Number of rows in the unit of `row`.
    #[must_use]
    pub fn size(&self, row: usize) -> u32 {
        self.size[self.head(row)]
    }

    /// What is wrong with the unit of `row`, and which row shows it.
    #[must_use]
    pub fn broken(&self, row: usize) -> Option<(usize, Broken)> {
        let (at, what) = self.broken.get(&self.head[row])?;
        Some((*at as usize, *what))
    }

    /// The last sound unit with a turn of the conversation: its head and its last turn.
    #[must_use]
    pub fn last_turn(&self) -> Option<(usize, usize)> {
        self.last_turn.map(|(head, row)| (head as usize, row as usize))
    }

    /// Marks calls without all their results, from the end: at the end of the conversation they are pending.
    fn check_calls<T: AsRef<str>>(&mut self, columns: &Columns<T>, results: &Results) {
        for row in (0..columns.len()).rev() {
            let kind = columns.kinds()[row];
            let head = self.head[row];
            if kind == Kind::Agent
                && let Some(provider) = columns.provider(row)
            {
                let calls = to_u32(provider.calls.len());
                let is_pending = self.last_turn.is_none_or(|(last, _)| last == head);
                let answered = results.get(&to_u32(row)).map_or(0, |r| r.count);
                if answered < calls && !is_pending {
                    let what = Broken::NoResult(calls, answered);
                    self.broken.entry(head).or_insert((to_u32(row), what));
                }
            }
            if kind.is_turn() && self.last_turn.is_none() && !self.broken.contains_key(&head) {
                self.last_turn = Some((head, to_u32(row)));
            }
        }
    }
}

/// Results by the row of their call.
type Results = HashMap<u32, Answered>;

#[derive(Debug)]
struct Answered {
    count: u32,
    /// The last result counted: one that references its call twice is one result.
    last: u32,
}

/// Joins calls with their results and the members of named units; notes results without a call.
fn tie<T: AsRef<str>>(
    columns: &Columns<T>,
    head: &mut [u32],
    results: &mut Results,
    orphans: &mut Vec<u32>,
) {
    let mut named: HashMap<&str, u32> = HashMap::new();
    for at in 0..columns.len() {
        let row = to_u32(at);
        if let Some(name) = columns.unit(at) {
            let first = *named.entry(name.as_ref()).or_insert(row);
            join(head, first, row);
        }
        if columns.kinds()[at] != Kind::Tool || columns.references(at).is_empty() {
            continue;
        }
        let (mut has_call, mut is_missing) = (false, false);
        for reference in columns.references(at) {
            match columns.find(reference.as_ref()) {
                Some(found) if columns.kinds()[found] == Kind::Agent => {
                    has_call = true;
                    let call = to_u32(found);
                    let answered = results.entry(call).or_insert(Answered { count: 0, last: call });
                    if answered.last != row {
                        *answered = Answered { count: answered.count + 1, last: row };
                    }
                    join(head, call, row);
                }
                Some(_) => {}
                None => is_missing = true,
            }
        }
        if is_missing && !has_call {
            orphans.push(row);
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

fn join(head: &mut [u32], a: u32, b: u32) {
    let (a, b) = (root(head, a), root(head, b));
    // The smaller row is always the root, so that a unit is known by its first block.
    head[a.max(b) as usize] = a.min(b);
}

fn to_u32(n: usize) -> u32 {
    // `Columns::push` holds the number of rows below 2**32.
    u32::try_from(n).unwrap_or(u32::MAX)
}
