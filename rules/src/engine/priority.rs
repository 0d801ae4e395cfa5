use std::collections::HashMap;

use super::Engine;
use crate::{
    firing::{Firing, Overruled},
    rule::{Action, Scalar},
    state::Level,
};

/// What a rule wants of a metric.
struct Wish<'a> {
    slot: usize,
    priority: i32,
    value: &'a Scalar,
}

impl Engine {
    /// What fired in this call, where rules that want different things of one metric are told apart: the one with the
    /// highest priority has its way, of equals the first by id. A level that is active holds what it set.
    pub(super) fn settle(&mut self) -> Vec<Firing> {
        let mut fired = std::mem::take(&mut self.fired);
        if fired.is_empty() {
            return Vec::new();
        }
        let overruled = self.overruled(&fired);
        for (number, overruled) in overruled {
            self.stats.overruled += 1;
            let firing = &mut fired[number].1;
            withdraw(&mut firing.actions, &overruled);
            firing.overruled.push(overruled);
        }
        fired.into_iter().map(|(_, firing)| firing).collect()
    }

    /// What is not done of each firing, by its number.
    fn overruled(&self, fired: &[(usize, Firing)]) -> Vec<(usize, Overruled)> {
        let mut wishes: HashMap<(&str, &str), Vec<Wish<'_>>> = HashMap::new();
        for (at, firing) in fired {
            for (device, metric, value) in wants(&firing.actions) {
                wishes.entry((device, metric)).or_default().push(Wish {
                    slot: *at,
                    priority: self.slots[*at].rule.priority,
                    value,
                });
            }
        }
        let mut overruled = Vec::new();
        for (number, (at, firing)) in fired.iter().enumerate() {
            let priority = self.slots[*at].rule.priority;
            for (device, metric, value) in wants(&firing.actions) {
                let at_once = wishes.get(&(device, metric)).into_iter().flatten();
                let at_once = at_once.filter(|wish| {
                    wish.priority > priority || (wish.priority == priority && wish.slot < *at)
                });
                let at_once = at_once.map(|wish| (wish.slot, wish.priority, wish.value));
                let held = self.held_by(device, metric);
                let held = held.filter(|(_, other, _)| *other > priority);
                // Slots are in the order of rule ids.
                let strongest = at_once
                    .chain(held)
                    .max_by_key(|(slot, priority, _)| (*priority, std::cmp::Reverse(*slot)));
                let Some((winner, _, wanted)) = strongest else {
                    continue;
                };
                if wanted != value {
                    let by = self.slots[winner].id.clone();
                    overruled.push((
                        number,
                        Overruled {
                            device: device.to_owned(),
                            metric: metric.to_owned(),
                            wanted: value.clone(),
                            words: format!("overruled by {by}"),
                            by,
                        },
                    ));
                }
            }
        }
        overruled
    }

    /// What active levels want of a metric.
    fn held_by<'a>(
        &'a self,
        device: &'a str,
        metric: &'a str,
    ) -> impl Iterator<Item = (usize, i32, &'a Scalar)> {
        let id = self.world.find(device, metric);
        let setters = id.and_then(|id| self.index.setters.get(&id));
        setters.into_iter().flatten().filter_map(move |at| {
            let slot = &self.slots[*at];
            if slot.state.level != Level::Active {
                return None;
            }
            // Of a rule's own actions on one metric the last has its way.
            let wanted =
                wants(&slot.rule.then).filter(|(of, name, _)| (*of, *name) == (device, metric));
            Some((*at, slot.rule.priority, wanted.last()?.2))
        })
    }
}

fn wants(actions: &[Action]) -> impl Iterator<Item = (&str, &str, &Scalar)> {
    let wants = actions.iter().filter_map(Action::wants);
    wants.flat_map(|(device, values)| {
        values
            .iter()
            .map(move |(metric, value)| (device, metric.as_str(), value))
    })
}

/// Takes a wish out of actions, and an action that wants nothing else with it.
fn withdraw(actions: &mut Vec<Action>, overruled: &Overruled) {
    actions.retain_mut(|action| {
        let (Action::Set { device, values } | Action::Call { device, values }) = action else {
            return true;
        };
        if *device != overruled.device || values.get(&overruled.metric) != Some(&overruled.wanted) {
            return true;
        }
        values.remove(&overruled.metric);
        !values.is_empty()
    });
}
