//! The listener: accepts, counts, starts sessions and stops them.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use prometheus_client::registry::Registry;
use tarn_common::database::DatabaseError;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::Authenticator,
    buffers::Buffers,
    clients::Clients,
    exchange::{CheckpointError, Exchange},
    handshake::{self, Peer},
    limits::{Config, Limits},
    log::PublishLog,
    metrics::Metrics,
    operator::Operator,
    publisher::Publisher,
    router::Router,
    session::Session,
    store::Store,
    sys,
    transport::{self, Listen, TlsError, TlsServer},
};

/// Pause after a failed accept: its usual cause is that no file descriptor is free.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How often sessions, wills and changed files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often retained messages are looked through for those whose time is over: they are not
/// delivered any more, but take room.
const EXPIRE_RETAINED_EVERY: Duration = Duration::from_secs(60);

/// The thread that delivers to subscribers has died. Nothing acked is lost, but the process should
/// end and be started again.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the MQTT router has died")]
pub struct RouterDied;

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be bound.
    #[error("bind {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Certificates cannot be used.
    #[error("TLS")]
    Tls(#[from] TlsError),
    /// The router's thread cannot be started.
    #[error("start the router")]
    Router(#[source] io::Error),
    /// Sessions and retained messages cannot be read.
    #[error("broker store")]
    Store(#[from] DatabaseError),
    /// What the log has of them cannot be read.
    #[error("read the log for sessions and retained messages")]
    Recover(#[source] io::Error),
}

/// Makes checkpoints of sessions and retained messages. Cheap to clone.
#[derive(Clone)]
pub struct Checkpoints {
    exchange: Arc<Exchange>,
}

impl Checkpoints {
    /// Write sessions and retained messages down. After it the log may let go of everything up to
    /// the position that was last when this was called.
    ///
    /// # Errors
    /// The log has stopped, or the store cannot be written. What the log holds is needed still.
    pub async fn make(&self) -> Result<(), CheckpointError> {
        self.exchange.checkpoint().await
    }
}

impl std::fmt::Debug for Checkpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkpoints").finish_non_exhaustive()
    }
}

/// What all sessions share.
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) log: Arc<dyn PublishLog>,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) clients: Arc<Clients>,
    pub(crate) metrics: Metrics,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) stopping: CancellationToken,
    /// Makes assigned client ids differ between runs, so that the log never takes a new client for
    /// an old one.
    run: u64,
    assigned: AtomicU64,
}

impl Shared {
    /// A client id that nobody has had.
    pub(crate) fn assign_client_id(&self) -> String {
        let number = self.assigned.fetch_add(1, Ordering::Relaxed);
        format!("auto-{:016x}-{number}", self.run)
    }
}

/// A running MQTT broker.
pub struct Broker {
    pub(crate) shared: Arc<Shared>,
    addresses: Vec<(&'static str, SocketAddr)>,
    router_died: CancellationToken,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Broker {
    /// Recover sessions and retained messages, bind, and begin to serve. Publishes go to `log`,
    /// clients are admitted by `authenticator`, metrics are registered as `tarn_mqtt_…`.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        config: Config,
        log: Arc<dyn PublishLog>,
        authenticator: Arc<dyn Authenticator>,
        registry: &mut Registry,
    ) -> Result<Broker, StartError> {
        let limits = Arc::new(config.limits.checked());
        let metrics = Metrics::register(registry);
        let mut listeners = Vec::with_capacity(config.listen.len());
        for listen in &config.listen {
            listeners.push(Listener::bind(listen).await?);
        }
        let stopping = CancellationToken::new();
        let router_died = CancellationToken::new();
        let (router, watch) = Router::start(&limits, router_died.clone(), stopping.clone())
            .map_err(StartError::Router)?;
        let (store, contents) = match config.store.as_deref().map(Store::open).transpose()? {
            Some((store, contents)) => (Some(Arc::new(store)), contents),
            None => Default::default(),
        };
        let exchange = Exchange::new(
            router,
            log.clone(),
            store,
            limits.clone(),
            config.clock.now_ms(),
            metrics.clone(),
        );
        if config.store.is_some() {
            exchange.recover(contents).map_err(StartError::Recover)?;
        }
        let shared = Arc::new(Shared {
            buffers: Buffers::new(metrics.buffers_bytes.clone(), limits.buffers_bytes_max),
            exchange: Arc::new(exchange),
            limits,
            log,
            authenticator,
            clients: Arc::default(),
            metrics,
            stopping,
            run: RandomState::new().build_hasher().finish(),
            assigned: AtomicU64::new(0),
        });
        let tasks = TaskTracker::new();
        tasks.spawn(watch);
        let addresses = listeners.iter().map(|l| (l.scheme, l.address)).collect();
        let tls = listeners.iter().filter_map(|l| l.tls.clone()).collect();
        tasks.spawn(look_after(shared.clone(), tls));
        let places = Arc::new(Semaphore::new(shared.limits.connections_max));
        for listener in listeners {
            tasks.spawn(accept(
                shared.clone(),
                listener,
                places.clone(),
                tasks.clone(),
            ));
        }
        tasks.spawn(sys::publish(shared.clone(), publisher(&shared)));
        Ok(Broker {
            shared,
            addresses,
            router_died,
            tasks,
        })
    }

    /// The addresses that clients connect to with their schemes (see [`Listen::scheme`]), in the
    /// order of the configuration.
    #[must_use]
    pub fn addresses(&self) -> &[(&'static str, SocketAddr)] {
        &self.addresses
    }

    /// A handle to make checkpoints with, which works until the log stops.
    #[must_use]
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints {
            exchange: self.shared.exchange.clone(),
        }
    }

    /// A handle to publish from inside the process.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        publisher(&self.shared)
    }

    /// A handle to look at clients and to disconnect them.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator {
            shared: self.shared.clone(),
        }
    }

    /// Returns only if the router dies, which is fatal.
    pub async fn failed(&self) -> RouterDied {
        self.router_died.cancelled().await;
        RouterDied
    }

    /// Stop accepting, ack what becomes durable within [`Limits::drain_timeout`], tell clients and
    /// close. The log must go on until this returns.
    pub async fn shutdown(&self) {
        self.shared.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shared.stopping.cancel();
    }
}

fn publisher(shared: &Shared) -> Publisher {
    Publisher {
        exchange: shared.exchange.clone(),
        limits: shared.limits.clone(),
    }
}

/// Let sessions expire and wills go out when they are due, and read changed files again.
async fn look_after(shared: Arc<Shared>, tls: Vec<Arc<TlsServer>>) {
    let mut every = interval(LOOK_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sweep = interval(EXPIRE_RETAINED_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            _ = sweep.tick() => shared.exchange.expire_retained(),
            _ = every.tick() => {
                shared.exchange.expire();
                shared.authenticator.refresh();
                tls.iter().for_each(|server| server.refresh());
            }
        }
    }
}

/// A bound address, and what is spoken there.
struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    scheme: &'static str,
    websocket: bool,
    tls: Option<Arc<TlsServer>>,
}

impl Listener {
    async fn bind(listen: &Listen) -> Result<Listener, StartError> {
        let failed = |source| StartError::Bind {
            address: listen.address,
            source,
        };
        let tls = listen.tls.as_ref().map(TlsServer::open).transpose()?;
        let socket = TcpListener::bind(listen.address).await.map_err(failed)?;
        Ok(Listener {
            address: socket.local_addr().map_err(failed)?,
            socket,
            scheme: listen.scheme(),
            websocket: listen.websocket,
            tls: tls.map(Arc::new),
        })
    }
}

async fn accept(
    shared: Arc<Shared>,
    listener: Listener,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
) {
    let listener = Arc::new(listener);
    loop {
        let accepted = tokio::select! {
            () = shared.stopping.cancelled() => return,
            accepted = listener.socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(place) = places.clone().try_acquire_owned() else {
                    shared.metrics.refused("connections_max");
                    tracing::info!(%peer, "connection refused: too many connections");
                    continue;
                };
                let (shared, listener) = (shared.clone(), listener.clone());
                tasks.spawn(async move {
                    serve(&shared, &listener, stream, peer).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn serve(shared: &Shared, listener: &Listener, stream: TcpStream, address: SocketAddr) {
    // Acks are small and waited for.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    shared.metrics.connections.inc();
    let mut peer = Peer {
        address,
        certificate: None,
    };
    // What each step needs is given back before the next begins.
    let session = if listener.tls.is_none() && !listener.websocket {
        Box::pin(handshake::accept(shared, stream, peer))
            .await
            .map(Session::run)
    } else {
        // Others are rare and carry their own costs, so one copy of the session's code does for them.
        match Box::pin(upgraded(shared, listener, stream)).await {
            Ok((stream, certificate)) => {
                peer.certificate = certificate;
                Box::pin(handshake::accept(shared, stream, peer))
                    .await
                    .map(Session::run)
            }
            Err(error) => {
                shared.metrics.refused("transport_handshake");
                tracing::info!(peer = %address, scheme = listener.scheme, %error, "connection rejected");
                None
            }
        }
    };
    if let Some(session) = session {
        session.await;
    }
    shared.metrics.connections.dec();
}

async fn upgraded(
    shared: &Shared,
    listener: &Listener,
    stream: TcpStream,
) -> io::Result<transport::Upgraded> {
    let limits = &shared.limits;
    let upgrading = transport::upgrade(stream, listener.websocket, listener.tls.as_deref(), limits);
    tokio::select! {
        upgraded = timeout(limits.handshake_timeout, upgrading) => upgraded?,
        () = shared.stopping.cancelled() => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}
