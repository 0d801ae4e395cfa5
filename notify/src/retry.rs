use std::time::Duration;

/// The first wait after a failure.
pub(crate) const RETRY_MS_MIN: i64 = 1_000;
/// The longest wait between two attempts that we choose.
pub(crate) const RETRY_MS_MAX: i64 = 3_600_000;
/// The longest wait that a receiver may ask for.
pub(crate) const RETRY_AFTER_MS_MAX: i64 = 6 * 3_600_000;
/// A delivery that has failed for this long is given up…
pub(crate) const GIVE_UP_MS: i64 = 24 * 3_600_000;
/// …but not before so many attempts: a box that was off for two days, or whose clock was set by years, has not tried.
pub(crate) const ATTEMPTS_MIN: u32 = 10;
/// A wait that is longer than any can be by this much was chosen by a clock that has been set back since.
pub(crate) const CLOCK_STEP_MS: i64 = 3_600_000;

/// Why an attempt did not succeed, in words without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The receiver cannot be reached or takes nothing now: others would fare the same.
    Away {
        words: String,
        retry_after: Option<Duration>,
    },
    /// The receiver does not take this one now.
    NotNow {
        words: String,
        retry_after: Option<Duration>,
    },
    /// The receiver will never take it.
    Never { words: String },
}

/// How long to wait after so many attempts have failed: twice as long each time, a quarter more or less by `chance`
/// (0 to 1), so that boxes that lost the same server do not come back at the same moment.
pub(crate) fn wait_ms(attempts: u32, retry_after: Option<Duration>, chance: f64) -> i64 {
    let doublings = attempts.saturating_sub(1).min(20);
    let wait = (RETRY_MS_MIN << doublings).min(RETRY_MS_MAX);
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let jittered = (wait as f64 * (0.75 + chance.clamp(0.0, 1.0) / 2.0)) as i64;
    let asked = retry_after.map_or(0, |after| {
        i64::try_from(after.as_millis()).map_or(RETRY_AFTER_MS_MAX, |ms| ms.min(RETRY_AFTER_MS_MAX))
    });
    jittered.clamp(RETRY_MS_MIN, RETRY_MS_MAX).max(asked)
}

/// Whether a delivery is given up.
pub(crate) fn is_given_up(attempts: u32, first_attempt_ms: i64, now_ms: i64) -> bool {
    attempts >= ATTEMPTS_MIN && now_ms.saturating_sub(first_attempt_ms) >= GIVE_UP_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_a_second_to_an_hour() {
        let middle: Vec<i64> = [1, 2, 3, 12, 13, 4_000_000_000]
            .map(|attempts| wait_ms(attempts, None, 0.5))
            .into();
        assert_eq!(
            middle,
            [1_000, 2_000, 4_000, 2_048_000, 3_600_000, 3_600_000]
        );
        assert_eq!(wait_ms(3, None, 0.0), 3_000);
        assert_eq!(wait_ms(3, None, 1.0), 5_000);
        assert_eq!(wait_ms(1, None, 0.0), 1_000);
        assert_eq!(wait_ms(99, None, 1.0), 3_600_000);
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_ever() {
        let ask = |seconds| wait_ms(1, Some(Duration::from_secs(seconds)), 0.5);
        assert_eq!((ask(0), ask(90)), (1_000, 90_000));
        assert_eq!(ask(u64::MAX), RETRY_AFTER_MS_MAX);
    }

    #[test]
    fn a_day_of_trying_is_enough_and_a_clock_that_jumps_is_no_trying() {
        assert!(!is_given_up(40, 0, GIVE_UP_MS - 1));
        assert!(is_given_up(40, 0, GIVE_UP_MS));
        assert!(!is_given_up(1, 0, i64::MAX));
        assert!(!is_given_up(40, 0, i64::MIN));
    }
}
