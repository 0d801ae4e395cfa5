//! Counters and gauges.

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// One label whose values the code knows.
type Label = [(&'static str, &'static str); 1];

/// Upper bounds of the classes of ack latencies, seconds.
const ACK_SECONDS: [f64; 13] = [
    0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 1.0, 4.0,
];

/// What the broker counts. Handles are cheap to clone and share their values.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) connections: Gauge,
    pub(crate) received_bytes: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) received_packets: Counter,
    pub(crate) sent_packets: Counter,
    pub(crate) acks: Counter,
    pub(crate) ack_seconds: Histogram,
    pub(crate) throttled: Counter,
    pub(crate) auth_failures: Counter,
    delivered: Family<Label, Counter>,
    delivered_bytes: Family<Label, Counter>,
    pub(crate) wills: Counter,
    pub(crate) sessions: Gauge,
    pub(crate) sessions_expired: Counter,
    pub(crate) queued_messages: Gauge,
    pub(crate) queued_bytes: Gauge,
    pub(crate) subscriptions: Gauge,
    pub(crate) filters: Gauge,
    pub(crate) router_filters: Gauge,
    pub(crate) retained_messages: Gauge,
    pub(crate) retained_bytes: Gauge,
    pub(crate) retained_expired: Counter,
    pub(crate) buffers_bytes: Gauge,
    publishes: Family<Label, Counter>,
    publish_bytes: Family<Label, Counter>,
    refused: Family<Label, Counter>,
    malformed: Family<Label, Counter>,
    dropped: Family<Label, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            connections: Gauge::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            received_packets: Counter::default(),
            sent_packets: Counter::default(),
            duplicates: Counter::default(),
            acks: Counter::default(),
            ack_seconds: Histogram::new(ACK_SECONDS),
            throttled: Counter::default(),
            auth_failures: Counter::default(),
            delivered: Family::default(),
            delivered_bytes: Family::default(),
            wills: Counter::default(),
            sessions: Gauge::default(),
            sessions_expired: Counter::default(),
            queued_messages: Gauge::default(),
            queued_bytes: Gauge::default(),
            subscriptions: Gauge::default(),
            filters: Gauge::default(),
            router_filters: Gauge::default(),
            retained_messages: Gauge::default(),
            retained_bytes: Gauge::default(),
            retained_expired: Counter::default(),
            buffers_bytes: Gauge::default(),
            publishes: Family::default(),
            publish_bytes: Family::default(),
            refused: Family::default(),
            malformed: Family::default(),
            dropped: Family::default(),
        }
    }
}

impl Metrics {
    /// Make the metrics and register them as `tarn_mqtt_…`.
    pub(crate) fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics::default();
        let m = metrics.clone();
        let r = registry.sub_registry_with_prefix("tarn_mqtt");
        r.register("connections", "Open connections", m.connections);
        r.register("publishes", "Publishes received, by QoS", m.publishes);
        r.register(
            "publish_bytes",
            "Payload bytes of publishes received, by QoS",
            m.publish_bytes,
        );
        r.register("received_bytes", "Bytes received", m.received_bytes);
        r.register("sent_bytes", "Bytes sent", m.sent_bytes);
        r.register("received_packets", "Packets received", m.received_packets);
        r.register("sent_packets", "Packets sent", m.sent_packets);
        r.register(
            "ack_seconds",
            "Time from a publish to its ack, of the oldest in each write of acks",
            m.ack_seconds,
        );
        r.register(
            "throttled",
            "Pauses of clients that publish faster than they may",
            m.throttled,
        );
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
        r.register(
            "delivered_bytes",
            "Payload bytes of messages written to subscribers, by QoS",
            m.delivered_bytes,
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
        r.register("filters", "Different topic filters subscribed", m.filters);
        r.register(
            "router_filters",
            "Topic filters whose messages of QoS 0 go through the router",
            m.router_filters,
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
        r.register(
            "retained_expired",
            "Retained messages removed because their time was over",
            m.retained_expired,
        );
        r.register(
            "buffers_bytes",
            "Bytes of received packets that are not complete, above 128 KiB of each client",
            m.buffers_bytes,
        );
        metrics
    }

    /// Counts what one connection publishes.
    pub(crate) fn published(&self) -> Traffic {
        Traffic::new(&self.publishes, &self.publish_bytes)
    }

    /// Counts what is written to one connection.
    pub(crate) fn delivered(&self) -> Traffic {
        Traffic::new(&self.delivered, &self.delivered_bytes)
    }

    /// Publishes received and messages delivered so far, and the payload bytes of both.
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            published: sum(&self.publishes, "qos", &QOS),
            published_bytes: sum(&self.publish_bytes, "qos", &QOS),
            delivered: sum(&self.delivered, "qos", &QOS),
            delivered_bytes: sum(&self.delivered_bytes, "qos", &QOS),
            dropped: sum(&self.dropped, "reason", &DROPPED),
        }
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

/// The values of the label `qos`.
const QOS: [&str; 3] = ["0", "1", "2"];

/// Why subscribers do not get messages.
const DROPPED: [&str; 6] = [
    "queue_full",
    "session_slow",
    "expired",
    "too_large",
    "acl",
    "router_evicted",
];

/// Sums over all labels.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    pub(crate) published: u64,
    pub(crate) published_bytes: u64,
    pub(crate) delivered: u64,
    pub(crate) delivered_bytes: u64,
    pub(crate) dropped: u64,
}

fn sum(family: &Family<Label, Counter>, label: &'static str, values: &[&'static str]) -> u64 {
    let counters = values
        .iter()
        .filter_map(|value| family.get(&[(label, *value)]));
    counters.map(|counter| counter.get()).sum()
}

/// Messages and payload bytes of one connection and direction by QoS, added up until they are told:
/// counters that all threads share are too slow to be touched by every message.
#[derive(Debug)]
pub(crate) struct Traffic {
    messages: [Counter; 3],
    bytes: [Counter; 3],
    untold: [(u64, u64); 3],
}

impl Traffic {
    fn new(messages: &Family<Label, Counter>, bytes: &Family<Label, Counter>) -> Traffic {
        let of = |family: &Family<Label, Counter>| {
            QOS.map(|qos| family.get_or_create(&[("qos", qos)]).clone())
        };
        Traffic {
            messages: of(messages),
            bytes: of(bytes),
            untold: Default::default(),
        }
    }

    /// Count one message.
    pub(crate) fn count(&mut self, qos: u8, bytes: usize) {
        let (messages, sum) = &mut self.untold[usize::from(qos.min(2))];
        *messages += 1;
        *sum += bytes as u64;
    }

    /// Tell what has been added up. Returns the number of messages.
    pub(crate) fn tell(&mut self) -> u64 {
        let mut told = 0;
        for (qos, (messages, bytes)) in std::mem::take(&mut self.untold).into_iter().enumerate() {
            if messages > 0 {
                self.messages[qos].inc_by(messages);
                self.bytes[qos].inc_by(bytes);
                told += messages;
            }
        }
        told
    }
}
