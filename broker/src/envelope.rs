//! A publish on its way through the router.
//!
//! The router carries a payload at QoS 0 and nothing else that is the client's, so all the rest
//! goes in front of the payload. Integers are big-endian.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | bits 0–1 QoS, bit 2 retain, bit 3 has an expiry |
//! | 4 | message expiry, seconds |
//! | 8 | when it was received, milliseconds since 1970 |
//! | 8 | its position in the log; 0 if it is not there |
//! | 8 | mailbox of the client that sent it; 0 is the broker itself |
//! | 2 | length of the topic |
//! | 4 | length of the properties |
//! | … | topic, MQTT 5 properties as on the wire, payload |

use std::str;

use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};
use tarn_common::ids::Seq;

/// Bytes before the topic.
const HEADER_LEN: usize = 35;

/// What a message carries beside topic and payload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<u8>", into = "Vec<u8>")]
pub(crate) struct Properties {
    /// Seconds that the message is worth delivering for.
    pub(crate) expiry_s: Option<u32>,
    /// Other MQTT 5 properties as on the wire, without their length.
    pub(crate) wire: Bytes,
}

/// Number of the MQTT 5 property "message expiry interval".
const EXPIRY: u8 = 2;

impl Properties {
    /// All of them as on the wire, for the log.
    pub(crate) fn to_wire(&self) -> Bytes {
        let Some(expiry_s) = self.expiry_s else {
            return self.wire.clone();
        };
        let mut out = Vec::with_capacity(5 + self.wire.len());
        out.put_u8(EXPIRY);
        out.put_u32(expiry_s);
        out.put_slice(&self.wire);
        out.into()
    }

    /// Read back what [`Properties::to_wire`] made: the expiry is only ever in front.
    pub(crate) fn from_wire(bytes: &[u8]) -> Properties {
        match bytes.split_first_chunk() {
            Some((&[EXPIRY, a, b, c, d], rest)) => Properties {
                expiry_s: Some(u32::from_be_bytes([a, b, c, d])),
                wire: Bytes::copy_from_slice(rest),
            },
            _ => Properties {
                expiry_s: None,
                wire: Bytes::copy_from_slice(bytes),
            },
        }
    }
}

impl From<Vec<u8>> for Properties {
    fn from(wire: Vec<u8>) -> Self {
        Properties::from_wire(&wire)
    }
}

impl From<Properties> for Vec<u8> {
    fn from(properties: Properties) -> Self {
        properties.to_wire().into()
    }
}

/// A publish and who sent it when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) topic: Bytes,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) properties: Properties,
    pub(crate) received_ms: u64,
    pub(crate) seq: Seq,
    pub(crate) origin: u64,
}

impl Envelope {
    /// Seconds since it was received.
    pub(crate) fn age_s(&self, now_ms: u64) -> u32 {
        let age_s = now_ms.saturating_sub(self.received_ms) / 1000;
        u32::try_from(age_s).unwrap_or(u32::MAX)
    }

    /// Whether the time that its publisher gave it is over.
    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        let limit = self.properties.expiry_s;
        limit.is_some_and(|limit| self.age_s(now_ms) >= limit)
    }

    /// One buffer for the router, which all matching routes then share.
    pub(crate) fn seal(&self) -> Bytes {
        let Properties { expiry_s, wire } = &self.properties;
        let len = HEADER_LEN + self.topic.len() + wire.len() + self.payload.len();
        let mut out = Vec::with_capacity(len);
        out.put_u8(self.qos | u8::from(self.retain) << 2 | u8::from(expiry_s.is_some()) << 3);
        out.put_u32(expiry_s.unwrap_or_default());
        out.put_u64(self.received_ms);
        out.put_u64(self.seq.0);
        out.put_u64(self.origin);
        out.put_u16(self.topic.len() as u16);
        out.put_u32(wire.len() as u32);
        out.put_slice(&self.topic);
        out.put_slice(wire);
        out.put_slice(&self.payload);
        out.into()
    }

    /// Read back what [`Envelope::seal`] made, without copying. `None` if it did not.
    pub(crate) fn open(mut sealed: Bytes) -> Option<Envelope> {
        if sealed.len() < HEADER_LEN {
            return None;
        }
        let flags = sealed.get_u8();
        let expiry_s = sealed.get_u32();
        let received_ms = sealed.get_u64();
        let seq = Seq(sealed.get_u64());
        let origin = sealed.get_u64();
        let topic_len = usize::from(sealed.get_u16());
        let wire_len = sealed.get_u32() as usize;
        if sealed.len() < topic_len + wire_len {
            return None;
        }
        let topic = sealed.split_to(topic_len);
        let wire = sealed.split_to(wire_len);
        let expiry_s = (flags & 8 != 0).then_some(expiry_s);
        Some(Envelope {
            topic,
            payload: sealed,
            qos: flags & 3,
            retain: flags & 4 != 0,
            properties: Properties { expiry_s, wire },
            received_ms,
            seq,
            origin,
        })
    }

    /// Bytes that count against the bounds.
    pub(crate) fn size(&self) -> usize {
        self.topic.len() + self.payload.len() + self.properties.wire.len()
    }

    /// The topic as text.
    pub(crate) fn topic(&self) -> &str {
        // It was text when it was sealed.
        str::from_utf8(&self.topic).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_was_sealed() {
        let envelope = Envelope {
            topic: "a/é".into(),
            payload: "21.5".into(),
            qos: 2,
            retain: true,
            properties: Properties {
                expiry_s: Some(7),
                wire: Bytes::from_static(&[1, 1]),
            },
            received_ms: 1 << 40,
            seq: Seq(1 << 41),
            origin: 9,
        };
        assert_eq!(Envelope::open(envelope.seal()), Some(envelope.clone()));
        let plain = Envelope {
            properties: Properties::default(),
            retain: false,
            qos: 0,
            ..envelope.clone()
        };
        assert_eq!(Envelope::open(plain.seal()), Some(plain.clone()));
        assert_eq!(Envelope::open(plain.seal().slice(..36)), None);
        assert_eq!(Envelope::open(Bytes::new()), None);
        for properties in [envelope.properties, plain.properties] {
            assert_eq!(Properties::from_wire(&properties.to_wire()), properties);
        }
    }
}
