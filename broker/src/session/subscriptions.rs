//! What the client wants to get, and what comes of it.

use std::{collections::HashMap, future, str};

use mqtt_proto::{
    Pid, TopicFilter,
    v5::{RetainHandling, SubscribeReasonCode, SubscriptionOptions},
};

use super::{
    End, Session,
    deliveries::{Delivery, RetainedWalk},
};
use crate::{
    envelope::Envelope,
    exchange::Exchange,
    filters::FilterTree,
    limits::Limits,
    metrics::Metrics,
    outstanding::Transport,
    retained::Walk,
    router::{Arrival, Link, RouteId, RouterGone},
    topics,
    violation::Violation,
};

/// Arrivals that are taken before the client's socket gets its turn.
const ARRIVALS_MAX: usize = 256;

/// The subscriptions of one session and its link to the router, which it only has once it
/// subscribes: a link costs memory, and most devices only publish.
pub(super) struct Subscriptions {
    session: u64,
    by_filter: FilterTree<Subscription>,
    next_number: u64,
    link: Option<Link>,
    /// Place after the last message of each route, to see what the router has thrown away.
    offsets: HashMap<RouteId, u64>,
    /// A SUBSCRIBE whose routes the router does not serve yet, and how many of them.
    unanswered: std::collections::VecDeque<(Answer, usize)>,
    asked: usize,
    walks: Vec<RetainedWalk>,
}

#[derive(Debug)]
struct Subscription {
    /// Older subscriptions have smaller numbers.
    number: u64,
    filter: Box<str>,
    route: RouteId,
    options: SubscriptionOptions,
    identifier: Option<u32>,
}

/// A SUBACK, and what follows it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) pid: Pid,
    pub(super) codes: Vec<SubscribeReasonCode>,
    pub(super) retained: Vec<RetainedWalk>,
}

impl Subscriptions {
    pub(super) fn new(session: u64) -> Self {
        Subscriptions {
            session,
            by_filter: FilterTree::default(),
            next_number: 0,
            link: None,
            offsets: HashMap::new(),
            unanswered: Default::default(),
            asked: 0,
            walks: Vec::new(),
        }
    }

    pub(super) fn is_attached(&self) -> bool {
        self.link.is_some()
    }

    pub(super) async fn attach(&mut self, exchange: &Exchange) -> Result<(), RouterGone> {
        self.link = Some(exchange.attach().await?);
        Ok(())
    }

    /// Wait for what the router sends. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Arrival>, RouterGone> {
        match &mut self.link {
            Some(link) => link.next().await,
            None => future::pending().await,
        }
    }

    /// Add one subscription of a SUBSCRIBE, or replace the one to the same filter.
    pub(super) fn subscribe(
        &mut self,
        filter: &TopicFilter,
        options: SubscriptionOptions,
        identifier: Option<u32>,
        exchange: &Exchange,
        limits: &Limits,
        metrics: &Metrics,
    ) -> Result<SubscribeReasonCode, Violation> {
        if filter.is_shared() {
            return Ok(SubscribeReasonCode::SharedSubscriptionNotSupported);
        }
        if !topics::fits(filter, limits) {
            return Err(Violation::TopicFilter);
        }
        let existing = self.by_filter.get_mut(filter);
        let is_new = existing.is_none();
        if let Some(subscription) = existing {
            subscription.options = options;
            subscription.identifier = identifier;
        } else {
            let full = self.by_filter.len() >= limits.subscriptions_max;
            let route = if full {
                None
            } else {
                exchange.acquire(filter).ok()
            };
            let Some(route) = route else {
                return Ok(SubscribeReasonCode::QuotaExceeded);
            };
            let number = self.next_number;
            self.next_number += 1;
            let text: Box<str> = (**filter).into();
            let subscription = Subscription {
                number,
                filter: text,
                route,
                options,
                identifier,
            };
            self.by_filter.insert(filter, subscription);
            metrics.subscriptions.inc();
            // If the router is gone, waiting for its answer tells so.
            if let Some(link) = &mut self.link
                && link.subscribe(route).is_ok()
            {
                self.asked += 1;
            }
        }
        let wanted = match options.retain_handling {
            RetainHandling::SendAtSubscribe => true,
            RetainHandling::SendAtSubscribeIfNotExist => is_new,
            RetainHandling::DoNotSend => false,
        };
        if wanted {
            let walk = Walk::new(filter);
            self.walks.push(RetainedWalk {
                walk,
                qos: options.max_qos as u8,
                identifier,
            });
        }
        Ok(match options.max_qos as u8 {
            0 => SubscribeReasonCode::GrantedQoS0,
            1 => SubscribeReasonCode::GrantedQoS1,
            _ => SubscribeReasonCode::GrantedQoS2,
        })
    }

    /// All filters of a SUBSCRIBE are seen: the answer, if it need not wait for the router. It has
    /// to wait until the router serves the new routes, or else a message that is published after
    /// SUBACK could be missed.
    pub(super) fn answer(&mut self, pid: Pid, codes: Vec<SubscribeReasonCode>) -> Option<Answer> {
        let answer = Answer {
            pid,
            codes,
            retained: std::mem::take(&mut self.walks),
        };
        let asked = std::mem::take(&mut self.asked);
        if asked == 0 {
            return Some(answer);
        }
        self.unanswered.push_back((answer, asked));
        None
    }

    /// The router serves one more route: the answer that was waiting for it, if it is complete.
    fn served(&mut self) -> Option<Answer> {
        let (_, missing) = self.unanswered.front_mut()?;
        *missing -= 1;
        if *missing > 0 {
            return None;
        }
        self.unanswered.pop_front().map(|(answer, _)| answer)
    }

    /// End one subscription. Returns whether there was one.
    pub(super) fn unsubscribe(
        &mut self,
        filter: &str,
        exchange: &Exchange,
        metrics: &Metrics,
    ) -> Result<bool, RouterGone> {
        let Some(subscription) = self.by_filter.remove(filter) else {
            return Ok(false);
        };
        metrics.subscriptions.dec();
        self.offsets.remove(&subscription.route);
        // First the router and then the exchange: another session may get the same route at once.
        if let Some(link) = &mut self.link {
            link.unsubscribe(subscription.route)?;
        }
        exchange.release(filter);
        Ok(true)
    }

    /// End all subscriptions.
    pub(super) fn end(&mut self, exchange: &Exchange, metrics: &Metrics) {
        self.link = None;
        self.by_filter.each(|subscription| {
            metrics.subscriptions.dec();
            exchange.release(&subscription.filter);
        });
        self.by_filter = FilterTree::default();
    }

    /// Count what the router threw away before this message, because the session was too slow.
    fn missed(&mut self, route: RouteId, offset: u64) -> u64 {
        let expected = self.offsets.insert(route, offset + 1);
        expected.map_or(0, |expected| offset.saturating_sub(expected))
    }

    /// What the client gets of a message that came on a route. A message comes once on each of its
    /// routes; it is delivered when it comes on that of the oldest subscription that wants it.
    fn wanted(&self, route: RouteId, envelope: Envelope) -> Option<Delivery> {
        let mut oldest: Option<&Subscription> = None;
        let mut qos = 0;
        let mut retain = false;
        let mut identifiers = Vec::new();
        let own = envelope.origin == self.session;
        self.by_filter.each_match(envelope.topic(), |subscription| {
            let options = subscription.options;
            if own && options.no_local {
                return;
            }
            if oldest.is_none_or(|oldest| subscription.number < oldest.number) {
                oldest = Some(subscription);
            }
            qos = qos.max(options.max_qos as u8);
            retain |= options.retain_as_published && envelope.retain;
            identifiers.extend(subscription.identifier);
        });
        if oldest?.route != route {
            return None;
        }
        Some(Delivery {
            qos: qos.min(envelope.qos),
            retain,
            identifiers,
            envelope: envelope.into(),
        })
    }
}

impl<S: Transport> Session<'_, S> {
    /// Something came from the router: take it, and what came with it.
    pub(super) fn arrived(&mut self, first: Option<Arrival>) -> Result<(), End> {
        let mut next = first;
        for _ in 0..ARRIVALS_MAX {
            match next {
                Some(Arrival::Subscribed) => {
                    if let Some(answer) = self.subscriptions.served() {
                        self.write_suback(answer);
                    }
                }
                Some(Arrival::Message {
                    route,
                    offset,
                    sealed,
                }) => {
                    self.message_arrived(route, offset, sealed);
                }
                None => return Ok(()),
            }
            let Some(link) = &mut self.subscriptions.link else {
                return Ok(());
            };
            next = link.try_next()?;
        }
        // The last one taken must not be lost with the turn.
        if let Some(Arrival::Message {
            route,
            offset,
            sealed,
        }) = next
        {
            self.message_arrived(route, offset, sealed);
        } else if let Some(Arrival::Subscribed) = next
            && let Some(answer) = self.subscriptions.served()
        {
            self.write_suback(answer);
        }
        Ok(())
    }

    fn message_arrived(&mut self, route: RouteId, offset: u64, sealed: bytes::Bytes) {
        let missed = self.subscriptions.missed(route, offset);
        if missed > 0 {
            self.shared.metrics.dropped("router_evicted", missed);
        }
        let delivery = Envelope::open(sealed).and_then(|e| self.subscriptions.wanted(route, e));
        if let Some(delivery) = delivery {
            self.deliveries.offer(delivery);
        }
    }
}
