//! Content hashes: what a block and a set of blocks are known by wherever they travel.
//!
//! BLAKE3 over id, type, content, metadata sorted by key, timestamp, references and the bits of the score. Token counts
//! are not in it (another counter would make another block of it), and neither is the origin, which is local.

use blake3::Hasher;

use crate::columns::Columns;

/// A content hash.
pub type Hash = [u8; blake3::OUT_LEN];

/// The hash of a row.
#[must_use]
pub fn row<T: AsRef<str>>(columns: &Columns<T>, row: usize) -> Hash {
    let mut hasher = Hasher::new();
    text(&mut hasher, columns.ids()[row].as_ref());
    hasher.update(&[columns.kinds()[row] as u8]);
    text(&mut hasher, columns.contents()[row].as_ref());
    let mut entries: Vec<_> = columns.metadata(row).pairs().collect();
    entries.sort_unstable();
    count(&mut hasher, entries.len());
    for (key, value) in entries {
        text(&mut hasher, key);
        text(&mut hasher, value);
    }
    hasher.update(&columns.timestamps()[row].to_le_bytes());
    count(&mut hasher, columns.references(row).count());
    for reference in columns.references(row) {
        text(&mut hasher, reference);
    }
    // 0 and -0 are equal scores.
    hasher.update(&(columns.scores()[row] + 0.0).to_bits().to_le_bytes());
    *hasher.finalize().as_bytes()
}

/// The hash of a row with all that travels with it: tokens, origin, the order of the metadata, fields that this version
/// does not know.
#[must_use]
pub fn exact<T: AsRef<str>>(columns: &Columns<T>, at: usize) -> Hash {
    let mut hasher = Hasher::new();
    hasher.update(&row(columns, at));
    hasher.update(&columns.tokens()[at].to_le_bytes());
    hasher.update(&columns.scores()[at].to_bits().to_le_bytes());
    for (key, _) in columns.metadata(at).pairs() {
        text(&mut hasher, key);
    }
    text(&mut hasher, columns.origin(at).map_or("", AsRef::as_ref));
    hasher.update(columns.extra(at).map_or(&[][..], |extra| &extra.unknown));
    *hasher.finalize().as_bytes()
}

/// The hash of all rows in their order.
#[must_use]
pub fn content<T: AsRef<str>>(columns: &Columns<T>) -> Hash {
    rows(columns, &(0..columns.len()).collect::<Vec<_>>())
}

/// The hash of some rows, in the order given.
#[must_use]
pub fn rows<T: AsRef<str>>(columns: &Columns<T>, rows: &[usize]) -> Hash {
    let mut hasher = Hasher::new();
    for &at in rows {
        hasher.update(&row(columns, at));
    }
    *hasher.finalize().as_bytes()
}

/// With its length, so that no two lists of texts read the same.
fn text(hasher: &mut Hasher, text: &str) {
    count(hasher, text.len());
    hasher.update(text.as_bytes());
}

fn count(hasher: &mut Hasher, count: usize) {
    hasher.update(&(count as u64).to_le_bytes());
}
