//! Readings of the past that a device kept while it was asleep or out of reach, published on
//! `tarn/backlog/<device>` as JSON in one of three forms:
//!
//! ```json
//! [{"ts": 1736603810, "metric": "temperature", "value": 21.5, "unit": "°C"}]
//! [{"ts": 1736603810, "temperature": 21.5, "humidity": 40}]
//! {"ts": [1736603810, 1736603870], "temperature": [21.5, 21.6], "humidity": [40, null]}
//! ```
//!
//! A row may also stand alone, without the array. The first two forms may be mixed.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::{
    fault::{Fault, FaultKind},
    reading::Taken,
};

/// First levels of the topic; the device's id is what follows.
pub const PREFIX: &str = "tarn/backlog/";

/// Readings of one payload.
pub const READINGS_MAX: usize = 100_000;

/// Bytes of one payload: room for as many readings as it may have.
pub const PAYLOAD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Objects and arrays inside of a row.
pub const NESTING_MAX: usize = 8;

/// Bytes of a metric's name.
pub const METRIC_BYTES_MAX: usize = 1024;

/// Key of the time, in Unix seconds or milliseconds, or RFC 3339.
const TIME: &str = "ts";

/// Seconds until the year 5138; from there on a number is milliseconds.
const SECONDS_END: f64 = 1e11;

/// The first millisecond of the year 10000, which RFC 3339 cannot write any more.
const MILLISECONDS_END: f64 = 253_402_300_800_000.0;

/// The readings of a payload, all of them historical. Null is no reading.
///
/// Keys of objects and places of arrays inside of a row are joined by dots. `on`, `off`, `true` and `false` are 1
/// and 0 with their word, and a text that is a number is that number, as in live payloads.
///
/// # Errors
/// The payload has none of the forms, a row has no usable time, columns differ in length, or a bound is
/// exceeded. Nothing is taken from it then.
pub fn read(payload: &[u8]) -> Result<Vec<Taken<'_>>, Fault> {
    forms(payload).map_err(|detail| Fault::new(FaultKind::Payload, detail))
}

fn forms(payload: &[u8]) -> Result<Vec<Taken<'static>>, String> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(format!("longer than {PAYLOAD_BYTES_MAX} bytes"));
    }
    let json = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    let mut readings = Vec::new();
    match json {
        Value::Array(rows) => {
            for (place, json) in rows.into_iter().enumerate() {
                row(json, &mut readings).map_err(|detail| format!("row {place}: {detail}"))?;
            }
        }
        Value::Object(object) if matches!(object.get(TIME), Some(Value::Array(_))) => {
            columns(object, &mut readings)?;
        }
        json => row(json, &mut readings)?,
    }
    Ok(readings)
}

/// Readings of one time: of the metric that is named, or of every key.
fn row(json: Value, readings: &mut Vec<Taken<'static>>) -> Result<(), String> {
    let Value::Object(mut object) = json else {
        return Err(format!("{} is no object", kind(&json)));
    };
    let ts = time(object.get(TIME))?;
    object.remove(TIME);
    if let (Some(Value::String(_)), true) = (object.get("metric"), object.contains_key("value")) {
        return named(object, ts, readings);
    }
    if object.contains_key("metric") {
        return Err("a metric without a value or a name".to_owned());
    }
    for (key, value) in object {
        flatten(&mut key.clone(), value, ts, 0, readings)
            .map_err(|detail| format!("{}: {detail}", shortened(&key)))?;
    }
    Ok(())
}

/// `{"ts":…,"metric":…,"value":…,"unit":…}`
fn named(
    mut object: Map<String, Value>,
    ts: i64,
    readings: &mut Vec<Taken<'static>>,
) -> Result<(), String> {
    let unit = match object.remove("unit") {
        Some(Value::String(unit)) if !unit.is_empty() => Some(Cow::Owned(unit)),
        Some(Value::String(_) | Value::Null) | None => None,
        Some(other) => return Err(format!("unit: {} is no text", kind(&other))),
    };
    let (Some(Value::String(metric)), Some(value)) =
        (object.remove("metric"), object.remove("value"))
    else {
        return Err("a metric without a value or a name".to_owned());
    };
    if let Some(key) = object.keys().next() {
        let key = shortened(key);
        return Err(format!(
            "{key}: beside a metric and its value only a unit may stand"
        ));
    }
    if matches!(value, Value::Array(_) | Value::Object(_)) {
        return Err(format!("value: {} is no single value", kind(&value)));
    }
    let first = readings.len();
    push(&metric, value, ts, readings)?;
    for reading in &mut readings[first..] {
        reading.unit.clone_from(&unit);
    }
    Ok(())
}

/// `{"ts":[…],"temperature":[…]}`: as many cells in each column as there are times.
fn columns(
    mut object: Map<String, Value>,
    readings: &mut Vec<Taken<'static>>,
) -> Result<(), String> {
    let Some(Value::Array(times)) = object.remove(TIME) else {
        return Err(format!("no {TIME}"));
    };
    if times.len() > READINGS_MAX {
        return Err(format!("more than {READINGS_MAX} times"));
    }
    let times = times
        .iter()
        .enumerate()
        .map(|(place, json)| time(Some(json)).map_err(|detail| format!("place {place}: {detail}")))
        .collect::<Result<Vec<i64>, String>>()?;
    for (key, column) in object {
        let shown = shortened(&key);
        let Value::Array(cells) = column else {
            return Err(format!("{shown}: {} is no column", kind(&column)));
        };
        if cells.len() != times.len() {
            let (cells, times) = (cells.len(), times.len());
            return Err(format!("{shown}: {cells} cells for {times} times"));
        }
        for (place, (cell, ts)) in cells.into_iter().zip(&times).enumerate() {
            flatten(&mut key.clone(), cell, *ts, 0, readings)
                .map_err(|detail| format!("{shown}, place {place}: {detail}"))?;
        }
    }
    Ok(())
}

/// Take the readings of a value, which may have others inside; the path is left as it was.
fn flatten(
    path: &mut String,
    value: Value,
    ts: i64,
    depth: usize,
    readings: &mut Vec<Taken<'static>>,
) -> Result<(), String> {
    let inner: Vec<(String, Value)> = match value {
        Value::Object(object) => object.into_iter().collect(),
        Value::Array(array) => {
            let places = array.into_iter().enumerate();
            places.map(|(n, value)| (n.to_string(), value)).collect()
        }
        scalar => return push(path, scalar, ts, readings),
    };
    if depth == NESTING_MAX {
        return Err(format!("nested deeper than {NESTING_MAX}"));
    }
    let end = path.len();
    for (key, value) in inner {
        path.push('.');
        path.push_str(&key);
        if path.len() > METRIC_BYTES_MAX {
            return Err(format!("a name of more than {METRIC_BYTES_MAX} bytes"));
        }
        flatten(path, value, ts, depth + 1, readings)?;
        path.truncate(end);
    }
    Ok(())
}

/// Take one reading, unless it is null.
fn push(
    metric: &str,
    scalar: Value,
    ts: i64,
    readings: &mut Vec<Taken<'static>>,
) -> Result<(), String> {
    if metric.is_empty() {
        return Err("a metric without a name".to_owned());
    }
    if metric.len() > METRIC_BYTES_MAX {
        return Err(format!("a name of more than {METRIC_BYTES_MAX} bytes"));
    }
    let (value, text) = match scalar {
        Value::Null => return Ok(()),
        Value::Bool(on) => (Some(f64::from(u8::from(on))), Some(on.to_string())),
        Value::Number(number) => match number.as_f64().filter(|number| number.is_finite()) {
            Some(number) => (Some(number), None),
            None => (None, Some(number.to_string())),
        },
        Value::String(text) => word(text),
        other => return Err(format!("{} is no single value", kind(&other))),
    };
    if readings.len() == READINGS_MAX {
        return Err(format!("more than {READINGS_MAX} readings"));
    }
    readings.push(Taken {
        metric: Cow::Owned(metric.to_owned()),
        value,
        text: text.map(Cow::Owned),
        unit: None,
        ts: Some(ts),
        historical: true,
    });
    Ok(())
}

/// What a text says: a number, a switch's word, or just text.
fn word(text: String) -> (Option<f64>, Option<String>) {
    let trimmed = text.trim();
    let is = |words: [&str; 2]| words.iter().any(|word| trimmed.eq_ignore_ascii_case(word));
    if is(["on", "true"]) {
        return (Some(1.0), Some(trimmed.to_owned()));
    }
    if is(["off", "false"]) {
        return (Some(0.0), Some(trimmed.to_owned()));
    }
    // `inf` and `nan` are numbers to Rust, but words here.
    let digits = trimmed.trim_start_matches(['+', '-']);
    let number = trimmed
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite());
    match number {
        Some(number) if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            (Some(number), None)
        }
        _ => (None, Some(text)),
    }
}

/// A time in milliseconds since 1970 UTC.
fn time(json: Option<&Value>) -> Result<i64, String> {
    let json = json.ok_or_else(|| format!("no {TIME}"))?;
    let milliseconds = match json {
        Value::Number(number) => number.as_f64().map(|number| {
            if number < SECONDS_END {
                number * 1000.0
            } else {
                number
            }
        }),
        Value::String(text) => text
            .trim()
            .parse::<jiff::Timestamp>()
            .ok()
            .map(|ts| ts.as_millisecond() as f64),
        _ => None,
    };
    milliseconds
        .filter(|ms| (0.0..MILLISECONDS_END).contains(ms))
        .map(|ms| ms.round() as i64)
        .ok_or_else(|| match json {
            Value::Number(_) | Value::String(_) => {
                format!("{TIME}: {} is no time", shortened(&json.to_string()))
            }
            other => format!("{TIME}: {} is no time", kind(other)),
        })
}

/// Text of a payload as far as a fault needs it.
fn shortened(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 40;
    text.chars().take(SHOWN_CHARS_MAX).collect()
}

fn kind(json: &Value) -> &'static str {
    match json {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
