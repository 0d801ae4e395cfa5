//! The state machine that runs rules: inputs and times go in, firings come out. It carries nothing out.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use cel::Env;

use crate::{
    expression::{Moment, environment},
    firing::Firing,
    input::{AlarmState, Input},
    notice::{Notice, NoticeKind, RuleFault},
    place::Place,
    rule::RuleId,
    state::{RuleState, State},
    stats::Stats,
    world::{Unfilled, World, history::Sample},
};

/// Time: what is due, what was missed, clocks that jump.
mod clock;
/// A rule that fires: cooldown, damping, its id and texts.
mod fire;
/// What each input concerns.
mod index;
/// Levels: `if` that begins to hold, for long enough, until it ends.
mod level;
/// Moments, and those that wait for their `for`.
mod moment;
/// Rules that want different things at once.
mod priority;
/// Taking over rules.
mod rules;
/// One rule, ready to run.
pub(crate) mod slot;
#[cfg(test)]
mod tests;

pub use clock::{CLOCK_BACK_MS, PACE_MS};
pub use fire::{DAMPED_MS, FIRINGS_PER_MINUTE_MAX};

use clock::Timer;
use index::Index;
use slot::Slot;

/// Rules that run at most; those after the last one, in the order of their ids, are told as faults.
pub const RULES_MAX: usize = 20_000;

/// Notices that are kept for whoever fetches them; older ones are dropped and counted.
pub const NOTICES_MAX: usize = 1_024;

/// Members, alarms and devices, of each so many are known at most; what is told of others is dropped and counted.
pub const NAMES_MAX: usize = 20_000;

/// Runs the rules of one home.
pub struct Engine {
    env: Arc<Env>,
    place: Place,
    world: World,
    slots: Vec<Slot>,
    index: Index,
    timers: BTreeSet<Timer>,
    /// When rules that look at the clock are evaluated next.
    pace_due_ms: Option<i64>,
    now_ms: Option<i64>,
    /// The last reading that counted.
    upto: Option<u64>,
    /// Readings up to this one fire nothing: they counted before a restart.
    replay_upto: Option<u64>,
    /// States of rules that were restored and whose rules are not set yet.
    restored: BTreeMap<RuleId, RuleState>,
    /// Rules that cannot run at all.
    broken: BTreeMap<RuleId, RuleFault>,
    notices: VecDeque<Notice>,
    stats: Stats,
    /// Number of the call to `on` or `tick`.
    call: u64,
    /// What fired in this call so far.
    fired: Vec<(usize, Firing)>,
}

impl Engine {
    /// An engine without rules.
    #[must_use]
    pub fn new(place: Place) -> Engine {
        Engine::restore(place, State::default())
    }

    /// An engine that goes on from a state. Set the rules next, then tell the readings again (at least those that
    /// expressions look back on; those up to [`State::upto`] fire nothing), then go on with new inputs and ticks.
    #[must_use]
    pub fn restore(place: Place, state: State) -> Engine {
        let mut world = World::default();
        world.mode = state.mode;
        world.presence = state.presence;
        world.alarms = state.alarms;
        world.online = state.online;
        Engine {
            env: environment(),
            place,
            world,
            slots: Vec::new(),
            index: Index::default(),
            timers: BTreeSet::new(),
            pace_due_ms: None,
            now_ms: state.now_ms,
            upto: state.upto,
            replay_upto: state.upto,
            restored: state.rules,
            broken: BTreeMap::new(),
            notices: VecDeque::new(),
            stats: Stats::default(),
            call: 0,
            fired: Vec::new(),
        }
    }

    /// What to keep over a restart. Take it only when all readings of a journal record were told.
    #[must_use]
    pub fn snapshot(&self) -> State {
        let mut rules = self.restored.clone();
        let slots = self.slots.iter();
        rules.extend(slots.map(|slot| (slot.id.clone(), slot.state.clone())));
        State {
            upto: self.upto,
            now_ms: self.now_ms,
            mode: self.world.mode.clone(),
            presence: self.world.presence.clone(),
            alarms: self.world.alarms.clone(),
            online: self.world.online.clone(),
            rules,
        }
    }

    /// Takes an input; gives what fires now, with what became due until now.
    pub fn on(&mut self, input: &Input<'_>, now_ms: i64) -> Vec<Firing> {
        if let Input::Reading(reading) = input
            && (reading.replayed || self.replay_upto.is_some_and(|upto| reading.seq <= upto))
        {
            self.know(input, now_ms);
            return Vec::new();
        }
        self.call += 1;
        self.advance(now_ms);
        self.hear(input);
        self.settle()
    }

    /// Takes an input only to know it: nothing looks, nothing fires.
    pub fn know(&mut self, input: &Input<'_>, now_ms: i64) {
        let world = &mut self.world;
        let is_known = match *input {
            Input::Reading(reading) => world.take(&reading, now_ms).is_some(),
            Input::Mode(mode) => {
                world.mode = Some(mode.to_owned());
                true
            }
            Input::Presence { member, home } => note(&mut world.presence, member, home).is_ok(),
            Input::Online { device, online } => note(&mut world.online, device, online).is_ok(),
            Input::Alarm {
                id,
                state: AlarmState::Cleared,
            } => {
                world.alarms.remove(id);
                true
            }
            Input::Alarm { id, state } => note(&mut world.alarms, id, state).is_ok(),
        };
        self.stats.readings_dropped += u64::from(!is_known);
    }

    /// Windows that have begun since this was asked last, and know nothing of what was before.
    pub fn take_unfilled(&mut self) -> Vec<Unfilled> {
        self.world.take_unfilled()
    }

    /// Has a window know what its series told before, in the order of time, in the place of what it has. Nothing looks, nothing
    /// fires.
    pub fn fill(&mut self, window: &Unfilled, samples: Vec<Sample>) {
        self.world.fill(window, samples);
    }

    /// The home is here from now on. Set the rules next: those that wait for the sun or a time of day wait anew.
    pub fn set_place(&mut self, place: Place) {
        self.place = place;
        let (now_ms, place) = (self.now_ms(), &self.place);
        for due in self.slots.iter_mut().flat_map(|slot| &mut slot.schedules) {
            due.due_ms = due.schedule.after(now_ms, place);
        }
    }

    /// Gives what became due until now.
    pub fn tick(&mut self, now_ms: i64) -> Vec<Firing> {
        self.call += 1;
        self.advance(now_ms);
        self.settle()
    }

    /// When [`Engine::tick`] is needed next, in milliseconds since the epoch, if nothing is told before.
    #[must_use]
    pub fn next_wake(&self) -> Option<i64> {
        let timer = self.timers.first().map(|timer| timer.due_ms);
        match (timer, self.pace_due_ms) {
            (Some(timer), Some(pace)) => Some(timer.min(pace)),
            (timer, pace) => timer.or(pace),
        }
    }

    /// What is wrong with rules now.
    pub fn faults(&self) -> impl Iterator<Item = (&RuleId, &RuleFault)> {
        let failing = self
            .slots
            .iter()
            .filter_map(|slot| Some((&slot.id, slot.fault.as_ref()?)));
        self.broken.iter().chain(failing)
    }

    /// What there was to tell since this was last called.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        self.notices.drain(..).collect()
    }

    /// Counts of what it did.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            samples_thinned: self.world.samples_thinned(),
            ..self.stats
        }
    }

    /// What it knows of the home.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// How many rules run.
    #[must_use]
    pub fn rules_count(&self) -> usize {
        self.slots.len()
    }

    fn now_ms(&self) -> i64 {
        self.now_ms.unwrap_or_default()
    }

    fn moment(&self) -> Moment<'_> {
        Moment {
            world: &self.world,
            place: &self.place,
            now_ms: self.now_ms(),
        }
    }

    /// Whether a rule's `if` holds; none where it fails, which is noted.
    fn holds(&mut self, at: usize) -> Option<bool> {
        let Some(condition) = &self.slots[at].condition else {
            return Some(true);
        };
        let result = condition.holds(&self.env, self.moment());
        self.evaluated(at, result)
    }

    /// Whether a rule's `until` holds; none where it has none, and the outer none where it fails.
    fn has_ended(&mut self, at: usize) -> Option<Option<bool>> {
        let Some(until) = &self.slots[at].until else {
            return Some(None);
        };
        let result = until.holds(&self.env, self.moment());
        self.evaluated(at, result).map(Some)
    }

    fn evaluated(&mut self, at: usize, result: Result<bool, String>) -> Option<bool> {
        self.stats.evaluations += 1;
        match result {
            Ok(holds) => {
                if self.slots[at].fault.take().is_some() {
                    self.tell(at, NoticeKind::Recovered, String::new());
                }
                Some(holds)
            }
            Err(words) => {
                let fault = &mut self.slots[at].fault;
                if fault.as_ref().is_none_or(|fault| fault.words != words) {
                    *fault = Some(RuleFault {
                        since_ms: self.now_ms.unwrap_or_default(),
                        words: words.clone(),
                    });
                    self.stats.faults += 1;
                    self.tell(at, NoticeKind::Fault, words);
                }
                None
            }
        }
    }

    fn tell(&mut self, at: usize, kind: NoticeKind, words: String) {
        if self.notices.len() >= NOTICES_MAX {
            self.notices.pop_front();
            self.stats.notices_dropped += 1;
        }
        self.notices.push_back(Notice {
            rule: self.slots[at].id.clone(),
            at_ms: self.now_ms(),
            kind,
            words,
        });
    }
}

/// Puts a value into a map of names, unless that is full; what stood there before.
fn note<T>(map: &mut BTreeMap<String, T>, name: &str, value: T) -> Result<Option<T>, TooMany> {
    if let Some(known) = map.get_mut(name) {
        return Ok(Some(std::mem::replace(known, value)));
    }
    if map.len() >= NAMES_MAX {
        return Err(TooMany);
    }
    Ok(map.insert(name.to_owned(), value))
}

/// There is no room for another name.
struct TooMany;
