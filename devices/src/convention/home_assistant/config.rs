use serde_json::{Map, Value};

use super::abbreviations::{self, expand};

/// The options of one entity: keys in full, topics without `~`.
#[derive(Debug, Clone, Default)]
pub(super) struct Config(pub(super) Map<String, Value>);

impl Config {
    /// Spells the keys of an entity out and puts the base topic in; `base` is that of the message around it.
    pub(super) fn new(short: Map<String, Value>, base: Option<&str>) -> Config {
        let mut full = expand(short, &abbreviations::ENTITY);
        let own = full.get("~").and_then(Value::as_str).map(str::to_owned);
        if let Some(availability) = full.remove("availability") {
            let items = listed(availability).into_iter().map(|item| match item {
                Value::Object(item) => Value::Object(expand(item, &abbreviations::ENTITY)),
                other => other,
            });
            full.insert("availability".to_owned(), items.collect());
        }
        if let Some(base) = own.as_deref().or(base) {
            put_base(&mut full, base);
            if let Some(Value::Array(items)) = full.get_mut("availability") {
                let objects = items.iter_mut().filter_map(Value::as_object_mut);
                objects.for_each(|item| put_base(item, base));
            }
        }
        Config(full)
    }

    /// An option as text, as Python spells it; none where it is missing, `null` or empty.
    pub(super) fn text(&self, key: &str) -> Option<String> {
        text(self.0.get(key)?)
    }

    /// A topic that can be read or published to.
    pub(super) fn topic(&self, key: &str) -> Option<String> {
        let topic = self.0.get(key)?.as_str()?;
        is_topic(topic).then(|| topic.to_owned())
    }

    /// An option as a number.
    pub(super) fn number(&self, key: &str) -> Option<f64> {
        let value = self.0.get(key)?;
        let number = value
            .as_f64()
            .or_else(|| value.as_str()?.trim().parse().ok());
        number.filter(|number| number.is_finite())
    }

    /// Whether an option is set.
    pub(super) fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool) == Some(true)
    }

    /// The words of a list; none where there is no list.
    pub(super) fn words(&self, key: &str) -> Option<Vec<String>> {
        let list = self.0.get(key)?.as_array()?;
        Some(list.iter().filter_map(text).collect())
    }

    /// An object inside of the options.
    pub(super) fn object(&self, key: &str) -> Option<&Map<String, Value>> {
        self.0.get(key)?.as_object()
    }
}

/// A list, or the one thing that stands in its place.
pub(super) fn listed(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

/// A scalar as text.
pub(super) fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// Whether text is the name of a topic rather than a filter or nothing.
pub(super) fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#', '\0'])
}

/// Puts the base topic in the place of a `~` at the start or the end of the topics.
fn put_base(options: &mut Map<String, Value>, base: &str) {
    for (key, value) in options.iter_mut() {
        let Value::String(topic) = value else {
            continue;
        };
        if !key.ends_with("topic") {
            continue;
        }
        if let Some(rest) = topic.strip_prefix('~') {
            *topic = format!("{base}{rest}");
        } else if let Some(rest) = topic.strip_suffix('~') {
            *topic = format!("{rest}{base}");
        }
    }
}
