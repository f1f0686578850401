//! The index against the formulas, word by word and text by text, through every way it can change.

#![expect(clippy::unwrap_used, reason = "tests")]

use pycontext_core::index::{Document, Index, Measure};
use pycontext_core::kind::Kind;
use pycontext_core::words::{term, words};

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

fn document(content: &str) -> Document<'_> {
    Document { content, kind: Kind::Knowledge, provider: None }
}

fn indexed(texts: &[impl AsRef<str>]) -> Index {
    let mut index = Index::default();
    for text in texts {
        index.push(document(text.as_ref()));
    }
    index
}

fn terms(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    words(text, |word| found.extend(term(word)));
    found
}

fn real(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap())
}

fn bm25(texts: &[String], query: &str) -> Vec<f64> {
    let texts: Vec<_> = texts.iter().map(|text| terms(text)).collect();
    let rows = real(texts.len());
    let mean = real(texts.iter().map(Vec::len).sum()) / rows;
    let mut asked: Vec<String> = Vec::new();
    for word in terms(query) {
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

fn tfidf(texts: &[String], query: &str) -> Vec<f64> {
    let texts: Vec<_> = texts.iter().map(String::as_str).chain([query]).map(terms).collect();
    let n = real(texts.len());
    let mut all: Vec<_> = texts.concat();
    all.sort();
    all.dedup();
    let vector = |text: &Vec<String>| -> Vec<f64> {
        let weight = |word: &String| {
            let found = real(texts.iter().filter(|t| t.contains(word)).count());
            let count = real(text.iter().filter(|w| *w == word).count());
            count * (((1.0 + n) / (1.0 + found)).ln() + 1.0)
        };
        all.iter().map(weight).collect()
    };
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let asked = vector(&texts[texts.len() - 1]);
    let cosine = |text: &Vec<String>| {
        let vector = vector(text);
        let lengths = (dot(&vector, &vector) * dot(&asked, &asked)).sqrt();
        if lengths > 0.0 { dot(&vector, &asked) / lengths } else { 0.0 }
    };
    texts[..texts.len() - 1].iter().map(cosine).collect()
}

const PIECES: [&str; 16] = [
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
    "greens ",
    "the ",
];

fn assert_close(got: &[f64], wanted: &[f64], what: &str) {
    assert_eq!(got.len(), wanted.len());
    for (got, wanted) in got.iter().zip(wanted) {
        assert!((got - wanted).abs() < 1e-12, "{what:?}: {got} is not {wanted}");
    }
}

#[test]
fn random_changes_give_what_the_formulas_give() {
    let mut dice = Dice(42);
    for _ in 0..60 {
        let (mut index, mut texts) = (Index::default(), Vec::<String>::new());
        for _ in 0..40 {
            match dice.below(6) {
                0 if !texts.is_empty() => {
                    let row = dice.below(texts.len());
                    let new = dice.text(&PIECES, 12);
                    index.replace(row, &texts[row], document(&new));
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
                    index.push(document(&text));
                    texts.push(text);
                }
            }
            let query = dice.text(&PIECES, 6);
            assert_close(&index.matches(&query, Measure::Bm25), &bm25(&texts, &query), &query);
            assert_close(&index.matches(&query, Measure::Tfidf), &tfidf(&texts, &query), &query);
        }
        index.retain(&vec![false; texts.len()]);
        index.shrink_to_fit();
        assert!(index.is_empty());
        assert_eq!(index.memory_bytes(), 0);
    }
}

#[test]
fn the_numbers_do_not_depend_on_how_the_index_came_to_be() {
    let mut dice = Dice(7);
    let texts: Vec<_> = (0..200).map(|_| dice.text(&PIECES, 40)).collect();
    let query = "blue мир it's red green 漢字 red ärger 3.14";
    let bits = |index: &Index| -> Vec<u64> {
        index.matches(query, Measure::Bm25).iter().map(|score| score.to_bits()).collect()
    };
    let wanted = bits(&indexed(&texts));
    // Each map has a seed of its own.
    assert_eq!(bits(&indexed(&texts)), wanted);
    let mut late = indexed(&vec!["red herring"; 201]);
    for (row, text) in texts.iter().enumerate().rev() {
        late.replace(row, "red herring", document(text));
    }
    late.retain(&(0..201).map(|row| row < 200).collect::<Vec<_>>());
    assert_eq!(bits(&late), wanted);
    assert_eq!(bits(&late.clone()), wanted);
}

#[test]
fn nothing_matches_nothing() {
    assert_eq!(Index::default().matches("word", Measure::Bm25), Vec::<f64>::new());
    let mut index = indexed(&["", " — ", "🎉"]);
    for measure in [Measure::Bm25, Measure::Tfidf] {
        assert_eq!(index.matches("word 🎉", measure), [0.0; 3]);
    }
    index.push(document("one word"));
    for measure in [Measure::Bm25, Measure::Tfidf] {
        for query in ["", "other", "the and"] {
            assert_eq!(index.matches(query, measure), [0.0; 4], "{query}");
        }
    }
    assert_eq!(index.matches("WORDS word", Measure::Bm25), [0.0, 0.0, 0.0, 1.0]);
    index.replace(3, "one word", document(""));
    assert_eq!(index.matches("word", Measure::Bm25), [0.0; 4]);
}

#[test]
fn what_changes_again_and_again_is_forgotten() {
    let mut index = indexed(&["word0"]);
    for n in 0..20_000 {
        index.replace(0, &format!("word{n}"), document(&format!("word{}", n + 1)));
    }
    assert!(index.memory_bytes() < 400_000, "{}", index.memory_bytes());
}

#[test]
fn a_text_of_a_mebibyte_without_blanks_is_indexed() {
    let size = 1 << 20;
    for piece in
        ["a", "a.", "é", "é:", "a\u{308}", "漢", "\u{308}", "'", "1,a", "@a", "a@", "a:", "\"a\":"]
    {
        let text = piece.repeat(size / piece.len());
        let turn = Document { kind: Kind::User, ..document(&text) };
        let mut index = indexed(&["other"]);
        index.push(turn);
        let best = if terms(&text).is_empty() { 0.0 } else { 1.0 };
        assert_eq!(index.matches(&text, Measure::Bm25), [0.0, best], "{piece:?}");
        index.replace(1, &text, document(""));
        assert_eq!(index.matches(&text, Measure::Bm25), [0.0; 2]);
    }
}
