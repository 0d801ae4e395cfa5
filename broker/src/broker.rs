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
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{MissedTickBehavior, interval},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    auth::Authenticator,
    clients::Clients,
    exchange::{CheckpointError, Exchange},
    handshake,
    limits::{Config, Limits},
    log::PublishLog,
    metrics::Metrics,
    operator::Operator,
    publisher::Publisher,
    router::Router,
    store::{Store, StoreError},
    sys,
};

/// Pause after a failed accept: its usual cause is that no file descriptor is free.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// How often sessions and wills are looked at.
const SESSIONS_EVERY: Duration = Duration::from_millis(500);

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
    /// The router's thread cannot be started.
    #[error("start the router")]
    Router(#[source] io::Error),
    /// Sessions and retained messages cannot be read.
    #[error("broker store")]
    Store(#[from] StoreError),
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
    shared: Arc<Shared>,
    local_addr: SocketAddr,
    router_died: CancellationToken,
    tasks: TaskTracker,
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker")
            .field("local_addr", &self.local_addr)
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
        let bind = |source| StartError::Bind {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(bind)?;
        let local_addr = listener.local_addr().map_err(bind)?;
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
        tasks.spawn(accept(shared.clone(), listener, tasks.clone()));
        tasks.spawn(look_after_sessions(shared.clone()));
        tasks.spawn(sys::publish(shared.clone(), publisher(&shared)));
        Ok(Broker {
            shared,
            local_addr,
            router_died,
            tasks,
        })
    }

    /// The address that clients connect to.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
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

/// Let sessions expire and wills go out when they are due.
async fn look_after_sessions(shared: Arc<Shared>) {
    let mut every = interval(SESSIONS_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            _ = every.tick() => {
                shared.exchange.expire();
                shared.authenticator.refresh();
            }
        }
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(shared.limits.connections_max));
    loop {
        let accepted = tokio::select! {
            () = shared.stopping.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Ok(place) = places.clone().try_acquire_owned() else {
                    shared.metrics.refused("connections_max");
                    tracing::info!(%peer, "connection refused: too many connections");
                    continue;
                };
                let shared = shared.clone();
                tasks.spawn(async move {
                    serve(&shared, stream, peer).await;
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

async fn serve(shared: &Shared, stream: TcpStream, peer: SocketAddr) {
    // Acks are small and waited for.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    shared.metrics.connections.inc();
    handshake::serve(shared, stream, peer).await;
    shared.metrics.connections.dec();
}
