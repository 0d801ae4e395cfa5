//! Faults of devices, found without anybody setting anything up.

use std::collections::{BTreeMap, HashMap};

use crate::input::{Input, Reading};

/// What is told: faults that begin and end.
mod change;
/// What is known about series: classes, units, bounds.
mod class;
/// Time that was watched, whatever the clock does.
mod clock;
/// A device: whether it is there, whether it tells something.
mod device;
/// Two neighbours that drift apart.
mod drift;
/// How often a series tells something.
mod rhythm;
/// A series: its values, and batteries.
mod series;
/// What is kept over a restart, and counts.
mod state;
#[cfg(test)]
mod tests;
/// A series' habits over a week.
mod week;

pub use change::{ALARM_ID_CHARS_MAX, CareChange, FaultKind, FaultState};
pub use class::SeriesInfo;
pub use clock::{LOOK_MS, STEP_MS_MAX};
pub use device::{FORGET_MS, GOINGS_MAX, GRACE_MS, UNSTEADY_MS};
pub use drift::{DRIFT_DAYS_MAX, DRIFT_HOURS_MIN, DRIFT_LEARN_DAYS};
pub use rhythm::{BURST_MS, DISTANCES_MIN, LEARN_DAYS, SILENT_MS_MAX, SILENT_MS_MIN};
pub use series::{
    CHANGES_A_DAY_MIN, CHARGED_PERCENT, GOOD_MIN, LOW_PERCENT, ODD_MS, RUN_MS_MAX, STUCK_MS,
    STUCK_TELLS_MIN,
};
pub use state::{CareStats, State};

use class::Facts;
use clock::{DAY_MS, Step};
use device::Device;
use drift::Pair;

/// Devices that are watched at most; what is told of others is dropped and counted.
pub const DEVICES_MAX: usize = 10_000;

/// Series that are watched at most; readings of others are dropped and counted.
pub const CARE_SERIES_MAX: usize = 20_000;

/// Pairs of neighbours that are compared at most; others are left out and counted.
pub const PAIRS_MAX: usize = 1_000;

/// Bytes of a device's id or a metric's name; what is longer is not watched.
pub const NAME_BYTES_MAX: usize = 512;

/// Finds devices that are away, silent, stuck, out of range, drifting, or whose battery is low.
///
/// It is told what an [`Engine`](crate::Engine) is told, and [ticks](Care::tick) at least every [`STEP_MS_MAX`], better
/// every [`LOOK_MS`]. It measures by the time that was watched: a longer step of the clock, forward or back, is a pause
/// that counts for nothing. The times of readings are not looked at.
#[derive(Debug, Default)]
pub struct Care {
    state: State,
    /// Readings up to this one counted before a restart.
    replay_upto: Option<u64>,
    /// Number of series over all devices.
    series_count: usize,
    /// Pairs by device and metric: their index, and which of the two it is.
    paired: HashMap<String, HashMap<String, Vec<(usize, usize)>>>,
    stats: CareStats,
}

/// A series: its device and its metric.
pub type SeriesName<'a> = (&'a str, &'a str);

impl Care {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new() -> Care {
        Care::default()
    }

    /// One that goes on from a state: what stood stands and is not told again. Readings up to [`State::upto`] count for
    /// nothing when they are told again.
    #[must_use]
    pub fn restore(state: State) -> Care {
        let mut care = Care {
            replay_upto: state.upto,
            series_count: state
                .devices
                .values()
                .map(|device| device.series.len())
                .sum(),
            state,
            ..Care::default()
        };
        care.index();
        care
    }

    /// What to keep over a restart. Take it only when all readings of a journal record were told.
    #[must_use]
    pub fn snapshot(&self) -> State {
        self.state.clone()
    }

    /// Takes an input; gives what has changed by it and by the time since the last one. Readings that are replayed, or
    /// counted before a restart, count for nothing. Modes, members and alarms only tell the time.
    pub fn on(&mut self, input: &Input<'_>, now_ms: i64) -> Vec<CareChange> {
        if let Input::Reading(reading) = input
            && (reading.replayed || self.replay_upto.is_some_and(|upto| reading.seq <= upto))
        {
            return Vec::new();
        }
        let mut told = Vec::new();
        self.advance(now_ms, &mut told);
        match *input {
            Input::Reading(reading) => self.hear(&reading, &mut told),
            Input::Online { device, online } => {
                let now = self.state.clock.now();
                match self.device(device) {
                    Some(known) => known.reached(device, online, now, &mut told),
                    None => self.stats.dropped += 1,
                }
            }
            Input::Mode(_) | Input::Presence { .. } | Input::Alarm { .. } => {}
        }
        self.count(told)
    }

    /// Gives what has changed by the time that passed.
    pub fn tick(&mut self, now_ms: i64) -> Vec<CareChange> {
        let mut told = Vec::new();
        self.advance(now_ms, &mut told);
        self.count(told)
    }

    /// When [`Care::tick`] is needed next, in milliseconds since the epoch; none before the first input.
    #[must_use]
    pub fn next_wake(&self) -> Option<i64> {
        self.state.clock.next_look_ms()
    }

    /// Tells what is known about a series, before or after its first reading; cheap where that is known already. It is
    /// kept over restarts. Where it is something else than before, the series' faults end, and are looked for anew.
    pub fn describe(
        &mut self,
        device: &str,
        metric: &str,
        info: &SeriesInfo<'_>,
    ) -> Vec<CareChange> {
        let mut told = Vec::new();
        let facts = Facts::of(info);
        match self.series(device, metric) {
            Some(known) => known.describe(device, metric, facts, &mut told),
            None => self.stats.dropped += 1,
        }
        self.count(told)
    }

    /// Compares these pairs of series from now on, and no others. They should measure the same thing in the same place;
    /// two that have not the same class and unit are never found to drift. What was learned of a pair stays; a drift of
    /// one that is no longer there ends.
    pub fn set_neighbours<'a>(
        &mut self,
        pairs: impl IntoIterator<Item = [SeriesName<'a>; 2]>,
    ) -> Vec<CareChange> {
        let mut before: BTreeMap<[(String, String); 2], Pair> = BTreeMap::new();
        for pair in self.state.pairs.drain(..) {
            before.insert(pair.names.clone(), pair);
        }
        let mut wanted: BTreeMap<[(String, String); 2], Pair> = BTreeMap::new();
        let mut left_out = 0;
        for [one, other] in pairs {
            let named = |(device, metric): SeriesName<'_>| (device.to_owned(), metric.to_owned());
            let names = [named(one.min(other)), named(one.max(other))];
            let is_short = names
                .iter()
                .all(|(device, metric)| is_short(device) && is_short(metric));
            if one == other || wanted.contains_key(&names) {
                continue;
            }
            if wanted.len() >= PAIRS_MAX || !is_short {
                left_out += 1;
                continue;
            }
            let pair = before.remove(&names);
            let pair = pair.unwrap_or_else(|| Pair::new(names.clone()));
            wanted.insert(names, pair);
        }
        let mut told = Vec::new();
        for pair in before.values_mut() {
            pair.drift.end(&mut told);
        }
        self.stats.pairs_dropped += left_out;
        self.state.pairs = wanted.into_values().collect();
        self.index();
        self.count(told)
    }

    /// Forgets a device that is no longer there: its faults end.
    pub fn forget(&mut self, device: &str) -> Vec<CareChange> {
        let mut told = Vec::new();
        if let Some(mut known) = self.state.devices.remove(device) {
            self.series_count -= known.series.len();
            known.end_all(&mut told);
        }
        let is_of = |pair: &Pair| pair.names.iter().any(|(of, _)| of == device);
        for pair in self.state.pairs.iter_mut().filter(|pair| is_of(pair)) {
            pair.drift.end(&mut told);
        }
        self.state.pairs.retain(|pair| !is_of(pair));
        self.index();
        self.count(told)
    }

    /// Faults that stand, as they began.
    pub fn faults(&self) -> impl Iterator<Item = &CareChange> {
        let drifts = self.state.pairs.iter().filter_map(|pair| pair.drift.get());
        let of_devices = self.state.devices.values().flat_map(Device::standing);
        of_devices.chain(drifts)
    }

    /// Counts of what it did.
    #[must_use]
    pub fn stats(&self) -> CareStats {
        self.stats
    }

    fn advance(&mut self, now_ms: i64, told: &mut Vec<CareChange>) {
        let day = self.today();
        match self.state.clock.advance(now_ms) {
            Step::Watched => {}
            Step::Pause => self.stats.pauses += 1,
            Step::Look => {
                self.look(told);
                if self.today() != day {
                    self.forget_old();
                }
            }
        }
    }

    fn today(&self) -> i64 {
        self.state.clock.now().watched_ms.div_euclid(DAY_MS)
    }

    fn look(&mut self, told: &mut Vec<CareChange>) {
        let now = self.state.clock.now();
        for (name, device) in &mut self.state.devices {
            device.look(name, now, told);
        }
        let devices = &self.state.devices;
        for pair in &mut self.state.pairs {
            let facts = pair
                .names
                .each_ref()
                .map(|(device, metric)| Some(&devices.get(device)?.series.get(metric)?.facts));
            pair.look(facts, now, told);
        }
    }

    fn forget_old(&mut self) {
        let now = self.state.clock.now();
        for device in self.state.devices.values_mut() {
            self.series_count -= device.forget_old(now);
        }
        self.state
            .devices
            .retain(|_, device| device.is_worth_keeping());
    }

    fn hear(&mut self, reading: &Reading<'_>, told: &mut Vec<CareChange>) {
        self.state.upto = self.state.upto.max(Some(reading.seq));
        let now = self.state.clock.now();
        let Some(device) = self.series(reading.device, reading.metric) else {
            self.stats.dropped += 1;
            return;
        };
        let Some(value) = device.hear(reading, now, told) else {
            return;
        };
        let paired = self.paired.get(reading.device);
        let pairs = paired.and_then(|metrics| metrics.get(reading.metric));
        for (index, side) in pairs.into_iter().flatten() {
            self.state.pairs[*index].hear(*side, value);
        }
    }

    /// A device, made where there is room.
    fn device(&mut self, device: &str) -> Option<&mut Device> {
        let devices = &mut self.state.devices;
        if !devices.contains_key(device) {
            if devices.len() >= DEVICES_MAX || !is_short(device) {
                return None;
            }
            devices.insert(device.to_owned(), Device::default());
        }
        devices.get_mut(device)
    }

    /// A device that has this series, both made where there is room.
    fn series(&mut self, device: &str, metric: &str) -> Option<&mut Device> {
        let known = self.state.devices.get(device);
        if !known.is_some_and(|known| known.series.contains_key(metric)) {
            if self.series_count >= CARE_SERIES_MAX || !is_short(metric) {
                return None;
            }
            let series = &mut self.device(device)?.series;
            series.insert(metric.to_owned(), series::Series::default());
            self.series_count += 1;
        }
        self.state.devices.get_mut(device)
    }

    fn index(&mut self) {
        self.paired.clear();
        for (index, pair) in self.state.pairs.iter().enumerate() {
            for (side, (device, metric)) in pair.names.iter().enumerate() {
                let metrics = self.paired.entry(device.clone()).or_default();
                let pairs = metrics.entry(metric.clone()).or_default();
                pairs.push((index, side));
            }
        }
    }

    fn count(&mut self, told: Vec<CareChange>) -> Vec<CareChange> {
        for change in &told {
            match change.state {
                FaultState::Began => self.stats.began += 1,
                FaultState::Ended => self.stats.ended += 1,
            }
        }
        told
    }
}

fn is_short(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
}
