use std::borrow::Cow;

/// One reading as a payload of a special layout gives it (Sparkplug, backlog).
#[derive(Debug, Clone, PartialEq)]
pub struct Taken<'a> {
    /// What was measured.
    pub metric: Cow<'a, str>,
    /// The number; booleans as 0 and 1.
    pub value: Option<f64>,
    /// The text, where it is not just a number; the word of a boolean.
    pub text: Option<Cow<'a, str>>,
    /// The unit as the device spells it.
    pub unit: Option<Cow<'a, str>>,
    /// The device's own time, milliseconds since 1970 UTC.
    pub ts: Option<i64>,
    /// Whether the device says that it is of the past.
    pub historical: bool,
}
