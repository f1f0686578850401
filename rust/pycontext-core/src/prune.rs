//! The packing kernel: the one place that decides which blocks stay.
//!
//! Pins go in first, then unit after unit in the order of the policy, each one that still fits. Best first is no
//! shortcut for an exact knapsack: measured on labelled evidence, the optimum held more score and less evidence.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::columns::Columns;
use crate::cost::Cost;
use crate::dedup::duplicates;
use crate::error::Error;
use crate::kind::Kind;
use crate::policy::{Duplicates, Order, Policy};
use crate::selection::{Pin, Reason, Selection};
use crate::unit::Units;

/// Share of the base score that a block without any relevance to the query keeps.
const BASE_SHARE: f64 = 0.3;

/// What the kernel is asked.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Tokens that there are.
    pub available: u64,
    /// Tokens of the request that belong to no block.
    pub fixed: u32,
    /// How to choose.
    pub policy: Policy,
    /// Rows that the caller pins, besides those that always are.
    pub pins: &'a [usize],
    /// Relevance to the query in `[0, 1]`, one a row.
    pub relevance: Option<&'a [f64]>,
}

/// Chooses the blocks that stay; `costs` has one entry a row.
///
/// # Errors
/// The pinned blocks need more than is available.
pub fn prune<T: AsRef<str>>(
    columns: &Columns<T>,
    costs: &[Cost],
    request: &Request<'_>,
) -> Result<Selection, Error> {
    let units = Units::of(columns);
    let scores = effective_scores(columns, request.relevance);
    let totals = Totals::of(columns, costs, &units, &scores);
    let heads = || (0..columns.len()).filter(|&row| units.head(row) == row);

    // The fate of a unit, by its head, as it becomes known.
    let mut fates: Vec<Option<Reason>> = vec![None; columns.len()];
    settle_pins(columns, &units, request.pins, &mut fates);
    if request.policy.duplicates == Duplicates::Drop {
        let is_candidate = |row: usize| columns.kinds()[row].is_fact() && units.size(row) == 1;
        let is_pinned = |row: usize| fates[row].is_some();
        for (row, copy) in duplicates(columns, &scores, is_candidate, is_pinned) {
            fates[row] = Some(Reason::Duplicate(to_u32(copy)));
        }
    }

    let mut pack = Pack { costs, fixed: request.fixed, sum: 0, last: None };
    for head in heads().filter(|&head| fates[head].is_some_and(Reason::is_kept)) {
        pack.add(&totals, head);
    }
    if pack.tokens() > request.available {
        let is_pinned = |row| fates[units.head(row)].is_some_and(Reason::is_kept);
        return Err(too_large(columns, costs, &pack, request, is_pinned));
    }

    let mut waiting = Vec::new();
    for head in heads() {
        if fates[head].is_some() {
            continue;
        }
        if totals.base[head] < request.policy.threshold {
            fates[head] = Some(Reason::BelowThreshold);
        } else {
            waiting.push(head);
        }
    }
    waiting.sort_unstable_by(|&a, &b| totals.compare(request.policy.order, b, a));
    fill(&mut pack, &totals, request.available, waiting, &mut fates);

    let reasons: Vec<_> = (0..columns.len()).map(|row| reason(row, &units, &fates)).collect();
    let kept: Vec<_> =
        (0..columns.len()).filter(|&row| reasons[row].is_kept()).map(to_u32).collect();
    Ok(Selection {
        tokens: pack.tokens(),
        available: request.available,
        is_exact: kept.iter().all(|&row| costs[row as usize].is_exact),
        scores: by_row(&units, &totals.score),
        unit_costs: by_row(&units, &totals.cost),
        costs: costs.iter().map(|c| c.tokens).collect(),
        threshold: request.policy.threshold,
        kept,
        reasons,
    })
}

/// Base scores, weighted by relevance where there is a query.
fn effective_scores<'a, T: AsRef<str>>(
    columns: &'a Columns<T>,
    relevance: Option<&[f64]>,
) -> Cow<'a, [f64]> {
    let base = columns.scores();
    match relevance {
        None => Cow::Borrowed(base),
        Some(relevance) => base
            .iter()
            .zip(relevance)
            .map(|(base, relevance)| base * (BASE_SHARE + (1.0 - BASE_SHARE) * relevance))
            .collect(),
    }
}

/// Decides what is pinned and what must not be sent at all.
fn settle_pins<T: AsRef<str>>(
    columns: &Columns<T>,
    units: &Units,
    named: &[usize],
    fates: &mut [Option<Reason>],
) {
    let mut pin = |row: usize, why: Pin| {
        fates[units.head(row)].get_or_insert(Reason::Pinned(why));
    };
    let kinds = columns.kinds();
    let of_kind = |kind: Kind| move |row: &usize| kinds[*row] == kind;
    for row in (0..columns.len()).filter(of_kind(Kind::System)) {
        pin(row, Pin::System);
    }
    let last_user = (0..columns.len()).rev().find(of_kind(Kind::User));
    if let Some(row) = last_user {
        pin(row, Pin::LastUser);
    }
    for &row in named {
        pin(row, Pin::Named);
    }
    if let Some((head, row)) = units.last_turn()
        && last_user.is_none_or(|user| row > user)
    {
        pin(head, Pin::LastUnit);
    }
    for row in 0..columns.len() {
        if let Some((_, what)) = units.broken(row) {
            // A pin is a promise: a broken unit that holds one stays as it is.
            fates[units.head(row)].get_or_insert(Reason::Orphan(what));
        }
    }
}

/// Takes what fits, in order; the others learn how much was left.
fn fill(
    pack: &mut Pack<'_>,
    totals: &Totals,
    available: u64,
    mut waiting: Vec<usize>,
    fates: &mut [Option<Reason>],
) {
    loop {
        let before = waiting.len();
        waiting.retain(|&head| {
            let left = available - pack.tokens();
            let fits = pack.tokens_with(totals, head) <= available;
            if fits {
                pack.add(totals, head);
            }
            fates[head] = Some(if fits { Reason::Kept } else { Reason::Budget(left) });
            !fits
        });
        // In the text form a new last block can free a token, so that another look may find room.
        let may_gain = pack.costs.iter().any(|c| c.tail != 0);
        if !may_gain || waiting.len() == before {
            return;
        }
    }
}

/// What a row's unit came to, said from the row's side.
fn reason(row: usize, units: &Units, fates: &[Option<Reason>]) -> Reason {
    let head = units.head(row);
    let fate = fates[head].unwrap_or(Reason::Kept);
    let speaker = match (fate, units.broken(row)) {
        (Reason::Orphan(_), Some((at, _))) => at,
        _ => head,
    };
    if fate.is_kept() || row == speaker { fate } else { Reason::Unit(to_u32(speaker)) }
}

/// The error that names the largest pinned blocks: without them the others would fit.
fn too_large<T: AsRef<str>>(
    columns: &Columns<T>,
    costs: &[Cost],
    pack: &Pack<'_>,
    request: &Request<'_>,
    is_pinned: impl Fn(usize) -> bool,
) -> Error {
    let needed = pack.tokens();
    let mut pinned: Vec<_> = (0..columns.len()).filter(|&row| is_pinned(row)).collect();
    pinned.sort_by_key(|&row| std::cmp::Reverse(costs[row].tokens));
    let mut excess = needed - request.available;
    let mut blockers = Vec::new();
    for &row in &pinned {
        if excess == 0 {
            break;
        }
        excess = excess.saturating_sub(u64::from(costs[row].tokens));
        blockers.push(columns.ids()[row].as_ref().to_owned());
    }
    Error::Budget {
        needed,
        available: request.available,
        largest: pinned.first().map_or(0, |&row| costs[row].tokens.into()),
        blockers,
    }
}

/// Sums and extremes of every unit, at its head.
struct Totals {
    cost: Vec<u64>,
    /// Best effective score of its blocks.
    score: Vec<f64>,
    /// Best base score of its blocks.
    base: Vec<f64>,
    /// Time of its newest block.
    time: Vec<i64>,
    /// Its last row.
    last: Vec<usize>,
}

impl Totals {
    fn of<T: AsRef<str>>(
        columns: &Columns<T>,
        costs: &[Cost],
        units: &Units,
        scores: &[f64],
    ) -> Self {
        let n = columns.len();
        let mut totals = Self {
            cost: vec![0; n],
            score: scores.to_vec(),
            base: columns.scores().to_vec(),
            time: columns.timestamps().to_vec(),
            last: (0..n).collect(),
        };
        for row in 0..n {
            let head = units.head(row);
            totals.cost[head] += u64::from(costs[row].tokens);
            if head != row {
                totals.score[head] = totals.score[head].max(scores[row]);
                totals.base[head] = totals.base[head].max(columns.scores()[row]);
                totals.time[head] = totals.time[head].max(columns.timestamps()[row]);
                totals.last[head] = row;
            }
        }
        totals
    }

    /// Orders units from the last to be taken to the first.
    fn compare(&self, order: Order, a: usize, b: usize) -> Ordering {
        let newer = self.time[a].cmp(&self.time[b]);
        let better = || self.score[a].total_cmp(&self.score[b]);
        let by_policy = match order {
            Order::Score => better().then(newer),
            // Equal times are common in imported turns: there the order of the input says which is newer.
            Order::Time => newer,
        };
        by_policy.then(self.last[a].cmp(&self.last[b])).then(a.cmp(&b))
    }
}

/// The request as it fills up.
struct Pack<'a> {
    costs: &'a [Cost],
    fixed: u32,
    sum: u64,
    /// The last row so far: in the text form nothing stands behind it.
    last: Option<usize>,
}

impl Pack<'_> {
    fn tokens(&self) -> u64 {
        self.total(self.sum, self.last)
    }

    fn tokens_with(&self, totals: &Totals, head: usize) -> u64 {
        let last = self.last.max(Some(totals.last[head]));
        self.total(self.sum + totals.cost[head], last)
    }

    fn add(&mut self, totals: &Totals, head: usize) {
        self.sum += totals.cost[head];
        self.last = self.last.max(Some(totals.last[head]));
    }

    fn total(&self, sum: u64, last: Option<usize>) -> u64 {
        last.map_or(0, |last| {
            (sum + u64::from(self.fixed)).saturating_add_signed(self.costs[last].tail.into())
        })
    }
}

fn by_row<V: Copy>(units: &Units, by_head: &[V]) -> Vec<V> {
    (0..by_head.len()).map(|row| by_head[units.head(row)]).collect()
}

fn to_u32(row: usize) -> u32 {
    // `Columns::push` holds the number of rows below 2**32.
    u32::try_from(row).unwrap_or(u32::MAX)
}
