use std::collections::BTreeMap;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tarn_devices::FaultKind;

use crate::evict::tier::Tier;

/// Upper bounds of the classes of sync times, seconds.
const SYNC_SECONDS: [f64; 13] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0,
];

/// Figures of the journal.
#[derive(Debug, Clone)]
pub struct JournalMetrics {
    /// Records made durable.
    pub records: Counter,
    /// Bytes of them, frames included.
    pub bytes: Counter,
    /// Group commits.
    pub commits: Counter,
    /// Writes or syncs that failed.
    pub write_errors: Counter,
    /// Redeliveries that were told and not stored again.
    pub duplicates: Counter,
    /// Time of each sync.
    pub sync_seconds: Histogram,
}

impl Default for JournalMetrics {
    fn default() -> Self {
        JournalMetrics {
            records: Counter::default(),
            bytes: Counter::default(),
            commits: Counter::default(),
            write_errors: Counter::default(),
            duplicates: Counter::default(),
            sync_seconds: Histogram::new(SYNC_SECONDS),
        }
    }
}

impl JournalMetrics {
    /// Make them known.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let m = JournalMetrics::default();
        registry.register(
            "tarn_journal_records",
            "Records made durable",
            m.records.clone(),
        );
        registry.register(
            "tarn_journal_bytes",
            "Bytes of records made durable",
            m.bytes.clone(),
        );
        registry.register("tarn_journal_commits", "Group commits", m.commits.clone());
        registry.register(
            "tarn_journal_write_errors",
            "Failed writes and syncs",
            m.write_errors.clone(),
        );
        registry.register(
            "tarn_journal_duplicates",
            "Redeliveries not stored again",
            m.duplicates.clone(),
        );
        registry.register(
            "tarn_journal_sync_seconds",
            "Time of each sync of the journal",
            m.sync_seconds.clone(),
        );
        m
    }
}

/// Figures of the cut.
#[derive(Debug, Clone, Default)]
pub struct CutMetrics {
    /// Segments cut.
    pub cuts: Counter,
    /// Chunks written.
    pub chunks: Counter,
    /// Readings in them.
    pub readings: Counter,
    /// Bytes of them.
    pub bytes: Counter,
    /// Cuts that failed and will be tried again.
    pub errors: Counter,
    /// Journal records that were damaged on disk.
    pub lost_records: Counter,
    /// Segments that went before rules had read them.
    pub unread: Counter,
    /// Payloads that look like JSON and were kept as text.
    pub odd_payloads: Counter,
}

impl CutMetrics {
    /// Make them known.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let m = CutMetrics::default();
        registry.register("tarn_cut_segments", "Journal segments cut", m.cuts.clone());
        registry.register("tarn_cut_chunks", "Chunks written", m.chunks.clone());
        registry.register(
            "tarn_cut_readings",
            "Readings written into chunks",
            m.readings.clone(),
        );
        registry.register("tarn_cut_bytes", "Bytes of chunks written", m.bytes.clone());
        registry.register(
            "tarn_cut_errors",
            "Cuts that failed and are tried again",
            m.errors.clone(),
        );
        registry.register(
            "tarn_cut_lost_records",
            "Journal records damaged on disk",
            m.lost_records.clone(),
        );
        registry.register(
            "tarn_cut_unread_segments",
            "Journal segments that went before rules had read them",
            m.unread.clone(),
        );
        registry.register(
            "tarn_cut_odd_payloads",
            "Payloads like JSON kept as text",
            m.odd_payloads.clone(),
        );
        m
    }
}

/// Figures of shipping and of the disk budget.
#[derive(Debug, Clone, Default)]
pub struct ShipMetrics {
    /// Chunks that are in the store.
    pub chunks: Counter,
    /// Bytes sent.
    pub bytes: Counter,
    /// Log entries that are in the store.
    pub entries: Counter,
    /// Failed tries.
    pub errors: Counter,
    /// Chunks brought home from where they went while their store was away.
    pub handed_back: Counter,
    /// Log entries that wait.
    pub backlog_entries: Gauge,
    /// Bytes of chunks that wait.
    pub backlog_bytes: Gauge,
    /// When a chunk last got into the store, milliseconds since 1970 UTC; 0 before the first.
    pub last_shipped_ms: Gauge,
    /// Log entries put aside because they keep failing while others go through.
    pub quarantined: Gauge,
    /// Bytes of chunks on the box's disk.
    pub local_bytes: Gauge,
    /// Chunks evicted from the box's disk after they were shipped.
    pub evicted: Counter,
    /// 1 while publishes are refused because the budget is full of unshipped data.
    pub refusing: Gauge,
}

impl ShipMetrics {
    /// Make them known.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let m = ShipMetrics::default();
        registry.register(
            "tarn_ship_chunks",
            "Chunks put into the store",
            m.chunks.clone(),
        );
        registry.register(
            "tarn_ship_bytes",
            "Bytes put into the store",
            m.bytes.clone(),
        );
        registry.register(
            "tarn_ship_entries",
            "Log entries put into the store",
            m.entries.clone(),
        );
        registry.register(
            "tarn_ship_handed_back",
            "Chunks brought home from where they went while their store was away",
            m.handed_back.clone(),
        );
        registry.register("tarn_ship_errors", "Failed tries to ship", m.errors.clone());
        registry.register(
            "tarn_ship_backlog_entries",
            "Log entries waiting",
            m.backlog_entries.clone(),
        );
        registry.register(
            "tarn_ship_backlog_bytes",
            "Bytes of chunks waiting",
            m.backlog_bytes.clone(),
        );
        registry.register(
            "tarn_ship_last_timestamp_milliseconds",
            "When a chunk last got into the store",
            m.last_shipped_ms.clone(),
        );
        registry.register(
            "tarn_ship_quarantined",
            "Log entries that keep failing",
            m.quarantined.clone(),
        );
        registry.register(
            "tarn_disk_local_bytes",
            "Bytes of chunks on this disk",
            m.local_bytes.clone(),
        );
        registry.register(
            "tarn_disk_evicted_chunks",
            "Shipped chunks evicted",
            m.evicted.clone(),
        );
        registry.register(
            "tarn_disk_refusing",
            "1 while publishes are refused",
            m.refusing.clone(),
        );
        m
    }
}

/// Figures of the disk budget, and of what was dropped to keep it.
#[derive(Debug, Clone, Default)]
pub struct DiskMetrics {
    /// Bytes that chunks and the journal may take.
    pub budget_bytes: Gauge,
    /// Bytes that they take.
    pub used_bytes: Gauge,
    /// Readings dropped that no store had, by tier.
    pub evicted_readings: Family<TierLabels, Counter>,
}

/// Tier of value of readings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TierLabels {
    tier: &'static str,
}

impl DiskMetrics {
    /// Make them known.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let m = DiskMetrics::default();
        for tier in Tier::ALL {
            m.evicted(tier.name(), 0);
        }
        registry.register(
            "tarn_disk_budget_bytes",
            "Bytes that chunks and the journal may take",
            m.budget_bytes.clone(),
        );
        registry.register(
            "tarn_disk_used_bytes",
            "Bytes that chunks and the journal take",
            m.used_bytes.clone(),
        );
        registry.register(
            "tarn_disk_evicted_readings",
            "Readings dropped from a full disk that no store had",
            m.evicted_readings.clone(),
        );
        m
    }

    /// Count readings that were dropped.
    pub fn evicted(&self, tier: &'static str, readings: u64) {
        let counter = self.evicted_readings.get_or_create(&TierLabels { tier });
        counter.inc_by(readings);
    }
}

/// Figures of the bridge.
#[derive(Debug, Clone, Default)]
pub struct BridgeMetrics {
    /// 1 while the other broker is connected.
    pub connected: Gauge,
    /// Messages taken from the other broker.
    pub inward: Counter,
    /// Messages passed on to the other broker.
    pub outward: Counter,
    /// Messages that wait for the other broker's ack.
    pub waiting: Gauge,
    /// Messages that were not passed on: refused for good, or of QoS 0 while too many waited.
    pub dropped: Counter,
    /// Times that the connections began anew.
    pub interruptions: Counter,
}

impl BridgeMetrics {
    /// Make them known.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let m = BridgeMetrics::default();
        let r = registry.sub_registry_with_prefix("tarn_bridge");
        let c = m.clone();
        r.register(
            "connected",
            "1 while the other broker is connected",
            c.connected,
        );
        r.register("inward", "Messages taken from the other broker", c.inward);
        r.register(
            "outward",
            "Messages passed on to the other broker",
            c.outward,
        );
        r.register(
            "waiting",
            "Messages waiting for the other broker's ack",
            c.waiting,
        );
        r.register("dropped", "Messages not passed on", c.dropped);
        r.register(
            "interruptions",
            "Times that the connections began anew",
            c.interruptions,
        );
        m
    }
}

/// Figures of devices.
#[derive(Debug, Clone, Default)]
pub struct DeviceMetrics {
    /// Devices that announced themselves.
    pub devices: Gauge,
    /// What was wrong with what they say, by kind.
    pub faults: Family<FaultLabels, Counter>,
    /// Times that the box's clock was set under way.
    pub clock_steps: Counter,
}

/// Kind of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FaultLabels {
    kind: &'static str,
}

impl DeviceMetrics {
    /// Make them known.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let m = DeviceMetrics::default();
        registry.register(
            "tarn_devices",
            "Devices that announced themselves",
            m.devices.clone(),
        );
        registry.register(
            "tarn_device_faults",
            "Faults in what devices say",
            m.faults.clone(),
        );
        registry.register(
            "tarn_clock_steps",
            "Times that the clock was set under way",
            m.clock_steps.clone(),
        );
        m
    }

    /// Bring the counters to these totals.
    pub fn set_faults(&self, totals: &BTreeMap<FaultKind, u64>) {
        for (kind, total) in totals {
            let counter = self
                .faults
                .get_or_create(&FaultLabels { kind: kind.name() });
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }
}
