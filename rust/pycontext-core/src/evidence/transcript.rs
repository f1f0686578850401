//! Which units of a conversation with tools hold the identifiers that the next call may need.
//!
//! Every identifier has a weight; it counts for the first unit taken that has it, and for no other. Gains only fall as
//! units are taken, so a heap whose entries may be out of date finds the best one: measured, 1.22 looks a unit.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::columns::Columns;
use crate::index::Index;
use crate::kind::Kind;
use crate::pack::{Pack, Unit};

use super::{Member, Signal, narrow};

/// Units in which the weight of an identifier halves since it was last mentioned.
const HALF_LIFE: f64 = 12.0;
/// What each unit more that mentions an identifier adds to its weight, and units that count.
const REPEATED: f64 = 0.5;
const MOST_REPEATED: u32 = 6;
/// What it adds that a call has had the identifier.
const CALLED: f64 = 3.0;
/// What it adds that the only unit which mentions the identifier is about what the conversation is about.
const FITTING: f64 = 2.0;
/// How much a perfect match of the question counts, as a part of the best unit.
const RELEVANCE: f64 = 0.5;
/// What the newest unit has for being that.
const NEWEST: f64 = 0.02;
/// Weight of a code that was mentioned once, just now.
const ONE_CODE: f64 = 1.0;
/// How much the cost of a unit counts against it.
const COST_POWER: f64 = 0.5;

/// The units of a conversation with tools, weighed.
#[derive(Debug, Default)]
pub struct Transcript {
    /// By first row of a unit: its place among the units; `NOWHERE` for other rows.
    places: Vec<u32>,
    /// The identifiers of each unit, one behind the other, and where those of a unit end.
    identifiers: Vec<u32>,
    ends: Vec<usize>,
    /// By identifier.
    weights: Vec<f64>,
    is_covered: Vec<bool>,
    /// By unit: what it has besides its identifiers, and how much of that is the question's.
    rest: Vec<f64>,
    relevance: Vec<f64>,
}

const NOWHERE: u32 = u32::MAX;

/// What counts besides identifiers.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// How well each row matches the question.
    pub matches: &'a [f64],
    /// How much that counts.
    pub gate: f64,
    /// How well each unit matches what the conversation is about, as a part of the best.
    pub fit: &'a [f64],
}

impl Transcript {
    /// Weighs the units.
    #[must_use]
    pub fn of<T: AsRef<str>>(
        columns: &Columns<T>,
        index: &Index,
        members: &[Member<'_>],
        given: &Weights<'_>,
    ) -> Self {
        if members.is_empty() {
            return Self::default();
        }
        let mentions = index.mentions();
        let mut found = Self { places: vec![NOWHERE; columns.len()], ..Self::default() };
        // By identifier: units that mention it, the last of them, whether a call has it.
        let mut uses = vec![Use::default(); mentions.count()];
        for (place, member) in (0..).zip(members) {
            found.places[member.head()] = place;
            let start = found.identifiers.len();
            for row in member.rows() {
                // A call that is written as text, and known by its results.
                let is_call = member.rows.is_some()
                    && columns.kinds()[row] == Kind::Agent
                    && columns.provider(row).is_none_or(|provider| provider.calls.is_empty());
                for mention in mentions.of(row) {
                    uses[mention.identifier as usize].is_in_call |= mention.is_in_call || is_call;
                    found.identifiers.push(mention.identifier);
                }
            }
            let own = &mut found.identifiers[start..];
            own.sort_unstable();
            let len = distinct(own);
            found.identifiers.truncate(start + len);
            for &identifier in &found.identifiers[start..] {
                let own = &mut uses[identifier as usize];
                (own.units, own.last) = (own.units + 1, place);
            }
            found.ends.push(found.identifiers.len());
        }
        found.is_covered = vec![false; uses.len()];
        found.weigh(mentions, &uses);
        found.add_rest(members, given);
        found.raise_fitting(&uses, given.fit);
        found
    }

    fn weigh(&mut self, mentions: &crate::index::Mentions, uses: &[Use]) {
        let weight = |(identifier, used): (u32, &Use)| {
            if used.units == 0 {
                return 0.0;
            }
            let repeated = REPEATED * f64::from(used.units.min(MOST_REPEATED) - 1);
            let called = if used.is_in_call { CALLED } else { 0.0 };
            let shape = mentions.shape(identifier).weight();
            shape * (1.0 + repeated + called) * self.recency(used.last)
        };
        self.weights = (0..).zip(uses).map(weight).collect();
    }

    /// What nobody has spoken of yet and no call has had: there the words around it tell.
    fn raise_fitting(&mut self, uses: &[Use], fit: &[f64]) {
        for (weight, used) in self.weights.iter_mut().zip(uses) {
            if used.units == 1 && !used.is_in_call {
                *weight *= 1.0 + FITTING * fit[used.last as usize].powi(2);
            }
        }
    }

    fn add_rest(&mut self, members: &[Member<'_>], given: &Weights<'_>) {
        let matches: Vec<_> = members.iter().map(|member| member.best(given.matches)).collect();
        let best_match = matches.iter().copied().fold(0.0, f64::max);
        // Without identifiers the words would count for nothing.
        let heaviest = (0..members.len()).map(|place| self.fresh(place).1).fold(ONE_CODE, f64::max);
        let scale =
            if best_match > 0.0 { RELEVANCE * given.gate * heaviest / best_match } else { 0.0 };
        self.relevance = matches.iter().map(|found| scale * found).collect();
        let newest = (0..)
            .zip(&self.relevance)
            .map(|(place, relevance)| relevance + NEWEST * self.recency(place));
        self.rest = newest.collect();
    }

    /// What is left of a weight at the newest unit.
    fn recency(&self, place: u32) -> f64 {
        let age = self.ends.len() - 1 - place as usize;
        #[expect(clippy::cast_precision_loss, reason = "no set has 2**53 rows")]
        let age = age as f64;
        0.5_f64.powf(age / HALF_LIFE)
    }

    /// Whether the unit with that first row is one of these.
    #[must_use]
    pub fn holds(&self, head: u32) -> bool {
        self.place(head).is_some()
    }

    fn place(&self, head: u32) -> Option<usize> {
        let place = self.places.get(head as usize).filter(|place| **place != NOWHERE);
        place.map(|place| *place as usize)
    }

    fn identifiers(&self, place: usize) -> &[u32] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.identifiers[start..self.ends[place]]
    }

    /// Identifiers of a unit that nothing taken has, and their weight.
    fn fresh(&self, place: usize) -> (u32, f64) {
        let fresh = self
            .identifiers(place)
            .iter()
            .filter(|identifier| !self.is_covered[**identifier as usize]);
        fresh.fold((0, 0.0), |(n, sum), identifier| {
            (n + 1, sum + self.weights[*identifier as usize])
        })
    }

    /// Notes that a unit stays.
    pub fn cover(&mut self, head: u32) {
        let Some(place) = self.place(head) else { return };
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        for &identifier in &self.identifiers[start..self.ends[place]] {
            self.is_covered[identifier as usize] = true;
        }
    }

    /// Takes what fits into `limit` of units that wait, the one first that adds most; returns their first rows. Notes in
    /// `signals` what spoke for each unit when it was last looked at.
    pub fn fill(
        &mut self,
        pack: &mut Pack<'_>,
        open: &[Unit],
        limit: u64,
        signals: &mut [Signal],
    ) -> Vec<u32> {
        let mut taken = Vec::new();
        let entry = |unit: &Unit| Entry { gain: self.gain(unit, signals), unit: *unit };
        let mut heap: BinaryHeap<_> = open.iter().map(entry).collect();
        while let Some(top) = heap.pop() {
            if pack.tokens_with(&top.unit) > limit {
                continue;
            }
            let now = Entry { gain: self.gain(&top.unit, signals), unit: top.unit };
            if heap.peek().is_some_and(|next| now < *next) {
                heap.push(now);
                continue;
            }
            pack.add(&now.unit);
            self.cover(now.unit.head);
            taken.push(now.unit.head);
        }
        taken
    }

    /// What taking a unit adds, for what it costs.
    fn gain(&self, unit: &Unit, signals: &mut [Signal]) -> f64 {
        let Some(place) = self.place(unit.head) else { return 0.0 };
        let (n, weight) = self.fresh(place);
        signals[unit.head as usize] =
            Signal::Identifiers(n, narrow(weight), narrow(self.relevance[place]));
        #[expect(clippy::cast_precision_loss, reason = "no unit has 2**53 tokens")]
        let cost = unit.cost.max(1) as f64;
        unit.score * (weight + self.rest[place]) / cost.powf(COST_POWER)
    }
}

/// Where an identifier is mentioned.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    units: u32,
    last: u32,
    is_in_call: bool,
}

/// A unit in the heap: the greatest is taken first.
struct Entry {
    gain: f64,
    unit: Unit,
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        let newer = self.unit.time.cmp(&other.unit.time);
        let by_gain = self.gain.total_cmp(&other.gain).then(newer);
        by_gain
            .then(self.unit.last.cmp(&other.unit.last))
            .then(self.unit.head.cmp(&other.unit.head))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

/// Moves the distinct numbers of a sorted run to its front, and returns how many they are.
fn distinct(sorted: &mut [u32]) -> usize {
    let mut len = 0;
    for at in 0..sorted.len() {
        if len == 0 || sorted[len - 1] != sorted[at] {
            sorted[len] = sorted[at];
            len += 1;
        }
    }
    len
}
