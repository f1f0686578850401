//! JSON from outside.

use pyo3::prelude::*;

/// How deep lists and objects are inside each other in a text that should be JSON.
#[pyfunction]
pub fn json_depth(py: Python<'_>, text: &str) -> usize {
    py.detach(|| depth(text.as_bytes()))
}

fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
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
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
