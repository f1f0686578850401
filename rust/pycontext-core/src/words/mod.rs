//! The words of a text, and the terms that they are looked up by.
//!
//! A word is a run of letters, digits, underscores and combining marks. Scripts that are written without blanks, and
//! Korean, whose words carry their endings, are cut into overlapping pairs of characters: a dictionary would do better
//! and weighs megabytes.

mod term;

use unicode_normalization::char::is_combining_mark;

pub use term::term;

/// Calls `each` with every word of a text as it is written, in order.
///
/// Nearly all text is ASCII, where a table says what a byte is; only a run that has other characters is read one by
/// one.
pub fn words<'a>(text: &'a str, mut each: impl FnMut(&'a str)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        while at < bytes.len() && CLASS[usize::from(bytes[at])] == WORD {
            at += 1;
        }
        if at < bytes.len() && CLASS[usize::from(bytes[at])] == FOREIGN {
            while at < bytes.len() && CLASS[usize::from(bytes[at])] != BREAK {
                at += 1;
            }
            foreign_words(&text[start..at], &mut each);
        } else if at - start > 1 {
            each(&text[start..at]);
        }
        at += 1;
    }
}

/// The words of a run without ASCII punctuation.
fn foreign_words<'a>(run: &'a str, each: &mut impl FnMut(&'a str)) {
    // Where the word began that goes on, and whether it is one of pairs.
    let mut start = 0;
    let mut open = Shape::Break;
    // Where the last character of a run of pairs began, and whether a pair came of it.
    let (mut last, mut is_paired) = (0, false);
    for (at, char) in run.char_indices().chain([(run.len(), ' ')]) {
        let shape = Shape::of(char);
        if shape == Shape::Pairs && open == Shape::Pairs {
            each(&run[last..at + char.len_utf8()]);
            (last, is_paired) = (at, true);
            continue;
        }
        if shape == open {
            continue;
        }
        match open {
            Shape::Word => each(&run[start..at]),
            Shape::Pairs if !is_paired => each(&run[last..at]),
            Shape::Pairs | Shape::Break => {}
        }
        (start, last, is_paired, open) = (at, at, false, shape);
    }
}

const BREAK: u8 = 0;
const WORD: u8 = 1;
const FOREIGN: u8 = 2;

/// What a byte is to a word.
const CLASS: [u8; 256] = {
    let mut class = [BREAK; 256];
    let mut byte = 0_u8;
    loop {
        class[byte as usize] = match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' => WORD,
            128.. => FOREIGN,
            _ => BREAK,
        };
        if byte == u8::MAX {
            break class;
        }
        byte += 1;
    }
};

/// What a character is to a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Break,
    Word,
    Pairs,
}

impl Shape {
    fn of(char: char) -> Self {
        if !(char.is_alphanumeric() || char == '_' || is_combining_mark(char)) {
            Self::Break
        } else if PAIRED.iter().any(|(first, last)| (*first..=*last).contains(&char)) {
            Self::Pairs
        } else {
            Self::Word
        }
    }
}

/// Blocks of Unicode that are cut into pairs.
const PAIRED: [(char, char); 15] = [
    ('\u{E00}', '\u{EFF}'),     // Thai, Lao
    ('\u{1000}', '\u{109F}'),   // Myanmar
    ('\u{1100}', '\u{11FF}'),   // Hangul
    ('\u{1780}', '\u{17FF}'),   // Khmer
    ('\u{3005}', '\u{3007}'),   // ideographic iteration and zero
    ('\u{3040}', '\u{30FF}'),   // Hiragana, Katakana
    ('\u{3130}', '\u{318F}'),   // Hangul
    ('\u{31F0}', '\u{31FF}'),   // Katakana
    ('\u{3400}', '\u{4DBF}'),   // Han
    ('\u{4E00}', '\u{9FFF}'),   // Han
    ('\u{A960}', '\u{A97F}'),   // Hangul
    ('\u{AC00}', '\u{D7FF}'),   // Hangul
    ('\u{F900}', '\u{FAFF}'),   // Han
    ('\u{FF66}', '\u{FF9F}'),   // Katakana
    ('\u{20000}', '\u{3FFFF}'), // Han
];

/// Whether a character is of a script that is cut into pairs.
fn is_paired(char: char) -> bool {
    Shape::of(char) == Shape::Pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        words(text, |word| found.push(word));
        found
    }

    #[test]
    fn a_word_is_a_run_of_letters_digits_underscores_and_marks() {
        assert_eq!(
            found("Don't book HAT136 (user_id=mia_li)!"),
            ["Don", "book", "HAT136", "user_id", "mia_li"]
        );
        assert_eq!(
            found("caf\u{E9} cafe\u{301}—na\u{EF}ve"),
            ["caf\u{E9}", "cafe\u{301}", "na\u{EF}ve"]
        );
        assert_eq!(found("हिन्दी में"), ["हिन्दी", "में"]);
        assert_eq!(found("a b c, — 🎉"), Vec::<&str>::new());
        assert_eq!(found("Ünal7 é"), ["Ünal7", "é"]);
    }

    #[test]
    fn scripts_without_blanks_come_in_pairs() {
        assert_eq!(found("東京都に 住む"), ["東京", "京都", "都に", "住む"]);
        assert_eq!(found("iPhone手机7"), ["iPhone", "手机", "7"]);
        assert_eq!(found("字"), ["字"]);
        assert_eq!(found("서울에서"), ["서울", "울에", "에서"]);
        assert_eq!(found("ภาษา"), ["ภา", "าษ", "ษา"]);
        assert_eq!(found("中 a 国"), ["中", "国"]);
    }
}
