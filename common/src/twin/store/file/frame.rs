//! All numbers little-endian. The file begins with a head of 16 bytes:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | `TARNTWN1`: what it is, and its version |
//! | 8 | 8 | zero |
//!
//! Frames follow, one for each bundle:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | length of the body, what follows the CRC |
//! | 4 | 4 | CRC32C of the body |
//! | 8 | 1 | kind: 1 changes, 2 snapshot |
//! | 9 | 4 | epoch |
//! | 13 | 2 | length of the document's name |
//! | 15 | … | the document's name, then the bundle's bytes |
//!
//! Kind, name and length are narrow, so that the next whole frame is soon found behind a damaged one.

use std::ops::Range;

use bytes::Bytes;

use crate::twin::{
    document::{DocumentId, DocumentKey, NAME_BYTES_MAX},
    replica::{Bundle, BundleKind},
};

/// Bytes before the first frame.
pub(super) const HEAD: [u8; 16] = *b"TARNTWN1\0\0\0\0\0\0\0\0";
/// What every version of the file begins with.
const MAGIC: &[u8] = b"TARNTWN";
const FRAME_HEAD: usize = 8;
const BODY_HEAD: usize = 7;
/// Body of a frame at most; a longer one is refused, and such a length on disk is damage.
pub(super) const BODY_BYTES_MAX: usize = 16 << 20;

/// Add the frame of a bundle. Says whether it is short enough for one.
pub(super) fn encode(bundle: &Bundle, out: &mut Vec<u8>) -> bool {
    let name = bundle.key.id.as_str().as_bytes();
    let length = BODY_HEAD + name.len() + bundle.bytes.len();
    if length > BODY_BYTES_MAX || !bundle.key.id.is_valid() {
        return false;
    }
    let start = out.len();
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.push(match bundle.kind {
        BundleKind::Changes => 1,
        BundleKind::Snapshot => 2,
    });
    out.extend_from_slice(&bundle.key.epoch.to_le_bytes());
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(&bundle.bytes);
    let crc = crc32c::crc32c(&out[start + FRAME_HEAD..]);
    out[start + 4..start + FRAME_HEAD].copy_from_slice(&crc.to_le_bytes());
    true
}

/// The bundle whose frame stands at `at`, if one stands there whole, and where the frame ends.
fn decode(file: &Bytes, at: usize) -> Option<(Bundle, usize)> {
    let head: &[u8; FRAME_HEAD + BODY_HEAD] = file.get(at..)?.first_chunk()?;
    let u32_at =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = u32_at(0) as usize;
    let kind = match head[8] {
        1 => BundleKind::Changes,
        2 => BundleKind::Snapshot,
        _ => return None,
    };
    let name_length = usize::from(u16::from_le_bytes([head[13], head[14]]));
    if length > BODY_BYTES_MAX || name_length > NAME_BYTES_MAX || length < BODY_HEAD + name_length {
        return None;
    }
    let body = at + FRAME_HEAD;
    let end = body + length;
    let name = body + BODY_HEAD..body + BODY_HEAD + name_length;
    let id = document_id(std::str::from_utf8(file.get(name.clone())?).ok()?)?;
    if crc32c::crc32c(file.get(body..end)?) != u32_at(4) {
        return None;
    }
    let bundle = Bundle {
        key: DocumentKey {
            id,
            epoch: u32_at(9),
        },
        kind,
        bytes: file.slice(name.end..end),
    };
    Some((bundle, end))
}

fn document_id(name: &str) -> Option<DocumentId> {
    let id = match name.strip_prefix("device/") {
        Some(device) => DocumentId::device(device),
        None => DocumentId::home(),
    };
    (id.as_str() == name && id.is_valid()).then_some(id)
}

/// What was found in a file.
#[derive(Debug)]
pub(super) struct Scan {
    /// Whole frames with what they hold.
    pub frames: Vec<(Bundle, Range<u64>)>,
    /// Where the last whole frame ends.
    pub end: u64,
    /// What stands between whole frames and is none.
    pub damaged: Vec<Range<u64>>,
    /// Whether the head is as it should be.
    pub has_head: bool,
}

/// Read a file. None where a later version wrote it.
pub(super) fn scan(file: &Bytes) -> Option<Scan> {
    let has_head = file.starts_with(&HEAD);
    let version = file.get(MAGIC.len()).filter(|_| file.starts_with(MAGIC));
    if version.is_some_and(|version| *version > HEAD[MAGIC.len()] && version.is_ascii_digit()) {
        return None;
    }
    let mut found = Scan {
        frames: Vec::new(),
        end: HEAD.len() as u64,
        damaged: Vec::new(),
        has_head,
    };
    let mut at = HEAD.len();
    while at < file.len() {
        let next = (at..file.len()).find_map(|at| Some((at, decode(file, at)?)));
        let Some((start, (bundle, end))) = next else {
            break;
        };
        if start > at {
            found.damaged.push(at as u64..start as u64);
        }
        found.frames.push((bundle, start as u64..end as u64));
        at = end;
        found.end = end as u64;
    }
    Some(found)
}
