//! Checking a rule when it is entered: everything that is wrong with it, in words that help.

use std::collections::BTreeMap;

use crate::{
    expression::{Expression, Look, SeriesName},
    group::{Group, Settable},
    place::Place,
    rule::{Action, Rule, RuleId, Scalar, Trigger},
    schedule::Schedule,
    text::{Text, texts_of},
};

/// Names that look alike.
pub(crate) mod alike;
/// Which rule makes which look, and circles of them.
pub mod graph;
#[cfg(test)]
mod tests;

pub use graph::Graph;

/// Characters of a rule's name, or of a title, at most.
const NAME_CHARS_MAX: usize = 100;
/// Characters of an id, a topic or the name of a mode or member at most.
const ID_CHARS_MAX: usize = 256;
/// Bytes of a message or payload at most.
const MESSAGE_BYTES_MAX: usize = 16 * 1024;
/// Triggers, and actions, of a rule at most.
const PARTS_MAX: usize = 20;
/// Actions of a scene at most.
const SCENE_PARTS_MAX: usize = 100;
/// Metrics that one action sets at most.
const VALUES_MAX: usize = 50;

/// What is known of a home when a rule is entered.
#[derive(Debug, Clone)]
pub struct Known {
    /// Devices and their metrics.
    pub devices: BTreeMap<String, BTreeMap<String, KnownMetric>>,
    /// What can be set, for what is wanted of all devices of a kind.
    pub settables: Vec<Settable>,
    /// Scenes, and what each does.
    pub scenes: BTreeMap<String, Vec<Action>>,
    /// Where the home is.
    pub place: Place,
}

/// What is known of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownMetric {
    /// Whether it can be set.
    pub settable: bool,
}

/// Something that is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {words}")]
pub struct Fault {
    /// Where: the path in the rule's JSON, like `then[0].set.device`.
    pub field: String,
    /// What is wrong, for people.
    pub words: String,
}

/// Checks a rule that is entered among others, which may hold its former self.
///
/// For many rules keep a [`Graph`] and use [`check_in`]; this reads the expressions of all rules each time.
///
/// # Errors
/// All that is wrong with it.
pub fn check(
    rules: &BTreeMap<RuleId, Rule>,
    id: &RuleId,
    rule: &Rule,
    known: &Known,
) -> Result<(), Vec<Fault>> {
    check_in(&Graph::of(rules, known), id, rule, known)
}

/// As [`check`], with the other rules as a graph.
///
/// # Errors
/// All that is wrong with it.
pub fn check_in(graph: &Graph, id: &RuleId, rule: &Rule, known: &Known) -> Result<(), Vec<Fault>> {
    let mut faults = Faults {
        known,
        found: Vec::new(),
    };
    faults.rule(id, rule);
    let is_new = !graph.contains(id);
    if is_new && graph.len() >= crate::engine::RULES_MAX {
        faults.add(
            "",
            format!("a home has {} rules at most", crate::engine::RULES_MAX),
        );
    }
    if faults.found.is_empty()
        && let Some(circle) = graph.circle_with(id, rule, known)
    {
        faults.add("then", circle);
    }
    if faults.found.is_empty() {
        Ok(())
    } else {
        Err(faults.found)
    }
}

/// Checks what a scene does.
///
/// # Errors
/// All that is wrong with it.
pub fn check_scene(actions: &[Action], known: &Known) -> Result<(), Vec<Fault>> {
    let mut faults = Faults {
        known,
        found: Vec::new(),
    };
    if !(1..=SCENE_PARTS_MAX).contains(&actions.len()) {
        let words = format!("it has 1 to {SCENE_PARTS_MAX} parts");
        faults.add("then", words);
    }
    for (number, action) in actions.iter().take(SCENE_PARTS_MAX).enumerate() {
        let at = format!("then[{number}]");
        match action {
            Action::Scene { .. } => faults.add(&at, "a scene starts no other scene"),
            Action::Raise { .. } | Action::Clear { .. } => {
                faults.add(&at, "a scene raises and clears no alarms; a rule can");
            }
            other => faults.action(&at, other),
        }
    }
    if faults.found.is_empty() {
        Ok(())
    } else {
        Err(faults.found)
    }
}

struct Faults<'a> {
    known: &'a Known,
    found: Vec<Fault>,
}

impl Faults<'_> {
    fn add(&mut self, field: &str, words: impl Into<String>) {
        self.found.push(Fault {
            field: field.to_owned(),
            words: words.into(),
        });
    }

    fn rule(&mut self, id: &RuleId, rule: &Rule) {
        self.name("id", id.as_str(), ID_CHARS_MAX);
        self.name("name", &rule.name, NAME_CHARS_MAX);
        for (field, count) in [("when", rule.when.len()), ("then", rule.then.len())] {
            if !(1..=PARTS_MAX).contains(&count) {
                self.add(
                    field,
                    format!("it has 1 to {PARTS_MAX} parts, here are {count}"),
                );
            }
        }
        if !(-100..=100).contains(&rule.priority) {
            self.add("priority", "it is -100 to 100");
        }
        for (number, trigger) in rule.when.iter().take(PARTS_MAX).enumerate() {
            self.trigger(&format!("when[{number}]"), trigger);
        }
        self.condition("if", rule.condition.as_ref());
        self.condition("until", rule.until.as_ref());
        let is_level = rule
            .when
            .iter()
            .any(|trigger| matches!(trigger, Trigger::Reading { .. }));
        if rule.until.is_some() && (rule.condition.is_none() || !is_level) {
            self.add(
                "until",
                "it ends a level, which needs a `reading` in `when` and an `if`",
            );
        }
        for (number, action) in rule.then.iter().take(PARTS_MAX).enumerate() {
            self.action(&format!("then[{number}]"), action);
        }
    }

    fn name(&mut self, field: &str, name: &str, chars_max: usize) {
        let chars = name.chars().count();
        if !(1..=chars_max).contains(&chars) || name.chars().any(char::is_control) {
            self.add(
                field,
                format!("it has 1 to {chars_max} characters, none of them a control character"),
            );
        }
    }

    fn trigger(&mut self, at: &str, trigger: &Trigger) {
        match trigger {
            Trigger::Reading { device, metric } => {
                self.series(&format!("{at}.reading"), device, metric);
            }
            Trigger::Change {
                device,
                metric,
                to,
                from,
            } => {
                self.series(&format!("{at}.change"), device, metric);
                for (name, scalar) in [("to", to), ("from", from)] {
                    if let Some(scalar) = scalar {
                        self.scalar(&format!("{at}.change.{name}"), scalar);
                    }
                }
                if to.is_some() && to == from {
                    self.add(
                        &format!("{at}.change"),
                        "`from` and `to` are the same, that is no change",
                    );
                }
            }
            Trigger::Mode { to } => self.name(&format!("{at}.mode.to"), to, ID_CHARS_MAX),
            Trigger::Presence { member, .. } => {
                if let Some(member) = member {
                    self.name(&format!("{at}.presence.member"), member, ID_CHARS_MAX);
                }
            }
            Trigger::Alarm { alarm, .. } => {
                self.name(&format!("{at}.alarm.alarm"), alarm, ID_CHARS_MAX);
            }
            Trigger::Schedule { .. } | Trigger::Sun { .. } | Trigger::Every(_) => {
                match Schedule::of(trigger, &self.known.place) {
                    Err(words) => self.add(at, words),
                    Ok(Some(schedule @ Schedule::Cron(_)))
                        if schedule.after(0, &self.known.place).is_none() =>
                    {
                        self.add(at, "no calendar has such a day");
                    }
                    Ok(_) => {}
                }
            }
        }
    }

    fn condition(&mut self, field: &str, source: Option<&String>) {
        match source.map(|source| Expression::parse_condition(source)) {
            Some(Ok(expression)) => self.looks(field, &expression),
            Some(Err(refused)) => self.add(field, refused.0),
            None => {}
        }
    }

    fn looks(&mut self, field: &str, expression: &Expression) {
        for look in expression.looks() {
            if let Some(SeriesName { device, metric }) = look.series() {
                self.series(field, device, metric);
            } else if let Look::Online(device) = look {
                self.device(field, device);
            }
        }
    }

    fn device(&mut self, field: &str, device: &str) -> bool {
        let is_known = self.known.devices.contains_key(device);
        if !is_known {
            let hint = alike::hint(device, self.known.devices.keys().map(String::as_str));
            let shown: String = device.chars().take(80).collect();
            self.add(field, format!("no device `{shown}` is known{hint}"));
        }
        is_known
    }

    fn series(&mut self, field: &str, device: &str, metric: &str) {
        if !self.device(field, device) {
            return;
        }
        let metrics = &self.known.devices[device];
        if !metrics.contains_key(metric) {
            let hint = alike::hint(metric, metrics.keys().map(String::as_str));
            let shown: String = metric.chars().take(80).collect();
            self.add(field, format!("`{device}` has no metric `{shown}`{hint}"));
        }
    }

    fn scalar(&mut self, field: &str, scalar: &Scalar) {
        match scalar {
            Scalar::Text(text) if text.len() > MESSAGE_BYTES_MAX => {
                self.add(
                    field,
                    format!("a text has {MESSAGE_BYTES_MAX} bytes at most"),
                );
            }
            Scalar::Number(number) if !number.is_finite() => self.add(field, "it is no number"),
            _ => {}
        }
    }

    fn action(&mut self, at: &str, action: &Action) {
        match action {
            Action::Set { device, values } => self.values(&format!("{at}.set"), device, values),
            Action::Call { device, values } => self.values(&format!("{at}.call"), device, values),
            Action::Group(group) => self.group(&format!("{at}.group"), group),
            Action::Publish { topic, payload, .. } => {
                self.name(&format!("{at}.publish.topic"), topic, ID_CHARS_MAX);
                if topic.contains(['+', '#']) {
                    self.add(
                        &format!("{at}.publish.topic"),
                        "no `+` or `#` goes into a topic",
                    );
                }
                if payload.to_string().len() > MESSAGE_BYTES_MAX {
                    let words = format!("it has {MESSAGE_BYTES_MAX} bytes at most");
                    self.add(&format!("{at}.publish.payload"), words);
                }
            }
            Action::Notify { title, .. } => {
                self.name(&format!("{at}.notify.title"), title, NAME_CHARS_MAX);
            }
            Action::Raise { alarm, .. } => {
                self.name(&format!("{at}.raise.alarm"), alarm, ID_CHARS_MAX);
            }
            Action::Clear { alarm } => self.name(&format!("{at}.clear.alarm"), alarm, ID_CHARS_MAX),
            Action::Mode { mode } => self.name(&format!("{at}.mode.mode"), mode, ID_CHARS_MAX),
            Action::Scene { scene } if !self.known.scenes.contains_key(scene) => {
                let hint = alike::hint(scene, self.known.scenes.keys().map(String::as_str));
                let shown: String = scene.chars().take(80).collect();
                self.add(
                    &format!("{at}.scene"),
                    format!("no scene `{shown}` is known{hint}"),
                );
            }
            Action::Scene { .. } => {}
        }
        let mut action = action.clone();
        for (name, text) in texts_of(&mut action) {
            let field = format!("{at}.{name}");
            if text.len() > MESSAGE_BYTES_MAX {
                self.add(&field, format!("it has {MESSAGE_BYTES_MAX} bytes at most"));
                continue;
            }
            match Text::parse(text) {
                Ok(None) => {}
                Ok(Some(text)) => {
                    for place in text.places() {
                        self.looks(&field, &place.expression);
                    }
                }
                Err(refused) => self.add(&field, refused.0),
            }
        }
    }

    fn group(&mut self, at: &str, group: &Group) {
        if !(1..=VALUES_MAX).contains(&group.values.len()) {
            self.add(
                &format!("{at}.values"),
                format!("it has 1 to {VALUES_MAX} values"),
            );
        } else if group.of(&self.known.settables).is_empty() {
            let words = match &group.room {
                Some(room) => format!("in {room:?} no {} can be set to this", group.component),
                None => format!("no {} can be set to this", group.component),
            };
            self.add(at, words);
        }
    }

    fn values(&mut self, at: &str, device: &str, values: &BTreeMap<String, Scalar>) {
        if !(1..=VALUES_MAX).contains(&values.len()) {
            self.add(
                &format!("{at}.values"),
                format!("it has 1 to {VALUES_MAX} values"),
            );
            return;
        }
        if !self.device(&format!("{at}.device"), device) {
            return;
        }
        let metrics = &self.known.devices[device];
        for (metric, value) in values {
            let field = format!("{at}.values.{metric}");
            self.scalar(&field, value);
            match metrics.get(metric) {
                Some(known) if known.settable => {}
                Some(_) => {
                    let settable = metrics.iter().filter(|(_, known)| known.settable);
                    let names: Vec<String> = settable
                        .take(5)
                        .map(|(name, _)| format!("`{name}`"))
                        .collect();
                    let hint = if names.is_empty() {
                        String::new()
                    } else {
                        format!(", of `{device}` one can set {}", names.join(", "))
                    };
                    self.add(&field, format!("`{metric}` is only measured{hint}"));
                }
                None => self.series(&field, device, metric),
            }
        }
    }
}
