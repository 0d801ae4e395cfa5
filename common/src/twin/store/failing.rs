use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{TwinStore, TwinStoreError};
use crate::twin::{
    document::DocumentKey,
    replica::{Bundle, BundleKind},
};

/// Bundles of changes of a document that are worth a snapshot: few, so that a simulation compacts.
const CHANGES_MAX: usize = 8;

/// What several stores in memory share, as replicas share a bucket.
pub(crate) type Shared = Arc<Mutex<BTreeSet<Stored>>>;

/// A bundle in memory.
type Stored = (DocumentKey, BundleKind, Bytes);

/// A store in memory that fails in the ways that stores do, as a seed has it: before it stores, after some of it, and after all of it,
/// when only the answer is lost.
#[derive(Debug)]
pub(crate) struct FailingStore {
    shared: Shared,
    known: Mutex<BTreeSet<Stored>>,
    /// How many of a thousand operations fail.
    per_mille: Mutex<u32>,
    rng: Mutex<StdRng>,
}

impl FailingStore {
    /// A store that fails this many times in a thousand.
    pub(crate) fn new(shared: Shared, per_mille: u32, seed: u64) -> FailingStore {
        FailingStore {
            shared,
            known: Mutex::default(),
            per_mille: Mutex::new(per_mille),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }

    /// Fail this often from now on.
    pub(crate) fn fail(&self, per_mille: u32) {
        *self.per_mille.lock() = per_mille;
    }

    /// How many of a number of parts are done before it fails; none if it does not. All of them: only the answer is lost.
    fn failure(&self, parts: usize) -> Option<usize> {
        let mut rng = self.rng.lock();
        let fails = rng.random_range(0..1_000) < *self.per_mille.lock();
        fails.then(|| rng.random_range(0..=parts))
    }

    fn replace(&self, key: &DocumentKey, snapshot: Option<&Bundle>) {
        let (mut shared, mut known) = (self.shared.lock(), self.known.lock());
        let snapshot = snapshot.map(stored);
        shared.extend(snapshot.clone());
        let goes = |bundle: &Stored| bundle.0 == *key && Some(bundle) != snapshot.as_ref();
        for bundle in known.extract_if(.., goes) {
            shared.remove(&bundle);
        }
        known.extend(snapshot);
    }
}

fn stored(bundle: &Bundle) -> Stored {
    (bundle.key.clone(), bundle.kind, bundle.bytes.clone())
}

fn failed(action: &'static str) -> TwinStoreError {
    TwinStoreError::new(action, "failing store", "as told")
}

#[async_trait]
impl TwinStore for FailingStore {
    async fn load(&self) -> Result<Vec<Bundle>, TwinStoreError> {
        if self.failure(0).is_some() {
            return Err(failed("load"));
        }
        let (shared, mut known) = (self.shared.lock(), self.known.lock());
        let new: Vec<Stored> = shared.difference(&known).cloned().collect();
        known.extend(new.iter().cloned());
        let bundle = |(key, kind, bytes)| Bundle { key, kind, bytes };
        Ok(new.into_iter().map(bundle).collect())
    }

    async fn append(&self, bundles: &[Bundle]) -> Result<(), TwinStoreError> {
        if let Some(parts) = self.failure(bundles.len()) {
            // What was stored is not known here, as the answer never came.
            self.shared
                .lock()
                .extend(bundles[..parts].iter().map(stored));
            return Err(failed("append"));
        }
        self.shared.lock().extend(bundles.iter().map(stored));
        self.known.lock().extend(bundles.iter().map(stored));
        Ok(())
    }

    fn worn(&self) -> Vec<DocumentKey> {
        let known = self.known.lock();
        let changes = known
            .iter()
            .filter(|bundle| bundle.1 == BundleKind::Changes);
        let mut keys: Vec<DocumentKey> = changes.map(|bundle| bundle.0.clone()).collect();
        let is_worn = |same: &[DocumentKey]| same.len() > CHANGES_MAX;
        keys = keys
            .chunk_by(PartialEq::eq)
            .filter(|same| is_worn(same))
            .map(|same| same[0].clone())
            .collect();
        keys
    }

    async fn compact(
        &self,
        snapshots: &[Bundle],
        gone: &[DocumentKey],
    ) -> Result<(), TwinStoreError> {
        let failure = self.failure(snapshots.len() + 1);
        let parts = failure.unwrap_or(usize::MAX);
        for snapshot in snapshots.iter().take(parts) {
            self.replace(&snapshot.key, Some(snapshot));
        }
        if parts > snapshots.len() {
            gone.iter().for_each(|key| self.replace(key, None));
        }
        failure.map_or(Ok(()), |_| Err(failed("compact")))
    }
}
