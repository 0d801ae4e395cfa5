/// Where a store is.
mod place;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::place::{Place, place_of};
use crate::ids::{FleetId, StoreName};

/// Version of the document's format.
const VERSION: u32 = 1;
/// Highest version: what twelve digits in the names of its objects can say.
pub const VERSION_MAX: u64 = 999_999_999_999;
/// Longest name of a zone, in bytes.
pub const ZONE_LENGTH_MAX: usize = 64;
/// Lowest weight.
pub const WEIGHT_MIN: f64 = 0.001;
/// Highest weight.
pub const WEIGHT_MAX: f64 = 1e6;
/// Most stores of a set.
pub const MEMBERS_MAX: usize = 256;
/// Most copies of a chunk.
pub const COPIES_MAX: usize = 8;
/// Most points that a store of average weight has on the ring.
pub const VIRTUAL_NODES_MAX: u32 = 4096;
/// Lowest ε: below it, placing would pass over most stores.
pub const EPSILON_MIN: f64 = 0.01;
/// Highest ε.
pub const EPSILON_MAX: f64 = 1.0;

/// Points on the ring of a store of average weight, unless set.
const VIRTUAL_NODES: u32 = 128;
/// How far over its share a store may get by placing, unless set.
const EPSILON: f64 = 0.05;

/// What may be done with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It takes chunks.
    Active,
    /// Its chunks are moved away; it takes no more.
    Draining,
    /// It is gone, with all that it held.
    Lost,
}

/// How a store is chosen for a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A consistent hash ring with bounded load (Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded
    /// Loads, 2018).
    #[default]
    Ring,
    /// The hash modulo the number of stores, for comparison: one store more moves nearly everything.
    Modulo,
}

/// One store of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The word that the commit log uses for it.
    pub name: StoreName,
    /// Where it is, without any key.
    pub url: String,
    /// Its share, beside the others'.
    pub weight: f64,
    /// What may fail together: copies of a chunk go to different zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// What may be done with it.
    pub state: State,
}

/// The stores of a fleet, and how chunks are placed on them. Every node that has the same version places alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreSet {
    /// Format version.
    pub v: u32,
    /// One more with each change; of several the highest holds, then the one with the highest digest.
    pub version: u64,
    /// The fleet that they belong to.
    pub fleet: FleetId,
    /// Copies of each chunk.
    pub copies: usize,
    /// How a store is chosen.
    pub method: Method,
    /// Points on the ring of a store of average weight.
    pub virtual_nodes: u32,
    /// How far over its share a store may get by placing: 0.05 is 5 %.
    pub epsilon: f64,
    /// The stores.
    pub members: Vec<Member>,
}

/// A store set that cannot be, or a change that cannot be made; each says what to do instead.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SetError {
    /// No stores.
    #[error("a store set needs a store; add one")]
    Empty,
    /// Too many stores.
    #[error("{0} stores are more than {MEMBERS_MAX}; use fewer, larger ones")]
    TooMany(usize),
    /// More copies than stores that take them.
    #[error(
        "{copies} copies need as many stores that take chunks, and there are {active}; add a store, or have fewer copies"
    )]
    TooManyCopies {
        /// Copies asked for.
        copies: usize,
        /// Stores that take chunks.
        active: usize,
    },
    /// No copies, or more than anybody needs.
    #[error("{0} copies: use 1 to {COPIES_MAX}")]
    Copies(usize),
    /// A weight out of bounds.
    #[error(
        "store {name} has weight {weight}: use {WEIGHT_MIN} to {WEIGHT_MAX}; to empty a store, drain it"
    )]
    Weight {
        /// The store.
        name: StoreName,
        /// The weight.
        weight: f64,
    },
    /// A zone without a name, or with one that is too long.
    #[error(
        "the zone of store {0} needs a name of 1 to {ZONE_LENGTH_MAX} bytes; give it one, or leave it out"
    )]
    Zone(StoreName),
    /// A version that the names of its objects cannot say.
    #[error(
        "version {0} is above {VERSION_MAX}, which no change leads to; leave this store set out"
    )]
    Version(u64),
    /// A bound out of bounds.
    #[error("epsilon {0}: use {EPSILON_MIN} to {EPSILON_MAX}")]
    Epsilon(f64),
    /// Too few or many points on the ring.
    #[error("{0} virtual nodes: use 1 to {VIRTUAL_NODES_MAX}")]
    VirtualNodes(u32),
    /// One name for two stores.
    #[error("there is a store {0} already; give this one another name")]
    SameName(StoreName),
    /// One place for two stores.
    #[error("stores {0} and {1} are the same place; leave one of them out")]
    SamePlace(StoreName, StoreName),
    /// A secret in a URL.
    #[error(
        "the URL of store {name} has {what} in it, which everybody would read; set {variable} instead"
    )]
    Secret {
        /// The store.
        name: StoreName,
        /// What looks like a secret.
        what: String,
        /// Where it belongs.
        variable: String,
    },
    /// No URL at all.
    #[error("the URL of store {0} cannot be read; use file:///dir or s3://bucket/prefix")]
    Url(StoreName),
    /// There is no such store.
    #[error("there is no store {name}; there are {}", names(.known))]
    Unknown {
        /// The name.
        name: StoreName,
        /// The names that are known.
        known: Vec<StoreName>,
    },
    /// It still holds chunks.
    #[error("store {name} still holds {chunks} copies; drain it first, or say that it is lost")]
    HoldsChunks {
        /// The store.
        name: StoreName,
        /// Copies in it.
        chunks: u64,
    },
    /// The last one.
    #[error("store {0} is the last one that takes chunks; add another first")]
    Last(StoreName),
    /// It cannot be understood.
    #[error("a store set that cannot be understood: {0}")]
    Format(String),
}

fn names(names: &[StoreName]) -> String {
    let names: Vec<&str> = names.iter().map(StoreName::as_str).collect();
    names.join(", ")
}

/// A change to a store set.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// One store more.
    Add(Member),
    /// Move its chunks away.
    Drain(StoreName),
    /// It is gone, and what it held is made again from the other copies.
    Lose(StoreName),
    /// It takes chunks again.
    Restore(StoreName),
    /// Leave it out; it holds so many copies.
    Remove(StoreName, u64),
    /// Another share.
    Weigh(StoreName, f64),
    /// Another place: it was moved, or replaced by an empty one.
    Move(StoreName, String),
    /// Another number of copies.
    Copies(usize),
}

impl StoreSet {
    /// A set with the usual settings.
    #[must_use]
    pub fn new(fleet: FleetId, copies: usize, members: Vec<Member>) -> StoreSet {
        StoreSet {
            v: VERSION,
            version: 1,
            fleet,
            copies,
            method: Method::Ring,
            virtual_nodes: VIRTUAL_NODES,
            epsilon: EPSILON,
            members,
        }
    }

    /// Whether it can be used.
    ///
    /// # Errors
    /// What is wrong first.
    pub fn validate(&self) -> Result<(), SetError> {
        match self.members.len() {
            0 => return Err(SetError::Empty),
            n if n > MEMBERS_MAX => return Err(SetError::TooMany(n)),
            _ => {}
        }
        if self.version > VERSION_MAX {
            return Err(SetError::Version(self.version));
        }
        if !(EPSILON_MIN..=EPSILON_MAX).contains(&self.epsilon) {
            return Err(SetError::Epsilon(self.epsilon));
        }
        if !(1..=VIRTUAL_NODES_MAX).contains(&self.virtual_nodes) {
            return Err(SetError::VirtualNodes(self.virtual_nodes));
        }
        if !(1..=COPIES_MAX).contains(&self.copies) {
            return Err(SetError::Copies(self.copies));
        }
        let mut names = BTreeSet::new();
        let mut places: Vec<Place> = Vec::with_capacity(self.members.len());
        for member in &self.members {
            let name = &member.name;
            if !names.insert(name) {
                return Err(SetError::SameName(name.clone()));
            }
            if !(WEIGHT_MIN..=WEIGHT_MAX).contains(&member.weight) {
                return Err(SetError::Weight {
                    name: name.clone(),
                    weight: member.weight,
                });
            }
            let zone = member.zone.as_deref();
            if zone.is_some_and(|zone| !(1..=ZONE_LENGTH_MAX).contains(&zone.len())) {
                return Err(SetError::Zone(name.clone()));
            }
            let place = place_of(member)?;
            if let Some(other) = places.iter().position(|other| *other == place) {
                let other = self.members[other].name.clone();
                return Err(SetError::SamePlace(other, name.clone()));
            }
            places.push(place);
        }
        let active = self.active().count();
        if self.copies > active {
            return Err(SetError::TooManyCopies {
                copies: self.copies,
                active,
            });
        }
        Ok(())
    }

    /// The set after a change: one version more.
    ///
    /// # Errors
    /// Why it cannot be, and what to do instead.
    pub fn changed(&self, change: Change) -> Result<StoreSet, SetError> {
        let mut next = self.clone();
        next.version = self.version.saturating_add(1);
        match change {
            Change::Add(member) => next.members.push(member),
            Change::Drain(name) => next.leave(&name, State::Draining)?,
            Change::Lose(name) => next.leave(&name, State::Lost)?,
            Change::Restore(name) => next.member_mut(&name)?.state = State::Active,
            Change::Weigh(name, weight) => next.member_mut(&name)?.weight = weight,
            Change::Move(name, url) => next.member_mut(&name)?.url = url,
            Change::Copies(copies) => next.copies = copies,
            Change::Remove(name, chunks) => {
                next.leave(&name, State::Lost)?;
                if chunks > 0 {
                    return Err(SetError::HoldsChunks { name, chunks });
                }
                next.members.retain(|member| member.name != name);
            }
        }
        next.validate()?;
        Ok(next)
    }

    fn leave(&mut self, name: &StoreName, state: State) -> Result<(), SetError> {
        let others = self.active().filter(|member| member.name != *name).count();
        let member = self.member_mut(name)?;
        if others == 0 {
            return Err(SetError::Last(name.clone()));
        }
        member.state = state;
        Ok(())
    }

    fn member_mut(&mut self, name: &StoreName) -> Result<&mut Member, SetError> {
        let known = self.members.iter().map(|m| m.name.clone()).collect();
        let member = self.members.iter_mut().find(|m| m.name == *name);
        member.ok_or_else(|| SetError::Unknown {
            name: name.clone(),
            known,
        })
    }

    /// The stores that take chunks.
    pub fn active(&self) -> impl Iterator<Item = &Member> {
        let members = self.members.iter();
        members.filter(|member| member.state == State::Active)
    }

    /// One store.
    #[must_use]
    pub fn member(&self, name: &StoreName) -> Option<&Member> {
        self.members.iter().find(|member| member.name == *name)
    }

    /// The stores that take chunks, with their weights.
    pub fn weights(&self) -> impl Iterator<Item = (StoreName, f64)> {
        self.active().map(|m| (m.name.clone(), m.weight))
    }

    /// As it is stored: JSON with a line end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// Read one.
    ///
    /// # Errors
    /// It cannot be understood, or cannot be.
    pub fn parse(bytes: &[u8]) -> Result<StoreSet, SetError> {
        let set: StoreSet =
            serde_json::from_slice(bytes).map_err(|e| SetError::Format(e.to_string()))?;
        if set.v != VERSION {
            let known = format!("format version {} is not known", set.v);
            return Err(SetError::Format(known));
        }
        set.validate()?;
        Ok(set)
    }

    /// Which of several holds: the one of the highest version, then of the highest digest.
    pub fn newest<'a>(sets: impl Iterator<Item = &'a StoreSet>) -> Option<&'a StoreSet> {
        sets.max_by_key(|set| (set.version, set.digest()))
    }

    /// The first 64 bits of the SHA-256 of its bytes.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let hash = Sha256::digest(self.to_bytes());
        hash.iter()
            .take(8)
            .fold(0, |digest, byte| digest << 8 | u64::from(*byte))
    }
}
