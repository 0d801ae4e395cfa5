//! What an operator sees of the clients, and does to them.

use std::{net::SocketAddr, sync::Arc};

use crate::{broker::Shared, mailbox::Mailbox};

/// Looks at clients and disconnects them. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    pub(crate) shared: Arc<Shared>,
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

/// A client that is connected, or whose session waits for it.
#[derive(Debug, Clone)]
pub struct ClientState {
    /// Its client id.
    pub client_id: String,
    /// Its connection, if it has one now.
    pub connection: Option<Connection>,
    /// Seconds that the session outlives a connection; `u32::MAX` has no end.
    pub session_expiry_s: u32,
    /// Subscriptions, shared ones included.
    pub subscriptions: usize,
    /// Messages that wait for the client or for its acks.
    pub queued_messages: usize,
    /// Bytes of them.
    pub queued_bytes: usize,
    /// Messages among them that were sent and not yet acked.
    pub in_flight: usize,
    /// Messages that the client did not get, for whatever reason.
    pub dropped: u64,
    /// Messages that it published, since its session began or the broker started.
    pub received: u64,
    /// Messages that were written to it.
    pub sent: u64,
    /// Whether a will waits for the end of its connection.
    pub has_will: bool,
}

/// A connection of a client.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Its user name; `None` for an anonymous client.
    pub user: Option<String>,
    /// Where it comes from.
    pub address: SocketAddr,
    /// MQTT version: "3.1.1" or "5".
    pub version: &'static str,
    /// Keep-alive time in seconds; 0 is none.
    pub keep_alive_s: u16,
    /// When it connected, milliseconds since 1970.
    pub since_ms: u64,
}

impl Operator {
    /// Clients after an id in the order of their ids, at most `limit`; only connected ones if asked
    /// for.
    #[must_use]
    pub fn clients(&self, after: Option<&str>, limit: usize, connected: bool) -> Vec<ClientState> {
        let mailboxes = self.shared.exchange.mailboxes();
        let mut wanted: Vec<Arc<Mailbox>> = mailboxes
            .into_iter()
            .filter(|mailbox| after.is_none_or(|after| &*mailbox.client > after))
            .filter(|mailbox| !connected || mailbox.is_online())
            .collect();
        wanted.sort_unstable_by(|a, b| a.client.cmp(&b.client));
        wanted.truncate(limit);
        wanted.iter().map(|mailbox| client_state(mailbox)).collect()
    }

    /// Disconnect a client; its session goes on to wait for it. Returns whether it was connected.
    #[must_use]
    pub fn disconnect(&self, client_id: &str) -> bool {
        tracing::info!(client = client_id, "disconnected by an operator");
        self.shared.clients.kick(client_id)
    }

    /// Disconnect a client and end its session with all that waits for it. Returns whether there
    /// was one.
    pub async fn end_session(&self, client_id: &str) -> bool {
        let shared = &self.shared;
        tracing::info!(client = client_id, "session ended by an operator");
        // Taking the id over waits until the connection has ended.
        let _owned = shared
            .clients
            .take_by_operator(client_id, &shared.stopping)
            .await;
        shared.exchange.end_session(client_id)
    }
}

fn client_state(mailbox: &Mailbox) -> ClientState {
    let (received, sent) = mailbox.traffic.totals();
    let state = mailbox.lock();
    let connection = state.connection.as_ref().map(|connected| Connection {
        user: connected.user.clone(),
        address: connected.peer,
        version: connected.version.name(),
        keep_alive_s: connected.keep_alive_s,
        since_ms: connected.since_ms,
    });
    ClientState {
        client_id: mailbox.client.to_string(),
        connection,
        session_expiry_s: state.expiry_s,
        subscriptions: state.subscriptions.len(),
        queued_messages: state.deliveries.len(),
        queued_bytes: state.deliveries.bytes(),
        in_flight: state.deliveries.in_flight(),
        dropped: state.deliveries.dropped,
        received,
        sent,
        has_will: state.will.is_some(),
    }
}
