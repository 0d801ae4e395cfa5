use std::fmt;

use super::{Engine, Slot};
use crate::{
    notice::NoticeKind,
    rule::{SunEvent, Trigger},
    schedule::MISSED_MS_MAX,
    state::{Level, Origin},
};

/// How often rules that look at the clock are evaluated at least: 10 seconds, counted from the epoch.
pub const PACE_MS: i64 = 10_000;

/// A clock that goes back by less than this stands still instead: 1 second.
pub const CLOCK_BACK_MS: i64 = 1_000;

/// Something that becomes due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Timer {
    /// In milliseconds since the epoch.
    pub(super) due_ms: i64,
    /// Index of the rule's slot.
    pub(super) slot: usize,
    pub(super) kind: TimerKind,
}

/// What becomes due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimerKind {
    /// A level held long enough.
    Level,
    /// A moment's `for` is over.
    Armed,
    /// The schedule of this number.
    Schedule(usize),
}

impl Timer {
    /// What a rule waits for.
    pub(super) fn of(at: usize, slot: &Slot) -> impl Iterator<Item = Timer> {
        let hold_ms = slot.hold_ms();
        let timer = move |due_ms: i64, kind| Timer {
            due_ms,
            slot: at,
            kind,
        };
        let level = match slot.state.level {
            Level::Pending { since_ms, .. } => {
                Some(timer(since_ms.saturating_add(hold_ms), TimerKind::Level))
            }
            _ => None,
        };
        let armed = slot.state.armed.as_ref();
        let armed =
            armed.map(|armed| timer(armed.since_ms.saturating_add(hold_ms), TimerKind::Armed));
        let dues = slot.schedules.iter().enumerate();
        let dues = dues
            .filter_map(move |(number, due)| Some(timer(due.due_ms?, TimerKind::Schedule(number))));
        level.into_iter().chain(armed).chain(dues)
    }
}

impl Engine {
    /// Sets the clock, and does what became due until then, in the order in which it did.
    pub(super) fn advance(&mut self, now_ms: i64) {
        let before = self.now_ms.unwrap_or(now_ms);
        if before.saturating_sub(now_ms) >= CLOCK_BACK_MS {
            self.clock_went_back(before, now_ms);
        } else {
            self.now_ms = Some(before.max(now_ms));
        }
        let now_ms = self.now_ms();
        if self.pace_due_ms.is_none() {
            self.schedule_pace();
        }
        loop {
            let timer = self
                .timers
                .first()
                .copied()
                .filter(|timer| timer.due_ms <= now_ms);
            let pace = self.pace_due_ms.filter(|due| *due <= now_ms);
            match (timer, pace) {
                (Some(timer), pace) if pace.is_none_or(|due| timer.due_ms <= due) => {
                    self.timers.pop_first();
                    self.due(timer);
                }
                (_, Some(due)) => {
                    self.schedule_pace();
                    for number in 0..self.index.clock.len() {
                        self.look(self.index.clock[number], &"the clock", Origin::Moment(due));
                    }
                }
                _ => break,
            }
        }
    }

    pub(super) fn schedule_pace(&mut self) {
        let now_ms = self.now_ms();
        let next = now_ms
            .div_euclid(PACE_MS)
            .saturating_add(1)
            .saturating_mul(PACE_MS);
        self.pace_due_ms = (!self.index.clock.is_empty() && next > now_ms).then_some(next);
    }

    fn due(&mut self, timer: Timer) {
        let at = timer.slot;
        match timer.kind {
            TimerKind::Level => self.held(at),
            TimerKind::Armed => self.armed_is_due(at),
            TimerKind::Schedule(number) => self.schedule_is_due(at, number, timer.due_ms),
        }
    }

    fn schedule_is_due(&mut self, at: usize, number: usize, due_ms: i64) {
        let now_ms = self.now_ms();
        let due = &mut self.slots[at].schedules[number];
        let trigger = due.trigger;
        let moment = due.schedule.last(due_ms, now_ms, &self.place);
        // A clock that stands at the end of all time must not make the same moment due for ever.
        due.due_ms = due
            .schedule
            .after(now_ms, &self.place)
            .filter(|next| *next > now_ms);
        if let Some(due_ms) = due.due_ms {
            self.timers.insert(Timer {
                due_ms,
                slot: at,
                kind: TimerKind::Schedule(number),
            });
        }
        let words = ScheduleWords(&self.slots[at].rule.when[trigger]).to_string();
        if now_ms.saturating_sub(moment) >= MISSED_MS_MAX {
            self.stats.missed += 1;
            self.tell(at, NoticeKind::Missed, words);
            return;
        }
        self.moment_comes(at, trigger, &words, Origin::Moment(moment));
    }

    /// What waits begins to wait anew; what is counted by the clock is counted from now.
    fn clock_went_back(&mut self, before_ms: i64, now_ms: i64) {
        self.now_ms = Some(now_ms);
        let is_far = before_ms.saturating_sub(now_ms) >= MISSED_MS_MAX;
        for slot in &mut self.slots {
            let state = &mut slot.state;
            if let Level::Pending { since_ms, .. } = &mut state.level {
                *since_ms = now_ms;
            }
            if let Some(armed) = &mut state.armed {
                armed.since_ms = now_ms;
            }
            let back = before_ms.saturating_sub(now_ms);
            for at_ms in [&mut state.last_fired_ms, &mut state.damped_until_ms] {
                *at_ms = at_ms.map(|at_ms| at_ms.saturating_sub(back));
            }
            state.minute_ms = state.minute_ms.min(now_ms);
            // Schedules that came already do not come again after a small correction.
            for due in slot.schedules.iter_mut().filter(|_| is_far) {
                due.due_ms = due.schedule.after(now_ms, &self.place);
            }
        }
        self.world.forget_after(now_ms);
        self.schedule_all();
    }
}

/// A schedule in words.
struct ScheduleWords<'a>(&'a Trigger);

impl fmt::Display for ScheduleWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Trigger::Schedule { cron } => write!(f, "schedule {cron}"),
            Trigger::Every(every) => write!(f, "every {every}"),
            Trigger::Sun { event, offset } => {
                let event = match event {
                    SunEvent::Sunrise => "sunrise",
                    SunEvent::Sunset => "sunset",
                };
                match offset {
                    Some(offset) => write!(f, "{event} {offset}"),
                    None => f.write_str(event),
                }
            }
            _ => Ok(()),
        }
    }
}
