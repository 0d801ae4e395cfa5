use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::Keeper;
use crate::{
    catalog::{Catalog, PlacedBy},
    commit_log::Chunk,
    ids::{HomeId, StoreName},
    layout::ChunkKey,
};

/// How old a look at the log may be by which a copy is deleted. Less than half of [`GRACE_MS`], so that a request that a
/// store carries out late is still done before anybody relies on it not to have been.
pub const LOOK_MAX_MS: i64 = 30_000;
/// How long a copy has to be known as surplus before it is deleted. By the monotonic clock of the keeper: what a
/// store says of when an object was written may be wrong.
pub const GRACE_MS: i64 = 5 * 60_000;
/// Copies that are remembered as surplus; those beyond are found again by listing.
const SURPLUS_MAX: usize = 100_000;

/// A copy of a chunk: at which store, and whether it is the primary.
type Spot = (StoreName, bool);

/// Copies that the log does not name.
#[derive(Debug, Default)]
pub(super) struct Surplus(BTreeMap<(ChunkKey, Spot), Since>);

/// Since when a copy is known as surplus, and by which place: by another one it is surplus anew.
#[derive(Debug, Clone, Copy)]
struct Since {
    at_ms: i64,
    by: PlacedBy,
}

/// What the log of all stores says of some chunks.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// When it began, by the monotonic clock.
    pub began_ms: i64,
    chunks: HashMap<ChunkKey, (Arc<Chunk>, PlacedBy)>,
}

impl Look {
    /// What a catalog says, whose refreshing from *all* stores of the fleet began then, and went well.
    #[must_use]
    pub fn of(catalog: &Catalog, keys: &[ChunkKey], began_ms: i64) -> Look {
        let placed = |key: &ChunkKey| Some((key.clone(), catalog.placed(key)?));
        let chunks = keys.iter().filter_map(placed);
        Look {
            began_ms,
            chunks: chunks.collect(),
        }
    }
}

/// What came of clearing surplus copies away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Copies deleted.
    pub deleted: usize,
    /// Copies that stay for now: they are not known for long enough, or a copy that the log names is not good.
    pub left: usize,
}

impl Keeper {
    /// Take note of a copy that the log does not name by this place. Whoever lists stores tells it each time.
    pub fn saw_surplus(&self, key: &ChunkKey, by: PlacedBy, store: &StoreName, is_primary: bool) {
        let at_ms = self.clock.monotonic_ms();
        let mut surplus = self.surplus.lock();
        let spot = (key.clone(), (store.clone(), is_primary));
        let known = surplus.0.get(&spot);
        if known.is_some_and(|since| since.by == by)
            || known.is_none() && surplus.0.len() >= SURPLUS_MAX
        {
            return;
        }
        surplus.0.insert(spot, Since { at_ms, by });
    }

    /// How many copies are known as surplus.
    #[must_use]
    pub fn surplus(&self) -> usize {
        self.surplus.lock().0.len()
    }

    /// Chunks of which copies are surplus for long enough to be deleted.
    #[must_use]
    pub fn due(&self) -> Vec<ChunkKey> {
        self.due_spots().into_keys().collect()
    }

    /// Read the log of all stores, and delete the surplus copies that are due by it. For who has no catalog of all
    /// writers at hand, and only where every store of the fleet is in the pool: the log that names a copy may be in the
    /// one that is not.
    pub async fn tidy(&self) -> Cleared {
        let due = self.due();
        let mut catalog = Catalog::default();
        let mut began_ms = self.clock.monotonic_ms();
        // The first reading may take long; by the second one is deleted.
        for _ in 0..2 {
            if due.is_empty() {
                return Cleared::default();
            }
            began_ms = self.clock.monotonic_ms();
            if !self.read_logs(&due, &mut catalog).await {
                // A store that is away may have the entry that names the copy.
                let left = due.len();
                return Cleared { deleted: 0, left };
            }
        }
        self.clear(&Look::of(&catalog, &due, began_ms)).await
    }

    /// Read what all stores have of the logs of these chunks' homes. Says whether that is all of them.
    async fn read_logs(&self, of: &[ChunkKey], catalog: &mut Catalog) -> bool {
        let homes: BTreeSet<&HomeId> = of.iter().map(|key| &key.home).collect();
        for member in self.pool.members() {
            for home in &homes {
                match catalog.refresh_home(member.store(), home).await {
                    Ok(refreshed) if refreshed.failed.is_empty() => {}
                    _ => return false,
                }
            }
        }
        true
    }

    /// Delete the copies that are surplus by this look, and for long enough. Every copy that the log names is read before.
    pub async fn clear(&self, look: &Look) -> Cleared {
        let mut cleared = Cleared::default();
        for (key, spots) in self.due_spots() {
            let Some((chunk, by)) = look.chunks.get(&key) else {
                // It is not live, or not known: then nobody may say what is one too many.
                spots.iter().for_each(|(spot, _)| self.forget(&key, spot));
                continue;
            };
            let mut surplus = Vec::new();
            for (spot, since) in spots {
                let at = chunk.stores.iter().position(|name| *name == spot.0);
                if at.is_some_and(|at| (at == 0) == spot.1) {
                    self.forget(&key, &spot);
                } else if since.by == *by {
                    surplus.push(spot);
                } else {
                    // By the place that holds now it is not known for long enough.
                    self.saw_surplus(&key, *by, &spot.0, spot.1);
                    cleared.left += 1;
                }
            }
            let is_fresh = || self.clock.monotonic_ms() - look.began_ms <= LOOK_MAX_MS;
            if surplus.is_empty() {
                continue;
            }
            if !is_fresh() || !self.is_whole(chunk).await {
                cleared.left += surplus.len();
                continue;
            }
            for spot in surplus {
                let member = self.pool.member(&spot.0).filter(|_| is_fresh());
                let is_deleted = match member {
                    Some(member) => member.delete(&key.copy(spot.1)).await.is_ok(),
                    None => false,
                };
                if is_deleted {
                    self.figures.deleted.inc();
                    cleared.deleted += 1;
                    self.forget(&key, &spot);
                } else {
                    cleared.left += 1;
                }
            }
        }
        cleared
    }

    /// Whether every copy that the log names was read just now and is good.
    async fn is_whole(&self, chunk: &Chunk) -> bool {
        for (at, name) in chunk.stores.iter().enumerate() {
            let Some(member) = self.pool.member(name) else {
                return false;
            };
            let Ok(bytes) = member.read_copy(chunk, at == 0).await else {
                return false;
            };
            if !super::is_logged(chunk, bytes).await {
                return false;
            }
        }
        !chunk.stores.is_empty()
    }

    /// Surplus copies that are known for long enough, by chunk.
    fn due_spots(&self) -> BTreeMap<ChunkKey, Vec<(Spot, Since)>> {
        let now = self.clock.monotonic_ms();
        let mut due: BTreeMap<ChunkKey, Vec<(Spot, Since)>> = BTreeMap::new();
        for ((key, spot), since) in &self.surplus.lock().0 {
            if now - since.at_ms >= self.grace_ms {
                let spots = due.entry(key.clone()).or_default();
                spots.push((spot.clone(), *since));
            }
        }
        due
    }

    fn forget(&self, key: &ChunkKey, spot: &Spot) {
        self.surplus.lock().0.remove(&(key.clone(), spot.clone()));
    }
}
