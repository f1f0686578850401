//! Masks by AVX-512, and lists by compressing the numbers of the bits.

#![allow(
    clippy::inline_always,
    reason = "what vectors are compiled for has to be inside of what is compiled for vectors"
)]
#![expect(unsafe_code, reason = "vector instructions; `Portable` is the twin that tests compare")]

use std::arch::x86_64::{
    __m128i, __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_add_epi32, _mm512_castsi512_si128,
    _mm512_cmpeq_epi8_mask, _mm512_cmple_epu8_mask, _mm512_cvtepu8_epi32,
    _mm512_extracti32x4_epi32, _mm512_loadu_si512, _mm512_maskz_compress_epi8, _mm512_movepi8_mask,
    _mm512_or_si512, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_storeu_si512, _mm512_sub_epi8,
};

use super::avx2::Avx2;
use super::blocks::{BLOCK, Lanes, Masks};

/// The processor has AVX-512 with bytes and compression (VBMI2).
#[derive(Debug, Clone, Copy)]
pub struct Avx512(());

impl Avx512 {
    /// The proof, if it can be given.
    pub fn new() -> Option<Self> {
        let has = Avx2::new().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vbmi2");
        has.then_some(Self(()))
    }
}

impl Lanes for Avx512 {
    #[inline(always)]
    fn masks(self, block: &[u8; BLOCK]) -> Masks {
        // SAFETY: a value of this type exists only where the processor has these instructions.
        unsafe { masks(block) }
    }

    #[inline(always)]
    fn list(self, bits: u64, base: u32, out: &mut [u32; BLOCK]) {
        // SAFETY: as above.
        unsafe { list(bits, base, out) }
    }

    #[inline(always)]
    fn fetch<T>(self, soon: &T) {
        // SAFETY: every x86-64 has the instruction, and the address is that of a reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(soon).cast()) };
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn masks(block: &[u8; BLOCK]) -> Masks {
    // SAFETY: the array has 64 bytes; the load needs no alignment.
    let bytes = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
    let all = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
    let is = |byte: u8| _mm512_cmpeq_epi8_mask(bytes, all(byte));
    let within = |bytes: __m512i, first: u8, last: u8| {
        _mm512_cmple_epu8_mask(_mm512_sub_epi8(bytes, all(first)), all(last - first))
    };
    let space = is(b' ');
    Masks {
        letter: within(_mm512_or_si512(bytes, all(0x20)), b'a', b'z'),
        upper: within(bytes, b'A', b'Z'),
        digit: within(bytes, b'0', b'9'),
        white: within(bytes, b'\t', b'\r') | space,
        space,
        newline: is(b'\n') | is(b'\r'),
        slash: is(b'/'),
        apostrophe: is(b'\''),
        foreign: _mm512_movepi8_mask(bytes),
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vbmi2")]
fn list(bits: u64, base: u32, out: &mut [u32; BLOCK]) {
    const NUMBERS: [u8; BLOCK] = {
        let mut numbers = [0; BLOCK];
        let mut i = 0_u8;
        while i < 64 {
            numbers[i as usize] = i;
            i += 1;
        }
        numbers
    };
    // SAFETY: the array has 64 bytes.
    let numbers = unsafe { _mm512_loadu_si512(NUMBERS.as_ptr().cast()) };
    let listed = _mm512_maskz_compress_epi8(bits, numbers);
    let base = _mm512_set1_epi32(base.cast_signed());
    let [first, second, third, fourth] = out.as_chunks_mut::<16>().0 else { return };
    let write = |sixteen: __m128i, out: &mut [u32; 16]| {
        let places = _mm512_add_epi32(_mm512_cvtepu8_epi32(sixteen), base);
        // SAFETY: the array has 64 bytes; the store needs no alignment.
        unsafe { _mm512_storeu_si512(out.as_mut_ptr().cast(), places) };
    };
    write(_mm512_castsi512_si128(listed), first);
    let count = bits.count_ones();
    if count > 16 {
        write(_mm512_extracti32x4_epi32::<1>(listed), second);
        if count > 32 {
            write(_mm512_extracti32x4_epi32::<2>(listed), third);
            write(_mm512_extracti32x4_epi32::<3>(listed), fourth);
        }
    }
}
