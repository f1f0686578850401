//! What the fuzz targets check, over the inputs that they left in `fuzz/corpus`.
#![expect(clippy::expect_used, reason = "what does not hold here is a failed test")]

#[path = "../../../fuzz/checks.rs"]
mod checks;

use std::fs;
use std::path::Path;

/// Runs a check on every input of a target.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(folder).expect("the corpus is part of the repository") {
        let path = entry.expect("an entry").path();
        check(&fs::read(&path).expect("an input"));
        inputs += 1;
    }
    assert!(inputs > 10, "{inputs} inputs for {target}");
}

#[test]
fn messages() {
    replay("package", checks::package);
}

#[test]
fn envelopes() {
    replay("envelope", checks::envelope);
}

#[test]
fn packages() {
    replay("structured", checks::structured);
}

#[test]
fn texts() {
    replay("count", checks::count);
}
