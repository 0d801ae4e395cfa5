//! Where publishes meet subscriptions.
//!
//! Messages take two ways. At QoS 0 they go through rumqttd's router to whoever is connected: fast,
//! shared by all, and under a slow subscriber the oldest are lost. The router keeps the last messages
//! of every filter, so it serves a bounded number of filters, and for the others they go straight to
//! the sessions that are connected. At QoS 1 and 2 they go into the mailbox of each subscriber, which
//! is bounded, outlives the connection, and can be made again from the log after a crash.
//!
//! The lock on the routes is also what orders things: whoever appends to the log what changes a
//! session holds it (shared for publishes and acks, alone for subscriptions) until the change is
//! made in memory, too. So a checkpoint, which holds it alone, is exactly the state that the log
//! makes up to its last position. Locks are taken in this order: routes, sessions, retained order,
//! one mailbox.

// The state at one position of the log, on disk.
mod checkpoint;
// The state as it was, from the checkpoint and the log.
mod recovery;
// Which mailboxes want which topics.
mod routes;
// The sessions of all clients: opened, closed, expired.
mod sessions;

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tarn_common::ids::Seq;
use tokio::time::Instant;

pub use self::checkpoint::CheckpointError;
use self::{routes::Routes, sessions::Sessions};
pub(crate) use self::{
    routes::Way,
    sessions::{Closing, Opened, Opening},
};
use crate::{
    envelope::{Envelope, Properties},
    limits::Limits,
    log::{Appended, Publish, PublishLog, Refused},
    mailbox::Mailbox,
    metrics::Metrics,
    note::{self, Note, Subscription},
    retained::Retained,
    router::{Link, RouteId, Router, RouterGone},
    store::Store,
    topics,
};

/// A subscription that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SubscribeError {
    /// There are as many different filters, or as many of this client, as the limits allow.
    #[error("too many topic filters")]
    Full,
    /// It could not be made durable.
    #[error(transparent)]
    Log(#[from] Refused),
}

/// A publish to be handed on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) properties: &'a Properties,
    /// Mailbox of the client that sent it; 0 is the broker itself.
    pub(crate) origin: u64,
}

/// What the log has to know of a publish beside the message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sender<'a> {
    pub(crate) client: &'a str,
    pub(crate) packet_id: u16,
    pub(crate) dup: bool,
}

/// Messages that are handed to the router together. Kept between uses for its memory.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    sends: Vec<(RouteId, Bytes)>,
    routes: Vec<RouteId>,
    /// A mailbox that messages went to faster than its session looked at them.
    crowded: Option<Arc<Mailbox>>,
    /// Subscribers that the last publish went to, a route of the router counted once.
    pub(crate) reached: usize,
}

/// While it lives no checkpoint is made and no subscription changes.
pub(crate) struct InOrder<'a> {
    _routes: RwLockReadGuard<'a, Routes>,
}

/// A subscription that was taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subscribed {
    /// How messages of QoS 0 come; none for a shared subscription, or where they come already.
    pub(crate) way: Option<Way>,
    /// Whether the client had none to the same filter.
    pub(crate) is_new: bool,
    /// Durable position that the answer has to wait for.
    pub(crate) needs: Seq,
    /// Position that messages after come live.
    pub(crate) since: Seq,
}

/// See the module.
pub(crate) struct Exchange {
    routes: RwLock<Routes>,
    sessions: Mutex<Sessions>,
    checkpoints: tokio::sync::Mutex<()>,
    /// Held from the append of a retained message to its place in the store, so that the store has
    /// what the log has last.
    retained_order: Mutex<()>,
    retained: Retained,
    router: Arc<Router>,
    log: Arc<dyn PublishLog>,
    store: Option<Arc<Store>>,
    limits: Arc<Limits>,
    started: Instant,
    started_ms: u64,
    metrics: Metrics,
}

impl Exchange {
    pub(crate) fn new(
        router: Router,
        log: Arc<dyn PublishLog>,
        store: Option<Arc<Store>>,
        limits: Arc<Limits>,
        now_ms: i64,
        metrics: Metrics,
    ) -> Exchange {
        Exchange {
            routes: RwLock::new(Routes::new(limits.router_filters_max, metrics.clone())),
            sessions: Mutex::default(),
            checkpoints: Default::default(),
            retained_order: Mutex::default(),
            retained: Retained::new(&limits, metrics.clone()),
            router: Arc::new(router),
            log,
            store,
            limits,
            started: Instant::now(),
            started_ms: now_ms.max(0) as u64,
            metrics,
        }
    }

    /// Retained messages, for subscribers to walk over.
    pub(crate) fn retained(&self) -> &Retained {
        &self.retained
    }

    /// A link to take messages from the router.
    pub(crate) async fn attach(&self) -> Result<Link, RouterGone> {
        self.router.attach().await
    }

    /// Milliseconds since 1970 as the wall clock stood at the start, and steady since then: a clock
    /// that is set does not make messages old.
    pub(crate) fn now_ms(&self) -> u64 {
        self.started_ms + self.started.elapsed().as_millis() as u64
    }

    /// Keep checkpoints away from a change that is being noted and made.
    pub(crate) fn in_order(&self) -> InOrder<'_> {
        InOrder {
            _routes: self.routes.read(),
        }
    }

    /// Store a publish in the log if it has a sender, keep it if it is to be retained, and give it
    /// to everyone who wants it. The position returned covers all that came of it.
    pub(crate) fn publish(
        &self,
        message: Message<'_>,
        sender: Option<Sender<'_>>,
        batch: &mut Batch,
    ) -> Result<Appended, Refused> {
        let routes = self.routes.read();
        let order = message.retain.then(|| self.retained_order.lock());
        let appended = match sender {
            None => Appended::Stored(Seq::ZERO),
            Some(sender) => self.append(message, sender)?,
        };
        let Appended::Stored(seq) = appended else {
            return Ok(appended);
        };
        if message.retain && !self.retained.set(self.envelope(message, seq)) {
            self.metrics.refused("retained_full");
        }
        drop(order);
        if routes.len() == 0 {
            return Ok(appended);
        }
        let envelope = self.envelope(message, seq);
        let Batch {
            sends,
            routes: ids,
            crowded,
            reached,
        } = batch;
        ids.clear();
        let mut targets = routes.find(&envelope, sender.is_some(), ids);
        *reached = ids.len() + targets.len();
        if !ids.is_empty() {
            let sealed = envelope.seal();
            sends.extend(ids.iter().map(|&id| (id, sealed.clone())));
        }
        if targets.is_empty() {
            return Ok(appended);
        }
        let mut upto = seq;
        for (mailbox, filter) in std::mem::take(&mut targets.chosen) {
            let note = Note::Shared {
                filter: filter.to_string(),
                seq: seq.0,
            };
            // Refused after the publish itself was taken: another member may get it after a crash.
            if let Ok(noted) = self.log.note(&mailbox.client, &note::encode(&note)) {
                upto = noted;
            }
        }
        if let Some(mailbox) = targets.offer(&Arc::new(envelope)) {
            *crowded = Some(mailbox);
        }
        Ok(Appended::Stored(upto))
    }

    /// Hand a batch to the router. Returns whether messages went to anyone at QoS 0.
    pub(crate) fn flush(&self, batch: &mut Batch) -> Result<bool, RouterGone> {
        if batch.sends.is_empty() {
            return Ok(batch.crowded.is_some());
        }
        self.router.send(&mut batch.sends)?;
        Ok(true)
    }

    /// Whether the publisher of a batch should wait for the router or for a session to catch up.
    /// Neither waits for a client.
    pub(crate) fn is_congested(&self, batch: &mut Batch) -> bool {
        batch.crowded.take_if(|mailbox| !mailbox.is_crowded());
        batch.crowded.is_some() || self.router.backlog() > self.limits.router_backlog_max
    }

    /// Add a subscription of a connected client, or replace the one to the same filter.
    pub(crate) fn subscribe(
        &self,
        mailbox: &Arc<Mailbox>,
        subscription: &Subscription,
    ) -> Result<Subscribed, SubscribeError> {
        let filter = topics::share(&subscription.filter).filter;
        let mut routes = self.routes.write();
        let mut state = mailbox.lock();
        let is_new = !state.subscriptions.contains_key(&subscription.filter);
        if is_new
            && (state.subscriptions.len() >= self.limits.subscriptions_max
                || routes.len() >= self.limits.filters_max)
        {
            return Err(SubscribeError::Full);
        }
        let needs = match state.is_persistent() {
            true => self.note(mailbox, &Note::Subscribed(subscription.clone()))?,
            false => Seq::ZERO,
        };
        state
            .subscriptions
            .insert(subscription.filter.clone(), subscription.clone());
        state.dirty = true;
        let route = routes.subscribe(mailbox, subscription);
        if is_new {
            self.metrics.subscriptions.inc();
        }
        let way = match route {
            Some(_) if is_new => Some(routes.link(filter)),
            _ => None,
        };
        Ok(Subscribed {
            way,
            is_new,
            needs,
            since: self.log.last(),
        })
    }

    /// End a subscription of a connected client. Returns the position that the answer has to wait
    /// for, if there was one. The router must have been told before: another session may get the
    /// same route at once.
    pub(crate) fn unsubscribe(
        &self,
        mailbox: &Mailbox,
        filter: &str,
    ) -> Result<Option<Seq>, Refused> {
        let mut routes = self.routes.write();
        let mut state = mailbox.lock();
        if !state.subscriptions.contains_key(filter) {
            return Ok(None);
        }
        let note = Note::Unsubscribed {
            filter: filter.to_owned(),
        };
        let needs = match state.is_persistent() {
            true => self.note(mailbox, &note)?,
            false => Seq::ZERO,
        };
        state.subscriptions.remove(filter);
        state.dirty = true;
        drop(state);
        routes.unsubscribe(mailbox, filter);
        if topics::share(filter).group.is_none() {
            routes.unlink(filter);
        }
        self.metrics.subscriptions.dec();
        Ok(Some(needs))
    }

    /// Write a note about a session. The caller keeps the order.
    pub(crate) fn note(&self, mailbox: &Mailbox, note: &Note) -> Result<Seq, Refused> {
        self.log.note(&mailbox.client, &note::encode(note))
    }

    /// Ask for what was appended and noted to be made durable.
    pub(crate) fn commit(&self) {
        self.log.commit();
    }

    fn append(&self, message: Message<'_>, sender: Sender<'_>) -> Result<Appended, Refused> {
        self.log.append(Publish {
            client: sender.client,
            topic: message.topic,
            payload: message.payload,
            qos: message.qos,
            packet_id: sender.packet_id,
            dup: sender.dup,
            retain: message.retain,
            properties: &message.properties.to_wire(),
        })
    }

    fn envelope(&self, message: Message<'_>, seq: Seq) -> Envelope {
        Envelope {
            topic: Bytes::copy_from_slice(message.topic.as_bytes()),
            payload: message.payload.clone(),
            qos: message.qos,
            retain: message.retain,
            properties: message.properties.clone(),
            received_ms: self.now_ms(),
            seq,
            origin: message.origin,
        }
    }
}
