use std::collections::BTreeMap;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{
    load::Loads,
    set::{Method, StoreSet},
};
use crate::{ids::StoreName, layout::ChunkKey};

/// What decides where a chunk goes: its home, shard and day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlacementKey(pub u64);

impl PlacementKey {
    /// The key of a chunk.
    #[must_use]
    pub fn of(key: &ChunkKey) -> PlacementKey {
        let mut hash = Xxh3::new();
        hash.update(key.home.as_str().as_bytes());
        // A byte that no name has.
        hash.update(&[0]);
        hash.update(&key.shard.0.to_be_bytes());
        hash.update(&key.day.to_be_bytes());
        PlacementKey(hash.digest())
    }
}

/// A store set, ready to place by: the same on every node that has the same version of it.
#[derive(Debug, Clone)]
pub struct Placement {
    method: Method,
    copies: usize,
    epsilon: f64,
    stores: Vec<Target>,
    weight: f64,
    /// Points of the ring with the store of each, in order.
    points: Vec<(u64, u16)>,
}

/// A store that takes chunks.
#[derive(Debug, Clone)]
struct Target {
    name: StoreName,
    weight: f64,
    /// Stores that may fail together have one number.
    zone: usize,
}

impl Placement {
    /// Compile a set. Only stores that take chunks count.
    #[must_use]
    pub fn of(set: &StoreSet) -> Placement {
        let mut zones = BTreeMap::new();
        let targets = set.active().enumerate().map(|(at, member)| {
            let zone = match &member.zone {
                Some(zone) => {
                    let next = zones.len();
                    *zones.entry(zone.clone()).or_insert(next)
                }
                // A store without a zone fails alone.
                None => usize::MAX - at,
            };
            Target {
                name: member.name.clone(),
                weight: member.weight,
                zone,
            }
        });
        let stores: Vec<Target> = targets.collect();
        let weight: f64 = stores.iter().map(|store| store.weight).sum();
        let mut points = Vec::new();
        for (at, store) in stores.iter().enumerate() {
            let share = store.weight * stores.len() as f64 / weight;
            let nodes = (f64::from(set.virtual_nodes) * share).round().max(1.0) as u32;
            points.extend((0..nodes).map(|node| {
                let point = xxh3_64(format!("{}/{node}", store.name).as_bytes());
                (point, at as u16)
            }));
        }
        points.sort_unstable();
        Placement {
            method: set.method,
            copies: set.copies.min(stores.len()),
            epsilon: set.epsilon,
            stores,
            weight,
            points,
        }
    }

    /// Copies that a chunk gets: as many as asked for, where there are as many stores.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.copies
    }

    /// The stores by preference for a key: where zones are named, one of each zone before a second one of any.
    #[must_use]
    pub fn order(&self, key: &PlacementKey) -> Vec<&StoreName> {
        let order = self.indices(*key);
        order.into_iter().map(|at| &self.stores[at].name).collect()
    }

    fn indices(&self, key: PlacementKey) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.stores.len());
        let mut walk = self.walk(key);
        while order.len() < self.stores.len() {
            let Some(at) = walk.next() else { break };
            if !order.contains(&at) {
                order.push(at);
            }
        }
        let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
        let mut ranked: Vec<(usize, usize)> = Vec::with_capacity(order.len());
        for at in order {
            let rank = seen.entry(self.stores[at].zone).or_default();
            ranked.push((*rank, at));
            *rank += 1;
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked.into_iter().map(|(_, at)| at).collect()
    }

    /// The stores met from a key on, each as often as it is met.
    fn walk(&self, key: PlacementKey) -> impl Iterator<Item = usize> + '_ {
        let n = self.stores.len().max(1);
        let (ring, start) = match self.method {
            Method::Ring => (
                true,
                self.points.partition_point(|(point, _)| *point < key.0),
            ),
            Method::Modulo => (false, (key.0 % n as u64) as usize),
        };
        let length = if ring {
            self.points.len()
        } else {
            self.stores.len()
        };
        (0..length).map(move |step| {
            let at = (start + step) % length;
            if ring {
                usize::from(self.points[at].1)
            } else {
                at
            }
        })
    }

    /// The stores for a chunk, the primary first. On the ring a store that has its share and ε more is passed over;
    /// a second one of a zone is only taken where there is no further zone.
    #[must_use]
    pub fn place(&self, key: &PlacementKey, bytes: u64, loads: &Loads) -> Vec<StoreName> {
        let held: Vec<u64> = self
            .stores
            .iter()
            .map(|s| loads.of(&s.name).bytes)
            .collect();
        let chosen = self.choose(*key, bytes, &held);
        chosen
            .into_iter()
            .map(|at| self.stores[at].name.clone())
            .collect()
    }

    /// The same by numbers: `held` are the bytes of each store in the order of the set's active ones.
    pub(super) fn choose(&self, key: PlacementKey, bytes: u64, held: &[u64]) -> Vec<usize> {
        let total = held.iter().sum::<u64>() + bytes * self.copies as u64;
        let has_room = |at: usize| {
            let share = total as f64 * self.stores[at].weight / self.weight;
            self.method == Method::Modulo || (held[at] as f64) < (1.0 + self.epsilon) * share
        };
        let mut chosen: Vec<usize> = Vec::with_capacity(self.copies);
        // In a zone of its own, with room if possible; only then in one that has a copy already.
        for (need_room, need_zone) in [(true, true), (false, true), (true, false), (false, false)] {
            for at in self.walk(key) {
                if chosen.len() == self.copies {
                    return chosen;
                }
                let is_new_zone = |at: usize| {
                    let zone = self.stores[at].zone;
                    !chosen.iter().any(|&other| self.stores[other].zone == zone)
                };
                if !chosen.contains(&at)
                    && (!need_room || has_room(at))
                    && (!need_zone || is_new_zone(at))
                {
                    chosen.push(at);
                }
            }
        }
        chosen
    }

    pub(super) fn index(&self, name: &StoreName) -> Option<usize> {
        self.stores.iter().position(|store| store.name == *name)
    }

    pub(super) fn name(&self, at: usize) -> &StoreName {
        &self.stores[at].name
    }

    pub(super) fn zone(&self, at: usize) -> usize {
        self.stores[at].zone
    }

    pub(super) fn len(&self) -> usize {
        self.stores.len()
    }

    /// The share of all bytes that a store should have.
    pub(super) fn share(&self, at: usize) -> f64 {
        self.stores[at].weight / self.weight
    }

    pub(super) fn first(
        &self,
        key: PlacementKey,
        mut fits: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        self.walk(key).find(|&at| fits(at))
    }

    pub(super) fn zones(&self) -> usize {
        let zones: std::collections::BTreeSet<usize> =
            self.stores.iter().map(|store| store.zone).collect();
        zones.len()
    }
}
