//! The way out to one connected client: what its connection allows, and its topic aliases.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};

use crate::{
    auth::Access,
    mailbox::Delivery,
    metrics::{Metrics, Traffic},
    packet::Version,
    reply::{self, Delivered},
};

/// What became of a message that was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Written,
    /// Older than its sender wanted it to get.
    Expired,
    /// Larger than the client takes.
    TooLarge,
    /// The client may not read the topic.
    Forbidden,
}

/// Writes messages for one connection.
#[derive(Debug)]
pub(crate) struct Outlet {
    version: Version,
    packet_bytes_max: usize,
    /// QoS 1 and 2 messages that may be on their way at one time.
    pub(crate) window: usize,
    access: Access,
    aliases: HashMap<Bytes, u16>,
    aliases_max: u16,
    pub(crate) delivered: Traffic,
    /// Packets written since this was last looked at.
    pub(crate) packets: u64,
}

impl Outlet {
    pub(crate) fn new(
        version: Version,
        packet_bytes_max: usize,
        window: usize,
        aliases_max: u16,
        access: Access,
        metrics: &Metrics,
    ) -> Outlet {
        Outlet {
            version,
            packet_bytes_max,
            window,
            access,
            aliases: HashMap::new(),
            aliases_max,
            delivered: metrics.delivered(),
            packets: 0,
        }
    }

    /// Write one message. `dup` says that an earlier connection may have had it.
    pub(crate) fn publish(
        &mut self,
        out: &mut BytesMut,
        delivery: &Delivery,
        packet_id: u16,
        dup: bool,
        now_ms: u64,
    ) -> Outcome {
        let envelope = &delivery.envelope;
        // What has been sent once is sent to its end.
        if envelope.is_expired(now_ms) && !dup {
            return Outcome::Expired;
        }
        let expiry_s = envelope.properties.expiry_s;
        let expiry_s = expiry_s.map(|limit| limit.saturating_sub(envelope.age_s(now_ms)));
        if !self.access.may_read(envelope.topic()) {
            return Outcome::Forbidden;
        }
        let (alias, known) = self.alias(&envelope.topic);
        let message = Delivered {
            topic: if known { &[] } else { &envelope.topic },
            payload: &envelope.payload,
            qos: delivery.qos,
            retain: delivery.retain,
            packet_id,
            expiry_s,
            properties: &envelope.properties.wire,
            identifiers: &delivery.identifiers,
            dup,
            alias,
        };
        if !reply::publish(out, self.version, &message, self.packet_bytes_max) {
            return Outcome::TooLarge;
        }
        if let (Some(alias), false) = (alias, known) {
            self.aliases.insert(envelope.topic.clone(), alias);
        }
        self.delivered.count(delivery.qos, envelope.payload.len());
        self.packets += 1;
        Outcome::Written
    }

    /// The alias of a topic, and whether the client knows it already. The first topics get one.
    fn alias(&self, topic: &Bytes) -> (Option<u16>, bool) {
        if self.aliases_max == 0 {
            return (None, false);
        }
        if let Some(&alias) = self.aliases.get(topic) {
            return (Some(alias), true);
        }
        let next = self.aliases.len() as u16 + 1;
        ((next <= self.aliases_max).then_some(next), false)
    }
}
