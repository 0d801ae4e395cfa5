use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// How far reading may run ahead of its rate, so that a short pause is made up for.
const AHEAD_MAX: Duration = Duration::from_secs(1);

/// Bytes per second at most, over all who take from it.
#[derive(Debug, Default)]
pub struct Rate {
    bytes_per_second: Option<u64>,
    free_at: Mutex<Option<Instant>>,
}

impl Rate {
    /// So many bytes per second; without a number as fast as it goes.
    #[must_use]
    pub fn new(bytes_per_second: Option<u64>) -> Rate {
        Rate {
            bytes_per_second,
            free_at: Mutex::default(),
        }
    }

    /// Wait until these bytes are within the rate.
    pub async fn take(&self, bytes: u64) {
        if let Some(until) = self.until(bytes, Instant::now()) {
            sleep_until(until).await;
        }
    }

    fn until(&self, bytes: u64, now: Instant) -> Option<Instant> {
        let rate = self.bytes_per_second?;
        let mut free_at = self.free_at.lock();
        let from = free_at.map_or(now, |at| at.max(now.checked_sub(AHEAD_MAX).unwrap_or(now)));
        let until = from + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        *free_at = Some(until);
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_their_time() {
        let rate = Rate::new(Some(1_000));
        let started = Instant::now();
        let after =
            |until: Option<Instant>| until.map(|until| until.duration_since(started).as_millis());
        for n in 1..=4 {
            assert_eq!(after(rate.until(500, started)), Some(n * 500));
        }
        // A long pause lets no more than a second's worth through at once.
        let later = started + Duration::from_secs(60);
        for expected in [59_500, 60_000, 60_500] {
            assert_eq!(after(rate.until(500, later)), Some(expected));
        }
        assert_eq!(after(Rate::new(None).until(u64::MAX, started)), None);
    }
}
