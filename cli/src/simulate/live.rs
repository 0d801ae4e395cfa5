//! What a run has done so far, shared by all its clients and whoever watches.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;

/// The longest time from publish to ack that is told apart, in µs: one hour.
const LATENCY_MAX_US: u64 = 3_600_000_000;

/// Live counters of one run. Every number only grows, `connected` apart.
#[derive(Debug)]
pub(crate) struct Live {
    pub(super) published: AtomicU64,
    pub(super) acked: AtomicU64,
    pub(super) redelivered: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) reconnects: AtomicU64,
    pub(super) connected: AtomicU64,
    started: OnceLock<Instant>,
    /// When the last message was acknowledged (or sent, at QoS 0), in µs after the start.
    last_us: AtomicU64,
    latency_us: Mutex<Histogram<u64>>,
}

impl Default for Live {
    fn default() -> Live {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)
            .expect("constant bounds that hdrhistogram accepts");
        Live {
            published: AtomicU64::new(0),
            acked: AtomicU64::new(0),
            redelivered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            reconnects: AtomicU64::new(0),
            connected: AtomicU64::new(0),
            started: OnceLock::new(),
            last_us: AtomicU64::new(0),
            latency_us: Mutex::new(latency),
        }
    }
}

impl Live {
    /// Messages sent for the first time.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Relaxed)
    }

    /// Messages that the broker has acknowledged as taken. At QoS 0 there are none.
    pub(crate) fn acked(&self) -> u64 {
        self.acked.load(Relaxed)
    }

    /// Messages sent again after a reconnect.
    pub(crate) fn redelivered(&self) -> u64 {
        self.redelivered.load(Relaxed)
    }

    /// Negative answers of the broker (MQTT 5 only).
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Connections that had to be made again.
    pub(crate) fn reconnects(&self) -> u64 {
        self.reconnects.load(Relaxed)
    }

    /// Clients that are connected now.
    pub(crate) fn connected(&self) -> u64 {
        self.connected.load(Relaxed)
    }

    /// The time from first publish to ack that `percent` of the acknowledged messages did not
    /// exceed, in µs; 0 while there are none.
    pub(crate) fn ack_latency_us(&self, percent: f64) -> u64 {
        self.latency().value_at_percentile(percent)
    }

    /// The longest time from first publish to ack, in µs.
    pub(crate) fn ack_latency_max_us(&self) -> u64 {
        self.latency().max()
    }

    /// From the start of the load to its last message, the time that rates are told over.
    pub(crate) fn busy(&self) -> Duration {
        Duration::from_micros(self.last_us.load(Relaxed))
    }

    /// When the load began: when the first client asks, all of them being connected.
    pub(super) fn start(&self) -> Instant {
        *self.started.get_or_init(Instant::now)
    }

    /// Counts one batch of acks, given when each message was sent.
    pub(super) fn note_acks(&self, sent: &[Instant], now: Instant) {
        {
            let mut latency = self.latency();
            for sent in sent {
                let waited = now.saturating_duration_since(*sent).as_micros() as u64;
                latency.saturating_record(waited);
            }
        }
        self.acked.fetch_add(sent.len() as u64, Relaxed);
        self.note_activity(now);
    }

    /// Notes that the load was still busy at `now`.
    pub(super) fn note_activity(&self, now: Instant) {
        let since = now.saturating_duration_since(self.start());
        self.last_us.fetch_max(since.as_micros() as u64, Relaxed);
    }

    fn latency(&self) -> MutexGuard<'_, Histogram<u64>> {
        // A histogram is whole after every call, so one that a panic left behind is still good.
        self.latency_us
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
