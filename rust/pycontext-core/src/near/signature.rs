//! `MinHash` signatures by one permutation, in bands.
//!
//! Every shingle falls into a bin by the upper bits of its hash, and the least of a bin is its value: one pass instead of
//! one for every bin (Li, Owen, Zhang 2012). An empty bin takes the value of the next one that has one, with the
//! distance mixed in (Shrivastava, Li 2014).

/// Bands of a signature.
pub const BANDS: usize = 32;

/// Values of a band.
const VALUES: usize = 3;

const BINS: usize = BANDS * VALUES;

/// Bands that need to be looked at: of pairs as similar as 0.8 one in 100,000 shares none of 16, of pairs as similar as
/// 0.5 one in 70 shares none of 32.
pub fn needed(threshold: f64) -> usize {
    if threshold < 0.8 { BANDS } else { BANDS / 2 }
}

/// The bands of a set's signature, as keys that are different for every band.
pub fn bands(shingles: &[u64]) -> [u64; BANDS] {
    let mut bins = [u64::MAX; BINS];
    for shingle in shingles {
        // Spread once more: how a shingle was mixed leaves its lowest bit set.
        let hash = shingle.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        #[expect(clippy::cast_possible_truncation, reason = "below the number of bins")]
        let bin = ((u128::from(hash) * BINS as u128) >> 64) as usize;
        bins[bin] = bins[bin].min(hash.rotate_left(29));
    }
    let mut bands = [0; BANDS];
    for (number, band) in (0_u64..).zip(&mut bands) {
        let start = usize::try_from(number).unwrap_or(0) * VALUES;
        *band = (start..start + VALUES).fold(number, |key, bin| {
            let distance = (0..BINS).find(|step| bins[(bin + step) % BINS] != u64::MAX);
            let distance = distance.unwrap_or(0);
            let value = bins[(bin + distance) % BINS].wrapping_add(distance as u64);
            (key ^ value).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(31)
        });
    }
    bands
}
