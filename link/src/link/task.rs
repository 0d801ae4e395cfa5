use std::{fmt, sync::Arc, time::Duration};

use rand::Rng as _;
use rumqttc::{
    NetworkOptions, Outgoing, Transport,
    v5::{
        AsyncClient, ConnectionError, Event, EventLoop, Incoming, MqttOptions,
        mqttbytes::{
            QoS,
            v5::{
                ConnAck, Filter, LastWill, PubAckReason, Publish, RetainForwardRule,
                SubscribeReasonCode,
            },
        },
    },
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Connection, LinkEvent, LinkSettings, Message, Shared, WAITING_MAX, Waiting, Will};
use crate::place::MeetingPlace;

/// Messages of QoS 1 that the broker may send before they are acked.
const UNACKED_MAX: u16 = 64;
/// Publishes that the broker has not acked.
const INFLIGHT_MAX: u16 = 256;
/// Publishes that wait to be sent.
const REQUESTS_MAX: usize = 256;
/// Bytes of a packet that comes.
const PACKET_BYTES_MAX: u32 = 2 * 1024 * 1024;
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

impl LinkTask {
    pub(super) fn new(
        settings: LinkSettings,
        transport: Transport,
        shared: Arc<Shared>,
        events: mpsc::Sender<Waiting>,
    ) -> LinkTask {
        LinkTask {
            settings,
            transport,
            shared,
            events,
        }
    }

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
                    let filters = self.settings.subscriptions.iter().map(|path| filter(path));
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
        let MeetingPlace { host, port, .. } = &self.settings.place;
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
        if let Some((user, password)) = self.settings.place.login_now() {
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

fn filter(path: &str) -> Filter {
    Filter {
        path: path.to_owned(),
        qos: QoS::AtLeastOnce,
        // The standard forbids it for shared subscriptions.
        nolocal: !path.starts_with("$share/"),
        preserve_retain: false,
        retain_forward_rule: RetainForwardRule::OnEverySubscribe,
    }
}
