use std::collections::HashMap;

use super::Slot;
use crate::{
    expression::Look,
    rule::Trigger,
    world::{SeriesId, World},
};

/// Who hears of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listener {
    /// Index of the rule's slot.
    pub(super) slot: usize,
    pub(super) hears: Hears,
}

/// What a rule does when it hears of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hears {
    /// It looks whether its conditions changed.
    Look,
    /// It compares with the trigger of this index.
    Trigger(usize),
}

/// Which rules each input concerns.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// By series; one that no rule names may be missing.
    pub(super) series: HashMap<SeriesId, Vec<Listener>>,
    pub(super) online: HashMap<Box<str>, Vec<Listener>>,
    pub(super) alarms: HashMap<Box<str>, Vec<Listener>>,
    pub(super) mode: Vec<Listener>,
    pub(super) presence: Vec<Listener>,
    /// Rules that look at the clock.
    pub(super) clock: Vec<usize>,
    /// Rules with a level by the series that they set.
    pub(super) setters: HashMap<SeriesId, Vec<usize>>,
}

impl Index {
    pub(super) fn of(slots: &[Slot], world: &mut World) -> Index {
        let mut index = Index::default();
        for (at, slot) in slots.iter().enumerate() {
            index.triggers(at, slot, world);
            if slot.follows() {
                index.looks(at, slot, world);
            }
            if slot.follows() && slot.uses_clock() {
                index.clock.push(at);
            }
            if slot.is_level() {
                for (device, values) in slot.rule.then.iter().filter_map(|action| action.wants()) {
                    for metric in values.keys() {
                        if let Some(id) = world.intern(device, metric) {
                            index.setters.entry(id).or_default().push(at);
                        }
                    }
                }
            }
        }
        index.trim();
        index
    }

    fn triggers(&mut self, at: usize, slot: &Slot, world: &mut World) {
        let is_level = slot.is_level();
        for (number, trigger) in slot.rule.when.iter().enumerate() {
            let listener = Listener {
                slot: at,
                hears: Hears::Trigger(number),
            };
            match trigger {
                Trigger::Reading { device, metric } if is_level => {
                    self.series(world.intern(device, metric), look(at));
                }
                Trigger::Reading { device, metric } | Trigger::Change { device, metric, .. } => {
                    self.series(world.intern(device, metric), listener);
                }
                Trigger::Mode { .. } => self.mode.push(listener),
                Trigger::Presence { .. } => self.presence.push(listener),
                Trigger::Alarm { alarm, .. } => {
                    self.alarms
                        .entry(alarm.as_str().into())
                        .or_default()
                        .push(listener);
                }
                Trigger::Schedule { .. } | Trigger::Sun { .. } | Trigger::Every(_) => {}
            }
        }
    }

    fn looks(&mut self, at: usize, slot: &Slot, world: &mut World) {
        for what in slot.looks() {
            match what {
                Look::Online(device) => {
                    add(self.online.entry(device.clone()).or_default(), look(at));
                }
                Look::Home(_) | Look::Anyone => add(&mut self.presence, look(at)),
                Look::Mode => add(&mut self.mode, look(at)),
                _ => {
                    let named = what.series();
                    let id = named.and_then(|name| world.intern(&name.device, &name.metric));
                    if id.is_some() {
                        self.series(id, look(at));
                    }
                }
            }
        }
    }

    fn series(&mut self, id: Option<SeriesId>, listener: Listener) {
        if let Some(id) = id {
            add(self.series.entry(id).or_default(), listener);
        }
    }

    /// Gives back what lists hold in reserve.
    fn trim(&mut self) {
        for listeners in self.series.values_mut() {
            listeners.shrink_to_fit();
        }
    }
}

fn look(at: usize) -> Listener {
    Listener {
        slot: at,
        hears: Hears::Look,
    }
}

/// Adds a listener once. Rules are added one after the other, so that an equal one is among the last.
fn add(listeners: &mut Vec<Listener>, listener: Listener) {
    let of_slot = listeners
        .iter()
        .rev()
        .take_while(|known| known.slot == listener.slot);
    if !of_slot.into_iter().any(|known| *known == listener) {
        listeners.push(listener);
    }
}
