use std::{
    fmt::Debug,
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant, SystemTime},
};

/// Wall time as milliseconds since 1970-01-01 UTC.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now, in milliseconds since 1970-01-01 UTC; negative before it.
    fn now_ms(&self) -> i64;

    /// Milliseconds since some moment that never changes while the machine runs. Nobody sets it, and it goes on
    /// while the machine sleeps.
    fn monotonic_ms(&self) -> i64;

    /// How long so much time of this clock takes.
    fn wait(&self, ms: i64) -> Duration {
        Duration::from_millis(ms.max(0).unsigned_abs())
    }
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

/// A clock that begins at some moment and goes faster, for simulated houses.
#[derive(Debug)]
pub struct FastClock {
    began: Instant,
    begin_ms: i64,
    rate: f64,
}

impl FastClock {
    /// A clock that says `begin_ms` now, and goes `rate` times as fast as others.
    #[must_use]
    pub fn new(begin_ms: i64, rate: f64) -> FastClock {
        FastClock {
            began: Instant::now(),
            begin_ms,
            rate,
        }
    }
}

impl Clock for FastClock {
    fn now_ms(&self) -> i64 {
        self.begin_ms.saturating_add(self.monotonic_ms())
    }

    fn monotonic_ms(&self) -> i64 {
        (self.began.elapsed().as_secs_f64() * 1000.0 * self.rate) as i64
    }

    fn wait(&self, ms: i64) -> Duration {
        Duration::from_secs_f64((ms.max(0) as f64 / 1000.0 / self.rate).min(1e9))
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
