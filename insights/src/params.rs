use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Parameters of a pack at most.
pub const PARAMS_MAX: usize = 32;

/// Values of a list at most.
pub const LIST_MAX: usize = 96;

/// Characters of a text at most.
pub const TEXT_CHARS_MAX: usize = 500;

/// A number, a text, or yes or no.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// Yes or no.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// The value of a parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// One value.
    One(Scalar),
    /// Several, all of one kind.
    Many(Vec<Scalar>),
}

/// A value that a user may set, as a pack declares it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// What holds where the user says nothing.
    pub value: Value,
    /// Its unit, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What it is for.
    pub about: String,
    /// The least that a number may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The most that a number may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// Why a user's value is refused; for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {words}")]
pub struct ParamError {
    /// The parameter.
    pub name: String,
    /// What is wrong with it, and what it may be.
    pub words: String,
}

/// The values that a pack runs with: its own, and those of the user in their place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Params(BTreeMap<String, Value>);

impl Params {
    /// The value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The value of a parameter that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.get(name)? {
            Value::One(Scalar::Number(number)) => Some(*number),
            _ => None,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.0.iter()
    }

    /// The declared values, with those of the user in their place.
    pub(crate) fn of(
        declared: &BTreeMap<String, Param>,
        overrides: &BTreeMap<String, Value>,
    ) -> Result<Params, ParamError> {
        if let Some(name) = overrides.keys().find(|name| !declared.contains_key(*name)) {
            let known: Vec<&str> = declared.keys().map(String::as_str).collect();
            let words = format!("there is no such parameter, there are {}", known.join(", "));
            return Err(refused(&name.chars().take(40).collect::<String>(), &words));
        }
        let mut values = BTreeMap::new();
        for (name, param) in declared {
            let value = overrides.get(name).unwrap_or(&param.value);
            param.check(value).map_err(|words| refused(name, &words))?;
            values.insert(name.clone(), value.clone());
        }
        Ok(Params(values))
    }
}

fn refused(name: &str, words: &str) -> ParamError {
    ParamError {
        name: name.to_owned(),
        words: words.to_owned(),
    }
}

impl Param {
    /// Holds a value against what is declared.
    pub(crate) fn check(&self, value: &Value) -> Result<(), String> {
        match (&self.value, value) {
            (Value::One(declared), Value::One(given)) => self.check_one(declared, given),
            (Value::Many(declared), Value::Many(given)) => {
                if given.len() > LIST_MAX {
                    return Err(format!("a list has {LIST_MAX} values at most"));
                }
                // A list of numbers is looked up by its places (an hour of the day), so its length is part of its kind.
                let Some(first) = declared.first() else {
                    return Err("a list needs a value, so that its kind is known".to_owned());
                };
                if matches!(first, Scalar::Number(_)) && declared.len() != given.len() {
                    return Err(format!("it has {} numbers", declared.len()));
                }
                given.iter().try_for_each(|one| self.check_one(first, one))
            }
            (Value::One(_), Value::Many(_)) => Err("it is one value, not a list".to_owned()),
            (Value::Many(_), Value::One(_)) => Err("it is a list".to_owned()),
        }
    }

    fn check_one(&self, declared: &Scalar, given: &Scalar) -> Result<(), String> {
        match (declared, given) {
            (Scalar::Bool(_), Scalar::Bool(_)) => Ok(()),
            (Scalar::Number(_), Scalar::Number(number)) => {
                let is_low = self.min.is_some_and(|min| *number < min);
                let is_high = self.max.is_some_and(|max| *number > max);
                if !number.is_finite() || is_low || is_high {
                    return Err(self.bounds());
                }
                Ok(())
            }
            (Scalar::Text(_), Scalar::Text(text)) => {
                if text.chars().count() > TEXT_CHARS_MAX {
                    return Err(format!("a text has {TEXT_CHARS_MAX} characters at most"));
                }
                Ok(())
            }
            (Scalar::Bool(_), _) => Err("it is true or false".to_owned()),
            (Scalar::Number(_), _) => Err("it is a number".to_owned()),
            (Scalar::Text(_), _) => Err("it is a text".to_owned()),
        }
    }

    fn bounds(&self) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!("it is a number from {min} to {max}"),
            (Some(min), None) => format!("it is a number from {min} on"),
            (None, Some(max)) => format!("it is a number up to {max}"),
            (None, None) => "it is a finite number".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> BTreeMap<String, Param> {
        toml::from_str(
            r#"
            high = { value = 10, unit = "%", about = "a number", min = 0, max = 100 }
            name = { value = "x", about = "a text" }
            prices = { value = [1, 2.5], about = "a list" }
            "#,
        )
        .expect("params")
    }

    fn of(overrides: &str) -> Result<Params, String> {
        let overrides: BTreeMap<String, Value> = toml::from_str(overrides).expect(overrides);
        Params::of(&declared(), &overrides).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_user_says_takes_the_place_of_what_is_declared() {
        let params = of("high = 20.5\nprices = [3, 4]").expect("params");
        assert_eq!(params.number("high"), Some(20.5));
        assert_eq!(
            params.get("name"),
            Some(&Value::One(Scalar::Text("x".to_owned())))
        );
        assert_eq!(of("").expect("params").number("high"), Some(10.0));
    }

    #[test]
    fn values_that_do_not_fit_are_refused_with_words() {
        for (overrides, words) in [
            (
                "hihg = 1",
                "hihg: there is no such parameter, there are high, name, prices",
            ),
            ("high = 101", "high: it is a number from 0 to 100"),
            ("high = nan", "high: it is a number from 0 to 100"),
            ("high = 'much'", "high: it is a number"),
            ("name = 1", "name: it is a text"),
            ("prices = 1", "prices: it is a list"),
            ("prices = [1]", "prices: it has 2 numbers"),
            ("prices = ['a', 'b']", "prices: it is a number"),
            ("high = [1]", "high: it is one value, not a list"),
        ] {
            assert_eq!(of(overrides).expect_err(overrides), words);
        }
    }
}
