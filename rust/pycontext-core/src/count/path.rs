//! The ways to count, of which the processor decides one when it is first asked.

#![expect(
    unsafe_code,
    reason = "functions for processors with vectors; a value of their lanes proves that they may run"
)]

use super::blocks::Portable;
use super::pattern::Pattern;
use super::scratch::{ByBlocks, ByPattern, Scratch};
use super::tables::Tables;
#[cfg(target_arch = "x86_64")]
use super::{avx2::Avx2, avx512::Avx512};

/// A way to find the pieces of a text. All of them give the same counts.
#[derive(Debug, Clone, Copy)]
pub enum Path {
    /// Character by character.
    Scalar,
    /// By blocks, without vectors: for tests.
    Portable,
    /// By blocks, with AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// By blocks, with AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Path {
    /// Those that this processor has, the fastest first.
    pub fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let vectors = [Avx512::new().map(Self::Avx512), Avx2::new().map(Self::Avx2)];
        #[cfg(not(target_arch = "x86_64"))]
        let vectors = [None, None];
        vectors.into_iter().flatten().chain([Self::Scalar, Self::Portable])
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(_) => "avx512",
        }
    }

    /// Tokens of `text`, or of its beginning if they are more than `limit`.
    pub(super) fn count<P: Pattern>(
        self,
        scratch: &mut Scratch,
        tables: &Tables,
        text: &str,
        limit: u64,
    ) -> u64 {
        match self {
            Self::Scalar => scratch.count::<P, _>(ByPattern, tables, text, limit),
            Self::Portable => scratch.count::<P, _>(ByBlocks(Portable), tables, text, limit),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a value of the lanes exists only where the processor has these instructions.
            Self::Avx2(lanes) => unsafe { avx2::<P>(lanes, scratch, tables, text, limit) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx512(lanes) => unsafe { avx512::<P>(lanes, scratch, tables, text, limit) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn avx2<P: Pattern>(
    lanes: Avx2,
    scratch: &mut Scratch,
    tables: &Tables,
    text: &str,
    limit: u64,
) -> u64 {
    scratch.count::<P, _>(ByBlocks(lanes), tables, text, limit)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(
    enable = "avx2,bmi1,bmi2,lzcnt,popcnt,avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi2"
)]
fn avx512<P: Pattern>(
    lanes: Avx512,
    scratch: &mut Scratch,
    tables: &Tables,
    text: &str,
    limit: u64,
) -> u64 {
    scratch.count::<P, _>(ByBlocks(lanes), tables, text, limit)
}
