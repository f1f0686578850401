//! What a block's score comes to when the kernel looks: its base score after decay, with recency and relevance.

use std::borrow::Cow;

use crate::columns::Columns;
use crate::kind::Kind;
use crate::policy::Policy;

/// Share of its score that a block without any relevance to the query keeps.
const BASE_SHARE: f64 = 0.3;

/// Turns that recency raises, the newest first.
const RECENT_TURNS: usize = 10;

/// What recency falls by from one turn to the one before it.
const RECENCY_RATIO: f64 = 0.95;

/// Effective scores at the time `now`, the newest timestamp where it is `None`; `relevance` has one number a block.
#[must_use]
pub fn effective_scores<'a, T: AsRef<str>>(
    columns: &'a Columns<T>,
    policy: &Policy,
    now: Option<i64>,
    relevance: Option<&[f64]>,
) -> Cow<'a, [f64]> {
    let mut scores = Cow::Borrowed(columns.scores());
    if let Some(decay) = &policy.decay {
        let now = now.unwrap_or_else(|| columns.newest());
        scores = Cow::Owned(decay.apply(&scores, columns.timestamps(), columns.kinds(), now));
    }
    if policy.recency > 0.0 {
        raise_recent(scores.to_mut(), columns.kinds(), policy.recency);
    }
    if let Some(relevance) = relevance {
        for (score, relevance) in scores.to_mut().iter_mut().zip(relevance) {
            *score *= BASE_SHARE + (1.0 - BASE_SHARE) * relevance;
        }
    }
    scores
}

/// Raises the last turns, counted from the end and not by timestamps, which are equal in imported turns.
fn raise_recent(scores: &mut [f64], kinds: &[Kind], recency: f64) {
    let turns =
        (0..kinds.len()).rev().filter(|row| matches!(kinds[*row], Kind::User | Kind::Agent));
    let mut raised_by = recency;
    for row in turns.take(RECENT_TURNS) {
        scores[row] = (scores[row] + raised_by).min(1.0);
        raised_by *= RECENCY_RATIO;
    }
}
