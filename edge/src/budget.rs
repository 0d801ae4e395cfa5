use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{
    mpsc,
    oneshot::{self, error::TryRecvError},
};

use crate::{
    cut::with_sources,
    evict::{Evictor, reduce::Step},
    journal::Journal,
    metrics::{DiskMetrics, ShipMetrics},
    shelf::{EntryId, Shelf},
    ship::Shipper,
};

/// Bytes that are left free on the disk whatever the budget: databases, cuts and eviction itself need some to work.
pub const DISK_RESERVE_BYTES: u64 = 16 << 20;

/// With eviction, publishes are not refused for so small a part of the budget above it, while a cut is waited for.
/// And one part of the budget in so many is freed beyond what is needed, so that not every look evicts.
pub const EVICT_SLACK_PARTS: u64 = 20;

/// A budget has room for so many journal segments at least: the one that is written, and one that is being cut.
pub const SEGMENTS_MIN: u64 = 2;

/// What a box does when its disk budget is full of readings that no store has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DiskFull {
    /// Publishes are refused, so that devices keep what they have until there is room.
    #[default]
    Refuse,
    /// The readings that are worth least are dropped, and told as gaps.
    Evict,
}

/// Keeps the box's disk within its budget: evicts the oldest shipped chunks; when what is left is unshipped and fills
/// the budget, drops what is worth least of it or has publishes refused.
#[derive(Debug)]
pub struct Budget {
    /// Bytes that chunks and the journal may take.
    pub bytes: u64,
    /// What happens when unshipped data fills them.
    pub full: DiskFull,
    /// The box's chunks.
    pub shelf: Arc<Shelf>,
    /// What is shipped; none when there is no store, and then nothing may be evicted as shipped.
    pub shipper: Option<Arc<Shipper>>,
    /// What refuses.
    pub journal: Arc<Journal>,
    /// Drops what no store has.
    pub evictor: Evictor,
    /// Asks for a cut: what is still in the journal cannot be weighed.
    pub demands: mpsc::Sender<oneshot::Sender<()>>,
    /// Figures of shipping.
    pub metrics: ShipMetrics,
    /// Figures of the disk.
    pub disk: DiskMetrics,
    /// Tells when the cut that was asked for is done.
    pub asked: Mutex<Option<oneshot::Receiver<()>>>,
    /// The last look failed to evict, which was logged.
    pub failing: Mutex<bool>,
}

impl Budget {
    /// Look once, and act. Blocks.
    pub fn keep(&self) {
        let mut over = self.over();
        if over > 0 {
            over = over.saturating_sub(self.evict_shipped(over));
        }
        let mut tolerated = 0;
        if over > 0 && self.full == DiskFull::Evict {
            over = over.saturating_sub(self.evict_unshipped(over, &Step::MILD));
            // What is still in the journal may be worth less than the states on the shelf: it is weighed first.
            if over > 0 && self.is_cut() {
                over = over.saturating_sub(self.evict_unshipped(over, &Step::ALL));
            } else {
                tolerated = self.slack();
            }
        }
        let full = over > tolerated;
        let was = self.metrics.refusing.set(i64::from(full));
        if full && was == 0 {
            tracing::error!(
                budget_bytes = self.bytes,
                "the disk budget is full of data that no store has; publishes are refused until there is room"
            );
        }
        self.journal.set_full(full);
        self.metrics.local_bytes.set(self.shelf.bytes() as i64);
        self.disk.budget_bytes.set(self.bytes as i64);
        self.disk.used_bytes.set(self.used() as i64);
    }

    fn used(&self) -> u64 {
        self.shelf.bytes() + self.journal.bytes()
    }

    /// Bytes too many: over the budget, or of those that are to be left free.
    fn over(&self) -> u64 {
        let over_budget = self.used().saturating_sub(self.bytes);
        let free = rustix::fs::statvfs(self.shelf.lake())
            .map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        over_budget.max(DISK_RESERVE_BYTES.saturating_sub(free))
    }

    fn is_shipped(&self, entry: EntryId) -> bool {
        let shipper = self.shipper.as_ref();
        shipper.is_some_and(|shipper| shipper.is_shipped(entry))
    }

    /// The oldest go first, and events, which are small, after all readings.
    fn evict_shipped(&self, wanted: u64) -> u64 {
        let mut freed = 0;
        let entries = self.shelf.entries_on_disk();
        for events in [false, true] {
            for entry in entries.iter().filter(|entry| self.is_shipped(**entry)) {
                if freed >= wanted {
                    return freed;
                }
                freed += self.evict_chunks(*entry, events);
            }
        }
        freed
    }

    fn evict_chunks(&self, entry: EntryId, events: bool) -> u64 {
        let mut freed = 0;
        let chunks = self.shelf.chunks(entry).into_iter();
        for chunk in chunks.filter(|chunk| chunk.key.is_events() == events) {
            match self.shelf.evict(&chunk.key) {
                Ok(0) => {}
                Ok(bytes) => {
                    freed += bytes;
                    self.metrics.evicted.inc();
                }
                Err(e) => tracing::warn!(error = %e, "evicting a chunk"),
            }
        }
        freed
    }

    /// Whether all that was in the journal when the disk became full is in chunks by now; if not, a cut is asked for.
    fn is_cut(&self) -> bool {
        let mut asked = self.asked.lock();
        match asked.as_mut().map(oneshot::Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) => false,
            // A cut that failed is not waited for: perhaps it has no room either.
            Some(Ok(()) | Err(TryRecvError::Closed)) => {
                *asked = None;
                true
            }
            None => {
                let (done, cut) = oneshot::channel();
                // Where too many ask already, the next look does.
                *asked = self.demands.try_send(done).is_ok().then_some(cut);
                false
            }
        }
    }

    fn slack(&self) -> u64 {
        self.bytes / EVICT_SLACK_PARTS
    }

    fn evict_unshipped(&self, wanted: u64, steps: &[Step]) -> u64 {
        let wanted = wanted.saturating_add(self.slack());
        // What a store has is not dropped, even where it is not in as many stores as it should be.
        let is_there = |entry| {
            let shipper = self.shipper.as_ref();
            shipper.is_some_and(|shipper| shipper.is_somewhere(entry))
        };
        let evicted = self.evictor.evict(wanted, steps, &is_there);
        let mut failing = self.failing.lock();
        match evicted {
            Ok(freed) => {
                *failing = false;
                freed
            }
            Err(e) => {
                if !std::mem::replace(&mut *failing, true) {
                    let error = with_sources(&e);
                    tracing::error!(%error, "no room can be made on a full disk; it is tried again");
                }
                0
            }
        }
    }
}
