use std::{collections::HashMap, time::Duration};

use futures::StreamExt;
use tokio::time::timeout;

use crate::{
    ids::HomeId,
    layout::{ChunkKey, EVENTS, READINGS, REPLICAS},
    store::{
        StoreError,
        pool::{Member, PoolError},
    },
};

/// Prefixes under which copies of chunks lie.
const COPIES: [&str; 3] = [READINGS, EVENTS, REPLICAS];
/// How long a store may take for the next page of a list.
const PAGE_PATIENCE: Duration = Duration::from_secs(60);

/// What a store has, by listing it.
#[derive(Debug, Default)]
pub struct Listing {
    /// Copies of chunks, each with whether it is a primary, and its size.
    pub copies: HashMap<(ChunkKey, bool), u64>,
    /// Objects beside them that are no copies of chunks.
    pub foreign: Vec<String>,
}

impl Listing {
    /// List the copies of a store, those of one home if one is given.
    ///
    /// # Errors
    /// The store failed; half a list is none.
    pub async fn of(member: &Member, home: Option<&HomeId>) -> Result<Listing, PoolError> {
        let mut listing = Listing::default();
        for prefix in COPIES {
            let prefix = home.map_or(prefix.to_owned(), |home| format!("{prefix}/home={home}"));
            for (key, bytes) in objects(member, &prefix).await? {
                match ChunkKey::of_copy(&key) {
                    Some(copy) => {
                        listing.copies.insert(copy, bytes);
                    }
                    None => listing.foreign.push(key),
                }
            }
        }
        Ok(listing)
    }
}

/// Keys and sizes of the objects below a prefix.
///
/// # Errors
/// The store failed; half a list is none.
pub async fn objects(member: &Member, prefix: &str) -> Result<Vec<(String, u64)>, PoolError> {
    let mut found = Vec::new();
    let mut objects = member.store().list(prefix, None);
    loop {
        let next = timeout(PAGE_PATIENCE, objects.next()).await;
        let next = next.map_err(|_| PoolError::Timeout {
            key: prefix.to_owned(),
            patience: PAGE_PATIENCE,
        })?;
        match next {
            Some(Ok(object)) => found.push((object.location.to_string(), object.size)),
            // A directory that nobody has written to yet is as good as an empty one.
            Some(Err(StoreError::NotFound { .. })) | None => return Ok(found),
            Some(Err(error)) => return Err(error.into()),
        }
    }
}
