use std::sync::Arc;

use crate::{
    journal::Journal,
    metrics::ShipMetrics,
    shelf::{EntryId, Shelf},
    ship::Shipper,
};

/// Keeps the box's disk within its budget: evicts the oldest shipped chunks, and when what is left
/// is unshipped and fills the budget, has publishes refused so that devices keep them.
#[derive(Debug)]
pub struct Budget {
    /// Bytes that chunks and the journal may take.
    pub bytes: u64,
    /// The box's chunks.
    pub shelf: Arc<Shelf>,
    /// What is shipped; none when there is no store, and then nothing may be evicted.
    pub shipper: Option<Arc<Shipper>>,
    /// What refuses.
    pub journal: Arc<Journal>,
    /// Figures.
    pub metrics: ShipMetrics,
}

impl Budget {
    /// Look once, and act. Blocks.
    pub fn keep(&self) {
        let mut over = self.over();
        if over > 0 {
            for entry in self.shelf.entries_on_disk() {
                if over == 0 {
                    break;
                }
                if self
                    .shipper
                    .as_ref()
                    .is_some_and(|shipper| shipper.is_shipped(entry))
                {
                    over = over.saturating_sub(self.evict(entry));
                }
            }
        }
        let full = over > 0;
        let was = self.metrics.refusing.set(i64::from(full));
        if full && was == 0 {
            tracing::error!(
                budget_bytes = self.bytes,
                "the disk budget is full of data that no store has; publishes are refused until there is room"
            );
        }
        self.journal.set_full(full);
        self.metrics.local_bytes.set(self.shelf.bytes() as i64);
    }

    fn over(&self) -> u64 {
        (self.shelf.bytes() + self.journal.bytes()).saturating_sub(self.bytes)
    }

    fn evict(&self, entry: EntryId) -> u64 {
        let mut freed = 0;
        for chunk in self.shelf.chunks(entry) {
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
}
