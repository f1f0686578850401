//! Files in zstd, read bit by bit and written frame by frame.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use zstd::stream::read::Decoder;

/// A file in zstd of one or more frames.
#[pyclass(frozen, module = "pycontext._core")]
pub struct ZstdFile {
    decoder: Mutex<Decoder<'static, BufReader<File>>>,
}

impl std::fmt::Debug for ZstdFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ZstdFile")
    }
}

#[pymethods]
impl ZstdFile {
    /// Open a file.
    #[new]
    fn new(path: &str) -> PyResult<Self> {
        let decoder = Decoder::new(File::open(path)?)?;
        Ok(Self { decoder: Mutex::new(decoder) })
    }

    /// The next bytes, at most so many; none at the end.
    fn read<'py>(&self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyBytes>> {
        let read = py.detach(|| {
            let mut bytes = vec![0; most];
            let mut length = 0;
            let mut decoder = self.lock();
            while length < most {
                match decoder.read(&mut bytes[length..])? {
                    0 => break,
                    more => length += more,
                }
            }
            bytes.truncate(length);
            Ok::<_, std::io::Error>(bytes)
        });
        Ok(PyBytes::new(py, &read?))
    }

    /// Where the file itself is read.
    fn tell(&self) -> PyResult<u64> {
        Ok(self.lock().get_mut().stream_position()?)
    }
}

impl ZstdFile {
    fn lock(&self) -> MutexGuard<'_, Decoder<'static, BufReader<File>>> {
        self.decoder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes as a frame of zstd with a checksum.
#[pyfunction]
pub fn zstd_frame<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let frame = py.detach(|| {
        let mut compressor = zstd::bulk::Compressor::new(zstd::DEFAULT_COMPRESSION_LEVEL)?;
        compressor.include_checksum(true)?;
        compressor.compress(data)
    });
    Ok(PyBytes::new(py, &frame?))
}
