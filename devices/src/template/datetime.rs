use std::{fmt, str::FromStr, sync::Arc};

use jiff::{Timestamp, civil, tz::TimeZone};
use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Object, ObjectRepr, from_args},
};

/// A time inside of a template, in UTC: nothing here knows the home's time zone.
#[derive(Debug)]
pub(super) struct Time(Timestamp);

impl Time {
    /// Unix seconds with fractions, RFC 3339, or a date and time without an offset, which is taken as UTC.
    pub(super) fn of(value: &Value) -> Result<Timestamp, Error> {
        if let Some(time) = value.downcast_object_ref::<Time>() {
            return Ok(time.0);
        }
        let text = value.as_str().map(str::trim);
        let seconds = match text {
            Some(text) => text.parse::<f64>().ok(),
            None => f64::try_from(value.clone()).ok(),
        };
        let time = match (seconds, text) {
            (Some(seconds), _) => {
                let milliseconds = (seconds * 1000.0).round();
                Timestamp::from_millisecond(milliseconds as i64).ok()
            }
            (None, Some(text)) => parse(text),
            (None, None) => None,
        };
        time.ok_or_else(|| refuse(format!("{value} is no time")))
    }

    /// The time as an object of a template.
    pub(super) fn object(time: Timestamp) -> Value {
        Value::from_object(Time(time))
    }
}

/// A time as text, by Python's directives.
pub(super) fn format(time: Timestamp, directives: &str) -> Result<String, Error> {
    let zoned = time.to_zoned(TimeZone::UTC);
    jiff::fmt::strtime::format(directives, &zoned)
        .map_err(|error| refuse(format!("`{directives}` is no format of a time: {error}")))
}

/// A time from text, by Python's directives.
pub(super) fn strptime(text: &str, directives: &str) -> Result<Timestamp, Error> {
    let wrong = |error: jiff::Error| refuse(format!("`{text}` is not `{directives}`: {error}"));
    let parts = jiff::fmt::strtime::parse(directives, text).map_err(wrong)?;
    if let Ok(time) = parts.to_timestamp() {
        return Ok(time);
    }
    let date = parts.to_date().map_err(wrong)?;
    let time = parts.to_time().unwrap_or_else(|_| civil::Time::midnight());
    let zoned = date
        .to_datetime(time)
        .to_zoned(TimeZone::UTC)
        .map_err(wrong)?;
    Ok(zoned.timestamp())
}

/// RFC 3339, or a date and time without an offset.
fn parse(text: &str) -> Option<Timestamp> {
    let local = || {
        let civil = civil::DateTime::from_str(text).ok()?;
        Some(civil.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    Timestamp::from_str(text).ok().or_else(local)
}

/// A fault of a template.
fn refuse(detail: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail)
}

impl Object for Time {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format(self.0, "%Y-%m-%d %H:%M:%S+00:00").map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let zoned = self.0.to_zoned(TimeZone::UTC);
        let part = match key.as_str()? {
            "year" => i64::from(zoned.year()),
            "month" => i64::from(zoned.month()),
            "day" => i64::from(zoned.day()),
            "hour" => i64::from(zoned.hour()),
            "minute" => i64::from(zoned.minute()),
            "second" => i64::from(zoned.second()),
            _ => return None,
        };
        Some(Value::from(part))
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "isoformat" => format(self.0, "%Y-%m-%dT%H:%M:%S+00:00").map(Value::from),
            "timestamp" => Ok(Value::from(self.0.as_millisecond() as f64 / 1000.0)),
            "strftime" => {
                let (directives,): (&str,) = from_args(args)?;
                format(self.0, directives).map(Value::from)
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}
