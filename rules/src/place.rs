use jiff::{Timestamp, Zoned, tz::TimeZone};

/// Where a home is.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its time zone.
    pub zone: TimeZone,
    /// Latitude and longitude in degrees, where they are known.
    pub coordinates: Option<(f64, f64)>,
}

impl Place {
    /// What the clocks in the home say; none where no calendar goes that far.
    #[must_use]
    pub fn local(&self, now_ms: i64) -> Option<Zoned> {
        Some(
            Timestamp::from_millisecond(now_ms)
                .ok()?
                .to_zoned(self.zone.clone()),
        )
    }
}
