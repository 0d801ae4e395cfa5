use std::{
    fmt::Debug,
    sync::atomic::{AtomicI64, Ordering},
    time::SystemTime,
};

/// Wall time as milliseconds since 1970-01-01 UTC.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now, in milliseconds since 1970-01-01 UTC; negative before it.
    fn now_ms(&self) -> i64;

    /// Milliseconds since some moment that never changes while the machine runs. Nobody sets it, and it goes on
    /// while the machine sleeps.
    fn monotonic_ms(&self) -> i64;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)]
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }

    fn monotonic_ms(&self) -> i64 {
        let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        since.tv_sec * 1000 + since.tv_nsec / 1_000_000
    }
}

/// A clock that stands where a test puts it.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: AtomicI64,
    monotonic: AtomicI64,
}

impl ManualClock {
    /// A clock that says `now_ms`.
    #[must_use]
    pub fn at(now_ms: i64) -> Self {
        ManualClock {
            now: AtomicI64::new(now_ms),
            monotonic: AtomicI64::new(0),
        }
    }

    /// Let time pass until the hands stand here; back is no passing of time.
    pub fn set(&self, now_ms: i64) {
        let before = self.now.swap(now_ms, Ordering::SeqCst);
        self.monotonic
            .fetch_add((now_ms - before).max(0), Ordering::SeqCst);
    }

    /// Move the hands while no time passes, as somebody does who sets a clock.
    pub fn step(&self, now_ms: i64) {
        self.now.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    fn monotonic_ms(&self) -> i64 {
        self.monotonic.load(Ordering::SeqCst)
    }
}
