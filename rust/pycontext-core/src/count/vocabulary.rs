//! A vocabulary as `data/make.py` wrote it: tokens in the order of their ranks, each with the halves it was merged from.

/// The published tokens.
#[derive(Debug, Clone, Copy)]
pub struct Vocabulary {
    lengths: &'static [u8],
    lefts: &'static [[u8; 3]],
    rights: &'static [[u8; 3]],
    bytes: &'static [u8],
}

/// A token: its bytes, and the ranks of its halves unless it is a single byte.
#[derive(Debug, Clone, Copy)]
pub struct Token {
    /// What it stands for.
    pub bytes: &'static [u8],
    /// The two tokens whose merge makes this one.
    pub halves: Option<(u32, u32)>,
}

impl Vocabulary {
    /// Reads the parts of a file; `file` is one of those beside `make.py`.
    pub const fn new(file: &'static [u8]) -> Self {
        let (count, rest) = file.split_at(4);
        let count = u32::from_le_bytes([count[0], count[1], count[2], count[3]]) as usize;
        let (lengths, rest) = rest.split_at(count);
        let (lefts, rest) = rest.split_at(3 * count);
        let (rights, bytes) = rest.split_at(3 * count);
        let (lefts, _) = lefts.as_chunks();
        let (rights, _) = rights.as_chunks();
        Self { lengths, lefts, rights, bytes }
    }

    /// All of them, in order.
    pub fn tokens(self) -> impl Iterator<Item = Token> {
        let mut rest = self.bytes;
        let halves = self.lefts.iter().zip(self.rights);
        self.lengths.iter().zip(halves).map(move |(length, (left, right))| {
            let (bytes, behind) = rest.split_at(usize::from(*length));
            rest = behind;
            let halves = (bytes.len() > 1).then(|| (rank(*left), rank(*right)));
            Token { bytes, halves }
        })
    }
}

fn rank([a, b, c]: [u8; 3]) -> u32 {
    u32::from_le_bytes([a, b, c, 0])
}
