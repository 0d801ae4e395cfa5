//! A connection to a meeting place that comes back.
//!
//! Every connection begins anew: the broker keeps nothing of the one before, and what was on its way is lost. What comes
//! is acked when it is taken, and the broker is told how much may be unacked, so that a node that is slow holds its
//! broker back and never its own pings.

/// The half that keeps the connection.
mod task;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use rumqttc::{
    TlsConfiguration, Transport,
    v5::{
        AsyncClient,
        mqttbytes::{
            QoS,
            v5::{Publish, PublishProperties},
        },
    },
};
use tokio::{sync::mpsc, time::timeout};

pub use self::task::LinkTask;
use crate::{
    metrics::LinkMetrics,
    place::{MeetingPlace, PlaceError},
    tls,
    topic::Topic,
};

/// Messages that wait to be taken. What is not acked yet always fits; of QoS 0 those beyond are dropped.
const WAITING_MAX: usize = 256;
/// How long a publish waits for its turn.
const PUBLISH_TIME_MAX: Duration = Duration::from_secs(10);
/// Room for the header and the properties of a publish.
const HEADER_BYTES: usize = 64;

/// What a link is to be.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// The broker.
    pub place: MeetingPlace,
    /// Client id there. Who connects later under the same one takes the place of the one before.
    pub client_id: String,
    /// What the broker says to all when the connection ends without a farewell.
    pub will: Option<Will>,
    /// Topic filters, all subscribed to at QoS 1 before the link is up.
    pub subscriptions: Vec<String>,
}

/// A last will: retained, at QoS 1.
#[derive(Clone)]
pub struct Will {
    /// Where it is said.
    pub topic: Topic,
    /// What is said, made anew for each connection.
    pub payload: Arc<dyn Fn() -> Vec<u8> + Send + Sync>,
}

impl fmt::Debug for Will {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Will")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// How a message is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Whether the broker acks it (QoS 1).
    pub acked: bool,
    /// Whether the broker keeps it for who comes later.
    pub retain: bool,
    /// How long it may wait anywhere; for ever if none. Whole seconds count, begun ones too.
    pub expiry: Option<Duration>,
}

impl Delivery {
    /// QoS 1, to who is there.
    pub const ACKED: Delivery = Delivery {
        acked: true,
        retain: false,
        expiry: None,
    };
    /// QoS 1, and for who comes later.
    pub const RETAINED: Delivery = Delivery {
        acked: true,
        retain: true,
        expiry: None,
    };
    /// QoS 0.
    pub const UNACKED: Delivery = Delivery {
        acked: false,
        retain: false,
        expiry: None,
    };

    /// The same, and for nobody after this time.
    #[must_use]
    pub const fn within(mut self, expiry: Duration) -> Delivery {
        self.expiry = Some(expiry);
        self
    }
}

/// Why a message was not sent. It is counted as dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The link is down.
    #[error("not connected")]
    Down,
    /// More waits than may.
    #[error("too much waits to be sent")]
    Full,
    /// It is larger than the broker takes.
    #[error("larger than the broker takes")]
    TooLarge,
}

/// What happens on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// It is up, and all is subscribed to.
    Connected,
    /// Something has come.
    Message(Message),
    /// It was up and is down.
    Disconnected,
}

/// A message that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic, which anybody may have made.
    pub topic: String,
    /// Its payload, which anybody may have made.
    pub payload: Bytes,
}

/// The sending half. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Link {
    shared: Arc<Shared>,
}

/// The receiving half.
#[derive(Debug)]
pub struct LinkEvents {
    waiting: mpsc::Receiver<Waiting>,
    /// Taken, and perhaps not acked yet.
    held: Option<Waiting>,
}

#[derive(Debug)]
struct Shared {
    /// The connection while the link is up.
    current: Mutex<Option<Connection>>,
    metrics: LinkMetrics,
}

#[derive(Debug, Clone)]
struct Connection {
    client: AsyncClient,
    packet_bytes_max: usize,
}

/// An event, and the ack that is due when it is taken.
#[derive(Debug)]
struct Waiting {
    event: LinkEvent,
    ack: Option<(AsyncClient, Publish)>,
}

impl From<LinkEvent> for Waiting {
    fn from(event: LinkEvent) -> Waiting {
        Waiting { event, ack: None }
    }
}

impl Link {
    /// Prepare a link. The events must be taken, and the task must run.
    ///
    /// # Errors
    /// The roots of TLS cannot be used.
    pub fn new(
        settings: LinkSettings,
        metrics: LinkMetrics,
    ) -> Result<(Link, LinkEvents, LinkTask), PlaceError> {
        let transport = match settings.place.tls {
            false => Transport::Tcp,
            true => {
                let config = Arc::new(tls::config(settings.place.ca.as_deref())?);
                Transport::tls_with_config(TlsConfiguration::Rustls(config))
            }
        };
        let shared = Arc::new(Shared {
            current: Mutex::default(),
            metrics,
        });
        let (events, waiting) = mpsc::channel(WAITING_MAX);
        let link = Link {
            shared: shared.clone(),
        };
        let task = LinkTask::new(settings, transport, shared, events);
        let held = None;
        Ok((link, LinkEvents { waiting, held }, task))
    }

    /// Whether it is up now.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.shared.current.lock().is_some()
    }

    /// Send a message, after those that wait. That it was taken means nothing but that: the connection may end before
    /// the broker has it.
    ///
    /// # Errors
    /// It was not taken, and is counted as dropped.
    pub async fn publish(
        &self,
        topic: &Topic,
        payload: impl Into<Bytes>,
        delivery: Delivery,
    ) -> Result<(), PublishError> {
        let payload = payload.into();
        let sending = async {
            let (client, topic) = self.ready(topic, &payload)?;
            let (qos, properties) = wire(delivery);
            let bytes = payload.len();
            let publish =
                client.publish_with_properties(topic, qos, delivery.retain, payload, properties);
            match timeout(PUBLISH_TIME_MAX, publish).await {
                Ok(Ok(())) => Ok(bytes),
                Ok(Err(_)) => Err(PublishError::Down),
                Err(_) => Err(PublishError::Full),
            }
        };
        self.count(sending.await)
    }

    /// Send a message if nothing has to be waited for.
    ///
    /// # Errors
    /// It was not taken, and is counted as dropped.
    pub fn try_publish(
        &self,
        topic: &Topic,
        payload: impl Into<Bytes>,
        delivery: Delivery,
    ) -> Result<(), PublishError> {
        let payload = payload.into();
        let bytes = payload.len();
        let (qos, properties) = wire(delivery);
        let sent = self.ready(topic, &payload).and_then(|(client, topic)| {
            client
                .try_publish_with_properties(topic, qos, delivery.retain, payload, properties)
                .map_err(|_| PublishError::Full)
        });
        self.count(sent.map(|()| bytes))
    }

    fn ready(&self, topic: &Topic, payload: &Bytes) -> Result<(AsyncClient, String), PublishError> {
        let current = self.shared.current.lock();
        let Connection {
            client,
            packet_bytes_max,
        } = current.as_ref().ok_or(PublishError::Down)?;
        let topic = topic.to_string();
        // The library ends the connection over a packet that is too large.
        if topic.len() + payload.len() + HEADER_BYTES > *packet_bytes_max {
            return Err(PublishError::TooLarge);
        }
        Ok((client.clone(), topic))
    }

    fn count(&self, sent: Result<usize, PublishError>) -> Result<(), PublishError> {
        let metrics = &self.shared.metrics;
        match &sent {
            Ok(bytes) => {
                metrics.sent.inc();
                metrics.sent_bytes.inc_by(*bytes as u64);
            }
            Err(PublishError::Down) => metrics.drop_one("down"),
            Err(PublishError::Full) => metrics.drop_one("full"),
            Err(PublishError::TooLarge) => metrics.drop_one("too_large"),
        }
        sent.map(|_| ())
    }
}

fn wire(delivery: Delivery) -> (QoS, PublishProperties) {
    let qos = match delivery.acked {
        true => QoS::AtLeastOnce,
        false => QoS::AtMostOnce,
    };
    let seconds = |expiry: Duration| expiry.as_millis().div_ceil(1000);
    let properties = PublishProperties {
        message_expiry_interval: delivery
            .expiry
            .map(|expiry| u32::try_from(seconds(expiry)).unwrap_or(u32::MAX)),
        ..PublishProperties::default()
    };
    (qos, properties)
}

impl LinkEvents {
    /// What happens next; none once the link has stopped. May be dropped at any time without losing anything.
    pub async fn recv(&mut self) -> Option<LinkEvent> {
        if self.held.is_none() {
            self.held = Some(self.waiting.recv().await?);
        }
        if let Some(Waiting {
            ack: Some((client, publish)),
            ..
        }) = &self.held
        {
            // Of a connection that has ended nothing is acked any more.
            let _ = client.ack(publish).await;
        }
        self.held.take().map(|waiting| waiting.event)
    }
}
