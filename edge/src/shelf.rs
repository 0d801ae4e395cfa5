/// Entries that another copy of the box has overtaken get another id.
pub mod reissue;

use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::{Mutex, MutexGuard};
use tarn_common::{
    catalog::{Catalog, Snapshot},
    clock::Clock,
    commit_log::{Chunk, Entry},
    durable,
    ids::{EdgeId, HomeId, Seq, StoreName},
    keeper::Keeper,
    layout::{ChunkKey, EVENTS, EntryKey, READINGS, log_prefix},
    store::pool::Pool,
};

use crate::identity::Identity;

/// An entry of the box's log, in the order that the box wrote them: by its ids, then by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId {
    /// Where the writer stands among the ids that the box has had.
    pub era: usize,
    /// The id that it is written under.
    pub writer: EdgeId,
    /// Its number under that id.
    pub number: u64,
}

/// The box's own lake: its chunks, its commit log, and what is still on its disk.
///
/// The log stays for ever; chunks go, oldest first, once they are shipped and room is needed.
#[derive(Debug)]
pub struct Shelf {
    lake: PathBuf,
    identity: Identity,
    inner: Mutex<Inner>,
    /// Held by whoever writes a log entry, from its number until it is taken in.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Inner {
    catalog: Catalog,
    /// The chunks that each entry adds.
    entries: BTreeMap<EntryId, Vec<Arc<Chunk>>>,
    /// The chunks that entries remove, of those that do.
    removals: BTreeMap<EntryId, Vec<ChunkKey>>,
    /// Bytes of the chunks on this disk.
    on_disk: BTreeMap<ChunkKey, u64>,
    cut_upto: Seq,
    /// The newest entry of each keeper that the box has been.
    keepers: BTreeMap<EdgeId, u64>,
}

/// The lake on the box's disk cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ShelfError {
    /// The system refused.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A log entry is damaged, so what the disk holds is not known.
    #[error(
        "{path}: {reason}; restore the file from the store, where the same entry lies under the same key"
    )]
    Damaged {
        /// The entry's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ShelfError {
    let path = path.to_owned();
    move |source| ShelfError::Io {
        action,
        path,
        source,
    }
}

impl Shelf {
    /// Read the log in `lake`, and remove what a crash left: files aside, and chunks of a cut that
    /// was not logged (it will be done again, to the same names).
    pub fn open(lake: &Path, identity: Identity) -> Result<Shelf, ShelfError> {
        let mut inner = Inner::default();
        let mut log = Vec::new();
        for era in identity.stretches() {
            log.extend(read_log(lake, &identity.home, era.edge)?);
        }
        inner.catalog.apply_all(&log);
        for era in identity.stretches() {
            let keeper = keeper_of(era.edge);
            let placed = read_log(lake, &identity.home, keeper)?;
            inner
                .keepers
                .insert(keeper, placed.last().map_or(0, |entry| entry.number));
            inner.catalog.apply_all(&placed);
        }
        log.iter().for_each(|entry| inner.note(&identity, entry));
        inner.on_disk = sweep(lake, &identity, &inner.catalog)?;
        Ok(Shelf {
            lake: lake.to_owned(),
            identity,
            inner: Mutex::new(inner),
            writing: Mutex::new(()),
        })
    }

    /// Only one at a time writes a log entry. Held from the look at [`Shelf::next_number`] until [`Shelf::take`].
    pub fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock()
    }

    /// The live chunks, and the journal position up to which they account for everything.
    #[must_use]
    pub fn view(&self) -> (Snapshot, Seq) {
        let inner = self.inner.lock();
        (inner.catalog.snapshot(), inner.cut_upto)
    }

    /// Number of the next log entry under an id.
    #[must_use]
    pub fn next_number(&self, writer: EdgeId) -> u64 {
        let inner = self.inner.lock();
        let last = inner.entries.keys().rev().find(|id| id.writer == writer);
        last.map_or(0, |id| id.number) + 1
    }

    /// Take in an entry that is durable.
    pub fn take(&self, entry: &Entry) {
        let mut inner = self.inner.lock();
        inner.catalog.apply(entry);
        inner.note(&self.identity, entry);
        for chunk in &entry.adds {
            inner.on_disk.insert(chunk.key.clone(), chunk.bytes);
        }
    }

    /// The keeper that the box is: it goes on with the log on this disk.
    #[must_use]
    pub fn keeper(&self, pool: Arc<Pool>, clock: Arc<dyn Clock>) -> Keeper {
        let id = keeper_of(self.identity.edge);
        let number = self.inner.lock().keepers.get(&id).copied().unwrap_or(0);
        let numbers = BTreeMap::from([(self.identity.home.clone(), number)]);
        Keeper::new(id, pool, clock, Some(self.lake.clone()), numbers)
    }

    /// Take in where chunks were placed.
    pub fn take_places(&self, entry: &Entry) {
        let mut inner = self.inner.lock();
        inner.catalog.apply(entry);
        inner.keepers.insert(entry.writer, entry.number);
    }

    /// Every writer that the box has been, with the numbers of its entries.
    #[must_use]
    pub fn numbers(&self) -> Vec<(EdgeId, Vec<u64>)> {
        let inner = self.inner.lock();
        let mut numbers: BTreeMap<EdgeId, Vec<u64>> = BTreeMap::new();
        for id in inner.entries.keys() {
            numbers.entry(id.writer).or_default().push(id.number);
        }
        for (keeper, upto) in inner.keepers.iter().filter(|(_, upto)| **upto > 0) {
            numbers.insert(*keeper, (1..=*upto).collect());
        }
        numbers.into_iter().collect()
    }

    /// Whether a writer is one that only places chunks.
    #[must_use]
    pub fn is_keepers(&self, writer: EdgeId) -> bool {
        self.inner.lock().keepers.contains_key(&writer)
    }

    /// A chunk as the log has it now.
    #[must_use]
    pub fn chunk(&self, key: &ChunkKey) -> Option<Arc<Chunk>> {
        self.inner.lock().catalog.get(key).cloned()
    }

    /// How often a chunk was placed anew.
    #[must_use]
    pub fn rev(&self, key: &ChunkKey) -> u64 {
        self.inner.lock().catalog.rev(key)
    }

    /// Chunks that went to other stores because theirs were away: how often each was placed, and where it should be.
    #[must_use]
    pub fn hinted(&self) -> Vec<(Arc<Chunk>, u64, Vec<StoreName>)> {
        let inner = self.inner.lock();
        let hinted = inner.catalog.hinted();
        hinted
            .map(|(chunk, rev, wanted)| (chunk.clone(), rev, wanted.to_vec()))
            .collect()
    }

    /// Where a chunk lies, if it is still on this disk.
    #[must_use]
    pub fn path(&self, key: &ChunkKey) -> Option<PathBuf> {
        let on_disk = self.inner.lock().on_disk.contains_key(key);
        on_disk.then(|| self.lake.join(key.to_string()))
    }

    /// The box.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where the lake lies.
    #[must_use]
    pub fn lake(&self) -> &Path {
        &self.lake
    }

    /// The log entries after one, oldest first; all of them after none.
    #[must_use]
    pub fn entries_after(&self, id: Option<EntryId>) -> Vec<EntryId> {
        let from = id.map_or(Bound::Unbounded, Bound::Excluded);
        let inner = self.inner.lock();
        let entries = inner.entries.range((from, Bound::Unbounded));
        entries.map(|(id, _)| *id).collect()
    }

    /// The chunks that an entry adds, without those that a later one has removed.
    #[must_use]
    pub fn chunks(&self, id: EntryId) -> Vec<Arc<Chunk>> {
        let inner = self.inner.lock();
        let chunks = inner.entries.get(&id).into_iter().flatten();
        let live = chunks.filter(|chunk| !inner.catalog.is_removed(&chunk.key));
        live.cloned().collect()
    }

    /// The entries that have removed chunks of this one.
    #[must_use]
    pub fn removers(&self, id: EntryId) -> Vec<EntryId> {
        let inner = self.inner.lock();
        let of = |key: &ChunkKey| {
            let mut chunks = inner.entries.get(&id).into_iter().flatten();
            chunks.any(|chunk| chunk.key == *key)
        };
        let removers = inner.removals.range(id..);
        let removers = removers.filter(|(_, keys)| keys.iter().any(of));
        removers.map(|(remover, _)| *remover).collect()
    }

    /// An entry's key and its bytes as they were written.
    pub fn entry(&self, id: EntryId) -> Result<(EntryKey, Vec<u8>), ShelfError> {
        let key = EntryKey {
            home: self.identity.home.clone(),
            writer: id.writer,
            number: id.number,
        };
        let path = self.lake.join(key.to_string());
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        Ok((key, bytes))
    }

    /// The entries that have chunks on this disk, oldest first.
    #[must_use]
    pub fn entries_on_disk(&self) -> Vec<EntryId> {
        let inner = self.inner.lock();
        let has =
            |chunks: &Vec<Arc<Chunk>>| chunks.iter().any(|c| inner.on_disk.contains_key(&c.key));
        let entries = inner.entries.iter().filter(|(_, chunks)| has(chunks));
        entries.map(|(id, _)| *id).collect()
    }

    /// Bytes of chunks on this disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.inner.lock().on_disk.values().sum()
    }

    /// Remove a chunk's file; its log entry stays. Says how many bytes that freed.
    pub fn evict(&self, key: &ChunkKey) -> Result<u64, ShelfError> {
        let Some(bytes) = self.inner.lock().on_disk.remove(key) else {
            return Ok(0);
        };
        let path = self.lake.join(key.to_string());
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(io_error("evict", &path)(e)),
            _ => Ok(bytes),
        }
    }
}

/// The id under which a box says where it has placed chunks: its cuts have a log of their own.
fn keeper_of(edge: EdgeId) -> EdgeId {
    EdgeId(xxhash_rust::xxh3::xxh3_64(
        format!("keeper {edge}").as_bytes(),
    ))
}

impl Inner {
    /// Remember what an entry that the catalog has taken in says of this disk.
    fn note(&mut self, identity: &Identity, entry: &Entry) {
        self.cut_upto = self.cut_upto.max(entry.last);
        let logged = |chunk: &Chunk| self.catalog.get(&chunk.key).cloned();
        let chunks = entry.adds.iter().filter_map(logged).collect();
        let id = EntryId {
            era: identity.index_of(entry.writer).unwrap_or(usize::MAX),
            writer: entry.writer,
            number: entry.number,
        };
        self.entries.insert(id, chunks);
        if !entry.removes.is_empty() {
            self.removals.insert(id, entry.removes.clone());
        }
    }
}

/// Numbers of the entries that one id has on this disk, lowest first.
pub fn read_numbers(lake: &Path, home: &HomeId, writer: EdgeId) -> Result<Vec<u64>, ShelfError> {
    let prefix = log_prefix(home, writer);
    let numbers = files(&lake.join(&prefix))?.into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        Some(format!("{prefix}{name}").parse::<EntryKey>().ok()?.number)
    });
    Ok(numbers.collect())
}

/// The entries that one id has on this disk, oldest first; what a crash left aside is removed.
pub fn read_log(lake: &Path, home: &HomeId, writer: EdgeId) -> Result<Vec<Entry>, ShelfError> {
    let prefix = log_prefix(home, writer);
    let mut entries = Vec::new();
    for path in files(&lake.join(&prefix))? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if durable::is_aside(&name) {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
            continue;
        }
        let Ok(key) = format!("{prefix}{name}").parse::<EntryKey>() else {
            continue;
        };
        let bytes = fs::read(&path).map_err(io_error("read", &path))?;
        let entry = Entry::parse(&key, &bytes).map_err(|e| ShelfError::Damaged {
            path: path.clone(),
            reason: e.to_string(),
        })?;
        entries.push(entry);
    }
    Ok(entries)
}

/// The chunks on disk with their sizes, after what no log entry names was removed.
fn sweep(
    lake: &Path,
    identity: &Identity,
    catalog: &Catalog,
) -> Result<BTreeMap<ChunkKey, u64>, ShelfError> {
    let snapshot = catalog.snapshot();
    let live: HashSet<&ChunkKey> = snapshot.iter().map(|chunk| &chunk.key).collect();
    let mut on_disk = BTreeMap::new();
    let homes = [READINGS, EVENTS].map(|prefix| format!("{prefix}/home={}", identity.home));
    let mut dirs = Vec::new();
    for home in &homes {
        dirs.extend(files(&lake.join(home))?.into_iter().map(|dir| (home, dir)));
    }
    for (home, dir) in dirs {
        let date = dir
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        for path in files(&dir)? {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            match format!("{home}/{date}/{name}").parse::<ChunkKey>() {
                Ok(key) if live.contains(&key) => {
                    let meta = fs::metadata(&path).map_err(io_error("stat", &path))?;
                    on_disk.insert(key, meta.len());
                }
                Ok(key) if identity.had(key.edge) => {
                    tracing::info!(chunk = %key, "removing a chunk of a cut that was not finished, or of an eviction that was");
                    fs::remove_file(&path).map_err(io_error("remove", &path))?;
                }
                _ if durable::is_aside(&name) => {
                    fs::remove_file(&path).map_err(io_error("remove", &path))?;
                }
                _ => {}
            }
        }
    }
    Ok(on_disk)
}

/// What a directory holds, sorted; nothing when it is not there.
fn files(dir: &Path) -> Result<Vec<PathBuf>, ShelfError> {
    let listed = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(io_error("list", dir))?,
    };
    let paths: io::Result<Vec<PathBuf>> = listed.map(|entry| entry.map(|e| e.path())).collect();
    let mut paths = paths.map_err(io_error("list", dir))?;
    paths.sort();
    Ok(paths)
}
