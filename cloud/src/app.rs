use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tarn_common::{
    cache::{CacheSettings, ChunkCache},
    clock::Clock,
    event::AuditEntry,
    fleet::Fleet,
    ids::{EdgeId, HomeId},
    keeper::Keeper,
    query::{Engine, EngineSettings, Limits, QueryError},
    store::{Store, mirror::Mirror},
};
use tarn_notify::{Channels, NotifyError};
use tarn_openapi::{
    Access, AccessSettings, DeviceService, HttpSettings, Kind, Service, SharedRegistry,
    StoresService,
    access::{KEY_FILE, tell_setup_link},
    live::{LiveHub, LiveMetrics},
    notices::Teller,
    serve,
    service::Freshness,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    audit::{AuditInlet, audit},
    devices::CloudDevices,
    downlink::{Downlink, DownlinkError, MeetingSettings, OwnBroker},
    follow::Follow,
    fresh,
    guard::{self, Guard},
    lake::StoreLake,
    live::CloudLive,
    metrics::Metrics,
    twins::CloudTwins,
    upkeep::{ScrubSettings, Scrubbing, Upkeep, UpkeepSettings},
};

/// How often the age of the catalog is brought up to now.
const AGE_EVERY: Duration = Duration::from_secs(1);

/// Messages of twins that wait to be sent.
const SYNC_OUT_MAX: usize = 1024;

/// Settings of a [`Cloud`].
#[derive(Debug, Clone)]
pub struct Settings {
    /// The stores, by preference: a chunk is read from the first that has a good copy.
    pub stores: Vec<Store>,
    /// Where HTTP is served; port 0 takes a free one.
    pub http: SocketAddr,
    /// Where boxes are met.
    pub meeting: MeetingSettings,
    /// Where chunks are cached; none takes a new temporary directory that goes with the service.
    pub cache_directory: Option<PathBuf>,
    /// Bytes of chunks to keep there.
    pub cache_bytes: u64,
    /// How long one chunk may take from one store.
    pub fetch_timeout: Duration,
    /// How often the commit log is looked at.
    pub refresh_every: Duration,
    /// How long one look at one store may take.
    pub refresh_timeout: Duration,
    /// How the stores are looked after.
    pub upkeep: UpkeepSettings,
    /// How all copies are gone through.
    pub scrub: ScrubSettings,
    /// What one question may cost.
    pub limits: Limits,
    /// The engine's own settings.
    pub engine: EngineSettings,
    /// The server's own settings.
    pub http_settings: HttpSettings,
    /// Ways to tell people of alarms.
    pub channels: Channels,
    /// How long the box of a home that nobody is in may be silent.
    pub silent_after: Duration,
}

impl Settings {
    /// The defaults for these stores, at a free port of the local host.
    #[must_use]
    pub fn new(stores: Vec<Store>) -> Settings {
        Settings {
            stores,
            http: SocketAddr::from(([127, 0, 0, 1], 0)),
            meeting: MeetingSettings::Own(Box::new(OwnBroker::local())),
            cache_directory: None,
            cache_bytes: 10 << 30,
            fetch_timeout: Duration::from_secs(10),
            refresh_every: Duration::from_secs(2),
            refresh_timeout: Duration::from_secs(30),
            upkeep: UpkeepSettings::default(),
            scrub: ScrubSettings::default(),
            limits: Limits::default(),
            engine: EngineSettings {
                memory_bytes: 2 << 30,
                ..EngineSettings::default()
            },
            http_settings: HttpSettings::default(),
            channels: Channels::default(),
            silent_after: Duration::from_secs(120),
        }
    }
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There must be a store.
    #[error("no store is given; name one with --store")]
    NoStore,
    /// The cache's directory cannot be used.
    #[error("open cache {directory:?}")]
    Cache {
        /// The directory.
        directory: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The address cannot be listened at.
    #[error("listen at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Boxes cannot be met.
    #[error(transparent)]
    Downlink(#[from] DownlinkError),
    /// What waits to be told to people cannot be opened.
    #[error("what waits to be told to people")]
    Notify(#[from] NotifyError),
    /// The query engine did not start.
    #[error("start the query engine")]
    Engine(#[from] QueryError),
}

/// A running service.
#[derive(Debug)]
pub struct Cloud {
    address: SocketAddr,
    engine: Arc<Engine>,
    follow: Arc<Follow>,
    registry: SharedRegistry,
    access: Arc<Access>,
    downlink: Arc<Downlink>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    /// Goes with the service.
    _own_cache: Option<tempfile::TempDir>,
}

#[derive(Debug)]
struct Host {
    engine: Arc<Engine>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    follow: Arc<Follow>,
    devices: Arc<CloudDevices>,
    live: Arc<CloudLive>,
    downlink: Arc<Downlink>,
    upkeep: Arc<Upkeep>,
    access: Arc<Access>,
    audit: AuditInlet,
    teller: Teller,
}

#[async_trait]
impl Service for Host {
    fn kind(&self) -> Kind {
        Kind::Cloud
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn access(&self) -> &Arc<Access> {
        &self.access
    }

    async fn audit(&self, home: &HomeId, entry: AuditEntry) {
        self.audit.add(home, entry);
    }

    fn teller(&self) -> Option<&Teller> {
        Some(&self.teller)
    }

    fn devices(&self) -> Option<Arc<dyn DeviceService>> {
        Some(self.devices.clone())
    }

    fn stores(&self) -> Option<Arc<dyn StoresService>> {
        Some(self.upkeep.clone())
    }

    fn live(&self, home: &str) -> Option<Arc<LiveHub>> {
        self.live.hub(&home.parse().ok()?)
    }

    async fn fresh(&self, home: &str, wait: Duration) -> Freshness {
        fresh::fresh(
            home,
            wait,
            &self.downlink,
            &self.follow,
            self.clock.as_ref(),
        )
        .await
    }

    fn not_ready(&self) -> Vec<String> {
        self.follow.not_ready()
    }
}

impl Cloud {
    /// Start the service. It serves at once, and is ready when its stores were seen whole.
    pub async fn start(settings: Settings, clock: Arc<dyn Clock>) -> Result<Cloud, StartError> {
        if settings.stores.is_empty() {
            return Err(StartError::NoStore);
        }
        let mut registry = Registry::default();
        let metrics = Metrics::register(registry.sub_registry_with_prefix("tarn_cloud"));
        let (cache, cache_directory, own_cache) = open_cache(&settings)?;
        cache.register(registry.sub_registry_with_prefix("tarn_cloud_cache"));
        let fleet = Fleet::new(settings.stores.clone(), None, None, settings.fetch_timeout);
        let fleet = Arc::new(fleet.reading_any());
        let follow = Follow::new(
            fleet.pool().clone(),
            settings.refresh_every,
            settings.refresh_timeout,
            metrics.clone(),
        );
        let follow = Arc::new(follow);
        let keeper = Keeper::new(
            EdgeId(rand::random()),
            fleet.pool().clone(),
            clock.clone(),
            None,
            Default::default(),
        );
        let keeper = Arc::new(keeper);
        let scrubbing = Arc::new(Scrubbing::new(
            keeper.clone(),
            follow.clone(),
            clock.clone(),
            settings.scrub,
            registry.sub_registry_with_prefix("tarn_cloud_scrub"),
        ));
        let pool = fleet.pool().clone();
        let (audit, audit_writer) = audit(
            keeper.clone(),
            fleet.clone(),
            registry.sub_registry_with_prefix("tarn_cloud"),
        );
        let access = Access::new(
            AccessSettings {
                store: Mirror::of(pool.clone()),
                key_file: cache_directory.join(KEY_FILE),
                trusted: settings.http_settings.trusted.clone(),
                rate: settings.http_settings.rate,
            },
            clock.clone(),
        );
        let access = Arc::new(access);
        let upkeep = Arc::new(Upkeep::new(
            fleet,
            keeper,
            follow.clone(),
            settings.upkeep.clone(),
            metrics.clone(),
            scrubbing.clone(),
        ));
        let lake = StoreLake::new(follow.clone(), Arc::new(cache), metrics);
        let engine = Arc::new(Engine::new(Arc::new(lake), &settings.engine)?);
        let listen = |source| StartError::Listen {
            address: settings.http,
            source,
        };
        let listener = TcpListener::bind(settings.http).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let twins = Arc::new(CloudTwins::new(
            Mirror::of(pool),
            clock.clone(),
            &mut registry,
        ));
        let (sync_out, outbox) = mpsc::channel(SYNC_OUT_MAX);
        let downlink = Downlink::start(
            settings.meeting,
            twins.clone(),
            outbox,
            clock.clone(),
            &mut registry,
        );
        let downlink = Arc::new(downlink.await?);
        let teller = guard::teller(
            &cache_directory.join("outbox.redb"),
            settings.channels,
            &clock,
            &mut registry,
        )?;
        let guard = Guard {
            twins: twins.clone(),
            downlink: downlink.clone(),
            clock: clock.clone(),
            silent_after: settings.silent_after,
            teller: teller.clone(),
        };
        let live_metrics = LiveMetrics::register(&mut registry);
        let registry: SharedRegistry = Arc::new(Mutex::new(registry));
        let stop = CancellationToken::new();
        let live = CloudLive::new(downlink.clone(), clock.clone(), live_metrics, stop.clone());
        let live = Arc::new(live);
        let devices = CloudDevices {
            twins: twins.clone(),
            downlink: downlink.clone(),
            engine: engine.clone(),
            clock: clock.clone(),
        };
        let host = Arc::new(Host {
            engine: engine.clone(),
            clock,
            limits: settings.limits,
            follow: follow.clone(),
            devices: Arc::new(devices),
            live: live.clone(),
            downlink: downlink.clone(),
            upkeep: upkeep.clone(),
            access: access.clone(),
            audit,
            teller,
        });
        let has_tls = settings.http_settings.tls.is_some();
        let server = serve(
            listener,
            host,
            registry.clone(),
            settings.http_settings,
            stop.clone(),
        );
        let tasks = vec![
            tokio::spawn(follow.clone().run(stop.clone())),
            tokio::spawn(upkeep.run(stop.clone())),
            tokio::spawn(scrubbing.run(stop.clone())),
            tokio::spawn(guard.run(stop.clone())),
            tokio::spawn(show_age(follow.clone(), stop.clone())),
            tokio::spawn(live.run(twins.changes())),
            tokio::spawn(twins.clone().tell(sync_out, stop.clone())),
            tokio::spawn(twins.run(stop.clone())),
            tokio::spawn(
                access
                    .clone()
                    .run(tell_setup_link(address, has_tls), stop.clone()),
            ),
            tokio::spawn(audit_writer.run(stop.clone())),
            tokio::spawn(async move {
                if let Err(error) = server.await {
                    tracing::error!(%error, "the HTTP server failed");
                }
            }),
        ];
        Ok(Cloud {
            address,
            engine,
            follow,
            registry,
            access,
            downlink,
            stop,
            tasks,
            _own_cache: own_cache,
        })
    }

    /// Where HTTP is served.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.address
    }

    /// The cloud among the boxes.
    #[must_use]
    pub fn downlink(&self) -> &Arc<Downlink> {
        &self.downlink
    }

    /// Who may do what.
    #[must_use]
    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// The engine that answers from these stores.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Look at the commit log now, rather than at the next tick.
    pub async fn refresh(&self) {
        self.follow.look_now().await;
    }

    /// The metrics, for more to be registered.
    #[must_use]
    pub fn registry(&self) -> &SharedRegistry {
        &self.registry
    }

    /// Stop: take no more requests, finish those under way.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        self.downlink.shutdown().await;
        for task in self.tasks.drain(..) {
            if let Err(failed) = task.await {
                tracing::error!(%failed, "a task of the service failed");
            }
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn show_age(follow: Arc<Follow>, stop: CancellationToken) {
    while stop
        .run_until_cancelled(tokio::time::sleep(AGE_EVERY))
        .await
        .is_some()
    {
        follow.show_age();
    }
}

/// The cache, its directory, and what removes it at the end where it is a temporary one.
type OpenCache = (ChunkCache, PathBuf, Option<tempfile::TempDir>);

fn open_cache(settings: &Settings) -> Result<OpenCache, StartError> {
    let failed = |directory: PathBuf| move |source| StartError::Cache { directory, source };
    let (directory, own) = match &settings.cache_directory {
        Some(directory) => (directory.clone(), None),
        None => {
            let own = tempfile::Builder::new().prefix("tarn-cache-").tempdir();
            let own = own.map_err(failed(std::env::temp_dir()))?;
            (own.path().to_owned(), Some(own))
        }
    };
    let cache = ChunkCache::open(CacheSettings {
        directory: directory.clone(),
        budget_bytes: settings.cache_bytes,
    });
    let cache = cache.map_err(failed(directory.clone()))?;
    Ok((cache, directory, own))
}
