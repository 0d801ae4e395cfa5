//! Packets that the broker sends.
//!
//! The frequent ones are written straight into the session's write buffer; the codec makes the
//! rare ones.

use bytes::{BufMut, BytesMut};
use mqtt_proto::{v3, v5};

use crate::packet::Version;

/// Type and flags of the acks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(
    clippy::enum_variant_names,
    reason = "these are the names of the protocol"
)]
pub(crate) enum AckKind {
    PubAck = 0x40,
    PubRec = 0x50,
    PubRel = 0x62,
    PubComp = 0x70,
}

/// A message as one subscriber gets it.
#[derive(Debug)]
pub(crate) struct Delivered<'a> {
    pub(crate) topic: &'a [u8],
    pub(crate) payload: &'a [u8],
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// 0 at QoS 0.
    pub(crate) packet_id: u16,
    /// Seconds left.
    pub(crate) expiry_s: Option<u32>,
    /// Other MQTT 5 properties as on the wire.
    pub(crate) properties: &'a [u8],
    pub(crate) identifiers: &'a [u32],
    /// Sent before.
    pub(crate) dup: bool,
    /// MQTT 5 topic alias; the topic is left out where `topic` is empty.
    pub(crate) alias: Option<u16>,
}

/// An ack of success.
pub(crate) fn ack(out: &mut BytesMut, kind: AckKind, packet_id: u16) {
    let [high, low] = packet_id.to_be_bytes();
    out.put_slice(&[kind as u8, 2, high, low]);
}

/// An MQTT 5 ack with a reason code.
pub(crate) fn ack_with_reason(out: &mut BytesMut, kind: AckKind, packet_id: u16, reason: u8) {
    let [high, low] = packet_id.to_be_bytes();
    out.put_slice(&[kind as u8, 3, high, low, reason]);
}

/// The answer to SUBSCRIBE of MQTT 3.1.1: the QoS granted to each filter, `None` where it is refused.
///
/// The codec has a packet for it, which says 3 instead of 0x80 for a refusal.
pub(crate) fn suback_v3(
    out: &mut BytesMut,
    packet_id: u16,
    granted: impl ExactSizeIterator<Item = Option<u8>>,
) {
    out.put_u8(0x90);
    put_varint(out, 2 + granted.len());
    out.put_u16(packet_id);
    granted.for_each(|qos| out.put_u8(qos.unwrap_or(0x80)));
}

/// The answer to PINGREQ.
pub(crate) fn pingresp(out: &mut BytesMut) {
    out.put_slice(&[0xd0, 0]);
}

/// A packet of MQTT 3.1.1.
pub(crate) fn v3(out: &mut BytesMut, packet: &v3::Packet) {
    // The codec only fails to encode what is longer than MQTT allows, and answers are short.
    if let Ok(bytes) = packet.encode() {
        out.put_slice(bytes.as_ref());
    }
}

/// A packet of MQTT 5, unless it would be larger than `max`. Returns whether it was written.
pub(crate) fn v5(out: &mut BytesMut, packet: &v5::Packet, max: usize) -> bool {
    match packet.encode() {
        Ok(bytes) if bytes.as_ref().len() <= max => {
            out.put_slice(bytes.as_ref());
            true
        }
        _ => false,
    }
}

/// A PUBLISH, unless it would be larger than `max`. Returns whether it was written.
pub(crate) fn publish(out: &mut BytesMut, version: Version, m: &Delivered<'_>, max: usize) -> bool {
    let properties_len = m.properties.len()
        + m.expiry_s.map_or(0, |_| 5)
        + m.alias.map_or(0, |_| 3)
        + m.identifiers
            .iter()
            .map(|&id| 1 + varint_len(id as usize))
            .sum::<usize>();
    let mut remaining = 2 + m.topic.len() + m.payload.len();
    if m.qos > 0 {
        remaining += 2;
    }
    if version == Version::V5 {
        remaining += varint_len(properties_len) + properties_len;
    }
    let total = 1 + varint_len(remaining) + remaining;
    if total > max {
        return false;
    }
    out.reserve(total);
    out.put_u8(0x30 | u8::from(m.dup) << 3 | m.qos << 1 | u8::from(m.retain));
    put_varint(out, remaining);
    out.put_u16(m.topic.len() as u16);
    out.put_slice(m.topic);
    if m.qos > 0 {
        out.put_u16(m.packet_id);
    }
    if version == Version::V5 {
        put_varint(out, properties_len);
        if let Some(seconds) = m.expiry_s {
            out.put_u8(v5::PropertyId::MessageExpiryInterval as u8);
            out.put_u32(seconds);
        }
        if let Some(alias) = m.alias {
            out.put_u8(v5::PropertyId::TopicAlias as u8);
            out.put_u16(alias);
        }
        for &id in m.identifiers {
            out.put_u8(v5::PropertyId::SubscriptionIdentifier as u8);
            put_varint(out, id as usize);
        }
        out.put_slice(m.properties);
    }
    out.put_slice(m.payload);
    true
}

fn varint_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        _ => 4,
    }
}

fn put_varint(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_filter_is_told_to_version_3() {
        let mut out = BytesMut::new();
        suback_v3(&mut out, 258, [Some(1), None].into_iter());
        assert_eq!(out[..], [0x90, 4, 1, 2, 1, 0x80]);
    }

    #[test]
    fn the_codec_reads_a_publish() {
        let properties = v5::PublishProperties {
            content_type: Some("text".into()),
            ..Default::default()
        };
        let mut wire = Vec::new();
        mqtt_proto::Encodable::encode(&properties, &mut wire).expect("encodes");
        for len in [0, 100, 200, 20_000] {
            let message = Delivered {
                topic: b"a/b",
                payload: &vec![7; len],
                qos: 1,
                retain: true,
                packet_id: 300,
                expiry_s: Some(9),
                properties: &wire[1..],
                identifiers: &[200],
                dup: false,
                alias: None,
            };
            let mut out = BytesMut::new();
            assert!(publish(&mut out, Version::V5, &message, usize::MAX));
            let v5::Packet::Publish(got) =
                v5::Packet::decode(&out).expect("decodes").expect("whole")
            else {
                panic!("not a publish");
            };
            assert_eq!(
                (&*got.topic_name, got.payload.len(), got.retain),
                ("a/b", len, true)
            );
            assert_eq!(got.qos_pid.pid().map(|p| p.value()), Some(300));
            assert_eq!(got.properties.message_expiry_interval, Some(9));
            assert_eq!(got.properties.subscription_id.map(|i| i.value()), Some(200));
            assert_eq!(got.properties.content_type.as_deref(), Some("text"));
            let size = out.len();
            assert!(!publish(&mut out, Version::V5, &message, size - 1));
            out.clear();
            assert!(publish(&mut out, Version::V3, &message, usize::MAX));
            let v3::Packet::Publish(got) =
                v3::Packet::decode(&out).expect("decodes").expect("whole")
            else {
                panic!("not a publish");
            };
            assert_eq!((&*got.topic_name, got.payload.len()), ("a/b", len));
        }
    }
}
