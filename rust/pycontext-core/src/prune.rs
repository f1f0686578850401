//! The packing kernel: the one place that decides which blocks stay.
//!
//! Pins go in first, then the tiers of the policy, in each unit after unit in its order, each one that still fits.
//! Best first is no shortcut for an exact knapsack: measured on labelled evidence, the optimum held more score and
//! less evidence.
//!
//! Taking what fits in order needs no sorted order but at the border: the best units that fit together are found by
//! halving, in linear time, and only what may fit into the rest of the room is sorted.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use crate::columns::Columns;
use crate::cost::{Cost, CostColumn, Tails};
use crate::dedup::duplicates;
use crate::error::Error;
use crate::kind::Kind;
use crate::policy::{Duplicates, Order, Policy, Tier};
use crate::score::effective_scores;
use crate::selection::{Pin, Reason, Selection};
use crate::unit::Units;

/// What the kernel is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Tokens that there are.
    pub available: u64,
    /// Tokens of the request that belong to no block.
    pub fixed: u32,
    /// How to choose.
    pub policy: &'a Arc<Policy>,
    /// Rows that the caller pins, besides those that always are.
    pub pins: &'a [usize],
    /// Relevance to the query in `[0, 1]`, one a row.
    pub relevance: Option<&'a [f64]>,
    /// When it is, in milliseconds since the epoch; `None` for the newest timestamp in the input.
    pub now: Option<i64>,
}

/// Chooses the blocks that stay; `costs` has one entry a row.
///
/// # Errors
/// The pinned blocks need more than is available.
pub fn prune<T: AsRef<str>>(
    columns: &Columns<T>,
    costs: CostColumn<'_>,
    request: &Request<'_>,
) -> Result<Selection, Error> {
    let policy = request.policy;
    let units = Units::of(columns, policy.references);
    let scores = effective_scores(columns, policy, request.now, request.relevance);
    let input = Input { columns, costs: costs.rows, scores: &scores, units: &units };

    let mut fates = Fates::of(&input);
    let mut pack =
        Pack { costs: costs.rows, tails: costs.tails, fixed: request.fixed, sum: 0, last: None };
    for head in fates.pin(&input, request.pins) {
        pack.add(&input.key(head, Order::Score));
    }
    if pack.tokens() > request.available {
        return Err(too_large(&input, &pack, request.available, &fates));
    }
    fates.refuse_broken(&units);
    if policy.duplicates == Duplicates::Drop && columns.repeats().len() > 0 {
        fates.refuse_duplicates(&input);
    }
    if policy.threshold > 0.0 {
        fates.refuse_low_scores(&input, policy.threshold);
    }
    for (number, tier) in (0..).zip(&policy.tiers) {
        let limits = Limits {
            available: request.available,
            share: tier.limit(request.available),
            tier: number,
        };
        fill(&mut pack, input.waiting(tier, &fates), limits, &mut fates);
    }

    let reasons = fates.into_reasons(&units);
    let is_kept = |(row, reason): (u32, &Reason)| reason.is_kept().then_some(row);
    let kept: Vec<u32> = (0..).zip(&reasons).filter_map(is_kept).collect();
    Ok(Selection {
        policy: Arc::clone(policy),
        tokens: pack.tokens(),
        available: request.available,
        is_exact: kept.iter().all(|&row| costs.rows[row as usize].is_exact),
        kept,
        reasons,
        scores: match scores {
            Cow::Borrowed(_) => None,
            Cow::Owned(scores) => Some(scores),
        },
        units,
    })
}

/// What the kernel reads.
struct Input<'a, T> {
    columns: &'a Columns<T>,
    costs: &'a [Cost],
    /// Effective scores.
    scores: &'a [f64],
    units: &'a Units,
}

impl<T: AsRef<str>> Input<'_, T> {
    /// The unit of the first row `head`.
    fn key(&self, head: usize, order: Order) -> Key {
        let rows = self.units.rows(head);
        self.key_of(head, rows.iter().copied(), order)
    }

    fn key_of(&self, head: usize, rows: impl Iterator<Item = usize>, order: Order) -> Key {
        let mut key = Key { first: 0, second: 0, last: 0, head: to_u32(head), cost: 0 };
        for row in rows {
            let (score, time) = (rank(self.scores[row]), self.columns.timestamps()[row]);
            match order {
                Order::Score => {
                    key.first = key.first.max(score);
                    key.second = key.second.max(time);
                }
                // Equal times are common in imported turns: there the order of the input says which is newer.
                Order::Time => key.first = key.first.max(time.cast_unsigned()),
            }
            key.last = to_u32(row);
            key.cost += u64::from(self.costs[row].tokens);
        }
        key
    }

    /// Units of a tier whose fate is open.
    fn waiting(&self, tier: &Tier, fates: &Fates) -> Vec<Key> {
        let kinds = self.columns.kinds();
        let mut keys = Vec::with_capacity(kinds.len());
        let mut groups = self.units.groups().peekable();
        for (row, fate) in fates.by_row.iter().enumerate() {
            let group = groups.next_if(|(head, _)| *head == row);
            if fate.is_some_and(|fate| !fate.is_want_of_room()) || !tier.kinds.holds(kinds[row]) {
                continue;
            }
            keys.push(match group {
                Some((_, rows)) => {
                    self.key_of(row, rows.iter().map(|row| *row as usize), tier.order)
                }
                None => self.key_of(row, std::iter::once(row), tier.order),
            });
        }
        keys
    }
}

/// The fate of every row, as it becomes known; that of a unit stands at its first row until the end.
struct Fates {
    by_row: Vec<Option<Reason>>,
}

impl Fates {
    fn of<T>(input: &Input<'_, T>) -> Self {
        let mut by_row = vec![None; input.costs.len()];
        for (head, rows) in input.units.groups() {
            for &row in rows.iter().filter(|row| **row as usize != head) {
                by_row[row as usize] = Some(Reason::Unit(to_u32(head)));
            }
        }
        Self { by_row }
    }

    fn is_pinned(&self, row: usize) -> bool {
        matches!(self.by_row[row], Some(Reason::Pinned(_)))
    }

    /// Pins what must stay; returns the first rows of the pinned units.
    fn pin<T: AsRef<str>>(&mut self, input: &Input<'_, T>, named: &[usize]) -> Vec<usize> {
        let kinds = input.columns.kinds();
        let mut heads = Vec::new();
        let mut pin = |row: usize, why: Pin| {
            let head = input.units.head(row);
            if self.by_row[head].is_none() {
                self.by_row[head] = Some(Reason::Pinned(why));
                heads.push(head);
            }
        };
        for row in (0..kinds.len()).filter(|row| kinds[*row] == Kind::System) {
            pin(row, Pin::System);
        }
        let last_user = kinds.iter().rposition(|kind| *kind == Kind::User);
        if let Some(row) = last_user {
            pin(row, Pin::LastUser);
        }
        for &row in named {
            pin(row, Pin::Named);
        }
        if let Some((head, row)) = input.units.last_turn()
            && last_user.is_none_or(|user| row > user)
        {
            pin(head, Pin::LastUnit);
        }
        heads
    }

    /// Broken units go, except those that hold a pin: a pin is a promise.
    fn refuse_broken(&mut self, units: &Units) {
        for (head, row, what) in units.broken() {
            if self.is_pinned(head) {
                continue;
            }
            // The row that shows what is wrong has the reason, and the others point to it.
            self.by_row[head] = Some(Reason::Unit(to_u32(row)));
            self.by_row[row] = Some(Reason::Orphan(what));
        }
    }

    fn refuse_duplicates<T: AsRef<str>>(&mut self, input: &Input<'_, T>) {
        let is_candidate = |row: usize| {
            input.units.is_single(row) && (self.by_row[row].is_none() || self.is_pinned(row))
        };
        let is_pinned = |row: usize| self.is_pinned(row);
        let found = duplicates(input.columns, input.scores, is_candidate, is_pinned);
        for (row, copy) in found {
            self.by_row[row] = Some(Reason::Duplicate(to_u32(copy)));
        }
    }

    /// A unit is as good as the best base score of its blocks.
    fn refuse_low_scores<T: AsRef<str>>(&mut self, input: &Input<'_, T>, threshold: f64) {
        let base = input.columns.scores();
        let mut groups = input.units.groups().peekable();
        for row in 0..base.len() {
            let group = groups.next_if(|(head, _)| *head == row);
            let is_low = match group {
                Some((_, rows)) => rows.iter().all(|row| base[*row as usize] < threshold),
                None => base[row] < threshold,
            };
            if is_low && self.by_row[row].is_none() {
                self.by_row[row] = Some(Reason::BelowThreshold);
            }
        }
    }

    /// One reason a row: the rows of a unit that falls point to the one that has the reason.
    fn into_reasons(mut self, units: &Units) -> Vec<Reason> {
        for (head, rows) in units.groups() {
            let Some(fate) = self.by_row[head] else { continue };
            for &row in rows.iter().filter(|row| **row as usize != head) {
                if fate.is_kept() || (fate.target().is_some() && fate != Reason::Unit(row)) {
                    self.by_row[row as usize] = Some(fate);
                }
            }
        }
        // A unit that no tier takes has no room.
        self.by_row.into_iter().map(|fate| fate.unwrap_or(Reason::Budget(0))).collect()
    }
}

/// A unit that waits; the greater is taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// Score or time, by the order of the tier.
    first: u64,
    /// Time of the newest block, where the score comes first.
    second: i64,
    /// Its last row.
    last: u32,
    /// Its first row.
    head: u32,
    cost: u64,
}

/// A score, which is never negative, as a number in the same order; -0.0 is 0.0.
fn rank(score: f64) -> u64 {
    (score + 0.0).to_bits()
}

/// How much a tier may use.
#[derive(Clone, Copy)]
struct Limits {
    available: u64,
    /// Tokens that may be used when the tier is full.
    share: u64,
    tier: u8,
}

/// Takes what fits, in order; the others learn how much was left when their turn came.
fn fill(pack: &mut Pack<'_>, mut keys: Vec<Key>, limits: Limits, fates: &mut Fates) {
    let sure = best_that_fit(&mut keys, pack.sure_room(limits.share));
    for key in &keys[..sure] {
        pack.add(key);
        fates.by_row[key.head as usize] = Some(Reason::Kept);
    }
    let rest = &mut keys[sure..];
    let open = partition(rest, |key| pack.may_fit(key, limits.share));
    let (open, shut) = rest.split_at_mut(open);
    open.sort_unstable_by_key(|key| Reverse(*key));

    let before = *pack;
    // What was taken here, and the pack after it: the others' turns came between two of them.
    let mut taken: Vec<(Key, Pack<'_>)> = Vec::new();
    for key in &*open {
        let fits = pack.tokens_with(key) <= limits.share;
        let fate = if fits { Reason::Kept } else { pack.want_of_room(key, limits) };
        fates.by_row[key.head as usize] = Some(fate);
        if fits {
            pack.add(key);
            taken.push((*key, *pack));
        }
    }
    for key in &*shut {
        let at = taken.partition_point(|(other, _)| other > key);
        let then = at.checked_sub(1).map_or(&before, |at| &taken[at].1);
        fates.by_row[key.head as usize] = Some(then.want_of_room(key, limits));
    }
    // In the text form a new last block can free a token, so that another look may find room.
    let mut may_gain = pack.tails != Tails::default();
    while may_gain {
        may_gain = false;
        for key in &*open {
            let is_waiting = fates.by_row[key.head as usize].is_some_and(Reason::is_want_of_room);
            if is_waiting && pack.tokens_with(key) <= limits.share {
                pack.add(key);
                fates.by_row[key.head as usize] = Some(Reason::Kept);
                may_gain = true;
            }
        }
    }
}

/// Moves the best keys that fit together to the front, in no order, and returns how many they are.
fn best_that_fit(keys: &mut [Key], mut room: u64) -> usize {
    let cost = |keys: &[Key]| keys.iter().map(|key| key.cost).sum::<u64>();
    if cost(keys) <= room {
        return keys.len();
    }
    let (mut from, mut to) = (0, keys.len());
    while from < to {
        let middle = (to - from) / 2;
        let (better, ..) = keys[from..to].select_nth_unstable_by_key(middle, |key| Reverse(*key));
        let needed = cost(better) + keys[from + middle].cost;
        if needed <= room {
            room -= needed;
            from += middle + 1;
        } else {
            to = from + middle;
        }
    }
    from
}

/// Moves the keys that `is_first` accepts to the front, and returns how many they are.
fn partition(keys: &mut [Key], is_first: impl Fn(&Key) -> bool) -> usize {
    let mut front = 0;
    for at in 0..keys.len() {
        if is_first(&keys[at]) {
            keys.swap(front, at);
            front += 1;
        }
    }
    front
}

/// The request as it fills up.
#[derive(Clone, Copy)]
struct Pack<'a> {
    costs: &'a [Cost],
    tails: Tails,
    fixed: u32,
    sum: u64,
    /// The last row so far: in the text form nothing stands behind it.
    last: Option<u32>,
}

impl Pack<'_> {
    fn tokens(&self) -> u64 {
        self.total(self.sum, self.last)
    }

    fn tokens_with(&self, key: &Key) -> u64 {
        self.total(self.sum + key.cost, self.last.max(Some(key.last)))
    }

    fn add(&mut self, key: &Key) {
        self.sum += key.cost;
        self.last = self.last.max(Some(key.last));
    }

    fn total(&self, sum: u64, last: Option<u32>) -> u64 {
        last.map_or(0, |last| {
            let tail = self.costs[last as usize].tail;
            (sum + u64::from(self.fixed)).saturating_add_signed(tail.into())
        })
    }

    /// Tokens that units may cost which then fit, whichever is the last.
    fn sure_room(&self, limit: u64) -> u64 {
        let used = self.sum + u64::from(self.fixed);
        limit.saturating_sub(used.saturating_add_signed(self.tails.most.into()))
    }

    /// Whether a unit can fit, now or when others have been added.
    fn may_fit(&self, key: &Key, limit: u64) -> bool {
        let used = self.sum + u64::from(self.fixed) + key.cost;
        used.saturating_add_signed(self.tails.least.into()) <= limit
    }

    /// Why a unit does not fit.
    fn want_of_room(&self, key: &Key, limits: Limits) -> Reason {
        let left =
            |limit: u64| u32::try_from(limit.saturating_sub(self.tokens())).unwrap_or(u32::MAX);
        if self.tokens_with(key) <= limits.available {
            Reason::Share(limits.tier, left(limits.share))
        } else {
            Reason::Budget(left(limits.available))
        }
    }
}

/// The error that names the largest pinned blocks: without them the others would fit.
fn too_large<T: AsRef<str>>(
    input: &Input<'_, T>,
    pack: &Pack<'_>,
    available: u64,
    fates: &Fates,
) -> Error {
    let needed = pack.tokens();
    let costs = input.costs;
    let is_pinned = |row: &usize| fates.is_pinned(input.units.head(*row));
    let mut pinned: Vec<_> = (0..costs.len()).filter(is_pinned).collect();
    pinned.sort_by_key(|&row| Reverse(costs[row].tokens));
    let mut excess = needed - available;
    let mut blockers = Vec::new();
    for &row in &pinned {
        if excess == 0 {
            break;
        }
        excess = excess.saturating_sub(u64::from(costs[row].tokens));
        blockers.push(input.columns.ids()[row].as_ref().to_owned());
    }
    let largest = pinned.first().map_or(0, |&row| costs[row].tokens.into());
    Error::Budget { needed, available, blockers, largest }
}

fn to_u32(row: usize) -> u32 {
    // `Columns::push` holds the number of rows below 2**32.
    u32::try_from(row).unwrap_or(u32::MAX)
}
