//! What a conversation with tools is about, for results that nobody has spoken of yet.
//!
//! The next call may take one code out of a long table, and nothing but the words around it says which. The last turn
//! is "yes, please"; what was wanted stands in the turns of the user before it, and in what the agent last proposed.

use hashbrown::HashSet;

use crate::columns::Columns;
use crate::index::{Index, Term};
use crate::kind::Kind;
use crate::render::body;

use super::Member;

/// Turns of the user that are read, the newest: more would cost a long session more than they tell.
const MOST_TURNS: usize = 64;

/// How well each unit matches what the conversation is about, as a part of the best.
pub fn fit<T: AsRef<str>>(columns: &Columns<T>, index: &Index, members: &[Member<'_>]) -> Vec<f64> {
    let kinds = columns.kinds();
    let rows = || members.iter().rev().flat_map(Member::rows);
    let Some(last) = rows().filter(|row| kinds[*row] == Kind::User).max() else {
        return vec![0.0; members.len()];
    };
    let is_call =
        |row: usize| columns.provider(row).is_some_and(|provider| !provider.calls.is_empty());
    let proposals = members.iter().filter(|member| member.rows.is_none()).map(Member::head);
    let is_proposal = |row: &usize| *row < last && kinds[*row] == Kind::Agent && !is_call(*row);
    let proposed = proposals.filter(is_proposal).max();
    let mut read: Vec<_> = rows().filter(|row| kinds[*row] == Kind::User && *row < last).collect();
    read.sort_unstable_by(|a, b| b.cmp(a));
    read.truncate(MOST_TURNS);
    read.extend(proposed);

    let mut numbers = HashSet::new();
    for &row in &read {
        let text = body(columns.contents()[row].as_ref(), columns.provider(row));
        numbers.extend(index.terms_of(&text).into_iter().map(|(term, _)| term));
    }
    let mut terms: Vec<_> =
        numbers.into_iter().map(|number| Term { number, weight: 1.0 }).collect();
    // Numbers tell how the index came to be; sums must not.
    terms.sort_unstable_by(|a, b| index.term(a.number).cmp(index.term(b.number)));
    let mut matches = index.bm25(&terms);
    for row in read.into_iter().chain([last]) {
        matches[row] = 0.0;
    }
    let mut fit: Vec<_> = members.iter().map(|member| member.best(&matches)).collect();
    crate::index::to_best(&mut fit);
    fit
}
