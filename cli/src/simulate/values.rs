//! What one report says: named values, before a convention puts them into its own shape.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::fault::Oddity;

/// One value of a report.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// A number with a fraction, rounded as the device rounds it.
    Number(f64),
    /// A whole number.
    Whole(i64),
    /// `true` or `false`.
    Flag(bool),
    /// One of the words that the device knows.
    Word(&'static str),
    /// One number for each of two channels, as a meter with two clamps tells them.
    Pair([f64; 2]),
    /// A number one level down, as in `"aenergy":{"total":5.125}`.
    Under(&'static str, f64),
    /// What odd firmware puts where a number belongs.
    Odd(String),
}

impl Value {
    /// A number that is rounded to so many decimals. No device says `-0.0`.
    pub(super) fn rounded(value: f64, decimals: i32) -> Value {
        Value::Number(round(value, decimals))
    }

    /// Whether odd firmware may spoil it.
    fn is_number(&self) -> bool {
        !matches!(self, Value::Word(_) | Value::Flag(_) | Value::Odd(_))
    }
}

/// Rounds, without a negative zero.
pub(super) fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale + 0.0
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) | Value::Under(_, number) => write!(f, "{number}"),
            Value::Whole(number) => write!(f, "{number}"),
            Value::Flag(flag) => f.write_str(if *flag { "ON" } else { "OFF" }),
            Value::Word(word) => f.write_str(word),
            Value::Pair([one, two]) => write!(f, "{one} {two}"),
            Value::Odd(text) => f.write_str(text),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Number(number) => to.serialize_f64(*number),
            Value::Whole(number) => to.serialize_i64(*number),
            Value::Flag(flag) => to.serialize_bool(*flag),
            Value::Word(word) => to.serialize_str(word),
            Value::Pair(pair) => pair.serialize(to),
            Value::Under(key, number) => {
                let mut map = to.serialize_map(Some(1))?;
                map.serialize_entry(key, number)?;
                map.end()
            }
            Value::Odd(text) => to.serialize_str(text),
        }
    }
}

/// The values of one report, in order. As JSON it is an object.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Values(Vec<(&'static str, Value)>);

impl Values {
    /// Room for what an ordinary device tells.
    pub(super) fn new() -> Values {
        Values(Vec::with_capacity(8))
    }

    /// Adds one value.
    pub(super) fn add(&mut self, name: &'static str, value: Value) {
        self.0.push((name, value));
    }

    /// Adds a number, rounded.
    pub(super) fn number(&mut self, name: &'static str, value: f64, decimals: i32) {
        self.add(name, Value::rounded(value, decimals));
    }

    /// Adds a number, rounded to a whole one.
    pub(super) fn whole(&mut self, name: &'static str, value: f64) {
        self.add(name, Value::Whole(value.round() as i64));
    }

    /// The value of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        let found = self.0.iter().find(|(own, _)| *own == name);
        found.map(|(_, value)| value)
    }

    /// All values, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }

    /// Keeps what `test` says to keep.
    pub(super) fn retain(&mut self, test: impl Fn(&str) -> bool) {
        self.0.retain(|(name, _)| test(name));
    }

    /// Spoils the first number, as odd firmware does.
    pub(super) fn spoil(&mut self, odd: Option<Oddity>) {
        let Some(odd) = odd else {
            return;
        };
        let Some(place) = self.0.iter().position(|(_, value)| value.is_number()) else {
            return;
        };
        match odd {
            Oddity::Twice => {}
            Oddity::Missing => drop(self.0.remove(place)),
            Oddity::NotANumber => self.0[place].1 = Value::Odd("n/a".to_owned()),
            Oddity::WithUnit => {
                let text = match &self.0[place].1 {
                    Value::Pair([one, _]) => format!("{one} °C"),
                    value => format!("{value} °C"),
                };
                self.0[place].1 = Value::Odd(text);
            }
        }
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoiled(odd: Oddity) -> String {
        let mut values = Values::new();
        values.add("state", Value::Word("ON"));
        values.number("temperature", 23.42, 1);
        values.add("aenergy", Value::Under("total", 5.0));
        values.spoil(Some(odd));
        serde_json::to_string(&values).expect("JSON")
    }

    #[test]
    fn odd_firmware_spoils_the_first_number_and_nothing_else() {
        let rest = r#""aenergy":{"total":5.0}}"#;
        let plain = format!(r#"{{"state":"ON","temperature":23.4,{rest}"#);
        assert_eq!(spoiled(Oddity::Twice), plain);
        assert_eq!(
            spoiled(Oddity::Missing),
            format!(r#"{{"state":"ON",{rest}"#)
        );
        assert!(spoiled(Oddity::NotANumber).contains(r#""temperature":"n/a""#));
        assert!(spoiled(Oddity::WithUnit).contains(r#""temperature":"23.4 °C""#));
    }

    #[test]
    fn no_value_reads_minus_zero() {
        assert_eq!(Value::rounded(-0.01, 1).to_string(), "0");
    }
}
