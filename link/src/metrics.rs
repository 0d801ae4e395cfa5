//! Figures of links.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Figures of all links of a process.
#[derive(Debug, Clone, Default)]
pub struct LinkMetrics {
    /// Links that are up.
    pub up: Gauge,
    /// Messages that came.
    pub received: Counter,
    /// Bytes of their payloads.
    pub received_bytes: Counter,
    /// Messages that went.
    pub sent: Counter,
    /// Bytes of their payloads.
    pub sent_bytes: Counter,
    /// Messages that were given up, by reason.
    pub dropped: Family<Reason, Counter>,
    /// Times that a link broke or did not come up.
    pub interruptions: Counter,
}

/// Why a message was given up.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    reason: &'static str,
}

impl LinkMetrics {
    /// Make them known as `tarn_link_…`.
    #[must_use]
    pub fn register(registry: &mut Registry) -> LinkMetrics {
        let m = LinkMetrics::default();
        let r = registry.sub_registry_with_prefix("tarn_link");
        let c = m.clone();
        r.register("up", "Links to meeting places that are up", c.up);
        r.register("received", "Messages that came over links", c.received);
        r.register(
            "received_bytes",
            "Bytes of messages that came",
            c.received_bytes,
        );
        r.register("sent", "Messages that went over links", c.sent);
        r.register("sent_bytes", "Bytes of messages that went", c.sent_bytes);
        r.register("dropped", "Messages given up", c.dropped);
        r.register(
            "interruptions",
            "Times that a link broke or did not come up",
            c.interruptions,
        );
        m
    }

    /// Count a message that is given up.
    pub fn drop_one(&self, reason: &'static str) {
        self.dropped.get_or_create(&Reason { reason }).inc();
    }
}
