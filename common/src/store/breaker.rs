use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng as _;
use tokio::time::Instant;

/// Failures in a row after which a store is left alone.
pub const FAILURES_BEFORE_PAUSE: u32 = 3;
/// First pause; it doubles with each further failure.
pub const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);

/// A circuit breaker: after some failures in a row a store is left alone for a while, then asked once, and
/// by all again when that went well.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Circuit>);

#[derive(Debug, Default)]
struct Circuit {
    failures: u32,
    closed_again: Option<Instant>,
    last_error: String,
}

impl Breaker {
    /// Whether the store may be asked. Of those who ask while it is on trial, one is let through.
    #[must_use]
    pub fn allows(&self) -> bool {
        self.allows_at(Instant::now())
    }

    fn allows_at(&self, now: Instant) -> bool {
        let mut circuit = self.0.lock();
        match circuit.closed_again {
            None => true,
            Some(until) if until > now => false,
            Some(_) => {
                // Whoever asks now is the trial; the others wait for how it goes.
                let pause = pause(circuit.failures);
                circuit.closed_again = Some(now + pause);
                true
            }
        }
    }

    /// Whether the store is left alone at the moment, without a trial.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let circuit = self.0.lock();
        circuit
            .closed_again
            .is_some_and(|until| until > Instant::now())
    }

    /// Why the store is left alone.
    #[must_use]
    pub fn last_error(&self) -> String {
        self.0.lock().last_error.clone()
    }

    /// Take note that the store works. Says whether it did not before.
    pub fn succeeded(&self) -> bool {
        let mut circuit = self.0.lock();
        let was_open = circuit.closed_again.is_some();
        *circuit = Circuit::default();
        was_open
    }

    /// Take note of a failure. Says whether the store is left alone from now on, and was not before.
    pub fn failed(&self, error: String) -> bool {
        let mut circuit = self.0.lock();
        circuit.failures = circuit.failures.saturating_add(1);
        circuit.last_error = error;
        if circuit.failures < FAILURES_BEFORE_PAUSE {
            return false;
        }
        let was_closed = circuit.closed_again.is_none();
        circuit.closed_again = Some(Instant::now() + pause(circuit.failures));
        was_closed
    }
}

/// Doubling, with jitter: between half of it and all of it, so that many do not come back at once.
fn pause(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(FAILURES_BEFORE_PAUSE).min(16);
    (PAUSE_MIN * (1 << doublings))
        .min(PAUSE_MAX)
        .mul_f64(rand::rng().random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_store_is_left_alone_then_tried_once() {
        let breaker = Breaker::default();
        assert!(!breaker.failed("a".into()) && !breaker.failed("b".into()));
        assert!(breaker.allows());
        assert!(breaker.failed("c".into()), "it is told once");
        assert!(!breaker.failed("d".into()));
        assert!(!breaker.allows() && breaker.is_open());
        let later = Instant::now() + PAUSE_MIN * 2;
        assert!(breaker.allows_at(later), "the trial");
        assert!(!breaker.allows_at(later), "one only");
        assert!(breaker.succeeded());
        assert!(breaker.allows() && breaker.allows());
        assert!(!breaker.succeeded());
    }
}
