use std::{collections::BTreeMap, fmt::Display};

use super::Engine;
use crate::{
    expression::evaluate::Bound,
    firing::{Firing, Why},
    notice::NoticeKind,
    rule::Action,
    state::{Level, Origin},
    text::texts_of,
};

/// Firings of one rule within a minute at most; with one more it rests.
pub const FIRINGS_PER_MINUTE_MAX: u32 = 60;

/// How long a rule that fired too often rests: 10 minutes.
pub const DAMPED_MS: i64 = 600_000;

/// Length of the minute in which firings are counted.
const MINUTE_MS: i64 = 60_000;

impl Engine {
    /// Whether a rule rests because it fired too often.
    pub(super) fn is_resting(&mut self, at: usize) -> bool {
        let now_ms = self.now_ms();
        let until = &mut self.slots[at].state.damped_until_ms;
        if until.is_some_and(|until| until <= now_ms) {
            *until = None;
        }
        until.is_some()
    }

    /// A rule fires, unless it did so too short a time ago.
    pub(super) fn fire(&mut self, at: usize, words: &dyn Display, origin: Origin) {
        let now_ms = self.now_ms();
        let call = self.call;
        let slot = &mut self.slots[at];
        let state = &mut slot.state;
        // A reading may be both a level's and a moment's.
        if slot.fired_call == call && state.last_origin == Some(origin) {
            return;
        }
        if let (Some(cooldown), Some(last)) = (slot.rule.cooldown, state.last_fired_ms)
            && now_ms.saturating_sub(last) < cooldown.ms()
        {
            self.stats.suppressed += 1;
            return;
        }
        if now_ms.saturating_sub(state.minute_ms) >= MINUTE_MS {
            state.minute_ms = now_ms;
            state.minute_firings = 0;
        }
        state.minute_firings += 1;
        if state.minute_firings > FIRINGS_PER_MINUTE_MAX {
            self.damp(at);
            return;
        }
        state.last_fired_ms = Some(now_ms);
        state.repeats = if state.last_origin == Some(origin) {
            state.repeats + 1
        } else {
            0
        };
        state.last_origin = Some(origin);
        slot.fired_call = call;
        self.stats.firings += 1;
        let id = self.firing_id(at, origin);
        let actions = self.filled(at);
        let slot = &self.slots[at];
        let values: BTreeMap<_, _> = slot
            .condition
            .iter()
            .flat_map(|condition: &Bound| condition.values(self.moment()))
            .collect();
        let firing = Firing {
            rule: slot.id.clone(),
            id,
            at_ms: now_ms,
            why: Why {
                trigger: words.to_string(),
                seq: match origin {
                    Origin::Seq(seq) => Some(seq),
                    Origin::Moment(_) => None,
                },
                values,
            },
            actions,
            overruled: Vec::new(),
        };
        self.fired.push((at, firing));
    }

    fn firing_id(&self, at: usize, origin: Origin) -> String {
        let slot = &self.slots[at];
        let repeat = match slot.state.repeats {
            0 => String::new(),
            repeats => format!("+{repeats}"),
        };
        match origin {
            Origin::Seq(seq) => format!("{}@{seq}{repeat}", slot.id),
            Origin::Moment(ms) => format!("{}@t{ms}{repeat}", slot.id),
        }
    }

    /// A rule's actions with their texts filled in.
    fn filled(&mut self, at: usize) -> Vec<Action> {
        let slot = &self.slots[at];
        let mut actions = slot.rule.then.clone();
        let mut fault = None;
        for placed in &slot.texts {
            let (text, wrong) = placed.text.fill(&self.env, self.moment());
            fault = fault.or(wrong);
            let mut texts = texts_of(&mut actions[placed.action]);
            if let Some((_, field)) = texts.get_mut(placed.field) {
                **field = text;
            }
        }
        if self.slots[at].text_fault != fault {
            self.slots[at].text_fault.clone_from(&fault);
            if let Some(words) = fault {
                self.stats.faults += 1;
                self.tell(at, NoticeKind::Fault, format!("a text: {words}"));
            }
        }
        actions
    }

    fn damp(&mut self, at: usize) {
        self.stats.damped += 1;
        self.set_level(at, Level::Inactive);
        self.disarm(at, None);
        let until_ms = self.now_ms().saturating_add(DAMPED_MS);
        self.slots[at].state.damped_until_ms = Some(until_ms);
        let words = format!(
            "it fired more than {FIRINGS_PER_MINUTE_MAX} times in a minute and rests for {} minutes",
            DAMPED_MS / MINUTE_MS
        );
        self.tell(at, NoticeKind::Damped, words);
    }
}
