//! Policies.

use std::collections::HashMap;
use std::sync::Arc;

use pycontext_core::decay::Decay;
use pycontext_core::kind::{Kind, Kinds};
use pycontext_core::policy::{self, Duplicates, Marks, Order, References, Tier};
use pyo3::prelude::*;

use crate::class;
use crate::error::refuse;
use crate::field::{kind, one_of};

/// How to choose, checked and ready for the kernel; `Policy` of the package is the face of it.
#[derive(Debug)]
#[pyclass(frozen, module = "pycontext._core")]
pub struct Policy {
    pub core: Arc<policy::Policy>,
}

/// A tier: name, types, order, share.
type RawTier<'py> = (String, Vec<Bound<'py, PyAny>>, Bound<'py, PyAny>, f64);

#[pymethods]
impl Policy {
    /// A policy of these tiers; numbers have been checked, `half_lives` are minutes.
    #[new]
    #[expect(clippy::too_many_arguments, reason = "all that a policy says")]
    fn new(
        py: Python<'_>,
        tiers: Vec<RawTier<'_>>,
        threshold: f64,
        duplicates: &Bound<'_, PyAny>,
        references: &Bound<'_, PyAny>,
        half_lives: HashMap<u8, f64>,
        floor: f64,
        recency: f64,
        min_relevance: f64,
        near_duplicates: Option<f64>,
        marks: Option<(f64, f64)>,
    ) -> PyResult<Self> {
        let refused = |fault| refuse(py, fault);
        let half_life = |kind: Kind| half_lives.get(&(kind as u8)).copied();
        let minutes = Kind::ALL.map(|kind| half_life(kind).unwrap_or(f64::INFINITY));
        let core = policy::Policy {
            tiers: tiers.into_iter().map(|raw| tier(py, raw)).collect::<PyResult<_>>()?,
            threshold,
            duplicates: one_of(duplicates, "duplicates", Duplicates::named, &["drop", "keep"])
                .map_err(refused)?,
            references: one_of(
                references,
                "references",
                References::named,
                &["results", "require"],
            )
            .map_err(refused)?,
            decay: (!half_lives.is_empty()).then(|| Decay::by_half_life(minutes, floor)),
            recency,
            min_relevance,
            near_duplicates,
            marks: marks.map(|(high, low)| Marks { high, low }),
        };
        Ok(Self { core: Arc::new(core) })
    }
}

fn tier(py: Python<'_>, (name, types, order, share): RawTier<'_>) -> PyResult<Tier> {
    let refused = |fault| refuse(py, fault);
    let order =
        one_of(&order, "order", Order::named, &["score", "time", "evidence"]).map_err(refused)?;
    let members = class::kinds(py)?;
    let kinds = types.iter().map(|value| kind(value, members).map_err(refused));
    let kinds = kinds.collect::<PyResult<Vec<_>>>()?;
    Ok(Tier { name, kinds: Kinds::of(kinds), order, share })
}
