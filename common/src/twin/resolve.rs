use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::write::Write;

/// How it is decided between values that were written at once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "policy")]
pub enum Policy {
    /// What somebody did at the device stands over what was written without knowing of it; else the latest does.
    #[default]
    Latest,
    /// The first of these that somebody wrote: locked over unlocked, off over on for heat and valves, closed over open.
    Safe {
        /// From the safest on.
        order: Vec<Value>,
        /// Whether the others are only carried out at once: nobody wants a door unlocked an hour later.
        #[serde(default)]
        live: bool,
    },
    /// The highest number.
    Max,
    /// The lowest number.
    Min,
}

impl Policy {
    /// Place of a value among others, the lowest first; values that the policy says nothing of come last, all alike.
    fn rank(&self, value: &Value) -> f64 {
        let number = |sign: f64| value.as_f64().map_or(f64::INFINITY, |number| sign * number);
        match self {
            Policy::Latest => 0.0,
            Policy::Safe { order, .. } => order
                .iter()
                .position(|safe| is_same(safe, value))
                .map_or(f64::INFINITY, |place| place as f64),
            Policy::Max => number(-1.0),
            Policy::Min => number(1.0),
        }
    }

    /// Whether a value is only carried out at once.
    #[must_use]
    pub fn is_live(&self, value: &Value) -> bool {
        let is_safest = |order: &[Value]| order.first().is_some_and(|safe| is_same(safe, value));
        matches!(self, Policy::Safe { order, live: true } if !is_safest(order))
    }
}

/// Whether a value is one that a policy names. Words are the same however they are written, as they are to devices: `LOCK` is as safe as
/// `lock`, whoever wrote it and whatever that node knew of the device's options.
fn is_same(named: &Value, value: &Value) -> bool {
    match (named.as_str(), value.as_str()) {
        (Some(named), Some(value)) => named.eq_ignore_ascii_case(value),
        _ => named == value,
    }
}

/// Why a value does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its time to live has passed.
    Expired,
    /// It is stamped with a time that has not come.
    ClockAhead,
    /// Another one comes first by the attribute's policy.
    Policy,
    /// Somebody changed it at the device, which its author did not know.
    ChangedAtDevice,
    /// Another one is later.
    Older,
}

impl Why {
    /// Its name in interfaces.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Why::Expired => "expired",
            Why::ClockAhead => "clock_ahead",
            Why::Policy => "policy",
            Why::ChangedAtDevice => "changed_at_device",
            Why::Older => "older",
        }
    }
}

/// What holds of values that were written at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The one that holds; none where all have expired.
    pub winner: Option<Write>,
    /// The others with the reason, latest first.
    pub losers: Vec<(Write, Why)>,
}

impl Resolved {
    /// Whether several different values were written at once.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        let first = self
            .winner
            .iter()
            .chain(self.losers.iter().map(|(write, _)| write))
            .next();
        first.is_some_and(|first| self.losers.iter().any(|(write, _)| write.v != first.v))
    }
}

/// Decide between values that were written at once: drop what has expired, then what is stamped ahead of time, then go by
/// the policy, then by the time. The same on every node, whatever the order of `candidates`.
#[must_use]
pub fn resolve(candidates: &[Write], policy: &Policy, now_ms: i64) -> Resolved {
    let standing = |write: &Write| {
        (
            write.is_expired(now_ms),
            write.at.is_ahead(now_ms),
            policy.rank(&write.v),
            *policy == Policy::Latest && !write.is_devices(),
        )
    };
    let mut ordered: Vec<&Write> = candidates.iter().collect();
    ordered.sort_by(|a, b| {
        let (x, y) = (standing(a), standing(b));
        (x.0, x.1)
            .cmp(&(y.0, y.1))
            .then(x.2.total_cmp(&y.2))
            .then(x.3.cmp(&y.3))
            .then_with(|| (b.at, &b.id).cmp(&(a.at, &a.id)))
            .then_with(|| a.to_text().cmp(&b.to_text()))
    });
    let Some((&first, rest)) = ordered.split_first() else {
        return Resolved {
            winner: None,
            losers: Vec::new(),
        };
    };
    let best = standing(first);
    let why = |write: &Write| {
        let its = standing(write);
        match () {
            () if its.0 => Why::Expired,
            () if its.1 => Why::ClockAhead,
            () if its.2.total_cmp(&best.2).is_ne() => Why::Policy,
            () if its.3 != best.3 => Why::ChangedAtDevice,
            () => Why::Older,
        }
    };
    let holds = !best.0;
    let rest = if holds { rest } else { &ordered[..] };
    let mut losers: Vec<(Write, Why)> = rest
        .iter()
        .map(|&write| (write.clone(), why(write)))
        .collect();
    losers.sort_by(|(a, _), (b, _)| (b.at, &b.id).cmp(&(a.at, &a.id)));
    Resolved {
        winner: holds.then(|| first.clone()),
        losers,
    }
}
