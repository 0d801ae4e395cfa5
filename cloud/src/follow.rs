use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rand::Rng;
use tarn_common::{
    catalog::{Catalog, PlacedBy, Refreshed, Snapshot},
    commit_log::{Chunk, Entry},
    layout::{ChunkKey, LOG},
    store::pool::Pool,
};
use tokio::{sync::MutexGuard, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// A look that a query asks for comes at most this often.
const ON_DEMAND_EVERY: Duration = Duration::from_secs(1);

/// How long a query waits for a look; then the last catalog answers.
const ON_DEMAND_WAIT: Duration = Duration::from_secs(2);

/// Longest pause between looks at stores that fail.
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Follows the commit log of the stores.
#[derive(Debug)]
pub(crate) struct Follow {
    stores: Arc<Pool>,
    every: Duration,
    look_timeout: Duration,
    metrics: Metrics,
    catalog: tokio::sync::Mutex<Catalog>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    snapshot: Snapshot,
    last_look: Option<Instant>,
    last_whole: Option<Instant>,
    failures: u32,
    /// Why the last look was not whole, one reason for each store.
    reasons: Vec<String>,
    failed_entries: BTreeSet<String>,
}

impl Follow {
    pub(crate) fn new(
        stores: Arc<Pool>,
        every: Duration,
        look_timeout: Duration,
        metrics: Metrics,
    ) -> Follow {
        Follow {
            stores,
            every,
            look_timeout,
            metrics,
            catalog: Default::default(),
            seen: Mutex::default(),
        }
    }

    pub(crate) fn stores(&self) -> &Arc<Pool> {
        &self.stores
    }

    /// The catalog, once nobody is taking entries into it.
    pub(crate) async fn catalog(&self) -> MutexGuard<'_, Catalog> {
        self.catalog.lock().await
    }

    /// Whether the last look saw every entry of every store.
    pub(crate) fn is_whole(&self) -> bool {
        let seen = self.seen.lock();
        seen.last_whole.is_some() && seen.reasons.is_empty() && seen.failed_entries.is_empty()
    }

    /// The live chunks, as last seen.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.seen.lock().snapshot.clone()
    }

    /// These chunks by the log, live ones only, and by which place each is where it is.
    pub(crate) async fn chunks<'k>(
        &self,
        keys: impl Iterator<Item = &'k ChunkKey>,
    ) -> HashMap<ChunkKey, (Arc<Chunk>, PlacedBy)> {
        let catalog = self.catalog.lock().await;
        keys.filter_map(|key| Some((key.clone(), catalog.placed(key)?)))
            .collect()
    }

    /// Take in entries that were written here.
    pub(crate) async fn apply(&self, entries: &[Entry]) {
        let mut catalog = self.catalog.lock().await;
        catalog.apply_all(entries);
        self.seen.lock().snapshot = catalog.snapshot();
    }

    /// Why the stores were not seen whole at the last look; empty when they were.
    pub(crate) fn reasons(&self) -> Vec<String> {
        let seen = self.seen.lock();
        if seen.last_whole.is_none() && seen.reasons.is_empty() {
            return vec!["the stores were not looked at yet".into()];
        }
        seen.reasons.clone()
    }

    /// Why no store can be read; empty when one can.
    pub(crate) fn not_ready(&self) -> Vec<String> {
        let is_any_read = {
            let seen = self.seen.lock();
            seen.last_look.is_some() && seen.failures == 0
        };
        if is_any_read {
            Vec::new()
        } else {
            self.reasons()
        }
    }

    /// Whether a catalog was ever read: without one an empty answer would be a lie.
    pub(crate) fn has_catalog(&self) -> bool {
        let seen = self.seen.lock();
        seen.last_whole.is_some() || !seen.snapshot.is_empty()
    }

    /// Look on a period, less often while stores fail, until stopped.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            let look = async {
                self.look().await;
                tokio::time::sleep(self.pause()).await;
            };
            if stop.run_until_cancelled(look).await.is_none() {
                return;
            }
        }
    }

    /// Look because a query came, if the last look is a while ago. A failing store is left to its backoff.
    pub(crate) async fn look_for_query(&self) {
        let due = {
            let seen = self.seen.lock();
            seen.failures == 0
                && seen
                    .last_look
                    .is_none_or(|at| at.elapsed() >= ON_DEMAND_EVERY)
        };
        if due {
            // A slow store must not hold up the answer: the last catalog is good enough then.
            let _ = tokio::time::timeout(ON_DEMAND_WAIT, self.look()).await;
        }
    }

    fn pause(&self) -> Duration {
        let failures = self.seen.lock().failures;
        if failures == 0 {
            return self.every;
        }
        let longest = self
            .every
            .saturating_mul(1 << failures.min(16))
            .min(BACKOFF_MAX.max(self.every));
        // Full jitter from the period up, so that replicas do not come back all at once.
        longest
            .mul_f64(rand::rng().random_range(0.5..=1.0))
            .max(self.every)
    }

    /// Look, unless someone has just done so.
    async fn look(&self) {
        let catalog = self.catalog.lock().await;
        // Whoever waited for the lock has just been given a fresh catalog by its holder.
        let last_look = self.seen.lock().last_look;
        if last_look.is_none_or(|at| at.elapsed() >= ON_DEMAND_EVERY.min(self.every)) {
            self.look_into(catalog).await;
        }
    }

    /// Look whether or not someone has just done so.
    pub(crate) async fn look_now(&self) {
        let catalog = self.catalog.lock().await;
        self.look_into(catalog).await;
    }

    async fn look_into(&self, mut catalog: MutexGuard<'_, Catalog>) {
        let started = Instant::now();
        let (mut reasons, mut failed) = (Vec::new(), BTreeSet::new());
        let members = self.stores.members();
        let mut answered = 0;
        for member in &members {
            let looking = catalog.refresh(member.store());
            match member.ask_within(self.look_timeout, LOG, looking).await {
                Ok(Refreshed {
                    entries,
                    failed: entries_failed,
                }) => {
                    answered += 1;
                    self.metrics.entries.inc_by(entries as u64);
                    failed.extend(entries_failed);
                }
                Err(error) => reasons.push(format!("store {}: {error}", member.store().url())),
            }
        }
        if members.is_empty() {
            reasons.push("there is no store to look at".into());
        }
        self.note(started, catalog.snapshot(), answered, reasons, failed);
    }

    fn note(
        &self,
        started: Instant,
        snapshot: Snapshot,
        answered: usize,
        reasons: Vec<String>,
        failed: BTreeSet<String>,
    ) {
        let mut seen = self.seen.lock();
        self.metrics.refresh_errors.inc_by(reasons.len() as u64);
        self.metrics
            .failed_entries
            .set(i64::try_from(failed.len()).unwrap_or(i64::MAX));
        if !Arc::ptr_eq(&seen.snapshot, &snapshot) {
            let readings = snapshot.iter().filter(|chunk| !chunk.key.is_events());
            let rows: u64 = readings.map(|chunk| chunk.rows).sum();
            self.metrics
                .chunks
                .set(i64::try_from(snapshot.len()).unwrap_or(i64::MAX));
            self.metrics
                .rows
                .set(i64::try_from(rows).unwrap_or(i64::MAX));
        }
        // One line for each change: a store that stays down fills no log.
        match (seen.reasons.len(), reasons.is_empty()) {
            (0, false) => tracing::warn!(reasons = reasons.join("; "), "a store cannot be read"),
            (1.., true) => tracing::info!("the stores can be read again"),
            _ => {}
        }
        for entry in failed.difference(&seen.failed_entries) {
            tracing::warn!(entry, "a log entry cannot be used; it is tried again");
        }
        // One store is enough to go on: each has the whole log.
        seen.failures = if answered > 0 {
            0
        } else {
            seen.failures.saturating_add(1)
        };
        if reasons.is_empty() {
            seen.last_whole = Some(started);
        }
        seen.snapshot = snapshot;
        seen.last_look = Some(Instant::now());
        seen.reasons = reasons;
        seen.failed_entries = failed;
    }

    /// Bring the age of the catalog up to now.
    pub(crate) fn show_age(&self) {
        if let Some(at) = self.seen.lock().last_whole {
            self.metrics
                .refresh_age_seconds
                .set(at.elapsed().as_secs_f64());
        }
    }
}
