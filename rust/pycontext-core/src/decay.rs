//! Scores that fall with age, computed when they are read: the base score is never overwritten, so that ten looks
//! and one give the same number.
//!
//! `max(base * 2^(-age / half_life), min(base, floor))`, the age clamped at 0: a clock that runs ahead raises
//! nothing, and a floor raises nothing that was below it.
//!
//! `powf` takes one number at a time, 20 ns each. The power of two below is plain arithmetic that the compiler turns
//! into vectors: round the exponent, a polynomial for what is left, the whole part straight into the bits. It is
//! compiled for the vectors of this machine as well as for any machine. Both give the same bits, because every step
//! is one correctly rounded operation; a test compares them.

#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the vectors"
)]

use crate::kind::Kind;

/// Milliseconds of a minute.
const MINUTE: f64 = 60_000.0;

/// Ages above this are this, 71,000 years: so they fit the mantissa of a double.
const OLDEST: i64 = 1 << 51;

/// How scores fall.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decay {
    /// Binary logarithm of the factor by which a score falls in a minute, 0 or less, by type.
    rates: [f64; Kind::ALL.len()],
    /// Below this no score falls.
    floor: f64,
}

impl Decay {
    /// Scores of a type halve in so many minutes; infinity for types that keep theirs.
    #[must_use]
    pub fn by_half_life(minutes: [f64; Kind::ALL.len()], floor: f64) -> Self {
        Self { rates: minutes.map(|half| -1.0 / half), floor }
    }

    /// Every score but those of SYSTEM blocks falls by `factor` in a minute.
    #[must_use]
    pub fn by_factor(factor: f64, floor: f64) -> Self {
        let mut rates = [factor.log2(); Kind::ALL.len()];
        rates[Kind::System as usize] = 0.0;
        Self { rates, floor }
    }

    /// Scores at the time `now`, in milliseconds since the epoch; the three columns have one entry a block.
    #[must_use]
    pub fn apply(&self, scores: &[f64], timestamps: &[i64], kinds: &[Kind], now: i64) -> Vec<f64> {
        let rates = self.rates.map(|rate| rate / MINUTE);
        vectors::fall(&Rows { scores, timestamps, kinds, rates, floor: self.floor, now })
    }
}

/// What is read.
#[derive(Debug, Clone, Copy)]
struct Rows<'a> {
    scores: &'a [f64],
    timestamps: &'a [i64],
    kinds: &'a [Kind],
    /// Binary logarithm of the factor a millisecond, by type.
    rates: [f64; Kind::ALL.len()],
    floor: f64,
    now: i64,
}

/// Lets every score fall. Inlined into functions that are compiled for different vectors.
#[inline(always)]
fn fall(rows: &Rows<'_>) -> Vec<f64> {
    /// The compiler likes to know how long a loop is.
    const CHUNK: usize = 64;
    let mut out = Vec::with_capacity(rows.scores.len());
    let (scores, other_scores) = rows.scores.as_chunks::<CHUNK>();
    let (timestamps, other_timestamps) = rows.timestamps.as_chunks::<CHUNK>();
    let (kinds, other_kinds) = rows.kinds.as_chunks::<CHUNK>();
    for ((scores, timestamps), kinds) in scores.iter().zip(timestamps).zip(kinds) {
        let mut fallen = *scores;
        fall_chunk(&mut fallen, timestamps, kinds, rows);
        out.extend_from_slice(&fallen);
    }
    let from = out.len();
    out.extend_from_slice(other_scores);
    fall_chunk(&mut out[from..], other_timestamps, other_kinds, rows);
    out
}

#[inline(always)]
fn fall_chunk(scores: &mut [f64], timestamps: &[i64], kinds: &[Kind], rows: &Rows<'_>) {
    for ((score, timestamp), kind) in scores.iter_mut().zip(timestamps).zip(kinds) {
        let age = rows.now.saturating_sub(*timestamp).clamp(0, OLDEST);
        let fallen = *score * power_of_two(to_f64(age) * rows.rates[*kind as usize]);
        *score = larger(fallen, smaller(*score, rows.floor));
    }
}

/// 2 to the power of a number that is not positive, to the last bit or the one before it.
#[inline(always)]
fn power_of_two(exponent: f64) -> f64 {
    /// Adding it leaves no room for a fraction: the whole number is in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    /// `ln(2)^n / n!`: the series of 2^x, which for |x| <= 1/2 ends below the last bit.
    const SERIES: [f64; 13] = [
        1.0,
        std::f64::consts::LN_2,
        2.402_265_069_591_007e-1,
        5.550_410_866_482_158e-2,
        9.618_129_107_628_477e-3,
        1.333_355_814_642_844_3e-3,
        1.540_353_039_338_161e-4,
        1.525_273_380_405_984_2e-5,
        1.321_548_679_014_430_8e-6,
        1.017_808_600_923_97e-7,
        7.054_911_620_801_123e-9,
        4.445_538_271_870_811e-10,
        2.567_843_599_348_821_4e-11,
    ];
    let exponent = larger(exponent, -1_000.0);
    let shifted = exponent + ROUND;
    let rest = exponent - (shifted - ROUND);
    let series = SERIES.iter().rev().fold(0.0, |sum: f64, term| sum.mul_add(rest, *term));
    f64::from_bits(series.to_bits().wrapping_add(shifted.to_bits() << 52))
}

/// A whole number from 0 to `OLDEST`: it goes into the mantissa of a power of two, which is taken off again.
#[inline(always)]
fn to_f64(number: i64) -> f64 {
    const POWER: u64 = 0x4330_0000_0000_0000;
    f64::from_bits(number.cast_unsigned() | POWER) - f64::from_bits(POWER)
}

// `f64::max` minds NaN, which is no score and costs a comparison more.
#[inline(always)]
fn larger(a: f64, b: f64) -> f64 {
    if a > b { a } else { b }
}

#[inline(always)]
fn smaller(a: f64, b: f64) -> f64 {
    if a < b { a } else { b }
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "to call code for instructions that not every machine has")]
mod vectors {
    use super::Rows;

    pub fn fall(rows: &Rows<'_>) -> Vec<f64> {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
        {
            // SAFETY: the machine has the instructions that the function is compiled for.
            unsafe { with_avx512(rows) }
        } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: as above.
            unsafe { with_avx2(rows) }
        } else {
            super::fall(rows)
        }
    }

    #[target_feature(enable = "avx512f,avx512dq,avx512vl,fma")]
    fn with_avx512(rows: &Rows<'_>) -> Vec<f64> {
        super::fall(rows)
    }

    #[target_feature(enable = "avx2,fma")]
    fn with_avx2(rows: &Rows<'_>) -> Vec<f64> {
        super::fall(rows)
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod vectors {
    pub use super::fall;
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// Scores, ages and types of every height.
    fn columns(n: usize) -> (Vec<f64>, Vec<i64>, Vec<Kind>) {
        let scores = (0..n).map(|i| f64::from(u32::try_from(i * 37 % 101).unwrap_or(0)) / 100.0);
        let ages = (0..n).map(|i| i64::try_from(i * i * 977).unwrap_or(0) % (90 * HOUR));
        let kinds = (0..n).map(|i| Kind::ALL[i % 6]);
        (scores.collect(), ages.collect(), kinds.collect())
    }

    #[test]
    fn scores_fall_as_the_formula_says() {
        let (scores, timestamps, kinds) = columns(1_000);
        let now = 50 * HOUR;
        let halves = [f64::INFINITY, 60.0, 60.0, 1e6, 1.0, 0.001];
        let fallen = Decay::by_half_life(halves, 0.1).apply(&scores, &timestamps, &kinds, now);
        for row in 0..1_000 {
            #[expect(clippy::cast_precision_loss, reason = "below 2**53")]
            let minutes = (now - timestamps[row]).max(0) as f64 / MINUTE;
            let base = scores[row];
            let expected = base * (-minutes / halves[kinds[row] as usize]).exp2();
            let expected = expected.max(base.min(0.1));
            assert!((fallen[row] - expected).abs() <= 4e-16, "{row}: {} {expected}", fallen[row]);
        }
    }

    #[test]
    fn every_machine_gives_the_same_bits() {
        for n in [0, 1, 63, 64, 65, 5_000] {
            let (scores, timestamps, kinds) = columns(n);
            let decay = Decay::by_factor(0.95, 0.05);
            let here = decay.apply(&scores, &timestamps, &kinds, 3 * HOUR);
            let rates = decay.rates.map(|rate| rate / MINUTE);
            let (floor, now) = (0.05, 3 * HOUR);
            let (timestamps, kinds) = (&timestamps, &kinds);
            let anywhere = fall(&Rows { scores: &scores, timestamps, kinds, rates, floor, now });
            let bits = |scores: &[f64]| scores.iter().map(|s| s.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&here), bits(&anywhere));
        }
    }

    #[test]
    fn nothing_rises_and_extremes_are_numbers() {
        let kinds = [Kind::User; 4];
        let scores = [0.0, 0.01, 0.5, 1.0];
        for (now, at) in [(0, HOUR), (i64::MAX, 0), (0, i64::MAX), (HOUR, HOUR)] {
            for decay in [Decay::by_factor(0.5, 0.1), Decay::by_factor(1e-300, 0.0)] {
                let fallen = decay.apply(&scores, &[at; 4], &kinds, now);
                assert!(fallen.iter().zip(scores).all(|(new, old)| (0.0..=old).contains(new)));
                if now <= at {
                    assert_eq!(fallen, scores);
                }
            }
        }
        let floor = Decay::by_factor(0.5, 0.1).apply(&scores, &[0; 4], &kinds, i64::MAX);
        assert_eq!(floor, [0.0, 0.01, 0.1, 0.1]);
    }
}
