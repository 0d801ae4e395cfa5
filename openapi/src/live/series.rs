use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
};

use tokio::time::Instant;

use super::{LiveEvent, LiveReading, Numbered, SERIES_BYTES_MAX, SERIES_MAX, SERIES_PAUSE};

/// Device and metric.
type Key = Arc<(String, String)>;

/// The latest reading of each series. A series that was just told waits for its pause to end, and is then told by
/// what came last; so a fast sensor costs no more than a slow one, and its last value always arrives.
#[derive(Debug, Default)]
pub(super) struct Series {
    known: HashMap<Key, Known>,
    /// Series by the number of their latest event.
    order: BTreeMap<u64, Key>,
    /// Series that were told, and when each may be told again. All pause alike, so they stand in order of time.
    pausing: VecDeque<(Instant, Key)>,
    waiting: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Known {
    latest: Arc<Numbered>,
    is_pausing: bool,
    /// What came since it was told last.
    next: Option<LiveReading>,
}

/// What becomes of a reading that came.
#[derive(Debug)]
pub(super) enum Offered {
    /// It is told now.
    Now(LiveReading),
    /// It waits.
    Waits,
    /// It waits in place of one that is never told.
    Replaces,
}

impl Series {
    pub(super) fn offer(&mut self, reading: LiveReading) -> Offered {
        let known = self.known.get_mut(&key_of(&reading));
        let Some(known) = known.filter(|known| known.is_pausing) else {
            return Offered::Now(reading);
        };
        if known.next.replace(reading).is_some() {
            return Offered::Replaces;
        }
        self.waiting += 1;
        Offered::Waits
    }

    /// When the first pause ends, where any reading waits for that.
    pub(super) fn due(&self) -> Option<Instant> {
        let (due, _) = self.pausing.front()?;
        (self.waiting > 0).then_some(*due)
    }

    /// The readings whose pause has ended.
    pub(super) fn ended(&mut self, now: Instant) -> Vec<LiveReading> {
        let mut ended = Vec::new();
        while self.pausing.front().is_some_and(|(due, _)| *due <= now) {
            let paused = self.pausing.pop_front();
            let Some(known) = paused.and_then(|(_, key)| self.known.get_mut(&key)) else {
                continue;
            };
            known.is_pausing = false;
            if let Some(next) = known.next.take() {
                self.waiting -= 1;
                ended.push(next);
            }
        }
        ended
    }

    /// Take note of a reading that is told now. Gives those that are forgotten for it.
    pub(super) fn told(&mut self, event: &Arc<Numbered>, now: Instant) -> Vec<Arc<Numbered>> {
        let LiveEvent::Reading(reading) = event.event() else {
            return Vec::new();
        };
        let key = key_of(reading);
        self.forget(&key);
        self.bytes += event.bytes();
        self.order.insert(event.number(), key.clone());
        self.pausing.push_back((now + SERIES_PAUSE, key.clone()));
        let known = Known {
            latest: event.clone(),
            is_pausing: true,
            next: None,
        };
        self.known.insert(key, known);
        let mut forgotten = Vec::new();
        while self.known.len() > SERIES_MAX || self.bytes > SERIES_BYTES_MAX {
            let Some((_, oldest)) = self.order.first_key_value() else {
                break;
            };
            let oldest = oldest.clone();
            forgotten.extend(self.forget(&oldest));
        }
        forgotten
    }

    fn forget(&mut self, key: &Key) -> Option<Arc<Numbered>> {
        let known = self.known.remove(key)?;
        self.order.remove(&known.latest.number());
        self.bytes -= known.latest.bytes();
        self.waiting -= usize::from(known.next.is_some());
        Some(known.latest)
    }

    /// The latest event of each series that was told after this number, in their order.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = &Arc<Numbered>> {
        let keys = self.order.range(number.saturating_add(1)..);
        keys.filter_map(|(_, key)| Some(&self.known.get(key)?.latest))
    }

    pub(super) fn clear(&mut self) {
        *self = Series::default();
    }
}

fn key_of(reading: &LiveReading) -> Key {
    Arc::new((reading.device.clone(), reading.metric.clone()))
}
