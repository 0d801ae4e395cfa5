use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::future::join_all;
use sha2::{Digest, Sha256};

use crate::{
    commit_log::Entry,
    ids::StoreName,
    layout::{AccessKey, EntryKey, StoreSetKey, TwinKey},
    store::pool::{Member, Pool, PoolError},
};

/// An object that never changes and that every store of a fleet is to have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shared {
    /// A log entry.
    Entry(EntryKey),
    /// A part of a twin.
    Twin(TwinKey),
    /// A store set.
    StoreSet(StoreSetKey),
    /// Who may do what.
    Access(AccessKey),
}

impl Shared {
    /// What an object is by its key; none for what each store has of its own.
    #[must_use]
    pub fn of(key: &str) -> Option<Shared> {
        let entry = key.parse().map(Shared::Entry).ok();
        let twin = || key.parse().map(Shared::Twin).ok();
        let set = || key.parse().map(Shared::StoreSet).ok();
        let access = || key.parse().map(Shared::Access).ok();
        entry.or_else(twin).or_else(set).or_else(access)
    }

    /// Whether these bytes are such an object. For parts of twins and store sets that is certain; a log entry must be
    /// one, and the one of its key; what is kept of access is JSON.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self, bytes: &[u8]) -> Result<(), String> {
        let is_named = match self {
            Shared::Entry(key) => {
                return Entry::parse(key, bytes)
                    .map(drop)
                    .map_err(|e| e.to_string());
            }
            Shared::Twin(key) => key.is_of(bytes),
            Shared::Access(_) => {
                let read = serde_json::from_slice::<serde_json::Value>(bytes);
                return read.map(drop).map_err(|e| e.to_string());
            }
            Shared::StoreSet(key) => Sha256::digest(bytes)[..8] == key.digest.to_be_bytes(),
        };
        if is_named {
            Ok(())
        } else {
            Err("SHA-256 is not the one in its name".into())
        }
    }
}

/// What each store that answered has of objects that all are to have: keys and sizes.
pub type Holdings = BTreeMap<StoreName, BTreeMap<String, u64>>;

/// An object that a store lacks, or has in another size than others do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    /// The store.
    pub store: StoreName,
    /// Key of the object.
    pub key: String,
    /// It is there, and something is wrong at this store or another.
    pub is_there: bool,
}

/// What stores lack of each other, by their lists.
///
/// A part of a twin goes when a snapshot has taken its place. One that a store kept while it was away counts for who
/// reads all stores anyway, and goes from all of them with the next snapshot.
#[must_use]
pub fn lacking(holdings: &Holdings) -> Vec<Lacking> {
    let mut all: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for (key, bytes) in holdings.values().flatten() {
        all.entry(key).or_default().insert(*bytes);
    }
    let mut lacking = Vec::new();
    for (key, sizes) in all {
        if Shared::of(key).is_none() {
            continue;
        }
        for (store, has) in holdings {
            let is_there = has.contains_key(key);
            if !is_there || sizes.len() > 1 {
                lacking.push(Lacking {
                    store: store.clone(),
                    key: key.to_owned(),
                    is_there,
                });
            }
        }
    }
    lacking
}

/// A good object of those that all stores are to have, from whichever has it.
///
/// # Errors
/// None has it; what the last one said.
pub async fn read_any(pool: &Pool, key: &str) -> Result<Bytes, String> {
    let kind = Shared::of(key).ok_or_else(|| "it is not for all stores".to_owned())?;
    let mut last = PoolError::NoStore.to_string();
    for member in pool.members() {
        match read(&member, &kind, key).await {
            Ok(bytes) => return Ok(bytes),
            Err(reason) => last = format!("{}: {reason}", member.name()),
        }
    }
    Err(last)
}

/// Put a good object where one is missing or wrong. Says whether anything had to be done.
///
/// # Errors
/// No store has a good one, or this one does not take it; in words.
pub async fn give(pool: &Pool, to: &Member, key: &str) -> Result<bool, String> {
    let kind = Shared::of(key).ok_or_else(|| "it is not for all stores".to_owned())?;
    if read(to, &kind, key).await.is_ok() {
        return Ok(false);
    }
    let good = read_any(pool, key).await?;
    to.put_among_others(key, good)
        .await
        .map_err(|e| e.to_string())?;
    read(to, &kind, key).await.map(|_| true)
}

/// An object as each of these stores has it; one that is gone meanwhile is left out.
pub async fn read_all(
    pool: &Pool,
    kind: &Shared,
    key: &str,
    stores: Vec<StoreName>,
) -> Vec<(StoreName, Result<Bytes, String>)> {
    let reads = stores.into_iter().map(|store| async move {
        let member = pool.member(&store)?;
        let read = match member.get(key).await {
            Ok(bytes) => kind.check(&bytes).map(|()| bytes),
            Err(error) if error.is_not_found() => return None,
            Err(error) => Err(error.to_string()),
        };
        Some((store, read))
    });
    join_all(reads).await.into_iter().flatten().collect()
}

async fn read(member: &Member, kind: &Shared, key: &str) -> Result<Bytes, String> {
    let bytes = member.get(key).await.map_err(|e| e.to_string())?;
    kind.check(&bytes).map(|()| bytes)
}
