use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use parking_lot::{Mutex, RwLock};
use tokio::time::{Instant, timeout};

use super::{Store, StoreError, breaker::Breaker};
use crate::{
    commit_log::{Chunk, ContentFault},
    ids::StoreName,
};

/// A read that takes longer than this is tried at another store beside.
pub const HEDGE_AFTER: Duration = Duration::from_secs(1);
/// The time over which recent operations are counted.
pub const RECENT: Duration = Duration::from_secs(60);
/// Bytes that are hashed sooner than another thread takes the work over.
const INLINE_MAX: usize = 16 << 10;
/// Weight of the newest in the average latency.
const NEWEST: f64 = 0.2;

/// The stores of a fleet that are known here, each with its health.
#[derive(Debug, Default)]
pub struct Pool {
    members: RwLock<Vec<Arc<Member>>>,
}

/// One store of a pool.
#[derive(Debug)]
pub struct Member {
    name: StoreName,
    store: Store,
    patience: Duration,
    breaker: Breaker,
    figures: Figures,
}

/// How a store has been doing.
#[derive(Debug, Default)]
struct Figures {
    operations: AtomicU64,
    errors: AtomicU64,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    /// Operations of this span and of the one before.
    now: u64,
    before: u64,
    since: Option<Instant>,
    latency_ms: f64,
}

/// How a store has been doing, at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Health {
    /// It is left alone because it fails.
    pub is_open: bool,
    /// Operations since the start.
    pub operations: u64,
    /// Those that failed.
    pub errors: u64,
    /// Operations in the last one to two spans of [`RECENT`].
    pub recent_operations: u64,
    /// How long an operation took, on average, the newest counting most.
    pub latency_ms: f64,
}

/// Why something could not be had from a store.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// There is no store of this name, or none at all.
    #[error("no store to ask")]
    NoStore,
    /// The store failed or refused, or has no such object.
    #[error("{}", with_source(.0))]
    Store(#[from] StoreError),
    /// The store did not answer in time.
    #[error("{key}: no answer within {} s", patience.as_secs_f64())]
    Timeout {
        /// The object.
        key: String,
        /// How long it had.
        patience: Duration,
    },
    /// The store failed a moment ago, and is left alone for a while.
    #[error("the store is failing: {0}")]
    Paused(String),
    /// The object is not what the log says.
    #[error("{key} at {store}: {fault}")]
    Content {
        /// The store.
        store: StoreName,
        /// Key of the object.
        key: String,
        /// What is wrong with it.
        fault: ContentFault,
    },
}

impl PoolError {
    /// Whether the store answered that there is no such object.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, PoolError::Store(StoreError::NotFound { .. }))
    }
}

fn with_source(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

impl Member {
    /// A store under a name. One operation may take as long as `patience`.
    #[must_use]
    pub fn new(name: StoreName, store: Store, patience: Duration) -> Member {
        Member {
            name,
            store,
            patience,
            breaker: Breaker::default(),
            figures: Figures::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &StoreName {
        &self.name
    }

    /// The store itself, for what needs no watching.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Whether it is left alone because it fails.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.breaker.is_open()
    }

    /// How it has been doing.
    #[must_use]
    pub fn health(&self) -> Health {
        let mut recent = self.figures.recent.lock();
        recent.turn(Instant::now());
        Health {
            is_open: self.breaker.is_open(),
            operations: self.figures.operations.load(Ordering::Relaxed),
            errors: self.figures.errors.load(Ordering::Relaxed),
            recent_operations: recent.now + recent.before,
            latency_ms: recent.latency_ms,
        }
    }

    /// Do one operation on it, unless it is left alone, and take note of how that went.
    ///
    /// # Errors
    /// It is left alone, did not answer in time, or failed.
    pub async fn ask<T>(
        &self,
        key: &str,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, PoolError> {
        self.ask_within(self.patience, key, operation).await
    }

    /// The same with another patience.
    ///
    /// # Errors
    /// As [`Member::ask`].
    pub async fn ask_within<T>(
        &self,
        patience: Duration,
        key: &str,
        operation: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, PoolError> {
        if !self.breaker.allows() {
            return Err(PoolError::Paused(self.breaker.last_error()));
        }
        let started = Instant::now();
        let answer = match timeout(patience, operation).await {
            Err(_) => Err(PoolError::Timeout {
                key: key.to_owned(),
                patience,
            }),
            Ok(answer) => answer.map_err(PoolError::Store),
        };
        self.figures.note(started);
        match &answer {
            Err(error) if !error.is_not_found() => {
                self.figures.errors.fetch_add(1, Ordering::Relaxed);
                if self.breaker.failed(error.to_string()) {
                    tracing::warn!(store = %self.name, url = %self.store.url(), %error, "a store keeps failing; it is left alone for a while");
                }
            }
            _ => {
                if self.breaker.succeeded() {
                    tracing::info!(store = %self.name, "a store works again");
                }
            }
        }
        answer
    }

    /// Put an object, durable on return.
    ///
    /// # Errors
    /// As [`Member::ask`].
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), PoolError> {
        self.ask(key, self.store.put(key, bytes)).await
    }

    /// The same where another process may put the same object at the same time.
    ///
    /// # Errors
    /// As [`Member::ask`].
    pub async fn put_among_others(&self, key: &str, bytes: Bytes) -> Result<(), PoolError> {
        let put = self.store.put_among_others(key, bytes);
        self.ask(key, put).await
    }

    /// Get a whole object.
    ///
    /// # Errors
    /// As [`Member::ask`].
    pub async fn get(&self, key: &str) -> Result<Bytes, PoolError> {
        self.ask(key, self.store.get(key)).await
    }

    /// Delete an object; one that is not there is deleted already.
    ///
    /// # Errors
    /// As [`Member::ask`].
    pub async fn delete(&self, key: &str) -> Result<(), PoolError> {
        self.ask(key, self.store.delete(key)).await
    }

    /// Get the copy of a chunk that lies there as the primary, or as another, and check it against the log.
    ///
    /// # Errors
    /// As [`Member::ask`], or the copy is not what the log says.
    pub async fn read_copy(&self, chunk: &Chunk, is_primary: bool) -> Result<Bytes, PoolError> {
        let key = chunk.key.copy(is_primary);
        let bytes = self.get(&key).await?;
        let logged = chunk.clone();
        let length = bytes.len();
        let check = move || logged.check(&bytes).map(|()| bytes);
        let checked = aside(length, check).await;
        let checked = checked.map_err(|source| StoreError::Disk {
            action: "check",
            key: key.clone(),
            source,
        })?;
        checked.map_err(|fault| PoolError::Content {
            store: self.name.clone(),
            key,
            fault,
        })
    }
}

/// Look through so many bytes, beside other work if there are many.
///
/// # Errors
/// It panicked, or the process ends.
pub(crate) async fn aside<T: Send + 'static>(
    bytes: usize,
    check: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<T> {
    if bytes <= INLINE_MAX {
        return Ok(check());
    }
    let checked = tokio::task::spawn_blocking(check).await;
    checked.map_err(std::io::Error::other)
}

impl Figures {
    fn note(&self, started: Instant) {
        self.operations.fetch_add(1, Ordering::Relaxed);
        let mut recent = self.recent.lock();
        let now = Instant::now();
        recent.turn(now);
        recent.now += 1;
        let took = (now - started).as_secs_f64() * 1_000.0;
        recent.latency_ms += NEWEST * (took - recent.latency_ms);
    }
}

impl Recent {
    fn turn(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        let passed = now - since;
        if passed >= RECENT {
            self.before = if passed < RECENT * 2 { self.now } else { 0 };
            self.now = 0;
            self.since = Some(now);
        }
    }
}

impl Pool {
    /// A pool of these.
    #[must_use]
    pub fn new(members: Vec<Arc<Member>>) -> Pool {
        Pool {
            members: RwLock::new(members),
        }
    }

    /// The stores, in the order of preference.
    #[must_use]
    pub fn members(&self) -> Vec<Arc<Member>> {
        self.members.read().clone()
    }

    /// One store by its name.
    #[must_use]
    pub fn member(&self, name: &StoreName) -> Option<Arc<Member>> {
        let members = self.members.read();
        members.iter().find(|member| member.name == *name).cloned()
    }

    /// Have these stores from now on.
    pub fn replace(&self, members: Vec<Arc<Member>>) {
        *self.members.write() = members;
    }

    /// A good copy of a chunk: from where the log says that it is, then from wherever else it is found. A store
    /// that takes long has the next one asked beside it.
    ///
    /// # Errors
    /// No store has a good copy; the error is that of the last one asked.
    pub async fn read(&self, chunk: &Chunk) -> Result<Bytes, PoolError> {
        self.read_telling(chunk, &|_| {}).await
    }

    /// The same, and every error on the way is told.
    ///
    /// # Errors
    /// As [`Pool::read`].
    pub async fn read_telling(
        &self,
        chunk: &Chunk,
        tell: &(dyn Fn(&PoolError) + Send + Sync),
    ) -> Result<Bytes, PoolError> {
        let mut left: VecDeque<_> = self.places(chunk).into();
        let mut under_way = FuturesUnordered::new();
        let mut last = PoolError::NoStore;
        loop {
            if under_way.is_empty() {
                let Some((member, is_primary)) = left.pop_front() else {
                    return Err(last);
                };
                under_way.push(read(member, chunk, is_primary));
            }
            let patience = if left.is_empty() {
                Duration::MAX
            } else {
                HEDGE_AFTER
            };
            match timeout(patience, under_way.next()).await {
                Ok(Some(Ok(bytes))) => return Ok(bytes),
                Ok(Some(Err(error))) => {
                    tell(&error);
                    // A copy that is not there says less than one that is damaged.
                    if !error.is_not_found() || matches!(last, PoolError::NoStore) {
                        last = error;
                    }
                }
                Ok(None) => {}
                Err(_) => {
                    let next = left.pop_front();
                    under_way.extend(next.map(|(member, role)| read(member, chunk, role)));
                }
            }
        }
    }

    /// Where a copy of a chunk may be, the likeliest first.
    fn places(&self, chunk: &Chunk) -> Vec<(Arc<Member>, bool)> {
        let members = self.members();
        let mut places: Vec<(Arc<Member>, bool)> = Vec::new();
        for (at, name) in chunk.stores.iter().enumerate() {
            let member = members.iter().find(|member| member.name == *name);
            places.extend(member.map(|member| (member.clone(), at == 0)));
        }
        for member in &members {
            for is_primary in [true, false] {
                let is_known = |(other, primary): &(Arc<Member>, bool)| {
                    other.name == member.name && *primary == is_primary
                };
                if !places.iter().any(is_known) {
                    places.push((member.clone(), is_primary));
                }
            }
        }
        // Those that are left alone come last.
        places.sort_by_key(|(member, _)| member.is_down());
        places
    }
}

async fn read(member: Arc<Member>, chunk: &Chunk, is_primary: bool) -> Result<Bytes, PoolError> {
    member.read_copy(chunk, is_primary).await
}
