//! How well texts match a query by their words: BM25 over an inverted index that follows every change of a set.
//!
//! Words are those of Unicode Standard Annex #29, lower-cased, with at least one letter or digit. There is no stemming
//! and no normalisation: "é" in one code point and in two are two words. Scripts without blanks come in small pieces:
//! every ideograph and every Hiragana or Thai character is a word of its own, a run of Katakana or Hangul is one.

use hashbrown::{HashMap, HashSet};
use unicode_segmentation::UnicodeSegmentation;

use crate::stored::places;

/// How soon more of the same word stops to matter.
const K1: f64 = 1.5;
/// How much a long text is held against its words.
const B: f64 = 0.9;

/// An inverted index over the texts of a set, one row a text.
///
/// It keeps the words, not the texts, and forgets a word with its last row.
#[derive(Debug, Clone, Default)]
pub struct Index {
    /// By word, in the order of rows. Sums never go over the map itself: its order depends on the seed.
    postings: HashMap<Box<str>, Vec<Posting>>,
    /// Words by row.
    lengths: Vec<u32>,
    /// Sum of the lengths.
    total: u64,
}

/// How often a row has a word.
#[derive(Debug, Clone, Copy)]
struct Posting {
    row: u32,
    count: u32,
}

impl Index {
    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Bytes of the words and of where they are.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let words = self.postings.iter().map(|(word, rows)| word.len() + places(rows));
        self.postings.allocation_size() + words.sum::<usize>() + places(&self.lengths)
    }

    /// Gives back the room that is kept for texts to come.
    pub fn shrink_to_fit(&mut self) {
        self.postings.values_mut().for_each(Vec::shrink_to_fit);
        self.postings.shrink_to_fit();
        self.lengths.shrink_to_fit();
    }

    /// Appends a row.
    pub fn push(&mut self, text: &str) {
        let row = to_u32(self.len());
        let length = self.add(row, text);
        self.lengths.push(length);
        self.total += u64::from(length);
    }

    /// Changes the text of a row; `old` is the text that the row was indexed with.
    pub fn replace(&mut self, row: usize, old: &str, new: &str) {
        self.total -= u64::from(self.lengths[row]);
        // The new words come first: a word in both texts keeps its posting, and nothing behind it moves.
        self.lengths[row] = self.add(to_u32(row), new);
        self.total += u64::from(self.lengths[row]);
        words(old, |word| self.subtract(to_u32(row), word));
    }

    /// Drops the rows whose flag is false; `keep` has one flag a row, and later rows move up.
    ///
    /// Takes time linear in the postings.
    pub fn retain(&mut self, keep: &[bool]) {
        let mut kept = 0;
        let moved: Vec<Option<u32>> = keep
            .iter()
            .map(|&flag| {
                let row = flag.then_some(kept);
                kept += u32::from(flag);
                row
            })
            .collect();
        self.postings.retain(|_, list| {
            list.retain_mut(|posting| {
                let row = moved[posting.row as usize];
                posting.row = row.unwrap_or(posting.row);
                row.is_some()
            });
            !list.is_empty()
        });
        let mut flags = keep.iter();
        self.lengths.retain(|_| flags.next().copied().unwrap_or(true));
        self.total = self.lengths.iter().copied().map(u64::from).sum();
    }

    /// How well each row matches the query, in `[0, 1]`: BM25 as a part of the best score in the set.
    ///
    /// A word said twice in the query counts once. All is 0.0 where no row has a word of the query. Only the postings of
    /// the words of the query are read, in the order of the query, so that every process gets the same numbers.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "no set has 2**53 words")]
    pub fn relevance(&self, query: &str) -> Vec<f64> {
        let mut scores = vec![0.0; self.len()];
        let rows = f64::from(to_u32(self.len()));
        let mean = self.total as f64 / rows;
        let mut seen = HashSet::new();
        words(query, |word| {
            let Some((word, list)) = self.postings.get_key_value(word) else { return };
            if !seen.insert(word) {
                return;
            }
            let found = f64::from(to_u32(list.len()));
            let idf = (1.0 + (rows - found + 0.5) / (found + 0.5)).ln();
            for posting in list {
                let row = posting.row as usize;
                let (count, length) = (f64::from(posting.count), f64::from(self.lengths[row]));
                // The usual factor `K1 + 1` is left out: it is gone when the best score divides.
                scores[row] += idf * count / (count + K1 * (1.0 - B + B * length / mean));
            }
        });
        let best = scores.iter().copied().fold(0.0, f64::max);
        if best > 0.0 {
            for score in &mut scores {
                *score /= best;
            }
        }
        scores
    }

    /// Notes the words of a text for a row and returns their number.
    fn add(&mut self, row: u32, text: &str) -> u32 {
        let mut length = 0_u32;
        words(text, |word| {
            length = length.saturating_add(1);
            let Some(found) = self.postings.get_mut(word) else {
                self.postings.insert(word.into(), vec![Posting { row, count: 1 }]);
                return;
            };
            match found.last_mut() {
                Some(last) if last.row == row => last.count += 1,
                Some(last) if last.row > row => match found.binary_search_by_key(&row, |p| p.row) {
                    Ok(at) => found[at].count += 1,
                    Err(at) => found.insert(at, Posting { row, count: 1 }),
                },
                _ => found.push(Posting { row, count: 1 }),
            }
        });
        length
    }

    /// Takes one of a word from a row.
    fn subtract(&mut self, row: u32, word: &str) {
        let Some(list) = self.postings.get_mut(word) else { return };
        let Ok(at) = list.binary_search_by_key(&row, |p| p.row) else { return };
        list[at].count -= 1;
        if list[at].count == 0 {
            list.remove(at);
        }
        if list.is_empty() {
            self.postings.remove(word);
        }
    }
}

/// What the rules of Annex #29 make of an ASCII byte, as bits.
///
/// `JOINS_DIGITS` and `JOINS_LETTERS` are `DIGIT` and `LETTER` times 8: a byte with one of them belongs to a word when it
/// stands between two of the other.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0_u8;
    loop {
        class[byte as usize] = match byte {
            b'0'..=b'9' => DIGIT,
            b'A'..=b'Z' | b'a'..=b'z' => LETTER,
            b'_' => UNDERSCORE,
            b',' | b';' => JOINS_DIGITS,
            b':' => JOINS_LETTERS,
            b'.' | b'\'' => JOINS_DIGITS | JOINS_LETTERS,
            128.. => FOREIGN,
            _ => 0,
        };
        if byte == u8::MAX {
            break class;
        }
        byte += 1;
    }
};
const DIGIT: u8 = 1;
const LETTER: u8 = 2;
const UNDERSCORE: u8 = 4;
const JOINS_DIGITS: u8 = 8 * DIGIT;
const JOINS_LETTERS: u8 = 8 * LETTER;
const FOREIGN: u8 = 64;

/// Calls `each` with every word of a text, lower-cased.
///
/// The crate reads a whole text by its slow way for one dash or curly quote in it. Here ASCII words are found without
/// it, and only a piece between blanks that has other characters goes there, from the word that meets the first of
/// them. A joiner or a capital sigma at the start of such a piece does not see the punctuation before it; nothing else
/// differs.
fn words(text: &str, mut each: impl FnMut(&str)) {
    let text = text.to_ascii_lowercase();
    let bytes = text.as_bytes();
    let class = |at: usize| bytes.get(at).map_or(0, |&byte| CLASS[usize::from(byte)]);
    let mut at = 0;
    while at < bytes.len() {
        let (start, mut seen, mut last) = (at, 0, 0);
        let (end, next) = loop {
            let this = class(at);
            let is_inside = this & (DIGIT | LETTER | UNDERSCORE) != 0;
            if is_inside {
                (seen, last) = (seen | this, this);
            } else if (this / 8) & last & class(at + 1) == 0 {
                break (at, this);
            }
            at += 1;
        };
        let is_mixed = next == FOREIGN || (end > start && next != 0 && class(end + 1) == FOREIGN);
        if is_mixed {
            let blank = bytes[end..].iter().position(u8::is_ascii_whitespace);
            at = blank.map_or(bytes.len(), |blank| end + blank);
            text[start..at].to_lowercase().unicode_words().for_each(&mut each);
        } else if seen & (DIGIT | LETTER) != 0 {
            each(&text[start..end]);
        }
        at += 1;
    }
}

fn to_u32(n: usize) -> u32 {
    // `Columns::push` holds the number of rows below 2**32.
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator with a fixed seed: xorshift.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % u64::try_from(n).unwrap()).unwrap()
        }

        fn text(&mut self, pieces: &[&str], most: usize) -> String {
            let n = self.below(most + 1);
            (0..n).map(|_| pieces[self.below(pieces.len())]).collect()
        }
    }

    /// The words as the crate alone finds them.
    fn slow_words(text: &str) -> Vec<String> {
        text.to_lowercase().unicode_words().map(str::to_owned).collect()
    }

    fn fast_words(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        words(text, |word| found.push(word.to_owned()));
        found
    }

    fn indexed(texts: &[impl AsRef<str>]) -> Index {
        let mut index = Index::default();
        for text in texts {
            index.push(text.as_ref());
        }
        index
    }

    /// The formula, word by word and text by text.
    fn oracle(texts: &[String], query: &str) -> Vec<f64> {
        let texts: Vec<_> = texts.iter().map(|text| slow_words(text)).collect();
        let real = |n: usize| f64::from(to_u32(n));
        let rows = real(texts.len());
        let mean = real(texts.iter().map(Vec::len).sum()) / rows;
        let mut asked: Vec<String> = Vec::new();
        for word in slow_words(query) {
            if !asked.contains(&word) {
                asked.push(word);
            }
        }
        let score = |text: &Vec<String>| -> f64 {
            let of_word = |word: &String| {
                let found = real(texts.iter().filter(|t| t.contains(word)).count());
                let count = real(text.iter().filter(|w| *w == word).count());
                let idf = (1.0 + (rows - found + 0.5) / (found + 0.5)).ln();
                let norm = 1.0 - 0.9 + 0.9 * real(text.len()) / mean;
                if count == 0.0 { 0.0 } else { idf * count * 2.5 / (count + 1.5 * norm) }
            };
            asked.iter().map(of_word).sum()
        };
        let scores: Vec<f64> = texts.iter().map(score).collect();
        let best = scores.iter().copied().fold(0.0, f64::max);
        scores.iter().map(|s| if best > 0.0 { s / best } else { 0.0 }).collect()
    }

    const PIECES: [&str; 14] = [
        "red ",
        "Green ",
        "blue",
        " ",
        ", ",
        "it's ",
        "3.14 ",
        "ÄRGER ",
        "漢字",
        "— ",
        "λόγος ",
        "мир ",
        "🎉",
        "\n",
    ];

    #[test]
    fn random_changes_give_what_the_formula_gives() {
        let mut dice = Dice(42);
        for _ in 0..60 {
            let (mut index, mut texts) = (Index::default(), Vec::<String>::new());
            for _ in 0..40 {
                match dice.below(6) {
                    0 if !texts.is_empty() => {
                        let row = dice.below(texts.len());
                        let new = dice.text(&PIECES, 12);
                        index.replace(row, &texts[row], &new);
                        texts[row] = new;
                    }
                    1 => {
                        let keep: Vec<_> = texts.iter().map(|_| dice.below(4) > 0).collect();
                        index.retain(&keep);
                        let mut flags = keep.iter();
                        texts.retain(|_| *flags.next().unwrap());
                    }
                    _ => {
                        let text = dice.text(&PIECES, 30);
                        index.push(&text);
                        texts.push(text);
                    }
                }
                let query = dice.text(&PIECES, 6);
                let (got, wanted) = (index.relevance(&query), oracle(&texts, &query));
                assert_eq!(got.len(), wanted.len());
                for (got, wanted) in got.iter().zip(&wanted) {
                    assert!((got - wanted).abs() < 1e-12, "{query:?}: {got} is not {wanted}");
                }
            }
            index.retain(&vec![false; texts.len()]);
            assert!(index.is_empty() && index.postings.is_empty() && index.total == 0);
        }
    }

    #[test]
    fn the_numbers_do_not_depend_on_how_the_index_came_to_be() {
        let mut dice = Dice(7);
        let texts: Vec<_> = (0..200).map(|_| dice.text(&PIECES, 40)).collect();
        let query = "blue мир it's red green 漢 red ärger 3.14";
        let bits = |index: &Index| -> Vec<u64> {
            index.relevance(query).iter().map(|score| score.to_bits()).collect()
        };
        let wanted = bits(&indexed(&texts));
        // Each map has a seed of its own.
        assert_eq!(bits(&indexed(&texts)), wanted);
        let mut late = indexed(&vec!["red herring"; 201]);
        for (row, text) in texts.iter().enumerate().rev() {
            late.replace(row, "red herring", text);
        }
        late.retain(&(0..201).map(|row| row < 200).collect::<Vec<_>>());
        assert_eq!(bits(&late), wanted);
        assert_eq!(bits(&late.clone()), wanted);
    }

    #[test]
    fn words_are_those_of_the_annex() {
        for (text, wanted) in [
            ("it's 3.14 a_b 1,234", "it's|3.14|a_b|1,234"),
            ("e-mail foo.bar a:b C++", "e|mail|foo.bar|a:b|c"),
            ("x.y.z don't. a.1 1.a", "x.y.z|don't|a|1|1|a"),
            ("1:2 a,b a;b 1;2 _ __ _1 a..b 'tis 5'", "1|2|a|b|a|b|1;2|_1|a|b|tis|5"),
            ("GRÖSSE Straße STRASSE", "grösse|straße|strasse"),
            ("ΛΌΓΟΣ λόγος", "λόγος|λόγος"),
            ("МИР Ёлка", "мир|ёлка"),
            // Ideographs and Hiragana one by one, Katakana and Hangul in runs, Thai by character.
            ("漢字かなカタカナ한국어", "漢|字|か|な|カタカナ|한국어"),
            ("ไทย", "ไ|ท|ย"),
            ("🎉 👩\u{200d}🚀 🇩🇪 — … ☂", ""),
            ("a🎉b naïve—test it’s", "a|b|naïve|test|it’s"),
            ("", ""),
        ] {
            assert_eq!(fast_words(text).join("|"), wanted, "{text}");
            assert_eq!(slow_words(text).join("|"), wanted, "{text}");
        }
    }

    #[test]
    fn words_are_found_with_and_without_the_crate() {
        let ascii: Vec<String> = (0..128_u8).map(|byte| char::from(byte).to_string()).collect();
        let ascii: Vec<&str> = ascii.iter().map(String::as_str).collect();
        let tricky = ["a", "B", "1", "2", "_", ".", ",", ":", ";", "'", "\"", "-", " ", "\r\n"];
        // Marks, joiners, quotes and letters that change what the ASCII around them is.
        let foreign =
            ["é", "\u{308}", "\u{200d}", "’", "·", "א", "ア", "字", "\u{ad}", "🎉", "İ", "٣"];
        let mixed: Vec<&str> = tricky.iter().chain(&foreign).copied().collect();
        let mut dice = Dice(1);
        for pieces in [&ascii[..], &tricky, &mixed] {
            for _ in 0..20_000 {
                let text = dice.text(pieces, 12);
                assert_eq!(fast_words(&text), slow_words(&text), "{text:?}");
            }
        }
    }

    #[test]
    fn nothing_matches_nothing() {
        assert_eq!(Index::default().relevance("word"), Vec::<f64>::new());
        let mut index = indexed(&["", " — ", "🎉"]);
        assert_eq!(index.relevance("word 🎉"), [0.0; 3]);
        index.push("a word");
        assert_eq!(index.relevance(""), [0.0; 4]);
        assert_eq!(index.relevance("other"), [0.0; 4]);
        assert_eq!(index.relevance("WORD word"), [0.0, 0.0, 0.0, 1.0]);
        index.replace(3, "a word", "");
        assert_eq!((index.relevance("word"), index.total), (vec![0.0; 4], 0));
    }

    #[test]
    fn a_text_of_a_mebibyte_without_blanks_is_indexed() {
        let size = 1 << 20;
        for piece in ["a", "a.", "é", "é:", "a\u{308}", "漢", "\u{308}", "'", "1,a"] {
            let text = piece.repeat(size / piece.len());
            let mut index = indexed(&[&text, "other"]);
            let best = if fast_words(piece).is_empty() { 0.0 } else { 1.0 };
            assert_eq!(index.relevance(&text), [best, 0.0], "{piece:?}");
            index.replace(0, &text, "");
            assert_eq!(index.postings.len(), 1);
        }
    }
}
