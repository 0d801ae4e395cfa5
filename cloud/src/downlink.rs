//! The cloud among the boxes of many homes: who is there and how they are, the twins' exchange with all of them, and
//! questions to one.
//!
//! A replica is a client of the place where boxes and replicas meet: its own broker, or an existing one that several
//! replicas share. It has two links there, so that questions and their answers never wait behind twins. Nothing runs and
//! nothing waits for a home that is silent.

// What was asked, and who waits for it.
mod asks;
// The boxes that were heard of.
mod boxes;
// A log for a broker that need not remember.
mod forgetful;
// The broker of this process.
mod own_broker;
// The link that twins are exchanged over.
mod sync;
// The link for everything else.
mod watch;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use serde_json::Value;
use tarn_broker::{Broker, RouterDied};
use tarn_common::{
    clock::Clock,
    ids::{EdgeId, HomeId},
};
use tarn_link::{
    AnswerKind, Ask, AskKind, Channel, Delivery, Link, LinkMetrics, LinkSettings, MeetingPlace,
    NodeId, PlaceError, Topic,
    message::{self, AskId},
    topic,
};
use tokio::{
    sync::{broadcast, mpsc},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{asks::Asks, boxes::Boxes, sync::SyncStage, watch::WatchStage};
pub use self::{
    boxes::BoxSeen,
    own_broker::{OwnBroker, OwnBrokerError},
};

/// Events that wait for the slowest who looks; who falls behind misses the oldest.
const EVENTS_MAX: usize = 1024;

/// Where boxes and replicas meet.
#[derive(Debug, Clone)]
pub enum MeetingSettings {
    /// At a broker of this process.
    Own(Box<OwnBroker>),
    /// At a broker that is there already.
    Cluster(MeetingPlace),
}

/// The cloud's side of the twins' exchange. It must bear any bytes, and the same ones many times in any order.
#[async_trait]
pub trait CloudSync: Send + Sync + 'static {
    /// A message has come from a node of a home: what is to be answered to that node alone. Called for many homes at one
    /// time, and for one home, too.
    async fn receive(&self, home: &HomeId, from: &str, body: &[u8]) -> Vec<Vec<u8>>;

    /// Another replica has stored something.
    async fn learn(&self, home: &HomeId, from: &str, body: &[u8]);
}

/// A message of the twins' exchange that the cloud sends by itself.
#[derive(Debug, Clone)]
pub struct SyncOut {
    /// Whose twins.
    pub home: HomeId,
    /// What is said.
    pub body: Vec<u8>,
    /// To whom.
    pub to: SyncTo,
}

/// To whom a message of the twins' exchange goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncTo {
    /// All boxes of the home, and one replica, which may be this one.
    All,
    /// All other replicas.
    Replicas,
    /// One node.
    Node(NodeId),
}

/// What was heard of a box.
#[derive(Debug, Clone)]
pub enum BoxEvent {
    /// It came, went, or told how it is.
    Seen {
        /// Whose box.
        home: HomeId,
        /// As it is known now.
        seen: BoxSeen,
    },
    /// Something happened there.
    Live {
        /// Whose box.
        home: HomeId,
        /// Which box.
        edge: EdgeId,
        /// What happened.
        events: Arc<Vec<Value>>,
    },
}

/// Why a box did not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The box is not there, or was never heard of.
    #[error("the box is away")]
    Away,
    /// This replica cannot reach the place where it meets boxes.
    #[error("boxes cannot be reached")]
    Unreachable,
    /// Too many questions are open.
    #[error("too many questions are open")]
    Busy,
    /// No answer came in time; whether the box did what was asked is not known.
    #[error("the box did not answer in time")]
    TimedOut,
}

/// Why the downlink did not start.
#[derive(Debug, thiserror::Error)]
pub enum DownlinkError {
    /// The broker of this process.
    #[error(transparent)]
    Broker(#[from] OwnBrokerError),
    /// The existing broker.
    #[error("--mqtt-cluster: {0}")]
    Place(#[from] PlaceError),
}

/// Figures of the downlink.
#[derive(Debug, Clone, Default)]
struct DownlinkMetrics {
    link: LinkMetrics,
    asks_open: Gauge,
    homes: Gauge,
    boxes: Gauge,
    boxes_online: Gauge,
    sync_open: Gauge,
}

impl DownlinkMetrics {
    fn register(registry: &mut Registry) -> DownlinkMetrics {
        let m = DownlinkMetrics {
            link: LinkMetrics::register(registry),
            ..DownlinkMetrics::default()
        };
        let r = registry.sub_registry_with_prefix("tarn_downlink");
        let c = m.clone();
        r.register(
            "asks_open",
            "Questions to boxes without an answer yet",
            c.asks_open,
        );
        r.register("homes", "Homes that were heard of", c.homes);
        r.register("boxes", "Boxes that were heard of", c.boxes);
        r.register("boxes_online", "Boxes that are there", c.boxes_online);
        r.register(
            "sync_open",
            "Messages of twins being worked on",
            c.sync_open,
        );
        m
    }
}

/// See the module.
#[derive(Debug)]
pub struct Downlink {
    node: NodeId,
    broker: Option<Broker>,
    watch: Link,
    sync: Link,
    boxes: Arc<Boxes>,
    asks: Arc<Asks>,
    events: broadcast::Sender<BoxEvent>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Downlink {
    /// Start the broker if it is to be our own, and connect to it. Whether a cluster can be reached is told by the log
    /// and the figures. `outbox` is what `sync` wants to say by itself.
    ///
    /// # Errors
    /// See [`DownlinkError`].
    pub async fn start(
        settings: MeetingSettings,
        sync: Arc<dyn CloudSync>,
        outbox: mpsc::Receiver<SyncOut>,
        clock: Arc<dyn Clock>,
        registry: &mut Registry,
    ) -> Result<Downlink, DownlinkError> {
        let metrics = DownlinkMetrics::register(registry);
        let (broker, place) = match settings {
            MeetingSettings::Cluster(place) => (None, place),
            MeetingSettings::Own(own) => {
                let (broker, place) = own.start(clock.clone(), registry).await?;
                (Some(broker), place)
            }
        };
        let node = NodeId::random();
        let settings = |name: &str, subscriptions| LinkSettings {
            place: place.clone(),
            client_id: format!("tarn-cloud-{node}{name}"),
            will: None,
            subscriptions,
        };
        let (watch_link, watch_events, watch_task) = Link::new(
            settings("", topic::of_a_replicas_boxes(node)),
            metrics.link.clone(),
        )?;
        let (sync_link, sync_events, sync_task) = Link::new(
            settings("-sync", topic::of_a_replicas_sync(node)),
            metrics.link.clone(),
        )?;
        let boxes = Arc::new(Boxes::new(&metrics));
        let asks = Arc::new(Asks::new(metrics.asks_open.clone()));
        let events = broadcast::Sender::new(EVENTS_MAX);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(watch_task.run(stop.clone()));
        tasks.spawn(sync_task.run(stop.clone()));
        let watching = WatchStage {
            boxes: boxes.clone(),
            asks: asks.clone(),
            clock: clock.clone(),
            events: events.clone(),
            metrics: metrics.link.clone(),
        };
        tasks.spawn(watching.run(watch_events, stop.clone()));
        let syncing = SyncStage {
            node,
            link: sync_link.clone(),
            sync,
            open: metrics.sync_open.clone(),
            metrics: metrics.link,
        };
        tasks.spawn(syncing.run(sync_events, outbox, stop.clone()));
        Ok(Downlink {
            node,
            broker,
            watch: watch_link,
            sync: sync_link,
            boxes,
            asks,
            events,
            clock,
            stop,
            tasks,
        })
    }

    /// Who this replica is to other nodes, until its process ends.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Where boxes connect, by scheme, if the broker is our own; the plain address first.
    #[must_use]
    pub fn mqtt_addresses(&self) -> &[(&'static str, SocketAddr)] {
        self.broker.as_ref().map_or(&[], Broker::addresses)
    }

    /// Whether boxes can be heard.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.watch.is_up() && self.sync.is_up()
    }

    /// The boxes of a home that were heard of. While the downlink is not up this is how they were.
    #[must_use]
    pub fn boxes(&self, home: &HomeId) -> Vec<BoxSeen> {
        self.boxes.of(home)
    }

    /// The homes that were heard of.
    #[must_use]
    pub fn homes(&self) -> Vec<HomeId> {
        self.boxes.homes()
    }

    /// Boxes that are away and were last heard of by then, milliseconds since 1970 UTC.
    #[must_use]
    pub fn away_since(&self, heard_by_ms: i64) -> Vec<(HomeId, EdgeId)> {
        self.boxes.away_since(heard_by_ms)
    }

    /// What is heard of boxes from now on. Who falls behind misses something, and is told so.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<BoxEvent> {
        self.events.subscribe()
    }

    /// Ask a box, and wait for its answer this long at most.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(
        &self,
        home: &HomeId,
        edge: EdgeId,
        ask: AskKind,
        within: Duration,
    ) -> Result<AnswerKind, AskError> {
        if !self.watch.is_up() {
            return Err(AskError::Unreachable);
        }
        if !self.boxes.is_online(home, edge) {
            return Err(AskError::Away);
        }
        let now_ms = self.clock.now_ms();
        let id = AskId::new(now_ms);
        let open = self.asks.open(id, home, edge).ok_or(AskError::Busy)?;
        let within_ms = i64::try_from(within.as_millis()).unwrap_or(i64::MAX);
        let question = Ask {
            id,
            from: self.node,
            deadline: message::timestamp(now_ms.saturating_add(within_ms)),
            ask,
        };
        let topic = Topic::new(home, Channel::Ask(edge));
        let delivery = Delivery::ACKED.within(within);
        let asking = async {
            let sent = self
                .watch
                .publish(&topic, message::to_json(&question), delivery);
            sent.await.map_err(|_| AskError::Unreachable)?;
            // It only goes away with this replica.
            open.answer().await.ok_or(AskError::Unreachable)
        };
        timeout(within, asking)
            .await
            .unwrap_or(Err(AskError::TimedOut))
    }

    /// Resolves when the broker of this process can no longer work; never if there is none.
    pub async fn failed(&self) -> RouterDied {
        match &self.broker {
            Some(broker) => broker.failed().await,
            None => std::future::pending().await,
        }
    }

    /// Leave the meeting place, and close our own.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(broker) = &self.broker {
            broker.shutdown().await;
        }
    }
}

impl Drop for Downlink {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
