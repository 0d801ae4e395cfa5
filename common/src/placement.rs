use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    ids::{FleetId, StoreName},
    layout::ChunkKey,
};

/// temporary
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// a
    Active,
    /// b
    Draining,
    /// c
    Lost,
}

/// temporary
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// a
    pub name: StoreName,
    /// a
    pub url: String,
    /// a
    pub weight: f64,
    /// a
    pub zone: Option<String>,
    /// a
    pub state: State,
}

/// temporary
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreSet {
    /// a
    pub v: u32,
    /// a
    pub version: u64,
    /// a
    pub fleet: FleetId,
    /// a
    pub copies: usize,
    /// a
    pub members: Vec<Member>,
}

/// temporary
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SetError(String);

impl StoreSet {
    /// a
    #[must_use]
    pub fn new(fleet: FleetId, copies: usize, members: Vec<Member>) -> StoreSet {
        StoreSet {
            v: 1,
            version: 1,
            fleet,
            copies,
            members,
        }
    }
    /// a
    pub fn parse(bytes: &[u8]) -> Result<StoreSet, SetError> {
        serde_json::from_slice(bytes).map_err(|e| SetError(e.to_string()))
    }
    /// a
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
    /// a
    #[must_use]
    pub fn digest(&self) -> u64 {
        let hash = Sha256::digest(self.to_bytes());
        u64::from_be_bytes(hash[..8].try_into().unwrap_or_default())
    }
}

/// temporary
#[derive(Debug, Clone, Copy)]
pub struct PlacementKey(u64);
impl PlacementKey {
    /// a
    #[must_use]
    pub fn of(key: &ChunkKey) -> PlacementKey {
        PlacementKey(xxh3_64(
            format!("{}/{}/{}", key.home, key.shard, key.day).as_bytes(),
        ))
    }
}

/// temporary
#[derive(Debug, Default, Clone)]
pub struct Loads(BTreeMap<StoreName, u64>);
impl Loads {
    /// a
    pub fn add(&mut self, name: &StoreName, bytes: u64) {
        *self.0.entry(name.clone()).or_default() += bytes;
    }
}

/// temporary
#[derive(Debug)]
pub struct Placement {
    ring: Vec<(u64, StoreName)>,
    copies: usize,
}
impl Placement {
    /// a
    #[must_use]
    pub fn of(set: &StoreSet) -> Placement {
        let mut ring = Vec::new();
        for m in set.members.iter().filter(|m| m.state == State::Active) {
            for v in 0..64 {
                ring.push((
                    xxh3_64(format!("{}/{v}", m.name).as_bytes()),
                    m.name.clone(),
                ));
            }
        }
        ring.sort();
        Placement {
            ring,
            copies: set.copies,
        }
    }
    /// a
    #[must_use]
    pub fn order(&self, key: &PlacementKey) -> Vec<&StoreName> {
        let at = self.ring.partition_point(|(h, _)| *h < key.0);
        let mut seen = HashSet::new();
        let all = self.ring[at..].iter().chain(&self.ring[..at]);
        all.map(|(_, n)| n).filter(|n| seen.insert(*n)).collect()
    }
    /// a
    #[must_use]
    pub fn place(&self, key: &PlacementKey, _bytes: u64, _loads: &Loads) -> Vec<StoreName> {
        self.order(key)
            .into_iter()
            .take(self.copies)
            .cloned()
            .collect()
    }
}
