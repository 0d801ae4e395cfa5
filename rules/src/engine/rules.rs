use std::collections::{BTreeMap, HashMap};

use super::{Engine, Index, RULES_MAX, Slot, clock::Timer, slot::fingerprint};
use crate::{
    expression::Look,
    notice::RuleFault,
    rule::{Rule, RuleId},
    world::{HISTORIES_MAX, SERIES_MAX},
};

impl Engine {
    /// Runs these rules from now on, and no others. One that looks at the same as before goes on where it was. Nothing
    /// fires here; a rule that cannot run is told by [`Engine::faults`].
    pub fn set_rules(&mut self, rules: &BTreeMap<RuleId, Rule>, now_ms: i64) {
        let begins_ms = self.now_ms.map_or(now_ms, |now| now.max(now_ms));
        let goes_on_ms = *self.now_ms.get_or_insert(now_ms);
        let mut before: HashMap<RuleId, Slot> = std::mem::take(&mut self.slots)
            .into_iter()
            .map(|slot| (slot.id.clone(), slot))
            .collect();
        self.broken.clear();
        for (id, rule) in rules.iter().filter(|(_, rule)| rule.enabled) {
            if self.slots.len() >= RULES_MAX {
                self.broken_rule(id, format!("a home runs {RULES_MAX} rules at most"), now_ms);
                continue;
            }
            let known = before.remove(id);
            let restored = self.restored.remove(id);
            match self.slot(id, rule, known, restored, begins_ms, goes_on_ms) {
                Ok(slot) => self.slots.push(slot),
                Err(words) => self.broken_rule(id, words, now_ms),
            }
        }
        self.restored.clear();
        self.bind();
        self.schedule_all();
    }

    fn broken_rule(&mut self, id: &RuleId, words: String, since_ms: i64) {
        self.stats.faults += 1;
        self.broken
            .insert(id.clone(), RuleFault { since_ms, words });
    }

    fn slot(
        &self,
        id: &RuleId,
        rule: &Rule,
        known: Option<Slot>,
        restored: Option<crate::state::RuleState>,
        begins_ms: i64,
        goes_on_ms: i64,
    ) -> Result<Slot, String> {
        let same = fingerprint(rule);
        let (state, dues) = match known {
            Some(slot) if slot.rule == *rule => return Ok(slot),
            Some(slot) if slot.state.fingerprint == same => {
                let dues = slot.schedules.iter().map(|due| due.due_ms).collect();
                (Some(slot.state), dues)
            }
            Some(_) => (None, Vec::new()),
            None => (
                restored.filter(|state| state.fingerprint == same),
                Vec::new(),
            ),
        };
        let mut slot = Slot::new(id, rule, &self.place)?;
        let from_ms = if state.is_some() {
            goes_on_ms
        } else {
            begins_ms
        };
        for (number, due) in slot.schedules.iter_mut().enumerate() {
            let kept = dues.get(number).copied().flatten();
            due.due_ms = kept.or_else(|| due.schedule.after(from_ms, &self.place));
        }
        if let Some(state) = state {
            slot.state = state;
        }
        Ok(slot)
    }

    /// Looks up what expressions name, and keeps the histories that they look back on.
    fn bind(&mut self) {
        let mut windows = Vec::new();
        for slot in &mut self.slots {
            for bound in slot.condition.iter_mut().chain(&mut slot.until) {
                bound.bind(&mut self.world);
            }
            for placed in &mut slot.texts {
                placed.text.bind(&mut self.world);
            }
        }
        let mut unseen = Vec::new();
        for slot in &self.slots {
            for bound in slot.expressions() {
                for (look, id) in bound.expression.looks().iter().zip(&bound.series) {
                    match (look, id) {
                        (Look::Window { window_ms, .. }, Some(id)) => {
                            windows.push((*id, *window_ms));
                        }
                        (look, None) if look.series().is_some() => unseen.push(slot.id.clone()),
                        _ => {}
                    }
                }
            }
        }
        let refused = self.world.keep_histories(windows);
        let now_ms = self.now_ms();
        for id in unseen {
            let words = format!("a home has {SERIES_MAX} series at most, one of its is above that");
            self.broken_rule(&id, words, now_ms);
        }
        if !refused.is_empty() {
            self.lacks_history(&refused, now_ms);
        }
        self.index = Index::of(&self.slots, &mut self.world);
    }

    fn lacks_history(&mut self, refused: &[(crate::world::SeriesId, i64)], now_ms: i64) {
        let lacking = |slot: &&Slot| {
            slot.expressions().any(|bound| {
                let looks = bound.expression.looks().iter().zip(&bound.series);
                looks.into_iter().any(|(look, id)| match (look, id) {
                    (Look::Window { window_ms, .. }, Some(id)) => {
                        refused.contains(&(*id, *window_ms))
                    }
                    _ => false,
                })
            })
        };
        let ids: Vec<RuleId> = self
            .slots
            .iter()
            .filter(lacking)
            .map(|slot| slot.id.clone())
            .collect();
        for id in ids {
            let words =
                format!("a home has {HISTORIES_MAX} windows at most, one of its is above that");
            self.broken_rule(&id, words, now_ms);
        }
    }

    /// Sets all timers anew from what rules wait for.
    pub(super) fn schedule_all(&mut self) {
        self.timers.clear();
        for at in 0..self.slots.len() {
            for timer in Timer::of(at, &self.slots[at]) {
                self.timers.insert(timer);
            }
        }
        self.schedule_pace();
    }
}
