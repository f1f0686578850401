//! The request as it fills up with units.
//!
//! Taking what fits in order needs no sorted order but at the border where the room ends. A histogram of the tokens by
//! score finds it in two passes; where many units are at the border they are halved, in linear time; and only what is
//! small enough for the rest of the room is looked at again.

use std::cmp::Ordering;

use crate::cost::{Cost, CostColumn, Tails};
use crate::policy::Order;

/// A unit as it waits to be taken.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    /// Best effective score of its blocks.
    pub score: f64,
    /// Time of its newest block.
    pub time: i64,
    /// Its first row.
    pub head: u32,
    /// Its last row.
    pub last: u32,
    /// Tokens of its blocks as rendered.
    pub cost: u64,
}

impl Unit {
    /// The unit with one more row, which comes after the others.
    pub fn with(self, row: Self) -> Self {
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
            Order::Score | Order::Evidence => rank(self.score).cmp(&rank(other.score)).then(newer),
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

/// The request as it fills up.
#[derive(Clone, Copy)]
pub struct Pack<'a> {
    costs: &'a [Cost],
    /// Bounds of the costs' tails.
    pub tails: Tails,
    fixed: u32,
    sum: u64,
    /// The last row so far: in the text form nothing stands behind it.
    last: Option<u32>,
}

impl<'a> Pack<'a> {
    /// A request without blocks yet.
    pub fn new(costs: &'a CostColumn<'a>, fixed: u32) -> Self {
        Self { costs: costs.rows, tails: costs.tails, fixed, sum: 0, last: None }
    }

    /// Takes what fits into `limit` of units that wait, in order; returns their first rows.
    pub fn fill(&mut self, mut open: Vec<Unit>, order: Order, limit: u64) -> Vec<u32> {
        let mut taken = Vec::new();
        let mut passes = 0..PASSES;
        while open.len() >= MANY && passes.next().is_some() {
            let border = Border::of(self, &open, order, limit);
            let mut near = border.take(self, &mut open, &mut taken);
            self.fill_few(&mut near, order, limit, &mut taken);
            open.retain(|unit| self.may_fit(unit, limit));
        }
        self.fill_few(&mut open, order, limit, &mut taken);
        taken
    }

    fn fill_few(&mut self, units: &mut [Unit], order: Order, limit: u64, taken: &mut Vec<u32>) {
        let sure = best_that_fit(units, order, self.sure_room(limit));
        for unit in &units[..sure] {
            self.add(unit);
            taken.push(unit.head);
        }
        let rest = &mut units[sure..];
        let open = partition(rest, |unit| self.may_fit(unit, limit));
        let open = &mut rest[..open];
        open.sort_unstable_by(|a, b| b.compare(a, order));
        for unit in open {
            if self.tokens_with(unit) <= limit {
                self.add(unit);
                taken.push(unit.head);
            }
        }
    }

    /// Tokens of the request as it is.
    pub fn tokens(&self) -> u64 {
        self.total(self.sum, self.last)
    }

    /// Tokens of the request with one unit more.
    pub fn tokens_with(&self, unit: &Unit) -> u64 {
        self.total(self.sum + unit.cost, self.last.max(Some(unit.last)))
    }

    /// Takes a unit.
    pub fn add(&mut self, unit: &Unit) {
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
    pub fn left(&self, limit: u64) -> u32 {
        u32::try_from(limit.saturating_sub(self.tokens())).unwrap_or(u32::MAX)
    }
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
    fn take(&self, pack: &mut Pack<'_>, units: &mut Vec<Unit>, taken: &mut Vec<u32>) -> Vec<Unit> {
        let before = taken.len();
        let mut len = before;
        taken.resize(before + units.len(), 0);
        for (unit, level) in units.iter().zip(&self.levels) {
            taken[len] = unit.head;
            len += usize::from(*level >= self.level);
        }
        taken.truncate(len);
        pack.sum += self.tokens;
        let levels = || units.iter().zip(&self.levels);
        // Which row is the last matters where the costs have tails.
        pack.last = if pack.tails == Tails::default() {
            pack.last.max(taken.last().copied())
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
            Order::Score | Order::Evidence => (1.0_f64.to_bits(), 2.0_f64.to_bits() - 1),
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
            Order::Score | Order::Evidence => (unit.score + 1.0).to_bits(),
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
