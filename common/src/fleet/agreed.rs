use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use super::{Refused, founding, join, named, open, tell};
use crate::{
    commit_log::Chunk,
    durable::{self, RealDisk},
    ids::{FleetId, StoreName},
    layout::ChunkKey,
    placement::{self, Change, Loads, Placement, PlacementKey, SetError, State, StoreSet},
    store::{
        Store, StoreError,
        pool::{Member, Pool},
    },
};

/// How often the stores are asked which set holds.
const JOIN_EVERY: Duration = Duration::from_secs(300);

/// The stores of a node, box or cloud: those that it was given, and those that the fleet's store set names.
#[derive(Debug)]
pub struct Fleet {
    given: Vec<Arc<Member>>,
    /// Those that have said that they belong to the fleet.
    pool: Arc<Pool>,
    patience: Duration,
    /// Where the store set is kept for a start without the stores, on a box.
    path: Option<PathBuf>,
    /// It founds no fleet, and stores that have not said yet whose they are may be read, too.
    reads_any: bool,
    /// Copies that were asked for, if any were.
    copies: Option<usize>,
    agreed: RwLock<Arc<Agreed>>,
    /// What this box has placed at each store.
    loads: Mutex<Loads>,
    told: Mutex<BTreeSet<String>>,
    /// Stores that belong to others, or are the same place as another.
    unusable: Mutex<BTreeSet<StoreName>>,
    joined: Mutex<Option<Instant>>,
}

/// A store set was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The set that it would be cannot be.
    #[error(transparent)]
    Set(#[from] SetError),
    /// The store may not be added.
    #[error(transparent)]
    Refused(Refused),
    /// Its URL is wrong.
    #[error("{0}")]
    Open(String),
    /// Nobody has founded the fleet.
    #[error("these stores belong to no fleet yet; start a box with them, or use `tarn stores`")]
    NoFleet,
    /// No store can be asked, or takes the set.
    #[error("{0}")]
    NoStore(String),
    /// Somebody else has changed the set at the same time.
    #[error(
        "somebody else has changed the stores meanwhile (version {0}); look at them, and try again"
    )]
    Overtaken(u64),
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
        self.placement.copies()
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

impl Fleet {
    /// The stores of flags. Nothing is asked yet: until the stores have answered, the set of the last run holds, or
    /// one made of what was given, `copies` of each chunk or 1.
    #[must_use]
    pub fn new(
        given: Vec<Store>,
        copies: Option<usize>,
        path: Option<PathBuf>,
        patience: Duration,
    ) -> Fleet {
        let given = named(given, patience);
        let kept = path.as_ref().and_then(|path| fs::read(path).ok());
        let kept = kept.and_then(|bytes| StoreSet::parse(&bytes).ok());
        let set =
            kept.unwrap_or_else(|| founding(&given, copies.unwrap_or(1), FleetId(rand::random())));
        Fleet {
            given,
            pool: Arc::default(),
            patience,
            path,
            reads_any: false,
            copies,
            agreed: RwLock::new(Agreed::new(set)),
            loads: Mutex::default(),
            told: Mutex::default(),
            unusable: Mutex::default(),
            joined: Mutex::default(),
        }
    }

    /// Found no fleet, and have stores read that have not said yet whose they are: for a node that puts no chunks there by
    /// itself.
    #[must_use]
    pub fn reading_any(self) -> Fleet {
        self.pool.replace(self.given.clone());
        Fleet {
            reads_any: true,
            ..self
        }
    }

    /// Where the stores are that were given.
    pub fn given(&self) -> impl Iterator<Item = &Store> {
        self.given.iter().map(|member| member.store())
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
        chunks.iter().for_each(|chunk| loads.add_chunk(chunk));
    }

    /// Whether a store that may be asked has not been, or not for a while.
    #[must_use]
    pub fn is_any_unknown(&self) -> bool {
        let joined = *self.joined.lock();
        if joined.is_none_or(|at| at.elapsed() > JOIN_EVERY) {
            return true;
        }
        let unusable = self.unusable.lock();
        let unknown = |m: &Arc<Member>| {
            self.pool.member(m.name()).is_none() && !m.is_down() && !unusable.contains(m.name())
        };
        self.members().iter().any(unknown)
    }

    /// Ask all stores whose they are and which set holds, and go by that from now on.
    ///
    /// # Errors
    /// Not one store may be used; why, of each.
    pub async fn join(&self) -> Result<(), String> {
        let mut answer = self.join_once().await;
        // A newer set may name stores that were not asked.
        while answer == Ok(true) {
            answer = self.join_once().await;
        }
        answer.map(|_| ())
    }

    /// Says whether another set holds than before.
    async fn join_once(&self) -> Result<bool, String> {
        let (members, agreed) = (self.members(), self.agreed());
        let joined = join(&members, &agreed.set, !self.reads_any).await;
        self.warn(&joined.refused);
        let is_new = joined.set != agreed.set;
        if joined.set != agreed.set {
            tracing::info!(
                version = joined.set.version,
                copies = joined.set.copies,
                stores = joined.set.members.len(),
                "the store set"
            );
            self.agree_on(joined.set).await;
        }
        let is_ready = |m: &Arc<Member>| joined.ready.contains(m.name());
        let is_refused = |m: &Arc<Member>, for_good| {
            let mut refused = joined.refused.iter();
            refused.any(|r| r.is_for_good() == for_good && r.name() == m.name())
        };
        let is_away = |m: &Arc<Member>| is_refused(m, false);
        let members = self.members();
        let mut ready = self.pool.members();
        // One that is away now was ours when it answered.
        ready.retain(|m| !is_refused(m, true) && members.iter().any(|other| Arc::ptr_eq(other, m)));
        let refused = members.iter().filter(|m| is_refused(m, true));
        *self.unusable.lock() = refused.map(|m| m.name().clone()).collect();
        *self.joined.lock() = Some(Instant::now());
        for member in members
            .iter()
            .filter(|m| is_ready(m) || self.reads_any && is_away(m))
        {
            if !ready.iter().any(|other| other.name() == member.name()) {
                ready.push(member.clone());
            }
        }
        self.pool.replace(ready);
        let is_unclaimed = |r: &Refused| matches!(r, Refused::Unclaimed { .. });
        if joined.ready.is_empty() && !joined.refused.iter().any(is_unclaimed) {
            let reasons: Vec<String> = joined.refused.iter().map(ToString::to_string).collect();
            return Err(reasons.join("; "));
        }
        Ok(is_new)
    }

    async fn agree_on(&self, set: StoreSet) {
        if let Some(path) = self.path.clone() {
            let bytes = set.to_bytes();
            let kept = tokio::task::spawn_blocking(move || durable::put(&RealDisk, &path, &bytes));
            if let Ok(Err(error)) = kept.await {
                tracing::warn!(%error, "the store set is not kept; a start without the stores goes by an older one");
            }
        }
        *self.agreed.write() = Agreed::new(set);
    }

    /// Change the store set, for all nodes of the fleet. A store that is added must be empty, or of this fleet.
    ///
    /// # Errors
    /// Why it cannot be, and what to do instead.
    pub async fn change(&self, change: Change) -> Result<Arc<Agreed>, ChangeError> {
        self.join().await.map_err(ChangeError::NoStore)?;
        if self.agreed().set.version == 0 {
            return Err(ChangeError::NoFleet);
        }
        let change = with_plain_url(change).map_err(|e| ChangeError::Open(e.to_string()))?;
        let added = match &change {
            Change::Add(member) => Some(member.name.clone()),
            _ => None,
        };
        let set = self.agreed().set.changed(change)?;
        // A store that is added says whose it is before it is in any set.
        let mut members = self.pool.members();
        if let Some(new) = added.and_then(|name| set.member(&name)) {
            let opened = open(new, self.patience).map_err(|e| ChangeError::Open(e.to_string()))?;
            members.push(opened.clone());
            let asked = join(&members, &self.agreed().set, true).await;
            if let Some(refused) = asked.refused.into_iter().find(|r| *r.name() == new.name) {
                return Err(ChangeError::Refused(refused));
            }
        }
        if tell(&members, &set).await == 0 {
            return Err(ChangeError::NoStore("no store took the store set".into()));
        }
        self.agree_on(set.clone()).await;
        self.join().await.map_err(ChangeError::NoStore)?;
        let agreed = self.agreed();
        if agreed.set != set {
            return Err(ChangeError::Overtaken(agreed.set.version));
        }
        Ok(agreed)
    }

    /// Those given, and those that the set names beside them.
    fn members(&self) -> Vec<Arc<Member>> {
        let agreed = self.agreed();
        let mut members = self.given.clone();
        // What is lost is not asked for.
        members.retain(|known| {
            let member = agreed.set.member(known.name());
            member.is_none_or(|member| member.state != State::Lost)
        });
        for member in &agreed.set.members {
            let is_known = members.iter().any(|known| *known.name() == member.name);
            if is_known || member.state == State::Lost {
                continue;
            }
            if let Some(known) = self.pool.member(&member.name)
                && known.store().url().as_str() == member.url
            {
                members.push(known);
                continue;
            }
            match open(member, self.patience) {
                Ok(opened) => members.push(opened),
                Err(error) => self.tell_once(format!(
                    "the store set names {}, which cannot be opened: {error}",
                    member.name
                )),
            }
        }
        members
    }

    fn warn(&self, refused: &[Refused]) {
        for refused in refused.iter().filter(|refused| refused.is_for_good()) {
            self.tell_once(refused.to_string());
        }
        let set = &self.agreed().set;
        if let Some(copies) = self.copies.filter(|c| set.version > 0 && *c != set.copies) {
            self.tell_once(format!(
                "the fleet keeps {} copies of each chunk, not {copies}; change it with `tarn stores copies {copies}`",
                set.copies
            ));
        }
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

/// The change with its URL as a store has it that was opened by it, so that one place looks the same everywhere.
fn with_plain_url(change: Change) -> Result<Change, StoreError> {
    let plain = |url: &str| Store::open(url).map(|opened| opened.url().to_string());
    Ok(match change {
        Change::Add(member) => Change::Add(placement::Member {
            url: plain(&member.url)?,
            ..member
        }),
        Change::Move(name, url) => Change::Move(name, plain(&url)?),
        other => other,
    })
}
