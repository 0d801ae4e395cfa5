use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    commit_log::{Chunk, Entry},
    ids::{EdgeId, HomeId},
    layout::{ChunkKey, EntryKey, LOG, log_prefix},
    store::{Store, StoreError},
};

/// The live chunks, in the order of their keys: a cheap, immutable picture of one moment.
pub type Snapshot = Arc<Vec<Arc<Chunk>>>;

/// Entries that are read at a time: a new replica reads the whole log, and a bucket answers slowly.
const READS_AT_ONCE: usize = 16;

/// The live set of chunks: the union of all adds less the union of all removes, so entries may be
/// applied in any order and more than once.
#[derive(Debug, Default)]
pub struct Catalog {
    seen: BTreeMap<(HomeId, EdgeId), Seen>,
    added: BTreeMap<ChunkKey, Arc<Chunk>>,
    removed: HashSet<ChunkKey>,
    snapshot: Snapshot,
    /// Whether entries were taken in that the snapshot does not show yet.
    stale: bool,
}

/// What one look at a store brought.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// Entries read for the first time.
    pub entries: usize,
    /// Entries that could not be read or used; they are tried again at the next look.
    pub failed: Vec<String>,
}

impl Catalog {
    /// Take one entry in. Says whether it was new.
    pub fn apply(&mut self, entry: &Entry) -> bool {
        let new = self.take(entry);
        if new {
            self.rebuild();
        }
        new
    }

    /// Take many entries in at once, which costs as much as one.
    pub fn apply_all<'e>(&mut self, entries: impl IntoIterator<Item = &'e Entry>) {
        for entry in entries {
            self.take(entry);
        }
        self.rebuild();
    }

    /// What the log says of a chunk, live or removed.
    #[must_use]
    pub fn get(&self, key: &ChunkKey) -> Option<&Arc<Chunk>> {
        self.added.get(key)
    }

    /// Whether an entry has removed a chunk.
    #[must_use]
    pub fn is_removed(&self, key: &ChunkKey) -> bool {
        self.removed.contains(key)
    }

    /// The live chunks now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.clone()
    }

    /// Every home that has a log.
    #[must_use]
    pub fn homes(&self) -> Vec<HomeId> {
        let homes: BTreeSet<&HomeId> = self.seen.keys().map(|(home, _)| home).collect();
        homes.into_iter().cloned().collect()
    }

    /// Read the entries of a store that were not seen yet, by listing logs only.
    pub async fn refresh(&mut self, store: &Store) -> Result<Refreshed, StoreError> {
        let refreshed = self.read_unseen(store).await;
        // Also where the store failed half way: what was read is true, and is not read again.
        if self.stale {
            self.rebuild();
        }
        refreshed
    }

    async fn read_unseen(&mut self, store: &Store) -> Result<Refreshed, StoreError> {
        let mut refreshed = Refreshed::default();
        for (home, writer) in writers(store).await? {
            let unseen = self.unseen(store, &home, writer).await?;
            let mut entries = stream::iter(unseen)
                .map(|key| async move { read_entry(store, &key).await })
                .buffer_unordered(READS_AT_ONCE);
            while let Some(entry) = entries.next().await {
                match entry {
                    Ok(entry) => {
                        self.take(&entry);
                        refreshed.entries += 1;
                    }
                    Err(reason) => refreshed.failed.push(reason),
                }
            }
        }
        Ok(refreshed)
    }

    async fn unseen(
        &self,
        store: &Store,
        home: &HomeId,
        writer: EdgeId,
    ) -> Result<Vec<EntryKey>, StoreError> {
        let seen = self.seen.get(&(home.clone(), writer));
        let key = |number| EntryKey {
            home: home.clone(),
            writer,
            number,
        };
        // Boxes ship newest first, so numbers may be missing: look again from the first gap.
        let offset = seen.map(|s| key(s.without_gap).to_string());
        let listed: Vec<_> = store
            .list(&log_prefix(home, writer), offset.as_deref())
            .try_collect()
            .await?;
        let keys = listed
            .iter()
            .filter_map(|object| object.location.as_ref().parse::<EntryKey>().ok());
        Ok(keys
            .filter(|key| !seen.is_some_and(|s| s.contains(key.number)))
            .collect())
    }

    fn take(&mut self, entry: &Entry) -> bool {
        if !self
            .seen
            .entry((entry.home.clone(), entry.writer))
            .or_default()
            .insert(entry.number)
        {
            return false;
        }
        for chunk in &entry.adds {
            self.added
                .insert(chunk.key.clone(), Arc::new(chunk.clone()));
        }
        self.removed.extend(entry.removes.iter().cloned());
        self.stale = true;
        true
    }

    fn rebuild(&mut self) {
        let live = self
            .added
            .iter()
            .filter(|(key, _)| !self.removed.contains(key));
        self.snapshot = Arc::new(live.map(|(_, chunk)| chunk.clone()).collect());
        self.stale = false;
    }
}

/// Every (home, writer) that has a log in a store.
pub async fn writers(store: &Store) -> Result<Vec<(HomeId, EdgeId)>, StoreError> {
    let mut found = Vec::new();
    for dir in store.list_dirs(LOG).await? {
        let Some(home) = dir
            .strip_prefix("home=")
            .and_then(|h| h.parse::<HomeId>().ok())
        else {
            continue;
        };
        let names = store.list_dirs(&format!("{LOG}/{dir}")).await?;
        found.extend(
            names
                .iter()
                .filter_map(|n| n.parse().ok())
                .map(|writer| (home.clone(), writer)),
        );
    }
    Ok(found)
}

/// Read one entry of a store.
pub async fn read_entry(store: &Store, key: &EntryKey) -> Result<Entry, String> {
    let bytes = store
        .get(&key.to_string())
        .await
        .map_err(|e| e.to_string())?;
    Entry::parse(key, &bytes).map_err(|e| e.to_string())
}

/// Numbers seen of one log: all up to one, and some beyond a gap.
#[derive(Debug, Default)]
struct Seen {
    without_gap: u64,
    beyond: BTreeSet<u64>,
}

impl Seen {
    fn contains(&self, number: u64) -> bool {
        number <= self.without_gap || self.beyond.contains(&number)
    }

    fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        self.beyond.insert(number);
        while self.beyond.remove(&(self.without_gap + 1)) {
            self.without_gap += 1;
        }
        true
    }
}
