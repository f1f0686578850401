//! Documents that say nearly the same, of many more than the memory holds.
//!
//! A document is sketched once: by one permutation as in `signature`, with more bins and 16 bits of each. Sketches are
//! compared instead of texts, those that are equal in one band: so what is kept of a document is as long for all. With 256
//! bins the similarity is off by 0.025 at 0.8 (one standard deviation).

use super::shingles::each_shingle;

/// Bins of a sketch.
pub const BINS: usize = 256;

/// A sketch of a document; all zero where it has no words.
pub type Sketch = [u16; BINS];

/// Documents whose keys are sorted at a time.
const AT_ONCE: usize = 4 << 20;

/// Documents with one key that are compared with each other before the others are compared with these alone.
const MOST_UNLIKE: usize = 64;

/// How sketches are cut into bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bands {
    /// Bins of a band.
    pub values: usize,
}

impl Bands {
    /// The cut by which pairs of that similarity are found: of those as similar as 0.7 one in 120 shares no band of six, of
    /// those as similar as 0.5 one in 60 none of four.
    #[must_use]
    pub fn for_threshold(threshold: f64) -> Self {
        Self { values: if threshold < 0.7 { 4 } else { 6 } }
    }

    /// How many there are.
    #[must_use]
    pub fn count(self) -> usize {
        BINS / self.values
    }

    /// The keys of a sketch, one a band; 0 where it has no words.
    pub fn keys(self, sketch: &Sketch) -> impl Iterator<Item = u64> {
        let is_empty = *sketch == [0; BINS];
        sketch.chunks_exact(self.values).map(move |values| {
            let key = values.iter().fold(1, |key: u64, value| {
                let mixed = (key ^ u64::from(*value)).wrapping_mul(0x9fb2_1c65_1e98_df25);
                mixed ^ mixed >> 29
            });
            if is_empty { 0 } else { key | 1 }
        })
    }
}

/// The sketch of a document; runs of words do not go from one of its texts to the next.
#[must_use]
pub fn sketch<'a>(texts: impl Iterator<Item = &'a str>) -> Sketch {
    let mut bins = [u64::MAX; BINS];
    let mut has_words = false;
    for text in texts {
        each_shingle(text, |shingle| {
            has_words = true;
            // Spread once more: how a shingle was mixed leaves its lowest bit set.
            let hash = shingle.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let bin = (hash >> 56) as usize;
            bins[bin] = bins[bin].min(hash.rotate_left(29));
        });
    }
    let mut sketch = [0; BINS];
    if !has_words {
        return sketch;
    }
    // An empty bin takes the value of the next one that has one, with the distance mixed in.
    let mut distance = (0..BINS).take_while(|at| bins[*at] == u64::MAX).count() as u64;
    let mut value = bins.iter().copied().find(|value| *value != u64::MAX).unwrap_or_default();
    for at in (0..BINS).rev() {
        if bins[at] == u64::MAX {
            distance += 1;
        } else {
            (value, distance) = (bins[at], 0);
        }
        let mixed = value.wrapping_add(distance).wrapping_mul(0xff51_afd7_ed55_8ccd);
        let short = (mixed >> 48) as u16;
        sketch[at] = short;
    }
    sketch
}

/// How similar two documents are, by their sketches.
#[must_use]
pub fn similarity(one: &[u16], other: &[u16]) -> f64 {
    let equal: u16 = one.iter().zip(other).map(|(a, b)| u16::from(a == b)).sum();
    f64::from(equal) / f64::from(u16::try_from(BINS).unwrap_or(u16::MAX))
}

/// Pairs of documents that are so similar, the later one first, of those that are equal in one band.
///
/// `keys` has the key of every document in that band, `sketches` all sketches one behind the other. `last` is kept from
/// band to band: a pair that was found before is not found again at once.
#[must_use]
pub fn pairs(keys: &[u64], sketches: &[u16], threshold: f64, last: &mut [u32]) -> Vec<[u32; 2]> {
    let sketch = |at: u32| &sketches[at as usize * BINS..][..BINS];
    let mut found = Vec::new();
    let parts = keys.len().div_ceil(AT_ONCE).max(1) as u64;
    let mut sorted: Vec<(u64, u32)> = Vec::new();
    for part in 0..parts {
        sorted.clear();
        let is_here = |key: u64| key != 0 && (key >> 1) % parts == part;
        sorted
            .extend((0..).zip(keys).filter(|(_, key)| is_here(**key)).map(|(at, key)| (*key, at)));
        sorted.sort_unstable();
        for group in sorted.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1) {
            // Those that are like no earlier one here.
            let mut firsts: Vec<u32> = Vec::new();
            for &(_, at) in group {
                let is_like = |first: &&u32| {
                    last[at as usize] == **first
                        || similarity(sketch(**first), sketch(at)) >= threshold
                };
                match firsts.iter().find(is_like) {
                    Some(&first) if last[at as usize] != first => {
                        last[at as usize] = first;
                        found.push([at, first]);
                    }
                    None if firsts.len() < MOST_UNLIKE => firsts.push(at),
                    _ => {}
                }
            }
        }
    }
    found
}

/// The documents that fall, as bits: each that is like an earlier one that stays.
#[must_use]
pub fn fallen(documents: usize, mut pairs: Vec<[u32; 2]>) -> Vec<u8> {
    pairs.sort_unstable();
    let mut bits = vec![0_u8; documents.div_ceil(8)];
    for [at, earlier] in pairs {
        let (at, earlier) = (at as usize, earlier as usize);
        if bits[earlier / 8] >> (earlier % 8) & 1 == 0 {
            bits[at / 8] |= 1 << (at % 8);
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(range: std::ops::Range<u32>) -> String {
        range.map(|n| format!("word{n}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_sketch_tells_how_similar_texts_are() {
        let whole = words(0..2_000);
        for common in [2_000, 1_800, 1_500, 1_000] {
            let other = words(2_000 - common..4_000 - common);
            let (a, b) = (sketch([&*whole].into_iter()), sketch([&*other].into_iter()));
            let exact = f64::from(common) / f64::from(4_000 - common);
            assert!((similarity(&a, &b) - exact).abs() < 0.1, "{common}");
        }
        assert_eq!(sketch(["..."].into_iter()), [0; BINS]);
    }

    #[test]
    fn nothing_falls_to_what_fell() {
        let bits = fallen(10, vec![[9, 8], [8, 7], [3, 1], [3, 2], [2, 1]]);
        let fell: Vec<_> = (0..10).filter(|at| bits[at / 8] >> (at % 8) & 1 == 1).collect();
        assert_eq!(fell, [2, 3, 8]);
    }

    #[test]
    fn many_equal_documents_are_found_at_once() {
        let one = sketch(["the same words in every one of them"].into_iter());
        let n = 100_000;
        let sketches: Vec<u16> = one.iter().copied().cycle().take(n * BINS).collect();
        let keys = vec![7; n];
        let mut last = vec![u32::MAX; n];
        let found = pairs(&keys, &sketches, 0.9, &mut last);
        assert_eq!(found.len(), n - 1);
        assert!(pairs(&keys, &sketches, 0.9, &mut last).is_empty());
    }
}
