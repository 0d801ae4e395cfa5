//! Packets of both protocol versions as one type.

use bytes::Bytes;
use mqtt_proto::{
    Encodable, Error, Pid, Protocol, QoS, QosPid, TopicFilter, TopicName, v3, v5,
    v5::{RetainHandling, SubscriptionOptions},
};

use crate::{envelope::Properties, frame::Frame, note::Will, violation::Violation};

/// Protocol version of a session. 3.1 and 3.1.1 only differ in CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V3,
    V5,
}

impl Version {
    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Version::V3 => "3.1.1",
            Version::V5 => "5",
        }
    }
}

/// A packet that a client may send after CONNECT.
#[derive(Debug)]
pub(crate) enum Inbound {
    Publish(Publish),
    PubAck(u16),
    /// `ok` is false if the client refused the message.
    PubRec {
        packet_id: u16,
        ok: bool,
    },
    PubRel(Pid),
    PubComp(u16),
    Subscribe(Subscribe),
    Unsubscribe {
        pid: Pid,
        filters: Vec<TopicFilter>,
    },
    PingReq,
    Disconnect {
        /// The client wants its will published all the same.
        with_will: bool,
        /// New session expiry, seconds.
        expiry_s: Option<u32>,
    },
}

#[derive(Debug)]
pub(crate) struct Publish {
    pub(crate) topic: TopicName,
    pub(crate) payload: Bytes,
    pub(crate) qos: u8,
    pub(crate) packet_id: u16,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    pub(crate) properties: Properties,
    /// MQTT 5: number that stands for the topic, or is to stand for it.
    pub(crate) alias: Option<u16>,
}

#[derive(Debug)]
pub(crate) struct Subscribe {
    pub(crate) pid: Pid,
    /// Identifier that the client wants to see with each message.
    pub(crate) identifier: Option<u32>,
    pub(crate) filters: Vec<(TopicFilter, SubscriptionOptions)>,
}

/// A CONNECT.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) clean: bool,
    pub(crate) keep_alive_s: u16,
    pub(crate) client_id: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<Bytes>,
    /// The client wants an authentication method beyond user and password.
    pub(crate) extended_auth: bool,
    pub(crate) receive_max: u16,
    pub(crate) packet_bytes_max: usize,
    /// Seconds that the session outlives the connection; [`u32::MAX`] is for ever.
    pub(crate) expiry_s: u32,
    pub(crate) aliases_max: u16,
    /// The client wants to read reasons.
    pub(crate) problem_information: bool,
    pub(crate) will: Option<Will>,
}

/// Why a first packet is no CONNECT to go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadConnect {
    /// Some MQTT of a version that we do not speak.
    Version,
    /// Known to be MQTT 5, so it can be told why.
    V5(Violation),
    Other(Violation),
}

/// Decode the packet of a frame; `body` is all of it after the fixed header.
pub(crate) fn decode(version: Version, frame: Frame, body: &[u8]) -> Result<Inbound, Violation> {
    match version {
        Version::V3 => decode_v3(frame, body),
        Version::V5 => decode_v5(frame, body),
    }
}

/// Decode one packet with the codec's decoder for complete packets. It does not look at what the
/// packet leaves over, so that is done here.
macro_rules! decode_whole {
    ($version:ident, $frame:expr, $body:expr) => {{
        use mqtt_proto::PollHeader;
        let total_len = $frame.total_len as u32;
        let header = $version::Header::new_with($frame.control, $body.len() as u32, total_len)?;
        match header.build_empty_packet() {
            Some(packet) if $body.is_empty() => packet,
            Some(_) => return Err(Violation::Malformed),
            None => {
                let mut at = 0;
                let packet = header.decode_buffer($body, &mut at)?;
                if at != $body.len() {
                    return Err(Violation::Malformed);
                }
                packet
            }
        }
    }};
}

fn decode_v3(frame: Frame, body: &[u8]) -> Result<Inbound, Violation> {
    Ok(match decode_whole!(v3, frame, body) {
        v3::Packet::Publish(p) => {
            let (qos, packet_id) = qos_pid(p.qos_pid);
            Inbound::Publish(Publish {
                topic: p.topic_name,
                payload: p.payload,
                qos,
                packet_id,
                dup: p.dup,
                retain: p.retain,
                properties: Properties::default(),
                alias: None,
            })
        }
        v3::Packet::Puback(pid) => Inbound::PubAck(pid.value()),
        v3::Packet::Pubrec(pid) => Inbound::PubRec {
            packet_id: pid.value(),
            ok: true,
        },
        v3::Packet::Pubrel(pid) => Inbound::PubRel(pid),
        v3::Packet::Pubcomp(pid) => Inbound::PubComp(pid.value()),
        v3::Packet::Subscribe(s) => {
            let filters = s
                .topics
                .into_iter()
                .map(|(filter, qos)| (filter, options_v3(qos)));
            Inbound::Subscribe(Subscribe {
                pid: s.pid,
                identifier: None,
                filters: filters.collect(),
            })
        }
        v3::Packet::Unsubscribe(u) => Inbound::Unsubscribe {
            pid: u.pid,
            filters: u.topics,
        },
        v3::Packet::Pingreq => Inbound::PingReq,
        v3::Packet::Disconnect => Inbound::Disconnect {
            with_will: false,
            expiry_s: None,
        },
        _ => return Err(Violation::Protocol),
    })
}

fn options_v3(max_qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        max_qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendAtSubscribe,
    }
}

fn decode_v5(frame: Frame, body: &[u8]) -> Result<Inbound, Violation> {
    let packet = decode_whole!(v5, frame, body);
    if user_properties(&packet).is_some_and(|p| texts(p).any(has_null)) {
        return Err(Violation::Malformed);
    }
    Ok(match packet {
        v5::Packet::Publish(mut p) => {
            let alias = p.properties.topic_alias.take();
            let (qos, packet_id) = qos_pid(p.qos_pid);
            Inbound::Publish(Publish {
                properties: publish_properties(p.properties)?,
                topic: p.topic_name,
                payload: p.payload,
                qos,
                packet_id,
                dup: p.dup,
                retain: p.retain,
                alias,
            })
        }
        v5::Packet::Puback(p) => Inbound::PubAck(p.pid.value()),
        v5::Packet::Pubrec(p) => {
            let ok = (p.reason_code as u8) < 0x80;
            Inbound::PubRec {
                packet_id: p.pid.value(),
                ok,
            }
        }
        v5::Packet::Pubrel(p) => Inbound::PubRel(p.pid),
        v5::Packet::Pubcomp(p) => Inbound::PubComp(p.pid.value()),
        v5::Packet::Subscribe(s) => {
            let identifier = s.properties.subscription_id.map(|id| id.value());
            if identifier == Some(0) {
                return Err(Violation::Protocol);
            }
            Inbound::Subscribe(Subscribe {
                pid: s.pid,
                identifier,
                filters: s.topics,
            })
        }
        v5::Packet::Unsubscribe(u) => Inbound::Unsubscribe {
            pid: u.pid,
            filters: u.topics,
        },
        v5::Packet::Pingreq => Inbound::PingReq,
        // Only a server sends a reference.
        v5::Packet::Disconnect(d) if d.properties.server_reference.is_some() => {
            return Err(Violation::Protocol);
        }
        v5::Packet::Disconnect(d) => Inbound::Disconnect {
            with_will: d.reason_code != v5::DisconnectReasonCode::NormalDisconnect,
            expiry_s: d.properties.session_expiry_interval,
        },
        _ => return Err(Violation::Protocol),
    })
}

fn qos_pid(qos_pid: QosPid) -> (u8, u16) {
    (qos_pid.qos() as u8, qos_pid.pid().map_or(0, Pid::value))
}

/// The character that no text of MQTT may have. The codec lets it pass.
fn has_null(text: &str) -> bool {
    text.contains('\0')
}

/// User properties of a packet beside PUBLISH, whose are looked at with all its others.
fn user_properties(packet: &v5::Packet) -> Option<&[v5::UserProperty]> {
    Some(match packet {
        v5::Packet::Puback(p) => &p.properties.user_properties,
        v5::Packet::Pubrec(p) => &p.properties.user_properties,
        v5::Packet::Pubrel(p) => &p.properties.user_properties,
        v5::Packet::Pubcomp(p) => &p.properties.user_properties,
        v5::Packet::Subscribe(p) => &p.properties.user_properties,
        v5::Packet::Unsubscribe(p) => &p.properties.user_properties,
        v5::Packet::Disconnect(p) => &p.properties.user_properties,
        _ => return None,
    })
}

fn texts(properties: &[v5::UserProperty]) -> impl Iterator<Item = &str> {
    properties.iter().flat_map(|p| [&*p.name, &*p.value])
}

/// Flags of CONNECT that say something of what is not there. The codec lets them pass.
fn check_flags(protocol: Protocol, flags: u8) -> Result<(), Violation> {
    let (will, will_details) = (flags & 0x04 != 0, flags & 0x38);
    let (password, user) = (flags & 0x40 != 0, flags & 0x80 != 0);
    let lone_password = password && !user && protocol != Protocol::V500;
    if (!will && will_details != 0) || lone_password {
        return Err(Violation::Malformed);
    }
    Ok(())
}

/// Split off what changes on the way and keep the rest as it is on the wire.
fn publish_properties(mut properties: v5::PublishProperties) -> Result<Properties, Violation> {
    // Only a server sends identifiers.
    if properties.subscription_id.is_some() {
        return Err(Violation::Protocol);
    }
    let content_type = properties.content_type.iter().map(|text| &**text);
    if content_type
        .chain(texts(&properties.user_properties))
        .any(has_null)
    {
        return Err(Violation::Malformed);
    }
    let expiry_s = properties.message_expiry_interval.take();
    if properties == v5::PublishProperties::default() {
        return Ok(Properties {
            expiry_s,
            wire: Bytes::new(),
        });
    }
    let mut wire = Vec::with_capacity(properties.encode_len());
    properties.encode(&mut wire)?;
    let length_bytes = wire.iter().take_while(|&&b| b & 0x80 != 0).count() + 1;
    Ok(Properties {
        expiry_s,
        wire: Bytes::from(wire).slice(length_bytes..),
    })
}

/// Decode a CONNECT; `body` is all of it after the fixed header.
pub(crate) fn decode_connect(frame: Frame, body: &[u8]) -> Result<Connect, BadConnect> {
    let malformed = BadConnect::Other(Violation::Malformed);
    if frame.control != 0x10 {
        return Err(BadConnect::Other(Violation::Protocol));
    }
    let mut at = 0;
    let protocol = Protocol::decode(body, &mut at);
    if let (Ok(protocol), Some(&flags)) = (&protocol, body.get(at)) {
        check_flags(*protocol, flags).map_err(|violation| match protocol {
            Protocol::V500 => BadConnect::V5(violation),
            _ => BadConnect::Other(violation),
        })?;
    }
    match protocol {
        Ok(Protocol::V310 | Protocol::V311) => {
            let mut at = 0;
            let connect =
                v3::Connect::decode(body, &mut at).map_err(|e| BadConnect::Other(e.into()))?;
            if at == body.len() {
                Ok(from_v3(connect))
            } else {
                Err(malformed)
            }
        }
        Ok(Protocol::V500) => {
            let mut at = 0;
            let connect =
                v5::Header::new_with(frame.control, body.len() as u32, frame.total_len as u32)
                    .and_then(|header| v5::Connect::decode(body, &mut at, header))
                    .map_err(|e| BadConnect::V5(e.into()))?;
            if at != body.len() {
                return Err(BadConnect::V5(Violation::Malformed));
            }
            from_v5(connect).map_err(BadConnect::V5)
        }
        Err(Error::InvalidProtocol(name, _)) if &*name == "MQTT" || &*name == "MQIsdp" => {
            Err(BadConnect::Version)
        }
        Err(_) => Err(malformed),
    }
}

fn from_v3(connect: v3::Connect) -> Connect {
    Connect {
        version: Version::V3,
        clean: connect.clean_session,
        keep_alive_s: connect.keep_alive,
        client_id: connect.client_id.to_string(),
        user: connect.username.map(|user| user.to_string()),
        password: connect.password,
        extended_auth: false,
        receive_max: u16::MAX,
        packet_bytes_max: usize::MAX,
        expiry_s: if connect.clean_session { 0 } else { u32::MAX },
        aliases_max: 0,
        problem_information: true,
        will: connect.last_will.map(|will| Will {
            topic: will.topic_name.to_string(),
            payload: will.message.to_vec(),
            qos: will.qos as u8,
            retain: will.retain,
            delay_s: 0,
            properties: Properties::default(),
        }),
    }
}

fn from_v5(connect: v5::Connect) -> Result<Connect, Violation> {
    let properties = connect.properties;
    let receive_max = properties.receive_max.unwrap_or(u16::MAX);
    let packet_bytes_max = properties
        .max_packet_size
        .map_or(usize::MAX, |max| max as usize);
    if receive_max == 0 || packet_bytes_max == 0 {
        return Err(Violation::Protocol);
    }
    if texts(&properties.user_properties).any(has_null) {
        return Err(Violation::Malformed);
    }
    let will = connect.last_will.map(will_v5).transpose()?;
    Ok(Connect {
        version: Version::V5,
        clean: connect.clean_start,
        keep_alive_s: connect.keep_alive,
        client_id: connect.client_id.to_string(),
        user: connect.username.map(|user| user.to_string()),
        password: connect.password,
        extended_auth: properties.auth_method.is_some() || properties.auth_data.is_some(),
        receive_max,
        packet_bytes_max,
        expiry_s: properties.session_expiry_interval.unwrap_or(0),
        aliases_max: properties.topic_alias_max.unwrap_or(0),
        problem_information: properties.request_problem_info.unwrap_or(true),
        will,
    })
}

fn will_v5(will: v5::LastWill) -> Result<Will, Violation> {
    let properties = will.properties;
    let delay_s = properties.delay_interval.unwrap_or(0);
    let properties = publish_properties(v5::PublishProperties {
        payload_is_utf8: properties.payload_is_utf8,
        message_expiry_interval: properties.message_expiry_interval,
        topic_alias: None,
        response_topic: properties.response_topic,
        correlation_data: properties.correlation_data,
        user_properties: properties.user_properties,
        subscription_id: None,
        content_type: properties.content_type,
    })?;
    Ok(Will {
        topic: will.topic_name.to_string(),
        payload: will.payload.to_vec(),
        qos: will.qos as u8,
        retain: will.retain,
        delay_s,
        properties,
    })
}
