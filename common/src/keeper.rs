/// Events of the keeper's own.
mod events;
/// Copies that the log does not name, and when one may be deleted.
mod surplus;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use prometheus_client::metrics::counter::Counter;
use sha2::{Digest as _, Sha256};

use self::surplus::Surplus;
pub use self::surplus::{Cleared, GRACE_MS, LOOK_MAX_MS, Look};
use crate::{
    catalog::PlacedBy,
    clock::Clock,
    commit_log::{Chunk, ContentFault, Entry, Place, Root},
    durable::{self, RealDisk},
    ids::{EdgeId, HomeId, StoreName},
    layout::EntryKey,
    store::pool::{Member, Pool, PoolError, aside},
};

/// Looks after the copies of chunks: places them anew, and mends them. What it has placed it says in a log of its
/// own, so that any number of keepers may work beside each other.
///
/// The order is always: copy, verify, log, and only then delete. A crash leaves a copy too many, never one too
/// few, and what is too many is found by listing.
///
/// # No two keepers delete each other's copies
///
/// There is no lock. A keeper deletes a copy only in [`Keeper::clear`], by a look at the log of all stores that began
/// less than [`LOOK_MAX_MS`] ago and does not name that copy, after it has read every copy that the log names and found
/// it good, and only if it has known the copy as surplus for [`GRACE_MS`]. Let A delete copies by a look at `a`, and
/// B those that A relies on by a look at `b`. Then one of the two has not seen the place that the other goes by, say A:
/// that place was logged after `a`, and B, who knows the copies that it deletes as surplus by that place, looks at
/// `b ≥ a + GRACE_MS`. What A deletes is deleted by `a + LOOK_MAX_MS`, before `b`: B finds the copies that it relies on
/// gone when it reads them, deletes nothing, and mends. This stands on stores that show what was put, and that do
/// not carry out a request minutes after its sender has given up on it.
#[derive(Debug)]
pub struct Keeper {
    id: EdgeId,
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    /// Where the log is kept beside the stores, on a box.
    lake: Option<PathBuf>,
    logs: tokio::sync::Mutex<BTreeMap<HomeId, Log>>,
    surplus: parking_lot::Mutex<Surplus>,
    grace_ms: i64,
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
        source: Box<PoolError>,
    },
    /// No store has a good copy.
    #[error("{key} has no good copy: {source}")]
    NoGoodCopy {
        /// The chunk.
        key: String,
        /// What the last store said.
        source: Box<PoolError>,
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
            surplus: parking_lot::Mutex::default(),
            grace_ms: GRACE_MS,
            figures: Figures::default(),
        }
    }

    /// Delete surplus copies after another time than [`GRACE_MS`]. Less is for those who know that there is no other
    /// keeper.
    #[must_use]
    pub fn with_grace(self, grace_ms: i64) -> Keeper {
        Keeper { grace_ms, ..self }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> EdgeId {
        self.id
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

    /// Have the copies of a chunk at these stores, the primary first. `rev` is how often it was placed so far. It may be
    /// repeated after a crash at any point. Copies elsewhere are surplus from now on, and go with [`Keeper::clear`].
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
                // A copy that others are let go for has to be a good one.
                if !drops || member.read_copy(chunk, is_primary).await.is_ok() {
                    continue;
                }
            }
            let bytes = match &good {
                Some(bytes) => Bytes::clone(bytes),
                None => good.insert(self.good_copy(chunk).await?).clone(),
            };
            self.put_copy(chunk, &member, is_primary, bytes).await?;
        }
        let place = Place {
            key: chunk.key.clone(),
            stores: stores.to_vec(),
            rev: rev + 1,
            wanted: Vec::new(),
        };
        let entry = self.log(&chunk.key.home, vec![place], None).await?;
        for (at, name) in chunk.stores.iter().enumerate() {
            let now = stores.iter().position(|other| other == name);
            if now.is_none_or(|now| (now == 0) != (at == 0)) {
                let by = PlacedBy::of(&entry, rev + 1);
                self.saw_surplus(&chunk.key, by, name, at == 0);
            }
        }
        Ok(entry)
    }

    /// Put a good copy of a chunk to where one is missing or damaged. `good` is what was found good a moment ago; without it
    /// one is looked for.
    ///
    /// # Errors
    /// The store failed, or no other has a good copy.
    pub async fn mend(
        &self,
        chunk: &Chunk,
        store: &StoreName,
        is_primary: bool,
        good: Option<Bytes>,
    ) -> Result<(), KeeperError> {
        let member = self.member(store)?;
        let bytes = match good {
            Some(bytes) => bytes,
            None => self.good_copy(chunk).await?,
        };
        self.put_copy(chunk, &member, is_primary, bytes).await
    }

    async fn put_copy(
        &self,
        chunk: &Chunk,
        to: &Member,
        is_primary: bool,
        bytes: Bytes,
    ) -> Result<(), KeeperError> {
        let key = chunk.key.copy(is_primary);
        let failed = |what| {
            let (key, store) = (key.clone(), to.name().clone());
            move |source| KeeperError::Store {
                what,
                key,
                store,
                source: Box::new(source),
            }
        };
        let put = to.put_among_others(&key, bytes).await;
        put.map_err(failed("put"))?;
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
            source: Box::new(source),
        };
        let bytes = self.pool.read(chunk).await.map_err(no_good)?;
        if is_logged(chunk, bytes.clone()).await {
            return Ok(bytes);
        }
        // The first that answered has the size and the CRC32 of the log by chance or by malice. The others may do better.
        for member in self.pool.members() {
            for is_primary in [true, false] {
                if let Ok(bytes) = member.read_copy(chunk, is_primary).await
                    && is_logged(chunk, bytes.clone()).await
                {
                    return Ok(bytes);
                }
            }
        }
        Err(no_good(PoolError::Content {
            store: StoreName::main(),
            key: chunk.key.to_string(),
            fault: ContentFault::Sha256,
        }))
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
        self.put_waiting(log).await?;
        Ok(entry)
    }

    async fn put_waiting(&self, log: &mut Log) -> Result<(), KeeperError> {
        while let Some(next) = log.waiting.first() {
            self.put_entry(next).await?;
            log.waiting.remove(0);
        }
        Ok(())
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
        let puts = members
            .iter()
            .map(|member| member.put_among_others(&key, bytes.clone()));
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

/// Whether bytes are what the log says, by their SHA-256.
async fn is_logged(chunk: &Chunk, bytes: Bytes) -> bool {
    let (logged, length) = (chunk.sha256, bytes.len());
    let is_logged = move || <[u8; 32]>::from(Sha256::digest(&bytes)) == logged;
    aside(length, is_logged).await.unwrap_or(false)
}
