//! All numbers little-endian. A record, made so that its 32 bytes before the client id can be
//! checked and skipped without a table:
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | length of the body, what follows the CRC |
//! | 4 | 4 | CRC32C of the body |
//! | 8 | 1 | kind |
//! | 9 | 1 | flags: QoS in bits 0–1, retain bit 2, dup bit 3, has properties bit 4 |
//! | 10 | 2 | packet id |
//! | 12 | 2 | length of the client id |
//! | 14 | 2 | length of the topic |
//! | 16 | 8 | sequence |
//! | 24 | 8 | received, milliseconds since 1970 UTC |
//! | 32 | … | client id, topic, payload |
//!
//! Between topic and payload, where the flag says so: the length of the properties (4) and the
//! MQTT 5 properties as they were on the wire. Records without the flag are as they always were.
//!
//! A length of zero is space that was allocated and not written.

use tarn_common::ids::{EdgeId, Seq};

/// Bytes before the client id.
pub const RECORD_HEAD: usize = 32;
const FRAME_HEAD: usize = 8;
/// The flag of a record with properties, and the bytes of their length.
const PROPERTIES: u8 = 0b1_0000;
const PROPERTIES_HEAD: usize = 4;
const BODY_HEAD: usize = RECORD_HEAD - FRAME_HEAD;

/// Body of a record at most; a longer one is refused, and such a length on disk is damage.
pub const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A publish, as it came.
    Publish,
    /// A QoS 2 packet id became free.
    Release,
    /// A client has got its acknowledgements up to the sequence in the payload.
    Confirm,
    /// A part of the redelivery table, at the head of a segment.
    Snapshot,
    /// The broker's note about a session, in the payload.
    Note,
    /// Who asked for a change of the box, or was refused, in the payload as JSON: an
    /// [`AuditEntry`](tarn_common::event::AuditEntry).
    Audit,
    /// What a rule or an alarm did, in the payload as JSON: a [`LoggedEvent`](tarn_common::event::LoggedEvent).
    Event,
    /// The box's clock was set, in the payload: the first record of this run (8), and what the times of all
    /// records since then have to be moved by, in milliseconds (8).
    Clock,
}

impl Kind {
    /// Whether a cut makes rows of it, so that a segment with nothing else is worth one.
    #[must_use]
    pub fn makes_rows(self) -> bool {
        matches!(self, Kind::Publish | Kind::Audit | Kind::Event)
    }

    fn code(self) -> u8 {
        match self {
            Kind::Publish => 1,
            Kind::Release => 2,
            Kind::Confirm => 3,
            Kind::Snapshot => 4,
            Kind::Note => 5,
            Kind::Clock => 6,
            Kind::Audit => 7,
            Kind::Event => 8,
        }
    }

    fn of(code: u8) -> Option<Kind> {
        [
            Kind::Publish,
            Kind::Release,
            Kind::Confirm,
            Kind::Snapshot,
            Kind::Note,
            Kind::Clock,
            Kind::Audit,
            Kind::Event,
        ]
        .into_iter()
        .find(|k| k.code() == code)
    }
}

/// One record, borrowed from where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is.
    pub kind: Kind,
    /// Quality of service of a publish.
    pub qos: u8,
    /// Retain flag of a publish.
    pub retain: bool,
    /// DUP flag of a publish.
    pub dup: bool,
    /// MQTT packet id; 0 at QoS 0.
    pub packet_id: u16,
    /// Position in the journal.
    pub seq: Seq,
    /// When the box got it, milliseconds since 1970 UTC.
    pub received_ms: i64,
    /// MQTT client id.
    pub client: &'a str,
    /// MQTT topic.
    pub topic: &'a str,
    /// MQTT 5 properties as on the wire.
    pub properties: &'a [u8],
    /// Payload, any bytes.
    pub payload: &'a [u8],
}

impl<'a> Record<'a> {
    /// A record that is not a publish.
    #[must_use]
    pub fn control(kind: Kind, seq: Seq, client: &'a str) -> Record<'a> {
        Record {
            kind,
            qos: 0,
            retain: false,
            dup: false,
            packet_id: 0,
            seq,
            received_ms: 0,
            client,
            topic: "",
            properties: &[],
            payload: &[],
        }
    }
}

/// Append a record's frame. False, and nothing appended, when it is too large.
#[must_use]
pub fn encode(record: &Record<'_>, out: &mut Vec<u8>) -> bool {
    let properties_len = match record.properties.len() {
        0 => 0,
        len => PROPERTIES_HEAD + len,
    };
    let body = BODY_HEAD
        + record.client.len()
        + record.topic.len()
        + properties_len
        + record.payload.len();
    let (Ok(client_len), Ok(topic_len)) = (
        u16::try_from(record.client.len()),
        u16::try_from(record.topic.len()),
    ) else {
        return false;
    };
    if body > BODY_BYTES_MAX {
        return false;
    }
    let start = out.len();
    out.reserve(FRAME_HEAD + body);
    out.extend_from_slice(&(body as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.push(record.kind.code());
    out.push(
        record.qos
            | u8::from(record.retain) << 2
            | u8::from(record.dup) << 3
            | if properties_len > 0 { PROPERTIES } else { 0 },
    );
    out.extend_from_slice(&record.packet_id.to_le_bytes());
    out.extend_from_slice(&client_len.to_le_bytes());
    out.extend_from_slice(&topic_len.to_le_bytes());
    out.extend_from_slice(&record.seq.0.to_le_bytes());
    out.extend_from_slice(&record.received_ms.to_le_bytes());
    out.extend_from_slice(record.client.as_bytes());
    out.extend_from_slice(record.topic.as_bytes());
    if properties_len > 0 {
        out.extend_from_slice(&(record.properties.len() as u32).to_le_bytes());
        out.extend_from_slice(record.properties);
    }
    out.extend_from_slice(record.payload);
    let crc = crc32c::crc32c(&out[start + FRAME_HEAD..]);
    out[start + 4..start + FRAME_HEAD].copy_from_slice(&crc.to_le_bytes());
    true
}

/// The record at the start of `bytes` and the length of its frame, if one stands there whole.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(Record<'_>, usize)> {
    let head: &[u8; RECORD_HEAD] = bytes.first_chunk()?;
    let u16_at = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    let u32_at =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
    let len = u32_at(0) as usize;
    let kind = Kind::of(head[8])?;
    let (client_len, topic_len) = (usize::from(u16_at(12)), usize::from(u16_at(14)));
    if len > BODY_BYTES_MAX || len < BODY_HEAD + client_len + topic_len {
        return None;
    }
    let body = bytes.get(FRAME_HEAD..FRAME_HEAD + len)?;
    if crc32c::crc32c(body) != u32_at(4) {
        return None;
    }
    let (client, rest) = body[BODY_HEAD..].split_at(client_len);
    let (topic, rest) = rest.split_at(topic_len);
    let flags = head[9];
    let (properties, payload) = if flags & PROPERTIES == 0 {
        rest.split_at(0)
    } else {
        let (len, rest) = rest.split_first_chunk::<PROPERTIES_HEAD>()?;
        rest.split_at_checked(u32::from_le_bytes(*len) as usize)?
    };
    let record = Record {
        kind,
        qos: flags & 0b11,
        retain: flags & 0b100 != 0,
        dup: flags & 0b1000 != 0,
        packet_id: u16_at(10),
        seq: Seq(u64_at(16)),
        received_ms: u64_at(24) as i64,
        client: std::str::from_utf8(client).ok()?,
        topic: std::str::from_utf8(topic).ok()?,
        properties,
        payload,
    };
    Some((record, FRAME_HEAD + len))
}

/// Bytes of a segment's head: magic and version (8), edge id (8), first sequence (8), CRC32C of
/// these (4), zero (4).
pub const SEGMENT_HEAD: usize = 32;
const MAGIC: &[u8; 8] = b"TARNJRN1";

/// The head of a segment.
#[must_use]
pub fn segment_head(edge: EdgeId, first: Seq) -> [u8; SEGMENT_HEAD] {
    let mut head = [0; SEGMENT_HEAD];
    head[..8].copy_from_slice(MAGIC);
    head[8..16].copy_from_slice(&edge.0.to_le_bytes());
    head[16..24].copy_from_slice(&first.0.to_le_bytes());
    let crc = crc32c::crc32c(&head[..24]);
    head[24..28].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Whether these bytes start with the head of the segment that begins with `first`, under whatever id
/// the box had when it was made.
#[must_use]
pub fn is_segment(bytes: &[u8], first: Seq) -> bool {
    let edge = bytes.get(8..16).and_then(|id| id.try_into().ok());
    edge.is_some_and(|id| bytes.starts_with(&segment_head(EdgeId(u64::from_le_bytes(id)), first)))
}
