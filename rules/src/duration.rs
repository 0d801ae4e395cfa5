use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Units as they are written, the longest first, and their milliseconds.
const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The longest length of time: 366 days.
pub const SPAN_MS_MAX: i64 = 366 * 86_400_000;

/// A length of time, written like `10m` or `1h30m`; 1 ms to 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(i64);

/// A length of time before (`-15m`) or after (`15m`) something; at most 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(i64);

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no length of time from 1ms to 366d, write for instance 30s, 10m or 1h30m")]
pub struct NotASpan(pub String);

impl Span {
    /// A length of this many milliseconds; none where it is out of bounds.
    #[must_use]
    pub fn from_ms(ms: i64) -> Option<Span> {
        (1..=SPAN_MS_MAX).contains(&ms).then_some(Span(ms))
    }

    /// Reads `10m`, `1h30m`, `250ms`.
    ///
    /// # Errors
    /// The text is not like that, or the length is out of bounds.
    pub fn parse(text: &str) -> Result<Span, NotASpan> {
        parse_ms(text)
            .and_then(Span::from_ms)
            .ok_or_else(|| NotASpan(shortened(text)))
    }

    /// Milliseconds.
    #[must_use]
    pub fn ms(self) -> i64 {
        self.0
    }
}

impl Offset {
    /// Reads `-15m`, `15m`, `0s`.
    ///
    /// # Errors
    /// The text is not like that, or the length is out of bounds.
    pub fn parse(text: &str) -> Result<Offset, NotASpan> {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        parse_ms(rest)
            .filter(|ms| *ms <= SPAN_MS_MAX)
            .map(|ms| Offset(sign * ms))
            .ok_or_else(|| NotASpan(shortened(text)))
    }

    /// Milliseconds; negative before.
    #[must_use]
    pub fn ms(self) -> i64 {
        self.0
    }
}

/// What a message repeats of a text that somebody wrote, however long that is.
fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

fn parse_ms(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let unit_end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit_ms = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(unit_ms)?)?;
        rest = after;
    }
    Some(total)
}

fn write_ms(f: &mut fmt::Formatter<'_>, ms: i64) -> fmt::Result {
    if ms < 0 {
        f.write_str("-")?;
    }
    let mut rest = ms.abs();
    if rest == 0 {
        return f.write_str("0s");
    }
    for (name, unit_ms) in UNITS {
        if rest >= unit_ms {
            write!(f, "{}{name}", rest / unit_ms)?;
            rest %= unit_ms;
        }
    }
    Ok(())
}

macro_rules! as_text {
    ($kind:ident) => {
        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_ms(f, self.0)
            }
        }
        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$kind, D::Error> {
                let text = String::deserialize(deserializer)?;
                $kind::parse(&text).map_err(D::Error::custom)
            }
        }
    };
}
as_text!(Span);
as_text!(Offset);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_written() {
        for (text, ms, written) in [
            ("10m", 600_000, "10m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("90s", 90_000, "1m30s"),
            ("1ms", 1, "1ms"),
            ("366d", SPAN_MS_MAX, "366d"),
        ] {
            let span = Span::parse(text).expect(text);
            assert_eq!((span.ms(), span.to_string()), (ms, written.to_owned()));
        }
        for text in [
            "",
            "0s",
            "10",
            "m",
            "10 m",
            "-1s",
            "367d",
            "1w",
            "99999999999999999999d",
        ] {
            assert!(Span::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn offsets_have_a_sign() {
        assert_eq!(Offset::parse("-15m").expect("offset").ms(), -900_000);
        assert_eq!(Offset::parse("+1h").expect("offset").ms(), 3_600_000);
        assert_eq!(Offset::parse("0s").expect("offset").to_string(), "0s");
        assert!(Offset::parse("--1s").is_err());
    }
}
