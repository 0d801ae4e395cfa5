use minijinja::{
    Environment, Error, ErrorKind, State, Value,
    value::{Kwargs, Rest, ValueKind},
};

use super::{
    datetime::{self, Time},
    texts,
};

/// Adds what Home Assistant has beyond Jinja.
pub(super) fn add(environment: &mut Environment<'static>) {
    environment.set_unknown_method_callback(texts::method);
    numbers(environment);
    mathematics(environment);
    times(environment);
    texts::add(environment);
}

/// From anything to numbers and booleans.
fn numbers(environment: &mut Environment<'static>) {
    environment.add_filter("float", float);
    environment.add_function("float", float);
    environment.add_filter("int", int);
    environment.add_function("int", int);
    environment.add_filter("bool", boolean);
    environment.add_function("bool", boolean);
    environment.add_filter("round", round);
    environment.add_filter("is_number", |value: Value| number(&value).is_some());
    environment.add_function("is_number", |value: Value| number(&value).is_some());
    environment.add_test("is_number", |value: Value| number(&value).is_some());
    environment.add_filter("is_defined", is_defined);
    environment.add_filter("iif", iif);
    environment.add_function("iif", iif);
}

/// Arithmetic.
fn mathematics(environment: &mut Environment<'static>) {
    environment.add_filter(
        "multiply",
        |value: Value, rest: Rest<Value>, kwargs: Kwargs| {
            arithmetic(&value, &rest, &kwargs, |a, b| a * b)
        },
    );
    environment.add_filter("add", |value: Value, rest: Rest<Value>, kwargs: Kwargs| {
        arithmetic(&value, &rest, &kwargs, |a, b| a + b)
    });
    type Function = fn(f64) -> f64;
    let functions: [(&str, Function); 9] = [
        ("sqrt", f64::sqrt),
        ("sin", f64::sin),
        ("cos", f64::cos),
        ("tan", f64::tan),
        ("asin", f64::asin),
        ("acos", f64::acos),
        ("atan", f64::atan),
        ("ceil", f64::ceil),
        ("floor", f64::floor),
    ];
    for (name, function) in functions {
        let of = move |value: Value, rest: Rest<Value>, kwargs: Kwargs| {
            unary(&value, &rest, &kwargs, function)
        };
        environment.add_filter(name, of);
        environment.add_function(name, of);
    }
    environment.add_filter("log", log);
    environment.add_function("log", log);
    environment.add_function("min", |state: &State, rest: Rest<Value>| {
        extreme(state, &rest, f64::lt)
    });
    environment.add_function("max", |state: &State, rest: Rest<Value>| {
        extreme(state, &rest, f64::gt)
    });
    environment.add_filter("average", average);
    environment.add_function("average", average);
    environment.add_filter("median", median);
    environment.add_function("median", median);
    type Bits = fn(i64, i64) -> i64;
    let bits: [(&str, Bits); 3] = [
        ("bitwise_and", |a, b| a & b),
        ("bitwise_or", |a, b| a | b),
        ("bitwise_xor", |a, b| a ^ b),
    ];
    for (name, function) in bits {
        environment.add_filter(name, move |a: i64, b: i64| function(a, b));
    }
    environment.add_global("pi", std::f64::consts::PI);
    environment.add_global("e", std::f64::consts::E);
}

/// Dates and times. Local time is UTC: the same moment, with its offset said.
fn times(environment: &mut Environment<'static>) {
    for name in ["timestamp_utc", "timestamp_local"] {
        environment.add_filter(name, |value: Value, rest: Rest<Value>, kwargs: Kwargs| {
            let text = |time| datetime::format(time, "%Y-%m-%dT%H:%M:%S+00:00");
            or_default(
                &rest,
                &kwargs,
                Time::of(&value).and_then(text).map(Value::from),
            )
        });
    }
    environment.add_filter("timestamp_custom", timestamp_custom);
    environment.add_filter("as_timestamp", as_timestamp);
    environment.add_function("as_timestamp", as_timestamp);
    environment.add_filter("as_datetime", as_datetime);
    environment.add_function("as_datetime", as_datetime);
    let strptime = |text: String, directives: String, rest: Rest<Value>, kwargs: Kwargs| {
        let time = datetime::strptime(&text, &directives).map(Time::object);
        or_default(&rest, &kwargs, time)
    };
    environment.add_filter("strptime", strptime);
    environment.add_function("strptime", strptime);
}

/// A fault of a template.
pub(super) fn refuse(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail.into())
}

/// A number, or text that is one, as Python's `float` takes it.
fn number(value: &Value) -> Option<f64> {
    match value.kind() {
        ValueKind::Number => f64::try_from(value.clone()).ok(),
        ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        ValueKind::String => value.as_str()?.trim().parse().ok(),
        _ => None,
    }
    .filter(|number| number.is_finite())
}

/// A number; what is not there is not defined rather than wrong.
fn needed(value: &Value) -> Result<f64, Error> {
    match number(value) {
        Some(number) => Ok(number),
        None if value.is_undefined() => Err(Error::from(ErrorKind::UndefinedError)),
        None => Err(refuse(format!("{} is no number", shown(value)))),
    }
}

/// The beginning of a value, for a fault.
fn shown(value: &Value) -> String {
    match value.as_str() {
        Some(text) => format!("`{}`", text.chars().take(40).collect::<String>()),
        None => format!("a value of kind {}", value.kind()),
    }
}

/// The default among the arguments: a keyword, or the last by position.
fn default_of(args: &[Value], kwargs: &Kwargs) -> Option<Value> {
    match kwargs.has("default") {
        true => kwargs.get("default").ok(),
        false => args.last().cloned(),
    }
}

/// A result, or the default where there is no result.
pub(super) fn or_default(
    args: &[Value],
    kwargs: &Kwargs,
    made: Result<Value, Error>,
) -> Result<Value, Error> {
    made.or_else(|error| default_of(args, kwargs).ok_or(error))
}

fn float(value: Value, rest: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    or_default(&rest, &kwargs, needed(&value).map(Value::from))
}

fn int(value: Value, rest: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let args: &[Value] = &rest;
    let base = match kwargs.get::<Option<u32>>("base")? {
        Some(base) => Some(base),
        None => args
            .get(1)
            .and_then(|base| u32::try_from(base.clone()).ok()),
    };
    let default = match kwargs.has("default") {
        true => Some(kwargs.get("default")?),
        false => args.first().cloned(),
    };
    let made = match (base.filter(|base| *base != 10), value.as_str()) {
        (Some(base), Some(text)) => radix(text, base),
        _ => match i64::try_from(value.clone()) {
            Ok(whole) if value.kind() == ValueKind::Number => Ok(whole),
            _ => needed(&value).map(|number| number.trunc() as i64),
        },
    };
    made.map(Value::from).or_else(|error| default.ok_or(error))
}

/// A whole number in another base, with or without its prefix.
fn radix(text: &str, base: u32) -> Result<i64, Error> {
    let text = text.trim().to_ascii_lowercase();
    let prefix = match base {
        16 => "0x",
        8 => "0o",
        2 => "0b",
        _ => "",
    };
    let digits = text.strip_prefix(prefix).unwrap_or(&text);
    let number = (2..=36)
        .contains(&base)
        .then(|| i64::from_str_radix(digits, base).ok());
    number
        .flatten()
        .ok_or_else(|| refuse(format!("no number of base {base}")))
}

fn boolean(value: Value, rest: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let word = value.as_str().map(|text| text.trim().to_ascii_lowercase());
    let made = match (value.kind(), word.as_deref()) {
        (ValueKind::Bool, _) => Ok(value.is_true()),
        (ValueKind::Number, _) => Ok(number(&value) != Some(0.0)),
        (_, Some("1" | "true" | "yes" | "on" | "enable")) => Ok(true),
        (_, Some("0" | "false" | "no" | "off" | "disable")) => Ok(false),
        _ if value.is_undefined() => Err(Error::from(ErrorKind::UndefinedError)),
        _ => Err(refuse(format!("{} is no boolean", shown(&value)))),
    };
    or_default(&rest, &kwargs, made.map(Value::from))
}

/// `round(precision=0, method="common", default)`; without digits the number is whole.
fn round(value: Value, rest: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let args: &[Value] = &rest;
    let precision = match kwargs.get::<Option<i64>>("precision")? {
        Some(precision) => precision,
        None => args
            .first()
            .map_or(Ok(0), |first| i64::try_from(first.clone()))?,
    };
    let method = match kwargs.get::<Option<String>>("method")? {
        Some(method) => method,
        None => args.get(1).map_or_else(String::new, ToString::to_string),
    };
    let default = match kwargs.has("default") {
        true => Some(kwargs.get("default")?),
        false => args.get(2).cloned(),
    };
    let digits = precision.clamp(-15, 15);
    match needed(&value) {
        Ok(number) => Ok(rounded(number, digits as i32, &method)),
        Err(error) => default.ok_or(error),
    }
}

/// A number with so many digits behind the point.
fn rounded(number: f64, digits: i32, method: &str) -> Value {
    let factor = 10f64.powi(digits);
    let result = match method {
        "ceil" => (number * factor).ceil() / factor,
        "floor" => (number * factor).floor() / factor,
        "half" => (number * 2.0).round() / 2.0,
        _ if digits < 0 => (number * factor).round_ties_even() / factor,
        // The decimal expansion is rounded as Python does it, rather than a product that is itself rounded.
        _ => format!("{number:.*}", digits as usize)
            .parse()
            .unwrap_or(number),
    };
    match digits == 0 && method != "half" && result.abs() < 9e15 {
        true => Value::from(result as i64),
        false => Value::from(result),
    }
}

fn is_defined(value: Value) -> Result<Value, Error> {
    match value.is_undefined() {
        true => Err(Error::from(ErrorKind::UndefinedError)),
        false => Ok(value),
    }
}

fn iif(value: Value, rest: Rest<Value>) -> Value {
    let or = |place: usize, other: bool| rest.get(place).cloned().unwrap_or(Value::from(other));
    match (value.is_none(), rest.get(2)) {
        (true, Some(none)) => none.clone(),
        _ if value.is_true() => or(0, true),
        _ => or(1, false),
    }
}

fn arithmetic(
    value: &Value,
    rest: &[Value],
    kwargs: &Kwargs,
    of: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    let amount = rest.first().ok_or_else(|| refuse("an amount is missing"))?;
    let made = needed(value).and_then(|a| needed(amount).map(|b| Value::from(of(a, b))));
    or_default(rest.get(1..).unwrap_or_default(), kwargs, made)
}

fn unary(
    value: &Value,
    rest: &[Value],
    kwargs: &Kwargs,
    of: fn(f64) -> f64,
) -> Result<Value, Error> {
    or_default(
        rest,
        kwargs,
        needed(value).map(|number| Value::from(of(number))),
    )
}

fn log(value: Value, rest: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let base = rest.first().map_or(Some(std::f64::consts::E), number);
    let made = needed(&value).map(|number| number.log(base.unwrap_or(std::f64::consts::E)));
    or_default(
        rest.get(1..).unwrap_or_default(),
        &kwargs,
        made.map(Value::from),
    )
}

/// The numbers of a list, or of the arguments themselves; each is paid for.
fn listed(state: &State<'_, '_>, args: &[Value]) -> Result<Vec<Value>, Error> {
    let items = match args {
        [one] if matches!(one.kind(), ValueKind::Seq | ValueKind::Iterable) => one.clone(),
        _ => Value::from(args.to_vec()),
    };
    let mut list = Vec::new();
    for item in items.try_iter()?.checked() {
        state.consume_fuel(1)?;
        list.push(item?);
    }
    Ok(list)
}

fn extreme(
    state: &State<'_, '_>,
    args: &[Value],
    is_better: fn(&f64, &f64) -> bool,
) -> Result<Value, Error> {
    let list = listed(state, args)?;
    let mut best: Option<(f64, Value)> = None;
    for item in list {
        let number = needed(&item)?;
        if best
            .as_ref()
            .is_none_or(|(best, _)| is_better(&number, best))
        {
            best = Some((number, item));
        }
    }
    best.map(|(_, item)| item)
        .ok_or_else(|| refuse("nothing to choose from"))
}

/// The numbers of a list whose default may follow it.
fn sample(state: &State<'_, '_>, value: &Value, rest: &[Value]) -> Result<Vec<f64>, Error> {
    let is_list = matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable);
    let items = match is_list {
        true => listed(state, std::slice::from_ref(value))?,
        false => [std::slice::from_ref(value), rest].concat(),
    };
    let numbers: Vec<f64> = items.iter().map(needed).collect::<Result<_, _>>()?;
    match numbers.is_empty() {
        true => Err(refuse("no numbers")),
        false => Ok(numbers),
    }
}

fn average(
    state: &State<'_, '_>,
    value: Value,
    rest: Rest<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let mean = |numbers: Vec<f64>| numbers.iter().sum::<f64>() / numbers.len() as f64;
    or_default(
        &rest,
        &kwargs,
        sample(state, &value, &rest).map(mean).map(Value::from),
    )
}

fn median(
    state: &State<'_, '_>,
    value: Value,
    rest: Rest<Value>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let middle = |mut numbers: Vec<f64>| {
        numbers.sort_by(f64::total_cmp);
        let half = numbers.len() / 2;
        match numbers.len() % 2 {
            0 => (numbers[half - 1] + numbers[half]) / 2.0,
            _ => numbers[half],
        }
    };
    or_default(
        &rest,
        &kwargs,
        sample(state, &value, &rest).map(middle).map(Value::from),
    )
}

/// `timestamp_custom(format, local=True, default)`.
fn timestamp_custom(value: Value, rest: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let args: &[Value] = &rest;
    let directives = args
        .first()
        .and_then(Value::as_str)
        .unwrap_or("%Y-%m-%d %H:%M:%S");
    let default = match kwargs.has("default") {
        true => Some(kwargs.get("default")?),
        false => args.get(2).cloned(),
    };
    let made = Time::of(&value).and_then(|time| datetime::format(time, directives));
    made.map(Value::from).or_else(|error| default.ok_or(error))
}

fn as_timestamp(value: Value, rest: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let seconds = Time::of(&value).map(|time| Value::from(time.as_millisecond() as f64 / 1000.0));
    or_default(&rest, &kwargs, seconds)
}

fn as_datetime(value: Value, rest: Rest<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    or_default(&rest, &kwargs, Time::of(&value).map(Time::object))
}
