//! Moments that a clock brings. All of them are asked for forwards: the first one after a time.

use chrono::NaiveDate;
use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};
use sunrise::{Coordinates, SolarDay, SolarEvent};

use crate::{
    place::Place,
    rule::{SunEvent, Trigger},
};

/// A moment that passed while nobody looked (the box was down, or its clock jumped) is made up for where it is less
/// than this ago: 5 minutes.
pub const MISSED_MS_MAX: i64 = 5 * 60_000;

/// The shortest `every`: 1 second.
pub const EVERY_MS_MIN: i64 = 1_000;

/// The longest offset from the sun: 12 hours.
pub const OFFSET_MS_MAX: i64 = 12 * 3_600_000;

/// Days that are searched for a sunrise or sunset: near a pole it can be half a year away.
const SUN_DAYS_MAX: i32 = 400;

/// Times of day that are passed over at most because a clock that is put back shows them again.
const REPEATED_MAX: usize = 24 * 60;

/// Days that a time of day is searched for, for a pattern that is only right in some years.
const CRON_YEARS_MAX: i16 = 30;

/// When a clock makes a rule look.
#[derive(Debug, Clone)]
pub enum Schedule {
    /// A pattern of times of day.
    Cron(Box<Times>),
    /// The sun rises or sets.
    Sun {
        /// Which of the two.
        event: SunEvent,
        /// How long after it, in milliseconds.
        offset_ms: i64,
    },
    /// Every so many milliseconds, counted from the epoch.
    Every(i64),
}

/// A pattern of times of day.
#[derive(Debug, Clone)]
pub struct Times {
    cron: Cron,
    /// Whether it is meant by hours that pass rather than by what the clock shows: the pattern's hour is `*` or `*/n`.
    is_hourly: bool,
}

impl Schedule {
    /// The schedule of a trigger, if it has one.
    ///
    /// # Errors
    /// The pattern cannot be read, the length of time is out of bounds, or the home's place is not known; the words say
    /// which.
    pub fn of(trigger: &Trigger, place: &Place) -> Result<Option<Schedule>, String> {
        Ok(Some(match trigger {
            Trigger::Schedule { cron } => Schedule::Cron(Box::new(Times::parse(cron)?)),
            Trigger::Sun { event, offset } => {
                let offset_ms = offset.map_or(0, |offset| offset.ms());
                if offset_ms.abs() > OFFSET_MS_MAX {
                    return Err("an offset from the sun is 12h at most".to_owned());
                }
                if place.coordinates.is_none() {
                    return Err(
                        "the home has no coordinates, the sun cannot be computed".to_owned()
                    );
                }
                Schedule::Sun {
                    event: *event,
                    offset_ms,
                }
            }
            Trigger::Every(every) if every.ms() < EVERY_MS_MIN => {
                return Err("it is every 1s at most".to_owned());
            }
            Trigger::Every(every) => Schedule::Every(every.ms()),
            _ => return Ok(None),
        }))
    }

    /// The first moment after this one, in milliseconds since the epoch; none where there is none in sight.
    #[must_use]
    pub fn after(&self, ms: i64, place: &Place) -> Option<i64> {
        match self {
            Schedule::Cron(times) => times.after(ms, &place.zone),
            Schedule::Sun { event, offset_ms } => {
                let base = ms.checked_sub(*offset_ms)?;
                sun_after(*event, base, place)?.checked_add(*offset_ms)
            }
            Schedule::Every(every) => ms.div_euclid(*every).checked_add(1)?.checked_mul(*every),
        }
    }

    /// The last moment from the one that is due until now; that one itself where it is the last. Moments that are too
    /// old to be made up for are not looked at.
    #[must_use]
    pub fn last(&self, due_ms: i64, now_ms: i64, place: &Place) -> i64 {
        let mut last = due_ms;
        let mut from = due_ms.max(now_ms.saturating_sub(MISSED_MS_MAX));
        while let Some(next) = self.after(from, place).filter(|next| *next <= now_ms) {
            last = next;
            from = next;
        }
        last
    }
}

impl Times {
    fn parse(pattern: &str) -> Result<Times, String> {
        let shown: String = pattern.chars().take(40).collect();
        let refused = |words: &dyn std::fmt::Display| {
            format!(
                "`{shown}` is no time: write minute, hour, day, month and weekday, as in `0 7 * * 1-5` ({words})"
            )
        };
        let fields = pattern.split_whitespace().count();
        if fields != 5 || pattern.len() > 256 {
            return Err(refused(&format_args!("it has {fields} fields")));
        }
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build();
        let cron = parser.parse(pattern).map_err(|error| refused(&error))?;
        let hour = pattern.split_whitespace().nth(1).unwrap_or_default();
        Ok(Times {
            cron,
            is_hourly: hour.starts_with('*'),
        })
    }

    fn after(&self, ms: i64, zone: &TimeZone) -> Option<i64> {
        let at = Timestamp::from_millisecond(ms).ok()?;
        if self.is_hourly {
            let local = at.to_zoned(zone.clone());
            let next = self.cron.find_next_occurrence(&local, false).ok()?;
            return Some(next.timestamp().as_millisecond());
        }
        let mut civil = zone.to_datetime(at);
        let latest = civil.year().checked_add(CRON_YEARS_MAX)?;
        let mut inclusive = true;
        for _ in 0..REPEATED_MAX {
            // The pattern is searched on a clock without summer time; what that does to it follows.
            let flat = civil.to_zoned(TimeZone::UTC).ok()?;
            civil = self
                .cron
                .find_next_occurrence(&flat, inclusive)
                .ok()?
                .datetime();
            if civil.year() > latest {
                return None;
            }
            let real = real(civil, zone)?.as_millisecond();
            if real > ms {
                return Some(real);
            }
            inclusive = false;
        }
        None
    }
}

/// When a clock shows this. A time that is left out is right after it is put forward; one that is shown twice is the
/// first of the two.
fn real(civil: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok(),
        AmbiguousOffset::Gap { before, .. } => {
            let inside = before
                .to_timestamp(civil)
                .ok()?
                .checked_add(1.nanosecond())
                .ok()?;
            Some(zone.preceding(inside).next()?.timestamp())
        }
    }
}

fn sun_after(event: SunEvent, ms: i64, place: &Place) -> Option<i64> {
    let (latitude, longitude) = place.coordinates?;
    let coordinates = Coordinates::new(latitude, longitude)?;
    let event = match event {
        SunEvent::Sunrise => SolarEvent::Sunrise,
        SunEvent::Sunset => SolarEvent::Sunset,
    };
    let mut date: Date = place.local(ms)?.date().checked_sub(2.days()).ok()?;
    for _ in 0..SUN_DAYS_MAX {
        let (year, month, day) = (date.year(), date.month(), date.day());
        let day = NaiveDate::from_ymd_opt(
            year.into(),
            u32::try_from(month).ok()?,
            u32::try_from(day).ok()?,
        )?;
        let at = SolarDay::new(coordinates, day).event_time(event);
        if let Some(at) = at.map(|at| at.timestamp_millis()).filter(|at| *at > ms) {
            return Some(at);
        }
        date = date.tomorrow().ok()?;
    }
    None
}

#[cfg(test)]
mod tests;
