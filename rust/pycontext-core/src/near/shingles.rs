//! The word triples of a text, as hashes that are the same everywhere.

/// Words of a shingle.
const WORDS: usize = 3;

/// From here on scripts are written without blanks: each character counts as a word.
const NO_BLANKS: char = '\u{2e80}';

/// The hashes of all runs of three words, ascending, each once; of a shorter text one of all its words.
pub fn shingles(text: &str) -> Vec<u64> {
    let mut found = Vec::with_capacity(text.len() / 5);
    // The hashes of the last words, the newest last.
    let mut last = [0_u64; WORDS];
    let mut count = 0;
    let mut word = 0_u64;
    let mut end = |word: &mut u64| {
        if *word != 0 {
            last.rotate_left(1);
            last[WORDS - 1] = std::mem::take(word);
            count += 1;
            if count >= WORDS {
                found.push(last.iter().fold(0, |hash, word| mix(hash, *word)));
            }
        }
    };
    for char in text.chars() {
        if char.is_ascii_alphanumeric() {
            word = mix(word, u64::from(char.to_ascii_lowercase()));
        } else if !char.is_alphanumeric() {
            end(&mut word);
        } else if char >= NO_BLANKS {
            end(&mut word);
            word = mix(0, u64::from(char));
            end(&mut word);
        } else {
            word = char.to_lowercase().fold(word, |word, char| mix(word, u64::from(char)));
        }
    }
    end(&mut word);
    if count > 0 && count < WORDS {
        found.push(last[WORDS - count..].iter().fold(0, |hash, word| mix(hash, *word)));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The part that two ascending sets have in common of what they have together.
pub fn jaccard(one: &[u64], other: &[u64]) -> f64 {
    let (mut a, mut b, mut common) = (0, 0, 0_u32);
    while a < one.len() && b < other.len() {
        common += u32::from(one[a] == other[b]);
        let (left, right) = (one[a], other[b]);
        a += usize::from(left <= right);
        b += usize::from(right <= left);
    }
    #[expect(clippy::cast_precision_loss, reason = "the triples of a text")]
    let all = (one.len() + other.len()) as f64 - f64::from(common);
    if all > 0.0 { f64::from(common) / all } else { 0.0 }
}

/// Folds a value into a hash, never to 0.
fn mix(hash: u64, value: u64) -> u64 {
    let product = u128::from(hash ^ value ^ 0x9e37_79b9_7f4a_7c15)
        * 0xd6e8_feb8_6659_fd93_a076_1d64_78bd_642f_u128;
    #[expect(clippy::cast_possible_truncation, reason = "both halves are folded into one")]
    let folded = (product >> 64) as u64 ^ product as u64;
    folded | 1
}
