use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use prometheus_client::metrics::counter::Counter;
use sha2::{Digest as _, Sha256};

use crate::{
    clock::Clock,
    commit_log::{Chunk, Entry, Place, Root},
    durable::{self, RealDisk},
    ids::{EdgeId, HomeId, StoreName},
    layout::EntryKey,
    store::pool::{Member, Pool, PoolError},
};

/// Looks after the copies of chunks: places them anew, and mends them. What it has placed it says in a log of its
/// own, so that any number of keepers may work beside each other.
///
/// The order is always: copy, verify, log, and only then delete. A crash leaves a copy too many, never one too
/// few, and what is too many is found by listing.
#[derive(Debug)]
pub struct Keeper {
    id: EdgeId,
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    /// Where the log is kept beside the stores, on a box.
    lake: Option<PathBuf>,
    logs: tokio::sync::Mutex<BTreeMap<HomeId, Log>>,
    figures: Figures,
}

/// A keeper's log of one home.
#[derive(Debug, Default)]
struct Log {
    /// Number of the newest entry.
    number: u64,
    /// Entries that no store has yet. They keep their numbers, and go before any further one.
    waiting: Vec<Entry>,
}

/// Counters of a keeper.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    /// Copies made.
    pub copied: Counter,
    /// Bytes of them.
    pub copied_bytes: Counter,
    /// Copies deleted.
    pub deleted: Counter,
}

/// Why something was not done; what was done on the way does no harm.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// A store failed.
    #[error("{what} {key} at {store}: {source}")]
    Store {
        /// What was tried.
        what: &'static str,
        /// On which object.
        key: String,
        /// At which store.
        store: StoreName,
        /// What the store said.
        source: PoolError,
    },
    /// No store has a good copy.
    #[error("{key} has no good copy: {source}")]
    NoGoodCopy {
        /// The chunk.
        key: String,
        /// What the last store said.
        source: PoolError,
    },
    /// The set names a store that is not known here.
    #[error("there is no store {0}")]
    UnknownStore(StoreName),
    /// The place could not be logged: no store took the entry.
    #[error("log {key}: {reason}")]
    Log {
        /// The entry.
        key: String,
        /// What the last store, or the disk, said.
        reason: String,
    },
}

impl Keeper {
    /// A keeper under an id of its own: a random one for each start, or that of a box, which also keeps the log
    /// in its `lake`; `numbers` says how far each log has come.
    #[must_use]
    pub fn new(
        id: EdgeId,
        pool: Arc<Pool>,
        clock: Arc<dyn Clock>,
        lake: Option<PathBuf>,
        numbers: BTreeMap<HomeId, u64>,
    ) -> Keeper {
        let log = |number| Log {
            number,
            waiting: Vec::new(),
        };
        let logs = numbers
            .into_iter()
            .map(|(home, number)| (home, log(number)));
        Keeper {
            id,
            pool,
            clock,
            lake,
            logs: tokio::sync::Mutex::new(logs.collect()),
            figures: Figures::default(),
        }
    }

    /// The stores.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Its counters.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Have the copies of a chunk at these stores, the primary first, and nowhere else where the log knows of
    /// one. `rev` is how often it was placed so far. It may be repeated after a crash at any point.
    ///
    /// # Errors
    /// A store failed, or there is no good copy to be had; the chunk has no fewer copies than before.
    pub async fn place(
        &self,
        chunk: &Chunk,
        rev: u64,
        stores: &[StoreName],
    ) -> Result<Entry, KeeperError> {
        let mut good = None;
        let drops = chunk.stores.iter().any(|name| !stores.contains(name));
        for (at, name) in stores.iter().enumerate() {
            let (member, is_primary) = (self.member(name)?, at == 0);
            let was = chunk.stores.iter().position(|other| other == name);
            if was.is_some_and(|was| (was == 0) == is_primary) {
                // A copy that others are deleted for has to be a good one.
                if !drops || member.read_copy(chunk, is_primary).await.is_ok() {
                    continue;
                }
            }
            self.copy(chunk, &member, is_primary, &mut good).await?;
        }
        let place = Place {
            key: chunk.key.clone(),
            stores: stores.to_vec(),
            rev: rev + 1,
            wanted: Vec::new(),
        };
        let entry = self.log(&chunk.key.home, vec![place], None).await?;
        for (at, name) in chunk.stores.iter().enumerate() {
            let (key, now) = (
                chunk.key.copy(at == 0),
                stores.iter().position(|other| other == name),
            );
            if now.is_some_and(|now| (now == 0) == (at == 0)) {
                continue;
            }
            // A store that is away keeps its copy until it is found by listing.
            if let Ok(member) = self.member(name)
                && member.delete(&key).await.is_ok()
            {
                self.figures.deleted.inc();
            }
        }
        Ok(entry)
    }

    /// Put a good copy of a chunk to where one is missing or damaged.
    ///
    /// # Errors
    /// The store failed, or no other has a good copy.
    pub async fn mend(
        &self,
        chunk: &Chunk,
        store: &StoreName,
        is_primary: bool,
    ) -> Result<(), KeeperError> {
        let member = self.member(store)?;
        self.copy(chunk, &member, is_primary, &mut None).await
    }

    async fn copy(
        &self,
        chunk: &Chunk,
        to: &Member,
        is_primary: bool,
        good: &mut Option<Bytes>,
    ) -> Result<(), KeeperError> {
        let key = chunk.key.copy(is_primary);
        let failed = |what| {
            let (key, store) = (key.clone(), to.name().clone());
            move |source| KeeperError::Store {
                what,
                key,
                store,
                source,
            }
        };
        let bytes = match good {
            Some(bytes) => bytes.clone(),
            None => good.insert(self.good_copy(chunk).await?).clone(),
        };
        to.put(&key, bytes).await.map_err(failed("put"))?;
        let back = to.read_copy(chunk, is_primary).await;
        back.map_err(failed("verify"))?;
        self.figures.copied.inc();
        self.figures.copied_bytes.inc_by(chunk.bytes);
        Ok(())
    }

    /// A copy whose SHA-256 is the log's, too: it is about to be the one that others are made from.
    async fn good_copy(&self, chunk: &Chunk) -> Result<Bytes, KeeperError> {
        let no_good = |source| KeeperError::NoGoodCopy {
            key: chunk.key.to_string(),
            source,
        };
        let bytes = self.pool.read(chunk).await.map_err(no_good)?;
        let (hashed, logged) = (bytes.clone(), chunk.sha256);
        let is_good = tokio::task::spawn_blocking(move || {
            <[u8; 32]>::from(Sha256::digest(&hashed)) == logged
        });
        if is_good.await.unwrap_or(false) {
            return Ok(bytes);
        }
        Err(no_good(PoolError::Timeout(
            "SHA-256 is not the log's".into(),
        )))
    }

    /// Log what was placed, and a root. Durable in one store at least when this returns; every store that can be
    /// reached has it.
    ///
    /// # Errors
    /// No store took it. It is tried again before the next one.
    pub async fn log(
        &self,
        home: &HomeId,
        places: Vec<Place>,
        root: Option<Root>,
    ) -> Result<Entry, KeeperError> {
        let mut logs = self.logs.lock().await;
        let log = logs.entry(home.clone()).or_default();
        log.number += 1;
        let key = EntryKey {
            home: home.clone(),
            writer: self.id,
            number: log.number,
        };
        let entry = Entry::of_keeper(key, self.clock.now_ms(), places, root);
        log.waiting.push(entry.clone());
        while let Some(next) = log.waiting.first() {
            self.put_entry(next).await?;
            log.waiting.remove(0);
        }
        Ok(entry)
    }

    async fn put_entry(&self, entry: &Entry) -> Result<(), KeeperError> {
        let (key, bytes) = (entry.key().to_string(), Bytes::from(entry.to_bytes()));
        let failed = |reason: String| KeeperError::Log {
            key: key.clone(),
            reason,
        };
        if let Some(lake) = &self.lake {
            let (path, bytes) = (lake.join(&key), bytes.clone());
            let kept = tokio::task::spawn_blocking(move || durable::put(&RealDisk, &path, &bytes));
            let kept = kept.await.unwrap_or_else(|e| Err(std::io::Error::other(e)));
            kept.map_err(|e| failed(e.to_string()))?;
        }
        let members = self.pool.members();
        let puts = members.iter().map(|member| member.put(&key, bytes.clone()));
        let mut puts: FuturesUnordered<_> = puts.collect();
        let (mut done, mut last) = (false, PoolError::NoStore.to_string());
        while let Some(put) = puts.next().await {
            match put {
                Ok(()) => done = true,
                Err(error) => last = error.to_string(),
            }
        }
        // On a box the entry is on disk, and goes to the stores as its others do.
        if done || self.lake.is_some() {
            Ok(())
        } else {
            Err(failed(last))
        }
    }

    fn member(&self, name: &StoreName) -> Result<Arc<Member>, KeeperError> {
        let member = self.pool.member(name);
        member.ok_or_else(|| KeeperError::UnknownStore(name.clone()))
    }
}
