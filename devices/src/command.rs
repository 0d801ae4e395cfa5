//! From a value that somebody wants to a topic and a payload, and to what the device will then say.

use serde_json::{Map, Value, json};

use crate::{
    convention::sparkplug,
    point::{Component, Domain, Form, Write},
    registry::Feature,
    template::Template,
};

/// How far a number that is read back may be from the one that was set, as a share of it; devices round.
const TOLERANCE: f64 = 0.01;

/// Seconds that a device has to confirm a command, where whoever sent it does not say.
pub const TIMEOUT_S: u64 = 10;
/// The same for what moves.
pub const TIMEOUT_MOVING_S: u64 = 60;

/// Bytes of a command's payload at most.
pub const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// A publish that sets something on a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish {
    /// Topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: u8,
    /// Whether the broker keeps it.
    pub retain: bool,
    /// What the device says when it has done it; nothing for what cannot be read back.
    pub expected: Vec<Expected>,
}

/// A reading that confirms a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Metric that says it.
    pub metric: String,
    /// What it says.
    pub state: State,
}

/// What a metric says when a command is done.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// This number, within 1 %.
    Number(f64),
    /// One of these words, in any case.
    Words(Vec<String>),
    /// Anything: the metric is told anew.
    Any,
}

/// A value that is not sent, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(pub String);

impl Expected {
    /// Whether a reading of the metric confirms the command.
    #[must_use]
    pub fn is_met(&self, value: Option<f64>, text: Option<&str>) -> bool {
        match &self.state {
            State::Any => true,
            State::Number(wanted) => value.is_some_and(|value| {
                (value - wanted).abs() <= (wanted.abs() * TOLERANCE).max(f64::EPSILON)
            }),
            State::Words(words) => {
                let is_word = |text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text));
                let switched = |on: f64| {
                    let names: [&str; 2] = if on == 1.0 {
                        ["on", "true"]
                    } else {
                        ["off", "false"]
                    };
                    names.into_iter().any(is_word)
                };
                text.is_some_and(is_word)
                    || value.is_some_and(|value| (value == 1.0 || value == 0.0) && switched(value))
            }
        }
    }
}

/// Seconds that a feature has to confirm a command.
#[must_use]
pub fn timeout_s(feature: &Feature) -> u64 {
    match feature.component {
        Component::Cover | Component::Valve => TIMEOUT_MOVING_S,
        _ => TIMEOUT_S,
    }
}

/// The publish that sets a feature to a value. `call` numbers remote procedure calls; `now_ms` is the time
/// that a payload may have to carry.
///
/// # Errors
/// The feature cannot be set, or not to this value; the refusal says what it takes.
pub fn encode(
    feature: &Feature,
    value: &Value,
    call: u32,
    now_ms: i64,
) -> Result<Publish, Refusal> {
    let Some(write) = &feature.write else {
        return Err(Refusal(format!(
            "{} is only measured, it cannot be set",
            feature.metric
        )));
    };
    let value = accept(feature, value)?;
    let sent = sent(write, &value);
    let payload = form(write, &sent, call, now_ms)?;
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(Refusal(format!(
            "the command has {} bytes, the limit is {PAYLOAD_BYTES_MAX}",
            payload.len()
        )));
    }
    Ok(Publish {
        topic: write.topic.clone(),
        payload,
        qos: write.qos,
        retain: write.retain,
        expected: expected(feature, &value, &sent),
    })
}

/// The value in its usual form, if the feature takes it.
pub(crate) fn accept(feature: &Feature, value: &Value) -> Result<Value, Refusal> {
    let refuse = |takes: String| {
        Err(Refusal(format!(
            "{} takes {takes}, not {value}",
            feature.metric
        )))
    };
    match &feature.domain {
        Domain::Any => Ok(value.clone()),
        Domain::Switch => {
            let word = match value {
                Value::Bool(on) => Some(if *on { "on" } else { "off" }),
                Value::Number(n) if n.as_f64() == Some(1.0) => Some("on"),
                Value::Number(n) if n.as_f64() == Some(0.0) => Some("off"),
                Value::String(text) => ["on", "off", "toggle"]
                    .into_iter()
                    .find(|word| word.eq_ignore_ascii_case(text)),
                _ => None,
            };
            let can = |word: &str| word != "toggle" || has_word(feature, "toggle");
            match word.filter(|word| can(word)) {
                Some(word) => Ok(json!(word)),
                None => refuse("true, false, \"on\" or \"off\"".into()),
            }
        }
        Domain::Number { min, max, .. } => {
            let number = match value {
                Value::Number(number) => number.as_f64(),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            };
            let fits = |n: &f64| {
                n.is_finite() && min.is_none_or(|min| *n >= min) && max.is_none_or(|max| *n <= max)
            };
            let bound =
                |bound: &Option<f64>| bound.map_or_else(|| "…".to_owned(), |b| b.to_string());
            match number.filter(fits) {
                Some(number) => Ok(number_value(number)),
                None => refuse(format!("a number from {} to {}", bound(min), bound(max))),
            }
        }
        Domain::Options(options) => {
            let found = value.as_str().and_then(|text| {
                options
                    .iter()
                    .find(|option| option.eq_ignore_ascii_case(text))
            });
            match found {
                Some(option) => Ok(json!(option)),
                None => refuse(format!("one of {}", options.join(", "))),
            }
        }
        Domain::Text => match value {
            Value::String(_) => Ok(value.clone()),
            Value::Number(_) | Value::Bool(_) => Ok(json!(value.to_string())),
            _ => refuse("a text".into()),
        },
        Domain::Press => Ok(json!("press")),
        Domain::Object(keys) => match value {
            Value::Object(object) if object.keys().any(|key| keys.contains(key)) => {
                Ok(value.clone())
            }
            Value::Array(items)
                if items.len() == keys.len() && items.iter().all(Value::is_number) =>
            {
                Ok(value.clone())
            }
            _ => refuse(format!("an object with {}", keys.join(", "))),
        },
    }
}

fn has_word(feature: &Feature, name: &str) -> bool {
    let words = feature.write.iter().flat_map(|write| &write.encode.words);
    words.into_iter().any(|(word, _)| word == name)
}

/// A whole number is written without a point, as devices expect it.
pub(crate) fn number_value(number: f64) -> Value {
    const EXACT_MAX: f64 = 9e15;
    if number.fract() == 0.0 && number.abs() < EXACT_MAX {
        json!(number as i64)
    } else {
        json!(number)
    }
}

/// What is sent for a value: its word, or the scaled number.
fn sent(write: &Write, value: &Value) -> Value {
    let name = match value {
        Value::Bool(on) => Some(if *on { "on" } else { "off" }),
        Value::String(text) => Some(text.as_str()),
        _ => None,
    };
    let word = name.and_then(|name| {
        let words = &write.encode.words;
        words
            .iter()
            .find(|(word, _)| word.eq_ignore_ascii_case(name))
    });
    if let Some((_, word)) = word {
        return word.clone();
    }
    match value.as_f64() {
        Some(number) if write.encode.scale != 1.0 => number_value(number * write.encode.scale),
        _ => value.clone(),
    }
}

fn form(write: &Write, sent: &Value, call: u32, now_ms: i64) -> Result<Vec<u8>, Refusal> {
    let json_bytes = |value: &Value| value.to_string().into_bytes();
    match &write.encode.form {
        Form::Plain => Ok(plain(sent).into_bytes()),
        Form::Json { path, with } => {
            let mut object = Value::Object(with.clone());
            let mut place = &mut object;
            for key in path.split('.') {
                // What is always said beside the value may stand where the value's own object has to be.
                if !place.is_object() {
                    *place = json!({});
                }
                place = &mut place[key];
            }
            *place = sent.clone();
            Ok(json_bytes(&object))
        }
        Form::Template(source) => {
            let text = Template::compile(source).and_then(|template| template.command(sent));
            text.map(String::into_bytes)
                .map_err(|fault| Refusal(format!("the device's command template: {fault}")))
        }
        Form::Rpc {
            method,
            params,
            key,
        } => {
            let mut params = params.clone();
            match sent {
                Value::Object(own) if key.is_empty() => params.extend(own.clone()),
                _ if key.is_empty() => {}
                _ => {
                    params.insert(key.clone(), sent.clone());
                }
            }
            let method = match sent.as_str().filter(|_| key.is_empty()) {
                Some(word) => method.replace("{}", word),
                None => method.clone(),
            };
            Ok(json_bytes(
                &json!({"id": call, "src": "tarn", "method": method, "params": params}),
            ))
        }
        Form::Sparkplug {
            name,
            alias,
            datatype,
        } => sparkplug::encode(name, *alias, *datatype, sent, now_ms)
            .map_err(|fault| Refusal(fault.detail)),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// What the device says when it has done it.
fn expected(feature: &Feature, value: &Value, sent: &Value) -> Vec<Expected> {
    if !feature.is_read || feature.domain == Domain::Press {
        return Vec::new();
    }
    let one = |state| {
        vec![Expected {
            metric: feature.metric.to_string(),
            state,
        }]
    };
    match value {
        Value::Object(object) => object_expected(&feature.metric, object),
        Value::String(text)
            if text.eq_ignore_ascii_case("toggle") || text.eq_ignore_ascii_case("stop") =>
        {
            one(State::Any)
        }
        Value::String(text) => {
            let mut words = vec![text.clone()];
            words.extend(state_of(text).map(str::to_owned));
            words.extend(sent.as_str().map(str::to_owned));
            one(State::Words(words))
        }
        Value::Bool(on) => one(State::Words(vec![
            if *on { "on" } else { "off" }.to_owned(),
        ])),
        Value::Number(number) => match number.as_f64() {
            Some(number) => one(State::Number(number)),
            None => Vec::new(),
        },
        Value::Array(_) | Value::Null => one(State::Any),
    }
}

fn object_expected(metric: &str, object: &Map<String, Value>) -> Vec<Expected> {
    let number = |(key, value): (&String, &Value)| {
        Some(Expected {
            metric: format!("{metric}.{key}"),
            state: State::Number(value.as_f64()?),
        })
    };
    object.iter().filter_map(number).collect()
}

/// The state that follows from a command, where the words differ.
pub(crate) fn state_of(command: &str) -> Option<&'static str> {
    [
        ("lock", "locked"),
        ("unlock", "unlocked"),
        ("open", "open"),
        ("close", "closed"),
    ]
    .into_iter()
    .find(|(word, _)| word.eq_ignore_ascii_case(command))
    .map(|(_, state)| state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::Encode;

    #[test]
    fn a_value_goes_below_what_is_always_said() {
        let with = json!({"color": "red", "state": "ON"});
        let path = "color.r".to_owned();
        let with = with.as_object().expect("an object").clone();
        let write = Write::new("t", Encode::new(Form::Json { path, with }));
        let payload = form(&write, &json!(1), 0, 0).expect("a payload");
        assert_eq!(payload, br#"{"color":{"r":1},"state":"ON"}"#);
    }
}
