use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::{Mutex, RwLock};
use tarn_common::{
    commit_log::Chunk,
    durable::{self, RealDisk},
    fleet::{self, Refused},
    ids::{FleetId, StoreName},
    layout::ChunkKey,
    placement::{Loads, Placement, PlacementKey, State, StoreSet},
    store::{
        Store,
        pool::{Member, Pool},
    },
};

use crate::ship::memory::places;

/// The stores of the box: those that it was given, and those that the fleet's store set names.
#[derive(Debug)]
pub struct BoxStores {
    given: Vec<Arc<Member>>,
    /// Those that have said that they belong to the fleet.
    pool: Arc<Pool>,
    patience: Duration,
    /// Where the store set is kept, `stores.json`, for a start without the stores.
    path: PathBuf,
    agreed: RwLock<Arc<Agreed>>,
    /// What this box has placed at each store.
    loads: Mutex<Loads>,
    told: Mutex<BTreeSet<String>>,
}

/// A store set, ready to place by.
#[derive(Debug)]
pub struct Agreed {
    /// The set.
    pub set: StoreSet,
    placement: Placement,
}

impl Agreed {
    fn new(set: StoreSet) -> Arc<Agreed> {
        let placement = Placement::of(&set);
        Arc::new(Agreed { set, placement })
    }

    /// Whether new copies go there.
    #[must_use]
    pub fn takes(&self, name: &StoreName) -> bool {
        let members = &self.set.members;
        members
            .iter()
            .any(|m| m.name == *name && m.state == State::Active)
    }

    /// The copies that a chunk is to have: as many as the set says, where there are as many stores.
    #[must_use]
    pub fn copies(&self) -> usize {
        let active = |m: &&_| {
            matches!(
                m,
                tarn_common::placement::Member {
                    state: State::Active,
                    ..
                }
            )
        };
        self.set
            .copies
            .min(self.set.members.iter().filter(active).count())
    }

    /// Stores for a chunk, the one to try first at the head: those that it was cut for, then the others as the ring
    /// has them.
    #[must_use]
    pub fn candidates(&self, chunk: &Chunk) -> Vec<StoreName> {
        let mut names: Vec<StoreName> = Vec::new();
        if chunk.stores.iter().all(|name| self.takes(name)) {
            names.clone_from(&chunk.stores);
        }
        for name in self.placement.order(&PlacementKey::of(&chunk.key)) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

impl BoxStores {
    /// The stores of flags. Nothing is asked yet: until the stores have answered, the set of the last run holds, or
    /// one made of what was given, `copies` of each chunk.
    #[must_use]
    pub fn new(given: Vec<Store>, copies: usize, path: PathBuf, patience: Duration) -> BoxStores {
        let given = fleet::named(given, patience);
        let kept = fs::read(&path)
            .ok()
            .and_then(|bytes| StoreSet::parse(&bytes).ok());
        let set = kept.unwrap_or_else(|| fleet::founding(&given, copies, FleetId(rand::random())));
        BoxStores {
            given,
            pool: Arc::default(),
            patience,
            path,
            agreed: RwLock::new(Agreed::new(set)),
            loads: Mutex::default(),
            told: Mutex::default(),
        }
    }

    /// What the memory of what was shipped knows these stores by.
    #[must_use]
    pub fn places(&self) -> String {
        let given: Vec<Store> = self.given.iter().map(|m| m.store().clone()).collect();
        places(&given)
    }

    /// The stores that may be used.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// What holds now.
    #[must_use]
    pub fn agreed(&self) -> Arc<Agreed> {
        self.agreed.read().clone()
    }

    /// Where a chunk is to go that is being cut.
    #[must_use]
    pub fn wanted(&self, key: &ChunkKey, bytes: u64) -> Vec<StoreName> {
        let agreed = self.agreed();
        let mut loads = self.loads.lock();
        let stores = agreed
            .placement
            .place(&PlacementKey::of(key), bytes, &loads);
        stores.iter().for_each(|name| loads.add(name, bytes));
        stores
    }

    /// Take what the log says was placed into account.
    pub fn count(&self, chunks: &[Arc<Chunk>]) {
        let mut loads = self.loads.lock();
        for chunk in chunks {
            chunk
                .stores
                .iter()
                .for_each(|name| loads.add(name, chunk.bytes));
        }
    }

    /// Whether a store that may be asked has not been.
    #[must_use]
    pub fn is_any_unknown(&self) -> bool {
        let unknown = |m: &Arc<Member>| self.pool.member(m.name()).is_none() && !m.is_down();
        self.members().iter().any(unknown)
    }

    /// Ask all stores whose they are and which set holds, and go by that from now on.
    ///
    /// # Errors
    /// Not one store may be used; why, of each.
    pub async fn join(&self) -> Result<(), String> {
        let (members, agreed) = (self.members(), self.agreed());
        let joined = fleet::join(&members, &agreed.set).await;
        self.tell(&joined.refused);
        if joined.set != agreed.set || !self.path.exists() {
            let (path, bytes) = (self.path.clone(), joined.set.to_bytes());
            let kept = tokio::task::spawn_blocking(move || durable::put(&RealDisk, &path, &bytes));
            if let Ok(Err(error)) = kept.await {
                tracing::warn!(%error, path = %self.path.display(), "the store set is not kept; a start without the stores goes by an older one");
            }
            tracing::info!(
                version = joined.set.version,
                copies = joined.set.copies,
                stores = joined.set.members.len(),
                "the store set"
            );
            *self.agreed.write() = Agreed::new(joined.set);
        }
        let is_ready = |m: &Arc<Member>| joined.ready.contains(m.name());
        let mut ready = self.pool.members();
        // One that is away now was ours when it answered.
        ready.retain(|m| {
            !joined
                .refused
                .iter()
                .any(|r| r.is_for_good() && r.name() == m.name())
        });
        for member in members.iter().filter(|m| is_ready(m)) {
            if !ready.iter().any(|other| other.name() == member.name()) {
                ready.push(member.clone());
            }
        }
        let none = ready.is_empty();
        self.pool.replace(ready);
        if none {
            let reasons: Vec<String> = joined.refused.iter().map(ToString::to_string).collect();
            return Err(reasons.join("; "));
        }
        Ok(())
    }

    /// Those given, and those that the set names beside them.
    fn members(&self) -> Vec<Arc<Member>> {
        let agreed = self.agreed();
        let mut members = self.given.clone();
        for member in &agreed.set.members {
            if members.iter().any(|known| *known.name() == member.name) {
                continue;
            }
            if let Some(known) = self.pool.member(&member.name) {
                members.push(known);
                continue;
            }
            match fleet::open(member, self.patience) {
                Ok(opened) => members.push(opened),
                Err(error) => self.tell_once(format!(
                    "the store set names {}, which cannot be opened: {error}",
                    member.name
                )),
            }
        }
        members
    }

    fn tell(&self, refused: &[Refused]) {
        for refused in refused.iter().filter(|refused| refused.is_for_good()) {
            self.tell_once(refused.to_string());
        }
        let set = &self.agreed().set;
        for member in &self.given {
            let is_named = set.members.iter().any(|m| m.name == *member.name());
            if set.version > 0 && !is_named {
                self.tell_once(format!(
                    "store {} is not in the fleet's store set and takes no chunks; add it with `tarn stores add`",
                    member.name()
                ));
            }
        }
    }

    fn tell_once(&self, what: String) {
        if self.told.lock().insert(what.clone()) {
            tracing::error!("{what}");
        }
    }
}
