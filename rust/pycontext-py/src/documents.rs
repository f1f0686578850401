//! Documents that say nearly the same.

use numpy::{PyReadonlyArray1, PyReadwriteArray1};
use pycontext_core::batch;
use pycontext_core::near::document::{self, BINS, Bands};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The bands of sketches for a threshold.
#[pyfunction]
pub fn sketch_bands(threshold: f64) -> usize {
    Bands::for_threshold(threshold).count()
}

/// The sketches of the conversations in the first `length` bytes of `data`, which are whole lines, and their keys, band by
/// band; how many there are.
#[pyfunction]
pub fn sketch_lines<'py>(
    py: Python<'py>,
    data: &[u8],
    length: usize,
    threshold: f64,
) -> (Bound<'py, PyBytes>, Bound<'py, PyBytes>, usize) {
    let bands = Bands::for_threshold(threshold);
    let bytes = &data[..length.min(data.len())];
    let (sketches, keys, count) = py.detach(|| {
        let sketches = batch::sketch_lines(bytes);
        let (count, mut keys) = (sketches.len(), vec![0; sketches.len() * bands.count()]);
        for (at, sketch) in sketches.iter().enumerate() {
            for (band, key) in bands.keys(sketch).enumerate() {
                keys[band * count + at] = key;
            }
        }
        let sketches: Vec<u8> =
            sketches.iter().flatten().flat_map(|value| value.to_ne_bytes()).collect();
        let keys: Vec<u8> = keys.iter().flat_map(|key: &u64| key.to_ne_bytes()).collect();
        (sketches, keys, count)
    });
    (PyBytes::new(py, &sketches), PyBytes::new(py, &keys), count)
}

/// Pairs of documents that are so similar, the later one first, one behind the other, of those equal in one band.
#[pyfunction]
pub fn sketch_pairs(
    py: Python<'_>,
    keys: PyReadonlyArray1<'_, u64>,
    sketches: PyReadonlyArray1<'_, u16>,
    threshold: f64,
    mut last: PyReadwriteArray1<'_, u32>,
) -> PyResult<Vec<[u32; 2]>> {
    let (keys, sketches, last) = (keys.as_slice()?, sketches.as_slice()?, last.as_slice_mut()?);
    if sketches.len() != keys.len() * BINS || last.len() != keys.len() {
        return Ok(Vec::new());
    }
    Ok(py.detach(|| document::pairs(keys, sketches, threshold, last)))
}

/// The documents that fall, as bits.
#[pyfunction]
pub fn sketch_fallen(py: Python<'_>, documents: usize, pairs: Vec<[u32; 2]>) -> Bound<'_, PyBytes> {
    let bits = py.detach(|| document::fallen(documents, pairs));
    PyBytes::new(py, &bits)
}
