use std::fmt::Display;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `probe` gives a value, and panics with `what` when `limit` is over first.
///
/// The probe is tried once more after the limit, so that a machine that stood still does not fail a
/// condition that holds by then.
pub fn until<T>(limit: Duration, what: impl Display, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        let is_last = Instant::now() >= deadline;
        if let Some(value) = probe() {
            return value;
        }
        assert!(!is_last, "waited {limit:?} in vain: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// Looks until `condition` holds.
pub fn until_true(limit: Duration, what: impl Display, mut condition: impl FnMut() -> bool) {
    until(limit, what, || condition().then_some(()));
}
