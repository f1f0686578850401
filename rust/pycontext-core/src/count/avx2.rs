//! Masks by AVX2.

#![allow(
    clippy::inline_always,
    reason = "what vectors are compiled for has to be inside of what is compiled for vectors"
)]
#![expect(unsafe_code, reason = "vector instructions; `Portable` is the twin that tests compare")]

use std::arch::x86_64::{
    __m256i, _MM_HINT_T0, _mm_prefetch, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8,
    _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_sub_epi8,
};

use super::blocks::{BLOCK, Lanes, Masks};

/// The processor has AVX2 and both sets of bit manipulations.
#[derive(Debug, Clone, Copy)]
pub struct Avx2(());

impl Avx2 {
    /// The proof, if it can be given.
    pub fn new() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt")
            && is_x86_feature_detected!("popcnt");
        has.then_some(Self(()))
    }
}

impl Lanes for Avx2 {
    #[inline(always)]
    fn masks(self, block: &[u8; BLOCK]) -> Masks {
        // SAFETY: a value of this type exists only where the processor has these instructions.
        unsafe { masks(block) }
    }

    #[inline(always)]
    fn list(self, mut bits: u64, base: u32, out: &mut [u32; BLOCK]) {
        // Eight at a time whether they are there or not: one branch for most blocks, not one a bit.
        for eight in out.as_chunks_mut::<8>().0 {
            if bits == 0 {
                return;
            }
            for place in eight {
                *place = base.wrapping_add(bits.trailing_zeros());
                bits &= bits.wrapping_sub(1);
            }
        }
    }

    #[inline(always)]
    fn fetch<T>(self, soon: &T) {
        // SAFETY: every x86-64 has the instruction, and the address is that of a reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(soon).cast()) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn masks(block: &[u8; BLOCK]) -> Masks {
    let (low, high) = (half(block, 0), half(block, 32));
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Masks {
        letter: join(low.letter, high.letter),
        upper: join(low.upper, high.upper),
        digit: join(low.digit, high.digit),
        white: join(low.white, high.white),
        space: join(low.space, high.space),
        newline: join(low.newline, high.newline),
        slash: join(low.slash, high.slash),
        apostrophe: join(low.apostrophe, high.apostrophe),
        foreign: join(low.foreign, high.foreign),
    }
}

struct Half {
    letter: u32,
    upper: u32,
    digit: u32,
    white: u32,
    space: u32,
    newline: u32,
    slash: u32,
    apostrophe: u32,
    foreign: u32,
}

#[inline]
#[target_feature(enable = "avx2")]
fn half(block: &[u8; BLOCK], at: usize) -> Half {
    let bytes = &block[at..at + 32];
    // SAFETY: the slice has 32 bytes; the load needs no alignment.
    let bytes = unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) };
    let bits = |mask: __m256i| _mm256_movemask_epi8(mask).cast_unsigned();
    let is = |byte: u8| _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte.cast_signed()));
    // Unsigned: a byte is in a range if its distance from the first is not changed by the minimum with the last's.
    let within = |bytes: __m256i, first: u8, last: u8| {
        let distance = _mm256_sub_epi8(bytes, _mm256_set1_epi8(first.cast_signed()));
        let most = _mm256_set1_epi8((last - first).cast_signed());
        _mm256_cmpeq_epi8(_mm256_min_epu8(distance, most), distance)
    };
    let folded = _mm256_or_si256(bytes, _mm256_set1_epi8(0x20));
    let space = is(b' ');
    Half {
        letter: bits(within(folded, b'a', b'z')),
        upper: bits(within(bytes, b'A', b'Z')),
        digit: bits(within(bytes, b'0', b'9')),
        white: bits(_mm256_or_si256(within(bytes, b'\t', b'\r'), space)),
        space: bits(space),
        newline: bits(_mm256_or_si256(is(b'\n'), is(b'\r'))),
        slash: bits(is(b'/')),
        apostrophe: bits(is(b'\'')),
        foreign: bits(bytes),
    }
}
