/// What a node knows of the stores, and goes by.
mod agreed;
/// Carrying out what was planned.
mod balance;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{TryStreamExt, future::join_all};
use url::Url;

use crate::{
    ids::{FleetId, StoreName},
    layout::{IdentityKey, STORES, StoreSetKey},
    placement::{self, State, StoreSet},
    store::{
        Store, StoreError,
        pool::{Member, PoolError},
    },
};

pub use self::{
    agreed::{Agreed, ChangeError, Fleet},
    balance::{Carried, carry_out, placed},
};

/// Give each store the name that it asked for; the first of those without one is `main`, the others take the name
/// of their bucket or directory.
#[must_use]
pub fn named(stores: Vec<Store>, patience: Duration) -> Vec<Arc<Member>> {
    let mut taken: BTreeSet<StoreName> = stores
        .iter()
        .filter_map(|store| store.asked().name.clone())
        .collect();
    let mut name = |store: &Store| {
        if let Some(name) = &store.asked().name {
            return name.clone();
        }
        let main = StoreName::main();
        let name = if taken.contains(&main) {
            free_name(store, &taken)
        } else {
            main
        };
        taken.insert(name.clone());
        name
    };
    let members = stores.into_iter().map(|store| {
        let name = name(&store);
        Arc::new(Member::new(name, store, patience))
    });
    members.collect()
}

/// The set of a fleet that nobody has changed yet: these stores, with what their URLs ask for.
#[must_use]
pub fn founding(members: &[Arc<Member>], copies: usize, fleet: FleetId) -> StoreSet {
    let members = members.iter().map(|member| {
        let asked = member.store().asked();
        placement::Member {
            name: member.name().clone(),
            url: member.store().url().to_string(),
            weight: asked.weight.unwrap_or(1.0),
            zone: asked.zone.clone(),
            state: State::Active,
        }
    });
    StoreSet {
        version: 0,
        ..StoreSet::new(fleet, copies, members.collect())
    }
}

/// Open a store that a set names.
///
/// # Errors
/// Its URL is wrong.
pub fn open(member: &placement::Member, patience: Duration) -> Result<Arc<Member>, StoreError> {
    let url = Url::parse(&member.url).map(|mut url| {
        url.query_pairs_mut()
            .append_pair("name", member.name.as_str());
        url.to_string()
    });
    let store = Store::open(&url.unwrap_or_else(|_| member.url.clone()))?;
    Ok(Arc::new(Member::new(member.name.clone(), store, patience)))
}

fn free_name(store: &Store, taken: &BTreeSet<StoreName>) -> StoreName {
    let url = store.url();
    let last = url
        .path_segments()
        .and_then(|mut s| s.rfind(|s| !s.is_empty()));
    let word: String = last
        .or(url.host_str())
        .unwrap_or("store")
        .to_ascii_lowercase()
        .bytes()
        .filter(|b| b.is_ascii_alphanumeric() || *b == b'-')
        .take(StoreName::LENGTH_MAX - 4)
        .map(char::from)
        .collect();
    let numbered = (1..).map(|n| {
        if n == 1 {
            word.clone()
        } else {
            format!("{word}-{n}")
        }
    });
    numbered
        .filter_map(|name| name.parse().ok())
        .find(|name| !taken.contains(name))
        .unwrap_or_else(StoreName::main)
}

/// What a store says of itself.
#[derive(Debug, Clone, Default)]
struct Told {
    /// Whose it is, if anybody has written that.
    identity: Option<IdentityKey>,
    /// The store sets in it.
    sets: Vec<StoreSetKey>,
}

/// A store that may not be used.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It belongs to others.
    #[error(
        "store {name} ({url}) holds the data of fleet {found}, not of {ours}; give an empty store, or start with the stores of that fleet alone"
    )]
    OtherFleet {
        /// Its name here.
        name: StoreName,
        /// Where it is.
        url: String,
        /// The fleet that it belongs to.
        found: FleetId,
        /// Ours.
        ours: FleetId,
    },
    /// Two names for one place.
    #[error(
        "stores {name} and {other} are the same place; leave one of them out (if one was made as a copy of the other, delete stores/identity-* in the copy)"
    )]
    SamePlace {
        /// Its name.
        name: StoreName,
        /// The name of the other.
        other: StoreName,
    },
    /// Nobody has said yet whose it is, and who asks may not.
    #[error("store {name} belongs to no fleet yet; a box or `tarn stores` founds one")]
    Unclaimed {
        /// Its name.
        name: StoreName,
    },
    /// It could not be asked.
    #[error("store {name}: {source}")]
    Away {
        /// Its name.
        name: StoreName,
        /// What happened.
        source: PoolError,
    },
}

impl Refused {
    /// The store.
    #[must_use]
    pub fn name(&self) -> &StoreName {
        match self {
            Refused::OtherFleet { name, .. }
            | Refused::SamePlace { name, .. }
            | Refused::Unclaimed { name }
            | Refused::Away { name, .. } => name,
        }
    }

    /// Whether somebody has to do something about it.
    #[must_use]
    pub fn is_for_good(&self) -> bool {
        !matches!(self, Refused::Away { .. } | Refused::Unclaimed { .. })
    }
}

/// What came of asking the stores of a fleet.
#[derive(Debug)]
pub struct Joined {
    /// The store set that holds, as far as the stores that answered know.
    pub set: StoreSet,
    /// The stores that answered and belong to the fleet.
    pub ready: Vec<StoreName>,
    /// The others.
    pub refused: Vec<Refused>,
}

/// Ask stores whose they are and which store set holds. What one store has of the sets, all get. Who may found a fleet
/// takes a store that belongs to nobody into it, and writes `known` as the first set where no store has one.
///
/// `known` is the set that the asker knows of. One that was never changed (version 1 or below) gives way to the
/// fleet that the stores already belong to, because two nodes may start on new stores at the same time.
pub async fn join(members: &[Arc<Member>], known: &StoreSet, may_found: bool) -> Joined {
    let asked = members.iter().map(|member| async move {
        let told = look(member).await;
        (member.clone(), told)
    });
    let mut refused = Vec::new();
    let mut answered = Vec::new();
    for (member, told) in join_all(asked).await {
        match told {
            Ok(told) => answered.push((member, told)),
            Err(source) => refused.push(Refused::Away {
                name: member.name().clone(),
                source,
            }),
        }
    }
    let mut fleet = fleet_of(&answered, known);
    let mut claimed = Vec::new();
    for (member, mut told) in answered {
        if told.identity.is_none() && !may_found {
            let name = member.name().clone();
            refused.push(Refused::Unclaimed { name });
            continue;
        }
        if told.identity.is_none() {
            match claim(&member, fleet).await {
                Ok(identity) => told.identity = Some(identity),
                Err(source) => {
                    let name = member.name().clone();
                    refused.push(Refused::Away { name, source });
                    continue;
                }
            }
        }
        claimed.push((member, told));
        // Somebody else may have been first, and the further ones are claimed for them.
        fleet = fleet_of(&claimed, known);
    }
    let mut ready: Vec<(Arc<Member>, Told)> = Vec::new();
    for (member, told) in claimed {
        let is_same = |other: &&(Arc<Member>, Told)| other.1.identity == told.identity;
        if let Some(found) = told.identity.map(|id| id.fleet).filter(|id| *id != fleet) {
            refused.push(Refused::OtherFleet {
                name: member.name().clone(),
                url: member.store().url().to_string(),
                found,
                ours: fleet,
            });
        } else if let Some((other, _)) = ready.iter().find(is_same) {
            refused.push(Refused::SamePlace {
                name: member.name().clone(),
                other: other.name().clone(),
            });
        } else {
            ready.push((member, told));
        }
    }
    let mut set = newest(&ready, known, fleet).await;
    if set.version == 0 && may_found && !ready.is_empty() {
        set.version = 1;
    }
    if set.version > 0 {
        publish(&ready, &set).await;
    }
    Joined {
        set,
        ready: ready.iter().map(|(m, _)| m.name().clone()).collect(),
        refused,
    }
}

/// Write a store set to all of these stores. Says how many have it.
pub async fn tell(members: &[Arc<Member>], set: &StoreSet) -> usize {
    let (key, bytes) = (key_of(set).to_string(), Bytes::from(set.to_bytes()));
    let puts = members.iter().map(|member| member.put(&key, bytes.clone()));
    let put = join_all(puts).await;
    put.iter().filter(|put| put.is_ok()).count()
}

fn key_of(set: &StoreSet) -> StoreSetKey {
    StoreSetKey {
        version: set.version,
        digest: set.digest(),
    }
}

async fn look(member: &Member) -> Result<Told, PoolError> {
    let listing = member.store().list(STORES, None).try_collect::<Vec<_>>();
    let listed = member.ask(STORES, listing).await?;
    let mut told = Told::default();
    // Of two that claimed it at the same time the first counts, by the store's own clock.
    let identities = listed.iter().filter_map(|object| {
        let key: IdentityKey = object.location.as_ref().parse().ok()?;
        Some((object.last_modified, key))
    });
    told.identity = identities.min().map(|(_, key)| key);
    let sets = listed
        .iter()
        .filter_map(|object| object.location.as_ref().parse().ok());
    told.sets = sets.collect();
    Ok(told)
}

async fn claim(member: &Member, fleet: FleetId) -> Result<IdentityKey, PoolError> {
    let ours = IdentityKey {
        fleet,
        store: rand::random(),
    };
    let said =
        serde_json::json!({ "v": 1, "fleet": fleet, "store": format!("{:016x}", ours.store) });
    let bytes = Bytes::from(format!("{said}\n"));
    member.put(&ours.to_string(), bytes).await?;
    Ok(look(member).await?.identity.unwrap_or(ours))
}

/// The fleet that we are of: that of the set we know, unless it was never changed and the stores have another.
fn fleet_of(answered: &[(Arc<Member>, Told)], known: &StoreSet) -> FleetId {
    let theirs = answered
        .iter()
        .find_map(|(_, told)| told.identity.map(|id| id.fleet));
    match theirs {
        Some(theirs) if known.version <= 1 => theirs,
        _ => known.fleet,
    }
}

async fn newest(ready: &[(Arc<Member>, Told)], known: &StoreSet, fleet: FleetId) -> StoreSet {
    let mut best = StoreSet {
        fleet,
        ..known.clone()
    };
    let mut is_ours = true;
    for (member, told) in ready {
        let mut keys = told.sets.clone();
        keys.sort_unstable_by(|a, b| b.cmp(a));
        for key in keys {
            let is_newer = is_ours && known.version <= 1 || key > key_of(&best);
            if !is_newer {
                break;
            }
            let read = member.get(&key.to_string()).await;
            match read.map(|bytes| StoreSet::parse(&bytes)) {
                Ok(Ok(set)) if set.fleet == fleet => {
                    best = set;
                    is_ours = false;
                    break;
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%key, store = %member.name(), %error, "a store set cannot be understood");
                }
                Err(error) => {
                    tracing::warn!(%key, store = %member.name(), %error, "a store set cannot be read");
                }
            }
        }
    }
    best
}

async fn publish(ready: &[(Arc<Member>, Told)], set: &StoreSet) {
    let key = key_of(set);
    let lacking = ready.iter().filter(|(_, told)| !told.sets.contains(&key));
    let lacking: Vec<_> = lacking.map(|(member, _)| member.clone()).collect();
    if tell(&lacking, set).await < lacking.len() {
        tracing::info!(
            version = set.version,
            "a store did not take the store set; it gets it later"
        );
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::store::failing::{FailingStore, Faults};

    #[tokio::test]
    async fn nodes_that_found_a_fleet_at_the_same_time_come_to_agree() {
        for seed in 0..40 {
            let objects = Arc::new(InMemory::new());
            let slow = Faults {
                delayed: 1_000,
                delay_max: Duration::from_millis(3),
                ..Faults::default()
            };
            let node = |seed| {
                let slowly = Arc::new(FailingStore::new(objects.clone(), slow, seed));
                let url: Url = "memory:all".parse().expect("url");
                let store = Store::over(url, slowly);
                Fleet::new(vec![store], None, None, Duration::from_secs(5))
            };
            let (one, two) = (node(seed), node(1_000 + seed));
            let (first, second) = tokio::join!(one.join(), two.join());
            first.expect("the store may be used");
            second.expect("the store may be used");
            // By then both have claimed it, so that both see the same.
            one.join().await.expect("still may");
            two.join().await.expect("still may");
            let sets = [&one, &two].map(|node| node.agreed().set.clone());
            assert_eq!(sets[0], sets[1], "seed {seed}");
            assert_eq!(sets[0].version, 1, "seed {seed}");
        }
    }

    #[tokio::test]
    async fn nobody_founds_a_fleet_without_a_store() {
        let directory = tempfile::tempdir().expect("directory");
        let store = Store::directory(&directory.path().join("store")).expect("opens");
        std::fs::remove_dir(directory.path().join("store")).expect("removes");
        std::fs::write(directory.path().join("store"), "no directory").expect("writes");
        let node = Fleet::new(vec![store], None, None, Duration::from_secs(5));
        node.join().await.expect_err("the store is away");
        assert_eq!(node.agreed().set.version, 0);
    }
}
