//! Counters and gauges.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// One label whose values the code knows.
type Label = [(&'static str, &'static str); 1];

/// What the broker counts. Handles are cheap to clone and share their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) acks: Counter,
    pub(crate) auth_failures: Counter,
    delivered: Family<Label, Counter>,
    pub(crate) wills: Counter,
    pub(crate) sessions: Gauge,
    pub(crate) sessions_expired: Counter,
    pub(crate) queued_messages: Gauge,
    pub(crate) queued_bytes: Gauge,
    pub(crate) subscriptions: Gauge,
    pub(crate) retained_messages: Gauge,
    pub(crate) retained_bytes: Gauge,
    publishes: Family<Label, Counter>,
    refused: Family<Label, Counter>,
    malformed: Family<Label, Counter>,
    dropped: Family<Label, Counter>,
}

impl Metrics {
    /// Make the metrics and register them as `tarn_mqtt_…`.
    pub(crate) fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let m = metrics.clone();
        let r = registry.sub_registry_with_prefix("tarn_mqtt");
        r.register("connections", "Open connections", m.connections);
        r.register("publishes", "Publishes received, by QoS", m.publishes);
        r.register("received_bytes", "Bytes received", m.received_bytes);
        r.register("sent_bytes", "Bytes sent", m.sent_bytes);
        r.register(
            "acks",
            "PUBACK, PUBREC and PUBCOMP written for durable records",
            m.acks,
        );
        r.register(
            "duplicates",
            "Redeliveries that the log already held",
            m.duplicates,
        );
        r.register(
            "refused",
            "Publishes and connections not taken, by reason",
            m.refused,
        );
        r.register(
            "malformed",
            "Clients cut for breaking the protocol, by reason",
            m.malformed,
        );
        r.register("auth_failures", "Logins denied", m.auth_failures);
        r.register(
            "delivered",
            "Messages written to subscribers, by QoS",
            m.delivered,
        );
        r.register("wills", "Wills published", m.wills);
        r.register(
            "sessions",
            "Sessions of clients that are connected or may come back",
            m.sessions,
        );
        r.register(
            "sessions_expired",
            "Sessions whose client did not come back in time",
            m.sessions_expired,
        );
        r.register(
            "queued_messages",
            "Messages that wait for clients or for their acks",
            m.queued_messages,
        );
        r.register(
            "queued_bytes",
            "Bytes of the messages that wait for clients or for their acks",
            m.queued_bytes,
        );
        r.register(
            "dropped_outbound",
            "Messages subscribers did not get, by reason",
            m.dropped,
        );
        r.register(
            "subscriptions",
            "Subscriptions of all clients",
            m.subscriptions,
        );
        r.register(
            "retained_messages",
            "Retained messages held",
            m.retained_messages,
        );
        r.register(
            "retained_bytes",
            "Bytes of retained topics and payloads",
            m.retained_bytes,
        );
        metrics
    }

    /// The counter of received publishes of each QoS.
    pub(crate) fn publishes(&self) -> [Counter; 3] {
        ["0", "1", "2"].map(|qos| self.publishes.get_or_create(&[("qos", qos)]).clone())
    }

    /// The counter of messages written to subscribers at each QoS.
    pub(crate) fn delivered(&self) -> [Counter; 3] {
        ["0", "1", "2"].map(|qos| self.delivered.get_or_create(&[("qos", qos)]).clone())
    }

    /// A publish or a connection was not taken.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// A client broke the protocol.
    pub(crate) fn malformed(&self, reason: &'static str) {
        self.malformed.get_or_create(&[("reason", reason)]).inc();
    }

    /// A subscriber did not get `count` messages.
    pub(crate) fn dropped(&self, reason: &'static str, count: u64) {
        self.dropped
            .get_or_create(&[("reason", reason)])
            .inc_by(count);
    }
}
