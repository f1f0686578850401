//! The packing kernel: the one place that decides which blocks stay.
//!
//! Pins go in first, then the tiers of the policy, in each unit after unit in its order, each one that still fits.
//! Best first is no shortcut for an exact knapsack: measured on labelled evidence, the optimum held more score and
//! less evidence.
//!
//! Taking what fits in order needs no sorted order but at the border. A histogram of the tokens by score finds it in
//! two passes; where many units are at the border it is halved, in linear time; and only what may fit into the rest of
//! the room is sorted.

use std::borrow::Cow;
use std::cmp::{Ordering, Reverse};
use std::sync::Arc;

use crate::columns::Columns;
use crate::cost::{Cost, CostColumn, Tails};
use crate::dedup::duplicates;
use crate::error::Error;
use crate::kind::Kind;
use crate::policy::{Duplicates, Order, Policy, Tier};
use crate::score::effective_scores;
use crate::selection::{Pin, Reason, Selection};
use crate::unit::{Health, Units};

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
    let units = Units::known(columns, policy.references);
    let scores = effective_scores(columns, policy, request.now, request.relevance);
    let input = Input::new(columns, costs.rows, &scores, &units);

    let mut fates = Fates::of(&input);
    let mut pack =
        Pack { costs: costs.rows, tails: costs.tails, fixed: request.fixed, sum: 0, last: None };
    let health = units.health(columns);
    for head in fates.pin(&input, &health, request.pins) {
        pack.add(&input.unit(head));
    }
    if pack.tokens() > request.available {
        return Err(too_large(&input, &pack, request.available, &fates));
    }
    fates.refuse_broken(&health);
    if policy.duplicates == Duplicates::Drop && columns.repeats().len() > 0 {
        fates.refuse_duplicates(&input);
    }
    if policy.threshold > 0.0 {
        fates.refuse_low_scores(&input, policy.threshold);
    }
    for (number, tier) in (0..).zip(&policy.tiers) {
        let available = request.available;
        let limits = Limits { available, share: tier.limit(available), tier: number };
        fill(&mut pack, &input, tier, limits, &mut fates);
    }

    let reasons = fates.into_reasons(&units, Reason::Budget(pack.left(request.available)));
    let kept = kept_rows(&reasons);
    let is_exact = |&row: &u32| costs.rows[row as usize].is_exact;
    Ok(Selection {
        policy: Arc::clone(policy),
        tokens: pack.tokens(),
        available: request.available,
        is_exact: costs.is_exact || kept.iter().all(is_exact),
        kept,
        reasons,
        scores: match scores {
            Cow::Borrowed(_) => None,
            Cow::Owned(scores) => Some(scores),
        },
    })
}

/// Rows that stay. Half of all do, in no pattern that a processor could guess: so every row is written down, and
/// written over by the next one where it falls.
fn kept_rows(reasons: &[Reason]) -> Vec<u32> {
    let mut kept = vec![0; reasons.len()];
    let mut len = 0;
    for (row, reason) in (0..).zip(reasons) {
        kept[len] = row;
        len += usize::from(reason.is_kept());
    }
    kept.truncate(len);
    kept
}

/// What the kernel reads.
struct Input<'a, T> {
    columns: &'a Columns<T>,
    costs: &'a [Cost],
    /// Effective scores.
    scores: &'a [f64],
    units: &'a Units,
    /// The units with several rows, by head.
    groups: Vec<Unit>,
}

impl<'a, T: AsRef<str>> Input<'a, T> {
    fn new(
        columns: &'a Columns<T>,
        costs: &'a [Cost],
        scores: &'a [f64],
        units: &'a Units,
    ) -> Self {
        let mut input = Self { columns, costs, scores, units, groups: Vec::new() };
        let whole = |(_, rows): (usize, &[u32])| {
            let mut rows = rows.iter().map(|row| input.single(*row as usize));
            // A group has rows.
            rows.next().map(|first| rows.fold(first, Unit::with))
        };
        input.groups = units.groups().filter_map(whole).collect();
        input
    }

    /// A row as if it were a unit of its own.
    fn single(&self, row: usize) -> Unit {
        Unit {
            score: self.scores[row],
            time: self.columns.timestamps()[row],
            head: to_u32(row),
            last: to_u32(row),
            cost: u64::from(self.costs[row].tokens),
        }
    }

    /// The unit of the first row `head`.
    fn unit(&self, head: usize) -> Unit {
        self.units.group_of(head).map_or_else(|| self.single(head), |at| self.groups[at])
    }

    /// Units of a tier whose fate is open, in the order of their rows.
    fn waiting(&self, tier: &Tier, fates: &Fates) -> Vec<Unit> {
        let kinds = self.columns.kinds();
        let is_open = |row: usize| {
            let fate = fates.by_row[row];
            let is_waiting = fate.is_none_or(|fate| matches!(fate, Reason::Share(..)));
            is_waiting && tier.kinds.holds(kinds[row])
        };
        let mut units = Vec::with_capacity(self.costs.len());
        let mut next = 0;
        for group in &self.groups {
            let head = group.head as usize;
            units.extend((next..head).filter(|row| is_open(*row)).map(|row| self.single(row)));
            units.extend(is_open(head).then_some(*group));
            next = head + 1;
        }
        let rest = (next..self.costs.len()).filter(|row| is_open(*row));
        units.extend(rest.map(|row| self.single(row)));
        units
    }
}

/// A unit as it waits to be taken.
#[derive(Debug, Clone, Copy)]
struct Unit {
    /// Best effective score of its blocks.
    score: f64,
    /// Time of its newest block.
    time: i64,
    /// Its first row.
    head: u32,
    /// Its last row.
    last: u32,
    cost: u64,
}

impl Unit {
    /// The unit with one more row, which comes after the others.
    fn with(self, row: Self) -> Self {
        Self {
            score: if row.score > self.score { row.score } else { self.score },
            time: self.time.max(row.time),
            head: self.head,
            last: row.last,
            cost: self.cost + row.cost,
        }
    }

    /// Which is taken first: the greater.
    fn compare(&self, other: &Self, order: Order) -> Ordering {
        let newer = self.time.cmp(&other.time);
        let by_order = match order {
            Order::Score => rank(self.score).cmp(&rank(other.score)).then(newer),
            // Equal times are common in imported turns: there the order of the input says which is newer.
            Order::Time => newer,
        };
        by_order.then(self.last.cmp(&other.last)).then(self.head.cmp(&other.head))
    }
}

/// A score, which is never negative, as a number in the same order; -0.0 is 0.0.
fn rank(score: f64) -> u64 {
    (score + 0.0).to_bits()
}

/// The fate of every row, as it becomes known; that of a unit stands at its first row until the end. Who has none in
/// the end found no room.
struct Fates {
    by_row: Vec<Option<Reason>>,
}

impl Fates {
    fn of<T>(input: &Input<'_, T>) -> Self {
        let mut by_row = vec![None; input.costs.len()];
        for (head, rows) in input.units.groups() {
            for &row in &rows[1..] {
                by_row[row as usize] = Some(Reason::Unit(to_u32(head)));
            }
        }
        Self { by_row }
    }

    fn take(&mut self, pack: &mut Pack<'_>, unit: &Unit) {
        pack.add(unit);
        self.by_row[unit.head as usize] = Some(Reason::Kept);
    }

    fn is_pinned(&self, row: usize) -> bool {
        matches!(self.by_row[row], Some(Reason::Pinned(_)))
    }

    /// Pins what must stay; returns the first rows of the pinned units.
    fn pin<T: AsRef<str>>(
        &mut self,
        input: &Input<'_, T>,
        health: &Health,
        named: &[usize],
    ) -> Vec<usize> {
        let kinds = input.columns.kinds();
        let mut heads = Vec::new();
        let mut pin = |row: usize, why: Pin| {
            let head = input.units.head(row);
            if self.by_row[head].is_none() {
                self.by_row[head] = Some(Reason::Pinned(why));
                heads.push(head);
            }
        };
        for (row, _) in kinds.iter().enumerate().filter(|(_, kind)| **kind == Kind::System) {
            pin(row, Pin::System);
        }
        let last_user = kinds.iter().rposition(|kind| *kind == Kind::User);
        if let Some(row) = last_user {
            pin(row, Pin::LastUser);
        }
        for &row in named {
            pin(row, Pin::Named);
        }
        if let Some((head, row)) = health.last_turn
            && last_user.is_none_or(|user| row > user)
        {
            pin(head, Pin::LastUnit);
        }
        heads
    }

    /// Broken units go, except those that hold a pin: a pin is a promise.
    fn refuse_broken(&mut self, health: &Health) {
        for (&head, &(row, what)) in &health.broken {
            if !self.is_pinned(head) {
                // The row that shows what is wrong has the reason, and the others point to it.
                self.by_row[head] = Some(Reason::Unit(to_u32(row)));
                self.by_row[row] = Some(Reason::Orphan(what));
            }
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
        let mut is_low: Vec<_> = base.iter().map(|score| *score < threshold).collect();
        for (head, rows) in input.units.groups() {
            is_low[head] = rows.iter().all(|row| is_low[*row as usize]);
        }
        for (fate, _) in self.by_row.iter_mut().zip(is_low).filter(|(_, is_low)| *is_low) {
            fate.get_or_insert(Reason::BelowThreshold);
        }
    }

    /// One reason a row: the rows of a unit that falls point to the one that has the reason.
    fn into_reasons(mut self, units: &Units, no_room: Reason) -> Vec<Reason> {
        for (head, rows) in units.groups() {
            let Some(fate) = self.by_row[head] else { continue };
            for &row in &rows[1..] {
                if fate.is_kept() || (fate.target().is_some() && fate != Reason::Unit(row)) {
                    self.by_row[row as usize] = Some(fate);
                }
            }
        }
        self.by_row.into_iter().map(|fate| fate.unwrap_or(no_room)).collect()
    }
}

/// How much a tier may use.
#[derive(Clone, Copy)]
struct Limits {
    available: u64,
    /// Tokens that may be used when the tier is full.
    share: u64,
    tier: u8,
}

/// Takes what fits, in order. What still waits has no fate, or has found no room in a share.
fn fill<T: AsRef<str>>(
    pack: &mut Pack<'_>,
    input: &Input<'_, T>,
    tier: &Tier,
    limits: Limits,
    fates: &mut Fates,
) {
    let (order, limit) = (tier.order, limits.share);
    let mut open = input.waiting(tier, fates);
    let mut passes = 0..PASSES;
    while open.len() >= MANY && passes.next().is_some() {
        let border = Border::of(pack, &open, order, limit);
        let mut near = border.take(pack, &mut open, fates);
        take_in_order(pack, &mut near, order, limit, fates);
        open.retain(|unit| pack.may_fit(unit, limit));
    }
    let mut taken = take_in_order(pack, &mut open, order, limit, fates);
    // In the text form a new last block can free a token, so that another look may find room.
    while pack.tails != Tails::default() && taken > 0 {
        taken = take_in_order(pack, &mut input.waiting(tier, fates), order, limit, fates);
    }
    if limit < limits.available {
        let left = pack.left(limit);
        for unit in input.waiting(tier, fates) {
            let is_short_of_share = pack.tokens_with(&unit) <= limits.available;
            fates.by_row[unit.head as usize] =
                is_short_of_share.then_some(Reason::Share(limits.tier, left));
        }
    }
}

/// Takes what fits of a few units, in order; returns how many.
fn take_in_order(
    pack: &mut Pack<'_>,
    units: &mut [Unit],
    order: Order,
    limit: u64,
    fates: &mut Fates,
) -> usize {
    let sure = best_that_fit(units, order, pack.sure_room(limit));
    for unit in &units[..sure] {
        fates.take(pack, unit);
    }
    let rest = &mut units[sure..];
    let open = partition(rest, |unit| pack.may_fit(unit, limit));
    let open = &mut rest[..open];
    open.sort_unstable_by(|a, b| b.compare(a, order));
    let mut taken = sure;
    for unit in open {
        if pack.tokens_with(unit) <= limit {
            fates.take(pack, unit);
            taken += 1;
        }
    }
    taken
}

/// Where the room ends, among units on levels of score or time.
///
/// Every pass over the units is short and does the same for every unit: in what half a unit is has no pattern that a
/// processor could guess, and a wrong guess costs more than the rest.
struct Border {
    /// The level of every unit.
    levels: Vec<u16>,
    /// Everything on this level or above it fits.
    level: u16,
    /// Tokens of what is there.
    tokens: u64,
}

impl Border {
    fn of(pack: &Pack<'_>, units: &[Unit], order: Order, limit: u64) -> Self {
        let scale = Levels::of(order, units);
        let levels: Vec<_> = units.iter().map(|unit| scale.of_unit(unit)).collect();
        let mut tokens = vec![0; usize::from(LEVELS)];
        for (unit, level) in units.iter().zip(&levels) {
            tokens[usize::from(*level)] += unit.cost;
        }
        let room = pack.sure_room(limit);
        let mut border = Self { levels, level: LEVELS, tokens: 0 };
        while let Some(below) = border.level.checked_sub(1)
            && border.tokens + tokens[usize::from(below)] <= room
        {
            border.level = below;
            border.tokens += tokens[usize::from(below)];
        }
        border
    }

    /// Takes what is above the border; returns the units on the level below it, and leaves the others in `units`.
    fn take(&self, pack: &mut Pack<'_>, units: &mut Vec<Unit>, fates: &mut Fates) -> Vec<Unit> {
        let mut above = vec![0; units.len()];
        let mut taken = 0;
        for (unit, level) in units.iter().zip(&self.levels) {
            above[taken] = unit.head;
            taken += usize::from(*level >= self.level);
        }
        for head in &above[..taken] {
            fates.by_row[*head as usize] = Some(Reason::Kept);
        }
        pack.sum += self.tokens;
        let levels = || units.iter().zip(&self.levels);
        // Which row is the last matters where the costs have tails.
        pack.last = if pack.tails == Tails::default() {
            pack.last.max(above[..taken].last().copied())
        } else {
            let lasts = levels().map(|(unit, level)| (*level >= self.level).then_some(unit.last));
            lasts.max().flatten().max(pack.last)
        };
        let is_near = |(unit, level): (&Unit, &u16)| (level + 1 == self.level).then_some(*unit);
        let near = levels().filter_map(is_near).collect();
        let mut len = 0;
        for (at, level) in self.levels.iter().enumerate() {
            units[len] = units[at];
            len += usize::from(level + 1 < self.level);
        }
        units.truncate(len);
        near
    }
}

/// So often at most the border is sought among what may still fit: then it is sorted, whatever it is.
const PASSES: usize = 16;

/// From so many units on a histogram is faster than to look at each of them.
const MANY: usize = 512;

/// Levels of the histogram.
const LEVELS: u16 = 4096;

/// Units by level, from 0 to `LEVELS - 1`; of two units, the one on the higher level is taken first.
struct Levels {
    order: Order,
    /// The lowest value there is.
    first: u64,
    /// Bits by which the values differ within a level.
    bits: u32,
}

impl Levels {
    fn of(order: Order, units: &[Unit]) -> Self {
        let mut levels = Self { order, first: 0, bits: 0 };
        let (first, last) = match order {
            Order::Score => (1.0_f64.to_bits(), 2.0_f64.to_bits() - 1),
            Order::Time => units.iter().fold((u64::MAX, 0), |(first, last), unit| {
                (first.min(levels.value(unit)), last.max(levels.value(unit)))
            }),
        };
        let span = last.saturating_sub(first);
        levels.first = first;
        levels.bits = (u64::BITS - span.leading_zeros()).saturating_sub(LEVELS.ilog2());
        levels
    }

    /// Score or time as a number in the same order. A score is from 0 to 1: between 1 and 2 all numbers are as far
    /// apart, and so are their bits.
    fn value(&self, unit: &Unit) -> u64 {
        match self.order {
            Order::Score => (unit.score + 1.0).to_bits(),
            Order::Time => unit.time.cast_unsigned(),
        }
    }

    fn of_unit(&self, unit: &Unit) -> u16 {
        let level = (self.value(unit) - self.first) >> self.bits;
        // The highest score would be on a level of its own.
        u16::try_from(level).unwrap_or(LEVELS).min(LEVELS - 1)
    }
}

/// Moves the best units that fit together to the front, in no order, and returns how many they are.
fn best_that_fit(units: &mut [Unit], order: Order, mut room: u64) -> usize {
    let cost = |units: &[Unit]| units.iter().map(|unit| unit.cost).sum::<u64>();
    if cost(units) <= room {
        return units.len();
    }
    let (mut from, mut to) = (0, units.len());
    while from < to {
        let middle = (to - from) / 2;
        let (better, unit, _) =
            units[from..to].select_nth_unstable_by(middle, |a, b| b.compare(a, order));
        let needed = cost(better) + unit.cost;
        if needed <= room {
            room -= needed;
            from += middle + 1;
        } else {
            to = from + middle;
        }
    }
    from
}

/// Moves the units that `is_first` accepts to the front, and returns how many they are.
fn partition(units: &mut [Unit], is_first: impl Fn(&Unit) -> bool) -> usize {
    let mut front = 0;
    for at in 0..units.len() {
        if is_first(&units[at]) {
            units.swap(front, at);
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

    fn tokens_with(&self, unit: &Unit) -> u64 {
        self.total(self.sum + unit.cost, self.last.max(Some(unit.last)))
    }

    fn add(&mut self, unit: &Unit) {
        self.sum += unit.cost;
        self.last = self.last.max(Some(unit.last));
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
    fn may_fit(&self, unit: &Unit, limit: u64) -> bool {
        let used = self.sum + u64::from(self.fixed) + unit.cost;
        used.saturating_add_signed(self.tails.least.into()) <= limit
    }

    /// Tokens that are left.
    fn left(&self, limit: u64) -> u32 {
        u32::try_from(limit.saturating_sub(self.tokens())).unwrap_or(u32::MAX)
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
