use std::collections::{BTreeMap, HashMap};

use crate::input::{AlarmState, Reading};

/// What was told of a series over a length of time.
pub mod history;

use history::{History, Sample};

/// Series that are remembered at most; readings of others are dropped and counted.
pub const SERIES_MAX: usize = 100_000;

/// Histories that are kept at most, over all series.
pub const HISTORIES_MAX: usize = 5_000;

/// Bytes of a text that is remembered at most; a longer one is cut off.
pub const TEXT_BYTES_MAX: usize = 1024;

/// Number of a series within one engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesId(u32);

impl SeriesId {
    /// Its place in a list of all series.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The latest that a series told.
#[derive(Debug, Default)]
pub struct Series {
    /// Its value, if it is a number.
    pub value: Option<f64>,
    /// Its words, if it has some.
    pub text: Option<Box<str>>,
    /// When that was measured, in milliseconds since the epoch; none while it told nothing.
    pub ts_ms: Option<i64>,
    /// What it told before, for as long as expressions look back.
    histories: Vec<History>,
}

/// What a reading was to its series.
#[derive(Debug, Clone, PartialEq)]
pub struct Before {
    /// The value before.
    pub value: Option<f64>,
    /// The words before.
    pub text: Option<Box<str>>,
}

/// A history that has begun: what its series told before is not in it yet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unfilled {
    /// How long back it goes, in milliseconds.
    pub window_ms: i64,
    /// Device of the series.
    pub device: String,
    /// Metric of the series.
    pub metric: String,
}

/// What is known of a home.
#[derive(Debug, Default)]
pub struct World {
    ids: HashMap<Box<str>, HashMap<Box<str>, SeriesId>>,
    series: Vec<Series>,
    histories: usize,
    thinned: u64,
    /// Histories that nobody has asked to fill yet.
    unfilled: Vec<(SeriesId, i64)>,
    /// The home's mode.
    pub mode: Option<String>,
    /// Members, and whether each is at home.
    pub presence: BTreeMap<String, bool>,
    /// Alarms.
    pub alarms: BTreeMap<String, AlarmState>,
    /// Devices of which somebody told whether they can be reached.
    pub online: BTreeMap<String, bool>,
}

impl World {
    /// The series' number, if it has one.
    #[must_use]
    pub fn find(&self, device: &str, metric: &str) -> Option<SeriesId> {
        self.ids.get(device)?.get(metric).copied()
    }

    /// The series' number; none where there are too many.
    pub fn intern(&mut self, device: &str, metric: &str) -> Option<SeriesId> {
        if let Some(id) = self.find(device, metric) {
            return Some(id);
        }
        let id = u32::try_from(self.series.len()).ok()?;
        if self.series.len() >= SERIES_MAX {
            return None;
        }
        self.series.push(Series::default());
        let metrics = self.ids.entry(device.into()).or_default();
        metrics.insert(metric.into(), SeriesId(id));
        Some(SeriesId(id))
    }

    /// How many series there are.
    #[must_use]
    pub fn series_count(&self) -> usize {
        self.series.len()
    }

    /// A series.
    #[must_use]
    pub fn series(&self, id: SeriesId) -> &Series {
        &self.series[id.index()]
    }

    /// Every series that told something, with its device and metric.
    pub fn latest(&self) -> impl Iterator<Item = (&str, &str, &Series)> {
        let named = self.ids.iter().flat_map(move |(device, metrics)| {
            metrics
                .iter()
                .map(move |(metric, id)| (&**device, &**metric, self.series(*id)))
        });
        named.filter(|(_, _, series)| series.ts_ms.is_some())
    }

    /// Takes a reading; gives its series and, where that told another value or other words before, what these were.
    /// None where there are too many series.
    pub fn take(
        &mut self,
        reading: &Reading<'_>,
        now_ms: i64,
    ) -> Option<(SeriesId, Option<Before>)> {
        let id = self.intern(reading.device, reading.metric)?;
        let series = &mut self.series[id.index()];
        let value = reading.value.filter(|value| value.is_finite());
        let text = reading.text.map(shortened);
        let is_other = series.value != value || series.text.as_deref() != text;
        let before = (series.ts_ms.is_some() && is_other).then(|| Before {
            value: series.value,
            text: series.text.take(),
        });
        series.value = value;
        if series.text.as_deref() != text {
            series.text = text.map(Box::from);
        }
        series.ts_ms = Some(reading.ts_ms);
        if let Some(value) = value {
            for history in &mut series.histories {
                self.thinned += u64::from(history.push(reading.ts_ms, value, now_ms));
            }
        }
        Some((id, before))
    }

    /// What a series told within this window; none where nobody asked for it with [`World::keep_histories`].
    #[must_use]
    pub fn history(&self, id: SeriesId, window_ms: i64) -> Option<&History> {
        let histories = &self.series(id).histories;
        histories
            .iter()
            .find(|history| history.window_ms() == window_ms)
    }

    /// Keeps these histories from now on, and no others; gives those that are above the bound.
    pub fn keep_histories(
        &mut self,
        wanted: impl IntoIterator<Item = (SeriesId, i64)>,
    ) -> Vec<(SeriesId, i64)> {
        let mut before: HashMap<usize, Vec<History>> = HashMap::new();
        for (index, series) in self.series.iter_mut().enumerate() {
            if !series.histories.is_empty() {
                before.insert(index, std::mem::take(&mut series.histories));
            }
        }
        self.histories = 0;
        let mut refused = Vec::new();
        for (id, window_ms) in wanted {
            if self.history(id, window_ms).is_some() {
                continue;
            }
            if self.histories >= HISTORIES_MAX {
                refused.push((id, window_ms));
                continue;
            }
            let kept = before.get_mut(&id.index()).and_then(|histories| {
                let at = histories
                    .iter()
                    .position(|history| history.window_ms() == window_ms)?;
                Some(histories.swap_remove(at))
            });
            let history = kept.unwrap_or_else(|| {
                self.unfilled.push((id, window_ms));
                History::new(window_ms)
            });
            self.series[id.index()].histories.push(history);
            self.histories += 1;
        }
        refused
    }

    /// Histories that have begun since this was asked last.
    pub fn take_unfilled(&mut self) -> Vec<Unfilled> {
        let mut unfilled: HashMap<SeriesId, Vec<i64>> = HashMap::new();
        for (id, window_ms) in std::mem::take(&mut self.unfilled) {
            unfilled.entry(id).or_default().push(window_ms);
        }
        if unfilled.is_empty() {
            return Vec::new();
        }
        let named = self.ids.iter().flat_map(|(device, metrics)| {
            metrics.iter().map(move |(metric, id)| (device, metric, id))
        });
        let histories = named.flat_map(|(device, metric, id)| {
            let windows = unfilled.get(id).into_iter().flatten();
            windows.map(|window_ms| Unfilled {
                window_ms: *window_ms,
                device: device.to_string(),
                metric: metric.to_string(),
            })
        });
        histories.collect()
    }

    /// Puts samples, in the order of time, in the place of what a history has, if it is still kept.
    pub fn fill(&mut self, history: &Unfilled, samples: Vec<Sample>) {
        let Some(id) = self.find(&history.device, &history.metric) else {
            return;
        };
        let mut histories = self.series[id.index()].histories.iter_mut();
        if let Some(history) = histories.find(|known| known.window_ms() == history.window_ms) {
            history.fill(samples);
        }
    }

    /// Forgets samples that are later than this, after the clock went back.
    pub fn forget_after(&mut self, now_ms: i64) {
        for series in &mut self.series {
            for history in &mut series.histories {
                history.forget_after(now_ms);
            }
        }
    }

    /// Samples that went into one with their neighbour so far.
    #[must_use]
    pub fn samples_thinned(&self) -> u64 {
        self.thinned
    }

    /// Whether anybody is at home.
    #[must_use]
    pub fn is_anyone_home(&self) -> bool {
        self.presence.values().any(|home| *home)
    }

    /// Whether a device can be reached: what was told of it last, else that it ever told a reading. None where neither
    /// is known.
    #[must_use]
    pub fn is_online(&self, device: &str) -> Option<bool> {
        self.online.get(device).copied().or_else(|| {
            let metrics = self.ids.get(device)?;
            let told = metrics.values().any(|id| self.series(*id).ts_ms.is_some());
            told.then_some(true)
        })
    }
}

fn shortened(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(value: f64, ts_ms: i64) -> Reading<'static> {
        Reading {
            seq: 1,
            ts_ms,
            device: "kitchen",
            metric: "co2",
            value: Some(value),
            text: None,
            replayed: false,
        }
    }

    #[test]
    fn only_another_value_is_a_change() {
        let mut world = World::default();
        let before =
            |world: &mut World, value| world.take(&reading(value, 5), 5).expect("series").1;
        assert_eq!(before(&mut world, 400.0), None);
        assert_eq!(before(&mut world, 400.0), None);
        let changed = before(&mut world, 500.0).expect("change");
        assert_eq!(changed.value, Some(400.0));
    }

    #[test]
    fn what_is_no_number_is_no_value() {
        let mut world = World::default();
        let (id, _) = world.take(&reading(f64::NAN, 5), 5).expect("series");
        assert_eq!(world.series(id).value, None);
        assert_eq!(world.series(id).ts_ms, Some(5));
    }

    #[test]
    fn a_history_that_is_still_wanted_is_kept() {
        let mut world = World::default();
        let id = world.intern("kitchen", "co2").expect("series");
        world.keep_histories([(id, 1_000)]);
        world.take(&reading(1.0, 5), 5);
        world.keep_histories([(id, 2_000), (id, 1_000)]);
        assert_eq!(world.history(id, 1_000).expect("history").sum(5).count, 1);
        assert_eq!(world.history(id, 2_000).expect("history").sum(5).count, 0);
        world.keep_histories([]);
        assert!(world.history(id, 1_000).is_none());
    }

    #[test]
    fn histories_are_bounded() {
        let mut world = World::default();
        let id = world.intern("kitchen", "co2").expect("series");
        let wanted = (1..=HISTORIES_MAX as i64 + 2).map(|window_ms| (id, window_ms));
        assert_eq!(world.keep_histories(wanted).len(), 2);
    }

    #[test]
    fn a_device_that_told_something_is_online_until_it_is_said_to_be_away() {
        let mut world = World::default();
        assert_eq!(world.is_online("kitchen"), None);
        world.take(&reading(1.0, 5), 5);
        assert_eq!(world.is_online("kitchen"), Some(true));
        world.online.insert("kitchen".into(), false);
        assert_eq!(world.is_online("kitchen"), Some(false));
    }
}
