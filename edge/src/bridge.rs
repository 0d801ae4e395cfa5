//! The box as a client of an existing broker: a home that keeps its mosquitto.
//!
//! Two MQTT connections, one to the other broker and one to our own, with a session on each that
//! outlives them. What comes on one is published on the other, and only acked where it came from
//! once it is acked where it went. So nothing is acked there before it is on disk here. When either
//! connection ends both begin anew, and both brokers send again what was not acked: each message
//! arrives at least once.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use rumqttc::{
    TlsConfiguration, Transport,
    v5::{
        AsyncClient, ClientError, ConnectionError, Event, EventLoop, Incoming, MqttOptions,
        mqttbytes::{
            QoS,
            v5::{ConnAck, Filter, PubAckReason, Publish, RetainForwardRule},
        },
    },
};
use tarn_broker::{Limits, auth::Tokens};
use tarn_link::{
    tls::{self, TlsError},
    topic::is_between_boxes,
};
use tokio::time::{Instant, sleep};
use tokio_rustls::rustls::{self, pki_types::pem};
use tokio_util::sync::CancellationToken;

use crate::metrics::BridgeMetrics;

/// Name of the bridge's user and client at our own broker.
pub const USER: &str = "bridge";

/// Publishes of one side that wait for acks of the other.
const UNACKED_MAX: u16 = 100;
/// Publishes to the other broker that wait for its acks; of QoS 0 no more are taken then.
const OUTWARD_MAX: usize = 1000;
/// Requests that wait for a connection: more than all acks and publishes that can.
const REQUESTS_MAX: usize = 4096;
/// Room for the header and the properties of a publish.
const PROPERTIES_BYTES: usize = 16 * 1024;
/// Bytes of a packet.
const PACKET_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// Seconds that the other broker keeps the bridge's session: a year.
const SESSION_EXPIRY_S: u32 = 365 * 24 * 3600;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Pauses between tries.
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// A connection that lasted longer counts as good: the next pause is short.
const STEADY: Duration = Duration::from_secs(30);

/// The other broker, and what is exchanged with it.
#[derive(Clone)]
pub struct BridgeSettings {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name and password.
    pub login: Option<(String, String)>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Roots of the other broker's certificate, PEM; the system's where there are none.
    pub ca: Option<PathBuf>,
    /// Client id there; the same after a restart, so that the session is found again.
    pub client_id: String,
    /// Filters of what is taken from there and published here.
    pub inward: Vec<String>,
    /// Filters of what is published here and passed on to there.
    pub outward: Vec<String>,
}

impl std::fmt::Debug for BridgeSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BridgeSettings")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.login.as_ref().map(|(user, _)| user))
            .field("inward", &self.inward)
            .field("outward", &self.outward)
            .finish_non_exhaustive()
    }
}

/// Roots that the other broker's certificate cannot be checked by.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// A file of roots.
    #[error("{path}: {source}")]
    Roots {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// No root can be used.
    #[error("TLS of the bridge: {0}")]
    Tls(#[from] rustls::Error),
}

impl From<TlsError> for BridgeError {
    fn from(error: TlsError) -> BridgeError {
        match error {
            TlsError::Roots { path, source } => BridgeError::Roots { path, source },
            TlsError::Tls(error) => error.into(),
        }
    }
}

/// Lets the bridge into our own broker, whoever else may come in.
#[derive(Debug)]
pub struct BridgeToken(String);

impl BridgeToken {
    /// A new one, which nobody can guess.
    #[must_use]
    pub fn new() -> BridgeToken {
        BridgeToken(format!(
            "{:032x}{:032x}",
            rand::random::<u128>(),
            rand::random::<u128>()
        ))
    }
}

impl Default for BridgeToken {
    fn default() -> Self {
        BridgeToken::new()
    }
}

impl Tokens for BridgeToken {
    fn verify(&self, user: Option<&str>, token: &[u8]) -> Option<String> {
        let good = user == Some(USER)
            && bool::from(subtle::ConstantTimeEq::ct_eq(self.0.as_bytes(), token));
        good.then(|| USER.to_owned())
    }
}

/// See the module.
pub struct Bridge {
    settings: BridgeSettings,
    transport: Transport,
    own: SocketAddr,
    token: Arc<BridgeToken>,
    limits: Limits,
    metrics: BridgeMetrics,
}

/// Why both connections begin anew.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error("the other broker: {0}")]
    There(#[source] Box<ConnectionError>),
    #[error("our own broker: {0}")]
    Here(#[source] Box<ConnectionError>),
    #[error("a publish was refused: {0:?}")]
    Refused(PubAckReason),
    #[error("a subscription was refused")]
    NotSubscribed,
    #[error("a request cannot be queued")]
    Requests,
}

impl From<ClientError> for Interrupted {
    fn from(_: ClientError) -> Self {
        Interrupted::Requests
    }
}

/// One direction: publishes that wait for the ack of where they went.
#[derive(Debug, Default)]
struct Pending {
    /// In the order in which they are sent; each gets its packet id then.
    unsent: VecDeque<Publish>,
    sent: HashMap<u16, Publish>,
}

/// One of the two connections.
struct Side {
    client: AsyncClient,
    /// What was published on this side and came from the other.
    pending: Mutex<Pending>,
}

impl Bridge {
    /// Prepare it. `own` is a plain listener of our own broker.
    ///
    /// # Errors
    /// The roots for TLS cannot be used.
    pub fn new(
        settings: BridgeSettings,
        own: SocketAddr,
        token: Arc<BridgeToken>,
        limits: Limits,
        metrics: BridgeMetrics,
    ) -> Result<Bridge, BridgeError> {
        let transport = match settings.tls {
            false => Transport::Tcp,
            true => {
                let config = Arc::new(tls::config(settings.ca.as_deref())?);
                Transport::tls_with_config(TlsConfiguration::Rustls(config))
            }
        };
        let ip = match own.ip() {
            ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        Ok(Bridge {
            settings,
            transport,
            own: SocketAddr::new(ip, own.port()),
            token,
            limits,
            metrics,
        })
    }

    /// Work until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut pause = RETRY_MIN;
        loop {
            let began = Instant::now();
            let ended = tokio::select! {
                () = stop.cancelled() => return,
                ended = self.connect_both() => ended,
            };
            self.metrics.connected.set(0);
            self.metrics.interruptions.inc();
            if began.elapsed() >= STEADY {
                pause = RETRY_MIN;
            }
            let host = &self.settings.host;
            tracing::warn!(host, reason = %ended, retry_in = ?pause, "bridge interrupted");
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }

    /// Exchange messages until something ends.
    async fn connect_both(&self) -> Interrupted {
        let (there, mut there_events) = side(self.options_there());
        let (here, mut here_events) = side(self.options_here());
        let inward = self.take_from_there(&there, &here, &mut there_events);
        let outward = self.take_from_here(&there, &here, &mut here_events);
        tokio::select! {
            ended = inward => ended.err().unwrap_or(Interrupted::NotSubscribed),
            ended = outward => ended.err().unwrap_or(Interrupted::NotSubscribed),
        }
    }

    async fn take_from_there(
        &self,
        there: &Side,
        here: &Side,
        events: &mut EventLoop,
    ) -> Result<(), Interrupted> {
        loop {
            match events
                .poll()
                .await
                .map_err(|e| Interrupted::There(Box::new(e)))?
            {
                Event::Incoming(Incoming::ConnAck(connack)) => {
                    self.connected(&connack);
                    subscribe(there, &self.settings.inward)?;
                }
                Event::Incoming(Incoming::Publish(publish)) => {
                    // Where boxes meet at that broker, too, what they say there is not for ours.
                    if is_between_boxes(&topic(&publish)) {
                        there.client.try_ack(&publish)?;
                        continue;
                    }
                    if !self.fits(&publish) {
                        self.drop_one(&publish, "larger or deeper than our broker takes");
                        there.client.try_ack(&publish)?;
                        continue;
                    }
                    self.metrics.inward.inc();
                    here.pending.lock().unsent.push_back(publish.clone());
                    here.client
                        .publish_with_properties(
                            topic(&publish),
                            QoS::AtLeastOnce,
                            publish.retain,
                            publish.payload.clone(),
                            properties(&publish),
                        )
                        .await?;
                }
                event => {
                    if self.acked(there, here, event)? {
                        self.metrics.waiting.dec();
                    }
                }
            }
        }
    }

    async fn take_from_here(
        &self,
        there: &Side,
        here: &Side,
        events: &mut EventLoop,
    ) -> Result<(), Interrupted> {
        loop {
            match events
                .poll()
                .await
                .map_err(|e| Interrupted::Here(Box::new(e)))?
            {
                Event::Incoming(Incoming::ConnAck(_)) => {
                    subscribe(here, &self.settings.outward)?;
                }
                Event::Incoming(Incoming::Publish(publish)) => {
                    let waiting = {
                        let pending = there.pending.lock();
                        pending.unsent.len() + pending.sent.len()
                    };
                    // Those of QoS 1 are bounded by what our broker sends without acks.
                    if publish.qos == QoS::AtMostOnce && waiting >= OUTWARD_MAX {
                        self.metrics.dropped.inc();
                        continue;
                    }
                    self.metrics.outward.inc();
                    self.metrics.waiting.inc();
                    there.pending.lock().unsent.push_back(publish.clone());
                    // Never blocks: there is room for all that may wait.
                    there.client.try_publish_with_properties(
                        topic(&publish),
                        QoS::AtLeastOnce,
                        publish.retain,
                        publish.payload.clone(),
                        properties(&publish),
                    )?;
                }
                event => {
                    self.acked(here, there, event)?;
                }
            }
        }
    }

    fn connected(&self, connack: &ConnAck) {
        self.metrics.connected.set(1);
        self.metrics.waiting.set(0);
        let BridgeSettings { host, port, .. } = &self.settings;
        tracing::info!(
            host,
            port,
            session = connack.session_present,
            "bridge connected"
        );
    }

    fn options_there(&self) -> MqttOptions {
        let BridgeSettings {
            host,
            port,
            client_id,
            ..
        } = &self.settings;
        let mut options = MqttOptions::new(client_id, host, *port);
        options.set_transport(self.transport.clone());
        if let Some((user, password)) = &self.settings.login {
            options.set_credentials(user, password);
        }
        with_session(options)
    }

    fn options_here(&self) -> MqttOptions {
        let mut options = MqttOptions::new(USER, self.own.ip().to_string(), self.own.port());
        options.set_credentials(USER, &self.token.0);
        with_session(options)
    }
}

fn with_session(mut options: MqttOptions) -> MqttOptions {
    options
        .set_clean_start(false)
        .set_session_expiry_interval(Some(SESSION_EXPIRY_S))
        .set_receive_maximum(Some(UNACKED_MAX))
        .set_max_packet_size(Some(PACKET_BYTES_MAX))
        .set_keep_alive(KEEP_ALIVE)
        .set_manual_acks(true);
    options
}

fn side(options: MqttOptions) -> (Side, EventLoop) {
    let (client, events) = AsyncClient::new(options, REQUESTS_MAX);
    let pending = Mutex::default();
    (Side { client, pending }, events)
}

/// What one side sent comes back to it from nobody, so that nothing goes round in circles.
fn subscribe(side: &Side, filters: &[String]) -> Result<(), Interrupted> {
    let filter = |path: &String| Filter {
        path: path.clone(),
        qos: QoS::AtLeastOnce,
        nolocal: true,
        preserve_retain: true,
        retain_forward_rule: RetainForwardRule::OnNewSubscribe,
    };
    if filters.is_empty() {
        return Ok(());
    }
    side.client.try_subscribe_many(filters.iter().map(filter))?;
    Ok(())
}

impl Bridge {
    /// What happened to a publish on `side`: once it is acked, ack it where it came from. Returns
    /// whether one was.
    fn acked(&self, side: &Side, origin: &Side, event: Event) -> Result<bool, Interrupted> {
        match event {
            Event::Outgoing(rumqttc::Outgoing::Publish(packet_id)) if packet_id != 0 => {
                let mut pending = side.pending.lock();
                if let Some(publish) = pending.unsent.pop_front() {
                    pending.sent.insert(packet_id, publish);
                }
            }
            Event::Incoming(Incoming::PubAck(puback)) => {
                let publish = side.pending.lock().sent.remove(&puback.pkid);
                let Some(publish) = publish else {
                    return Ok(false);
                };
                match puback.reason {
                    PubAckReason::Success | PubAckReason::NoMatchingSubscribers => {}
                    // Sent again it would be refused again.
                    PubAckReason::NotAuthorized
                    | PubAckReason::TopicNameInvalid
                    | PubAckReason::PayloadFormatInvalid => {
                        self.drop_one(&publish, "refused for good");
                    }
                    reason => return Err(Interrupted::Refused(reason)),
                }
                if publish.qos != QoS::AtMostOnce {
                    origin.client.try_ack(&publish)?;
                }
                return Ok(true);
            }
            Event::Incoming(Incoming::SubAck(suback)) => {
                use rumqttc::v5::mqttbytes::v5::SubscribeReasonCode::Success;
                if !suback
                    .return_codes
                    .iter()
                    .all(|code| matches!(code, Success(_)))
                {
                    return Err(Interrupted::NotSubscribed);
                }
            }
            _ => {}
        }
        Ok(false)
    }

    /// Whether our own broker takes it; it would cut the connection otherwise.
    fn fits(&self, publish: &Publish) -> bool {
        let levels = publish.topic.iter().filter(|&&b| b == b'/').count() + 1;
        let Limits {
            topic_bytes_max,
            topic_levels_max,
            packet_bytes_max,
            ..
        } = self.limits;
        publish.topic.len() <= topic_bytes_max
            && levels <= topic_levels_max
            && publish.topic.len() + publish.payload.len() + PROPERTIES_BYTES <= packet_bytes_max
    }

    fn drop_one(&self, publish: &Publish, reason: &str) {
        self.metrics.dropped.inc();
        tracing::warn!(topic = %topic(publish), reason, "bridge drops a message");
    }
}

fn topic(publish: &Publish) -> String {
    // Brokers only send UTF-8.
    String::from_utf8_lossy(&publish.topic).into_owned()
}

/// What goes along; numbers that only mean something on one connection do not.
fn properties(publish: &Publish) -> rumqttc::v5::mqttbytes::v5::PublishProperties {
    let mut properties = publish.properties.clone().unwrap_or_default();
    properties.topic_alias = None;
    properties.subscription_identifiers.clear();
    properties
}
