//! JSON from outside.

use pyo3::prelude::*;

/// How deep lists and objects are inside each other in a text that should be JSON, and how many values it has at most.
///
/// An empty list is two bytes of text, and about a hundred of memory.
#[pyfunction]
pub fn json_size(py: Python<'_>, text: &str) -> (usize, usize) {
    py.detach(|| size(text.as_bytes()))
}

fn size(text: &[u8]) -> (usize, usize) {
    let (mut depth, mut deepest, mut values) = (0_usize, 0, 1);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in text {
        if in_string {
            in_string = is_escaped || *byte != b'"';
            is_escaped = !is_escaped && *byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'[' | b'{' => {
                depth += 1;
                values += 1;
                deepest = deepest.max(depth);
            }
            b',' => values += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    (deepest, values)
}
