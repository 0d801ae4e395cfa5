use base64::Engine as _;
use minijinja::{
    Environment, Error, State, Value,
    value::{Kwargs, Rest, ValueKind},
};

use super::{
    Bounded,
    functions::{or_default, refuse},
    write_value,
};

/// Bytes of text that a method reads for one unit of fuel.
const BYTES_PER_FUEL: usize = 64;

/// Bytes of text that become list items for one unit of fuel.
const BYTES_PER_ITEM_FUEL: usize = 4;

/// Most digits of a width or precision in `str.format`: the engine fills up to it before it is charged.
const WIDTH_DIGITS_MAX: usize = 3;

/// Text and JSON.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.add_filter("from_json", from_json);
    environment.add_filter("to_json", to_json);
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", |value: Value| bounded(&value));
    environment.add_filter("join", join);
    environment.add_filter("ord", |text: String| {
        let mut letters = text.chars();
        match (letters.next(), letters.next()) {
            (Some(letter), None) => Ok(u32::from(letter)),
            _ => Err(refuse("`ord` takes one character")),
        }
    });
    environment.add_filter("base64_encode", |text: String| {
        base64::prelude::BASE64_STANDARD.encode(text)
    });
    environment.add_filter("base64_decode", |text: String| {
        let bytes = base64::prelude::BASE64_STANDARD.decode(text.trim());
        let text = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        text.ok_or_else(|| refuse("no Base64 of text"))
    });
}

fn from_json(
    state: &State<'_, '_>,
    text: String,
    rest: Rest<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    // A list of one-digit numbers grows to a dozen times its text.
    state.consume_fuel((text.len() / 4) as u64)?;
    let json = serde_json::from_str(&text);
    or_default(
        &rest,
        &kwargs,
        json.map_err(|error| refuse(format!("no JSON: {error}"))),
    )
}

/// JSON without spaces, no longer than a template's output may be.
fn to_json(value: Value, _: Rest<Value>, kwargs: Kwargs) -> Result<String, Error> {
    // How it is indented and sorted says nothing to a device.
    for name in kwargs.args() {
        let _: Value = kwargs.get(name)?;
    }
    let mut json = Bounded(String::new());
    serde_json::to_writer(&mut json, &value)
        .map_err(|error| refuse(format!("no JSON: {error}")))?;
    Ok(json.0)
}

/// A value as text, no longer than a template's output may be.
fn bounded(value: &Value) -> Result<String, Error> {
    let mut text = Bounded(String::new());
    write_value(&mut text, value)?;
    Ok(text.0)
}

/// The items of a list with text between them, no longer than a template's output may be.
fn join(state: &State<'_, '_>, list: Value, between: Option<String>) -> Result<String, Error> {
    let between = between.unwrap_or_default();
    let mut text = Bounded(String::new());
    for (place, item) in list.try_iter()?.checked().enumerate() {
        state.consume_fuel(1)?;
        if place > 0 {
            write_value(&mut text, &Value::from(between.as_str()))?;
        }
        write_value(&mut text, &item?)?;
    }
    Ok(text.0)
}

/// Methods as Python has them. What they read is paid for before, as the engine pays only for what they make.
pub(super) fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let bytes = |value: &Value| value.as_str().map_or(0, str::len);
    let read: usize = bytes(value) + args.iter().map(bytes).sum::<usize>();
    let items = value
        .len()
        .filter(|_| value.kind() != ValueKind::String)
        .unwrap_or(0);
    state.consume_fuel((read / BYTES_PER_FUEL + items) as u64)?;
    // Each letter may become an item of a list, which is a dozen times as long.
    if matches!(name, "split" | "splitlines") {
        state.consume_fuel((read / BYTES_PER_ITEM_FUEL) as u64)?;
    }
    match (name, value.as_str(), args) {
        ("join", Some(_), [list]) => state.apply_filter("join", &[list.clone(), value.clone()]),
        ("format", Some(text), _) if has_wide_field(text) => {
            Err(refuse("a field of `format` is too wide"))
        }
        _ => minijinja_contrib::pycompat::unknown_method_callback(state, value, name, args),
    }
}

/// Whether a format has a number of more digits than a width or precision needs.
fn has_wide_field(format: &str) -> bool {
    let mut digits = 0;
    format.bytes().any(|byte| {
        digits = if byte.is_ascii_digit() { digits + 1 } else { 0 };
        digits > WIDTH_DIGITS_MAX
    })
}
