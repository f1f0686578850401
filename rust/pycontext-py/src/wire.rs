//! Packages as bytes.

use std::borrow::Cow;

use pycontext_core::error::Fault;
use pycontext_core::limits;
use pycontext_core::wire::envelope::{self, Envelope, Flags};
use pycontext_core::wire::{change, delta, package};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::columns::Columns;
use crate::error::{raise, refuse};
use crate::rows::Rows;

/// The limits of the package `pycontext`.
#[derive(Debug, FromPyObject)]
pub struct Limits {
    id_bytes: usize,
    block_bytes: usize,
    metadata_bytes: usize,
    metadata_keys: usize,
    references: usize,
    package_bytes: usize,
    package_blocks: usize,
}

impl Limits {
    fn core(&self) -> limits::Limits {
        limits::Limits {
            id_bytes: self.id_bytes,
            block_bytes: self.block_bytes,
            metadata_bytes: self.metadata_bytes,
            metadata_keys: self.metadata_keys,
            references: self.references,
            package_bytes: self.package_bytes,
            package_blocks: self.package_blocks,
        }
    }
}

/// Raise unless every block is within limits, which may be stricter than those that a set is held to.
#[pyfunction]
pub fn check_sizes(py: Python<'_>, columns: &Columns, limits: Limits) -> PyResult<()> {
    let (limits, table) = (limits.core(), columns.table(py));
    let check = |row: usize| {
        limits.id("id", &table.ids()[row])?;
        limits.references(table.references(row).count())?;
        table.references(row).try_for_each(|id| limits.id("references", id))?;
        table.origin(row).map_or(Ok(()), |origin| limits.id("origin", origin))?;
        limits.sizes(&table.contents()[row], table.metadata(row).pairs())
    };
    let id = |row: usize| Some(&*table.ids()[row]);
    let mut rows = 0..table.len();
    rows.try_for_each(|row| check(row).map_err(|fault| raise(py, &fault.at(Some(row), id(row)))))
}

/// What a package says besides its blocks, as a dict.
#[derive(Debug, FromPyObject, IntoPyObject)]
#[pyo3(from_item_all)]
pub struct Header {
    session_id: String,
    agent_id: String,
    version: u32,
    trace_id: String,
    counter: String,
    operation_id: String,
    parents: Vec<(String, u32, Vec<u8>)>,
    hops: u32,
    epoch: u32,
    sender: String,
    unknown: Vec<u8>,
}

impl Header {
    fn core(self) -> package::Header {
        let parent = |(session_id, version, content_hash)| package::Parent {
            session_id,
            version,
            content_hash,
        };
        package::Header {
            session_id: self.session_id,
            agent_id: self.agent_id,
            version: self.version,
            trace_id: self.trace_id,
            counter: self.counter,
            operation_id: self.operation_id,
            parents: self.parents.into_iter().map(parent).collect(),
            hops: self.hops,
            epoch: self.epoch,
            sender: self.sender,
            unknown: self.unknown,
        }
    }

    fn of(header: package::Header) -> Self {
        let parent =
            |parent: package::Parent| (parent.session_id, parent.version, parent.content_hash);
        Self {
            session_id: header.session_id,
            agent_id: header.agent_id,
            version: header.version,
            trace_id: header.trace_id,
            counter: header.counter,
            operation_id: header.operation_id,
            parents: header.parents.into_iter().map(parent).collect(),
            hops: header.hops,
            epoch: header.epoch,
            sender: header.sender,
            unknown: header.unknown,
        }
    }
}

/// Total tokens, saturation, and the share of the tokens by name of the type.
type Metrics = (u32, f32, Vec<(String, f32)>);

/// The package as a message; in an envelope where `compress` is not None.
#[pyfunction]
pub fn encode<'py>(
    py: Python<'py>,
    columns: &Columns,
    header: Header,
    metrics: Metrics,
    limits: Limits,
    compress: Option<bool>,
) -> PyResult<Bound<'py, PyBytes>> {
    let (total_tokens, context_saturation, type_distribution) = metrics;
    let metrics = package::Metrics { total_tokens, context_saturation, type_distribution };
    let (header, limits, table) = (header.core(), limits.core(), columns.table(py));
    let refused = |fault| refuse(py, fault);
    let measured = py.detach(|| package::Encoder::new(&header, &metrics, &table, &limits));
    let encoder = measured.map_err(refused)?;
    match compress {
        // Written right to where Python has it: these are the most bytes that anybody moves here.
        None => PyBytes::new_with(py, encoder.len(), |bytes| {
            py.detach(|| encoder.write(bytes));
            Ok(())
        }),
        Some(false) => PyBytes::new_with(py, envelope::plain_len(encoder.len()), |bytes| {
            let written = py.detach(|| envelope::write_plain(bytes, |body| encoder.write(body)));
            written.map_err(refused)
        }),
        Some(true) => {
            let sealed = py.detach(|| {
                let mut body = vec![0; encoder.len()];
                encoder.write(&mut body);
                envelope::around(&body, true)
            });
            sealed.map(|bytes| PyBytes::new(py, &bytes)).map_err(refused)
        }
    }
}

/// Header and blocks of a message, or of one in an envelope that is neither encrypted nor signed.
#[pyfunction]
pub fn decode(
    py: Python<'_>,
    data: PyBackedBytes,
    limits: Limits,
    is_envelope: bool,
) -> PyResult<(Header, Rows)> {
    let limits = limits.core();
    let decoded = py.detach(|| {
        let of_package = |fault: Fault| fault.at(None, None);
        if !is_envelope {
            let whole = 0..data.len();
            return package::decode(data, whole, &limits);
        }
        let envelope = Envelope::open(&data, &limits).map_err(of_package)?;
        let Flags { encrypted, signed, .. } = envelope.flags;
        if encrypted || signed {
            let what = if encrypted { "encrypted" } else { "signed" };
            let rule = format!("is {what}: pycontext.wire.unseal opens it");
            return Err(of_package(Fault::new("envelope", "", rule)));
        }
        let place = envelope.place();
        let body = envelope::decompress(envelope.body, envelope.flags, envelope.uncompressed);
        match body.map_err(of_package)? {
            Cow::Borrowed(_) => package::decode(data, place, &limits),
            Cow::Owned(body) => {
                let whole = 0..body.len();
                package::decode(body, whole, &limits)
            }
        }
    });
    let package = decoded.map_err(|error| raise(py, &error))?;
    Ok((Header::of(package.header), Rows::of(package.blocks)))
}

/// What was done to a body, its bytes before that, body, claims, signature, and how many bytes the signature is over.
type Opened<'py> =
    (Done, usize, Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>, usize);

/// Whether it was compressed, encrypted and signed.
type Done = (bool, bool, bool);

/// The parts of an envelope whose checksum holds.
#[pyfunction]
pub fn open_envelope(py: Python<'_>, data: PyBackedBytes, limits: Limits) -> PyResult<Opened<'_>> {
    let opened = Envelope::open(&data, &limits.core()).map_err(|fault| refuse(py, fault))?;
    let bytes = |part: &[u8]| PyBytes::new(py, part);
    let Flags { zstd, encrypted, signed } = opened.flags;
    Ok((
        (zstd, encrypted, signed),
        opened.uncompressed,
        bytes(opened.body),
        bytes(opened.claims),
        bytes(opened.signature),
        opened.signed.len(),
    ))
}

/// Header, body and claims of an envelope: what a signature is over.
#[pyfunction]
pub fn write_envelope<'py>(
    py: Python<'py>,
    done: Done,
    uncompressed: usize,
    body: &[u8],
    claims: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    let (zstd, encrypted, signed) = done;
    let flags = Flags { zstd, encrypted, signed };
    let written = envelope::unsigned(flags, uncompressed, body, claims);
    written.map(|bytes| PyBytes::new(py, &bytes)).map_err(|fault| refuse(py, fault))
}

/// The whole envelope: signature and checksum behind what `write_envelope` gave.
#[pyfunction]
pub fn close_envelope<'py>(
    py: Python<'py>,
    unsigned: &[u8],
    signature: &[u8],
) -> Bound<'py, PyBytes> {
    let mut out = unsigned.to_vec();
    envelope::close(&mut out, signature);
    PyBytes::new(py, &out)
}

/// A body in an envelope that is neither encrypted nor signed.
#[pyfunction]
pub fn envelop(py: Python<'_>, body: PyBackedBytes, zstd: bool) -> PyResult<Bound<'_, PyBytes>> {
    let closed = py.detach(|| envelope::around(&body, zstd));
    closed.map(|bytes| PyBytes::new(py, &bytes)).map_err(|fault| refuse(py, fault))
}

/// The body smaller, None where that is not worth it.
#[pyfunction]
pub fn compress(py: Python<'_>, body: PyBackedBytes) -> PyResult<Option<Bound<'_, PyBytes>>> {
    let small = py.detach(|| envelope::compress(&body)).map_err(|fault| refuse(py, fault))?;
    Ok(small.map(|bytes| PyBytes::new(py, &bytes)))
}

/// The body as it was before `compress`.
#[pyfunction]
pub fn decompress(
    py: Python<'_>,
    body: PyBackedBytes,
    uncompressed: usize,
) -> PyResult<Bound<'_, PyBytes>> {
    let flags = Flags { zstd: true, ..Flags::default() };
    let whole = py.detach(|| envelope::decompress(&body, flags, uncompressed));
    whole.map(|bytes| PyBytes::new(py, &bytes)).map_err(|fault| refuse(py, fault))
}

/// Rows in a base, or, where the first is None, among those that are carried; and how many.
type Run = (Option<u32>, u32);

/// A delta as a message around that of a package.
#[pyfunction]
pub fn encode_delta<'py>(
    py: Python<'py>,
    package: &[u8],
    base_hash: Vec<u8>,
    content_hash: Vec<u8>,
    runs: Vec<Run>,
) -> Bound<'py, PyBytes> {
    let runs = runs.into_iter().map(|(start, count)| delta::Run { start, count }).collect();
    let delta = delta::Delta { base_hash, content_hash, runs };
    PyBytes::new(py, &delta.encode(package))
}

/// A package, the hashes of base and result, and the runs.
type Delta<'py> = (Bound<'py, PyBytes>, Vec<u8>, Vec<u8>, Vec<Run>);

/// The package, the hashes of base and result, and the runs of a delta.
#[pyfunction]
pub fn decode_delta<'py>(py: Python<'py>, data: &[u8], limits: Limits) -> PyResult<Delta<'py>> {
    let limits = limits.core();
    let decoded = limits
        .package_bytes(data.len())
        .and_then(|()| delta::Delta::decode(data, &limits).map_err(|fault| *fault));
    let (delta, place) = decoded.map_err(|fault| refuse(py, fault))?;
    let package = PyBytes::new(py, &data[place]);
    let runs = delta.runs.into_iter().map(|run| (run.start, run.count)).collect();
    Ok((package, delta.base_hash, delta.content_hash, runs))
}

/// A change as a message around that of a package.
#[pyfunction]
pub fn encode_change<'py>(
    py: Python<'py>,
    package: &[u8],
    kind: u32,
    removed: Vec<String>,
) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &change::Change { kind, removed }.encode(package))
}

/// The kind, the ids that go, and header and blocks of the package of a change.
#[pyfunction]
pub fn decode_change(
    py: Python<'_>,
    data: PyBackedBytes,
    limits: Limits,
) -> PyResult<(u32, Vec<String>, Header, Rows)> {
    let limits = limits.core();
    let decoded = py.detach(|| {
        let of_change = |fault: Fault| fault.at(None, None);
        limits.package_bytes(data.len()).map_err(of_change)?;
        let (change, place) =
            change::Change::decode(&data, &limits).map_err(|fault| of_change(*fault))?;
        Ok((change, package::decode(data, place, &limits)?))
    });
    let (change, package) = decoded.map_err(|error| raise(py, &error))?;
    Ok((change.kind, change.removed, Header::of(package.header), Rows::of(package.blocks)))
}
