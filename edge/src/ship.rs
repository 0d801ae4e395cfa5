/// What the store says of the box's own log.
pub mod compare;
/// One entry goes to the store, after a look at what is there.
mod entry;
/// Which entries are in the store.
pub mod memory;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rand::Rng as _;
use tarn_common::{
    clock::Clock,
    commit_log::{ContentFault, EntryError},
    fleet::Fleet,
    ids::StoreName,
    keeper::{Keeper, KeeperError},
    store::pool::PoolError,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::memory::Shipped;
use crate::{
    metrics::ShipMetrics,
    shelf::{EntryId, Shelf},
};

/// How shipping behaves.
#[derive(Debug, Clone)]
pub struct ShipSettings {
    /// Bytes a second at most; none is no limit.
    pub bytes_per_second: Option<u64>,
    /// First pause after a failure; it doubles with each one.
    pub pause_min: Duration,
    /// Longest pause.
    pub pause_max: Duration,
    /// An entry that has failed this often while others went through is put aside.
    pub quarantine_after: u32,
    /// An entry put aside is tried again after this.
    pub quarantine_retry: Duration,
    /// One object may take this long.
    pub object_timeout: Duration,
    /// How long another copy of this box has time to store what both have, before this one does.
    pub copied_wait: Duration,
}

impl Default for ShipSettings {
    fn default() -> Self {
        ShipSettings {
            bytes_per_second: None,
            pause_min: Duration::from_millis(250),
            pause_max: Duration::from_secs(60),
            quarantine_after: 5,
            quarantine_retry: Duration::from_secs(600),
            object_timeout: Duration::from_secs(60),
            // Twice the cut age: the other copy, if it runs, has cut and shipped by then.
            copied_wait: Duration::from_secs(30 * 60),
        }
    }
}

/// How often at most it is looked whether another copy has stored what both have, while there is time for it.
const COPIED_LOOKS: u32 = 30;

/// How often stores that are away are looked for while entries wait for them.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Chunks of one entry that go up side by side.
const PUTS_AT_ONCE: usize = 4;

/// Why an entry did not go through.
#[derive(Debug, thiserror::Error)]
enum ShipError {
    #[error(transparent)]
    Store(PoolError),
    #[error("{0}")]
    NoStore(String),
    /// It is in the stores, but its chunks have fewer copies than they should.
    #[error("it waits for a store that is away")]
    Short,
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// Another copy of this box has written to the store under our id.
    #[error("{0}: another copy of this box has written it")]
    Copied(String),
    /// Another copy of this box may still store the same records.
    #[error("it waits for another copy of this box")]
    Held,
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error("{key} on this disk: {fault}")]
    Damaged { key: String, fault: ContentFault },
    #[error("{action} {path}")]
    Disk {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
}

impl ShipError {
    /// Whether the store, rather than this one entry, may be to blame.
    fn is_the_stores(&self) -> bool {
        matches!(
            self,
            ShipError::Store(_) | ShipError::NoStore(_) | ShipError::Keeper(_)
        )
    }
}

/// Sends log entries with their chunks to the stores: newest first, each until it is there in all its copies.
///
/// An entry is put after all its chunks, so that a chunk is never visible before it is whole.
/// What is there is remembered in a file only to spare work: putting again is harmless.
#[derive(Debug)]
pub struct Shipper {
    shelf: Arc<Shelf>,
    stores: Arc<Fleet>,
    keeper: Keeper,
    settings: ShipSettings,
    metrics: ShipMetrics,
    memory: PathBuf,
    clock: Arc<dyn Clock>,
    started_ms: i64,
    shipped: Mutex<Shipped>,
    backlog: Mutex<Backlog>,
    waiting: watch::Sender<usize>,
    /// The stores that were asked whether another copy has written to them, since they last failed.
    asked: Mutex<BTreeSet<StoreName>>,
    /// Where the chunks of entries are that have fewer copies than they should.
    partly: Mutex<BTreeMap<EntryId, Vec<Vec<StoreName>>>>,
    copied: watch::Sender<bool>,
}

/// What waits for the store.
#[derive(Debug, Default)]
struct Backlog {
    /// Entries up to this one have been looked at.
    known_upto: Option<EntryId>,
    /// Bytes of the chunks of each waiting entry.
    entries: BTreeMap<EntryId, u64>,
    /// Those of them that wait for another copy of the box.
    held: BTreeSet<EntryId>,
    /// Those of them that are in the stores, but wait for further ones, and the stores that answered when they
    /// were last tried.
    short: BTreeMap<EntryId, BTreeSet<StoreName>>,
    bytes: u64,
}

/// Failures of one entry.
#[derive(Debug, Default, Clone, Copy)]
struct Trouble {
    failures: u32,
    /// Entries that went through since its first failure.
    others_through: u32,
    not_before: Option<Instant>,
}

/// What the loop remembers between two tries.
#[derive(Debug, Default)]
struct Progress {
    troubles: BTreeMap<EntryId, Trouble>,
    store_failures: u32,
}

impl Shipper {
    /// A shipper for these stores; `memory` is the file that remembers what is there.
    #[must_use]
    pub fn new(
        shelf: Arc<Shelf>,
        stores: Arc<Fleet>,
        settings: ShipSettings,
        metrics: ShipMetrics,
        memory: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let first = shelf.identity().stretches()[0].edge;
        let shipped = Shipped::load(&memory, &memory::places(stores.given()), first);
        let started_ms = clock.monotonic_ms();
        let keeper = shelf.keeper(stores.pool().clone(), clock.clone());
        Shipper {
            shelf,
            stores,
            keeper,
            settings,
            metrics,
            memory,
            clock,
            started_ms,
            shipped: Mutex::new(shipped),
            backlog: Mutex::default(),
            waiting: watch::Sender::new(0),
            asked: Mutex::default(),
            partly: Mutex::default(),
            copied: watch::Sender::new(false),
        }
    }

    /// Whether an entry is in the stores, in all copies.
    #[must_use]
    pub fn is_shipped(&self, entry: EntryId) -> bool {
        self.shipped.lock().contains(entry.writer, entry.number)
    }

    /// Whether an entry is in a store, be it with fewer copies of its chunks than there should be.
    #[must_use]
    pub fn is_somewhere(&self, entry: EntryId) -> bool {
        self.is_shipped(entry) || self.partly.lock().contains_key(&entry)
    }

    /// Resolves when every entry is in the store that has not to wait for another copy of the box, or
    /// when nothing more may be shipped.
    pub async fn drained(&self) {
        let (mut waiting, mut copied) = (self.waiting.subscribe(), self.copied.subscribe());
        while self.look_for_new() > 0 {
            tokio::select! {
                changed = waiting.changed() => if changed.is_err() { return },
                _ = copied.wait_for(|copied| *copied) => return,
            }
        }
    }

    /// Resolves when every entry up to this one is in the store.
    pub async fn drained_upto(&self, entry: EntryId) {
        let mut waiting = self.waiting.subscribe();
        while self.waiting_upto(entry) > 0 {
            if waiting.changed().await.is_err() {
                return;
            }
        }
    }

    /// How many entries up to this one are in no store.
    #[must_use]
    pub fn waiting_upto(&self, entry: EntryId) -> usize {
        self.look_for_new();
        let backlog = self.backlog.lock();
        let upto = backlog.entries.range(..=entry);
        upto.filter(|(id, _)| !backlog.short.contains_key(id))
            .count()
    }

    /// Resolves when another copy of this box turns out to write to the store. Nothing is shipped from
    /// there on: the box has to start again, under a new id.
    pub async fn copied(&self) {
        let mut copied = self.copied.subscribe();
        if copied.wait_for(|copied| *copied).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Take new entries into the backlog. Says how many wait for the store.
    pub fn look_for_new(&self) -> usize {
        let (mut backlog, shipped) = (self.backlog.lock(), self.shipped.lock());
        for entry in self.shelf.entries_after(backlog.known_upto) {
            backlog.known_upto = Some(entry);
            if !shipped.contains(entry.writer, entry.number) {
                let bytes = self.shelf.chunks(entry).iter().map(|c| c.bytes).sum();
                backlog.entries.insert(entry, bytes);
                backlog.bytes += bytes;
            }
        }
        backlog.entries.len() - backlog.held.len() - backlog.short.len()
    }

    /// Ship until stopped. `cuts` tells of new entries.
    pub async fn run(&self, mut cuts: watch::Receiver<u64>, stop: CancellationToken) {
        let mut progress = Progress::default();
        loop {
            cuts.mark_unchanged();
            let wait = match self.next(&progress) {
                Next::Ship(entry) => {
                    let shipped = tokio::select! {
                        shipped = self.ship(entry) => shipped,
                        () = stop.cancelled() => return,
                    };
                    if let Err(ShipError::Copied(key)) = shipped {
                        tracing::error!(%key, "another copy of this box has written to the store; nothing of it is touched, and this box starts again under a new id");
                        self.copied.send_replace(true);
                        return;
                    }
                    self.judge(entry, shipped, &mut progress)
                }
                Next::Wait(until) => Some(until),
                Next::Look => {
                    tokio::select! {
                        _ = self.reach() => {}
                        () = stop.cancelled() => return,
                    }
                    Some(Instant::now() + LOOK_EVERY)
                }
                Next::Nothing => {
                    tokio::select! {
                        () = self.hand_back() => {}
                        () = stop.cancelled() => return,
                    }
                    None
                }
            };
            self.look_for_new();
            self.tell_backlog(&progress);
            let is_empty = self.backlog.lock().entries.is_empty();
            if is_empty {
                let hinted = !self.shelf.hinted().is_empty();
                tokio::select! {
                    // Whose store is away is brought home when it is back.
                    () = sleep_until(Instant::now() + LOOK_EVERY), if hinted => {
                        tokio::select! {
                            _ = self.reach() => {}
                            () = stop.cancelled() => return,
                        }
                    }
                    changed = cuts.changed() => if changed.is_err() { return },
                    () = stop.cancelled() => return,
                }
            } else if let Some(until) = wait {
                tokio::select! {
                    () = sleep_until(until) => {}
                    () = stop.cancelled() => return,
                    // A new entry may go through where an older one does not.
                    Ok(()) = cuts.changed(), if progress.store_failures == 0 => {}
                }
            }
        }
    }

    /// The newest entry that may be tried now.
    fn next(&self, progress: &Progress) -> Next {
        let now = Instant::now();
        self.look_for_new();
        let backlog = self.backlog.lock();
        let not_before = |entry: &EntryId| progress.troubles.get(entry).and_then(|t| t.not_before);
        let up = self.up_names();
        // What waits for a store that is away need not be tried before the stores are others than they were.
        let is_short = |entry: &EntryId| backlog.short.get(entry).is_some_and(|then| *then == up);
        let ready = backlog
            .entries
            .keys()
            .rev()
            .find(|n| not_before(n).is_none_or(|until| until <= now) && !is_short(n));
        match ready {
            Some(entry) => Next::Ship(*entry),
            None => backlog
                .entries
                .keys()
                .filter_map(not_before)
                .min()
                .map_or_else(
                    || {
                        if backlog.short.is_empty() {
                            Next::Nothing
                        } else {
                            Next::Look
                        }
                    },
                    Next::Wait,
                ),
        }
    }

    /// Take note of how a try went. Says until when to wait, if the store is to be left alone.
    fn judge(
        &self,
        entry: EntryId,
        result: Result<(), ShipError>,
        progress: &mut Progress,
    ) -> Option<Instant> {
        let error = match result {
            Ok(()) => {
                if progress.store_failures > 0 {
                    tracing::info!("the stores take chunks again");
                }
                progress.store_failures = 0;
                progress.troubles.remove(&entry);
                progress
                    .troubles
                    .values_mut()
                    .for_each(|t| t.others_through += 1);
                return None;
            }
            Err(ShipError::Held) => {
                let trouble = progress.troubles.entry(entry).or_default();
                let look = self.settings.copied_wait / COPIED_LOOKS;
                trouble.not_before = Some(Instant::now() + look.max(self.settings.pause_min));
                self.backlog.lock().held.insert(entry);
                self.waiting.send_replace(self.look_for_new());
                return None;
            }
            Err(ShipError::Short) => {
                progress.store_failures = 0;
                progress.troubles.remove(&entry);
                self.backlog.lock().short.insert(entry, self.up_names());
                self.waiting.send_replace(self.look_for_new());
                return None;
            }
            Err(error) => error,
        };
        self.metrics.errors.inc();
        let trouble = progress.troubles.entry(entry).or_default();
        trouble.failures += 1;
        let poison = trouble.others_through > 0 || !error.is_the_stores();
        let quarantined = poison && trouble.failures >= self.settings.quarantine_after;
        let pause = if quarantined {
            self.settings.quarantine_retry
        } else {
            self.pause(trouble.failures)
        };
        trouble.not_before = Some(Instant::now() + pause);
        let report = Report(&error);
        if quarantined {
            tracing::error!(writer = %entry.writer, entry = entry.number, error = %report, "an entry keeps failing while others go through; it is put aside and tried again later");
        } else if progress.store_failures == 0 || !error.is_the_stores() {
            tracing::warn!(writer = %entry.writer, entry = entry.number, error = %report, "shipping to the stores failed; it is tried again");
        }
        if !error.is_the_stores() {
            return None;
        }
        progress.store_failures += 1;
        Some(Instant::now() + self.pause(progress.store_failures))
    }

    /// Doubling pause with jitter: between half of it and all of it.
    fn pause(&self, failures: u32) -> Duration {
        let doubled =
            self.settings.pause_min * 2u32.saturating_pow(failures.saturating_sub(1).min(20));
        doubled
            .min(self.settings.pause_max)
            .mul_f64(rand::rng().random_range(0.5..=1.0))
    }

    fn remember(&self, entry: EntryId) -> Result<(), ShipError> {
        let saved = {
            let (mut backlog, mut shipped) = (self.backlog.lock(), self.shipped.lock());
            let bytes = backlog.entries.remove(&entry).unwrap_or(0);
            backlog.held.remove(&entry);
            backlog.short.remove(&entry);
            self.partly.lock().remove(&entry);
            backlog.bytes -= bytes;
            shipped.insert(entry.writer, entry.number);
            shipped.save(&self.memory)
        };
        self.waiting.send_replace(self.look_for_new());
        saved.map_err(|source| ShipError::Disk {
            action: "write",
            path: self.memory.clone(),
            source,
        })
    }

    fn tell_backlog(&self, progress: &Progress) {
        let backlog = self.backlog.lock();
        let aside =
            |t: &&Trouble| t.failures >= self.settings.quarantine_after && t.others_through > 0;
        self.metrics
            .backlog_entries
            .set(backlog.entries.len() as i64);
        self.metrics.backlog_bytes.set(backlog.bytes as i64);
        self.metrics
            .quarantined
            .set(progress.troubles.values().filter(aside).count() as i64);
    }
}

enum Next {
    Ship(EntryId),
    Wait(Instant),
    /// Only such as wait for stores that are away.
    Look,
    Nothing,
}

/// An error with its source, in one line; the sources below say it themselves.
struct Report<'a>(&'a ShipError);

impl std::fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match std::error::Error::source(self.0) {
            Some(source) => write!(f, "{}: {source}", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}
