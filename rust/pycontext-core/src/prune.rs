//! The packing kernel: the one place that decides which blocks stay.
//!
//! Pins go in first, then the tiers of the policy, in each unit after unit in its order, each one that still fits.
//! Best first is no shortcut for an exact knapsack: measured on labelled evidence, the optimum held more score and
//! less evidence.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::Arc;

use crate::columns::Columns;
use crate::cost::{Cost, CostColumn, Tails};
use crate::dedup::duplicates;
use crate::error::Error;
use crate::evidence::{Evidence, Question, Signal};
use crate::kind::Kind;
use crate::near::Near;
use crate::pack::{Pack, Unit};
use crate::policy::{Duplicates, Marks, Order, Policy, Tier};
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
    /// What is asked; a policy that takes units by evidence needs one, if only for the index.
    pub question: Option<Question<'a>>,
    /// When it is, in milliseconds since the epoch; `None` for the newest timestamp in the input.
    pub now: Option<i64>,
    /// What facts say, where a policy leaves out what says nearly the same.
    pub near: Option<&'a Near>,
    /// What became of every row in the request before this one; nothing where it is the first. Only a policy with marks
    /// goes on from it.
    pub before: Option<&'a [Before]>,
}

/// What became of a row in an earlier request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// It was not there.
    New,
    /// It stayed.
    Stayed,
    /// It fell.
    Fell,
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
    let weighed = request.question.filter(|_| !policy.has(Order::Evidence));
    let relevance = weighed.and_then(Question::relevance);
    let scores = effective_scores(columns, policy, request.now, relevance.as_deref());
    let input = Input::new(columns, costs.rows, &scores, &units);

    let health = units.health(columns);
    let before = request.before.filter(|_| policy.marks.is_some());
    let (mut fates, mut pack) = admitted(&input, &costs, &health, request, before)?;
    let mut room = request.available;
    let mut evidence = None;
    let goes_on = policy.marks.is_some_and(|marks| {
        let limit = Marks::at(marks.high, system_tokens(&input, request), request.available);
        go_on(&mut pack, &input, &mut fates, limit)
    });
    if !goes_on {
        if let Some(marks) = policy.marks {
            (fates, pack) = admitted(&input, &costs, &health, request, None)?;
            room = Marks::at(marks.low, system_tokens(&input, request), request.available);
            if pack.tokens() > room {
                // What must stay leaves no room below the mark: half of what it leaves is for the others.
                room = (pack.tokens() + request.available).div_ceil(2);
            }
        }
        let asked = request.question.filter(|_| policy.has(Order::Evidence));
        evidence = asked.map(|question| {
            let is_weighed =
                |row: usize| columns.kinds()[row] != Kind::System && units.head(row) == row;
            Evidence::of(columns, &units, &input.units_where(is_weighed), question)
        });
        if let Some(evidence) = &mut evidence {
            fates.follow(evidence, policy.min_relevance);
        }
        for (number, tier) in (0..).zip(&policy.tiers) {
            let limits = Limits { available: room, share: tier.limit(room), tier: number };
            fill(&mut pack, &input, tier, limits, &mut fates, evidence.as_mut());
        }
    }

    let reasons = fates.into_reasons(&units, Reason::Budget(pack.left(room)));
    let kept = kept_rows(&reasons);
    let is_exact = |&row: &u32| costs.rows[row as usize].is_exact;
    Ok(Selection {
        policy: Arc::clone(policy),
        tokens: pack.tokens(),
        available: request.available,
        room,
        is_exact: costs.is_exact || kept.iter().all(is_exact),
        kept,
        reasons,
        scores: match scores {
            Cow::Borrowed(_) => None,
            Cow::Owned(scores) => Some(scores),
        },
        account: evidence.map(|evidence| Arc::new(evidence.account)),
    })
}

/// What stays in any case, and who may not come in: the beginning of every choice.
///
/// # Errors
/// The pinned blocks need more than is available.
fn admitted<'a, T: AsRef<str>>(
    input: &Input<'_, T>,
    costs: &'a CostColumn<'a>,
    health: &Health,
    request: &Request<'_>,
    before: Option<&[Before]>,
) -> Result<(Fates, Pack<'a>), Error> {
    let policy = request.policy;
    let mut fates = Fates::of(input);
    let mut pack = Pack::new(costs, request.fixed);
    for head in fates.pin(input, health, request.pins) {
        pack.add(&input.unit(head));
    }
    if pack.tokens() > request.available {
        return Err(too_large(input, &pack, request.available, &fates));
    }
    fates.refuse_broken(health);
    if let Some(before) = before {
        for head in fates.keep_as_before(input, before) {
            pack.add(&input.unit(head));
        }
    }
    if policy.threshold > 0.0 {
        fates.refuse_low_scores(input, policy.threshold);
    }
    if policy.duplicates == Duplicates::Drop && input.columns.repeats().len() > 0 {
        fates.refuse_duplicates(input);
    }
    if let Some((near, threshold)) = request.near.zip(policy.near_duplicates) {
        fates.refuse_echoes(input, near, threshold);
    }
    if let Some(before) = before {
        fates.refuse_as_before(input, before);
    }
    Ok((fates, pack))
}

/// Adds all that waits to what was sent, where that fits; says whether it did.
fn go_on<T: AsRef<str>>(
    pack: &mut Pack<'_>,
    input: &Input<'_, T>,
    fates: &mut Fates,
    limit: u64,
) -> bool {
    let waiting = input.units_where(|row| fates.by_row[row].is_none());
    let mut whole = *pack;
    for unit in &waiting {
        whole.add(unit);
    }
    if whole.tokens() > limit {
        return false;
    }
    *pack = whole;
    for unit in &waiting {
        fates.by_row[unit.head as usize] = Some(Reason::Kept);
    }
    true
}

/// Tokens of SYSTEM blocks, and of the request that belong to no block.
fn system_tokens<T: AsRef<str>>(input: &Input<'_, T>, request: &Request<'_>) -> u64 {
    let rows = input.columns.kinds().iter().zip(input.costs);
    let system = rows.filter(|(kind, _)| **kind == Kind::System);
    u64::from(request.fixed) + system.map(|(_, cost)| u64::from(cost.tokens)).sum::<u64>()
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
        self.units_where(is_open)
    }

    /// Units whose first row is as asked, in the order of their rows.
    fn units_where(&self, is_open: impl Fn(usize) -> bool) -> Vec<Unit> {
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

    /// Keeps what stayed before, with what came to it; returns the first rows of the units.
    fn keep_as_before<T>(&mut self, input: &Input<'_, T>, before: &[Before]) -> Vec<usize> {
        let mut heads = Vec::new();
        let mut keep = |fate: &mut Option<Reason>, head: usize| {
            if fate.is_none() {
                *fate = Some(Reason::Kept);
                heads.push(head);
            }
        };
        for (row, _) in before.iter().enumerate().filter(|(_, before)| **before == Before::Stayed) {
            let head = input.units.head(row);
            keep(&mut self.by_row[head], head);
        }
        heads
    }

    /// What fell before stays out, with what came to it.
    fn refuse_as_before<T>(&mut self, input: &Input<'_, T>, before: &[Before]) {
        for (row, _) in before.iter().enumerate().filter(|(_, before)| **before == Before::Fell) {
            self.by_row[input.units.head(row)].get_or_insert(Reason::Cut);
        }
    }

    fn refuse_duplicates<T: AsRef<str>>(&mut self, input: &Input<'_, T>) {
        // What stays in any case is the copy that stays.
        let is_sure = |row: usize| self.by_row[row].is_some_and(Reason::is_kept);
        let is_candidate =
            |row: usize| input.units.is_single(row) && (self.by_row[row].is_none() || is_sure(row));
        let is_pinned = is_sure;
        let found = duplicates(input.columns, input.scores, is_candidate, is_pinned);
        for (row, copy) in found {
            self.by_row[row] = Some(Reason::Duplicate(to_u32(copy)));
        }
    }

    fn refuse_echoes<T: AsRef<str>>(&mut self, input: &Input<'_, T>, near: &Near, threshold: f64) {
        let kinds = input.columns.kinds();
        let is_sure = |row: u32| self.by_row[row as usize].is_some_and(Reason::is_kept);
        let is_candidate = |row: &u32| {
            let at = *row as usize;
            let is_open = self.by_row[at].is_none() || is_sure(*row);
            kinds[at].is_fact() && is_open && input.units.is_single(at)
        };
        let mut rows: Vec<u32> = (0..to_u32(input.costs.len())).filter(is_candidate).collect();
        // As of equal texts: what stays in any case, then the best score, the newest, the last.
        rows.sort_by(|a, b| {
            let merit = |row: u32| {
                let unit = input.single(row as usize);
                (is_sure(row), (unit.score + 0.0).to_bits(), unit.time, row)
            };
            merit(*b).cmp(&merit(*a))
        });
        for echo in near.echoes(&rows, kinds, threshold, is_sure) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "percent, from 0 to 100"
            )]
            let percent = (echo.similarity * 100.0) as u8;
            self.by_row[echo.row as usize] = Some(Reason::NearDuplicate(echo.copy, percent));
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

    /// What is pinned covers its identifiers, and references that matter too little go.
    fn follow(&mut self, evidence: &mut Evidence, min_relevance: f64) {
        for row in 0..self.by_row.len() {
            if self.is_pinned(row) {
                evidence.transcript.cover(to_u32(row));
            } else if let Signal::Relevance(_) = evidence.account.signals[row]
                && evidence.relevance(to_u32(row)) < min_relevance
            {
                self.by_row[row].get_or_insert(Reason::Irrelevant);
            }
        }
    }

    fn keep(&mut self, taken: &[u32]) {
        for head in taken {
            self.by_row[*head as usize] = Some(Reason::Kept);
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

/// Takes what fits of a tier, in order. What still waits has no fate, or has found no room in a share.
fn fill<T: AsRef<str>>(
    pack: &mut Pack<'_>,
    input: &Input<'_, T>,
    tier: &Tier,
    limits: Limits,
    fates: &mut Fates,
    mut evidence: Option<&mut Evidence>,
) {
    loop {
        let waiting = input.waiting(tier, fates);
        let taken = match &mut evidence {
            Some(evidence) if tier.order == Order::Evidence => {
                take_by_evidence(pack, waiting, limits.share, evidence)
            }
            _ => pack.fill(waiting, tier.order, limits.share),
        };
        fates.keep(&taken);
        // In the text form a new last block can free a token, so that another look may find room.
        if taken.is_empty() || pack.tails == Tails::default() {
            break;
        }
    }
    // Who found no room in a share before may have been here for more.
    if limits.share < limits.available || limits.tier > 0 {
        let left = pack.left(limits.share);
        for unit in input.waiting(tier, fates) {
            let is_short_of_share = pack.tokens_with(&unit) <= limits.available;
            fates.by_row[unit.head as usize] =
                is_short_of_share.then_some(Reason::Share(limits.tier, left));
        }
    }
}

/// References up to their share of the room, then the conversation with tools, then references again.
fn take_by_evidence(
    pack: &mut Pack<'_>,
    waiting: Vec<Unit>,
    limit: u64,
    evidence: &mut Evidence,
) -> Vec<u32> {
    let is_spoken = |unit: &Unit| evidence.transcript.holds(unit.head);
    let (spoken, mut references): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_spoken);
    for unit in &mut references {
        *unit = evidence.ranked(unit);
    }
    let used = pack.tokens();
    let first = used + evidence.room(limit.saturating_sub(used));
    let mut taken = pack.fill(references.clone(), Order::Score, first);
    // Where no turn waits there may still be one that is pinned, and a share.
    if first < limit || !spoken.is_empty() {
        let Evidence { transcript, account, .. } = evidence;
        let own = transcript.fill(pack, &spoken, limit, &mut account.signals);
        taken.sort_unstable();
        references.retain(|unit| taken.binary_search(&unit.head).is_err());
        taken.extend(own);
        taken.extend(pack.fill(references, Order::Score, limit));
    }
    taken
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
