use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::{
    load::Loads,
    set::{MEMBERS_MAX, Method, StoreSet},
    shares::shares,
};
use crate::{ids::StoreName, layout::ChunkKey};

/// What decides where a chunk goes: its home, shard and day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlacementKey(pub u64);

impl PlacementKey {
    /// The key of a chunk.
    #[must_use]
    pub fn of(key: &ChunkKey) -> PlacementKey {
        // The longest name of a home, a byte that no name has, shard and day.
        let mut bytes = [0; 64 + 1 + 2 + 4];
        let home = key.home.as_str().as_bytes();
        let (name, rest) = bytes.split_at_mut(home.len().min(64));
        name.copy_from_slice(&home[..name.len()]);
        rest[1..3].copy_from_slice(&key.shard.0.to_be_bytes());
        rest[3..7].copy_from_slice(&key.day.to_be_bytes());
        let length = name.len() + 7;
        PlacementKey(xxh3_64(&bytes[..length]))
    }
}

/// A store set, ready to place by: the same on every node that has the same version of it.
#[derive(Debug, Clone)]
pub struct Placement {
    method: Method,
    copies: usize,
    epsilon: f64,
    stores: Vec<Target>,
    /// The stores in the order of their names, as loads are.
    by_name: Vec<usize>,
    zones: usize,
    /// Points of the ring with the store of each, in order.
    points: Vec<(u64, u16)>,
}

/// A store that takes chunks.
#[derive(Debug, Clone)]
struct Target {
    name: StoreName,
    /// The part of all bytes that it should have.
    share: f64,
    /// Stores that may fail together have one number.
    zone: usize,
}

impl Placement {
    /// Compile a set. Only stores that take chunks count, and of those as many as a set may have.
    #[must_use]
    pub fn of(set: &StoreSet) -> Placement {
        let members: Vec<_> = set.active().take(MEMBERS_MAX).collect();
        let mut named = BTreeMap::new();
        let mut zones = 0;
        let mut next_zone = || {
            zones += 1;
            zones - 1
        };
        let weights = members.iter().map(|member| {
            let zone = match &member.zone {
                Some(zone) => *named.entry(zone).or_insert_with(&mut next_zone),
                // A store without a zone fails alone.
                None => next_zone(),
            };
            (member.weight, zone)
        });
        let weights: Vec<(f64, usize)> = weights.collect();
        let copies = set.copies.min(members.len());
        let shares = shares(&weights, zones, copies);
        let mut points = Vec::new();
        for (at, (member, share)) in members.iter().zip(&shares).enumerate() {
            let relative = share * members.len() as f64;
            let nodes = (f64::from(set.virtual_nodes) * relative).round().max(1.0) as u32;
            points.extend((0..nodes).map(|node| {
                let point = xxh3_64(format!("{}/{node}", member.name).as_bytes());
                (point, at as u16)
            }));
        }
        points.sort_unstable();
        let targets =
            members
                .iter()
                .zip(weights)
                .zip(shares)
                .map(|((member, (_, zone)), share)| Target {
                    name: member.name.clone(),
                    share,
                    zone,
                });
        let mut by_name: Vec<usize> = (0..members.len()).collect();
        by_name.sort_by_key(|&at| &members[at].name);
        Placement {
            method: set.method,
            copies,
            epsilon: set.epsilon,
            stores: targets.collect(),
            by_name,
            zones,
            points,
        }
    }

    /// Copies that a chunk gets: as many as asked for, where there are as many stores.
    #[must_use]
    pub fn copies(&self) -> usize {
        self.copies
    }

    /// The part of all bytes that each store should have: by weight, but never more than copies on distinct stores and in
    /// distinct zones allow.
    pub fn shares(&self) -> impl Iterator<Item = (StoreName, f64)> + '_ {
        self.stores
            .iter()
            .map(|store| (store.name.clone(), store.share))
    }

    /// The stores by preference for a key: where zones are named, one of each zone before a second one of any.
    #[must_use]
    pub fn order(&self, key: &PlacementKey) -> Vec<&StoreName> {
        let mut walk = self.walk(*key);
        let mut seen = vec![0_usize; self.zones];
        let mut ranked: Vec<(usize, usize)> = Vec::with_capacity(self.stores.len());
        for step in 0..self.stores.len() {
            let Some(at) = walk.get(step) else { break };
            let rank = &mut seen[self.stores[at].zone];
            ranked.push((*rank, at));
            *rank += 1;
        }
        ranked.sort_by_key(|(rank, _)| *rank);
        ranked
            .into_iter()
            .map(|(_, at)| &self.stores[at].name)
            .collect()
    }

    /// The stores for a chunk, the primary first. On the ring a store that has its share and ε more is passed over;
    /// a second one of a zone is only taken where there is no further zone.
    #[must_use]
    pub fn place(&self, key: &PlacementKey, bytes: u64, loads: &Loads) -> Vec<StoreName> {
        let mut held = [0; MEMBERS_MAX];
        let held = &mut held[..self.stores.len()];
        // Both are sorted by name, so one pass finds all.
        let mut known = loads.0.iter().peekable();
        for &at in &self.by_name {
            let name = &self.stores[at].name;
            while known.next_if(|(other, _)| *other < name).is_some() {}
            if let Some((_, load)) = known.next_if(|(other, _)| *other == name) {
                held[at] = load.bytes;
            }
        }
        let chosen = self.choose(*key, bytes, held);
        chosen
            .into_iter()
            .map(|at| self.stores[at].name.clone())
            .collect()
    }

    /// The same by numbers: `held` are the bytes of each store in the order of the set's active ones.
    fn choose(&self, key: PlacementKey, bytes: u64, held: &[u64]) -> Vec<usize> {
        let total =
            held.iter().map(|&held| held as f64).sum::<f64>() + bytes as f64 * self.copies as f64;
        let has_room = |at: usize| {
            let most = (1.0 + self.epsilon) * total * self.stores[at].share;
            self.method == Method::Modulo || (held[at] as f64) < most
        };
        let mut chosen: Vec<usize> = Vec::with_capacity(self.copies);
        let mut walk = self.walk(key);
        // In a zone of its own, with room if possible; only then in one that has a copy already.
        for (need_room, need_zone) in [(true, true), (false, true), (true, false), (false, false)] {
            let mut step = 0;
            while chosen.len() < self.copies
                && let Some(at) = walk.get(step)
            {
                step += 1;
                let is_new_zone = || {
                    let zone = self.stores[at].zone;
                    !chosen.iter().any(|&other| self.stores[other].zone == zone)
                };
                if !chosen.contains(&at)
                    && (!need_room || has_room(at))
                    && (!need_zone || is_new_zone())
                {
                    chosen.push(at);
                }
            }
        }
        chosen
    }

    /// The stores in the order in which they are met from a key on.
    pub(super) fn walk(&self, key: PlacementKey) -> Walk<'_> {
        let (length, start) = match self.method {
            Method::Ring => {
                let start = self.points.partition_point(|(point, _)| *point < key.0);
                (self.points.len(), start)
            }
            Method::Modulo => {
                let length = self.stores.len();
                (length, (key.0 % length.max(1) as u64) as usize)
            }
        };
        Walk {
            placement: self,
            next: start,
            left: length,
            seen: [0; MEMBERS_MAX / 64],
            met: [0; MEMBERS_MAX],
            count: 0,
        }
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

    pub(super) fn share(&self, at: usize) -> f64 {
        self.stores[at].share
    }

    pub(super) fn epsilon(&self) -> f64 {
        self.epsilon
    }

    pub(super) fn zones(&self) -> usize {
        self.zones
    }
}

/// The stores from a key on, each once. It goes along the ring only as far as it is asked to, and remembers whom it met.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    placement: &'a Placement,
    next: usize,
    /// Points, or stores, that were not looked at yet.
    left: usize,
    seen: [u64; MEMBERS_MAX / 64],
    met: [u8; MEMBERS_MAX],
    count: usize,
}

impl Walk<'_> {
    /// The store met at this step, counted from 0; none once all were.
    pub(super) fn get(&mut self, step: usize) -> Option<usize> {
        while self.count <= step && self.count < self.placement.stores.len() && self.left > 0 {
            let at = match self.placement.method {
                Method::Ring => {
                    let points = &self.placement.points;
                    self.next = if self.next >= points.len() {
                        0
                    } else {
                        self.next
                    };
                    usize::from(points[self.next].1)
                }
                Method::Modulo => {
                    self.next = if self.next >= self.placement.stores.len() {
                        0
                    } else {
                        self.next
                    };
                    self.next
                }
            };
            self.next += 1;
            self.left -= 1;
            let (word, bit) = (at / 64, 1 << (at % 64));
            if self.seen[word] & bit == 0 {
                self.seen[word] |= bit;
                self.met[self.count] = at as u8;
                self.count += 1;
            }
        }
        (step < self.count).then(|| usize::from(self.met[step]))
    }

    /// The first store that fits.
    pub(super) fn find(&mut self, mut fits: impl FnMut(usize) -> bool) -> Option<usize> {
        let mut step = 0;
        while let Some(at) = self.get(step) {
            if fits(at) {
                return Some(at);
            }
            step += 1;
        }
        None
    }
}
