use std::fmt::{self, Display};

use super::{
    Engine,
    clock::{Timer, TimerKind},
    index::{Hears, Listener},
    note,
};
use crate::{
    input::{AlarmState, Input, Reading},
    rule::{Trigger, Whereabouts},
    state::{Armed, Origin},
    world::Before,
};

/// What an input is to a trigger that looks at the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    /// The trigger's moment.
    Comes,
    /// The state that the trigger's moment began is over.
    Ends,
    /// Neither.
    Neither,
}

impl Engine {
    /// Tells an input to the rules that it concerns.
    pub(super) fn hear(&mut self, input: &Input<'_>) {
        match *input {
            Input::Reading(reading) => self.hear_reading(&reading),
            Input::Mode(mode) => {
                let before = self.world.mode.replace(mode.to_owned());
                if before.as_deref() == Some(mode) {
                    return;
                }
                let fit = |trigger: &Trigger| match trigger {
                    Trigger::Mode { to } if to == mode && before.is_some() => Fit::Comes,
                    Trigger::Mode { to } if to != mode => Fit::Ends,
                    _ => Fit::Neither,
                };
                let listeners = std::mem::take(&mut self.index.mode);
                self.told(
                    &listeners,
                    &format_args!("mode {mode}"),
                    self.origin_now(),
                    fit,
                );
                self.index.mode = listeners;
            }
            Input::Presence { member, home } => self.hear_presence(member, home),
            Input::Alarm { id, state } => self.hear_alarm(id, state),
            Input::Online { device, online } => {
                match note(&mut self.world.online, device, online) {
                    Err(_) => self.stats.readings_dropped += 1,
                    Ok(before) if before == Some(online) => {}
                    Ok(_) => {
                        let listeners = self.index.online.get(device).cloned().unwrap_or_default();
                        let words =
                            format_args!("{device} {}", if online { "online" } else { "away" });
                        self.told(&listeners, &words, self.origin_now(), |_| Fit::Neither);
                    }
                }
            }
        }
    }

    fn origin_now(&self) -> Origin {
        Origin::Moment(self.now_ms())
    }

    fn hear_reading(&mut self, reading: &Reading<'_>) {
        self.upto = self.upto.max(Some(reading.seq));
        let Some((id, before)) = self.world.take(reading, self.now_ms()) else {
            self.stats.readings_dropped += 1;
            return;
        };
        let Some(listeners) = self.index.series.get_mut(&id) else {
            return;
        };
        let listeners = std::mem::take(listeners);
        let fit = |trigger: &Trigger| change_fit(trigger, reading, before.as_ref());
        self.told(
            &listeners,
            &ReadingWords(reading),
            Origin::Seq(reading.seq),
            fit,
        );
        self.index.series.insert(id, listeners);
    }

    fn hear_presence(&mut self, member: &str, home: bool) {
        let was_known = !self.world.presence.is_empty();
        let was_anyone = self.world.is_anyone_home();
        let Ok(before) = note(&mut self.world.presence, member, home) else {
            self.stats.readings_dropped += 1;
            return;
        };
        let is_anyone = self.world.is_anyone_home();
        let fit = |trigger: &Trigger| {
            let Trigger::Presence { member: of, is } = trigger else {
                return Fit::Neither;
            };
            let wanted = *is == Whereabouts::Home;
            let (known, was, now) = match of {
                None => (was_known, was_anyone, is_anyone),
                Some(of) if of == member => (before.is_some(), before == Some(true), home),
                Some(_) => return Fit::Neither,
            };
            match (known && was != now, now == wanted) {
                (true, true) => Fit::Comes,
                (_, false) => Fit::Ends,
                _ => Fit::Neither,
            }
        };
        let words = format_args!("{member} {}", if home { "home" } else { "away" });
        let listeners = std::mem::take(&mut self.index.presence);
        self.told(&listeners, &words, self.origin_now(), fit);
        self.index.presence = listeners;
    }

    /// An alarm that was never told of is cleared; cleared ones are not remembered.
    fn hear_alarm(&mut self, id: &str, state: AlarmState) {
        let before = if state == AlarmState::Cleared {
            self.world.alarms.remove(id)
        } else {
            match note(&mut self.world.alarms, id, state) {
                Ok(before) => before,
                Err(_) => {
                    self.stats.readings_dropped += 1;
                    return;
                }
            }
        };
        if before.unwrap_or(AlarmState::Cleared) == state {
            return;
        }
        let fit = |trigger: &Trigger| match trigger {
            Trigger::Alarm { is, .. } if *is == state => Fit::Comes,
            Trigger::Alarm { .. } => Fit::Ends,
            _ => Fit::Neither,
        };
        let listeners = self.index.alarms.get(id).cloned().unwrap_or_default();
        self.told(
            &listeners,
            &format_args!("alarm {id} {state}"),
            self.origin_now(),
            fit,
        );
    }

    fn told(
        &mut self,
        listeners: &[Listener],
        words: &dyn Display,
        origin: Origin,
        fit: impl Fn(&Trigger) -> Fit,
    ) {
        for listener in listeners {
            let at = listener.slot;
            match listener.hears {
                Hears::Look => self.look(at, words, origin),
                Hears::Trigger(number) => match fit(&self.slots[at].rule.when[number]) {
                    Fit::Comes => self.moment_comes(at, number, words, origin),
                    Fit::Ends => self.disarm(at, Some(number)),
                    Fit::Neither => {}
                },
            }
        }
    }

    /// The moment of a trigger.
    pub(super) fn moment_comes(
        &mut self,
        at: usize,
        trigger: usize,
        words: &dyn Display,
        origin: Origin,
    ) {
        if self.is_resting(at) || self.holds(at) != Some(true) {
            return;
        }
        if self.slots[at].rule.hold.is_none() {
            self.fire(at, words, origin);
        } else if self.slots[at].state.armed.is_none() {
            let since_ms = self.now_ms();
            let slot = &mut self.slots[at];
            self.timers.insert(Timer {
                due_ms: since_ms.saturating_add(slot.hold_ms()),
                slot: at,
                kind: TimerKind::Armed,
            });
            slot.state.armed = Some(Armed {
                trigger,
                since_ms,
                origin,
                words: words.to_string(),
            });
        }
    }

    /// Looks whether `if` still holds while a moment waits.
    pub(super) fn watch(&mut self, at: usize) {
        if self.holds(at) != Some(true) {
            self.disarm(at, None);
        }
    }

    pub(super) fn armed_is_due(&mut self, at: usize) {
        let Some(armed) = self.slots[at].state.armed.take() else {
            return;
        };
        if self.is_resting(at) || self.holds(at) != Some(true) {
            return;
        }
        let hold = self.slots[at].rule.hold;
        let held = hold.map(|hold| format!(", for {hold}")).unwrap_or_default();
        self.fire(at, &format_args!("{}{held}", armed.words), armed.origin);
    }

    /// Forgets a moment that waits; with a trigger only one of this.
    pub(super) fn disarm(&mut self, at: usize, trigger: Option<usize>) {
        let slot = &mut self.slots[at];
        let is_it = |armed: &mut Armed| trigger.is_none_or(|trigger| trigger == armed.trigger);
        if let Some(armed) = slot.state.armed.take_if(is_it) {
            self.timers.remove(&Timer {
                due_ms: armed.since_ms.saturating_add(slot.hold_ms()),
                slot: at,
                kind: TimerKind::Armed,
            });
        }
    }
}

/// What a reading is to a trigger of its series.
fn change_fit(trigger: &Trigger, reading: &Reading<'_>, before: Option<&Before>) -> Fit {
    let (to, from) = match trigger {
        Trigger::Reading { .. } => return Fit::Comes,
        Trigger::Change { to, from, .. } => (to, from),
        _ => return Fit::Neither,
    };
    let Some(before) = before else {
        return Fit::Neither;
    };
    let value = reading.value.filter(|value| value.is_finite());
    if to
        .as_ref()
        .is_some_and(|to| !to.is_told_by(value, reading.text))
    {
        return Fit::Ends;
    }
    match from {
        Some(from) if !from.is_told_by(before.value, before.text.as_deref()) => Fit::Neither,
        _ => Fit::Comes,
    }
}

/// A reading in words.
struct ReadingWords<'a>(&'a Reading<'a>);

impl fmt::Display for ReadingWords<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reading {
            device,
            metric,
            value,
            text,
            ..
        } = self.0;
        write!(f, "{device}/{metric}")?;
        match (value, text) {
            (_, Some(text)) => write!(f, " {}", text.chars().take(100).collect::<String>()),
            (Some(value), None) => write!(f, " {value}"),
            (None, None) => Ok(()),
        }
    }
}
