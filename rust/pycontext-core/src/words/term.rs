//! What a word is looked up by: its stem, in lower case, in one form of Unicode.

use std::borrow::Cow;
use std::sync::LazyLock;

use frostem::{Algorithm, Stemmer};
use unicode_normalization::UnicodeNormalization;

use super::is_paired;

/// Words of English that say nothing about what a text is about, sorted.
const STOP_WORDS: &str = include_str!("stop_words.txt");

/// Longest word that is stemmed, in bytes: no language has a longer one, and rules were not made for it.
const LONGEST_STEMMED: usize = 64;

/// The term of a word as it is written; `None` where it is a stop word or a letter alone.
#[must_use]
pub fn term(word: &str) -> Option<String> {
    let word = if word.is_ascii() {
        word.to_ascii_lowercase()
    } else {
        // Compatibility forms are one word: full-width letters, ligatures, marks in one character or two.
        word.nfkc().flat_map(char::to_lowercase).nfc().collect()
    };
    let mut chars = word.chars();
    let is_short = chars.next().is_none_or(|first| chars.next().is_none() && !is_paired(first));
    if is_short || is_stop_word(&word) {
        return None;
    }
    if word.len() > LONGEST_STEMMED {
        return Some(word);
    }
    Some(match algorithm(&word).map(|algorithm| Stemmer::new(algorithm).stem(&word)) {
        Some(Cow::Owned(stem)) if !stem.is_empty() => stem,
        _ => word,
    })
}

fn is_stop_word(word: &str) -> bool {
    static SORTED: LazyLock<Vec<&str>> = LazyLock::new(|| STOP_WORDS.lines().collect());
    SORTED.binary_search(&word).is_ok()
}

/// The stemmer of the script that a word is written in: of its first letter.
fn algorithm(word: &str) -> Option<Algorithm> {
    let letter = word.chars().find(|char| char.is_alphabetic())?;
    Some(match letter {
        'a'..='z' | '\u{C0}'..='\u{24F}' | '\u{1E00}'..='\u{1EFF}' => Algorithm::English,
        '\u{370}'..='\u{3FF}' | '\u{1F00}'..='\u{1FFF}' => Algorithm::Greek,
        '\u{400}'..='\u{52F}' => Algorithm::Russian,
        '\u{530}'..='\u{58F}' => Algorithm::Armenian,
        '\u{600}'..='\u{6FF}' | '\u{750}'..='\u{77F}' => Algorithm::Arabic,
        '\u{900}'..='\u{97F}' => Algorithm::Hindi,
        '\u{B80}'..='\u{BFF}' => Algorithm::Tamil,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(word: &str, expected: &str) {
        assert_eq!(term(word).as_deref(), Some(expected), "{word}");
    }

    #[test]
    fn words_that_mean_the_same_have_one_term() {
        for word in ["Refund", "REFUNDED", "refunding", "refunds"] {
            is(word, "refund");
        }
        is("книги", "книг");
        is("книгами", "книг");
        is("caf\u{E9}", "caf\u{E9}");
        is("cafe\u{301}", "caf\u{E9}");
        is("ＡＢＣ", "abc");
        is("HAT136", "hat136");
        is("東京", "東京");
        is("字", "字");
    }

    #[test]
    fn stop_words_and_letters_alone_are_no_terms() {
        for word in ["the", "The", "YOURSELVES", "é", "a", ""] {
            assert_eq!(term(word), None, "{word}");
        }
    }

    #[test]
    fn stop_words_are_sorted() {
        assert!(STOP_WORDS.lines().is_sorted());
    }

    #[test]
    fn no_word_is_lost_or_panics() {
        for char in '\0'..='\u{2FFFF}' {
            let word: String = [char, char, 'x', char].iter().collect();
            assert!(term(&word).is_some_and(|term| !term.is_empty()), "{char:?}");
        }
        let long = "running".repeat(100);
        is(&long, &long);
    }
}
