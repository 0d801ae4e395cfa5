use std::{
    any::Any,
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Weak, atomic::AtomicI64},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};
use tokio::time::Instant;

use crate::{
    commit_log::{Chunk, ContentFault},
    durable::aside,
    layout::ChunkKey,
    store::{Store, StoreError},
};

/// Failures of a store in a row after which it is left alone for [`PAUSE`].
const FAILURES_BEFORE_PAUSE: u32 = 3;

/// How long a failing store is left alone, so that one dead store does not hold up each of a
/// thousand chunks for the whole fetch timeout.
const PAUSE: Duration = Duration::from_secs(2);

/// Settings of a [`ChunkCache`].
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Where the files lie. It belongs to one cache alone.
    pub directory: PathBuf,
    /// Bytes of files to keep. Files in use stay even where they are more than that.
    pub budget_bytes: u64,
    /// How long one chunk may take from one store.
    pub fetch_timeout: Duration,
}

/// Copies of a store's chunks on local disk: fetched once, verified before their first use, the
/// least recently used out first.
#[derive(Debug)]
pub struct ChunkCache {
    settings: CacheSettings,
    kept: Mutex<Kept>,
    stores: Mutex<HashMap<String, Health>>,
    figures: Figures,
}

/// A verified copy of a chunk. The file stays at least while this, or a clone, lives.
#[derive(Debug, Clone)]
pub struct CachedFile {
    /// Absolute path of the file.
    pub path: PathBuf,
    in_use: Arc<InUse>,
}

impl CachedFile {
    /// What keeps the file in place while it lives.
    #[must_use]
    pub fn guard(&self) -> Arc<dyn Any + Send + Sync> {
        self.in_use.clone()
    }
}

/// Why a chunk could not be had.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// There is no store to ask.
    #[error("no store holds it")]
    NoStore,
    /// The store failed or refused, or has no such object.
    #[error("{}", with_source(.0))]
    Store(#[from] StoreError),
    /// The store did not answer in time.
    #[error("the store did not answer within {0:?}")]
    Timeout(Duration),
    /// The store failed a moment ago, and is left alone for a while.
    #[error("the store is failing: {0}")]
    Paused(String),
    /// The object is not what the log says.
    #[error("{0}")]
    Content(#[from] ContentFault),
    /// The cache's own disk failed.
    #[error("cache: {0}")]
    Disk(#[from] io::Error),
}

fn with_source(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Counters of a cache; all only grow, but for the two gauges.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    /// Files served from disk.
    pub hits: Counter,
    /// Files that had to be fetched.
    pub misses: Counter,
    /// Files put out to make room.
    pub evictions: Counter,
    /// Bytes fetched.
    pub fetched_bytes: Counter,
    /// Objects and kept files whose size or CRC32 was not as logged.
    pub crc_faults: Counter,
    /// Fetches that failed in any other way.
    pub fetch_errors: Counter,
    /// Bytes kept.
    pub bytes: Gauge<i64, AtomicI64>,
    /// Files kept.
    pub files: Gauge<i64, AtomicI64>,
}

#[derive(Debug, Default)]
struct InUse;

#[derive(Debug, Default)]
struct Kept {
    files: HashMap<ChunkKey, KeptFile>,
    flights: HashMap<ChunkKey, Weak<tokio::sync::Mutex<()>>>,
    bytes: u64,
    uses: u64,
}

#[derive(Debug)]
struct KeptFile {
    bytes: u64,
    /// CRC32 that was found true; none until the first use after a start.
    verified: Option<u32>,
    last_use: u64,
    in_use: Weak<InUse>,
}

#[derive(Debug, Default)]
struct Health {
    failures: u32,
    last: Option<(Instant, String)>,
}

impl ChunkCache {
    /// A cache in a directory; made if absent. Files that an earlier run left are kept, and each is
    /// verified before its first use.
    pub fn open(settings: CacheSettings) -> io::Result<ChunkCache> {
        std::fs::create_dir_all(&settings.directory)?;
        let directory = settings.directory.canonicalize()?;
        let mut kept = Kept::default();
        find_files(&directory, &directory, &mut kept)?;
        let cache = ChunkCache {
            settings: CacheSettings {
                directory,
                ..settings
            },
            kept: Mutex::new(kept),
            stores: Mutex::default(),
            figures: Figures::default(),
        };
        cache.make_room(&mut cache.kept.lock(), 0);
        Ok(cache)
    }

    /// Counters since the start.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Register the counters.
    pub fn register(&self, registry: &mut Registry) {
        let f = &self.figures;
        registry.register("hits", "Chunks served from the cache", f.hits.clone());
        registry.register("misses", "Chunks that had to be fetched", f.misses.clone());
        registry.register(
            "evictions",
            "Chunks put out to make room",
            f.evictions.clone(),
        );
        registry.register_with_unit(
            "fetched",
            "Bytes fetched from stores",
            Unit::Bytes,
            f.fetched_bytes.clone(),
        );
        registry.register(
            "crc_faults",
            "Copies whose size or CRC32 was wrong",
            f.crc_faults.clone(),
        );
        registry.register(
            "fetch_errors",
            "Fetches that failed otherwise",
            f.fetch_errors.clone(),
        );
        registry.register_with_unit("kept", "Bytes kept", Unit::Bytes, f.bytes.clone());
        registry.register("files", "Chunks kept", f.files.clone());
    }

    /// A verified copy of a chunk, from disk or from the first of these stores that has a good one.
    /// Of many calls at a time for one chunk only one fetches it.
    pub async fn file(&self, stores: &[Store], chunk: &Chunk) -> Result<CachedFile, CacheError> {
        let flight = self.flight(&chunk.key);
        let _alone = flight.lock().await;
        if let Some(file) = self.kept_file(chunk).await {
            self.figures.hits.inc();
            return Ok(file);
        }
        self.figures.misses.inc();
        let mut last = CacheError::NoStore;
        for store in stores {
            match self.fetch(store, chunk).await {
                Ok(bytes) => return self.keep(chunk, bytes).await,
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn flight(&self, key: &ChunkKey) -> Arc<tokio::sync::Mutex<()>> {
        let mut kept = self.kept.lock();
        if let Some(flight) = kept.flights.get(key).and_then(Weak::upgrade) {
            return flight;
        }
        kept.flights.retain(|_, flight| flight.strong_count() > 0);
        let flight = Arc::default();
        kept.flights.insert(key.clone(), Arc::downgrade(&flight));
        flight
    }

    /// The copy on disk, if there is a good one.
    async fn kept_file(&self, chunk: &Chunk) -> Option<CachedFile> {
        let verified = {
            let mut kept = self.kept.lock();
            kept.uses += 1;
            let now = kept.uses;
            let file = kept.files.get_mut(&chunk.key)?;
            file.last_use = now;
            file.verified == Some(chunk.crc32)
        };
        let (path, logged) = (self.path(&chunk.key), chunk.clone());
        let good = tokio::task::spawn_blocking(move || {
            if verified {
                return std::fs::metadata(&path).is_ok_and(|found| found.len() == logged.bytes);
            }
            std::fs::read(&path).is_ok_and(|bytes| logged.check(&bytes).is_ok())
        });
        let good = good.await.unwrap_or(false);
        let mut kept = self.kept.lock();
        if good {
            return self.use_file(&mut kept, chunk);
        }
        self.figures.crc_faults.inc();
        self.forget(&mut kept, &chunk.key);
        None
    }

    async fn fetch(&self, store: &Store, chunk: &Chunk) -> Result<Bytes, CacheError> {
        self.check_health(store)?;
        let timeout = self.settings.fetch_timeout;
        let key = chunk.key.to_string();
        let got = match tokio::time::timeout(timeout, store.get(&key)).await {
            Err(_) => Err(CacheError::Timeout(timeout)),
            Ok(Err(error)) => Err(CacheError::Store(error)),
            Ok(Ok(bytes)) => Ok(bytes),
        };
        self.note_health(store, &got);
        let bytes = got.inspect_err(|_| {
            self.figures.fetch_errors.inc();
        })?;
        self.figures.fetched_bytes.inc_by(bytes.len() as u64);
        let logged = chunk.clone();
        let check = tokio::task::spawn_blocking(move || logged.check(&bytes).map(|()| bytes)).await;
        let checked = check.map_err(io::Error::other)?;
        Ok(checked.inspect_err(|_| {
            self.figures.crc_faults.inc();
        })?)
    }

    fn check_health(&self, store: &Store) -> Result<(), CacheError> {
        let stores = self.stores.lock();
        let Some(health) = stores.get(store.url().as_str()) else {
            return Ok(());
        };
        match &health.last {
            Some((at, reason))
                if health.failures >= FAILURES_BEFORE_PAUSE && at.elapsed() < PAUSE =>
            {
                Err(CacheError::Paused(reason.clone()))
            }
            _ => Ok(()),
        }
    }

    fn note_health(&self, store: &Store, got: &Result<Bytes, CacheError>) {
        let mut stores = self.stores.lock();
        let health = stores.entry(store.url().to_string()).or_default();
        match got {
            // A store that says that it has no such object works.
            Ok(_) | Err(CacheError::Store(StoreError::NotFound { .. })) => {
                *health = Health::default();
            }
            Err(error) => {
                health.failures += 1;
                health.last = Some((Instant::now(), error.to_string()));
            }
        }
    }

    async fn keep(&self, chunk: &Chunk, bytes: Bytes) -> Result<CachedFile, CacheError> {
        let path = self.path(&chunk.key);
        self.make_room(&mut self.kept.lock(), bytes.len() as u64);
        // No fsync: a file is verified before its first use after a start, and can be fetched again.
        let write = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            std::fs::write(aside(&path), &bytes)?;
            std::fs::rename(aside(&path), &path)
        });
        write.await.map_err(io::Error::other)??;
        let mut kept = self.kept.lock();
        kept.uses += 1;
        let file = KeptFile {
            bytes: chunk.bytes,
            verified: Some(chunk.crc32),
            last_use: kept.uses,
            in_use: Weak::new(),
        };
        kept.bytes += chunk.bytes;
        if let Some(before) = kept.files.insert(chunk.key.clone(), file) {
            kept.bytes -= before.bytes;
        }
        self.show(&kept);
        let file = self.use_file(&mut kept, chunk);
        file.ok_or_else(|| io::Error::other("a file just kept is not there").into())
    }

    fn use_file(&self, kept: &mut Kept, chunk: &Chunk) -> Option<CachedFile> {
        let file = kept.files.get_mut(&chunk.key)?;
        file.verified = Some(chunk.crc32);
        let in_use = file.in_use.upgrade().unwrap_or_default();
        file.in_use = Arc::downgrade(&in_use);
        Some(CachedFile {
            path: self.path(&chunk.key),
            in_use,
        })
    }

    /// Put out the least recently used files that nobody uses, until so many bytes fit.
    fn make_room(&self, kept: &mut Kept, bytes: u64) {
        while kept.bytes + bytes > self.settings.budget_bytes {
            let idle = kept
                .files
                .iter()
                .filter(|(_, file)| file.in_use.strong_count() == 0);
            let Some(oldest) = idle
                .min_by_key(|(_, file)| file.last_use)
                .map(|(key, _)| key.clone())
            else {
                break;
            };
            self.forget(kept, &oldest);
            self.figures.evictions.inc();
        }
        self.show(kept);
    }

    fn forget(&self, kept: &mut Kept, key: &ChunkKey) {
        if let Some(file) = kept.files.remove(key) {
            kept.bytes -= file.bytes;
        }
        // What cannot be removed is replaced when the chunk is fetched again.
        let _ = std::fs::remove_file(self.path(key));
        self.show(kept);
    }

    fn show(&self, kept: &Kept) {
        self.figures
            .bytes
            .set(i64::try_from(kept.bytes).unwrap_or(i64::MAX));
        self.figures
            .files
            .set(i64::try_from(kept.files.len()).unwrap_or(i64::MAX));
    }

    fn path(&self, key: &ChunkKey) -> PathBuf {
        self.settings.directory.join(key.to_string())
    }
}

/// Take in the files below a directory whose paths are keys, and remove what was left aside.
fn find_files(root: &Path, directory: &Path, kept: &mut Kept) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            find_files(root, &path, kept)?;
            continue;
        }
        let relative = path
            .strip_prefix(root)
            .ok()
            .and_then(Path::to_str)
            .unwrap_or_default();
        if let Some(key) = relative
            .strip_suffix(".tmp")
            .and_then(|key| key.parse::<ChunkKey>().ok())
        {
            let _ = (key, std::fs::remove_file(&path));
        } else if let Ok(key) = relative.parse::<ChunkKey>() {
            let bytes = entry.metadata()?.len();
            kept.bytes += bytes;
            kept.files.insert(
                key,
                KeptFile {
                    bytes,
                    verified: None,
                    last_use: 0,
                    in_use: Weak::new(),
                },
            );
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "cache/tests.rs"]
mod tests;
