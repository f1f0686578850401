//! Pieces without end: a megabyte of letters, of blanks, of `=`.
//!
//! Tokens in a row are the encoding of their bytes if each two neighbours are the encoding of theirs: a merge across a
//! border would show between two neighbours. So the encoding of a prefix is carried on: its last tokens are merged anew
//! together with the next bytes, and the result holds if it can stand behind the tokens that stay. Where it cannot, more
//! tokens are taken back. That is linear as long as what comes later changes only a few tokens before it; should it
//! ever change more, the queue of `merge` bounds the cost of each try.
//!
//! For the same reason a run of one byte repeats: where two equal tokens stand side by side, another one between them
//! makes the encoding of the longer run.

use super::merge::Merging;
use super::pairs::Pairs;

/// Bytes of a piece from which it is a giant.
pub const GIANT: usize = 128;

/// Bytes that are merged at once.
const STEP: usize = 64;

/// Bytes of tokens that are taken back at least.
const BACK: usize = 12;

/// Bytes of a run that are encoded; more than two of the longest token.
const RUN: usize = 512;

/// Tokens of the piece.
pub fn count(pairs: &Pairs, lengths: &[u8], merging: &mut Merging, piece: &[u8]) -> u32 {
    let first = piece[0];
    if piece.len() > 2 * RUN && piece.iter().all(|byte| *byte == first) {
        return run(pairs, lengths, merging, piece);
    }
    to_u32(encode(pairs, lengths, merging, piece).len())
}

/// The tokens of a piece of any length.
pub fn encode(pairs: &Pairs, lengths: &[u8], merging: &mut Merging, piece: &[u8]) -> Vec<u32> {
    let mut tokens: Vec<u32> = Vec::with_capacity(piece.len() / 2);
    let mut at = 0;
    while at < piece.len() {
        let next = piece.len().min(at + STEP);
        let mut back = BACK;
        loop {
            let (mut stay, mut begin) = (tokens.len(), at);
            while stay > 0 && at - begin < back {
                stay -= 1;
                begin -= usize::from(lengths[tokens[stay] as usize]);
            }
            let fresh = merging.merge(pairs, &piece[begin..next]);
            let seam = [tokens[..stay].last().copied(), fresh.first().copied()];
            let fresh_tokens = fresh.to_vec();
            if let [Some(left), Some(right)] = seam {
                let length = |token: u32| usize::from(lengths[token as usize]);
                let both = &piece[begin - length(left)..begin + length(right)];
                if merging.merge(pairs, both) != [left, right] {
                    back *= 2;
                    continue;
                }
            }
            tokens.truncate(stay);
            tokens.extend(fresh_tokens);
            break;
        }
        at = next;
    }
    tokens
}

/// Tokens of one byte over and over.
fn run(pairs: &Pairs, lengths: &[u8], merging: &mut Merging, piece: &[u8]) -> u32 {
    // The length of the token that comes to stand beside itself.
    let sample = encode(pairs, lengths, merging, &piece[..RUN]);
    let repeated = sample
        .windows(2)
        .find(|two| two[0] == two[1])
        .map(|two| usize::from(lengths[two[0] as usize]));
    let Some(period) = repeated else {
        return to_u32(encode(pairs, lengths, merging, piece).len());
    };
    let times = (piece.len() - RUN) / period;
    let short = encode(pairs, lengths, merging, &piece[..piece.len() - times * period]);
    // The shorter run must hold the pair too, or nothing says that it repeats.
    if short
        .windows(2)
        .any(|two| two[0] == two[1] && usize::from(lengths[two[0] as usize]) == period)
    {
        to_u32(short.len() + times)
    } else {
        to_u32(encode(pairs, lengths, merging, piece).len())
    }
}

fn to_u32(tokens: usize) -> u32 {
    u32::try_from(tokens).unwrap_or(u32::MAX)
}
