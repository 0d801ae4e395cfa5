use std::sync::atomic::AtomicU64;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};

/// What following the log has brought.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    pub(crate) entries: Counter,
    pub(crate) failed_entries: Gauge,
    pub(crate) refresh_errors: Counter,
    pub(crate) refresh_age_seconds: Gauge<f64, AtomicU64>,
    pub(crate) chunks: Gauge,
    pub(crate) rows: Gauge,
    pub(crate) missing_chunks: Counter,
    pub(crate) moved: Counter,
    pub(crate) move_errors: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Metrics {
        let m = Metrics::default();
        registry.register("entries", "Log entries taken in", m.entries.clone());
        registry.register(
            "failed_entries",
            "Log entries that cannot be read now",
            m.failed_entries.clone(),
        );
        registry.register(
            "refresh_errors",
            "Looks at a store that failed",
            m.refresh_errors.clone(),
        );
        registry.register_with_unit(
            "refresh_age",
            "Time since all stores were last seen whole",
            Unit::Seconds,
            m.refresh_age_seconds.clone(),
        );
        registry.register("chunks", "Live chunks", m.chunks.clone());
        registry.register("rows", "Readings in live chunks", m.rows.clone());
        registry.register(
            "missing_chunks",
            "Times that a chunk was asked for and could not be had",
            m.missing_chunks.clone(),
        );
        registry.register(
            "moved",
            "Copies of chunks moved between stores",
            m.moved.clone(),
        );
        registry.register(
            "move_errors",
            "Copies of chunks that could not be moved",
            m.move_errors.clone(),
        );
        m
    }
}
