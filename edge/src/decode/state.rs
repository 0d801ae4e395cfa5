use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tarn_devices::counter::Counter;
use xxhash_rust::xxh3::Xxh3;

/// Counters that are followed at most; a further one has no cumulative metric.
pub const COUNTERS_MAX: usize = 100_000;

/// Times that are remembered of a series whose device tells the time, for the backlog that may repeat them.
pub const TOLD_TIMES_MAX: usize = 8;
/// Such series at most; of further ones the backlog may repeat what was told before.
pub const TOLD_SERIES_MAX: usize = 50_000;

/// A number for a (device, metric) pair, the same in every run.
#[must_use]
pub fn series_key(device: &str, metric: &str) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(device.as_bytes());
    hash.update(&[0]);
    hash.update(metric.as_bytes());
    hash.digest()
}

/// Which readings of the past are stored already, and with which record they came.
pub trait Past: std::fmt::Debug + Send + Sync {
    /// The record that brought the reading of this series at this time.
    fn record_of(&self, series: u64, ts: i64) -> Option<u64>;
}

/// What decoding remembers from one record to the next.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// What is kept from one cut to the next.
    pub memory: Memory,
    /// What is stored of the past.
    pub past: Option<Arc<dyn Past>>,
    /// Readings of the past that these records brought, by series and time: the record of each.
    pub fresh: FxHashMap<(u64, i64), u64>,
    /// The device's own time of the payload at hand.
    pub(crate) device_ts: Option<i64>,
}

/// What is kept from one cut to the next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    counters: BTreeMap<u64, Counter>,
    /// The latest times that devices told with their readings, by series. A device that got no ack sends the
    /// same reading again with its backlog.
    told: BTreeMap<u64, VecDeque<i64>>,
}

impl State {
    /// Count a counter's raw value; gives what it comes to over its resets, or none beyond [`COUNTERS_MAX`].
    pub(crate) fn count(&mut self, series: u64, raw: f64) -> Option<f64> {
        let counters = &mut self.memory.counters;
        if let Some(counter) = counters.get_mut(&series) {
            return Some(counter.next(raw));
        }
        let has_room = counters.len() < COUNTERS_MAX;
        has_room.then(|| {
            counters.insert(series, Counter::new(raw));
            raw
        })
    }

    /// Remember that a device told a reading with its time.
    pub(super) fn told(&mut self, series: u64, ts: i64) {
        let told = &mut self.memory.told;
        if told.len() >= TOLD_SERIES_MAX && !told.contains_key(&series) {
            return;
        }
        let times = told.entry(series).or_default();
        if times.len() >= TOLD_TIMES_MAX {
            times.pop_front();
        }
        times.push_back(ts);
    }

    /// Whether a reading of the past is new. The same record may ask again: a cut is repeated after a crash.
    pub(super) fn is_new(&mut self, series: u64, ts: i64, seq: u64) -> bool {
        let times = self.memory.told.get(&series);
        let is_told = times.is_some_and(|times| times.contains(&ts));
        !is_told
            && !self.is_stored(series, ts, seq)
            && self.fresh.insert((series, ts), seq).is_none()
    }

    /// Whether another record brought a reading of the past, which is stored.
    pub(super) fn is_stored(&self, series: u64, ts: i64, seq: u64) -> bool {
        let past = self.past.as_ref();
        past.and_then(|past| past.record_of(series, ts))
            .is_some_and(|first| first != seq)
    }
}
