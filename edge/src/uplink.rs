//! The box among the other nodes of its home: at each meeting place it says that it is there and how it is, takes part in
//! the twins' exchange, and answers what it is asked.
//!
//! The box dials out only. It needs no meeting place for anything that it does at home.

// Questions, each answered once.
mod asks;
// One meeting place, from its first connection to the farewell.
mod meeting;
// Which other boxes of the home are there.
mod others;

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use prometheus_client::{metrics::gauge::Gauge, registry::Registry};
use serde_json::Value;
use tarn_common::{clock::Clock, ids::EdgeId};
use tarn_link::{
    AskHandler, BoxState, Channel, Delivery, Link, LinkMetrics, LiveBatch, MeetingPlace,
    PlaceError, Presence, SyncNode, Topic, message,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{asks::Asks, meeting::Meeting, others::Others};
use crate::{home_key::HomeKey, identity::Identity};

/// Meeting places of one box.
const PLACES_MAX: usize = 64;

/// What the box brings along to all meeting places.
pub struct UplinkParts {
    /// Who the box is.
    pub identity: Identity,
    /// What it is called, if it is called anything.
    pub name: Option<String>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// How it is, looked up whenever it is told.
    pub state: Box<dyn Fn() -> BoxState + Send + Sync>,
    /// Its side of the twins' exchange.
    pub sync: Arc<dyn SyncNode>,
    /// What it does when it is asked.
    pub asks: Arc<dyn AskHandler>,
}

impl std::fmt::Debug for UplinkParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UplinkParts")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// Figures of the uplink.
#[derive(Debug, Clone, Default)]
pub struct UplinkMetrics {
    /// The links'.
    pub link: LinkMetrics,
    /// Questions that are being answered.
    pub asks_open: Gauge,
    /// Meeting places that the box goes to.
    pub places: Gauge,
}

impl UplinkMetrics {
    /// Make them known.
    #[must_use]
    pub fn register(registry: &mut Registry) -> UplinkMetrics {
        let m = UplinkMetrics {
            link: LinkMetrics::register(registry),
            ..UplinkMetrics::default()
        };
        let r = registry.sub_registry_with_prefix("tarn_uplink");
        r.register(
            "asks_open",
            "Questions to the box that are being answered",
            m.asks_open.clone(),
        );
        r.register(
            "places",
            "Meeting places that the box goes to",
            m.places.clone(),
        );
        m
    }
}

/// A meeting place that cannot be gone to.
#[derive(Debug, thiserror::Error)]
pub enum MeetError {
    /// Its address or its roots are wrong.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// There are as many as there may be.
    #[error("{PLACES_MAX} meeting places are enough")]
    TooMany,
}

/// What a meeting place is known by from [`Uplink::meet`] to [`Uplink::part`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlaceId(u64);

#[cfg(test)]
impl PlaceId {
    /// One that was never met.
    pub(crate) fn of_a_test(n: u64) -> PlaceId {
        PlaceId(n)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Uplink {
    shared: Arc<Shared>,
    places: Mutex<Places>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug, Default)]
struct Places {
    last: u64,
    open: HashMap<PlaceId, Place>,
}

#[derive(Debug)]
struct Place {
    link: Link,
    stop: CancellationToken,
    company: Company,
}

/// Who comes to a meeting place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Company {
    /// Boxes, and replicas of the cloud, which are told how the box is and may ask it.
    All,
    /// Boxes alone, at the broker of one of them. They seal what they say with the home's key.
    Boxes(HomeKey),
}

/// What all meeting places share.
#[derive(Debug)]
struct Shared {
    parts: UplinkParts,
    asks: Asks,
    others: Others,
    metrics: UplinkMetrics,
    tasks: TaskTracker,
}

impl Shared {
    fn topic(&self, channel: Channel) -> Topic {
        Topic::new(&self.parts.identity.home, channel)
    }

    fn edge(&self) -> EdgeId {
        self.parts.identity.edge
    }

    fn presence(&self, online: bool) -> Vec<u8> {
        message::to_json(&Presence {
            online,
            since: message::timestamp(self.parts.clock.now_ms()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            name: self.parts.name.clone(),
        })
    }
}

impl Uplink {
    /// An uplink that goes nowhere yet.
    #[must_use]
    pub fn new(parts: UplinkParts, metrics: UplinkMetrics) -> Uplink {
        let tasks = TaskTracker::new();
        Uplink {
            shared: Arc::new(Shared {
                parts,
                asks: Asks::new(metrics.asks_open.clone()),
                others: Others::default(),
                metrics,
                tasks: tasks.clone(),
            }),
            places: Mutex::default(),
            stop: CancellationToken::new(),
            tasks,
        }
    }

    /// Go to a meeting place, and stay there until parted. Returns at once: whether the place can be reached is told by
    /// the log and the figures.
    ///
    /// # Errors
    /// It cannot be gone to at all.
    pub fn meet(&self, place: MeetingPlace) -> Result<PlaceId, MeetError> {
        self.go(place, Company::All)
    }

    /// The same where only boxes meet. They exchange the twins, sealed with the home's key, and see each
    /// other, and ask each other nothing.
    ///
    /// # Errors
    /// It cannot be gone to at all.
    pub fn meet_boxes(&self, place: MeetingPlace, key: HomeKey) -> Result<PlaceId, MeetError> {
        self.go(place, Company::Boxes(key))
    }

    fn go(&self, place: MeetingPlace, company: Company) -> Result<PlaceId, MeetError> {
        let mut places = self.places.lock();
        if places.open.len() >= PLACES_MAX {
            return Err(MeetError::TooMany);
        }
        places.last += 1;
        let id = PlaceId(places.last);
        let (meeting, link, task) = Meeting::new(id, place, company.clone(), self.shared.clone())?;
        let stop = self.stop.child_token();
        let link_stop = CancellationToken::new();
        self.tasks.spawn(task.run(link_stop.clone()));
        self.tasks.spawn(meeting.run(stop.clone(), link_stop));
        let place = Place {
            link,
            stop,
            company,
        };
        places.open.insert(id, place);
        self.shared.metrics.places.inc();
        Ok(id)
    }

    /// Leave a meeting place with a farewell.
    pub fn part(&self, id: PlaceId) {
        if let Some(place) = self.places.lock().open.remove(&id) {
            place.stop.cancel();
            self.shared.metrics.places.dec();
        }
    }

    /// Whether another box of the home is there, by what it said last where we are connected; none if it never said
    /// anything.
    #[must_use]
    pub fn present(&self, edge: EdgeId) -> Option<bool> {
        self.shared.others.present(edge)
    }

    /// The other boxes of the home.
    #[must_use]
    pub fn others(&self) -> Vec<(EdgeId, Presence)> {
        self.shared.others.all()
    }

    /// Tell what happened to who looks, where we are connected and replicas come. What cannot be sent at once is dropped.
    pub fn tell_live(&self, events: Vec<Value>) {
        let links: Vec<Link> = {
            let places = self.places.lock();
            let up = places.open.values();
            up.filter(|place| place.company == Company::All && place.link.is_up())
                .map(|place| place.link.clone())
                .collect()
        };
        if links.is_empty() {
            return;
        }
        let payload = bytes::Bytes::from(message::to_json(&LiveBatch { events }));
        let topic = self.shared.topic(Channel::Live(self.shared.edge()));
        for link in links {
            // Counted as dropped by the link.
            let _ = link.try_publish(&topic, payload.clone(), Delivery::UNACKED);
        }
    }

    /// Whether any meeting place is connected.
    #[must_use]
    pub fn is_up(&self) -> bool {
        let places = self.places.lock();
        places.open.values().any(|place| place.link.is_up())
    }

    /// Say farewell everywhere.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
