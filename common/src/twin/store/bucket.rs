#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
};

use async_trait::async_trait;
use automerge::{Automerge, ROOT, ReadDoc};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;

use super::{TwinStore, TwinStoreError, readable};
use crate::{
    ids::HomeId,
    layout::{TWINS, TwinDocument, TwinKey, twins_prefix},
    store::{Store, StoreError},
    twin::{
        document::DocumentKey,
        replica::{Bundle, BundleKind},
    },
};

/// Objects that are put or deleted at a time.
const WRITES_AT_ONCE: usize = 8;
/// Objects that are read at a time.
const READS_AT_ONCE: usize = 16;
/// Bundles of changes of a document beside its snapshots that are not yet worth a new one.
pub const CHANGES_OBJECTS_MAX: usize = 32;
/// How often a look at the store begins again because others compact meanwhile.
const LISTS_MAX: usize = 8;
/// How often an object is read that is not what its name says, or whose document is not known, before it is left alone.
const TRIES_MAX: u32 = 3;

/// The documents of one home in a store of objects. Any number of values, in any number of processes, may use the same.
///
/// # Nothing is missed while others compact
///
/// Whoever compacts puts a snapshot first, reads it back, and only then deletes; and it deletes only what it has itself loaded or stored,
/// all of which is in the snapshot. So at each moment each change that was stored is in some object. A reader sees that over time:
///
/// - An object is listed and gone when it is read: the snapshot that replaced it was there before it went. The reader lists again.
/// - An object goes before the reader's listing comes to its name, and the listing had passed the place of the snapshot before that one
///   was put. The snapshot was there before the object went, so that any later listing shows it, or what has replaced it in turn. The
///   first look therefore lists until a listing shows nothing new, and at least twice. To escape it, one document must be compacted
///   again during each of the listings; then the next look finds it, because names are only ever passed over that were read.
/// - An object that somebody stores while it is compacted is not known to the one who compacts, so that it stays. Where its content is
///   the same as that of a known one, it has the same name and is in the snapshot.
///
/// Two that compact at once each delete what is in their own snapshot. If one deletes the snapshot of the other, it has loaded it, and
/// its own holds all that was in there.
///
/// What an [`append`](TwinStore::append) has put before it failed is not known, so that it is loaded later and no compaction takes it
/// away before.
#[derive(Debug)]
pub struct BucketStore {
    store: Store,
    home: HomeId,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Objects that were loaded or stored, and are not deleted.
    documents: BTreeMap<TwinDocument, Objects>,
    /// How often objects could not be used.
    unusable: HashMap<TwinKey, u32>,
    /// Whether all was loaded once.
    is_loaded: bool,
}

#[derive(Debug)]
struct Objects {
    key: DocumentKey,
    names: BTreeSet<(BundleKind, [u8; 32])>,
}

impl Known {
    fn has(&self, object: &TwinKey) -> bool {
        let objects = self.documents.get(&object.document);
        objects.is_some_and(|known| known.names.contains(&(object.kind, object.sha256)))
    }

    fn learn(&mut self, object: &TwinKey, key: &DocumentKey) {
        let objects = self.documents.entry(object.document.clone());
        let objects = objects.or_insert_with(|| Objects {
            key: key.clone(),
            names: BTreeSet::new(),
        });
        objects.names.insert((object.kind, object.sha256));
    }

    fn forget(&mut self, object: &TwinKey) {
        if let Some(objects) = self.documents.get_mut(&object.document) {
            objects.names.remove(&(object.kind, object.sha256));
            if objects.names.is_empty() {
                self.documents.remove(&object.document);
            }
        }
    }
}

/// Homes that have twins in a store.
///
/// # Errors
/// It cannot be listed.
pub async fn homes(store: &Store) -> Result<Vec<HomeId>, TwinStoreError> {
    let dirs = store.list_dirs(TWINS).await;
    let dirs = dirs.map_err(|error| TwinStoreError::new("list", TWINS, error))?;
    let names = dirs.iter().filter_map(|dir| dir.strip_prefix("home="));
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

impl BucketStore {
    /// The twins of a home in a store. Nothing is sent yet.
    #[must_use]
    pub fn new(store: Store, home: HomeId) -> BucketStore {
        BucketStore {
            store,
            home,
            known: Mutex::default(),
        }
    }

    async fn list(&self) -> Result<Vec<TwinKey>, TwinStoreError> {
        let prefix = twins_prefix(&self.home);
        let objects: Vec<_> = self
            .store
            .list(&prefix, None)
            .try_collect()
            .await
            .map_err(|error| TwinStoreError::new("list", prefix, error))?;
        let keys = objects.iter().map(|object| object.location.as_ref());
        Ok(keys.filter_map(|key| key.parse().ok()).collect())
    }

    /// Get an object; none that is gone.
    async fn get(&self, object: TwinKey) -> Result<(TwinKey, Option<Bytes>), TwinStoreError> {
        match self.store.get(&object.to_string()).await {
            Ok(bytes) => Ok((object, Some(bytes))),
            Err(StoreError::NotFound { .. }) => Ok((object, None)),
            Err(error) => Err(TwinStoreError::new("get", object, error)),
        }
    }

    async fn put(&self, bundle: &Bundle) -> Result<TwinKey, TwinStoreError> {
        let object = TwinKey::of(&self.home, bundle);
        let done = self
            .store
            .put_among_others(&object.to_string(), bundle.bytes.clone())
            .await;
        match done {
            Ok(()) => Ok(object),
            Err(error) => Err(TwinStoreError::new("put", object, error)),
        }
    }

    /// Note that an object cannot be used now.
    fn leave_out(&self, object: &TwinKey, reason: &str) {
        let mut known = self.known.lock();
        let tries = known.unusable.entry(object.clone()).or_default();
        *tries += 1;
        if *tries == 1 {
            tracing::error!(home = %self.home, %object, reason, "a stored part of a twin is left out");
        }
    }

    /// The documents that objects are of. The id of one that is too long for a key is in its first changes and in its snapshots.
    fn bundles(&self, got: Vec<(TwinKey, Bytes)>) -> Vec<(TwinKey, Bundle)> {
        let mut long: BTreeMap<TwinDocument, Option<DocumentKey>> = BTreeMap::new();
        for (object, bytes) in &got {
            if object.document.key().is_none() {
                let key = long.entry(object.document.clone()).or_insert_with(|| {
                    let known = self.known.lock();
                    let objects = known.documents.get(&object.document);
                    objects.map(|objects| objects.key.clone())
                });
                if key.is_none() {
                    *key = id_in(bytes).and_then(|id| object.document.key_of(&id));
                }
            }
        }
        let mut bundles = Vec::with_capacity(got.len());
        for (object, bytes) in got {
            let key = object
                .document
                .key()
                .or_else(|| long.get(&object.document).cloned().flatten());
            let Some(key) = key else {
                self.leave_out(&object, "it is not known which document it is of");
                continue;
            };
            let kind = object.kind;
            bundles.push((object, Bundle { key, kind, bytes }));
        }
        bundles
    }

    /// Put a snapshot, see that it is there, and delete what it replaces.
    async fn replace(&self, snapshot: &Bundle) -> Result<(), TwinStoreError> {
        let object = self.put(snapshot).await?;
        let (object, read) = self.get(object).await?;
        let read = read.filter(|read| object.is_of(read));
        let is_there = read.is_some_and(|read| super::check(&snapshot.key, &read).is_ok());
        if !is_there {
            return Err(TwinStoreError::new(
                "read back",
                object,
                "it is not what was put",
            ));
        }
        let old = self.objects(&object.document, Some(&object));
        self.known.lock().learn(&object, &snapshot.key);
        self.delete(old).await
    }

    /// What is known of a document, except for one.
    fn objects(&self, document: &TwinDocument, except: Option<&TwinKey>) -> Vec<TwinKey> {
        let known = self.known.lock();
        let names = known.documents.get(document);
        let names = names.into_iter().flat_map(|objects| &objects.names);
        let objects = names.map(|&(kind, sha256)| TwinKey {
            home: self.home.clone(),
            document: document.clone(),
            kind,
            sha256,
        });
        objects.filter(|object| except != Some(object)).collect()
    }

    async fn delete(&self, objects: Vec<TwinKey>) -> Result<(), TwinStoreError> {
        let delete = |object: TwinKey| async move {
            match self.store.delete(&object.to_string()).await {
                Ok(()) => {
                    self.known.lock().forget(&object);
                    Ok(())
                }
                Err(error) => Err(TwinStoreError::new("delete", object, error)),
            }
        };
        let deletes = stream::iter(objects.into_iter().map(delete));
        deletes.buffer_unordered(WRITES_AT_ONCE).try_collect().await
    }
}

#[async_trait]
impl TwinStore for BucketStore {
    async fn load(&self) -> Result<Vec<Bundle>, TwinStoreError> {
        let mut seen: HashSet<TwinKey> = HashSet::new();
        let mut got: Vec<(TwinKey, Bytes)> = Vec::new();
        for round in 0..LISTS_MAX {
            let mut new = self.list().await?;
            let is_first = {
                let known = self.known.lock();
                new.retain(|object| {
                    let tries = known.unusable.get(object).copied().unwrap_or_default();
                    !known.has(object) && tries < TRIES_MAX && !seen.contains(object)
                });
                !known.is_loaded && round == 0
            };
            if new.is_empty() && !is_first {
                let bundles = self.bundles(got);
                let mut known = self.known.lock();
                known.is_loaded = true;
                return Ok(bundles
                    .into_iter()
                    .map(|(object, bundle)| {
                        known.unusable.remove(&object);
                        known.learn(&object, &bundle.key);
                        bundle
                    })
                    .collect());
            }
            let mut reads = stream::iter(new.into_iter().map(|object| self.get(object)))
                .buffer_unordered(READS_AT_ONCE);
            while let Some(read) = reads.next().await {
                let (object, bytes) = read?;
                // One that is gone is not seen: should somebody put it again, it is read.
                let Some(bytes) = bytes else {
                    continue;
                };
                seen.insert(object.clone());
                if object.is_of(&bytes) {
                    got.push((object, bytes));
                } else {
                    self.leave_out(&object, "its SHA-256 is not the one in its name");
                }
            }
        }
        Err(TwinStoreError::new(
            "list",
            twins_prefix(&self.home),
            "it changes faster than it can be read",
        ))
    }

    async fn append(&self, bundles: &[Bundle]) -> Result<(), TwinStoreError> {
        let puts: Vec<_> = bundles.iter().map(|bundle| self.put(bundle)).collect();
        let puts = stream::iter(puts);
        let objects: Vec<TwinKey> = puts.buffered(WRITES_AT_ONCE).try_collect().await?;
        let mut known = self.known.lock();
        for (object, bundle) in objects.iter().zip(bundles) {
            known.learn(object, &bundle.key);
        }
        Ok(())
    }

    fn worn(&self) -> Vec<DocumentKey> {
        let known = self.known.lock();
        let is_worn = |objects: &&Objects| {
            let changes = objects
                .names
                .iter()
                .filter(|(kind, _)| *kind == BundleKind::Changes);
            changes.count() > CHANGES_OBJECTS_MAX
        };
        let worn = known.documents.values().filter(is_worn);
        worn.map(|objects| objects.key.clone()).collect()
    }

    async fn compact(
        &self,
        snapshots: &[Bundle],
        gone: &[DocumentKey],
    ) -> Result<(), TwinStoreError> {
        let snapshots = readable(snapshots);
        let replaces: Vec<_> = snapshots
            .into_iter()
            .map(|snapshot| self.replace(snapshot))
            .collect();
        let replaces = stream::iter(replaces).buffer_unordered(WRITES_AT_ONCE);
        let () = replaces.try_collect().await?;
        let gone = gone.iter().map(TwinDocument::of);
        let objects = gone.flat_map(|document| self.objects(&document, None));
        self.delete(objects.collect()).await
    }
}

/// The id that a document says of itself, if these bytes have its beginning.
fn id_in(bytes: &[u8]) -> Option<String> {
    let read = || {
        let mut automerge = Automerge::new();
        automerge.load_incremental(bytes).ok()?;
        let (id, _) = automerge.get(ROOT, "id").ok()??;
        id.as_str().map(str::to_owned)
    };
    // Hostile bytes with good checksums can make Automerge panic.
    catch_unwind(AssertUnwindSafe(read)).ok().flatten()
}
