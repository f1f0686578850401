//! What is asked of every conversation alike.

use std::sync::Arc;

use crate::columns::Columns;
use crate::cost::Render;
use crate::count::Encoding;
use crate::error::Error;
use crate::evidence::{Question, turns};
use crate::index::{Document, Index};
use crate::near::Near;
use crate::policy::{Order, Policy};
use crate::prune::{Request, prune};
use crate::selection::Selection;

/// What the model is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Nothing; a policy that needs a question takes the last turn of the user.
    Nothing,
    /// What the user of each conversation said last.
    LastTurn,
    /// The same of all, turn by turn.
    Turns(Vec<String>),
}

/// What becomes of a conversation whose pinned messages are more than the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// It is left out.
    Drop,
    /// It stays whole.
    Keep,
    /// Nothing stands in its place.
    Null,
}

/// How conversations are pruned.
#[derive(Debug, Clone)]
pub struct Job {
    /// Tokens that a request may have.
    pub available: u64,
    /// How to choose.
    pub policy: Arc<Policy>,
    /// What the model is asked.
    pub asked: Asked,
    /// What counts tokens.
    pub encoding: Encoding,
    /// What becomes of what cannot fit.
    pub overflow: Overflow,
}

impl Job {
    /// How requests are rendered.
    pub const RENDER: Render = Render::OpenAi;

    /// Chooses what stays of a conversation, whose costs are counted here.
    ///
    /// # Errors
    /// The pinned blocks need more than is available.
    pub fn choose<T: AsRef<str>>(&self, columns: &mut Columns<T>) -> Result<Selection, Error> {
        columns.settle();
        columns.fill_costs(Self::RENDER, &self.encoding);
        let columns = &*columns;
        let asks = self.policy.has(Order::Evidence) || self.asked != Asked::Nothing;
        let turns = match &self.asked {
            Asked::Turns(said) => turns(columns, said.clone()),
            Asked::LastTurn | Asked::Nothing if asks => turns(columns, Vec::new()),
            _ => Vec::new(),
        };
        let index = asks.then(|| {
            let mut index = Index::default();
            for row in 0..columns.len() {
                index.push(Document {
                    content: columns.contents()[row].as_ref(),
                    kind: columns.kinds()[row],
                    provider: columns.provider(row),
                });
            }
            index
        });
        let near = self.policy.near_duplicates.map(|_| {
            let mut near = Near::default();
            for (kind, content) in columns.kinds().iter().zip(columns.contents()) {
                near.push(*kind, content.as_ref());
            }
            near
        });
        let request = Request {
            available: self.available,
            fixed: Self::RENDER.fixed(),
            policy: &self.policy,
            pins: &[],
            question: index.as_ref().map(|index| Question {
                index,
                turns: &turns,
                relevance: None,
            }),
            now: None,
            near: near.as_ref(),
            before: None,
        };
        prune(columns, columns.costs(Self::RENDER), &request)
    }
}
