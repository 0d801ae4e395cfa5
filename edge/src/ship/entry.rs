use std::{io, sync::Arc, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tarn_common::{
    commit_log::{Chunk, Entry},
    ids::EdgeId,
    layout::{EntryKey, log_prefix},
    store::StoreError,
};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    PUTS_AT_ONCE, ShipError, Shipper,
    compare::{self, Likeness, Log, is_stored_elsewhere},
};
use crate::shelf::{EntryId, Shelf};

impl Shipper {
    /// Put an entry into the store, after its chunks, unless it is another copy's by now.
    pub(super) async fn ship(&self, id: EntryId) -> Result<(), ShipError> {
        if !self.asked.load(Ordering::Acquire) {
            self.ask().await?;
            self.asked.store(true, Ordering::Release);
        }
        let (key, bytes) = self.shelf.entry(id).map_err(|e| ShipError::Disk {
            action: "read log entry in",
            path: self.memory.clone(),
            source: io::Error::other(e),
        })?;
        // Who sees this entry must see, too, what has removed chunks of it that are not there any more.
        for remover in self.shelf.removers(id) {
            if !self.is_shipped(remover) {
                Box::pin(self.ship(remover)).await?;
            }
        }
        // Chunks of an entry have names of its own, so who has not written the entry has not written them.
        match self.find(&key, &bytes).await? {
            Some(Likeness::Other) => return Err(ShipError::Copied(key.to_string())),
            Some(Likeness::StoredElsewhere) => return self.remember(id),
            Some(Likeness::Same) | None => {}
        }
        let chunks = self.shelf.chunks(id);
        let entry = Entry::parse(&key, &bytes)?;
        let has_records = entry.has_records() && !chunks.is_empty();
        if let Some(since_ms) = shared_era(&self.shelf, id).filter(|_| has_records) {
            if self.is_elsewhere(&entry).await? {
                let told = entry.stored_elsewhere().to_bytes();
                self.put(key.to_string(), told.into()).await?;
                tracing::info!(%key, "another copy of this box has stored these records");
                return self.remember(id);
            }
            if !self.has_waited(since_ms) {
                return Err(ShipError::Held);
            }
        }
        let puts = chunks.into_iter().map(|chunk| self.ship_chunk(chunk));
        stream::iter(puts)
            .buffer_unordered(PUTS_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        self.put(key.to_string(), bytes.into()).await?;
        self.clear_away(&entry).await?;
        self.metrics.entries.inc();
        self.metrics.last_shipped_ms.set(self.clock.now_ms());
        self.remember(id)
    }

    /// A chunk that was evicted may have come into the store before its own entry did: who reads without the log
    /// would find its readings twice, there and in what is left of it.
    async fn clear_away(&self, entry: &Entry) -> Result<(), ShipError> {
        for key in &entry.removes {
            for is_primary in [true, false] {
                let key = key.copy(is_primary);
                self.in_time(&key, self.store.delete(&key)).await?;
            }
        }
        Ok(())
    }

    /// Whether another copy of the box has written to the store under an id of ours. All that waits is
    /// looked at, because the newest is shipped first, and may follow on one that is not ours any more.
    async fn ask(&self) -> Result<(), ShipError> {
        let identity = self.shelf.identity();
        let entries = self.shelf.entries_after(None);
        for (era, stretch) in identity.stretches().iter().enumerate() {
            let of_era = entries.iter().filter(|id| id.era == era);
            let log = Log {
                writer: stretch.edge,
                numbers: of_era.map(|id| id.number).collect(),
                is_current: stretch.edge == identity.edge,
            };
            let known = self.shipped.lock().clone();
            let (lake, home) = (self.shelf.lake(), &identity.home);
            let asking = compare::conflict(&self.store, lake, home, &log, &known);
            if let Some(conflict) = self.in_time("log", asking).await? {
                let prefix = log_prefix(home, conflict.writer);
                return Err(ShipError::Copied(format!(
                    "{prefix} after {}",
                    conflict.kept
                )));
            }
        }
        Ok(())
    }

    /// How the store's entry of this key stands to ours, if it has one.
    async fn find(&self, key: &EntryKey, ours: &[u8]) -> Result<Option<Likeness>, ShipError> {
        let name = key.to_string();
        match self.in_time(&name, self.store.get(&name)).await {
            Ok(theirs) => Ok(Some(compare::compare(key, ours, &theirs))),
            Err(ShipError::Store(StoreError::NotFound { .. })) => Ok(None),
            Err(e) => Err(e),
        }
    }

    async fn is_elsewhere(&self, entry: &Entry) -> Result<bool, ShipError> {
        let ours = |writer: EdgeId| self.shelf.next_number(writer) - 1;
        let looking = is_stored_elsewhere(&self.store, entry, ours);
        self.in_time("log", looking).await
    }

    /// Whether another copy has had its time, by the clock or, where that was not set, in this run.
    fn has_waited(&self, since_ms: i64) -> bool {
        let waited = self.clock.now_ms().saturating_sub(since_ms);
        let running = self.clock.monotonic_ms() - self.started_ms;
        u128::try_from(waited.max(running)).unwrap_or(0) >= self.settings.copied_wait.as_millis()
    }

    async fn in_time<T>(
        &self,
        key: &str,
        asking: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, ShipError> {
        let answer = timeout(self.settings.object_timeout, asking).await;
        Ok(answer.map_err(|_| ShipError::Timeout(key.to_owned()))??)
    }

    async fn ship_chunk(&self, chunk: Arc<Chunk>) -> Result<(), ShipError> {
        let key = chunk.key.to_string();
        let Some(path) = self.shelf.path(&chunk.key) else {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(ShipError::Disk {
                action: "read",
                path: key.into(),
                source,
            });
        };
        let bytes = tokio::fs::read(&path).await;
        let bytes = bytes.map_err(|source| ShipError::Disk {
            action: "read",
            path,
            source,
        })?;
        chunk.check(&bytes).map_err(|fault| ShipError::Damaged {
            key: key.clone(),
            fault,
        })?;
        self.put(key, bytes.into()).await?;
        self.metrics.chunks.inc();
        self.metrics.bytes.inc_by(chunk.bytes);
        Ok(())
    }

    async fn put(&self, key: String, bytes: Bytes) -> Result<(), ShipError> {
        let len = bytes.len();
        let started = Instant::now();
        self.in_time(&key, self.store.put(&key, bytes)).await?;
        if let Some(rate) = self.settings.bytes_per_second {
            sleep_until(started + Duration::from_secs_f64(len as f64 / rate.max(1) as f64)).await;
        }
        Ok(())
    }
}

/// When the id of an entry was made whose records another copy of the box may have, too.
fn shared_era(shelf: &Shelf, id: EntryId) -> Option<i64> {
    let era = shelf.identity().eras.get(id.era)?;
    (!era.shared.is_empty()).then_some(era.since_ms)
}
