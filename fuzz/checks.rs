//! What must hold for any input. The fuzz targets run it, and so do the ordinary tests over the corpus that they left.
#![allow(dead_code, reason = "a target needs one of them")]

use arbitrary::{Arbitrary, Unstructured};
use pycontext_core::columns::Columns;
use pycontext_core::count::{Counter, Encoding, Path};
use pycontext_core::kind::Kind;
use pycontext_core::limits::Limits;
use pycontext_core::row::{Extra, Rare, Row};
use pycontext_core::slice::Slice;
use pycontext_core::wire::change;
use pycontext_core::wire::envelope::{self, Envelope};
use pycontext_core::wire::package::{self, Encoder, Header, Metrics, Package};

/// Limits that a small input reaches.
const SMALL: Limits = Limits {
    id_bytes: 8,
    block_bytes: 64,
    metadata_bytes: 16,
    metadata_keys: 2,
    references: 2,
    package_bytes: 512,
    package_blocks: 4,
};

/// Longest message of an error, in characters.
const LONGEST: usize = 300;

/// Any bytes: refused in one line, or a package that comes back from the bytes it is written to; and the same as what a
/// store keeps of a change.
pub fn package(bytes: &[u8]) {
    changed(bytes, &SMALL);
    changed(bytes, &Limits::DEFAULT);
    drop(read(bytes, &SMALL));
    if let Some((header, columns)) = read(bytes, &Limits::DEFAULT) {
        same(&header, &columns, &write(&header, &columns));
    }
}

/// Any text, and the same text longer than a chunk: every way to count gives what the crate `bpe-openai` gives.
pub fn count(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let many = text.repeat(if text.is_empty() { 0 } else { 20_000 / text.len() + 1 });
    for encoding in Encoding::ALL {
        let other = match encoding {
            Encoding::O200k => bpe_openai::o200k_base(),
            Encoding::Cl100k => bpe_openai::cl100k_base(),
        };
        for text in [&*text, &many] {
            let expected = other.count(text) as u64;
            for path in Path::all() {
                let counted = encoding.count_by(path, text, u64::MAX);
                assert_eq!(counted, expected, "{} by {}: {text:?}", encoding.name(), path.name());
            }
            assert_eq!(u64::from(encoding.count(text)), expected, "{text:?}");
        }
    }
}

/// Any bytes as an envelope, and again with the checksum that they should have.
pub fn envelope(bytes: &[u8]) {
    let mut closed = bytes.to_vec();
    envelope::close(&mut closed, &[]);
    for data in [bytes, &closed] {
        for limits in [&SMALL, &Limits::DEFAULT] {
            match Envelope::open(data, limits) {
                Ok(opened) => sealed_again(&opened, data),
                Err(fault) => is_one_line(&fault.to_string()),
            }
        }
    }
}

/// A package made of the bytes: it comes back as it was, and as whatever its changed bytes are.
pub fn structured(bytes: &[u8]) {
    let Ok(draft) = Draft::arbitrary(&mut Unstructured::new(bytes)) else { return };
    let (header, columns) = draft.build();
    let mut written = write(&header, &columns);
    same(&header, &columns, &written);
    for (at, change) in draft.changes {
        let at = usize::from(at) % written.len().max(1);
        match change {
            Change::Flip(bits) => written.get_mut(at).into_iter().for_each(|byte| *byte ^= bits),
            Change::Insert(byte) => written.insert(at, byte),
            Change::Cut => written.truncate(at),
        }
    }
    package(&written);
}

fn changed(bytes: &[u8], limits: &Limits) {
    match change::Change::decode(bytes, limits) {
        Ok((change, place)) => {
            let package = &bytes[place];
            let written = change.encode(package);
            let again = change::Change::decode(&written, limits);
            let (same, place) = again.expect("what was written is read");
            assert_eq!(same, change);
            assert_eq!(&written[place], package);
        }
        Err(fault) => is_one_line(&fault.to_string()),
    }
}

type Decoded = (Header, Columns<Slice>);

fn read(bytes: &[u8], limits: &Limits) -> Option<Decoded> {
    let decoded = package::decode::<Slice>(bytes.to_vec(), 0..bytes.len(), limits);
    let package = decoded.map_err(|error| is_one_line(&error.to_string())).ok()?;
    columns_of(package)
}

fn columns_of(package: Package<Slice>) -> Option<Decoded> {
    let mut blocks = package.blocks;
    assert!(blocks.count(|_| Some(0)));
    // An id that comes twice.
    let columns = blocks.finish().map_err(|(_, fault)| is_one_line(&fault.to_string())).ok()?;
    Some((package.header, columns))
}

fn write<T: AsRef<str>>(header: &Header, columns: &Columns<T>) -> Vec<u8> {
    let metrics = Metrics {
        total_tokens: 7,
        context_saturation: 0.5,
        type_distribution: vec![("USER".to_owned(), 1.0)],
    };
    let encoder = Encoder::new(header, &metrics, columns, &Limits::DEFAULT);
    let encoder = encoder.expect("what was read is within the limits");
    let mut bytes = vec![0; encoder.len()];
    encoder.write(&mut bytes);
    bytes
}

fn same<T: AsRef<str>>(header: &Header, columns: &Columns<T>, written: &[u8]) {
    let (header_again, again) = read(written, &Limits::DEFAULT).expect("what was written is read");
    assert_eq!(*header, header_again);
    assert_eq!(columns.len(), again.len());
    assert_eq!(columns.scores(), again.scores());
    assert_eq!(columns.timestamps(), again.timestamps());
    assert_eq!(columns.tokens(), again.tokens());
    assert_eq!(columns.kinds(), again.kinds());
    for row in 0..columns.len() {
        assert_eq!(texts(columns, row), texts(&again, row));
        assert_eq!(unknown(columns, row), unknown(&again, row));
    }
}

fn unknown<T: AsRef<str>>(columns: &Columns<T>, row: usize) -> &[u8] {
    columns.extra(row).map_or(&[], |extra| &extra.unknown)
}

/// All texts of a row, each behind the name of its field.
fn texts<T: AsRef<str>>(columns: &Columns<T>, row: usize) -> Vec<(&'static str, &str)> {
    let mut texts = vec![
        ("id", columns.ids()[row].as_ref()),
        ("content", columns.contents()[row].as_ref()),
        ("origin", columns.origin(row).map_or("", AsRef::as_ref)),
        ("unit", columns.unit(row).map_or("", AsRef::as_ref)),
    ];
    for reference in columns.references(row) {
        texts.push(("reference", reference));
    }
    for (key, value) in columns.metadata(row).pairs() {
        texts.extend([("key", key), ("value", value)]);
    }
    texts
}

/// What was opened is sealed to the bytes that it came from, and its body is one more message.
fn sealed_again(opened: &Envelope<'_>, data: &[u8]) {
    let parts = envelope::unsigned(opened.flags, opened.uncompressed, opened.body, opened.claims);
    let mut sealed = parts.expect("what was opened has lengths that an envelope can say");
    envelope::close(&mut sealed, opened.signature);
    assert_eq!(sealed, data);
    if opened.flags.encrypted {
        return;
    }
    match envelope::decompress(opened.body, opened.flags, opened.uncompressed) {
        Ok(body) => package(&body),
        Err(fault) => is_one_line(&fault.to_string()),
    }
}

fn is_one_line(message: &str) {
    assert!(message.chars().count() <= LONGEST, "{message}");
    assert!(!message.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']), "{message}");
}

/// A package that a sender may have made.
#[derive(Debug, Arbitrary)]
struct Draft {
    session_id: String,
    agent_id: String,
    version: u32,
    trace_id: String,
    counter: String,
    parents: Vec<(String, u32, [u8; package::HASH_BYTES])>,
    hops: u32,
    epoch: u32,
    sender: String,
    blocks: Vec<Block>,
    changes: Vec<(u16, Change)>,
}

#[derive(Debug, Arbitrary)]
struct Block {
    id: String,
    content: String,
    kind: u8,
    score: f64,
    timestamp: u64,
    tokens: u32,
    references: Vec<String>,
    metadata: Vec<(String, String)>,
    origin: Option<String>,
    /// Value of a field that nobody knows.
    unknown: Option<u8>,
}

/// What may happen to a byte on its way.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Change {
    Flip(u8),
    Insert(u8),
    Cut,
}

impl Draft {
    fn build(&self) -> (Header, Columns<String>) {
        let parent = |(session_id, version, hash): &(String, u32, [u8; package::HASH_BYTES])| {
            package::Parent {
                session_id: session_id.clone(),
                version: *version,
                content_hash: hash.to_vec(),
            }
        };
        let header = Header {
            session_id: self.session_id.clone(),
            agent_id: self.agent_id.clone(),
            version: self.version,
            trace_id: self.trace_id.clone(),
            counter: self.counter.clone(),
            operation_id: String::new(),
            parents: self.parents.iter().take(16).map(parent).collect(),
            hops: self.hops,
            epoch: self.epoch,
            sender: self.sender.clone(),
            unknown: Vec::new(),
        };
        let mut columns = Columns::default();
        for (row, block) in self.blocks.iter().enumerate() {
            columns.push(block.row(row)).expect("ids begin with the number of the row");
        }
        (header, columns)
    }
}

impl Block {
    /// The block with what is outside the limits brought inside.
    fn row(&self, row: usize) -> Row<String> {
        let mut metadata: Vec<(String, String)> = Vec::new();
        for (key, value) in &self.metadata {
            let key = id(&format!("k{key}"));
            if metadata.iter().all(|(other, _)| *other != key) {
                metadata.push((key, value.clone()));
            }
        }
        let references = self.references.iter().map(|text| id(&format!("r{text}"))).collect();
        let metadata: Vec<String> =
            metadata.into_iter().flat_map(|(key, value)| [key, value]).collect();
        let rare = Rare::of(references, &metadata);
        let score = self.score.abs();
        // Field 100, a varint.
        let unknown = self.unknown.map_or_else(Vec::new, |value| vec![0xA0, 0x06, value & 0x7F]);
        let origin = self.origin.as_ref().map(|text| id(&format!("o{text}")));
        Row {
            id: id(&format!("{row}-{}", self.id)),
            content: self.content.clone(),
            kind: Kind::ALL[usize::from(self.kind) % Kind::ALL.len()],
            score: if score <= 1.0 {
                score
            } else if score.is_nan() {
                0.5
            } else {
                score.recip()
            },
            timestamp: i64::try_from(self.timestamp >> 1).unwrap_or(0),
            tokens: self.tokens,
            metadata: metadata.into(),
            rare,
            extra: Extra::of(origin, unknown.into()),
        }
    }
}

/// A text as an id may be: no control characters, and not too long.
fn id(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}
