use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tarn_broker::{
    Broker, CheckpointError, Config, RouterDied, StartError as BrokerError,
    auth::{Authenticator, FileError, Users, acl::AclError},
};
use tarn_common::{
    clock::Clock,
    database::DatabaseError,
    durable::RealDisk,
    fleet::Fleet,
    ids::{EdgeId, Seq},
    query::{Engine, QueryError},
    store::Store,
    twin::store::TwinStoreError,
};
use tarn_devices::registry::Registry as DeviceRegistry;
use tarn_link::{BoxState, message::timestamp};
use tarn_notify::NotifyError;
use tarn_openapi::{
    Access, AccessSettings, BoxInfo, DeviceService,
    access::tell_setup_link,
    automation::silent_alarm,
    live::{LiveHub, LiveMetrics},
    notices::Teller,
    serve,
    types::moment,
};
use tarn_s3::S3Server;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    asked::Asked,
    bridge::{Bridge, BridgeError, BridgeToken},
    budget::Budget,
    care::CareStage,
    copied::{SettleError, Settling},
    cut::{Cutter, stage::CutStage},
    devices::{
        DISCOVERY_PREFIX, Devices,
        self_discovery::{Health, SelfDiscovery},
        send::CommandSender,
        service::{BoxDevices, Boxes},
        store::DeviceStore,
    },
    evict::Evictor,
    fresh::Fresher,
    identity::{DataDir, DataDirError, Identity},
    insights::{BoxInsights, InsightMetrics, InsightStage},
    journal::{Journal, JournalError, JournalStart},
    lan::{Lan, door::Door},
    live::{LiveFeed, records_counter, tell_changes},
    metrics::{BridgeMetrics, CutMetrics, DeviceMetrics, DiskMetrics, JournalMetrics, ShipMetrics},
    rules::{Act, Alarms, Entities, RuleMetrics, RuleStage, Taken, Underway},
    served::{self, ServeError},
    service::{BoxLake, BoxService},
    settings::Settings,
    shelf::{Shelf, ShelfError},
    ship::Shipper,
    tail::Tail,
    tell::noting,
    twins::{self, actuate::Actuator, backup::Backup, mirror::Mirror, node::TwinNode},
    uplink::{MeetError, Uplink, UplinkMetrics, UplinkParts},
    watched::Watched,
};

/// How often the disk budget is looked at.
const BUDGET_EVERY: Duration = Duration::from_secs(1);

/// Demands for a cut that may wait.
const DEMANDS_MAX: usize = 64;

/// Why a box did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Data(#[from] DataDirError),
    /// It cannot be settled whether the directory is a copy.
    #[error(transparent)]
    Settle(#[from] SettleError),
    /// The chunks on disk cannot be read.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The files of users and their rights cannot be used.
    #[error(transparent)]
    Users(#[from] FileError),
    /// The bridge to another broker cannot work.
    #[error(transparent)]
    Bridge(#[from] BridgeError),
    /// The rules of boxes on the LAN.
    #[error("rules of boxes on the LAN")]
    Rules(#[from] AclError),
    /// A meeting place cannot be gone to.
    #[error("--cloud or --peer: {0}")]
    Meet(#[from] MeetError),
    /// The query engine does not start.
    #[error("query engine")]
    Engine(#[from] QueryError),
    /// What is kept of devices cannot be opened.
    #[error("what is kept of devices")]
    Devices(#[from] DatabaseError),
    /// The home's twins cannot be opened.
    #[error("the home's twins")]
    Twins(#[from] TwinStoreError),
    /// The MQTT broker does not start.
    #[error("MQTT broker")]
    Broker(#[from] BrokerError),
    /// Sessions and retained messages cannot be stored.
    #[error("store the MQTT broker's sessions")]
    Checkpoint(#[from] CheckpointError),
    /// The box's directory cannot be served by the S3 protocol.
    #[error(transparent)]
    S3(#[from] ServeError),
    /// What waits to be told to people cannot be opened.
    #[error("what waits to be told to people")]
    Notify(#[from] NotifyError),
    /// Where it is kept who may do what cannot be opened.
    #[error("open {path} for who may do what")]
    Access {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An address cannot be bound.
    #[error("cannot listen on {address} ({what}); is another program using it?")]
    Listen {
        /// What for.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
}

/// Why a running box has to be started again. Nothing that it acknowledged is lost.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The router of messages is gone.
    #[error(transparent)]
    Router(#[from] RouterDied),
    /// The next start takes a new id, which is all it needs.
    #[error(
        "another copy of this box writes to the same store; start it again, and it takes a new id"
    )]
    Copied,
}

/// A running box.
#[derive(Debug)]
pub struct Edge {
    identity: Identity,
    mqtt: Vec<(&'static str, SocketAddr)>,
    http: SocketAddr,
    broker: Broker,
    journal: Arc<Journal>,
    shipper: Option<Arc<Shipper>>,
    service: Arc<BoxService>,
    fresher: Fresher,
    ship_at_stop: Duration,
    figures: Figures,
    uplink: Arc<Uplink>,
    telling: Stage,
    bridging: Stage,
    cutting: Stage,
    others: Stage,
    serving: Stage,
    s3: Option<S3Server>,
    _data: DataDir,
}

/// Tasks that stop together.
#[derive(Debug, Default)]
struct Stage {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Stage {
    async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// The figures of a running box.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The journal's.
    pub journal: JournalMetrics,
    /// The cut's.
    pub cut: CutMetrics,
    /// Shipping's.
    pub ship: ShipMetrics,
    /// The disk budget's.
    pub disk: DiskMetrics,
}

impl Edge {
    /// Start a box: open what is on disk, mend what a crash left, then listen.
    pub async fn start(mut settings: Settings, clock: Arc<dyn Clock>) -> Result<Edge, StartError> {
        let mut registry = Registry::default();
        let figures = Figures {
            journal: JournalMetrics::register(&mut registry),
            cut: CutMetrics::register(&mut registry),
            ship: ShipMetrics::register(&mut registry),
            disk: DiskMetrics::register(&mut registry),
        };
        let mut data = DataDir::open(&settings.data, &settings.home, settings.shards)?;
        let mut settling = Settling {
            data: &mut data,
            stores: &settings.stores,
            clock: &*clock,
            disk: &RealDisk,
            fresh: &mut || EdgeId(rand::random()),
        };
        let is_confirmed = settling.settle().await?;
        let identity = data.identity.clone();
        let shelf = Arc::new(Shelf::open(&data.lake(), identity.clone())?);
        let (_, cut_upto) = shelf.view();
        let journal = Arc::new(Journal::open(
            &data.journal(),
            JournalStart {
                edge: identity.edge,
                closed_upto: cut_upto.max(Seq(identity.first().0 - 1)),
                begin_anew: !is_confirmed,
            },
            settings.journal.clone(),
            clock.clone(),
            figures.journal.clone(),
        )?);
        let devices = Arc::new(Devices::new(
            settings.topics.clone(),
            settings.zone.clone(),
            Some(open_devices(&data)?),
            cut_upto,
            settings
                .discovery_prefix
                .as_deref()
                .unwrap_or(DISCOVERY_PREFIX),
            DeviceMetrics::register(&mut registry),
        ));
        let tail = Arc::new(Tail::new(devices.clone()));
        let lake = BoxLake::new(
            identity.clone(),
            journal.clone(),
            shelf.clone(),
            tail.clone(),
        );
        let engine = Engine::new(Arc::new(lake), &settings.engine)?;
        let bridge_token = settings.bridge.is_some().then(Arc::<BridgeToken>::default);
        let broker = start_broker(
            &settings,
            &identity,
            data.broker(),
            journal.clone(),
            clock.clone(),
            bridge_token.clone(),
            &mut registry,
        )
        .await?;
        // What the broker's sessions need of what is cut was read just now, and is stored before it may go.
        broker.checkpoints().make().await?;
        let twins = twins::open(&data, &identity, clock.clone()).await?;
        let uplinked: Arc<OnceLock<Weak<Uplink>>> = Arc::default();
        let presence = presence(&uplinked);
        let sender = Arc::new(CommandSender {
            devices: devices.clone(),
            publisher: broker.publisher(),
            journal: journal.clone(),
            clock: clock.clone(),
        });
        let actuator = Arc::new(Actuator::new(
            identity.edge,
            twins.clone(),
            sender.clone(),
            clock.clone(),
        ));
        let live = LiveHub::new(rand::random(), LiveMetrics::register(&mut registry));
        let access = Access::new(
            AccessSettings {
                store: Store::directory(&settings.data).map_err(access_error(&settings.data))?,
                key_file: data.issuer_key(),
                trusted: settings.http_settings.trusted.clone(),
                rate: settings.http_settings.rate,
            },
            clock.clone(),
        );
        let access = Arc::new(access);
        let teller = Teller::open(
            &data.outbox(),
            settings.channels.clone(),
            (clock.clone(), settings.zone.clone()),
            &mut registry,
            noting(journal.clone(), clock.clone()),
        )?;
        let service = Arc::new(BoxService {
            engine: Arc::new(engine),
            clock: clock.clone(),
            limits: settings.limits,
            operator: broker.operator(),
            rules: Arc::new(Taken::default()),
            devices: Arc::new(BoxDevices {
                edge: identity.edge,
                devices: devices.clone(),
                twins: twins.clone(),
                sender,
                actuator: actuator.clone(),
                presence: presence.clone(),
                boxes: boxes(&identity, &uplinked, clock.now_ms()),
                clock: clock.clone(),
            }),
            access: access.clone(),
            journal: journal.clone(),
            home: identity.home.clone(),
            zone: settings.zone.clone(),
            teller: teller.clone(),
            insights: Arc::new(BoxInsights::open(
                std::mem::take(&mut settings.packs),
                data.insights(),
            )),
            live: Arc::new(live),
            ready: AtomicBool::new(false),
        });
        let listener = TcpListener::bind(settings.http).await;
        let listen = |source| StartError::Listen {
            what: "HTTP",
            address: settings.http,
            source,
        };
        let (http, listener) = listener
            .and_then(|listener| Ok((listener.local_addr()?, listener)))
            .map_err(listen)?;

        let (cutting, others, serving) = (Stage::default(), Stage::default(), Stage::default());
        let (telling, bridging) = (Stage::default(), Stage::default());
        let (entries, new_entries) = watch::channel(0);
        let cuts = entries.subscribe();
        let (demands, wanted) = mpsc::channel(DEMANDS_MAX);
        // Until rules say that they have read something, they have not.
        let (rules_upto, read_upto) = watch::channel(Seq::ZERO);
        let stores = (!settings.stores.is_empty()).then(|| {
            let stores = Fleet::new(
                settings.stores.clone(),
                settings.copies,
                Some(data.stores()),
                settings.ship.object_timeout,
            );
            stores.count(&shelf.view().0);
            Arc::new(stores)
        });
        let (care, care_inlet) = CareStage::new(
            (identity.home.clone(), data.care()),
            (devices.clone(), service.devices.clone()),
            twins.clone(),
            clock.clone(),
            &mut registry,
        );
        let cutter = Cutter {
            care: Some(care_inlet),
            stores: stores.clone(),
            identity: identity.clone(),
            lake: data.lake(),
            devices: devices.clone(),
            disk: Arc::new(RealDisk),
            clock: clock.clone(),
            metrics: figures.cut.clone(),
        };
        let evictor = Evictor {
            shelf: shelf.clone(),
            devices: devices.clone(),
            disk: Arc::new(RealDisk),
            clock: clock.clone(),
            metrics: figures.disk.clone(),
            entries: entries.clone(),
            spared: Mutex::default(),
        };
        let stage = CutStage {
            cutter: Arc::new(cutter),
            journal: journal.clone(),
            shelf: shelf.clone(),
            tail: tail.clone(),
            checkpoints: Some(broker.checkpoints()),
            age: settings.cut_age,
            entries,
            demands: wanted,
            read_upto,
            unread_since: None,
        };
        cutting.tasks.spawn(stage.run(cutting.stop.clone()));
        let shipper = stores.clone().map(|stores| {
            let (ship, metrics) = (settings.ship.clone(), figures.ship.clone());
            Arc::new(Shipper::new(
                shelf.clone(),
                stores,
                ship,
                metrics,
                data.shipped(),
                clock.clone(),
            ))
        });
        if let Some(shipper) = shipper.clone() {
            let stop = others.stop.clone();
            others
                .tasks
                .spawn(async move { shipper.run(new_entries, stop).await });
        }
        let fresher = Fresher {
            demands,
            journal: journal.clone(),
            shelf: shelf.clone(),
            shipper: shipper.clone(),
        };
        let feed = LiveFeed {
            hub: service.live.clone(),
            devices: devices.clone(),
            journal: journal.clone(),
            shelf: shelf.clone(),
            tail,
            records: records_counter(&mut registry),
        };
        others.tasks.spawn(feed.run(others.stop.clone()));
        others.tasks.spawn(teller.clone().run(others.stop.clone()));
        let insights = InsightStage {
            home: identity.home.clone(),
            insights: service.insights.clone(),
            engine: service.engine.clone(),
            limits: settings.limits,
            devices: service.devices.clone(),
            twins: twins.clone(),
            journal: journal.clone(),
            publisher: broker.publisher(),
            clock: clock.clone(),
            zone: settings.zone.clone(),
            metrics: InsightMetrics::register(&mut registry),
        };
        others.tasks.spawn(insights.run(others.stop.clone()));
        others.tasks.spawn(care.run(others.stop.clone()));
        let rule_metrics = RuleMetrics::register(&mut registry);
        let rules = RuleStage {
            home: identity.home.clone(),
            cuts,
            query: service.engine.clone(),
            journal: journal.clone(),
            devices: devices.clone(),
            shelf: shelf.clone(),
            twins: twins.clone(),
            act: Arc::new(Act {
                home: identity.home.clone(),
                devices: service.devices.clone(),
                twins: twins.clone(),
                publisher: broker.publisher(),
                journal: journal.clone(),
                clock: clock.clone(),
                metrics: rule_metrics.clone(),
                teller: teller.clone(),
                underway: Underway::default(),
            }),
            alarms: Alarms {
                home: identity.home.clone(),
                publisher: broker.publisher(),
                journal: journal.clone(),
                hub: service.live.clone(),
            },
            entities: settings.discovery_prefix.clone().map(|prefix| {
                let whose = (identity.home.clone(), identity.edge);
                Entities::new(prefix, whose, broker.publisher(), data.entities())
            }),
            clock: clock.clone(),
            zone: settings.zone.clone(),
            metrics: rule_metrics,
            silent: silent_alarm(identity.edge),
            file: data.rules(),
            read_upto: rules_upto,
            taken: service.rules.clone(),
        };
        if let Some(prefix) = settings.discovery_prefix.clone() {
            let self_discovery = SelfDiscovery {
                prefix,
                identity: identity.clone(),
                publisher: broker.publisher(),
                devices: devices.clone(),
                health: health(
                    settings.disk_budget_bytes,
                    &shelf,
                    &journal,
                    &devices,
                    &figures,
                ),
            };
            let stop = telling.stop.clone();
            telling.tasks.spawn(self_discovery.run(stop));
        }
        others
            .tasks
            .spawn(devices.clone().run(journal.clone(), others.stop.clone()));
        // What devices said before the box stopped belongs to that time: it goes into the twins before anybody is met who may
        // know what was wanted since.
        devices.caught_up().await;
        let mirror = Mirror {
            identity: identity.clone(),
            twins: twins.clone(),
            devices: devices.clone(),
            presence,
            clock: clock.clone(),
        };
        mirror.look(true).await;
        others.tasks.spawn(rules.run(others.stop.clone()));
        others.tasks.spawn(mirror.run(others.stop.clone()));
        others.tasks.spawn(actuator.run(others.stop.clone()));
        others
            .tasks
            .spawn(twins::tidy(twins.clone(), others.stop.clone()));
        let node = Arc::new(TwinNode::new(
            twins.clone(),
            settings.meeting_places.len() > 1 || settings.lan.is_some(),
        ));
        others.tasks.spawn(node.clone().run(others.stop.clone()));
        // Where there is a cloud it keeps the twins in the store; a box that has none yet takes them from either.
        let has_cloud = !settings.meeting_places.is_empty();
        let is_empty = twins.read(|replica| replica.documents().next().is_none());
        if let Some(fleet) = stores.filter(|_| !has_cloud || is_empty) {
            let home = identity.home.clone();
            let backup = Backup {
                home,
                twins,
                once: has_cloud,
                fleet,
                clock: clock.clone(),
            };
            others.tasks.spawn(backup.run(others.stop.clone()));
        }
        let budget = Budget {
            bytes: settings.disk_budget_bytes,
            full: settings.disk_full,
            shelf: shelf.clone(),
            shipper: shipper.clone(),
            journal: journal.clone(),
            evictor,
            demands: fresher.demands.clone(),
            metrics: figures.ship.clone(),
            disk: figures.disk.clone(),
            asked: Mutex::default(),
            failing: Mutex::default(),
        };
        others.tasks.spawn(keep_budget(budget, others.stop.clone()));
        if let (Some(bridge), Some(token)) = (settings.bridge.clone(), bridge_token) {
            // The first listener is the plain one.
            let own = broker.addresses()[0].1;
            let metrics = BridgeMetrics::register(&mut registry);
            let bridge = Bridge::new(bridge, own, token, settings.broker.clone(), metrics)?;
            bridging.tasks.spawn(bridge.run(bridging.stop.clone()));
        }
        let health = health(
            settings.disk_budget_bytes,
            &shelf,
            &journal,
            &devices,
            &figures,
        );
        let watched = Arc::new(Watched::default());
        let parts = UplinkParts {
            identity: identity.clone(),
            name: None,
            clock: clock.clone(),
            state: box_state(health, clock.clone()),
            sync: node,
            asks: Arc::new(Asked {
                home: identity.home.clone(),
                devices: service.devices.clone(),
                fresher: fresher.clone(),
                watched: watched.clone(),
            }),
        };
        let uplink = Arc::new(Uplink::new(parts, UplinkMetrics::register(&mut registry)));
        for place in settings.meeting_places {
            uplink.meet(place)?;
        }
        if let Some(lan) = settings.lan {
            // The first listener is the plain one.
            let own = broker.addresses()[0].1;
            let lan = Lan::start(lan, identity.clone(), clock, uplink.clone(), own)?;
            telling.tasks.spawn(lan.run(telling.stop.clone()));
        }
        // Set once, here.
        let _ = uplinked.set(Arc::downgrade(&uplink));
        let changes = tell_changes(
            service.live.clone(),
            service.devices.twins.clone(),
            others.stop.clone(),
        );
        others.tasks.spawn(changes);
        let told = watched.run(service.live.clone(), uplink.clone(), others.stop.clone());
        others.tasks.spawn(told);
        let s3 = match &settings.s3 {
            Some(s3) => Some(served::serve(s3, &data, &mut registry).await?),
            None => None,
        };
        let registry = Arc::new(Mutex::new(registry));
        let server = serve(
            listener,
            service.clone(),
            registry,
            settings.http_settings.clone(),
            serving.stop.clone(),
        );
        let tell = tell_setup_link(http, settings.http_settings.tls.is_some());
        serving.tasks.spawn(access.run(tell, serving.stop.clone()));
        serving.tasks.spawn(async move {
            if let Err(e) = server.await {
                tracing::error!(error = %e, "HTTP server");
            }
        });
        service.ready.store(true, Ordering::Release);
        let mqtt = broker.addresses().to_vec();
        tracing::info!(home = %identity.home, edge = %identity.edge, ?mqtt, %http, "box is up");
        Ok(Edge {
            identity,
            mqtt,
            http,
            broker,
            journal,
            shipper,
            service,
            fresher,
            ship_at_stop: settings.ship_at_stop,
            figures,
            uplink,
            telling,
            bridging,
            cutting,
            others,
            serving,
            s3,
            _data: data,
        })
    }

    /// Who may do what.
    #[must_use]
    pub fn access(&self) -> &Arc<Access> {
        &self.service.access
    }

    /// Who this box is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Where MQTT clients connect, by scheme: `mqtt`, `mqtts`, `ws`, `wss`.
    #[must_use]
    pub fn mqtt_addresses(&self) -> &[(&'static str, SocketAddr)] {
        &self.mqtt
    }

    /// Where the REST interface listens.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http
    }

    /// Where the box's directory is served by the S3 protocol, if it is.
    #[must_use]
    pub fn s3_addr(&self) -> Option<SocketAddr> {
        self.s3.as_ref().map(S3Server::addr)
    }

    /// The engine that answers from this box.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine> {
        &self.service.engine
    }

    /// The home's devices, as the REST interface has them.
    #[must_use]
    pub fn devices(&self) -> Arc<dyn DeviceService> {
        self.service.devices.clone()
    }

    /// The figures as they run.
    #[must_use]
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// The box among the other nodes of its home.
    #[must_use]
    pub fn uplink(&self) -> &Arc<Uplink> {
        &self.uplink
    }

    /// Cut everything durable into chunks now.
    pub async fn cut_now(&self) {
        self.fresher.cut().await;
    }

    /// Cuts and ships at once, for who cannot wait; clones work beside each other.
    #[must_use]
    pub fn fresher(&self) -> Fresher {
        self.fresher.clone()
    }

    /// What happens in the home, as it happens.
    #[must_use]
    pub fn live(&self) -> Arc<LiveHub> {
        self.service.live.clone()
    }

    /// Resolves when the box can no longer work and its process must be started again.
    pub async fn failed(&self) -> Failed {
        let copied = async {
            match &self.shipper {
                Some(shipper) => shipper.copied().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            died = self.broker.failed() => died.into(),
            () = copied => Failed::Copied,
        }
    }

    /// Stop in the order of the flow: a word of farewell, no more publishes, the last cut, a while of shipping, the
    /// interface, the journal.
    pub async fn shutdown(self) {
        self.service.ready.store(false, Ordering::Release);
        self.uplink.shutdown().await;
        // The bridge carries the farewell, too.
        self.telling.end().await;
        self.bridging.end().await;
        self.broker.shutdown().await;
        self.cutting.end().await;
        if let Err(e) = self.broker.checkpoints().make().await {
            tracing::warn!(error = %e, "sessions are not stored; the next start reads them from the journal");
        }
        if let Some(shipper) = &self.shipper
            && timeout(self.ship_at_stop, shipper.drained()).await.is_err()
        {
            tracing::info!(
                entries = shipper.look_for_new(),
                "stopping with entries to ship; they go at the next start"
            );
        }
        self.others.end().await;
        self.serving.end().await;
        if let Some(s3) = self.s3 {
            s3.shutdown().await;
        }
        let journal = self.journal.clone();
        // Joining the writer thread blocks.
        let _ = tokio::task::spawn_blocking(move || journal.close()).await;
    }
}

/// Which boxes of the home are there, by what they say where we meet.
fn presence(uplink: &Arc<OnceLock<Weak<Uplink>>>) -> twins::Presence {
    let uplink = uplink.clone();
    // The uplink asks the devices, which ask who is there: one of them must not keep the other.
    Arc::new(move |edge| uplink.get()?.upgrade()?.present(edge))
}

/// The boxes of the home: this one, and those that it has heard of.
fn boxes(identity: &Identity, uplink: &Arc<OnceLock<Weak<Uplink>>>, started_ms: i64) -> Boxes {
    let (own, uplink) = (identity.edge, uplink.clone());
    Box::new(move || {
        let own = BoxInfo {
            edge: own.to_string(),
            online: Some(true),
            since: Some(moment(started_ms)),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            ..BoxInfo::default()
        };
        let others = uplink.get().and_then(Weak::upgrade);
        let others = others.map(|uplink| uplink.others()).unwrap_or_default();
        let others = others.into_iter().map(|(edge, presence)| BoxInfo {
            edge: edge.to_string(),
            online: Some(presence.online),
            since: Some(presence.since.to_string()),
            version: Some(presence.version),
            name: presence.name,
            ..BoxInfo::default()
        });
        std::iter::once(own).chain(others).collect()
    })
}

fn access_error(path: &Path) -> impl FnOnce(io::Error) -> StartError {
    let path = path.to_owned();
    move |source| StartError::Access { path, source }
}

fn open_devices(data: &DataDir) -> Result<(Arc<DeviceStore>, DeviceRegistry), DatabaseError> {
    let (store, registry) = DeviceStore::open(&data.devices())?;
    Ok((Arc::new(store), registry))
}

/// What the box tells of itself, looked up whenever it is told.
fn health(
    disk_budget_bytes: u64,
    shelf: &Arc<Shelf>,
    journal: &Arc<Journal>,
    devices: &Arc<Devices>,
    figures: &Figures,
) -> Box<dyn Fn() -> Health + Send + Sync> {
    let (shelf, journal, devices) = (shelf.clone(), journal.clone(), devices.clone());
    let ship = figures.ship.clone();
    Box::new(move || Health {
        backlog_entries: ship.backlog_entries.get().unsigned_abs(),
        backlog_bytes: ship.backlog_bytes.get().unsigned_abs(),
        last_shipped_ms: Some(ship.last_shipped_ms.get()).filter(|&ms| ms > 0),
        disk_used_bytes: shelf.bytes() + journal.bytes(),
        disk_budget_bytes,
        devices: devices.count() as u64,
        is_full: ship.refusing.get() > 0,
    })
}

/// The same as other nodes are told it.
fn box_state(
    health: Box<dyn Fn() -> Health + Send + Sync>,
    clock: Arc<dyn Clock>,
) -> Box<dyn Fn() -> BoxState + Send + Sync> {
    Box::new(move || {
        let health = health();
        BoxState {
            backlog_entries: health.backlog_entries,
            backlog_bytes: health.backlog_bytes,
            last_shipped: health.last_shipped_ms.map(timestamp),
            devices: health.devices,
            disk_used_bytes: health.disk_used_bytes,
            disk_budget_bytes: health.disk_budget_bytes,
            clock: timestamp(clock.now_ms()),
        }
    })
}

async fn start_broker(
    settings: &Settings,
    identity: &Identity,
    store: PathBuf,
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    bridge_token: Option<Arc<BridgeToken>>,
    registry: &mut Registry,
) -> Result<Broker, StartError> {
    let config = Config {
        listen: settings.mqtt.clone(),
        store: Some(store),
        clock: clock.clone(),
        limits: settings.broker.clone(),
    };
    let mut users = settings.users.clone();
    if let Some(token) = bridge_token {
        users.tokens = Some(token);
    }
    let users = Users::open(users)?;
    let users: Arc<dyn Authenticator> = match &settings.lan {
        Some(lan) => Arc::new(Door::new(users, lan.key.clone(), identity.clone(), clock)?),
        None => Arc::new(users),
    };
    let broker = Broker::start(config, journal, users, registry).await;
    broker.map_err(|error| match error {
        BrokerError::Bind { address, source } => StartError::Listen {
            what: "MQTT",
            address,
            source,
        },
        other => other.into(),
    })
}

async fn keep_budget(budget: Budget, stop: CancellationToken) {
    let budget = Arc::new(budget);
    let mut every = interval(BUDGET_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            () = stop.cancelled() => return,
        }
        let looking = budget.clone();
        let _ = tokio::task::spawn_blocking(move || looking.keep()).await;
    }
}
