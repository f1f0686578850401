//! The envelope that packages are stored and sent in.
//!
//! ```text
//! 0   magic "PCX1"
//! 4   format version, 1
//! 5   flags: 1 zstd, 2 encrypted, 4 signed
//! 6   bytes of the claims        u16, little endian as all of these
//! 8   bytes of the body before it was compressed  u32
//! 12  bytes of the body          u32
//! 16  body, claims, signature
//! -4  CRC-32 of all that comes before it
//! ```
//!
//! A signature is over header, body and claims as they are here. CRC-32 finds every single flipped bit.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ops::Range;

use zstd::bulk::Compressor;

use crate::error::Fault;
use crate::limits::Limits;

const MAGIC: &[u8; 4] = b"PCX1";
const FORMAT: u8 = 1;
const HEADER: usize = 16;
const CHECKSUM: usize = 4;

/// Shorter bodies become hardly smaller, and small ones are written at every append.
const WORTH_IT: usize = 256;

/// The fastest one but for those that give up half of what is gained.
const LEVEL: i32 = 1;

thread_local! {
    /// To make one takes longer than to compress a message with it.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// A body may not be larger than so many times what it was compressed to: a few bytes cannot ask for a lot of memory.
const MOST_RATIO: usize = 1_000;

/// What was done to the body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// Compressed with zstd.
    pub zstd: bool,
    /// Encrypted, after it was compressed.
    pub encrypted: bool,
    /// A signature follows the claims.
    pub signed: bool,
}

impl Flags {
    fn bits(self) -> u8 {
        u8::from(self.zstd) | u8::from(self.encrypted) << 1 | u8::from(self.signed) << 2
    }

    fn of(bits: u8) -> Option<Self> {
        let has = |bit: u8| bits & bit != 0;
        (bits < 8).then_some(Self { zstd: has(1), encrypted: has(2), signed: has(4) })
    }
}

/// The parts of an envelope whose checksum holds.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// What was done to the body.
    pub flags: Flags,
    /// Bytes of the body before it was compressed.
    pub uncompressed: usize,
    /// The message, perhaps compressed and encrypted.
    pub body: &'a [u8],
    /// What the signer says, in his own form.
    pub claims: &'a [u8],
    /// Over `signed`.
    pub signature: &'a [u8],
    /// Header, body and claims.
    pub signed: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Opens an envelope; nothing of the body is read.
    ///
    /// # Errors
    /// It is no envelope, cut off or changed, or it says that it holds more than `limits` take.
    pub fn open(data: &'a [u8], limits: &Limits) -> Result<Self, Fault> {
        let refused = |rule: String| Fault::new("envelope", "", rule);
        if !data.starts_with(MAGIC) {
            return Err(refused("does not start with PCX1".to_owned()));
        }
        let least = HEADER + CHECKSUM;
        if data.len() < least {
            return Err(refused(format!("is {} bytes, cut off before {least}", data.len())));
        }
        if data[4] != FORMAT {
            return Err(refused(format!("has format {}, not {FORMAT}", data[4])));
        }
        let number =
            |at: usize| data[at..].first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b));
        let uncompressed = to_usize(number(8));
        let body_len = to_usize(number(12));
        let claims_len = usize::from(u16::from_le_bytes([data[6], data[7]]));
        limits.package_bytes(uncompressed)?;
        limits.package_bytes(body_len)?;
        let claims_at = HEADER + body_len;
        let end = data.len() - CHECKSUM;
        if claims_at + claims_len > end {
            let whole = claims_at + claims_len + CHECKSUM;
            return Err(refused(format!("is {} bytes, cut off before {whole}", data.len())));
        }
        let (before, checksum) = data.split_at(end);
        if crc32fast::hash(before).to_le_bytes() != checksum {
            return Err(refused("does not have the checksum that it says".to_owned()));
        }
        let flags = Flags::of(data[5])
            .ok_or_else(|| refused(format!("has flags {}, not below 8", data[5])))?;
        let (signed, signature) = before.split_at(claims_at + claims_len);
        if signature.is_empty() == flags.signed {
            let trailing = signature.len();
            let rule = if flags.signed {
                "says that it is signed, and has no signature".to_owned()
            } else {
                format!("has {trailing} bytes behind its end")
            };
            return Err(refused(rule));
        }
        let body = &signed[HEADER..claims_at];
        if !flags.zstd && !flags.encrypted && uncompressed != body_len {
            return Err(refused(format!("has {body_len} bytes, and says {uncompressed}")));
        }
        let claims = &signed[claims_at..];
        if !claims.is_empty() && !flags.signed && !flags.encrypted {
            let rule = format!("has {claims_len} bytes of claims that nobody signed");
            return Err(refused(rule));
        }
        Ok(Self { flags, uncompressed, body, claims, signature, signed })
    }

    /// Where the body is in the data.
    #[must_use]
    pub fn place(&self) -> Range<usize> {
        HEADER..HEADER + self.body.len()
    }
}

/// Bytes of an envelope around a body of so many, neither compressed, encrypted nor signed.
#[must_use]
pub fn plain_len(body: usize) -> usize {
    HEADER + body + CHECKSUM
}

/// Writes such an envelope, to a place of just its size, around what `write` writes.
///
/// # Errors
/// The body is larger than its length can say.
pub fn write_plain(bytes: &mut [u8], write: impl FnOnce(&mut [u8])) -> Result<(), Fault> {
    let body = bytes.len() - HEADER - CHECKSUM;
    let end = HEADER + body;
    bytes[..HEADER].copy_from_slice(&header(Flags::default(), body, body, 0)?);
    write(&mut bytes[HEADER..end]);
    let checksum = crc32fast::hash(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// Header, body and claims: what a signature is over.
///
/// # Errors
/// A part is larger than its length can say.
pub fn unsigned(
    flags: Flags,
    uncompressed: usize,
    body: &[u8],
    claims: &[u8],
) -> Result<Vec<u8>, Fault> {
    let header = header(flags, uncompressed, body.len(), claims.len())?;
    Ok([&header, body, claims].concat())
}

/// Appends the signature, if there is one, and the checksum.
pub fn close(unsigned: &mut Vec<u8>, signature: &[u8]) {
    unsigned.extend_from_slice(signature);
    let checksum = crc32fast::hash(unsigned);
    unsigned.extend_from_slice(&checksum.to_le_bytes());
}

/// A body in an envelope that is neither encrypted nor signed, compressed where that is wanted and worth it.
///
/// # Errors
/// The body is larger than its length can say, or the compressor has no memory.
pub fn around(body: &[u8], zstd: bool) -> Result<Vec<u8>, Fault> {
    let small = if zstd { compress(body)? } else { None };
    let flags = Flags { zstd: small.is_some(), ..Flags::default() };
    let mut out = unsigned(flags, body.len(), small.as_deref().unwrap_or(body), &[])?;
    close(&mut out, &[]);
    Ok(out)
}

fn header(
    flags: Flags,
    uncompressed: usize,
    body: usize,
    claims: usize,
) -> Result<[u8; HEADER], Fault> {
    let too_large = |field: &str, len: usize| {
        Fault::new(field, "", format!("is {len} bytes, more than an envelope holds"))
    };
    let number = |field: &str, len: usize| u32::try_from(len).map_err(|_| too_large(field, len));
    let claims = u16::try_from(claims).map_err(|_| too_large("claims", claims))?;
    let mut out = [0; HEADER];
    out[..4].copy_from_slice(MAGIC);
    out[4] = FORMAT;
    out[5] = flags.bits();
    out[6..8].copy_from_slice(&claims.to_le_bytes());
    out[8..12].copy_from_slice(&number("body", uncompressed)?.to_le_bytes());
    out[12..16].copy_from_slice(&number("body", body)?.to_le_bytes());
    Ok(out)
}

/// The body smaller, `None` where that is not worth it, or so small that a reader would take it for an attack.
///
/// # Errors
/// The compressor has no memory.
pub fn compress(body: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    if body.len() < WORTH_IT {
        return Ok(None);
    }
    let compressed = COMPRESSOR.with_borrow_mut(|known| {
        let compressor = match known {
            Some(compressor) => compressor,
            None => known.insert(Compressor::new(LEVEL)?),
        };
        compressor.compress(body)
    });
    let small = compressed
        .map_err(|error| Fault::new("body", "", format!("cannot be compressed: {error}")))?;
    let is_worth_it = small.len() < body.len() && body.len() <= small.len() * MOST_RATIO;
    Ok(is_worth_it.then_some(small))
}

/// The body as it was before it was compressed; memory is asked for only when its size is known to be allowed.
///
/// # Errors
/// It is no zstd frame of just that size, or larger than its bytes may become.
pub fn decompress(body: &[u8], flags: Flags, uncompressed: usize) -> Result<Cow<'_, [u8]>, Fault> {
    let refused = |rule: String| Fault::new("envelope", "", rule);
    if !flags.zstd {
        return if body.len() == uncompressed {
            Ok(Cow::Borrowed(body))
        } else {
            Err(refused(format!("has {} bytes, and says {uncompressed}", body.len())))
        };
    }
    if uncompressed > body.len().saturating_mul(MOST_RATIO) {
        let rule = format!(
            "would grow from {} to {uncompressed} bytes, more than {MOST_RATIO} times",
            body.len()
        );
        return Err(refused(rule));
    }
    let said = zstd::zstd_safe::get_frame_content_size(body).ok().flatten();
    let is_said = said.and_then(|said| usize::try_from(said).ok()) == Some(uncompressed);
    // Behind the frame others could stand that are empty or passed over: two envelopes would hold the same.
    let is_one = zstd::zstd_safe::find_frame_compressed_size(body) == Ok(body.len());
    if !is_said || !is_one {
        return Err(refused(format!("has no zstd frame of {uncompressed} bytes")));
    }
    match zstd::bulk::decompress(body, uncompressed) {
        Ok(whole) if whole.len() == uncompressed => Ok(Cow::Owned(whole)),
        _ => Err(refused(format!("has no zstd frame of {uncompressed} bytes"))),
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
