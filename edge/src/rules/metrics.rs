use std::time::Duration;

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tarn_rules::stats::Stats;

/// Upper bounds of the classes of times to a command, seconds.
const COMMAND_SECONDS: [f64; 10] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 10.0];

/// Figures of the rules.
#[derive(Debug, Clone)]
pub struct RuleMetrics {
    /// Rules that run.
    pub rules: Gauge,
    /// Rules that fail, or cannot run.
    pub failing: Gauge,
    /// From the reading that made a rule fire to the end of its actions.
    pub command_seconds: Histogram,
    /// Actions that failed.
    pub actions_failed: Counter,
    /// Looks at the journal that failed; they are made again.
    pub read_errors: Counter,
    counts: [Counter; 9],
}

/// Something that an engine counts: its name, what it is, and where it stands.
type Count = (&'static str, &'static str, fn(&Stats) -> u64);

/// What an engine counts.
const COUNTS: [Count; 9] = [
    ("evaluations", "Expressions evaluated", |s| s.evaluations),
    ("firings", "Times that rules fired", |s| s.firings),
    ("suppressed", "Firings that a cooldown suppressed", |s| {
        s.suppressed
    }),
    (
        "overruled",
        "Metrics that rules did not set because others had priority",
        |s| s.overruled,
    ),
    ("faults", "Times that a rule began to fail", |s| s.faults),
    (
        "damped",
        "Times that a rule fired far too often and was damped",
        |s| s.damped,
    ),
    (
        "missed",
        "Moments that passed while nobody looked and were not made up for",
        |s| s.missed,
    ),
    (
        "readings_dropped",
        "Readings of series above the bound on series",
        |s| s.readings_dropped,
    ),
    (
        "notices_dropped",
        "Notices that nobody fetched in time",
        |s| s.notices_dropped,
    ),
];

impl RuleMetrics {
    /// Make them known.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let m = RuleMetrics {
            rules: Gauge::default(),
            failing: Gauge::default(),
            command_seconds: Histogram::new(COMMAND_SECONDS),
            actions_failed: Counter::default(),
            read_errors: Counter::default(),
            counts: Default::default(),
        };
        registry.register("tarn_rules", "Rules that run", m.rules.clone());
        registry.register(
            "tarn_rules_failing",
            "Rules that fail, or cannot run",
            m.failing.clone(),
        );
        registry.register(
            "tarn_rules_command_seconds",
            "From the reading that made a rule fire to the end of its actions",
            m.command_seconds.clone(),
        );
        registry.register(
            "tarn_rules_actions_failed",
            "Actions that failed",
            m.actions_failed.clone(),
        );
        registry.register(
            "tarn_rules_read_errors",
            "Looks at the journal that failed",
            m.read_errors.clone(),
        );
        for ((name, help, _), counter) in COUNTS.iter().zip(&m.counts) {
            registry.register(format!("tarn_rules_{name}"), *help, counter.clone());
        }
        m
    }

    /// Count what an engine did between two looks at its counts.
    pub(super) fn count(&self, before: &Stats, now: &Stats) {
        for ((_, _, of), counter) in COUNTS.iter().zip(&self.counts) {
            counter.inc_by(of(now).saturating_sub(of(before)));
        }
    }

    /// A firing was carried out so long after what made it fire.
    pub(super) fn carried_out(&self, after: Duration) {
        self.command_seconds.observe(after.as_secs_f64());
    }
}
