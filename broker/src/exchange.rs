//! From one publish to everyone who wants it: retained store, routes, router.
//!
//! A route is a topic filter that at least one session subscribes to. The routes of a topic are
//! found here and not in the router, so that the router only ever holds as much as there are
//! routes at one time, and a publish that nobody wants never reaches it.
//!
//! While nobody subscribes to anything a publish costs one atomic load. That cannot overtake a
//! SUBACK: the route is counted, and the router has answered, before a SUBACK is written.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::time::Instant;

use crate::{
    envelope::{Envelope, Properties},
    filters::FilterTree,
    limits::Limits,
    metrics::Metrics,
    retained::Retained,
    router::{Link, RouteId, Router, RouterGone},
};

/// There are as many different filters as the limit allows.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("too many topic filters")]
pub(crate) struct FiltersFull;

/// A publish to be handed on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) properties: &'a Properties,
    /// Session that sent it; 0 is the broker itself.
    pub(crate) origin: u64,
}

/// Messages that are handed to the router together. Kept between uses for its memory.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    sends: Vec<(RouteId, Bytes)>,
    routes: Vec<RouteId>,
}

/// Where publishes meet subscriptions.
pub(crate) struct Exchange {
    routes: RwLock<Routes>,
    route_count: AtomicUsize,
    retained: Retained,
    router: Arc<Router>,
    started: Instant,
    filters_max: usize,
    backlog_max: usize,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Routes {
    by_filter: FilterTree<Route>,
    free: Vec<RouteId>,
}

#[derive(Debug)]
struct Route {
    id: RouteId,
    users: usize,
}

impl Exchange {
    pub(crate) fn new(router: Router, limits: &Limits, metrics: Metrics) -> Exchange {
        Exchange {
            routes: RwLock::default(),
            route_count: AtomicUsize::new(0),
            retained: Retained::new(limits, metrics.clone()),
            router: Arc::new(router),
            started: Instant::now(),
            filters_max: limits.filters_max,
            backlog_max: limits.router_backlog_max,
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

    /// Milliseconds since the broker started.
    pub(crate) fn now_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The route of a filter, for one more user.
    pub(crate) fn acquire(&self, filter: &str) -> Result<RouteId, FiltersFull> {
        let mut guard = self.routes.write();
        let routes = &mut *guard;
        if let Some(route) = routes.by_filter.get_mut(filter) {
            route.users += 1;
            return Ok(route.id);
        }
        let count = routes.by_filter.len();
        if count >= self.filters_max {
            return Err(FiltersFull);
        }
        // Numbers in use and numbers that are free are together exactly those below `count + free`.
        let id = routes.free.pop().unwrap_or(RouteId(count as u32));
        routes.by_filter.insert(filter, Route { id, users: 1 });
        self.route_count
            .store(routes.by_filter.len(), Ordering::SeqCst);
        Ok(id)
    }

    /// One user less.
    pub(crate) fn release(&self, filter: &str) {
        let mut guard = self.routes.write();
        let routes = &mut *guard;
        let Some(route) = routes.by_filter.get_mut(filter) else {
            return;
        };
        route.users -= 1;
        if route.users == 0
            && let Some(route) = routes.by_filter.remove(filter)
        {
            routes.free.push(route.id);
            self.route_count
                .store(routes.by_filter.len(), Ordering::SeqCst);
        }
    }

    /// Keep a message if it is to be retained, and add it to `batch` for each route of its topic.
    pub(crate) fn publish(&self, message: Message<'_>, batch: &mut Batch) {
        if message.retain && !self.retained.set(self.envelope(message)) {
            self.metrics.refused("retained_full");
        }
        if self.route_count.load(Ordering::SeqCst) == 0 {
            return;
        }
        let Batch { sends, routes } = batch;
        routes.clear();
        self.routes
            .read()
            .by_filter
            .each_match(message.topic, |route| routes.push(route.id));
        if !routes.is_empty() {
            let sealed = self.envelope(message).seal();
            sends.extend(routes.iter().map(|&route| (route, sealed.clone())));
        }
    }

    /// Hand a batch to the router. Returns whether there was anything in it.
    pub(crate) fn flush(&self, batch: &mut Batch) -> Result<bool, RouterGone> {
        if batch.sends.is_empty() {
            return Ok(false);
        }
        self.router.send(&mut batch.sends)?;
        Ok(true)
    }

    /// Whether publishers should wait for the router to catch up.
    pub(crate) fn is_congested(&self) -> bool {
        self.router.backlog() > self.backlog_max
    }

    fn envelope(&self, message: Message<'_>) -> Envelope {
        Envelope {
            topic: Bytes::copy_from_slice(message.topic.as_bytes()),
            payload: message.payload.clone(),
            qos: message.qos,
            retain: message.retain,
            properties: message.properties.clone(),
            received_ms: self.now_ms(),
            origin: message.origin,
        }
    }
}
