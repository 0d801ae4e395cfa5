use std::fmt::Display;

use super::{
    Engine,
    clock::{Timer, TimerKind},
};
use crate::state::{Level, Origin};

impl Engine {
    /// Something that a rule's conditions look at may have changed.
    pub(super) fn look(&mut self, at: usize, words: &dyn Display, origin: Origin) {
        if self.is_resting(at) {
            return;
        }
        if self.slots[at].state.armed.is_some() {
            self.watch(at);
        }
        if !self.slots[at].is_level() {
            return;
        }
        match self.slots[at].state.level {
            Level::Inactive => self.may_begin(at, words, origin),
            Level::Pending { since_ms, .. } => {
                let held_ms = self.now_ms().saturating_sub(since_ms);
                if self.holds(at) != Some(true) {
                    self.set_level(at, Level::Inactive);
                } else if held_ms >= self.slots[at].hold_ms() {
                    self.begins(at);
                }
            }
            Level::Active => self.may_end(at),
        }
    }

    /// A level waited as long as it must hold.
    pub(super) fn held(&mut self, at: usize) {
        if self.is_resting(at) || self.holds(at) != Some(true) {
            self.set_level(at, Level::Inactive);
        } else {
            self.begins(at);
        }
    }

    fn may_begin(&mut self, at: usize, words: &dyn Display, origin: Origin) {
        if self.holds(at) != Some(true) {
            return;
        }
        if self.slots[at].rule.hold.is_some() {
            let since_ms = self.now_ms();
            self.set_level(at, Level::Pending { since_ms, origin });
        } else {
            self.set_level(at, Level::Active);
            self.fire(at, words, origin);
        }
    }

    /// A pending level becomes active.
    fn begins(&mut self, at: usize) {
        let Level::Pending { origin, .. } = self.slots[at].state.level else {
            return;
        };
        let hold = self.slots[at].rule.hold;
        let words = hold
            .map(|hold| format!("held for {hold}"))
            .unwrap_or_default();
        self.set_level(at, Level::Active);
        self.fire(at, &words, origin);
    }

    /// A failing expression ends nothing: a level that ended would fire again as soon as it no longer fails.
    fn may_end(&mut self, at: usize) {
        let ended = match self.has_ended(at) {
            None => false,
            Some(Some(ended)) => ended,
            Some(None) => self.holds(at) == Some(false),
        };
        if ended {
            self.set_level(at, Level::Inactive);
        }
    }

    pub(super) fn set_level(&mut self, at: usize, level: Level) {
        let slot = &mut self.slots[at];
        let hold_ms = slot.hold_ms();
        let timer = |since_ms: i64| Timer {
            due_ms: since_ms.saturating_add(hold_ms),
            slot: at,
            kind: TimerKind::Level,
        };
        if let Level::Pending { since_ms, .. } = slot.state.level {
            self.timers.remove(&timer(since_ms));
        }
        if let Level::Pending { since_ms, .. } = level {
            self.timers.insert(timer(since_ms));
        }
        slot.state.level = level;
    }
}
