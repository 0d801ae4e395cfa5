//! Which session owns a client id, and how another takes it over.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The owners of all client ids in use.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    owners: Mutex<HashMap<Arc<str>, Arc<Owner>>>,
    last_session: AtomicU64,
}

#[derive(Debug)]
struct Owner {
    session: u64,
    /// Why it is told; not set where the broker stops.
    why: OnceLock<Ended>,
    /// Tells the session to end.
    end: CancellationToken,
    /// Tells its successor that it has ended.
    ended: CancellationToken,
}

impl Owner {
    /// Tell the session to end. The first reason counts.
    fn tell(&self, why: Ended) {
        let _ = self.why.set(why);
        self.end.cancel();
    }
}

/// Why a session is told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Another connection has the client id now.
    TakenOver,
    /// An operator wants it.
    Kicked,
    /// The broker stops.
    Stopping,
}

/// A session's hold on its client id. Given up when dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    clients: Arc<Clients>,
    client: Arc<str>,
    owner: Arc<Owner>,
}

impl Clients {
    /// Take a client id, from its owner if it has one. Returns once that owner has ended, so that
    /// the two never append to the log at the same time. The session ends with `stopping` too.
    pub(crate) async fn take(
        self: &Arc<Self>,
        client: &str,
        stopping: &CancellationToken,
    ) -> Registration {
        self.take_as(client, stopping, Ended::TakenOver).await
    }

    /// Take a client id so that nobody is connected with it.
    pub(crate) async fn take_by_operator(
        self: &Arc<Self>,
        client: &str,
        stopping: &CancellationToken,
    ) -> Registration {
        self.take_as(client, stopping, Ended::Kicked).await
    }

    async fn take_as(
        self: &Arc<Self>,
        client: &str,
        stopping: &CancellationToken,
        why: Ended,
    ) -> Registration {
        let owner = Arc::new(Owner {
            session: self.last_session.fetch_add(1, Ordering::Relaxed) + 1,
            why: OnceLock::new(),
            end: stopping.child_token(),
            ended: CancellationToken::new(),
        });
        let client: Arc<str> = client.into();
        let old = self.owners.lock().insert(client.clone(), owner.clone());
        let registration = Registration {
            clients: self.clone(),
            client,
            owner,
        };
        if let Some(old) = old {
            old.tell(why);
            old.ended.cancelled().await;
        }
        registration
    }
}

impl Clients {
    /// Clients that are connected.
    pub(crate) fn len(&self) -> usize {
        self.owners.lock().len()
    }

    /// Tell the session that owns a client id to end. Returns whether there is one.
    pub(crate) fn kick(&self, client: &str) -> bool {
        let owners = self.owners.lock();
        let Some(owner) = owners.get(client) else {
            return false;
        };
        owner.tell(Ended::Kicked);
        true
    }
}

impl Registration {
    /// The client id.
    pub(crate) fn client(&self) -> &Arc<str> {
        &self.client
    }

    /// Cancelled when the session is to end.
    pub(crate) fn end(&self) -> &CancellationToken {
        &self.owner.end
    }

    /// Why the session is to end.
    pub(crate) fn why_ended(&self) -> Ended {
        self.owner.why.get().copied().unwrap_or(Ended::Stopping)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut owners = self.clients.owners.lock();
        if owners
            .get(&self.client)
            .is_some_and(|o| o.session == self.owner.session)
        {
            owners.remove(&self.client);
        }
        drop(owners);
        self.owner.ended.cancel();
    }
}
