//! What the client wants to get, and what comes of it.

use std::{
    collections::{HashMap, VecDeque},
    future,
    sync::Arc,
};

use mqtt_proto::{
    Pid, TopicFilter,
    v5::{RetainHandling, SubscribeReasonCode, SubscriptionOptions, UnsubscribeReasonCode},
};
use tarn_common::ids::Seq;

use super::{End, Session};
use crate::{
    auth::Access,
    envelope::Envelope,
    exchange::{Exchange, SubscribeError, Way},
    filters::FilterTree,
    limits::Limits,
    mailbox::{Delivery, Mailbox, RetainedWalk},
    note::{Options, Subscription},
    retained::Walk,
    router::{Arrival, Link, RouteId, RouterGone},
    topics,
    transport::Transport,
    violation::Violation,
};

/// Arrivals that are taken before the client's socket gets its turn.
const ARRIVALS_MAX: usize = 256;

/// The connection's side of a session's subscriptions: its link to the router, which it only has
/// once it subscribes, because a link costs memory and most devices only publish.
pub(crate) struct Subscriptions {
    mailbox: Arc<Mailbox>,
    /// All but the shared ones.
    by_filter: FilterTree<Routed>,
    next_number: u64,
    link: Option<Link>,
    /// Place after the last message of each route, to see what the router has thrown away.
    offsets: HashMap<RouteId, u64>,
    unanswered: VecDeque<Unanswered>,
    /// Routes that the router is to be asked for.
    unasked: Vec<RouteId>,
    /// Routes that the router was asked for and does not serve yet, oldest answer first.
    asked: usize,
    needs: Seq,
    walks: Vec<RetainedWalk>,
    /// What came while the session was being resumed.
    early: VecDeque<Arrival>,
}

#[derive(Debug)]
struct Routed {
    /// Older subscriptions have smaller numbers.
    number: u64,
    way: Way,
    options: Options,
    identifier: Option<u32>,
}

/// An answer that waits for the router, so that no message published after it is missed, and for
/// the log, so that a restart knows of what it says.
#[derive(Debug)]
struct Unanswered {
    answer: Answer,
    /// Routes that the router does not serve yet.
    missing: usize,
    needs: Seq,
}

/// An answer, and what follows it.
#[derive(Debug)]
pub(super) enum Answer {
    Subscribed {
        pid: Pid,
        codes: Vec<SubscribeReasonCode>,
        retained: Vec<RetainedWalk>,
    },
    Unsubscribed {
        pid: Pid,
        codes: Vec<UnsubscribeReasonCode>,
    },
}

impl Subscriptions {
    /// Those of a session that goes on. Returns once the router serves them all.
    pub(crate) async fn resume(
        mailbox: Arc<Mailbox>,
        exchange: &Exchange,
    ) -> Result<Subscriptions, RouterGone> {
        let mut subscriptions = Subscriptions {
            by_filter: FilterTree::default(),
            next_number: 0,
            link: None,
            offsets: HashMap::new(),
            unanswered: VecDeque::new(),
            unasked: Vec::new(),
            asked: 0,
            needs: Seq::ZERO,
            walks: Vec::new(),
            early: VecDeque::new(),
            mailbox,
        };
        // From here on the routes are counted, whatever becomes of the link.
        for (filter, way) in exchange.link(&subscriptions.mailbox) {
            let state = subscriptions.mailbox.lock();
            let known = state.subscriptions.get(&filter).cloned();
            drop(state);
            if let Some(known) = known {
                subscriptions.add(&known, way);
            }
        }
        subscriptions.ask(exchange).await?;
        let Some(link) = &mut subscriptions.link else {
            return Ok(subscriptions);
        };
        while subscriptions.asked > 0 {
            match link.next().await? {
                Some(Arrival::Subscribed) => subscriptions.asked -= 1,
                Some(message) => subscriptions.early.push_back(message),
                None => {}
            }
        }
        Ok(subscriptions)
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Ask the router for what it is to serve. Waits for it if this is the first time.
    pub(super) async fn ask(&mut self, exchange: &Exchange) -> Result<(), RouterGone> {
        if self.unasked.is_empty() {
            return Ok(());
        }
        let link = match &mut self.link {
            Some(link) => link,
            None => self.link.insert(exchange.attach().await?),
        };
        for route in self.unasked.drain(..) {
            link.subscribe(route)?;
            self.asked += 1;
        }
        Ok(())
    }

    /// Wait for what the router sends. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Arrival>, RouterGone> {
        if let Some(early) = self.early.pop_front() {
            return Ok(Some(early));
        }
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
        access: &Access,
        exchange: &Exchange,
        limits: &Limits,
    ) -> Result<SubscribeReasonCode, Violation> {
        let shared = filter.is_shared();
        if shared && options.no_local {
            return Err(Violation::Protocol);
        }
        if !topics::fits(filter, limits) || !topics::is_valid_filter(filter) {
            return Err(Violation::TopicFilter);
        }
        if !access.may_subscribe(filter) {
            return Ok(SubscribeReasonCode::NotAuthorized);
        }
        let subscription = Subscription {
            filter: (**filter).to_owned(),
            options: Options {
                qos: options.max_qos as u8,
                no_local: options.no_local,
                retain_as_published: options.retain_as_published,
            },
            identifier,
        };
        let subscribed = match exchange.subscribe(&self.mailbox, &subscription) {
            Ok(subscribed) => subscribed,
            Err(SubscribeError::Full) => return Ok(SubscribeReasonCode::QuotaExceeded),
            Err(SubscribeError::Log(_)) => {
                return Ok(SubscribeReasonCode::ImplementationSpecificError);
            }
        };
        self.needs = self.needs.max(subscribed.needs);
        if let Some(way) = subscribed.way {
            self.add(&subscription, way);
        } else if let Some(routed) = self.by_filter.get_mut(filter) {
            routed.options = subscription.options;
            routed.identifier = identifier;
        }
        let wanted = match options.retain_handling {
            RetainHandling::SendAtSubscribe => true,
            RetainHandling::SendAtSubscribeIfNotExist => subscribed.is_new,
            RetainHandling::DoNotSend => false,
        };
        if wanted && !shared {
            self.walks.push(RetainedWalk {
                walk: Walk::new(filter),
                upto: subscribed.since,
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

    /// All filters of a SUBSCRIBE are seen: answer it when that is due.
    pub(super) fn answer(&mut self, pid: Pid, codes: Vec<SubscribeReasonCode>) {
        let retained = std::mem::take(&mut self.walks);
        self.unanswered.push_back(Unanswered {
            answer: Answer::Subscribed {
                pid,
                codes,
                retained,
            },
            missing: std::mem::take(&mut self.asked),
            needs: std::mem::take(&mut self.needs),
        });
    }

    /// All filters of an UNSUBSCRIBE are seen: answer it when that is due.
    pub(super) fn answer_unsubscribe(&mut self, pid: Pid, codes: Vec<UnsubscribeReasonCode>) {
        self.unanswered.push_back(Unanswered {
            answer: Answer::Unsubscribed { pid, codes },
            missing: 0,
            needs: std::mem::take(&mut self.needs),
        });
    }

    /// The next answer that is due.
    pub(super) fn next_answer(&mut self, durable: Seq) -> Option<Answer> {
        let next = self.unanswered.front()?;
        if next.missing > 0 || next.needs > durable {
            return None;
        }
        self.unanswered.pop_front().map(|next| next.answer)
    }

    pub(super) fn has_unanswered(&self) -> bool {
        !self.unanswered.is_empty()
    }

    /// Whether the router does not serve all subscriptions yet. What the client publishes next may
    /// be for one of them.
    pub(super) fn awaits_router(&self) -> bool {
        self.unanswered.iter().any(|next| next.missing > 0)
    }

    /// The router serves one more route.
    fn served(&mut self) {
        let waiting = self.unanswered.iter_mut().find(|next| next.missing > 0);
        if let Some(waiting) = waiting {
            waiting.missing -= 1;
        }
    }

    /// End one subscription.
    pub(super) fn unsubscribe(
        &mut self,
        filter: &str,
        exchange: &Exchange,
    ) -> Result<UnsubscribeReasonCode, RouterGone> {
        // First the router and then the exchange: another session may get the same route at once.
        if let Some(routed) = self.by_filter.remove(filter) {
            self.offsets.remove(&routed.way.route);
            if let Some(link) = &mut self.link
                && !routed.way.direct
            {
                link.unsubscribe(routed.way.route)?;
            }
        }
        Ok(match exchange.unsubscribe(&self.mailbox, filter) {
            Ok(Some(needs)) => {
                self.needs = self.needs.max(needs);
                UnsubscribeReasonCode::Success
            }
            Ok(None) => UnsubscribeReasonCode::NoSubscriptionExisted,
            Err(_) => UnsubscribeReasonCode::ImplementationSpecificError,
        })
    }

    /// Take nothing more from the router.
    pub(super) fn end(&mut self) {
        self.link = None;
    }

    fn add(&mut self, subscription: &Subscription, way: Way) {
        if !way.direct {
            self.unasked.push(way.route);
        }
        let number = self.next_number;
        self.next_number += 1;
        let routed = Routed {
            number,
            way,
            options: subscription.options,
            identifier: subscription.identifier,
        };
        self.by_filter.insert(&subscription.filter, routed);
    }

    /// Count what the router threw away before this message, because the session was too slow.
    fn missed(&mut self, route: RouteId, offset: u64) -> u64 {
        let expected = self.offsets.insert(route, offset + 1);
        expected.map_or(0, |expected| offset.saturating_sub(expected))
    }

    /// What the client gets of a message that came on a route. A message comes once on each of its
    /// routes; it is delivered when it comes on that of the oldest subscription that wants it. What
    /// the client gets at QoS 1 or 2 has come into its mailbox, so the router's copy is not used.
    fn wanted(&self, route: RouteId, envelope: Arc<Envelope>) -> Option<Delivery> {
        let mut oldest: Option<&Routed> = None;
        let mut qos = 0;
        let mut retain = false;
        let mut identifiers = Vec::new();
        let own = envelope.origin == self.mailbox.id;
        self.by_filter.each_match(envelope.topic(), |routed| {
            let options = routed.options;
            if own && options.no_local {
                return;
            }
            if oldest.is_none_or(|oldest| routed.number < oldest.number) {
                oldest = Some(routed);
            }
            qos = qos.max(options.qos);
            retain |= options.retain_as_published && envelope.retain;
            identifiers.extend(routed.identifier);
        });
        if oldest?.way.route != route || qos.min(envelope.qos) > 0 {
            return None;
        }
        Some(Delivery {
            number: 0,
            qos: 0,
            retain,
            identifiers,
            share: None,
            envelope,
        })
    }
}

impl<S: Transport> Session<'_, S> {
    /// Something came from the router: take it, and what came with it.
    pub(super) fn arrived(&mut self, first: Option<Arrival>) -> Result<(), End> {
        let mut next = first;
        let mut deliveries = Vec::new();
        for turn in 1..=ARRIVALS_MAX {
            match next.take() {
                Some(Arrival::Subscribed) => self.subscriptions.served(),
                Some(Arrival::Message {
                    route,
                    offset,
                    sealed,
                }) => deliveries.extend(self.message_arrived(route, offset, sealed)),
                None => break,
            }
            // What is taken must not be lost with the turn.
            if turn < ARRIVALS_MAX
                && let Some(link) = &mut self.subscriptions.link
            {
                next = link.try_next()?;
            }
        }
        self.queue(deliveries);
        Ok(())
    }

    /// Take what came without the router.
    pub(super) fn take_arrivals(&mut self) {
        let arrivals = self.mailbox.take_arrivals();
        let wanted = |(route, envelope)| self.subscriptions.wanted(route, envelope);
        let deliveries = arrivals.into_iter().filter_map(wanted).collect();
        self.queue(deliveries);
    }

    fn queue(&mut self, deliveries: Vec<Delivery>) {
        if deliveries.is_empty() {
            return;
        }
        let mut state = self.mailbox.lock();
        for delivery in deliveries {
            state.deliveries.offer(delivery);
        }
        self.has_mail = true;
    }

    fn message_arrived(
        &mut self,
        route: RouteId,
        offset: u64,
        sealed: bytes::Bytes,
    ) -> Option<Delivery> {
        let missed = self.subscriptions.missed(route, offset);
        if missed > 0 {
            self.mailbox
                .lock()
                .deliveries
                .lost("router_evicted", missed);
        }
        let envelope = Envelope::open(sealed)?;
        self.subscriptions.wanted(route, envelope.into())
    }
}
