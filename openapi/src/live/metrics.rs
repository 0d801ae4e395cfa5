use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Figures of live events, of all homes together.
#[derive(Debug, Clone, Default)]
pub struct LiveMetrics {
    /// Who listens now.
    pub listeners: Gauge,
    /// Events by kind, each counted once however many listen.
    pub events: Family<KindLabels, Counter>,
    /// Readings that were never told because a later one came within the pause.
    pub coalesced: Counter,
    /// Events that were dropped because a listener was too slow.
    pub dropped: Counter,
}

/// Kind of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    pub(super) kind: &'static str,
}

impl LiveMetrics {
    /// Make them known.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let m = LiveMetrics::default();
        registry.register(
            "tarn_live_listeners",
            "Who listens now",
            m.listeners.clone(),
        );
        registry.register("tarn_live_events", "Events told", m.events.clone());
        registry.register(
            "tarn_live_coalesced",
            "Readings never told because a later one came soon after",
            m.coalesced.clone(),
        );
        registry.register(
            "tarn_live_dropped",
            "Events dropped because a listener was too slow",
            m.dropped.clone(),
        );
        m
    }
}
