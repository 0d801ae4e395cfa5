//! Numbers, moments and texts, as a terminal shows them.

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Deserializer};

/// A moment of an answer; one that cannot be read is unknown.
pub(crate) fn moment<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// A number with at most three decimals, or in powers of ten where that would show nothing of it.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(0.001..1e15).contains(&size) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.3}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "-0" => "0".into(),
        text => text.into(),
    }
}

/// A value of a reading: its text where it has one, else the number with its unit.
pub(crate) fn value(value: Option<f64>, text: Option<&str>, unit: Option<&str>) -> String {
    match (text, value, unit) {
        (Some(text), _, _) => shown(text),
        (None, Some(value), Some(unit)) => format!("{} {}", number(value), shown(unit)),
        (None, Some(value), None) => number(value),
        (None, None, _) => String::new(),
    }
}

/// A count with its thousands apart.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// How long ago a moment is, by the largest unit that says something.
pub(crate) fn ago(moment: Option<Timestamp>, now: Timestamp) -> String {
    let Some(moment) = moment else {
        return "never".into();
    };
    let seconds = now.as_second() - moment.as_second();
    match seconds {
        ..-1 => format!("in {}", span(seconds.unsigned_abs())),
        -1..=1 => "now".into(),
        _ => format!("{} ago", span(seconds.unsigned_abs())),
    }
}

/// A time by the largest unit that says something.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A width of buckets as flags write it.
pub(crate) fn width(ms: i64) -> String {
    for (unit, unit_ms) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
    ] {
        if ms >= unit_ms && ms % unit_ms == 0 {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    format!("{ms}ms")
}

/// A moment by the clock on the wall.
pub(crate) fn local(moment: Timestamp) -> String {
    let zoned = moment.to_zoned(TimeZone::system());
    zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The time of the day, to the millisecond.
pub(crate) fn time_of_day(moment: Timestamp) -> String {
    let zoned = moment.to_zoned(TimeZone::system());
    zoned.strftime("%H:%M:%S%.3f").to_string()
}

/// A text from outside as one line without anything that a terminal would obey.
pub(crate) fn shown(text: &str) -> String {
    let plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.chars().all(plain) {
        return text.to_owned();
    }
    let each = text.chars().map(|c| match c {
        '\n' | '\t' => ' ',
        c if plain(c) => c,
        _ => '\u{fffd}',
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_nothing() {
        let check = |value: f64, text: &str| assert_eq!(number(value), text, "{value}");
        check(0.0, "0");
        check(-0.0001, "-1.000e-4");
        check(-0.0, "0");
        check(21.5, "21.5");
        check(100.0, "100");
        check(663_577.708_4, "663577.708");
        check(1e18, "1.000e18");
        check(0.0004, "4.000e-4");
    }

    #[test]
    fn values_are_texts_or_numbers_with_units() {
        assert_eq!(value(Some(1.0), Some("ON"), None), "ON");
        assert_eq!(value(Some(21.5), None, Some("°C")), "21.5 °C");
        assert_eq!(value(Some(3.0), None, None), "3");
        assert_eq!(value(None, None, Some("W")), "");
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1 234 567");
    }

    #[test]
    fn moments_are_told_by_how_long_ago_they_are() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().expect("a moment");
        let check = |text: &str, told: &str| {
            assert_eq!(ago(Some(text.parse().expect("a moment")), now), told);
        };
        check("2026-11-22T10:00:00Z", "now");
        check("2026-11-22T09:59:30Z", "30 s ago");
        check("2026-11-22T09:30:00Z", "30 min ago");
        check("2026-11-22T02:00:00Z", "8 h ago");
        check("2026-11-12T10:00:00Z", "10 d ago");
        check("2026-11-22T10:05:00Z", "in 5 min");
        assert_eq!(ago(None, now), "never");
        assert_eq!(width(900_000), "15m");
        assert_eq!(width(86_400_000), "1d");
        assert_eq!(width(1_500), "1500ms");
    }

    #[test]
    fn a_terminal_obeys_nothing_that_a_device_says() {
        assert_eq!(shown("hall/lamp °C"), "hall/lamp °C");
        assert_eq!(shown("a\u{1b}[2Jb\nc"), "a\u{fffd}[2Jb c");
    }
}
