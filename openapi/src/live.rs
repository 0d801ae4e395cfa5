//! What happens in a home, told as it happens to whoever listens.
//!
//! Whoever knows something pushes it into the home's [`LiveHub`]; each listener takes it from there at its own pace.
//! In the order that an event passes through:

/// What is told.
mod event;
/// One home's events and those who listen.
mod hub;
/// Someone who listens.
mod listener;
/// Figures for `/metrics`.
mod metrics;
/// Events in a queue that is bounded.
mod queue;
/// Readings: the latest of each series, not too often.
mod series;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use event::{
    LiveAlarm, LiveEvent, LiveGap, LiveKind, LivePresence, LiveReading, LiveReset, LiveTwin,
    Numbered, Present,
};
pub use hub::{LiveHub, TooMany, Wanted};
pub use listener::Listener;
pub use metrics::LiveMetrics;

/// The shortest time between two events of one series. A faster sensor is told by its latest value.
pub const SERIES_PAUSE: Duration = Duration::from_millis(250);

/// Series whose latest value is known at most; the one that was silent longest is forgotten first.
pub const SERIES_MAX: usize = 20_000;
/// Bytes of those values at most.
pub const SERIES_BYTES_MAX: usize = 16 << 20;

/// Events that are kept for who comes back, at most.
pub const RING_EVENTS_MAX: usize = 4_096;
/// Bytes of those events at most.
pub const RING_BYTES_MAX: usize = 4 << 20;

/// Who listens to one home at most.
pub const LISTENERS_MAX: usize = 1_024;
/// Events other than readings that wait for one listener at most; then the oldest are dropped, and it is told.
pub const LISTENER_EVENTS_MAX: usize = 1_000;
/// Bytes of those events at most.
pub const LISTENER_BYTES_MAX: usize = 1 << 20;
/// Who has taken nothing for so long while events wait gives way when a new listener finds no room.
pub const STALLED_AFTER: Duration = Duration::from_secs(60);

/// Time between two signs of life on a stream. A client that has gone is noticed at the second one that it does not
/// take: the server goes on with a connection whose other side was closed until it cannot be written to.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long events go on being gathered after the last listener has gone, for it may come back.
pub const LEASE_TAIL: Duration = Duration::from_secs(30);
/// How long a new listener waits for events to be gathered.
pub const FEED_WITHIN: Duration = Duration::from_secs(1);
