//! What outlives a client's connection: its subscriptions, its messages, its will.

// Messages of QoS 0 that the session has not looked at.
mod arrivals;
// Messages on their way to the client.
mod deliveries;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use self::arrivals::Arrivals;
pub(crate) use self::deliveries::{Deliveries, Delivery, Noted, RetainedWalk};
use crate::{
    envelope::Envelope,
    limits::Limits,
    metrics::Metrics,
    note::{Subscription, Will},
    packet::Version,
    router::RouteId,
};

/// The session of one client id, connected or not.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// Number of the mailbox in this run; origin of what its client publishes.
    pub(crate) id: u64,
    pub(crate) client: Arc<str>,
    online: AtomicBool,
    pub(crate) traffic: Exchanged,
    /// Something came for a client that is connected.
    pub(crate) arrived: Notify,
    arrivals: Mutex<Arrivals>,
    state: Mutex<State>,
}

/// What is behind the mailbox's lock. Whoever wants the routes too locks them first.
#[derive(Debug)]
pub(crate) struct State {
    /// Seconds that it outlives its connection; [`FOR_EVER`] has no end.
    pub(crate) expiry_s: u32,
    /// When the last connection ended.
    pub(crate) closed_ms: u64,
    pub(crate) subscriptions: BTreeMap<String, Subscription>,
    pub(crate) deliveries: Deliveries,
    pub(crate) will: Option<Will>,
    /// The connection that it has now.
    pub(crate) connection: Option<Connected>,
    /// Changed since the last checkpoint.
    pub(crate) dirty: bool,
    /// The last checkpoint has it.
    pub(crate) stored: bool,
}

/// A client's connection, as an operator sees it.
#[derive(Debug, Clone)]
pub(crate) struct Connected {
    pub(crate) user: Option<String>,
    pub(crate) peer: SocketAddr,
    pub(crate) version: Version,
    pub(crate) keep_alive_s: u16,
    /// Milliseconds since 1970.
    pub(crate) since_ms: u64,
}

/// Messages of a session since it began, or since the broker started.
#[derive(Debug, Default)]
pub(crate) struct Exchanged {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Exchanged {
    /// The client published this many more.
    pub(crate) fn received(&self, messages: u64) {
        self.received.fetch_add(messages, Ordering::Relaxed);
    }

    /// This many more were written to it.
    pub(crate) fn sent(&self, messages: u64) {
        self.sent.fetch_add(messages, Ordering::Relaxed);
    }

    /// Messages that the client published, and messages that were written to it.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.received), load(&self.sent))
    }
}

/// Session expiry that means never.
pub(crate) const FOR_EVER: u32 = u32::MAX;

impl State {
    /// Whether it outlives its connection.
    pub(crate) fn is_persistent(&self) -> bool {
        self.expiry_s > 0
    }

    /// Whether a restart has to find it.
    pub(crate) fn is_kept(&self) -> bool {
        self.is_persistent() || self.will.is_some()
    }

    /// Set how long it outlives its connection.
    pub(crate) fn set_expiry(&mut self, expiry_s: u32) {
        self.expiry_s = expiry_s;
        self.deliveries.set_noted(expiry_s > 0);
    }

    /// Whether it has outlived its time.
    pub(crate) fn is_expired(&self, now_ms: u64) -> bool {
        if self.expiry_s == 0 && self.will.is_some() {
            return self.is_will_due(now_ms);
        }
        let lived_ms = now_ms.saturating_sub(self.closed_ms);
        self.expiry_s != FOR_EVER && lived_ms >= u64::from(self.expiry_s) * 1000
    }

    /// Whether the will's delay is over.
    pub(crate) fn is_will_due(&self, now_ms: u64) -> bool {
        let waited_ms = now_ms.saturating_sub(self.closed_ms);
        let delay_s = self.will.as_ref().map(|will| will.delay_s);
        delay_s.is_some_and(|delay_s| waited_ms >= u64::from(delay_s) * 1000)
    }
}

impl Mailbox {
    /// An empty one.
    pub(crate) fn new(id: u64, client: &str, limits: &Limits, metrics: &Metrics) -> Mailbox {
        Mailbox {
            id,
            client: client.into(),
            online: AtomicBool::new(false),
            traffic: Exchanged::default(),
            arrived: Notify::new(),
            arrivals: Mutex::new(Arrivals::new(limits)),
            state: Mutex::new(State {
                expiry_s: 0,
                closed_ms: 0,
                subscriptions: BTreeMap::new(),
                deliveries: Deliveries::new(limits, metrics.clone()),
                will: None,
                connection: None,
                dirty: true,
                stored: false,
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn is_online(&self) -> bool {
        self.online.load(Ordering::Acquire)
    }

    pub(crate) fn set_online(&self, online: bool) {
        self.online.store(online, Ordering::Release);
        if !online {
            self.arrivals.lock().take();
        }
    }

    /// A message of QoS 0 came on a route, for the session to look at. Returns whether the session
    /// should be waited for.
    pub(crate) fn arrive(&self, route: RouteId, message: &Arc<Envelope>) -> bool {
        let mut arrivals = self.arrivals.lock();
        if !self.is_online() {
            return false;
        }
        let lost = arrivals.push(route, message);
        let (first, crowded) = (arrivals.len() == 1, arrivals.is_crowded());
        drop(arrivals);
        if lost > 0 {
            self.lock().deliveries.lost("session_slow", lost);
        }
        // Whoever put the first one there has woken the session.
        if first {
            self.arrived.notify_one();
        }
        crowded
    }

    /// Whether messages came faster than the session looks at them.
    pub(crate) fn is_crowded(&self) -> bool {
        self.arrivals.lock().is_crowded()
    }

    /// What has come since the last call.
    pub(crate) fn take_arrivals(&self) -> VecDeque<(RouteId, Arc<Envelope>)> {
        self.arrivals.lock().take()
    }

    /// Queue a message and wake the session.
    pub(crate) fn offer(&self, delivery: Delivery) {
        let mut state = self.lock();
        state.deliveries.offer(delivery);
        state.dirty = true;
        drop(state);
        self.arrived.notify_one();
    }
}
