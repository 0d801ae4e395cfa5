//! One client's connection, from CONNACK to its end.
//!
//! One task does everything, in turns: understand what was read, hand it on, write the acks that
//! have become durable, write messages that wait for the client, and then wait for any of these to
//! go on. Persistent sessions will hand [`deliveries::Deliveries`] and
//! [`subscriptions::Subscriptions`] over to the next connection where now they end with this one.

// Acks that wait for the log.
mod acks;
// Messages on their way to the client.
mod deliveries;
// What the client sends.
mod inbound;
// What the client wants to get, and what comes of it.
mod subscriptions;

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use mqtt_proto::v5::{self, DisconnectReasonCode};
use tarn_common::ids::Seq;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use self::{acks::Acks, deliveries::Deliveries, subscriptions::Subscriptions};
use crate::{
    broker::Shared,
    clients::Registration,
    connection::{Connection, Progress},
    exchange::Batch,
    outstanding::Transport,
    packet::Version,
    reply,
    router::RouterGone,
    violation::Violation,
};

/// How often a session looks whether the router has caught up.
const CONGESTION_RECHECK: Duration = Duration::from_millis(2);
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
    pub(crate) peer: SocketAddr,
}

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client disconnected")]
    Disconnected,
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
    #[error("the broker is shutting down")]
    Stopping,
    #[error("the log did not take a publish")]
    Refused,
    #[error("the log has stopped")]
    LogGone,
    #[error(transparent)]
    RouterGone(#[from] RouterGone),
}

impl End {
    /// What an MQTT 5 client is told, if anything.
    fn code(&self) -> Option<DisconnectReasonCode> {
        match self {
            End::Disconnected | End::Closed | End::Io(_) => None,
            End::Violation(violation) => Some(violation.code()),
            End::KeepAlive => Some(DisconnectReasonCode::KeepAliveTimeout),
            End::TakenOver => Some(DisconnectReasonCode::SessionTakenOver),
            End::Stopping | End::LogGone => Some(DisconnectReasonCode::ServerShuttingDown),
            End::Refused => Some(DisconnectReasonCode::ImplementationSpecificError),
            End::RouterGone(_) => Some(DisconnectReasonCode::UnspecifiedError),
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
    deliveries: Deliveries,
    subscriptions: Subscriptions,
    batch: Batch,
    /// Something was appended since the last commit.
    uncommitted: bool,
    counters: inbound::Counters,
    last_packet_at: Instant,
    /// When the packet that is only partly there began to come.
    partial_since: Option<Instant>,
    /// Publishers wait for the router until then.
    congested_until: Option<Instant>,
    /// A publish was refused in a way that only closing can tell: close then, read nothing more.
    refused_until: Option<Instant>,
}

impl<'a, S: Transport> Session<'a, S> {
    pub(crate) fn new(
        shared: &'a Shared,
        connection: Connection<S>,
        client: Client,
        registration: Registration,
    ) -> Self {
        Session {
            durable: shared.log.durable(),
            acks: Acks::new(shared.limits.confirm_delay),
            deliveries: Deliveries::new(&shared.limits, &client, shared.metrics.clone()),
            subscriptions: Subscriptions::new(registration.session()),
            batch: Batch::default(),
            uncommitted: false,
            counters: inbound::Counters::new(&shared.metrics),
            last_packet_at: Instant::now(),
            partial_since: None,
            congested_until: None,
            refused_until: None,
            shared,
            connection,
            client,
            registration,
        }
    }

    /// Serve the client to the end, and tell it why.
    pub(crate) async fn run(mut self) {
        let client = self.registration.client().clone();
        tracing::debug!(%client, peer = %self.client.peer, "connected");
        let end = match self.serve().await {
            Ok(never) => match never {},
            Err(End::Stopping) => self.drain().await,
            Err(end) => end,
        };
        self.subscriptions
            .end(&self.shared.exchange, &self.shared.metrics);
        match &end {
            End::Violation(violation) => {
                self.shared.metrics.malformed(violation.label());
                tracing::info!(%client, peer = %self.client.peer, reason = %end, "session cut");
            }
            _ => tracing::debug!(%client, reason = %end, "session ended"),
        }
        if let (Version::V5, Some(code)) = (self.client.version, end.code()) {
            reply::v5(
                &mut self.connection.output,
                &v5::Disconnect::new(code).into(),
            );
        }
        // The successor may go on while the reason is still being sent.
        drop(self.registration);
        if !matches!(end, End::Io(_)) {
            self.connection
                .close(self.shared.limits.close_timeout)
                .await;
        }
    }

    async fn serve(&mut self) -> Result<std::convert::Infallible, End> {
        let end_token = self.registration.end().clone();
        let mut ended = pin!(end_token.cancelled());
        let mut timer = pin!(sleep_until(Instant::now()));
        loop {
            self.take_input().await?;
            self.write_acks();
            let more = self.write_messages();
            let due = self.next_deadline()?;
            // Moving a timer costs more than letting it fire once too early.
            if due < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(due);
            }
            let read = self.can_take();
            tokio::select! {
                () = &mut ended => {
                    let taken_over = self.registration.is_taken_over();
                    return Err(if taken_over { End::TakenOver } else { End::Stopping });
                }
                changed = self.durable.changed(), if !self.acks.is_empty() => {
                    changed.map_err(|_| End::LogGone)?;
                }
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

    fn progressed(&mut self, progress: Progress) -> Result<(), End> {
        self.shared
            .metrics
            .received_bytes
            .inc_by(progress.read as u64);
        self.shared
            .metrics
            .sent_bytes
            .inc_by(progress.written as u64);
        if progress.closed {
            return Err(End::Closed);
        }
        Ok(())
    }

    /// Write the acks of all that is durable by now, and tell the log which have arrived.
    fn write_acks(&mut self) {
        let durable = *self.durable.borrow_and_update();
        let written = self.acks.write(durable, &mut self.connection.output);
        if written > 0 {
            self.shared.metrics.acks.inc_by(written);
        }
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

    /// Write messages that wait. Returns whether there is more to do without waiting for anyone.
    fn write_messages(&mut self) -> bool {
        self.deliveries
            .write(&mut self.connection.output, &self.shared.exchange)
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
        if let Some(due) = self.congested_until {
            next = next.min(due);
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
