use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    analysis::Analysis,
    pack::Category,
    params::{Param, Value},
};
use tarn_rules::Severity;

/// What stands in a pack's file, as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) category: Category,
    pub(crate) severity: Severity,
    pub(crate) every: String,
    pub(crate) window: String,
    #[serde(default)]
    pub(crate) private: bool,
    pub(crate) disclaimer: Option<String>,
    #[serde(default)]
    pub(crate) params: BTreeMap<String, Param>,
    pub(crate) sql: String,
    pub(crate) analysis: Option<Analysis>,
    pub(crate) condition: Option<String>,
    pub(crate) key: String,
    pub(crate) advice: String,
}

/// A number that stands in a file, or the name of the parameter that has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Amount {
    /// The number itself.
    Number(f64),
    /// The name of a parameter.
    Param(String),
}

impl Amount {
    /// What it comes to; none where the parameter is no number.
    pub(crate) fn of(&self, params: &crate::Params) -> Option<f64> {
        match self {
            Amount::Number(number) => Some(*number),
            Amount::Param(name) => params.number(name),
        }
    }

    /// Holds it against the parameters that there are.
    pub(crate) fn check(&self, declared: &BTreeMap<String, Param>) -> Result<(), String> {
        let Amount::Param(name) = self else {
            return Ok(());
        };
        match declared.get(name).map(|param| &param.value) {
            Some(Value::One(crate::params::Scalar::Number(_))) => Ok(()),
            Some(_) => Err(format!("the parameter `{name}` is no number")),
            None => Err(format!("there is no parameter `{name}`")),
        }
    }
}
