use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::Known;
use crate::{
    expression::{Expression, Look},
    input::AlarmState,
    rule::{Action, Rule, RuleId, Trigger},
};

/// A rule with a cooldown of at least this in every place makes a circle slow enough to be allowed: 1 second.
pub const DAMPING_MS_MIN: i64 = 1_000;

/// Something that a rule can do and another one can hear of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Thing {
    Series(Box<str>, Box<str>),
    /// This mode.
    Mode(Box<str>),
    /// Whatever mode.
    AnyMode,
    Alarm(Box<str>, AlarmState),
}

/// What a rule does and hears of.
#[derive(Debug)]
struct Links {
    does: BTreeSet<Thing>,
    hears: BTreeSet<Thing>,
    is_damped: bool,
}

/// Which rule makes which look. What a rule only looks at, without being made to look by it, is no link: no circle
/// can go through it.
#[derive(Debug, Default)]
pub struct Graph {
    rules: BTreeMap<RuleId, Links>,
    hearers: HashMap<Thing, BTreeSet<RuleId>>,
}

impl Graph {
    /// The graph of these rules.
    #[must_use]
    pub fn of(rules: &BTreeMap<RuleId, Rule>, known: &Known) -> Graph {
        let mut graph = Graph::default();
        for (id, rule) in rules {
            graph.insert(id, rule, known);
        }
        graph
    }

    /// Puts a rule in, in place of its former self.
    pub fn insert(&mut self, id: &RuleId, rule: &Rule, known: &Known) {
        self.remove(id);
        let links = Links::of(rule, known);
        for thing in &links.hears {
            self.hearers
                .entry(thing.clone())
                .or_default()
                .insert(id.clone());
        }
        self.rules.insert(id.clone(), links);
    }

    /// Takes a rule out.
    pub fn remove(&mut self, id: &RuleId) {
        let Some(links) = self.rules.remove(id) else {
            return;
        };
        for thing in links.hears {
            if let Some(hearers) = self.hearers.get_mut(&thing) {
                hearers.remove(id);
                if hearers.is_empty() {
                    self.hearers.remove(&thing);
                }
            }
        }
    }

    /// Whether a rule is in it.
    #[must_use]
    pub fn contains(&self, id: &RuleId) -> bool {
        self.rules.contains_key(id)
    }

    /// How many rules are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are no rules in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The circle, in words, that there would be with this rule; none where there is none, or every rule in it has a
    /// cooldown.
    #[must_use]
    pub fn circle_with(&self, id: &RuleId, rule: &Rule, known: &Known) -> Option<String> {
        let links = Links::of(rule, known);
        let with = With {
            graph: self,
            id,
            links: &links,
        };
        let undamped = with
            .circling()
            .into_iter()
            .find(|other| !with.links(other).is_some_and(|links| links.is_damped))?;
        let mut circle = with.way(id, undamped)?;
        if undamped != id {
            circle.extend(with.way(undamped, id)?.into_iter().skip(1));
        }
        let circle: Vec<&str> = circle.into_iter().map(RuleId::as_str).collect();
        Some(format!(
            "the rules set each other off in a circle: {}; give each of them a cooldown of 1s or more, or break it",
            circle.join(" → ")
        ))
    }
}

/// A graph together with a rule that is not in it yet.
struct With<'a> {
    graph: &'a Graph,
    id: &'a RuleId,
    links: &'a Links,
}

impl<'a> With<'a> {
    fn links(&self, id: &RuleId) -> Option<&'a Links> {
        if id == self.id {
            return Some(self.links);
        }
        self.graph.rules.get(id)
    }

    /// Rules that one sets off.
    fn next(&self, id: &RuleId) -> Vec<&'a RuleId> {
        let Some(links) = self.links(id) else {
            return Vec::new();
        };
        let mut next: Vec<&RuleId> = links
            .does
            .iter()
            .flat_map(|thing| self.graph.hearers.get(thing).into_iter().flatten())
            .filter(|other| *other != self.id)
            .collect();
        if links.does.intersection(&self.links.hears).next().is_some() {
            next.push(self.id);
        }
        next
    }

    /// Rules that lie on a circle with the rule, itself among them.
    fn circling(&self) -> BTreeSet<&'a RuleId> {
        let mut causes: HashMap<&RuleId, Vec<&RuleId>> = HashMap::new();
        spread(self.id, |at| {
            let next = self.next(at);
            for other in &next {
                causes.entry(other).or_default().push(at);
            }
            next
        });
        let circling = spread(self.id, |at| causes.get(at).cloned().unwrap_or_default());
        circling.into_keys().collect()
    }

    /// The shortest way of at least one step from one rule to another, with both.
    fn way(&self, from: &'a RuleId, to: &'a RuleId) -> Option<Vec<&'a RuleId>> {
        let before = spread(from, |at| self.next(at));
        let mut way = vec![to];
        loop {
            let at = before.get(way.last()?)?;
            way.push(at);
            if *at == from {
                way.reverse();
                return Some(way);
            }
        }
    }
}

/// All that is reached from a start in one step or more, each with what it was first reached from; breadth first.
fn spread<'a>(
    start: &'a RuleId,
    mut next: impl FnMut(&'a RuleId) -> Vec<&'a RuleId>,
) -> BTreeMap<&'a RuleId, &'a RuleId> {
    let mut before = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for other in next(at) {
            if !before.contains_key(other) {
                before.insert(other, at);
                if other != start {
                    queue.push_back(other);
                }
            }
        }
    }
    before
}

impl Links {
    fn of(rule: &Rule, known: &Known) -> Links {
        let mut links = Links {
            does: BTreeSet::new(),
            hears: BTreeSet::new(),
            is_damped: rule
                .cooldown
                .is_some_and(|cooldown| cooldown.ms() >= DAMPING_MS_MIN),
        };
        if !rule.enabled {
            return links;
        }
        for action in &rule.then {
            links.action(action, known);
        }
        for trigger in &rule.when {
            links.hears.extend(match trigger {
                Trigger::Reading { device, metric } | Trigger::Change { device, metric, .. } => {
                    Some(Thing::Series(
                        device.as_str().into(),
                        metric.as_str().into(),
                    ))
                }
                Trigger::Mode { to } => Some(Thing::Mode(to.as_str().into())),
                Trigger::Alarm { alarm, is } => Some(Thing::Alarm(alarm.as_str().into(), *is)),
                _ => None,
            });
        }
        let is_level = rule
            .when
            .iter()
            .any(|trigger| matches!(trigger, Trigger::Reading { .. }));
        let conditions = rule
            .condition
            .iter()
            .chain(&rule.until)
            .filter(|_| is_level);
        for expression in conditions.filter_map(|source| Expression::parse(source).ok()) {
            for look in expression.looks() {
                let series = look.series();
                links.hears.extend(
                    series.map(|name| Thing::Series(name.device.clone(), name.metric.clone())),
                );
                if *look == Look::Mode {
                    links.hears.insert(Thing::AnyMode);
                }
            }
        }
        links
    }

    fn action(&mut self, action: &Action, known: &Known) {
        if let Some((device, values)) = action.wants() {
            let series = |metric: &String| Thing::Series(device.into(), metric.as_str().into());
            self.does.extend(values.keys().map(series));
        }
        match action {
            Action::Mode { mode } => {
                self.does.insert(Thing::Mode(mode.as_str().into()));
                self.does.insert(Thing::AnyMode);
            }
            Action::Raise { alarm, .. } => {
                self.does
                    .insert(Thing::Alarm(alarm.as_str().into(), AlarmState::Raised));
            }
            Action::Clear { alarm } => {
                self.does
                    .insert(Thing::Alarm(alarm.as_str().into(), AlarmState::Cleared));
            }
            Action::Group(group) => {
                for (device, values) in group.of(&known.settables) {
                    let series = |metric: &String| {
                        Thing::Series(device.as_str().into(), metric.as_str().into())
                    };
                    self.does.extend(values.keys().map(series));
                }
            }
            // A scene starts none.
            Action::Scene { scene } => {
                for action in known.scenes.get(scene).into_iter().flatten() {
                    if !matches!(action, Action::Scene { .. }) {
                        self.action(action, known);
                    }
                }
            }
            _ => {}
        }
    }
}
