use jiff::Timestamp;

use super::error::QueryError;

/// Widest bucket: 366 days.
const WIDTH_MS_MAX: i64 = 366 * 86_400_000;

/// Narrowest bucket: 1 ms.
const WIDTH_MS_MIN: i64 = 1;

/// A moment, in milliseconds since 1970 UTC, from RFC 3339 (`2026-11-22T10:00:00Z`), a date
/// (`2026-11-22`, its start in UTC), milliseconds since 1970, or a duration from now (`-24h`, `now`).
pub fn moment(name: &str, text: &str, now_ms: i64) -> Result<i64, QueryError> {
    let bad = || {
        QueryError::bad(format!(
            "{name}: {text:?} is no time; use RFC 3339, milliseconds since 1970, or a duration back from now like -24h"
        ))
    };
    let text = text.trim();
    if text == "now" {
        return Ok(now_ms);
    }
    if let Some(back) = text.strip_prefix('-')
        && let Some(back) = duration_ms(back)
    {
        return now_ms.checked_sub(back).ok_or_else(bad);
    }
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.as_millisecond());
    }
    let date = text.parse::<jiff::civil::Date>().map_err(|_| bad())?;
    let start = date.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_| bad())?;
    Ok(start.timestamp().as_millisecond())
}

/// The width of buckets in milliseconds, from `15m`, `1h`, `1d` and the like.
pub fn width(name: &str, text: &str) -> Result<i64, QueryError> {
    let width = duration_ms(text.trim()).filter(|w| (WIDTH_MS_MIN..=WIDTH_MS_MAX).contains(w));
    width.ok_or_else(|| {
        QueryError::bad(format!(
            "{name}: {text:?} is no width; use 1ms to 366d, like 30s, 15m, 1h or 1d"
        ))
    })
}

/// A whole number and a unit: ms, s, m, h, d or w.
fn duration_ms(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 7 * 86_400_000,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}
