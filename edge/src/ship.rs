use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use tarn_common::{
    clock::Clock,
    commit_log::{Chunk, ContentFault},
    durable::{self, RealDisk},
    store::{Store, StoreError},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{metrics::ShipMetrics, shelf::Shelf};

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
        }
    }
}

/// Chunks of one entry that go up side by side.
const PUTS_AT_ONCE: usize = 4;

/// Why an entry did not go through.
#[derive(Debug, thiserror::Error)]
enum ShipError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}: no answer in time")]
    Timeout(String),
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
        matches!(self, ShipError::Store(_) | ShipError::Timeout(_))
    }
}

/// Sends log entries with their chunks to a store: newest first, each until it is there.
///
/// An entry is put after all its chunks, so that a chunk is never visible before it is whole.
/// What is there is remembered in a file only to spare work: putting again is harmless.
#[derive(Debug)]
pub struct Shipper {
    shelf: Arc<Shelf>,
    store: Store,
    settings: ShipSettings,
    metrics: ShipMetrics,
    memory: PathBuf,
    clock: Arc<dyn Clock>,
    shipped: Mutex<Shipped>,
    backlog: Mutex<Backlog>,
    waiting: watch::Sender<usize>,
}

/// What waits for the store.
#[derive(Debug, Default)]
struct Backlog {
    /// Entries up to this one have been looked at.
    known_upto: u64,
    /// Bytes of the chunks of each waiting entry.
    entries: BTreeMap<u64, u64>,
    bytes: u64,
}

/// Which entries are in the store: all up to one, and some beyond. Kept as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Shipped {
    /// The store that this is about; another store starts from nothing.
    store: String,
    upto: u64,
    beyond: BTreeSet<u64>,
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
    troubles: BTreeMap<u64, Trouble>,
    store_failures: u32,
}

impl Shipper {
    /// A shipper for a store; `memory` is the file that remembers what is there.
    #[must_use]
    pub fn new(
        shelf: Arc<Shelf>,
        store: Store,
        settings: ShipSettings,
        metrics: ShipMetrics,
        memory: PathBuf,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let shipped = Shipped::load(&memory, store.url().as_str());
        Shipper {
            shelf,
            store,
            settings,
            metrics,
            memory,
            clock,
            shipped: Mutex::new(shipped),
            backlog: Mutex::default(),
            waiting: watch::Sender::new(0),
        }
    }

    /// Whether an entry is in the store.
    #[must_use]
    pub fn is_shipped(&self, number: u64) -> bool {
        self.shipped.lock().contains(number)
    }

    /// Resolves when every entry is in the store.
    pub async fn drained(&self) {
        let mut waiting = self.waiting.subscribe();
        while self.look_for_new() > 0 {
            if waiting.changed().await.is_err() {
                return;
            }
        }
    }

    /// Resolves when every entry up to this one is in the store.
    pub async fn drained_upto(&self, number: u64) {
        let mut waiting = self.waiting.subscribe();
        while self.waiting_upto(number) > 0 {
            if waiting.changed().await.is_err() {
                return;
            }
        }
    }

    /// How many entries up to this one are not in the store.
    #[must_use]
    pub fn waiting_upto(&self, number: u64) -> usize {
        self.look_for_new();
        self.backlog.lock().entries.range(..=number).count()
    }

    /// Take new entries into the backlog. Says how many wait.
    pub fn look_for_new(&self) -> usize {
        let (mut backlog, shipped) = (self.backlog.lock(), self.shipped.lock());
        for number in self.shelf.numbers_after(backlog.known_upto) {
            backlog.known_upto = number;
            if !shipped.contains(number) {
                let bytes = self.shelf.chunks(number).iter().map(|c| c.bytes).sum();
                backlog.entries.insert(number, bytes);
                backlog.bytes += bytes;
            }
        }
        backlog.entries.len()
    }

    /// Ship until stopped. `cuts` tells of new entries.
    pub async fn run(&self, mut cuts: watch::Receiver<u64>, stop: CancellationToken) {
        let mut progress = Progress::default();
        loop {
            cuts.mark_unchanged();
            let wait = match self.next(&progress) {
                Next::Ship(number) => {
                    let shipped = tokio::select! {
                        shipped = self.ship(number) => shipped,
                        () = stop.cancelled() => return,
                    };
                    self.judge(number, shipped, &mut progress)
                }
                Next::Wait(until) => Some(until),
                Next::Nothing => None,
            };
            let waiting = self.look_for_new();
            self.tell_backlog(&progress);
            if waiting == 0 {
                tokio::select! {
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
        let not_before = |number: &u64| progress.troubles.get(number).and_then(|t| t.not_before);
        let ready = backlog
            .entries
            .keys()
            .rev()
            .find(|n| not_before(n).is_none_or(|until| until <= now));
        match ready {
            Some(number) => Next::Ship(*number),
            None => backlog
                .entries
                .keys()
                .filter_map(not_before)
                .min()
                .map_or(Next::Nothing, Next::Wait),
        }
    }

    /// Take note of how a try went. Says until when to wait, if the store is to be left alone.
    fn judge(
        &self,
        number: u64,
        result: Result<(), ShipError>,
        progress: &mut Progress,
    ) -> Option<Instant> {
        let error = match result {
            Ok(()) => {
                if progress.store_failures > 0 {
                    tracing::info!(store = %self.store.url(), "store takes chunks again");
                }
                progress.store_failures = 0;
                progress.troubles.remove(&number);
                progress
                    .troubles
                    .values_mut()
                    .for_each(|t| t.others_through += 1);
                return None;
            }
            Err(error) => error,
        };
        self.metrics.errors.inc();
        let trouble = progress.troubles.entry(number).or_default();
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
            tracing::error!(entry = number, error = %report, "an entry keeps failing while others go through; it is put aside and tried again later");
        } else if progress.store_failures == 0 || !error.is_the_stores() {
            tracing::warn!(entry = number, store = %self.store.url(), error = %report, "shipping failed; it is tried again");
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

    async fn ship(&self, number: u64) -> Result<(), ShipError> {
        let chunks = self.shelf.chunks(number);
        let puts = chunks.into_iter().map(|chunk| self.ship_chunk(chunk));
        stream::iter(puts)
            .buffer_unordered(PUTS_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        let (key, bytes) = self.shelf.entry(number).map_err(|e| ShipError::Disk {
            action: "read log entry in",
            path: self.memory.clone(),
            source: io::Error::other(e),
        })?;
        self.put(key.to_string(), bytes.into()).await?;
        self.metrics.entries.inc();
        self.metrics.last_shipped_ms.set(self.clock.now_ms());
        self.remember(number)
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
        let put = timeout(self.settings.object_timeout, self.store.put(&key, bytes)).await;
        put.map_err(|_| ShipError::Timeout(key))??;
        if let Some(rate) = self.settings.bytes_per_second {
            sleep_until(started + Duration::from_secs_f64(len as f64 / rate.max(1) as f64)).await;
        }
        Ok(())
    }

    fn remember(&self, number: u64) -> Result<(), ShipError> {
        let saved = {
            let (mut backlog, mut shipped) = (self.backlog.lock(), self.shipped.lock());
            let bytes = backlog.entries.remove(&number).unwrap_or(0);
            backlog.bytes -= bytes;
            shipped.insert(number);
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
    Ship(u64),
    Wait(Instant),
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

impl Shipped {
    fn load(path: &Path, store: &str) -> Shipped {
        let known = std::fs::read(path)
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Shipped>(&bytes).ok());
        let known = known.filter(|shipped| shipped.store == store);
        known.unwrap_or_else(|| Shipped {
            store: store.to_owned(),
            ..Shipped::default()
        })
    }

    fn save(&self, path: &Path) -> io::Result<()> {
        durable::put(
            &RealDisk,
            path,
            &serde_json::to_vec(self).unwrap_or_default(),
        )
    }

    fn contains(&self, number: u64) -> bool {
        number <= self.upto || self.beyond.contains(&number)
    }

    fn insert(&mut self, number: u64) {
        self.beyond.insert(number);
        while self.beyond.remove(&(self.upto + 1)) {
            self.upto += 1;
        }
    }
}
