//! MQTT packets of both versions, as far as a publisher that hears commands needs them, on the codec `mqtt-proto`.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use mqtt_proto::{
    Encodable, Error, Pid, PollHeader, Protocol, QoS, QosPid, TopicFilter, TopicName, total_len,
    v3, v5,
};

use super::message::Message;

/// The largest packet a broker may send: acks are small, but anyone may publish to a command topic.
const INBOUND_PACKET_MAX: usize = 1024 * 1024;

/// Which MQTT is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1
    V3,
    /// MQTT 5.0
    V5,
}

/// Who connects, and how.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) version: Version,
    pub(super) client_id: Arc<str>,
    pub(super) username: Option<Arc<str>>,
    pub(super) password: Option<Bytes>,
    pub(super) keep_alive_s: u16,
    pub(super) session_expiry_s: u32,
    /// What the broker is to publish, at QoS 1, when the connection breaks.
    pub(super) will: Option<Message>,
}

/// What a broker says to a publisher.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inbound {
    /// CONNACK that accepts, with the number of messages that may be in flight, if bounded.
    Welcome { receive_max: Option<u16> },
    /// CONNACK that refuses; `passing` when it may help to ask again later.
    Refused { reason: String, passing: bool },
    /// PUBACK.
    Acked { pid: Pid, answer: Answer },
    /// PUBREC.
    Received { pid: Pid, answer: Answer },
    /// PUBCOMP. Its reason is of no interest: an unknown id has been completed before.
    Completed { pid: Pid },
    /// PUBLISH: a command for a device. To be acked at QoS 1.
    Command {
        topic: TopicName,
        payload: Bytes,
        ack: Option<Pid>,
    },
    /// SUBACK, with the number of topics that may not be heard.
    Subscribed { refused: usize },
    /// DISCONNECT from the broker, with its reason.
    Goodbye { reason: String },
    /// PINGRESP, or anything else that only shows that the broker lives.
    Alive,
}

/// What an ack says about its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Taken.
    Taken,
    /// Not taken now; it may be taken later (a quota, a full disk).
    Later,
    /// Not taken, and never will be (no right, a bad topic).
    Never,
}

/// Appends a CONNECT.
pub(super) fn connect(out: &mut Vec<u8>, login: &Login, clean: bool) -> Result<(), Error> {
    match login.version {
        Version::V3 => {
            let mut packet = v3::Connect::new(login.client_id.clone(), login.keep_alive_s);
            packet.clean_session = clean;
            packet.username = login.username.clone();
            packet.password = login.password.clone();
            packet.last_will = login.will.as_ref().map(|will| v3::LastWill {
                qos: QoS::Level1,
                retain: will.retain,
                topic_name: will.topic.clone(),
                message: will.payload.clone(),
            });
            append(out, 0x10, &packet)
        }
        Version::V5 => {
            let mut packet = v5::Connect::new(login.client_id.clone(), login.keep_alive_s);
            packet.protocol = Protocol::V500;
            packet.clean_start = clean;
            packet.username = login.username.clone();
            packet.password = login.password.clone();
            packet.properties.session_expiry_interval = Some(login.session_expiry_s);
            packet.last_will = login.will.as_ref().map(|will| {
                let (topic, payload) = (will.topic.clone(), will.payload.clone());
                let mut last = v5::LastWill::new(QoS::Level1, topic, payload);
                last.retain = will.retain;
                last
            });
            append(out, 0x10, &packet)
        }
    }
}

/// Appends a PUBLISH.
pub(super) fn publish(
    out: &mut Vec<u8>,
    version: Version,
    message: &Message,
    qos_pid: QosPid,
    dup: bool,
) -> Result<(), Error> {
    let qos = match qos_pid.qos() {
        QoS::Level0 => 0,
        QoS::Level1 => 0x02,
        QoS::Level2 => 0x04,
    };
    let control = 0x30 | qos | if dup { 0x08 } else { 0 } | u8::from(message.retain);
    let (topic, payload) = (message.topic.clone(), message.payload.clone());
    match version {
        Version::V3 => append(out, control, &v3::Publish::new(qos_pid, topic, payload)),
        Version::V5 => append(out, control, &v5::Publish::new(qos_pid, topic, payload)),
    }
}

/// Appends a SUBSCRIBE at QoS 1 to these topics.
pub(super) fn subscribe(
    out: &mut Vec<u8>,
    version: Version,
    pid: Pid,
    topics: &[TopicName],
) -> Result<(), Error> {
    let filters = topics.iter().map(|topic| TopicFilter::try_from(&**topic));
    let filters = filters.collect::<Result<Vec<TopicFilter>, Error>>()?;
    match version {
        Version::V3 => {
            let filters = filters.into_iter().map(|filter| (filter, QoS::Level1));
            append(out, 0x82, &v3::Subscribe::new(pid, filters.collect()))
        }
        Version::V5 => {
            let options = v5::SubscriptionOptions::new(QoS::Level1);
            let filters = filters.into_iter().map(|filter| (filter, options));
            append(out, 0x82, &v5::Subscribe::new(pid, filters.collect()))
        }
    }
}

/// Appends a PUBACK that takes a message; both versions write it so.
pub(super) fn puback(out: &mut Vec<u8>, pid: Pid) {
    let [high, low] = pid.value().to_be_bytes();
    out.extend_from_slice(&[0x40, 2, high, low]);
}

/// Appends a PUBREL, which has the same four bytes in both versions.
pub(super) fn pubrel(out: &mut Vec<u8>, pid: Pid) {
    let [high, low] = pid.value().to_be_bytes();
    out.extend_from_slice(&[0x62, 2, high, low]);
}

/// Appends a PINGREQ.
pub(super) fn pingreq(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xC0, 0]);
}

/// Appends a DISCONNECT: the client leaves as it should, and its session may go.
pub(super) fn disconnect(out: &mut Vec<u8>) {
    out.extend_from_slice(&[0xE0, 0]);
}

/// Appends header and body without the allocation that the codec makes for each packet.
fn append(out: &mut Vec<u8>, control: u8, body: &impl Encodable) -> Result<(), Error> {
    let mut length = body.encode_len();
    out.reserve(total_len(length)?);
    out.push(control);
    while length >= 128 {
        out.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    out.push(length as u8);
    body.encode(out)
}

/// The frame at the beginning of `bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// Packet type and flags.
    pub(super) control: u8,
    /// Length of the header, in bytes.
    pub(super) header_len: usize,
    /// Length of the body, in bytes.
    pub(super) body_len: usize,
}

impl Frame {
    /// Reads the header; `None` until the whole frame has come.
    pub(super) fn peek(bytes: &[u8], body_max: usize) -> Result<Option<Frame>, Error> {
        let Some((&control, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let mut body_len = 0_usize;
        for (place, &byte) in rest.iter().take(4).enumerate() {
            body_len |= usize::from(byte & 0x7F) << (7 * place);
            if byte & 0x80 == 0 {
                if body_len > body_max {
                    return Err(Error::InvalidRemainingLength);
                }
                let header_len = place + 2;
                let whole = bytes.len() >= header_len + body_len;
                return Ok(whole.then_some(Frame {
                    control,
                    header_len,
                    body_len,
                }));
            }
        }
        if rest.len() >= 4 {
            return Err(Error::InvalidVarByteInt);
        }
        Ok(None)
    }

    /// Length of header and body, in bytes.
    pub(super) fn total_len(&self) -> usize {
        self.header_len + self.body_len
    }
}

/// Takes the next packet out of `inbox`; `None` until a whole one has come.
pub(super) fn take(version: Version, inbox: &mut BytesMut) -> Result<Option<Inbound>, v5::ErrorV5> {
    let Some(frame) = Frame::peek(inbox, INBOUND_PACKET_MAX)? else {
        return Ok(None);
    };
    let body = &inbox[frame.header_len..frame.total_len()];
    let inbound = match version {
        Version::V3 => inbound_v3(frame, body)?,
        Version::V5 => inbound_v5(frame, body)?,
    };
    inbox.advance(frame.total_len());
    Ok(Some(inbound))
}

fn inbound_v3(frame: Frame, body: &[u8]) -> Result<Inbound, Error> {
    let header = v3::Header::new_with(
        frame.control,
        frame.body_len as u32,
        frame.total_len() as u32,
    )?;
    let packet = match header.build_empty_packet() {
        Some(packet) => packet,
        None => header.decode_buffer(body, &mut 0)?,
    };
    let answer = Answer::Taken;
    Ok(match packet {
        v3::Packet::Puback(pid) => Inbound::Acked { pid, answer },
        v3::Packet::Pubrec(pid) => Inbound::Received { pid, answer },
        v3::Packet::Pubcomp(pid) => Inbound::Completed { pid },
        v3::Packet::Publish(publish) => Inbound::Command {
            topic: publish.topic_name,
            payload: publish.payload,
            ack: publish.qos_pid.pid(),
        },
        v3::Packet::Suback(suback) => Inbound::Subscribed {
            refused: refusals(suback.topics.iter().map(|code| *code as u8)),
        },
        v3::Packet::Connack(connack) => match connack.code {
            v3::ConnectReturnCode::Accepted => Inbound::Welcome { receive_max: None },
            code => Inbound::Refused {
                reason: format!("{code:?}"),
                passing: code == v3::ConnectReturnCode::ServerUnavailable,
            },
        },
        _ => Inbound::Alive,
    })
}

fn inbound_v5(frame: Frame, body: &[u8]) -> Result<Inbound, v5::ErrorV5> {
    let header = v5::Header::new_with(
        frame.control,
        frame.body_len as u32,
        frame.total_len() as u32,
    )?;
    let packet = match header.build_empty_packet() {
        Some(packet) => packet,
        None => header.decode_buffer(body, &mut 0)?,
    };
    Ok(match packet {
        v5::Packet::Puback(ack) => Inbound::Acked {
            pid: ack.pid,
            answer: Answer::of(ack.reason_code as u8),
        },
        v5::Packet::Pubrec(ack) => Inbound::Received {
            pid: ack.pid,
            answer: Answer::of(ack.reason_code as u8),
        },
        v5::Packet::Pubcomp(ack) => Inbound::Completed { pid: ack.pid },
        v5::Packet::Publish(publish) => Inbound::Command {
            topic: publish.topic_name,
            payload: publish.payload,
            ack: publish.qos_pid.pid(),
        },
        v5::Packet::Suback(suback) => Inbound::Subscribed {
            refused: refusals(suback.topics.iter().map(|code| *code as u8)),
        },
        v5::Packet::Connack(connack) => connack_v5(&connack),
        v5::Packet::Disconnect(goodbye) => Inbound::Goodbye {
            reason: format!("{:?}", goodbye.reason_code),
        },
        _ => Inbound::Alive,
    })
}

/// How many of these codes of a SUBACK refuse.
fn refusals(codes: impl Iterator<Item = u8>) -> usize {
    codes.filter(|code| *code >= 0x80).count()
}

fn connack_v5(connack: &v5::Connack) -> Inbound {
    // Server unavailable, server busy, quota exceeded, use another server, rate exceeded.
    const PASSING: [u8; 5] = [0x88, 0x89, 0x97, 0x9C, 0x9F];
    if connack.reason_code == v5::ConnectReasonCode::Success {
        return Inbound::Welcome {
            receive_max: connack.properties.receive_max,
        };
    }
    Inbound::Refused {
        reason: format!("{:?}", connack.reason_code),
        passing: PASSING.contains(&(connack.reason_code as u8)),
    }
}

impl Answer {
    /// The meaning of an MQTT 5 reason code for a publisher.
    fn of(reason: u8) -> Answer {
        match reason {
            0..=0x7F => Answer::Taken,
            // Not authorized, topic name invalid, payload format invalid.
            0x87 | 0x90 | 0x99 => Answer::Never,
            _ => Answer::Later,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_seen_only_when_whole() {
        let bytes = [0x40, 2, 0, 9, 0xD0];
        for length in 0..4 {
            assert_eq!(Frame::peek(&bytes[..length], 100), Ok(None));
        }
        let frame = Frame::peek(&bytes, 100).expect("valid").expect("whole");
        assert_eq!(frame.total_len(), 4);
        assert!(Frame::peek(&[0x40, 0xFF, 0xFF, 0xFF, 0xFF, 1], 100).is_err());
        assert!(Frame::peek(&[0x40, 0xFF, 0x7F], 100).is_err());
    }

    #[test]
    fn hostile_bytes_are_errors_and_not_panics() {
        for version in [Version::V3, Version::V5] {
            for control in 0..=255_u8 {
                for body in [&[][..], &[0], &[0, 0], &[0, 1, 0xFF], &[0, 1, 0x87, 9, 1]] {
                    let mut bytes = BytesMut::from(&[control, body.len() as u8][..]);
                    bytes.extend_from_slice(body);
                    let _ = take(version, &mut bytes);
                }
            }
        }
    }
}
