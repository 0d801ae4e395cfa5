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
        let Some(rate) = self.bytes_per_second else {
            return;
        };
        let until = {
            let mut free_at = self.free_at.lock();
            let now = Instant::now();
            let from = free_at.map_or(now, |at| at.max(now - AHEAD_MAX));
            let until = from + Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
            *free_at = Some(until);
            until
        };
        sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bytes_take_their_time() {
        let rate = Rate::new(Some(1_000));
        let started = Instant::now();
        for _ in 0..4 {
            rate.take(500).await;
        }
        let took = started.elapsed();
        assert!(
            took >= Duration::from_millis(2_000) && took < Duration::from_millis(2_100),
            "{took:?}"
        );
        Rate::new(None).take(u64::MAX).await;
        assert_eq!(started.elapsed(), took);
    }
}
