use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    commit_log::{Chunk, Entry, Place, Root},
    ids::{EdgeId, HomeId, StoreName},
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
    placed: HashMap<ChunkKey, Placed>,
    roots: BTreeMap<HomeId, Root>,
    snapshot: Snapshot,
    /// Whether entries were taken in that the snapshot does not show yet.
    stale: bool,
}

/// The place of a chunk that holds, as a keeper logged it.
#[derive(Debug)]
struct Placed {
    by: PlacedBy,
    stores: Vec<StoreName>,
    wanted: Vec<StoreName>,
}

/// Which place of a chunk holds: of several the highest. That of the entry that adds it is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlacedBy {
    /// How often the chunk was placed, as far as the writer knew.
    pub rev: u64,
    /// Who placed it.
    pub writer: EdgeId,
    /// In which entry.
    pub number: u64,
}

impl Default for PlacedBy {
    fn default() -> PlacedBy {
        PlacedBy {
            rev: 0,
            writer: EdgeId(0),
            number: 0,
        }
    }
}

impl PlacedBy {
    /// That of a place in an entry.
    #[must_use]
    pub fn of(entry: &Entry, rev: u64) -> PlacedBy {
        PlacedBy {
            rev,
            writer: entry.writer,
            number: entry.number,
        }
    }
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

    /// How often a chunk was placed anew since it was added.
    #[must_use]
    pub fn rev(&self, key: &ChunkKey) -> u64 {
        self.placed.get(key).map_or(0, |placed| placed.by.rev)
    }

    /// By which place a chunk is where it is.
    #[must_use]
    pub fn placed_by(&self, key: &ChunkKey) -> PlacedBy {
        self.placed
            .get(key)
            .map_or_else(PlacedBy::default, |placed| placed.by)
    }

    /// Live chunks that are elsewhere than they should be because stores were away, with how often they were placed
    /// and where they should be.
    pub fn hinted(&self) -> impl Iterator<Item = (&Arc<Chunk>, u64, &[StoreName])> {
        let hinted = self
            .placed
            .iter()
            .filter(|(key, placed)| !placed.wanted.is_empty() && !self.removed.contains(*key));
        hinted.filter_map(|(key, placed)| {
            Some((self.added.get(key)?, placed.by.rev, &*placed.wanted))
        })
    }

    /// What the log says of a chunk that is live, and by which place it is where it is.
    #[must_use]
    pub fn placed(&self, key: &ChunkKey) -> Option<(Arc<Chunk>, PlacedBy)> {
        let chunk = self.added.get(key).filter(|_| !self.is_removed(key))?;
        Some((chunk.clone(), self.placed_by(key)))
    }

    /// Whether a chunk was added, and removed later.
    #[must_use]
    pub fn is_removed(&self, key: &ChunkKey) -> bool {
        self.removed.contains(key)
    }

    /// The newest root of a home.
    #[must_use]
    pub fn root(&self, home: &HomeId) -> Option<&Root> {
        self.roots.get(home)
    }

    /// Up to which number all entries of each writer of a home were taken in.
    #[must_use]
    pub fn upto(&self, home: &HomeId) -> BTreeMap<EdgeId, u64> {
        let of_home = self.seen.iter().filter(|((of, _), _)| of == home);
        of_home
            .map(|((_, writer), seen)| (*writer, seen.without_gap))
            .collect()
    }

    /// Whether no entry of a home is missing among those taken in.
    #[must_use]
    pub fn has_no_gaps(&self, home: &HomeId) -> bool {
        let mut of_home = self.seen.iter().filter(|((of, _), _)| of == home);
        of_home.all(|(_, seen)| seen.beyond.is_empty())
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
        let writers = writers(store).await?;
        self.refresh_from(store, writers).await
    }

    /// The same for the logs of one home.
    pub async fn refresh_home(
        &mut self,
        store: &Store,
        home: &HomeId,
    ) -> Result<Refreshed, StoreError> {
        let writers = writers_of(store, home).await?;
        self.refresh_from(store, writers).await
    }

    async fn refresh_from(
        &mut self,
        store: &Store,
        writers: Vec<(HomeId, EdgeId)>,
    ) -> Result<Refreshed, StoreError> {
        let refreshed = self.read_unseen(store, writers).await;
        // Also where the store failed half way: what was read is true, and is not read again.
        if self.stale {
            self.rebuild();
        }
        refreshed
    }

    async fn read_unseen(
        &mut self,
        store: &Store,
        writers: Vec<(HomeId, EdgeId)>,
    ) -> Result<Refreshed, StoreError> {
        let mut refreshed = Refreshed::default();
        for (home, writer) in writers {
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
            let mut chunk = chunk.clone();
            if let Some(placed) = self.placed.get(&chunk.key) {
                chunk.stores.clone_from(&placed.stores);
            }
            self.added.insert(chunk.key.clone(), Arc::new(chunk));
        }
        self.removed.extend(entry.removes.iter().cloned());
        for place in &entry.places {
            self.place(place, entry);
        }
        if let Some(root) = &entry.root {
            let newest = self.roots.get(&entry.home);
            if newest.is_none_or(|newest| newest.day <= root.day) {
                self.roots.insert(entry.home.clone(), root.clone());
            }
        }
        self.stale = true;
        true
    }

    fn place(&mut self, place: &Place, entry: &Entry) {
        let by = PlacedBy::of(entry, place.rev);
        let held = self.placed.get(&place.key);
        if held.is_some_and(|held| held.by > by) {
            return;
        }
        if let Some(chunk) = self.added.get_mut(&place.key) {
            Arc::make_mut(chunk).stores.clone_from(&place.stores);
        }
        let placed = Placed {
            by,
            stores: place.stores.clone(),
            wanted: place.wanted.clone(),
        };
        self.placed.insert(place.key.clone(), placed);
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
        found.extend(writers_of(store, &home).await?);
    }
    Ok(found)
}

/// Every writer that has a log of a home in a store, with the home.
async fn writers_of(store: &Store, home: &HomeId) -> Result<Vec<(HomeId, EdgeId)>, StoreError> {
    let names = store.list_dirs(&format!("{LOG}/home={home}")).await?;
    let writers = names.iter().filter_map(|name| name.parse().ok());
    Ok(writers.map(|writer| (home.clone(), writer)).collect())
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
