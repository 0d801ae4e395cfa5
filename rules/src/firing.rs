use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::rule::{Action, RuleId, Scalar};

/// A rule fired: what to do, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Firing {
    /// The rule.
    pub rule: RuleId,
    /// Names this firing. It follows from the rule and from the reading or the moment that made it fire, so that one
    /// that comes again after a crash has the same id.
    pub id: String,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
    /// Why.
    pub why: Why,
    /// What to do, in this order; texts are filled in.
    pub actions: Vec<Action>,
    /// What is not done because a rule with more priority wants something else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overruled: Vec<Overruled>,
}

/// Why a rule fired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// What made it fire, in words.
    pub trigger: String,
    /// Order number of the reading that made it fire, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// What each part of `if` that looks at the home gave, by how it is written; a part that gave nothing is left out.
    pub values: BTreeMap<String, Scalar>,
}

/// A metric that a rule does not set because another rule wants something else of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overruled {
    /// The device.
    pub device: String,
    /// The metric.
    pub metric: String,
    /// What the rule wanted.
    pub wanted: Scalar,
    /// For people: `overruled by` and the other rule.
    pub words: String,
    /// The rule whose wish is done.
    pub by: RuleId,
}
