use std::{
    any::Any,
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Weak, atomic::AtomicI64},
};

use bytes::Bytes;
use parking_lot::Mutex;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{
    commit_log::Chunk,
    durable::{ASIDE, aside},
    layout::ChunkKey,
    store::pool::{Pool, PoolError},
};

/// Settings of a [`ChunkCache`].
#[derive(Debug, Clone)]
pub struct CacheSettings {
    /// Where the files lie. It belongs to one cache alone.
    pub directory: PathBuf,
    /// Bytes of files to keep. Files in use stay even where they are more than that.
    pub budget_bytes: u64,
}

/// Copies of a store's chunks on local disk: fetched once, verified before their first use, the
/// least recently used out first.
#[derive(Debug)]
pub struct ChunkCache {
    settings: CacheSettings,
    kept: Mutex<Kept>,
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
    /// No store has a good copy, or none can be asked.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The cache's own disk failed.
    #[error("cache: {0}")]
    Disk(#[from] io::Error),
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

    /// A verified copy of a chunk, from disk or from the stores. Of many calls at a time for one chunk only one
    /// fetches it.
    pub async fn file(&self, stores: &Pool, chunk: &Chunk) -> Result<CachedFile, CacheError> {
        let flight = self.flight(&chunk.key);
        let _alone = flight.lock().await;
        if let Some(file) = self.kept_file(chunk).await {
            self.figures.hits.inc();
            return Ok(file);
        }
        self.figures.misses.inc();
        let count = |error: &PoolError| {
            let counter = match error {
                PoolError::Content { .. } => &self.figures.crc_faults,
                _ => &self.figures.fetch_errors,
            };
            counter.inc();
        };
        let bytes = stores.read_telling(chunk, &count).await?;
        self.figures.fetched_bytes.inc_by(bytes.len() as u64);
        self.keep(chunk, bytes).await
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
            .strip_suffix(ASIDE)
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
