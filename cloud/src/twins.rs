//! The twins of all homes: in the bucket, and in memory for as long as somebody asks for them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use tarn_common::{
    clock::Clock,
    ids::HomeId,
    store::Store,
    twin::{
        home::{self, Change, Changes, HomeTwins},
        store::{TwinStoreError, bucket::BucketStore},
    },
};
use tokio::{
    sync::{
        OnceCell,
        broadcast::{self, error::RecvError},
        mpsc,
    },
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::downlink::{CloudSync, SyncOut, SyncTo};

/// Homes whose documents are in memory; beyond it those that nobody asked for the longest go.
pub(crate) const HOMES_LOADED_MAX: usize = 1_000;
/// Homes of which the digest is remembered.
pub(crate) const HOMES_KNOWN_MAX: usize = 200_000;
/// How often homes are tidied and let go.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// How long a home that nobody asks for stays in memory.
const IDLE: Duration = Duration::from_secs(600);

/// The twins of all homes on this replica.
#[derive(Debug)]
pub(crate) struct CloudTwins {
    me: String,
    store: Store,
    clock: Arc<dyn Clock>,
    homes: Mutex<Homes>,
    changes: Changes,
    loaded: Gauge,
    known: Gauge,
    /// Counts uses, so that the one longest ago is known.
    uses: AtomicU64,
}

#[derive(Debug, Default)]
struct Homes {
    loaded: HashMap<HomeId, Loaded>,
    /// Digests of homes that are not in memory, as they were when they went.
    digests: HashMap<HomeId, Vec<u8>>,
}

#[derive(Debug, Clone)]
struct Loaded {
    twins: Arc<OnceCell<Arc<HomeTwins>>>,
    used: u64,
    used_ms: i64,
}

impl CloudTwins {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, registry: &mut Registry) -> CloudTwins {
        let (loaded, known) = (Gauge::default(), Gauge::default());
        let figures = registry.sub_registry_with_prefix("tarn_twins");
        figures.register(
            "homes_loaded",
            "Homes whose twins are in memory",
            loaded.clone(),
        );
        figures.register(
            "homes_known",
            "Homes of which only a digest is in memory",
            known.clone(),
        );
        CloudTwins {
            me: format!("{:016x}", rand::random::<u64>()),
            loaded,
            known,
            store,
            clock,
            homes: Mutex::default(),
            changes: home::changes(),
            uses: AtomicU64::default(),
        }
    }

    /// Changes of all homes from now on.
    pub(crate) fn changes(&self) -> broadcast::Receiver<Arc<Change>> {
        self.changes.subscribe()
    }

    /// The twins of a home, read from the bucket if they are not in memory.
    pub(crate) async fn home(&self, home: &HomeId) -> Result<Arc<HomeTwins>, TwinStoreError> {
        let cell = {
            let mut homes = self.homes.lock();
            let used = self.uses.fetch_add(1, Ordering::Relaxed);
            let used_ms = self.clock.monotonic_ms();
            // In memory it may go on, so what it had is no longer what it has.
            homes.digests.remove(home);
            let loaded = homes.loaded.entry(home.clone()).or_insert_with(|| Loaded {
                twins: Arc::default(),
                used,
                used_ms,
            });
            (loaded.used, loaded.used_ms) = (used, used_ms);
            let twins = loaded.twins.clone();
            self.loaded.set(homes.loaded.len() as i64);
            twins
        };
        let open = || async {
            let store = Arc::new(BucketStore::new(self.store.clone(), home.clone()));
            let twins = HomeTwins::open(
                home.clone(),
                &self.me,
                false,
                store,
                self.clock.clone(),
                self.changes.clone(),
            )
            .await?;
            Ok(Arc::new(twins))
        };
        let twins = cell.get_or_try_init(open).await.cloned();
        self.let_go_of_most();
        twins
    }

    /// Whether a greeting says what a home that is not in memory had when it went: nothing new, nothing to read.
    fn is_known_digest(&self, home: &HomeId, body: &[u8]) -> bool {
        let homes = self.homes.lock();
        homes.digests.get(home).is_some_and(|digest| digest == body)
    }

    /// Take in what a box says; gives the answers.
    pub(crate) async fn receive(
        &self,
        home: &HomeId,
        from: &str,
        body: &[u8],
    ) -> Result<Vec<Vec<u8>>, TwinStoreError> {
        if self.is_known_digest(home, body) {
            return Ok(Vec::new());
        }
        let received = self.home(home).await?.receive(from, body).await?;
        Ok(received.replies)
    }

    /// Take in what another replica has put into the bucket.
    pub(crate) async fn learn(
        &self,
        home: &HomeId,
        from: &str,
        body: &[u8],
    ) -> Result<(), TwinStoreError> {
        let twins = {
            let mut homes = self.homes.lock();
            homes.digests.remove(home);
            homes
                .loaded
                .get(home)
                .and_then(|loaded| loaded.twins.get().cloned())
        };
        match twins {
            Some(twins) => twins.learn(from, body).await,
            None => Ok(()),
        }
    }

    /// Tidy homes and let go of those that nobody asks for, until stopped.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tick = interval(TIDY_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            let loaded: Vec<Arc<HomeTwins>> = {
                let homes = self.homes.lock();
                homes
                    .loaded
                    .values()
                    .filter_map(|loaded| loaded.twins.get().cloned())
                    .collect()
            };
            for twins in loaded {
                if let Err(error) = twins.tidy().await {
                    tracing::warn!(home = %twins.home(), error = &error as &dyn std::error::Error,
                        "twins are not tidied; it is tried again");
                }
            }
            let idle_ms =
                self.clock.monotonic_ms() - i64::try_from(IDLE.as_millis()).unwrap_or(i64::MAX);
            self.let_go(|loaded| loaded.used_ms < idle_ms);
        }
    }

    /// Tell other nodes what changes, until stopped.
    pub(crate) async fn tell(self: Arc<Self>, out: mpsc::Sender<SyncOut>, stop: CancellationToken) {
        let mut changes = self.changes();
        loop {
            let change = match stop.run_until_cancelled(changes.recv()).await {
                Some(Ok(change)) => change,
                // Boxes compare from time to time, and replicas have the bucket.
                Some(Err(RecvError::Lagged(missed))) => {
                    tracing::warn!(missed, "changes of twins are not told at once");
                    continue;
                }
                Some(Err(RecvError::Closed)) | None => return,
            };
            for body in &change.bodies {
                // What a box has changed it tells the other boxes of its home itself.
                let all = change.from.is_none().then_some(SyncTo::All);
                for to in all.into_iter().chain([SyncTo::Replicas]) {
                    let told = SyncOut {
                        home: change.home.clone(),
                        body: body.clone(),
                        to,
                    };
                    if out.send(told).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn let_go_of_most(&self) {
        let oldest = {
            let homes = self.homes.lock();
            if homes.loaded.len() <= HOMES_LOADED_MAX {
                return;
            }
            // A tenth at once, so that it is not looked for at every use.
            let mut used: Vec<u64> = homes.loaded.values().map(|loaded| loaded.used).collect();
            used.sort_unstable();
            used[HOMES_LOADED_MAX / 10]
        };
        self.let_go(|loaded| loaded.used < oldest);
    }

    /// Forget the documents of homes, and remember their digests. One that is in use stays.
    fn let_go(&self, goes: impl Fn(&Loaded) -> bool) {
        let mut homes = self.homes.lock();
        let Homes { loaded, digests } = &mut *homes;
        if digests.len() >= HOMES_KNOWN_MAX {
            digests.clear();
        }
        loaded.retain(|home, loaded| {
            let is_free = |twins: &Arc<HomeTwins>| Arc::strong_count(twins) == 1;
            if !goes(loaded)
                || Arc::strong_count(&loaded.twins) > 1
                || !loaded.twins.get().is_none_or(is_free)
            {
                return true;
            }
            if let Some(twins) = loaded.twins.get() {
                digests.insert(home.clone(), twins.digest());
            }
            false
        });
        self.loaded.set(loaded.len() as i64);
        self.known.set(digests.len() as i64);
    }
}

#[async_trait]
impl CloudSync for CloudTwins {
    async fn receive(&self, home: &HomeId, from: &str, body: &[u8]) -> Vec<Vec<u8>> {
        match CloudTwins::receive(self, home, from, body).await {
            Ok(replies) => replies,
            Err(error) => {
                tracing::warn!(%home, peer = from, error = &error as &dyn std::error::Error, "what a peer sent is not stored");
                Vec::new()
            }
        }
    }

    async fn learn(&self, home: &HomeId, from: &str, body: &[u8]) {
        if let Err(error) = CloudTwins::learn(self, home, from, body).await {
            tracing::warn!(%home, peer = from, error = &error as &dyn std::error::Error,
                "what another replica has stored cannot be read now");
        }
    }
}
