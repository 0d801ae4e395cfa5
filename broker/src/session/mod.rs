//! One client's connection, from CONNACK to its end.
//!
//! One task does everything, in turns: understand what was read, hand it on, write the acks that
//! have become durable, write messages that wait for the client, and then wait for any of these to
//! go on. What outlives the connection is in its [`Mailbox`](crate::mailbox::Mailbox).

// Acks that wait for the log.
mod acks;
// What the client sends.
mod inbound;
// How fast a client may publish.
mod rate;
// What the client wants to get, and what comes of it.
mod subscriptions;

pub(crate) use self::subscriptions::Subscriptions;

use std::{collections::HashSet, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use mqtt_proto::{
    TopicName,
    v5::{self, DisconnectReasonCode},
};
use tarn_common::ids::Seq;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use self::{acks::Acks, rate::Rate};
use crate::{
    auth::Identity,
    broker::Shared,
    clients::{Ended, Registration},
    connection::{Connection, Progress},
    exchange::{Batch, Closing, Exchange},
    log::Refused,
    mailbox::{Mailbox, Noted, State},
    metrics::Traffic,
    note::Note,
    outlet::Outlet,
    packet::Version,
    reply,
    router::RouterGone,
    transport::Transport,
    violation::Violation,
};

/// What is taken at most of a client that goes on sending while it is told to end.
const REST_BYTES_MAX: usize = 1024 * 1024;
/// How often a session looks whether the router has caught up.
const CONGESTION_RECHECK: Duration = Duration::from_millis(2);
/// How often a note that the log did not take is tried again.
const NOTE_RETRY: Duration = Duration::from_secs(1);
/// When nothing else is due.
const IDLE_RECHECK: Duration = Duration::from_secs(3600);

/// What CONNECT said that matters later.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) version: Version,
    /// Time without a packet after which the client is taken for gone.
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) receive_max: u16,
    pub(crate) packet_bytes_max: usize,
    /// Topic aliases that it knows to read.
    pub(crate) aliases_max: u16,
    /// Session expiry that it asked for at CONNECT, seconds.
    pub(crate) expiry_s: u32,
    /// It wants to read why something did not succeed.
    pub(crate) problem_information: bool,
    pub(crate) peer: SocketAddr,
    pub(crate) identity: Identity,
}

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client disconnected")]
    Disconnected(Closing),
    #[error("the connection was closed")]
    Closed,
    #[error("connection error: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Violation(#[from] Violation),
    #[error("nothing came within the keep-alive time")]
    KeepAlive,
    #[error("another connection took the client id over")]
    TakenOver,
    #[error("an operator disconnected the client")]
    Kicked,
    #[error("the broker is shutting down")]
    Stopping,
    #[error("the log did not take a publish")]
    Refused,
    #[error("packets of all clients hold too much memory")]
    BuffersFull,
    #[error("the log has stopped")]
    LogGone,
    #[error(transparent)]
    RouterGone(#[from] RouterGone),
}

impl End {
    /// What an MQTT 5 client is told, if anything.
    fn code(&self) -> Option<DisconnectReasonCode> {
        match self {
            End::Disconnected(_) | End::Closed | End::Io(_) => None,
            End::Violation(violation) => Some(violation.code()),
            End::KeepAlive => Some(DisconnectReasonCode::KeepAliveTimeout),
            End::TakenOver => Some(DisconnectReasonCode::SessionTakenOver),
            End::Kicked => Some(DisconnectReasonCode::AdministrativeAction),
            End::Stopping | End::LogGone => Some(DisconnectReasonCode::ServerShuttingDown),
            End::Refused => Some(DisconnectReasonCode::ImplementationSpecificError),
            End::BuffersFull => Some(DisconnectReasonCode::QuotaExceeded),
            End::RouterGone(_) => Some(DisconnectReasonCode::UnspecifiedError),
        }
    }

    /// What it means for the session and the will.
    fn closing(&self) -> Closing {
        match self {
            End::Disconnected(closing) => *closing,
            End::Stopping | End::LogGone | End::RouterGone(_) => Closing {
                stopping: true,
                ..Closing::default()
            },
            _ => Closing::default(),
        }
    }
}

/// A client that has been let in.
pub(crate) struct Session<'a, S> {
    shared: &'a Shared,
    connection: Connection<S>,
    client: Client,
    registration: Registration,
    durable: watch::Receiver<Seq>,
    acks: Acks,
    mailbox: Arc<Mailbox>,
    outlet: Outlet,
    subscriptions: Subscriptions,
    /// Topics by the alias that the client gave them.
    aliases: Vec<Option<TopicName>>,
    /// Packet ids of QoS 2 whose PUBREL has not come on this connection.
    unreleased: HashSet<u16>,
    batch: Batch,
    /// Something was appended since the last commit.
    uncommitted: bool,
    published: Traffic,
    /// Packets taken in this turn.
    received_packets: u64,
    rate: Rate,
    /// The client publishes too fast and waits until then.
    throttled_until: Option<Instant>,
    last_packet_at: Instant,
    /// When the packet that is only partly there began to come.
    partial_since: Option<Instant>,
    /// Publishers wait for the router until then.
    congested_until: Option<Instant>,
    /// The mailbox may hold something to be written.
    has_mail: bool,
    /// Something in it waits for the log.
    mail_awaits_log: bool,
    /// The log did not take the last note; it is tried again.
    note_refused: bool,
    /// A publish was refused in a way that only closing can tell: close then, read nothing more.
    refused_until: Option<Instant>,
}

impl<'a, S: Transport> Session<'a, S> {
    pub(crate) fn new(
        shared: &'a Shared,
        connection: Connection<S>,
        client: Client,
        registration: Registration,
        subscriptions: Subscriptions,
    ) -> Self {
        let limits = &shared.limits;
        let outlet = Outlet::new(
            client.version,
            client.packet_bytes_max,
            client.receive_max.min(limits.inflight_max).into(),
            client.aliases_max.min(limits.topic_aliases_max),
            client.identity.access.clone(),
            &shared.metrics,
        );
        Session {
            durable: shared.log.durable(),
            acks: Acks::new(limits.confirm_delay),
            mailbox: subscriptions.mailbox().clone(),
            outlet,
            subscriptions,
            aliases: Vec::new(),
            unreleased: HashSet::new(),
            batch: Batch::default(),
            uncommitted: false,
            published: shared.metrics.published(),
            received_packets: 0,
            rate: Rate::new(limits.publish_rate_max),
            throttled_until: None,
            last_packet_at: Instant::now(),
            partial_since: None,
            congested_until: None,
            has_mail: true,
            mail_awaits_log: false,
            note_refused: false,
            refused_until: None,
            shared,
            connection,
            client,
            registration,
        }
    }

    /// Serve the client to the end, and tell it why. One allocation holds all that this needs, so
    /// that a connection which is only held costs little.
    pub(crate) fn run(mut self) -> BoxFuture<'a, ()>
    where
        S: 'a,
    {
        Box::pin(async move {
            let client = self.registration.client().clone();
            tracing::info!(
                %client,
                peer = %self.client.peer,
                user = self.client.identity.user,
                version = self.client.version.name(),
                "client connected"
            );
            let end = match self.serve().await {
                Ok(never) => match never {},
                Err(End::Stopping) => self.drain().await,
                Err(end) => end,
            };
            // What stays unsaid here is only sent again.
            let _ = self.note_last_progress();
            self.subscriptions.end();
            self.shared.exchange.close(&self.mailbox, end.closing());
            if let End::Violation(violation) = &end {
                self.shared.metrics.malformed(violation.label());
            }
            tracing::info!(%client, peer = %self.client.peer, reason = %end, "client disconnected");
            if let (Version::V5, Some(code)) = (self.client.version, end.code()) {
                let mut disconnect = v5::Disconnect::new(code);
                if self.client.problem_information {
                    disconnect.properties.reason_string = Some(end.to_string().into());
                }
                let (out, max) = (&mut self.connection.output, self.client.packet_bytes_max);
                if !reply::v5(out, &disconnect.into(), max) {
                    reply::v5(out, &v5::Disconnect::new(code).into(), max);
                }
            }
            // The successor may go on while the reason is still being sent.
            drop(self.registration);
            if !matches!(end, End::Io(_)) {
                self.connection
                    .close(self.shared.limits.close_timeout)
                    .await;
            }
        })
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let end_token = self.registration.end().clone();
        let mut ended = pin!(end_token.cancelled());
        let mut timer = pin!(sleep_until(Instant::now()));
        loop {
            self.take_input().await?;
            self.write_acks();
            self.write_answers()?;
            self.take_arrivals();
            let more = self.write_messages();
            let due = self.next_deadline()?;
            // Moving a timer costs more than letting it fire once too early.
            if due < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            let read = self.can_take();
            tokio::select! {
                () = &mut ended => {
                    let end = match self.registration.why_ended() {
                        Ended::TakenOver => End::TakenOver,
                        Ended::Kicked => End::Kicked,
                        Ended::Stopping => return Err(End::Stopping),
                    };
                    self.take_rest().await?;
                    return Err(end);
                }
                changed = self.durable.changed(), if self.awaits_log() => {
                    changed.map_err(|_| End::LogGone)?;
                }
                () = self.mailbox.arrived.notified() => self.has_mail = true,
                progress = self.connection.drive(read) => self.progressed(progress?)?,
                arrival = self.subscriptions.next() => {
                    let arrival = arrival?;
                    self.arrived(arrival)?;
                }
                () = &mut timer => {}
                () = tokio::task::yield_now(), if more => {}
            }
        }
    }

    /// Take what the client had sent before it was told to end, as far as it may be taken now.
    async fn take_rest(&mut self) -> Result<(), End> {
        let mut bytes = 0;
        while self.can_take() && bytes < REST_BYTES_MAX {
            let progress = self.connection.take().await?;
            if progress.read == 0 {
                break;
            }
            bytes += progress.read;
            self.progressed(progress)?;
            self.take_input().await?;
        }
        Ok(())
    }

    fn progressed(&mut self, progress: Progress) -> Result<(), End> {
        if progress.read > 0 {
            let received = &self.shared.metrics.received_bytes;
            received.inc_by(progress.read as u64);
        }
        if progress.written > 0 {
            let metrics = &self.shared.metrics;
            metrics.sent_bytes.inc_by(progress.written as u64);
            metrics.sent_packets.inc_by(self.outlet.packets);
            self.outlet.packets = 0;
            self.mailbox.traffic.sent(self.outlet.delivered.tell());
        }
        if progress.closed {
            return Err(End::Closed);
        }
        if progress.full {
            self.shared.metrics.refused("buffers_bytes_max");
            return Err(End::BuffersFull);
        }
        Ok(())
    }

    /// Write the acks of all that is durable by now, and tell the log which have arrived.
    fn write_acks(&mut self) {
        let durable = *self.durable.borrow_and_update();
        let written = self.acks.write(durable, &mut self.connection.output);
        if let Some(oldest) = written.oldest {
            let metrics = &self.shared.metrics;
            metrics.acks.inc_by(written.durable);
            metrics.ack_seconds.observe(oldest.elapsed().as_secs_f64());
        }
        self.outlet.packets += written.all;
        let connection = &self.connection;
        let sent = connection
            .output
            .is_empty()
            .then(|| connection.sent_bytes());
        let arrived = || connection.arrived_bytes();
        if let Some(seq) = self.acks.confirmed(Instant::now(), sent, arrived) {
            self.shared.log.confirm(self.registration.client(), seq);
        }
    }

    fn note_last_progress(&self) -> Result<(), Refused> {
        let exchange = &self.shared.exchange;
        let _order = exchange.in_order();
        note_progress(exchange, &self.mailbox, &mut self.mailbox.lock())
    }

    /// Whether something is only written once the log is durable.
    fn awaits_log(&self) -> bool {
        !self.acks.is_empty() || self.mail_awaits_log || self.subscriptions.has_unanswered()
    }

    /// Write messages that wait. Returns whether there is more to do without waiting for anyone.
    fn write_messages(&mut self) -> bool {
        if !self.has_mail {
            return false;
        }
        let exchange = &self.shared.exchange;
        let durable = *self.durable.borrow();
        let _order = exchange.in_order();
        let mut state = self.mailbox.lock();
        let more = state.deliveries.write(
            &mut self.outlet,
            &mut self.connection.output,
            exchange.retained(),
            exchange.now_ms(),
            durable,
        );
        self.note_refused = note_progress(exchange, &self.mailbox, &mut state).is_err();
        self.mail_awaits_log = state.deliveries.awaits_log();
        self.has_mail = more || !state.deliveries.is_idle();
        more
    }

    /// The next moment at which something is due; an error if something is overdue.
    fn next_deadline(&mut self) -> Result<Instant, End> {
        let now = Instant::now();
        let mut next = now + IDLE_RECHECK;
        if let Some(keep_alive) = self.client.keep_alive {
            // What the client sends is not seen while we do not read, so it cannot be late then;
            // unless we do not read because it does not.
            if self.is_waiting_for_us() {
                self.last_packet_at = now;
            }
            let due = self.last_packet_at + keep_alive;
            if due <= now {
                return Err(End::KeepAlive);
            }
            next = next.min(due);
        }
        if let Some(since) = self.partial_since {
            let due = since + self.shared.limits.packet_timeout;
            if due <= now {
                return Err(Violation::PacketTimeout.into());
            }
            next = next.min(due);
        }
        if let Some(due) = self.refused_until {
            if due <= now {
                return Err(End::Refused);
            }
            next = next.min(due);
        }
        if self.note_refused {
            next = next.min(now + NOTE_RETRY);
        }
        for due in [self.congested_until, self.throttled_until] {
            next = next.min(due.unwrap_or(next));
        }
        if let Some(due) = self.acks.confirm_due() {
            next = next.min(due.max(now + Duration::from_millis(10)));
        }
        Ok(next)
    }

    /// Let what was received become durable and write its acks, for a bounded time.
    async fn drain(&mut self) -> End {
        let limit = Instant::now() + self.shared.limits.drain_timeout;
        loop {
            self.write_acks();
            if self.acks.is_empty() && self.connection.output.is_empty() {
                return End::Stopping;
            }
            tokio::select! {
                changed = self.durable.changed(), if !self.acks.is_empty() => {
                    if changed.is_err() {
                        return End::LogGone;
                    }
                }
                progress = self.connection.drive(false) => {
                    if let Err(error) = progress {
                        return End::Io(error);
                    }
                }
                () = sleep_until(limit) => return End::Stopping,
            }
        }
    }
}

/// Tell the log how far the client's messages have come, so that a restart goes on from there. If
/// it does not take it, it stays to be noted, and what has to wait for that waits. The caller keeps
/// the order.
fn note_progress(exchange: &Exchange, mailbox: &Mailbox, state: &mut State) -> Result<(), Refused> {
    let noted = state
        .deliveries
        .note(|progress| exchange.note(mailbox, &Note::Progress(progress)))?;
    state.dirty |= noted != Noted::Nothing;
    if noted == Noted::Awaited {
        exchange.commit();
    }
    Ok(())
}
