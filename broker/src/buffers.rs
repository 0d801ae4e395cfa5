//! What the receive buffers of all connections hold together.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;

/// A connection's bytes up to here are not counted: `connections_max` bounds them.
pub(crate) const UNCOUNTED_BYTES: usize = 128 * 1024;

/// The sum over all connections, and its bound.
#[derive(Debug)]
pub(crate) struct Buffers {
    held: Gauge,
    bytes_max: i64,
}

impl Buffers {
    /// `held` is the metric that tells the sum.
    pub(crate) fn new(held: Gauge, bytes_max: usize) -> Arc<Buffers> {
        let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
        Arc::new(Buffers { held, bytes_max })
    }
}

/// The part of one connection, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    buffers: Arc<Buffers>,
    counted: i64,
}

impl Share {
    pub(crate) fn new(buffers: &Arc<Buffers>) -> Share {
        Share {
            buffers: buffers.clone(),
            counted: 0,
        }
    }

    /// The connection's buffer has this size now. Returns whether there is room for it.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        let wanted = bytes.saturating_sub(UNCOUNTED_BYTES) as i64;
        let more = wanted - self.counted;
        if more == 0 {
            return true;
        }
        let before = self.buffers.held.inc_by(more);
        self.counted = wanted;
        more < 0 || before + more <= self.buffers.bytes_max
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.buffers.held.dec_by(self.counted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_are_counted_together() {
        let held = Gauge::default();
        let buffers = Buffers::new(held.clone(), 1000);
        let (mut a, mut b) = (Share::new(&buffers), Share::new(&buffers));
        assert!(a.hold(UNCOUNTED_BYTES) && held.get() == 0);
        assert!(a.hold(UNCOUNTED_BYTES + 600) && held.get() == 600);
        assert!(!b.hold(UNCOUNTED_BYTES + 401));
        assert!(b.hold(UNCOUNTED_BYTES + 400) && held.get() == 1000);
        drop(a);
        assert!(b.hold(UNCOUNTED_BYTES + 1000) && held.get() == 1000);
        drop(b);
        assert_eq!(held.get(), 0);
    }
}
