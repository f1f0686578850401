//! The policy for a question: which units hold what the answer or the next call needs.
//!
//! Two kinds of text ask for two ways of choosing. References (memory, knowledge, a chat without tools) are read for
//! what the question is about: there words and meaning count, and age does not. In a conversation with tools the last
//! turn is "yes, go ahead", and what is needed are the codes, dates and names that the next call takes. Constants were
//! found on labelled evidence and lie on plateaus; `benches/evaluation` has the figures.

mod context;
mod reference;
mod transcript;

use std::borrow::Cow;

use crate::columns::Columns;
use crate::index::{EARLIER_TURNS, Index, Query};
use crate::kind::Kind;
use crate::pack::Unit;
use crate::unit::Units;

use reference::References;
use transcript::{Transcript, Weights};

/// What is asked of a set.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The words of the set.
    pub index: &'a Index,
    /// What the user says, the newest last; empty where nothing is asked.
    pub turns: &'a [String],
    /// How relevant each row is by another scorer, in `[0, 1]`.
    pub relevance: Option<&'a [f64]>,
}

impl<'a> Question<'a> {
    /// How relevant each row is to what is asked, in `[0, 1]`; `None` where nothing is.
    #[must_use]
    pub fn relevance(self) -> Option<Cow<'a, [f64]>> {
        let matches = || self.index.relevance(&Query::of(self.index, self.turns));
        let is_asked = !self.turns.is_empty();
        is_asked.then(|| self.relevance.map_or_else(|| Cow::Owned(matches()), Cow::Borrowed))
    }
}

/// What speaks for each unit.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// By first row: how much a reference matters, as a part of the best; 0.0 for what is none.
    references: Vec<f64>,
    /// Units of the conversation with tools.
    pub transcript: Transcript,
    /// Part of the room that references may have before the transcript is looked at.
    share: f64,
    /// What counted.
    pub account: Account,
}

/// Which signals counted, for the receipt.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    /// Terms of the question that some row has.
    pub terms: Vec<String>,
    /// Terms that the best matches added.
    pub added_terms: Vec<String>,
    /// Whether another scorer's numbers counted.
    pub is_fused: bool,
    /// Part of the room that references could have before the conversation with tools; `None` where only one is there.
    pub share: Option<f64>,
    /// How much the words of the question counted in the conversation with tools, in `[0, 1]`.
    pub gate: f64,
    /// By first row of the unit.
    pub signals: Vec<Signal>,
}

/// What spoke for a unit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Signal {
    /// The unit was not weighed.
    #[default]
    None,
    /// A reference: how much it matters, as a part of the best.
    Relevance(f32),
    /// A unit of the conversation with tools, when it was last weighed: identifiers that nothing taken before it had, and
    /// the weight of these and of the words of the question.
    Identifiers(u32, f32, f32),
}

/// A unit of the conversation with the rows that it has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member<'a> {
    /// The unit.
    pub unit: Unit,
    /// Its rows where they are several.
    pub rows: Option<&'a [u32]>,
}

impl Member<'_> {
    /// Its rows, ascending.
    fn rows(&self) -> impl Iterator<Item = usize> {
        let single = self.rows.is_none().then_some(self.unit.head);
        self.rows.unwrap_or_default().iter().copied().chain(single).map(|row| row as usize)
    }

    /// The largest of the values of its rows.
    fn best(&self, by_row: &[f64]) -> f64 {
        self.rows().map(|row| by_row[row]).fold(0.0, f64::max)
    }

    fn head(&self) -> usize {
        self.unit.head as usize
    }
}

/// The turns of a question: those that are `asked`, where none is the last turn of the user in the set; one that is that
/// turn has the two before it.
#[must_use]
pub fn turns<T: AsRef<str>>(columns: &Columns<T>, mut asked: Vec<String>) -> Vec<String> {
    let kinds = columns.kinds();
    let users = (0..kinds.len()).rev().filter(|row| kinds[*row] == Kind::User);
    let mut texts = users.map(|row| columns.contents()[row].as_ref());
    let Some(last) = texts.next() else { return asked };
    if asked.is_empty() {
        asked.push(last.to_owned());
    }
    if asked == [last] {
        for earlier in texts.take(EARLIER_TURNS) {
            asked.insert(0, earlier.to_owned());
        }
    }
    asked
}

/// How much the share of the room follows the better of two matches.
const SHARE_POWER: i32 = 4;

impl Evidence {
    /// Weighs the units of a set; `all` are its units but SYSTEM, in order.
    #[must_use]
    pub fn of<T: AsRef<str>>(
        columns: &Columns<T>,
        units: &Units,
        all: &[Unit],
        question: Question<'_>,
    ) -> Self {
        let kinds = columns.kinds();
        let has_tools = kinds.contains(&Kind::Tool);
        let (mut read, mut spoken) = (Vec::new(), Vec::new());
        for unit in all {
            let row = unit.head as usize;
            let member = Member { unit: *unit, rows: units.rows_of_group(row) };
            let is_spoken = has_tools && kinds[row].is_turn();
            if is_spoken { &mut spoken } else { &mut read }.push(member);
        }
        let index = question.index;
        let query = Query::of(index, question.turns);
        let own = own_rows(columns, &query, question);
        let mut account = Account {
            terms: query.terms.iter().map(|term| index.term(term.number).to_owned()).collect(),
            is_fused: question.relevance.is_some() && !read.is_empty(),
            signals: vec![Signal::None; columns.len()],
            ..Account::default()
        };
        let mut matches = Vec::new();
        let mut gate = 0.0;
        if !spoken.is_empty() {
            matches = index.bm25(query.newest_terms());
            for &row in &own {
                matches[row] = 0.0;
            }
            gate = specificity_gate(index, &query, &own);
            account.gate = gate;
        }
        let best = |members: &[Member<'_>]| {
            members.iter().map(|member| member.best(&matches)).fold(0.0, f64::max)
        };
        let mut share = 1.0;
        if !spoken.is_empty() && !read.is_empty() {
            let [reference, transcript] = [&read, &spoken].map(|part| best(part).powi(SHARE_POWER));
            share = if reference > 0.0 { reference / (reference + transcript) } else { 0.0 };
            account.share = Some(share);
        }
        let mut references = vec![0.0; columns.len()];
        if !read.is_empty() {
            let found =
                References { columns, question, query: &query, own: &own, members: &read }.weigh();
            account.added_terms = found.added_terms;
            for (member, value) in read.iter().zip(found.values) {
                references[member.head()] = value;
                account.signals[member.head()] = Signal::Relevance(narrow(value));
            }
        }
        let fit = context::fit(columns, index, &spoken);
        let transcript = Transcript::of(
            columns,
            index,
            &spoken,
            &Weights { matches: &matches, gate, fit: &fit },
        );
        Self { references, transcript, share, account }
    }

    /// How much a reference matters, as a part of the best.
    #[must_use]
    pub fn relevance(&self, head: u32) -> f64 {
        self.references[head as usize]
    }

    /// The same unit with the score that references are taken by: what it matters, times its own score, by what it costs.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no unit has 2**53 tokens")]
    pub fn ranked(&self, unit: &Unit) -> Unit {
        let value = unit.score * (self.relevance(unit.head) + LEAST);
        let score = value / (1.0 + LEAST) / (unit.cost.max(1) as f64).powf(COST_POWER);
        Unit { score, ..*unit }
    }

    /// Tokens that references may have before the transcript is looked at, of so many.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a part of at most 2**53 tokens, rounded down"
    )]
    pub fn room(&self, tokens: u64) -> u64 {
        ((tokens as f64) * self.share) as u64
    }
}

/// How much the cost of a reference counts against it.
const COST_POWER: f64 = 0.1;

/// What a reference has that matches nothing: among such the better own score is first.
const LEAST: f64 = 1e-9;

/// The rows that hold the newest turn itself: they match it best, and say nothing about it.
fn own_rows<T: AsRef<str>>(
    columns: &Columns<T>,
    query: &Query,
    question: Question<'_>,
) -> Vec<usize> {
    let Some(newest) = question.turns.last().map(|turn| turn.trim()) else { return Vec::new() };
    let terms = query.newest_terms();
    let Some(rarest) = terms.iter().min_by_key(|term| question.index.rows(term.number).count())
    else {
        return Vec::new();
    };
    let holds = |row: &usize| columns.contents()[*row].as_ref().contains(newest);
    question.index.rows(rarest.number).filter(holds).collect()
}

/// How much the words of the question can tell among turns: nothing for "yes, go ahead", all for a ticket.
fn specificity_gate(index: &Index, query: &Query, own: &[usize]) -> f64 {
    let is_elsewhere = |number| index.rows(number).any(|row| own.binary_search(&row).is_err());
    let found = query.newest_terms().iter().filter(|term| is_elsewhere(term.number));
    let sum: f64 = found.map(|term| index.idf(term.number)).sum();
    let largest = index.idf_of(1);
    if largest > 0.0 {
        ((sum / largest - GATE_FROM) / (GATE_TO - GATE_FROM)).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

/// Rare words that say nothing yet, and that say all.
const GATE_FROM: f64 = 6.0;
const GATE_TO: f64 = 14.0;

/// For the receipt.
#[expect(clippy::cast_possible_truncation, reason = "a number to show")]
fn narrow(value: f64) -> f32 {
    value as f32
}
