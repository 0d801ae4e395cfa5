use serde::Deserialize;

/// Metric of a value whose topic names none.
pub const VALUE: &str = "value";

/// A pattern of the configuration, as its user writes it.
///
/// Levels are separated by `/`. `{device}` and `{metric}` take one level each and may come more
/// than once (joined by `/` again); `+` takes one level and drops it; `#` at the end drops the
/// rest; anything else must be equal. Without `{metric}` a plain value's metric is `value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    levels: Vec<Level>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Level {
    Device,
    Metric,
    Any,
    Rest,
    Literal(String),
}

/// A pattern that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("topic pattern {pattern:?}: {reason}")]
pub struct InvalidPattern {
    pattern: String,
    reason: &'static str,
}

impl std::str::FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(pattern: &str) -> Result<Self, InvalidPattern> {
        let levels: Vec<Level> = pattern
            .split('/')
            .map(|level| match level {
                "{device}" => Level::Device,
                "{metric}" => Level::Metric,
                "+" => Level::Any,
                "#" => Level::Rest,
                literal => Level::Literal(literal.to_owned()),
            })
            .collect();
        let invalid = |reason| {
            Err(InvalidPattern {
                pattern: pattern.to_owned(),
                reason,
            })
        };
        let inner = &levels[..levels.len() - 1];
        if inner.contains(&Level::Rest) {
            return invalid("`#` may stand only at the end");
        }
        if !levels.contains(&Level::Device) {
            return invalid("one level must be {device}");
        }
        let stray = |l: &Level| matches!(l, Level::Literal(text) if text.contains(['{', '}']));
        if levels.iter().any(stray) {
            return invalid("a level in braces is {device} or {metric}, alone between slashes");
        }
        Ok(Pattern { levels })
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl Pattern {
    fn voice(&self, topic: &str) -> Option<Voice> {
        let mut device = Vec::new();
        let mut metric = Vec::new();
        let mut parts = topic.split('/');
        for level in &self.levels {
            if *level == Level::Rest {
                return Some(Voice::named(&device, &metric));
            }
            let part = parts.next()?;
            match level {
                Level::Device => device.push(part),
                Level::Metric => metric.push(part),
                Level::Literal(literal) if literal != part => return None,
                Level::Literal(_) | Level::Any | Level::Rest => {}
            }
        }
        parts
            .next()
            .is_none()
            .then(|| Voice::named(&device, &metric))
    }
}

/// How topics are read: the first pattern that fits, else the default.
///
/// The default: a plain value's metric is the last level and its device what stands before
/// (`home/kitchen/temperature` ← `21.5`); a JSON object's device is the whole topic and its metrics
/// are its keys.
#[derive(Debug, Clone, Default)]
pub struct Topics {
    patterns: Vec<Pattern>,
}

impl Topics {
    /// Topics read by these patterns, in this order.
    #[must_use]
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Topics { patterns }
    }

    /// Who speaks on a topic, and about what.
    #[must_use]
    pub fn voice(&self, topic: &str) -> Voice {
        let by_pattern = self
            .patterns
            .iter()
            .find_map(|pattern| pattern.voice(topic));
        by_pattern.unwrap_or_else(|| Voice::default_of(topic))
    }
}

/// The device and the metric that a topic names, for a plain value and for a JSON object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Voice {
    scalar: (String, String),
    object_device: String,
    /// Before the keys of an object, with a dot at its end; empty when the keys stand alone.
    object_prefix: String,
}

impl Voice {
    fn named(device: &[&str], metric: &[&str]) -> Voice {
        let device = device.join("/");
        let metric = metric.join("/");
        let object_prefix = if metric.is_empty() {
            String::new()
        } else {
            format!("{metric}.")
        };
        let scalar_metric = if metric.is_empty() {
            VALUE.to_owned()
        } else {
            metric
        };
        Voice {
            scalar: (device.clone(), scalar_metric),
            object_device: device,
            object_prefix,
        }
    }

    fn default_of(topic: &str) -> Voice {
        let (device, metric) = topic.rsplit_once('/').unwrap_or((topic, VALUE));
        let (device, metric) = match (device, metric) {
            ("", metric) => (topic, metric),
            (device, "") => (device, VALUE),
            both => both,
        };
        Voice {
            scalar: (device.to_owned(), metric.to_owned()),
            object_device: topic.to_owned(),
            object_prefix: String::new(),
        }
    }

    /// Device of a plain value.
    #[must_use]
    pub fn scalar_device(&self) -> &str {
        &self.scalar.0
    }

    /// Metric of a plain value.
    #[must_use]
    pub fn scalar_metric(&self) -> &str {
        &self.scalar.1
    }

    /// Device of a JSON object's values.
    #[must_use]
    pub fn object_device(&self) -> &str {
        &self.object_device
    }

    /// Metric of a JSON object's value under its flattened key; no key stands for the whole object.
    #[must_use]
    pub fn object_metric(&self, key: &str) -> String {
        let key = if key.is_empty() { VALUE } else { key };
        format!("{}{key}", self.object_prefix)
    }
}
