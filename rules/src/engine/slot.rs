use crate::{
    duration::Span,
    expression::{Expression, Look, evaluate::Bound},
    notice::RuleFault,
    place::Place,
    rule::{Rule, RuleId, Trigger},
    schedule::Schedule,
    state::RuleState,
    text::{Text, texts_of},
};

/// One rule, ready to run.
pub(super) struct Slot {
    pub(super) id: RuleId,
    pub(super) rule: Rule,
    pub(super) condition: Option<Bound>,
    pub(super) until: Option<Bound>,
    pub(super) texts: Vec<PlacedText>,
    pub(super) schedules: Vec<Due>,
    pub(super) state: RuleState,
    pub(super) fault: Option<RuleFault>,
    /// What went wrong with a text when it last fired.
    pub(super) text_fault: Option<String>,
    /// Number of the call in which it last fired.
    pub(super) fired_call: u64,
}

/// A text of an action that has places.
pub(super) struct PlacedText {
    /// Index of the action.
    pub(super) action: usize,
    /// Which of the action's texts.
    pub(super) field: usize,
    pub(super) text: Text,
}

/// A schedule, and when it is due next.
pub(super) struct Due {
    /// Index of the trigger.
    pub(super) trigger: usize,
    pub(super) schedule: Schedule,
    pub(super) due_ms: Option<i64>,
}

impl Slot {
    /// Makes a rule ready.
    ///
    /// # Errors
    /// An expression, text or schedule of it cannot be used; the words say which.
    pub(super) fn new(id: &RuleId, rule: &Rule, place: &Place) -> Result<Slot, String> {
        let condition = |name: &str, source: &Option<String>| {
            let Some(source) = source else {
                return Ok(None);
            };
            let parsed = Expression::parse_condition(source);
            let parsed = parsed.map_err(|refused| format!("{name}: {refused}"))?;
            Ok::<_, String>(Some(Bound::new(parsed)))
        };
        let mut texts = Vec::new();
        for (action, mut wanted) in rule.then.iter().cloned().enumerate() {
            for (field, (name, text)) in texts_of(&mut wanted).into_iter().enumerate() {
                let parsed = Text::parse(text).map_err(|refused| format!("{name}: {refused}"))?;
                texts.extend(parsed.map(|text| PlacedText {
                    action,
                    field,
                    text,
                }));
            }
        }
        let mut schedules = Vec::new();
        for (trigger, wanted) in rule.when.iter().enumerate() {
            schedules.extend(Schedule::of(wanted, place)?.map(|schedule| Due {
                trigger,
                schedule,
                due_ms: None,
            }));
        }
        Ok(Slot {
            id: id.clone(),
            condition: condition("if", &rule.condition)?,
            until: condition("until", &rule.until)?,
            rule: rule.clone(),
            texts,
            schedules,
            state: RuleState {
                fingerprint: fingerprint(rule),
                ..RuleState::default()
            },
            fault: None,
            text_fault: None,
            fired_call: 0,
        })
    }

    /// Whether it has a level: a reading makes it look, and there is something to look at.
    pub(super) fn is_level(&self) -> bool {
        self.condition.is_some()
            && self
                .rule
                .when
                .iter()
                .any(|trigger| matches!(trigger, Trigger::Reading { .. }))
    }

    /// Whether what its conditions look at must be followed, not only looked at when it is triggered.
    pub(super) fn follows(&self) -> bool {
        self.is_level() || (self.condition.is_some() && self.rule.hold.is_some())
    }

    pub(super) fn uses_clock(&self) -> bool {
        self.conditions().any(|bound| bound.expression.uses_clock())
    }

    pub(super) fn hold_ms(&self) -> i64 {
        self.rule.hold.map_or(0, Span::ms)
    }

    /// What its conditions look at.
    pub(super) fn looks(&self) -> impl Iterator<Item = &Look> {
        self.conditions().flat_map(|bound| bound.expression.looks())
    }

    /// All its expressions.
    pub(super) fn expressions(&self) -> impl Iterator<Item = &Bound> {
        let places = self.texts.iter().flat_map(|placed| placed.text.places());
        self.conditions().chain(places)
    }

    fn conditions(&self) -> impl Iterator<Item = &Bound> {
        self.condition.iter().chain(&self.until)
    }
}

/// What tells a rule's level from another's: what it looks at and for how long, not its name or what it does (FNV-1a,
/// which stays the same from build to build).
pub(crate) fn fingerprint(rule: &Rule) -> u64 {
    let parts = (&rule.when, &rule.condition, &rule.until, &rule.hold);
    crate::fingerprint::fingerprint(&serde_json::to_string(&parts).unwrap_or_default())
}
