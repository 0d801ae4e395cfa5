//! rumqttd's router, its links and its end.
//!
//! What its source asks of us, and how it gets it:
//! - It never forgets a topic, a filter or a client id. So it never sees one: a topic on it is
//!   `t/<route>`, where a route is a small number that is used again, and a link is named by a
//!   number that is used again. No byte of a client can reach a path of it that panics.
//! - A link that is dropped leaks. So the end of a [`Link`] is told to it.
//! - It stops serving a link after 200 messages until it is told to go on. So
//!   [`Notification::Unschedule`] is answered, once each.
//! - Its inbox is bounded and sending blocks. So messages for it are put into the shared buffer of
//!   one link, and it is only notified when that buffer was empty; and it never waits for a link
//!   itself, so that a full inbox drains by itself.
//! - A slow link loses messages without being told. So their offsets are counted.

use std::{
    collections::BTreeSet,
    future::Future,
    io,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_lot::Mutex;
use rumqttd::{
    Notification, RouterConfig,
    local::{LinkBuilder, LinkError, LinkRx, LinkTx},
    protocol::{
        Disconnect, DisconnectReasonCode, Filter, Packet, Publish, QoS, RetainForwardRule,
        Subscribe, SubscribeProperties, Unsubscribe,
    },
};
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;

/// Messages that the router hands to a link at once.
const BATCH_MAX: u64 = 200;

/// Number of a topic filter that someone subscribes to; used again when nobody does any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RouteId(pub(crate) u32);

impl RouteId {
    fn topic(self) -> String {
        format!("t/{}", self.0)
    }
}

/// The router's thread is gone: nothing is delivered any more.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the router has died")]
pub(crate) struct RouterGone;

type Attach = dyn Fn(&str) -> Result<(LinkTx, LinkRx), RouterGone> + Send + Sync;

/// The running router.
pub(crate) struct Router {
    attach: Arc<Attach>,
    publisher: Mutex<LinkTx>,
    slots: Mutex<Slots>,
}

impl Router {
    /// Start the router's thread. The token is cancelled when the thread dies, until `stopping`.
    pub(crate) fn start(
        limits: &Limits,
        died: CancellationToken,
        stopping: CancellationToken,
    ) -> io::Result<(Router, impl Future<Output = ()> + use<>)> {
        let config = RouterConfig {
            max_connections: limits.connections_max + 1,
            max_outgoing_packet_count: BATCH_MAX,
            max_segment_size: limits.router_segment_bytes,
            max_segment_count: limits.router_segments,
            ..RouterConfig::default()
        };
        let inbox = rumqttd::Router::new(0, config).spawn();
        let attach: Arc<Attach> = Arc::new(move |name| {
            let link = LinkBuilder::new(name, inbox.clone()).topic_alias_max(0);
            link.build()
                .map(|(tx, rx, _)| (tx, rx))
                .map_err(|_| RouterGone)
        });
        let (publisher, sentinel) = attach("publisher").map_err(io::Error::other)?;
        let watch = watch_over(sentinel, died, stopping);
        let slots = Mutex::default();
        Ok((
            Router {
                attach,
                publisher: Mutex::new(publisher),
                slots,
            },
            watch,
        ))
    }

    /// Number of messages that wait for the router.
    pub(crate) fn backlog(&self) -> usize {
        self.publisher.lock().buffer().len()
    }

    /// Hand messages over and empty `batch`.
    pub(crate) fn send(&self, batch: &mut Vec<(RouteId, Bytes)>) -> Result<(), RouterGone> {
        let Some(last) = batch.pop() else {
            return Ok(());
        };
        let packet = |(route, sealed): (RouteId, Bytes)| {
            Packet::Publish(
                Publish::new(Bytes::from(route.topic()), sealed, false),
                None,
            )
        };
        let mut publisher = self.publisher.lock();
        let mut waiting = publisher.buffer();
        // A message that still waits here has its notification still in the router's inbox, and
        // that one will make the router take ours as well.
        let notified = !waiting.is_empty();
        waiting.extend(batch.drain(..).map(packet));
        if notified {
            waiting.push_back(packet(last));
            return Ok(());
        }
        drop(waiting);
        at_once(publisher.send(packet(last)))
    }

    /// A new link to take messages from the router.
    pub(crate) async fn attach(self: &Arc<Self>) -> Result<Link, RouterGone> {
        let router = self.clone();
        // The router answers from its own thread, and waiting for that blocks.
        let attached = tokio::task::spawn_blocking(move || {
            let slot = router.slots.lock().take();
            let link = (router.attach)(&format!("session-{slot}"));
            match link {
                Ok((tx, rx)) => Ok(Link {
                    tx,
                    rx,
                    slot,
                    router,
                }),
                Err(gone) => {
                    router.slots.lock().free.insert(slot);
                    Err(gone)
                }
            }
        });
        attached.await.map_err(|_| RouterGone)?
    }
}

/// Nothing is ever sent to the publisher's link, so that it only ends with the router.
async fn watch_over(mut sentinel: LinkRx, died: CancellationToken, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            got = sentinel.next() => if got.is_err() {
                died.cancel();
                return;
            }
        }
    }
}

/// Names of links, the lowest free one first.
#[derive(Debug, Default)]
struct Slots {
    free: BTreeSet<u32>,
    used_up_to: u32,
}

impl Slots {
    fn take(&mut self) -> u32 {
        self.free.pop_first().unwrap_or_else(|| {
            self.used_up_to += 1;
            self.used_up_to
        })
    }
}

/// What a link hears from the router.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A message on a route, and its place in the router's log of that route.
    Message {
        route: RouteId,
        offset: u64,
        sealed: Bytes,
    },
    /// One more of the routes asked for is served from now on.
    Subscribed,
}

/// One session's link to the router.
pub(crate) struct Link {
    tx: LinkTx,
    rx: LinkRx,
    slot: u32,
    router: Arc<Router>,
}

impl Link {
    /// Ask for a route's messages; [`Arrival::Subscribed`] is the answer.
    pub(crate) fn subscribe(&mut self, route: RouteId) -> Result<(), RouterGone> {
        let filter = Filter {
            path: route.topic(),
            qos: QoS::AtMostOnce,
            nolocal: false,
            preserve_retain: false,
            retain_forward_rule: RetainForwardRule::Never,
        };
        // The identifier comes back with each message and tells its route; 0 is not allowed.
        let id = Some(route.0 as usize + 1);
        let properties = SubscribeProperties {
            id,
            user_properties: Vec::new(),
        };
        let subscribe = Subscribe {
            pkid: 1,
            filters: vec![filter],
        };
        at_once(self.tx.send(Packet::Subscribe(subscribe, Some(properties))))
    }

    /// Ask for no more of a route's messages.
    pub(crate) fn unsubscribe(&mut self, route: RouteId) -> Result<(), RouterGone> {
        let unsubscribe = Unsubscribe {
            pkid: 1,
            filters: vec![route.topic()],
        };
        at_once(self.tx.send(Packet::Unsubscribe(unsubscribe, None)))
    }

    /// Wait for what comes next. `None` means: nothing yet, ask again. Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Arrival>, RouterGone> {
        let got = self.rx.next().await.map_err(|_| RouterGone)?;
        self.arrived(got)
    }

    /// What has come already.
    pub(crate) fn try_next(&mut self) -> Result<Option<Arrival>, RouterGone> {
        let now = pin!(self.rx.next()).poll(&mut Context::from_waker(Waker::noop()));
        match now {
            Poll::Ready(Ok(got)) => self.arrived(got),
            Poll::Ready(Err(_)) => Err(RouterGone),
            Poll::Pending => Ok(None),
        }
    }

    fn arrived(&self, got: Option<Notification>) -> Result<Option<Arrival>, RouterGone> {
        match got {
            Some(Notification::Forward(forward)) => {
                let ids = forward.properties.map(|p| p.subscription_identifiers);
                let id = ids.and_then(|ids| ids.first().copied()).unwrap_or_default();
                let Some(route) = id.checked_sub(1) else {
                    return Ok(None);
                };
                let offset = forward.cursor.map_or(0, |(_, offset)| offset);
                let sealed = forward.publish.payload;
                Ok(Some(Arrival::Message {
                    route: RouteId(route as u32),
                    offset,
                    sealed,
                }))
            }
            Some(Notification::DeviceAck(ack)) => {
                Ok(matches!(Packet::from(ack), Packet::SubAck(..)).then_some(Arrival::Subscribed))
            }
            Some(Notification::Unschedule) => {
                self.rx.ready().map_err(|_| RouterGone)?;
                Ok(None)
            }
            Some(Notification::Disconnect(..)) => Err(RouterGone),
            _ => Ok(None),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let reason_code = DisconnectReasonCode::NormalDisconnection;
        let end = Packet::Disconnect(Disconnect { reason_code }, None);
        // If the router is gone there is nobody to tell.
        let _ = at_once(self.tx.send(end));
        self.router.slots.lock().free.insert(self.slot);
    }
}

/// The result of a send that is called asynchronous but never waits.
fn at_once(send: impl Future<Output = Result<usize, LinkError>>) -> Result<(), RouterGone> {
    match pin!(send).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(_)) => Ok(()),
        Poll::Ready(Err(_)) | Poll::Pending => Err(RouterGone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> (Arc<Router>, CancellationToken, impl Future<Output = ()>) {
        let (died, stopping) = (CancellationToken::new(), CancellationToken::new());
        let started = Router::start(&Limits::default(), died.clone(), stopping);
        let (router, watch) = started.expect("the thread starts");
        (Arc::new(router), died, watch)
    }

    #[tokio::test]
    async fn its_death_is_told() {
        let (router, died, watch) = start();
        let mut link = router.attach().await.expect("it lives");
        link.subscribe(RouteId(0)).expect("it lives");
        while !matches!(
            link.next().await.expect("it lives"),
            Some(Arrival::Subscribed)
        ) {}
        assert!(!died.is_cancelled());
        // A link that says it is ready after its end makes the router panic, which is why ours
        // never does.
        let reason_code = DisconnectReasonCode::NormalDisconnection;
        at_once(
            link.tx
                .send(Packet::Disconnect(Disconnect { reason_code }, None)),
        )
        .expect("lives");
        link.rx.ready().expect("it still lives");
        watch.await;
        assert!(died.is_cancelled());
        assert!(link.next().await.is_err());
    }

    #[tokio::test]
    async fn names_of_links_are_used_again() {
        let (router, _died, _watch) = start();
        let [first, second] = [router.attach().await, router.attach().await].map(Result::ok);
        assert_eq!(second.map(|link| link.slot), Some(2));
        drop(first);
        assert_eq!(router.attach().await.map(|link| link.slot).ok(), Some(1));
    }
}
