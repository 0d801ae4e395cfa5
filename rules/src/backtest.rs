//! What a rule would have done, had it run: an engine with this one rule over what was told then.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    engine::Engine,
    expression::{Expression, Look},
    firing::Firing,
    input::Input,
    notice::Notice,
    place::Place,
    rule::{Rule, RuleId, Trigger},
};

/// Firings that a back-test tells at most.
pub const FIRINGS_MAX: usize = 1_000;

/// Inputs and wakes that a back-test goes through at most.
pub const STEPS_MAX: usize = 20_000_000;

/// What came of a back-test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backtest {
    /// What would have fired.
    pub firings: Vec<Firing>,
    /// What else there was to tell, such as expressions that failed.
    pub notices: Vec<Notice>,
    /// Up to when it went, in milliseconds since the epoch, where it was cut off before its end because of a bound.
    pub cut_off_ms: Option<i64>,
}

/// Runs a rule over what was told, in the order of time: each input with the time, in milliseconds since the epoch,
/// when it was told. What was told before `from_ms` is only known; `to_ms` is the first moment that no longer counts.
pub fn backtest<'a>(
    id: &RuleId,
    rule: &Rule,
    inputs: impl IntoIterator<Item = (i64, Input<'a>)>,
    place: Place,
    from_ms: i64,
    to_ms: i64,
) -> Backtest {
    let mut run = Run {
        engine: Engine::new(place),
        found: Backtest {
            firings: Vec::new(),
            notices: Vec::new(),
            cut_off_ms: None,
        },
        steps: 0,
    };
    let rule = Rule {
        enabled: true,
        ..rule.clone()
    };
    let rules = BTreeMap::from([(id.clone(), rule)]);
    run.engine.set_rules(&rules, from_ms);
    for (at_ms, input) in inputs {
        if at_ms >= to_ms || run.found.cut_off_ms.is_some() {
            break;
        }
        if at_ms < from_ms {
            run.engine.know(&input, from_ms);
            continue;
        }
        run.wake(at_ms);
        let fired = run.engine.on(&input, at_ms);
        run.take(fired, at_ms);
    }
    if run.found.cut_off_ms.is_none() {
        run.wake(to_ms.saturating_sub(1));
    }
    run.found
}

/// The series that a rule looks at, by device and metric: whose readings a back-test needs.
#[must_use]
pub fn series(rule: &Rule) -> BTreeSet<(String, String)> {
    let triggers = rule.when.iter().filter_map(|trigger| match trigger {
        Trigger::Reading { device, metric } | Trigger::Change { device, metric, .. } => {
            Some((device.clone(), metric.clone()))
        }
        _ => None,
    });
    let conditions = [&rule.condition, &rule.until].into_iter().flatten();
    let expressions = conditions.filter_map(|source| Expression::parse(source).ok());
    let mut series: BTreeSet<_> = triggers.collect();
    for expression in expressions {
        let named = expression.looks().iter().filter_map(Look::series);
        series.extend(named.map(|name| (name.device.to_string(), name.metric.to_string())));
    }
    series
}

struct Run {
    engine: Engine,
    found: Backtest,
    steps: usize,
}

impl Run {
    /// Goes through the moments at which a running engine would have been woken.
    fn wake(&mut self, until_ms: i64) {
        while let Some(at_ms) = self.engine.next_wake().filter(|at_ms| *at_ms <= until_ms) {
            let fired = self.engine.tick(at_ms);
            self.take(fired, at_ms);
            if self.found.cut_off_ms.is_some() {
                return;
            }
        }
    }

    fn take(&mut self, fired: Vec<Firing>, at_ms: i64) {
        self.steps += 1;
        self.found.firings.extend(fired);
        let room = crate::engine::NOTICES_MAX.saturating_sub(self.found.notices.len());
        let notices = self.engine.take_notices();
        self.found.notices.extend(notices.into_iter().take(room));
        if self.found.firings.len() > FIRINGS_MAX || self.steps >= STEPS_MAX {
            self.found.firings.truncate(FIRINGS_MAX);
            self.found.cut_off_ms = Some(at_ms);
        }
    }
}
