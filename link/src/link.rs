//! A connection to a meeting place that comes back.
//!
//! Every connection begins anew: the broker keeps nothing of the one before, and what was on its way is lost. What comes
//! is acked when it is taken, and the broker is told how much may be unacked, so that a node that is slow holds its
//! broker back and never its own pings.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng as _;
use rumqttc::{
    NetworkOptions, Outgoing, TlsConfiguration, Transport,
    v5::{
        AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions,
        mqttbytes::{
            QoS,
            v5::{
                ConnAck, Filter, LastWill, PubAckReason, Publish, PublishProperties,
                RetainForwardRule, SubscribeReasonCode,
            },
        },
    },
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    metrics::LinkMetrics,
    place::{MeetingPlace, PlaceError},
    tls,
    topic::Topic,
};

/// Messages of QoS 1 that the broker may send before they are acked.
const UNACKED_MAX: u16 = 64;
/// Messages that wait to be taken. What is not acked yet always fits; of QoS 0 those beyond are dropped.
const WAITING_MAX: usize = 256;
/// Publishes that the broker has not acked.
const INFLIGHT_MAX: u16 = 256;
/// Publishes that wait to be sent.
const REQUESTS_MAX: usize = 256;
/// How long a publish waits for its turn.
const PUBLISH_TIME_MAX: Duration = Duration::from_secs(10);
/// Bytes of a packet that comes.
const PACKET_BYTES_MAX: u32 = 2 * 1024 * 1024;
/// Room for the header and the properties of a publish.
const HEADER_BYTES: usize = 64;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long connecting may take.
const CONNECT_SECONDS_MAX: u64 = 15;
/// How long a farewell may take.
const LEAVE_TIME_MAX: Duration = Duration::from_secs(1);
/// Pauses between tries; each is between half of it and all of it.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A connection that lasted longer counts as good: the next pause is short.
const STEADY: Duration = Duration::from_secs(30);

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

/// What keeps the connection; nothing happens unless it runs.
pub struct LinkTask {
    settings: LinkSettings,
    transport: Transport,
    shared: Arc<Shared>,
    events: mpsc::Sender<Waiting>,
}

impl fmt::Debug for LinkTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkTask")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
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

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("told to stop")]
    Stopped,
    #[error("{0}")]
    Connection(#[from] Box<ConnectionError>),
    #[error("a subscription is refused")]
    NotSubscribed,
    #[error("more came than was to come")]
    Overrun,
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
        let task = LinkTask {
            settings,
            transport,
            shared,
            events,
        };
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

impl LinkTask {
    /// Keep the link up until told to stop; then say farewell, which keeps the broker from publishing the will.
    pub async fn run(self, stop: CancellationToken) {
        let place = self.settings.place.to_string();
        let mut pause = RETRY_MIN;
        let mut told = false;
        loop {
            // What is left of the connection before does not take the room of the next.
            tokio::select! {
                () = stop.cancelled() => return,
                room = self.events.reserve_many(WAITING_MAX) => if room.is_err() { return },
            }
            let began = Instant::now();
            let ended = match self.connection(&place, &stop).await {
                Ok(never) => match never {},
                Err(ended) => ended,
            };
            let was_up = self.shared.current.lock().take().is_some();
            if was_up {
                self.shared.metrics.up.dec();
                told = false;
            }
            if matches!(ended, Ended::Stopped) {
                return;
            }
            self.shared.metrics.interruptions.inc();
            if began.elapsed() >= STEADY {
                pause = RETRY_MIN;
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(place, reason = %ended, "link is down; it is tried again until it is up");
            } else {
                tracing::debug!(place, reason = %ended, "link is still down");
            }
            let leaving = async {
                if was_up {
                    let _ = self.events.send(LinkEvent::Disconnected.into()).await;
                }
                let jitter = rand::rng().random_range(0.5..=1.0);
                sleep(pause.mul_f64(jitter)).await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = leaving => {}
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// One connection from its beginning to its end.
    async fn connection(
        &self,
        place: &str,
        stop: &CancellationToken,
    ) -> Result<std::convert::Infallible, Ended> {
        let (client, mut events) = AsyncClient::new(self.options(), REQUESTS_MAX);
        let mut packet_bytes_max = usize::MAX;
        let mut refused = false;
        loop {
            let event = tokio::select! {
                () = stop.cancelled() => {
                    self.leave(&client, &mut events).await;
                    return Err(Ended::Stopped);
                }
                event = events.poll() => event.map_err(Box::new)?,
            };
            match event {
                Event::Incoming(Incoming::ConnAck(connack)) => {
                    packet_bytes_max = packet_limit(&connack);
                    let filters = self.settings.subscriptions.iter().map(filter);
                    if client.try_subscribe_many(filters).is_err() {
                        return Err(Ended::NotSubscribed);
                    }
                }
                Event::Incoming(Incoming::SubAck(suback)) => {
                    let good = |code: &_| matches!(code, SubscribeReasonCode::Success(_));
                    if !suback.return_codes.iter().all(good) {
                        return Err(Ended::NotSubscribed);
                    }
                    let connection = Connection {
                        client: client.clone(),
                        packet_bytes_max,
                    };
                    *self.shared.current.lock() = Some(connection);
                    self.shared.metrics.up.inc();
                    tracing::info!(place, "link is up");
                    self.tell(LinkEvent::Connected.into())?;
                }
                Event::Incoming(Incoming::Publish(publish)) => self.take(&client, publish)?,
                Event::Incoming(Incoming::PubAck(puback)) => {
                    let good = matches!(
                        puback.reason,
                        PubAckReason::Success | PubAckReason::NoMatchingSubscribers
                    );
                    if !good {
                        self.shared.metrics.drop_one("refused");
                        if !std::mem::replace(&mut refused, true) {
                            tracing::warn!(place, reason = ?puback.reason, "the broker refuses what is sent");
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn take(&self, client: &AsyncClient, publish: Publish) -> Result<(), Ended> {
        let metrics = &self.shared.metrics;
        metrics.received.inc();
        metrics.received_bytes.inc_by(publish.payload.len() as u64);
        // Brokers only send UTF-8; what is none would be nobody's topic.
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        let event = LinkEvent::Message(Message {
            topic,
            payload: publish.payload,
        });
        if publish.qos == QoS::AtMostOnce {
            // Those that are acked, and that the link is up, always find room.
            if self.events.capacity() <= usize::from(UNACKED_MAX) + 1 {
                metrics.drop_one("slow");
                return Ok(());
            }
            return self.tell(event.into());
        }
        let owed = Publish {
            pkid: publish.pkid,
            qos: publish.qos,
            ..Publish::default()
        };
        let ack = Some((client.clone(), owed));
        self.tell(Waiting { event, ack })
    }

    fn tell(&self, waiting: Waiting) -> Result<(), Ended> {
        self.events.try_send(waiting).map_err(|_| Ended::Overrun)
    }

    /// Send what waits, and then a DISCONNECT.
    async fn leave(&self, client: &AsyncClient, events: &mut EventLoop) {
        if self.shared.current.lock().is_none() {
            return;
        }
        let leaving = async {
            let mut asked = client.try_disconnect().is_ok();
            while let Ok(event) = events.poll().await {
                if event == Event::Outgoing(Outgoing::Disconnect) {
                    return;
                }
                if !asked {
                    asked = client.try_disconnect().is_ok();
                }
            }
        };
        let _ = timeout(LEAVE_TIME_MAX, leaving).await;
    }

    fn options(&self) -> MqttOptions {
        let MeetingPlace {
            host, port, login, ..
        } = &self.settings.place;
        let mut options = MqttOptions::new(&self.settings.client_id, host, *port);
        options
            .set_transport(self.transport.clone())
            .set_clean_start(true)
            .set_keep_alive(KEEP_ALIVE)
            .set_connection_timeout(CONNECT_SECONDS_MAX)
            .set_receive_maximum(Some(UNACKED_MAX))
            .set_max_packet_size(Some(PACKET_BYTES_MAX))
            .set_outgoing_inflight_upper_limit(INFLIGHT_MAX)
            .set_manual_acks(true);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        options.set_network_options(network);
        if let Some((user, password)) = login {
            options.set_credentials(user, password);
        }
        if let Some(Will { topic, payload }) = &self.settings.will {
            let topic = topic.to_string();
            options.set_last_will(LastWill::new(
                topic,
                payload(),
                QoS::AtLeastOnce,
                true,
                None,
            ));
        }
        options
    }
}

fn packet_limit(connack: &ConnAck) -> usize {
    let said = connack.properties.as_ref().and_then(|p| p.max_packet_size);
    said.map_or(usize::MAX, |bytes| bytes as usize)
}

fn filter(path: &String) -> Filter {
    Filter {
        path: path.clone(),
        qos: QoS::AtLeastOnce,
        // The standard forbids it for shared subscriptions.
        nolocal: !path.starts_with("$share/"),
        preserve_retain: false,
        retain_forward_rule: RetainForwardRule::OnEverySubscribe,
    }
}
