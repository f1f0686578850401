//! The word triples of a text, as hashes that are the same everywhere.

/// Words of a shingle.
const WORDS: usize = 3;

/// From here on scripts are written without blanks: each character counts as a word.
const NO_BLANKS: char = '\u{2e80}';

/// An odd number with as many ones as zeros.
const FACTOR: u64 = 0xa076_1d64_78bd_642f;

/// The hashes of all runs of three words, ascending, each once; of a shorter text one of all its words.
pub fn shingles(text: &str) -> Vec<u64> {
    let mut found = Vec::with_capacity(text.len() / 5);
    each_shingle(text, |shingle| found.push(shingle));
    found.sort_unstable();
    found.dedup();
    found
}

/// Hands over the same hashes as they come, those of equal runs each time.
pub fn each_shingle(text: &str, each: impl FnMut(u64)) {
    let mut run = Run { each, last: [0; WORDS], count: 0 };
    let mut word = Word::default();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte.is_ascii_alphanumeric() {
            word.push(byte.to_ascii_lowercase());
            at += 1;
        } else if byte.is_ascii() {
            run.end(&mut word);
            at += 1;
        } else {
            let Some(char) = text[at..].chars().next() else { break };
            at += char.len_utf8();
            if !char.is_alphanumeric() {
                run.end(&mut word);
            } else if char >= NO_BLANKS {
                run.end(&mut word);
                word.fold(u64::from(char));
                run.end(&mut word);
            } else {
                char.to_lowercase().for_each(|char| word.fold(u64::from(char)));
            }
        }
    }
    run.end(&mut word);
    if run.count > 0 && run.count < WORDS {
        let words = &run.last[WORDS - run.count..];
        (run.each)(words.iter().fold(0, |hash, word| mix(hash, *word)));
    }
}

/// The words so far.
struct Run<F> {
    each: F,
    /// The hashes of the last words, the newest last.
    last: [u64; WORDS],
    count: usize,
}

impl<F: FnMut(u64)> Run<F> {
    /// Takes a word, if there is one, and begins the next.
    fn end(&mut self, word: &mut Word) {
        let Some(hash) = std::mem::take(word).hash() else { return };
        self.last.rotate_left(1);
        self.last[WORDS - 1] = hash;
        self.count += 1;
        if self.count >= WORDS {
            (self.each)(self.last.iter().fold(0, |hash, word| mix(hash, *word)));
        }
    }
}

/// A word as it is read: eight ASCII letters are hashed at a time.
#[derive(Default)]
struct Word {
    hash: u64,
    pending: u64,
    bytes: u32,
}

impl Word {
    fn push(&mut self, byte: u8) {
        self.pending = self.pending << 8 | u64::from(byte);
        self.bytes += 1;
        if self.bytes == u64::BITS / 8 {
            self.flush();
        }
    }

    fn fold(&mut self, value: u64) {
        self.flush();
        self.hash = mix(self.hash, value);
    }

    fn flush(&mut self) {
        if self.bytes > 0 {
            self.hash = mix(self.hash, self.pending);
            (self.pending, self.bytes) = (0, 0);
        }
    }

    /// `None` where there is no word.
    fn hash(mut self) -> Option<u64> {
        self.flush();
        (self.hash != 0).then_some(self.hash)
    }
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
    let product = u128::from(hash ^ value ^ 0x9e37_79b9_7f4a_7c15) * u128::from(FACTOR);
    #[expect(clippy::cast_possible_truncation, reason = "both halves are folded into one")]
    let folded = (product >> 64) as u64 ^ product as u64;
    folded | 1
}
