use std::str::FromStr;

use jiff::{Timestamp, ToSpan, Zoned, civil::Time, tz::TimeZone};

/// Hours of the day, by the clocks of the home, in which only what is urgent is told: `22:00-07:00`. The first minute
/// belongs to them, the last does not; they may go over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    from: Time,
    to: Time,
}

/// A text that names no quiet hours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` are no quiet hours, write for instance 22:00-07:00")]
pub struct NotQuietHours(String);

impl FromStr for QuietHours {
    type Err = NotQuietHours;

    fn from_str(text: &str) -> Result<QuietHours, NotQuietHours> {
        let read = || {
            let (from, to) = text.split_once('-')?;
            let hours = QuietHours {
                from: clock_time(from.trim())?,
                to: clock_time(to.trim())?,
            };
            (hours.from != hours.to).then_some(hours)
        };
        read().ok_or_else(|| NotQuietHours(text.chars().take(40).collect()))
    }
}

/// `22:00`, two digits each.
fn clock_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<i8>().ok()).flatten()
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

impl QuietHours {
    /// When they end, milliseconds since 1970 UTC; none where it is not quiet now. What the clocks on the wall say is
    /// what counts, also on the days on which they are set.
    #[must_use]
    pub fn until_ms(&self, now_ms: i64, zone: &TimeZone) -> Option<i64> {
        let now = Timestamp::from_millisecond(now_ms).ok()?;
        let local = now.to_zoned(zone.clone());
        if !self.hold(&local) {
            return None;
        }
        self.ends(&local)
            .into_iter()
            .filter(|end| *end > now && !self.hold(&end.to_zoned(zone.clone())))
            .min()
            .map(Timestamp::as_millisecond)
    }

    fn hold(&self, local: &Zoned) -> bool {
        let time = local.time();
        if self.from < self.to {
            self.from <= time && time < self.to
        } else {
            time >= self.from || time < self.to
        }
    }

    /// Where they may end: at their last minute, today or tomorrow, either time where it comes twice, and where the
    /// clocks jump over it.
    fn ends(&self, local: &Zoned) -> Vec<Timestamp> {
        let zone = local.time_zone();
        let days = [Some(local.date()), local.date().checked_add(1.day()).ok()];
        let last_minutes = days.into_iter().flatten().flat_map(|day| {
            let end = zone.to_ambiguous_timestamp(day.to_datetime(self.to));
            [end.earlier(), end.later()]
        });
        let jumps = zone.following(local.timestamp()).take(1);
        last_minutes
            .flatten()
            .chain(jumps.map(|jump| jump.timestamp()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> i64 {
        let local: Zoned = text.parse().expect("a time");
        local.timestamp().as_millisecond()
    }

    #[track_caller]
    fn check(hours: &str, now: &str, until: Option<&str>) {
        let hours: QuietHours = hours.parse().expect("hours");
        let zone = TimeZone::get("Europe/Berlin").expect("zone");
        assert_eq!(hours.until_ms(at(now), &zone), until.map(at));
    }

    #[test]
    fn they_go_over_midnight() {
        let night = "22:00-07:00";
        check(night, "2025-05-01T21:59:59[Europe/Berlin]", None);
        let morning = Some("2025-05-02T07:00[Europe/Berlin]");
        check(night, "2025-05-01T22:00[Europe/Berlin]", morning);
        check(night, "2025-05-02T00:00[Europe/Berlin]", morning);
        check(night, "2025-05-02T06:59:59[Europe/Berlin]", morning);
        check(night, "2025-05-02T07:00[Europe/Berlin]", None);
        let noon = Some("2025-05-01T14:00[Europe/Berlin]");
        check("13:00-14:00", "2025-05-01T13:30[Europe/Berlin]", noon);
        check("13:00-14:00", "2025-05-01T22:30[Europe/Berlin]", None);
    }

    #[test]
    fn the_clocks_on_the_wall_count_when_they_are_set() {
        // 02:00 becomes 03:00, an hour less of quiet.
        let morning = Some("2025-03-30T07:00+02:00[Europe/Berlin]");
        check("22:00-07:00", "2025-03-29T23:00[Europe/Berlin]", morning);
        // The end is jumped over.
        let jump = Some("2025-03-30T03:00+02:00[Europe/Berlin]");
        check("22:00-02:30", "2025-03-30T01:59[Europe/Berlin]", jump);
        // 03:00 becomes 02:00, so half past two comes twice.
        let first = Some("2025-10-26T02:30+02:00[Europe/Berlin]");
        check(
            "22:00-02:30",
            "2025-10-26T02:10+02:00[Europe/Berlin]",
            first,
        );
        let second = Some("2025-10-26T02:30+01:00[Europe/Berlin]");
        check(
            "22:00-02:30",
            "2025-10-26T02:10+01:00[Europe/Berlin]",
            second,
        );
    }

    #[test]
    fn what_names_none_is_refused() {
        for text in [
            "",
            "22:00",
            "22:00-22:00",
            "22-07",
            "24:00-07:00",
            "22:00-7:00",
            "22:60-07:00",
            "+2:00-07:00",
        ] {
            assert!(text.parse::<QuietHours>().is_err(), "{text}");
        }
    }

    proptest! {
        /// The end is the first minute that is not quiet, found by looking at every minute.
        #[test]
        fn the_end_is_the_first_minute_that_is_not_quiet(
            from in 0..1440i32, length in 1..1440i32, now_min in 28_900_000..29_500_000i64,
            zone in prop::sample::select(vec!["Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"]),
        ) {
            let to = (from + length) % 1440;
            let text = format!("{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60);
            let hours: QuietHours = text.parse().expect("hours");
            let zone = TimeZone::get(zone).expect("zone");
            let quiet = |minute: i64| {
                let at = Timestamp::from_millisecond(minute * 60_000).expect("time");
                hours.hold(&at.to_zoned(zone.clone()))
            };
            let expected = quiet(now_min).then(|| (now_min..).find(|minute| !quiet(*minute))).flatten();
            prop_assert_eq!(hours.until_ms(now_min * 60_000, &zone), expected.map(|minute| minute * 60_000));
        }
    }
}
