//! Every way to count gives what the crate `bpe-openai` gives, which has nothing in common with ours but the ranks.

#![allow(clippy::unwrap_used, reason = "a test may end so")]

use bpe_openai::Tokenizer;
use pycontext_core::count::{Counter, Encoding, Path, count_all};

const SEED: u64 = 20_261_124;

/// What texts are made of: every rule of the patterns is somewhere in here.
const PIECES: &[&str] = &[
    "'s",
    "'S",
    "'t",
    "'re",
    "'LL",
    "'ve",
    "'d",
    "'m",
    "'\u{17f}",
    "'x",
    "'",
    "don't",
    "\n",
    "\r\n",
    "\n\n",
    "/",
    " ",
    "  ",
    "\t",
    "\u{c}",
    "\u{b}",
    "\0",
    "\u{1}",
    "\u{1c}",
    "é",
    "É",
    "ʰ",
    "中",
    "文字",
    "ǅ",
    "\u{301}",
    "\u{e33}",
    "½",
    "٣",
    "1",
    "12",
    "123",
    "4567",
    "a",
    "B",
    "cd",
    "EF",
    "gHi",
    "Word",
    "hello",
    "WORLD",
    "I",
    ".",
    ",",
    "!!",
    "--",
    "=====",
    "://",
    "_",
    "\u{a0}",
    "\u{2028}",
    "\u{3000}",
    "\u{85}",
    "\u{17f}",
    "\u{212a}",
    "<|endoftext|>",
    "{\"",
    "\":",
    "().",
    "\u{fffd}",
    "한국",
    "ไทย",
    "हिन्दी",
    "العربية",
    "🏳\u{fe0f}\u{200d}🌈",
    "        ",
    "\n   \n",
    ".\n/",
];

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound
    }

    fn text(&mut self, pieces: &[&str], most: usize) -> String {
        (0..self.below(most)).map(|_| pieces[self.below(pieces.len())]).collect()
    }
}

fn oracle(encoding: Encoding) -> &'static Tokenizer {
    match encoding {
        Encoding::O200k => bpe_openai::o200k_base(),
        Encoding::Cl100k => bpe_openai::cl100k_base(),
    }
}

#[track_caller]
fn same_on_all_ways(text: &str) {
    for encoding in Encoding::ALL {
        let expected = oracle(encoding).count(text) as u64;
        for path in Path::all() {
            let counted = encoding.count_by(path, text, u64::MAX);
            assert_eq!(counted, expected, "{} by {}: {text:?}", encoding.name(), path.name());
        }
        assert_eq!(
            u64::from(encoding.count(text)),
            expected,
            "{} remembered: {text:?}",
            encoding.name()
        );
    }
}

#[test]
fn mixtures_of_all_rules() {
    let mut random = Random(SEED);
    let ascii: Vec<&str> = PIECES.iter().copied().filter(|piece| piece.is_ascii()).collect();
    for _ in 0..6_000 {
        same_on_all_ways(&random.text(PIECES, 60));
        same_on_all_ways(&random.text(&ascii, 120));
    }
}

#[test]
fn every_rule_at_every_place_of_a_block() {
    for piece in PIECES {
        for offset in 0..70 {
            let text = format!(
                "{}{piece}{}",
                "ab, 12".repeat(12).split_at(offset).0,
                "x' \n y".repeat(15)
            );
            same_on_all_ways(&text);
        }
    }
}

#[test]
fn texts_of_several_chunks() {
    let mut random = Random(SEED);
    let blanks = [" ", "\n", "  ", "\t", "a"];
    for length in [4_000, 9_000, 30_000] {
        same_on_all_ways(&random.text(PIECES, length));
        same_on_all_ways(&random.text(&blanks, length));
        same_on_all_ways(&random.text(&["中", "文", "字", "。"], length));
        same_on_all_ways(&random.text(&["!", "?", " "], length));
    }
}

#[test]
fn pieces_without_end() {
    let mut random = Random(SEED);
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    for length in [33, 64, 65, 119, 127, 128, 129, 190, 256, 257, 300, 1_000, 5_000] {
        let mixed =
            random.text(&letters, length) + &"a".repeat(length) + &random.text(&letters, length);
        same_on_all_ways(&mixed);
        for unit in ["=", "a", " ", "ab", "中", "é", "-=", "\n", "0", "the", "Ġ", "://", "😀"]
        {
            same_on_all_ways(&unit.repeat(length));
            same_on_all_ways(&(unit.repeat(length) + "x"));
        }
    }
    for byte in 1..128_u8 {
        same_on_all_ways(&char::from(byte).to_string().repeat(1_500 + usize::from(byte)));
    }
}

#[test]
fn prefixes_are_counted_as_texts_of_their_own() {
    let mut random = Random(SEED);
    for _ in 0..300 {
        let text = random.text(PIECES, 80);
        for encoding in Encoding::ALL {
            let (ends, counts) = encoding.prefix_counts(&text);
            for (end, count) in ends.iter().zip(&counts) {
                let prefix: String = text.chars().take(usize::try_from(*end).unwrap()).collect();
                assert_eq!(
                    u64::from(encoding.count(&prefix)),
                    *count,
                    "{}: {prefix:?}",
                    encoding.name()
                );
            }
            assert_eq!(ends.last().copied().unwrap_or(0), text.chars().count() as u64);
        }
    }
}

#[test]
fn a_limit_is_no_more_than_a_limit() {
    let mut random = Random(SEED);
    for _ in 0..300 {
        let text = random.text(PIECES, 900);
        for encoding in Encoding::ALL {
            let count = encoding.count(&text);
            for limit in [0, 1, count / 2, count.saturating_sub(1), count, count + 1, u32::MAX] {
                let expected = (count <= limit).then_some(count);
                let fresh = format!("{text} {limit}");
                assert_eq!(encoding.count_within(&text, limit), expected, "{limit}: {text:?}");
                let count = encoding.count_within(&fresh, u32::MAX).unwrap();
                assert_eq!(encoding.count_within(&fresh, limit), (count <= limit).then_some(count));
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let mut random = Random(SEED);
    let texts: Vec<String> = (0..4_000).map(|_| random.text(PIECES, 200)).collect();
    let alone = count_all(Encoding::O200k, &texts, 1);
    for threads in [2, 5] {
        assert_eq!(count_all(Encoding::O200k, &texts, threads), alone);
    }
    assert!(count_all(Encoding::O200k, &Vec::<String>::new(), 3).is_empty());
}

#[test]
fn threads_that_share_tables_read_no_torn_entries() {
    // Many more pieces than the tables hold, so that entries are replaced under the eyes of the other threads.
    let words = |seed: u64| {
        let mut random = Random(seed);
        let letters = ["q", "x", "zj", "w", "kk", "v", "u"];
        (0..60_000).map(|_| random.text(&letters, 14)).collect::<Vec<_>>().join(" ")
    };
    let texts: Vec<String> = (1..5).map(|i| words(SEED * i)).collect();
    let expected: Vec<u64> =
        texts.iter().map(|text| oracle(Encoding::O200k).count(text) as u64).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for (text, expected) in texts.iter().zip(&expected) {
                    let path = Path::all().next().unwrap();
                    assert_eq!(Encoding::O200k.count_by(path, text, u64::MAX), *expected);
                }
            });
        }
    });
}
