//! Which mailboxes want which topics.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{
    envelope::Envelope,
    filters::FilterTree,
    mailbox::{Delivery, Mailbox},
    metrics::Metrics,
    note::{Options, Subscription},
    router::RouteId,
    topics::{self, Share},
};

/// All subscriptions, by topic filter.
#[derive(Debug)]
pub(crate) struct Routes {
    by_filter: FilterTree<Route>,
    free: Vec<RouteId>,
    /// Routes that the router serves, and how many it may.
    routed: usize,
    routed_max: usize,
    metrics: Metrics,
}

/// How a session gets a filter's messages of QoS 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) route: RouteId,
    /// They come into its mailbox rather than by the router.
    pub(crate) direct: bool,
}

/// A topic filter that somebody subscribes to.
#[derive(Debug)]
struct Route {
    id: RouteId,
    /// The router keeps the last messages of each route that it serves, so that it serves only some:
    /// those of the others come into the mailboxes. It stays so while there is a subscription.
    direct: bool,
    /// Sessions that take its messages of QoS 0.
    links: usize,
    entries: Vec<Entry>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Entry {
    mailbox: Arc<Mailbox>,
    options: Options,
    identifier: Option<u32>,
}

/// The members of a shared subscription, of whom one gets each message.
#[derive(Debug)]
struct Group {
    /// The whole filter, `$share/<name>/<filter>`.
    share: Arc<str>,
    members: Vec<Entry>,
    next: AtomicUsize,
}

/// A mailbox that gets a message, by all its subscriptions that match.
#[derive(Debug)]
struct Target<'a> {
    mailbox: &'a Arc<Mailbox>,
    qos: u8,
    retain: bool,
    identifiers: Vec<u32>,
    share: Option<Arc<str>>,
}

/// Whom a message goes to.
#[derive(Debug, Default)]
pub(crate) struct Targets<'a> {
    direct: Vec<Target<'a>>,
    /// Routes without the router that somebody gets it on at QoS 0.
    fleeting: Vec<&'a Route>,
    /// Members that got it for their group, where the choice has to be noted.
    pub(crate) chosen: Vec<(&'a Arc<Mailbox>, Arc<str>)>,
}

impl Routes {
    /// None, of which the router will serve so many at one time.
    pub(crate) fn new(routed_max: usize, metrics: Metrics) -> Routes {
        Routes {
            by_filter: FilterTree::default(),
            free: Vec::new(),
            routed: 0,
            routed_max,
            metrics,
        }
    }

    /// Number of filters.
    pub(crate) fn len(&self) -> usize {
        self.by_filter.len()
    }

    /// Add a subscription, or replace the one of the same mailbox to the same filter. Returns the
    /// route for the router, unless the subscription is shared.
    pub(crate) fn subscribe(
        &mut self,
        mailbox: &Arc<Mailbox>,
        subscription: &Subscription,
    ) -> Option<RouteId> {
        let Share { group, filter } = topics::share(&subscription.filter);
        let route = self.route(filter);
        let entry = Entry {
            mailbox: mailbox.clone(),
            options: subscription.options,
            identifier: subscription.identifier,
        };
        let entries = match group {
            None => &mut route.entries,
            Some(_) => route.group(&subscription.filter),
        };
        match entries.iter_mut().find(|e| e.mailbox.id == mailbox.id) {
            Some(old) => *old = entry,
            None => entries.push(entry),
        }
        group.is_none().then_some(route.id)
    }

    /// Take a subscription out.
    pub(crate) fn unsubscribe(&mut self, mailbox: &Mailbox, subscribed: &str) {
        let Share { group, filter } = topics::share(subscribed);
        let Some(route) = self.by_filter.get_mut(filter) else {
            return;
        };
        match group {
            None => route.entries.retain(|e| e.mailbox.id != mailbox.id),
            Some(_) => {
                for group in &mut route.groups {
                    if *group.share == *subscribed {
                        group.members.retain(|e| e.mailbox.id != mailbox.id);
                    }
                }
                route.groups.retain(|group| !group.members.is_empty());
            }
        }
        self.tidy(filter);
    }

    /// One more session takes a filter's messages of QoS 0.
    pub(crate) fn link(&mut self, filter: &str) -> Way {
        let route = self.route(filter);
        route.links += 1;
        Way {
            route: route.id,
            direct: route.direct,
        }
    }

    /// One session less.
    pub(crate) fn unlink(&mut self, filter: &str) {
        if let Some(route) = self.by_filter.get_mut(filter) {
            route.links -= 1;
            self.tidy(filter);
        }
    }

    /// Find whom a message goes to: the routes whose subscribers get it at QoS 0 from the router,
    /// and the mailboxes that get it from here. `through_log` says that it can be found again after
    /// a crash, so that the choices of groups have to be as well.
    pub(crate) fn find<'a>(
        &'a self,
        message: &Envelope,
        through_log: bool,
        routed: &mut Vec<RouteId>,
    ) -> Targets<'a> {
        let mut targets = Targets::default();
        self.by_filter.each_match(message.topic(), |route| {
            let mut fleeting = message.qos == 0;
            if !fleeting {
                // Within one route every mailbox stands once.
                let known = targets.direct.len();
                for entry in &route.entries {
                    fleeting |= entry.options.qos == 0;
                    targets.add(entry, message, known);
                }
            }
            if fleeting && route.links > 0 {
                match route.direct {
                    true => targets.fleeting.push(route),
                    false => routed.push(route.id),
                }
            }
            for group in &route.groups {
                if let Some(member) = group.choose(message) {
                    targets.add_shared(member, group, message);
                    if through_log && message.qos > 0 && group.has_persistent() {
                        targets.chosen.push((&member.mailbox, group.share.clone()));
                    }
                }
            }
        });
        targets
    }

    /// The groups that a message goes to, by the whole filter, with those members of each that
    /// outlive a restart.
    pub(crate) fn groups(&self, topic: &str) -> Vec<(Arc<str>, Vec<Arc<Mailbox>>)> {
        let mut groups = Vec::new();
        self.by_filter.each_match(topic, |route| {
            groups.extend(route.groups.iter().map(|group| {
                let members = group.members.iter().map(|e| e.mailbox.clone());
                (group.share.clone(), members.collect())
            }));
        });
        groups
    }

    /// Put a message of before a restart into the mailboxes that got it then.
    pub(crate) fn replay(&self, message: &Arc<Envelope>) {
        let mut targets = Targets::default();
        self.by_filter.each_match(message.topic(), |route| {
            let known = targets.direct.len();
            for entry in &route.entries {
                targets.add(entry, message, known);
            }
        });
        for target in targets.direct {
            let qos = target.qos.min(message.qos);
            let mut state = target.mailbox.lock();
            // Sessions that ended with their connection are only here for their wills.
            if qos > 0 && state.is_persistent() {
                state.dirty = true;
                state.deliveries.take(Delivery {
                    number: 0,
                    envelope: message.clone(),
                    qos,
                    retain: target.retain,
                    identifiers: target.identifiers,
                    share: None,
                });
            }
        }
    }

    /// Put a message of a group into the mailbox of the member that got it before a restart.
    pub(crate) fn give(&self, mailbox: &Mailbox, share: &Arc<str>, message: &Arc<Envelope>) {
        self.each_member(share, |entry| {
            if entry.mailbox.id == mailbox.id {
                entry.take_shared(share, message);
            }
        });
    }

    /// Put a message of a group into the mailbox of some member that is kept.
    pub(crate) fn give_to_any(&self, share: &Arc<str>, message: &Arc<Envelope>) {
        let mut given = false;
        self.each_member(share, |entry| {
            if !given && entry.mailbox.lock().is_persistent() {
                entry.take_shared(share, message);
                given = true;
            }
        });
    }

    fn each_member(&self, share: &Arc<str>, each: impl FnMut(&Entry)) {
        let route = self.by_filter.get(topics::share(share).filter);
        route
            .iter()
            .flat_map(|route| &route.groups)
            .filter(|group| group.share == *share)
            .flat_map(|group| &group.members)
            .for_each(each);
    }

    /// Give a message of a group to another of its members.
    pub(crate) fn pass_on(&self, delivery: Delivery) {
        let Some(share) = delivery.share.clone() else {
            return;
        };
        let route = self.by_filter.get(topics::share(&share).filter);
        let mut groups = route.iter().flat_map(|route| &route.groups);
        let group = groups.find(|group| group.share == share);
        if let Some(member) = group.and_then(|group| group.choose(&delivery.envelope)) {
            member.mailbox.offer(delivery);
        }
    }

    fn route(&mut self, filter: &str) -> &mut Route {
        if self.by_filter.get_mut(filter).is_none() {
            // Numbers in use and numbers that are free are together exactly those below
            // `count + free`.
            let next = RouteId(self.by_filter.len() as u32);
            let id = self.free.pop().unwrap_or(next);
            let direct = self.routed >= self.routed_max;
            self.count(direct, 1);
            self.by_filter.insert(
                filter,
                Route {
                    id,
                    direct,
                    links: 0,
                    entries: Vec::new(),
                    groups: Vec::new(),
                },
            );
        }
        self.by_filter
            .get_mut(filter)
            .expect("it was there or has been inserted")
    }

    fn tidy(&mut self, filter: &str) {
        let unused = |route: &mut Route| {
            route.links == 0 && route.entries.is_empty() && route.groups.is_empty()
        };
        if self.by_filter.get_mut(filter).is_some_and(unused)
            && let Some(route) = self.by_filter.remove(filter)
        {
            self.free.push(route.id);
            self.count(route.direct, -1);
        }
    }

    /// There are so many routes more.
    fn count(&mut self, direct: bool, more: isize) {
        self.metrics.filters.inc_by(more as i64);
        if !direct {
            self.routed = self.routed.saturating_add_signed(more);
            self.metrics.router_filters.inc_by(more as i64);
        }
    }
}

impl Entry {
    fn take_shared(&self, share: &Arc<str>, message: &Arc<Envelope>) {
        let qos = self.options.qos.min(message.qos);
        if qos == 0 {
            return;
        }
        let mut state = self.mailbox.lock();
        state.dirty = true;
        state.deliveries.take(Delivery {
            number: 0,
            envelope: message.clone(),
            qos,
            retain: self.options.retain_as_published && message.retain,
            identifiers: self.identifier.into_iter().collect(),
            share: Some(share.clone()),
        });
    }
}

impl Route {
    fn group(&mut self, share: &str) -> &mut Vec<Entry> {
        let at = self.groups.iter().position(|group| *group.share == *share);
        let at = at.unwrap_or_else(|| {
            self.groups.push(Group {
                share: share.into(),
                members: Vec::new(),
                next: AtomicUsize::new(0),
            });
            self.groups.len() - 1
        });
        &mut self.groups[at].members
    }
}

impl Group {
    /// The next member in turn that is connected; for a message that may wait, else the next one
    /// whose session goes on without a connection.
    fn choose(&self, message: &Envelope) -> Option<&Entry> {
        let from = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.members.len();
        let in_turn = || (0..count).map(move |i| &self.members[(from + i) % count]);
        let online = in_turn().find(|entry| entry.mailbox.is_online());
        let waits = |entry: &&Entry| message.qos.min(entry.options.qos) > 0;
        online.or_else(|| in_turn().find(waits))
    }

    fn has_persistent(&self) -> bool {
        self.members
            .iter()
            .any(|entry| entry.mailbox.lock().is_persistent())
    }
}

impl<'a> Targets<'a> {
    /// Add what one subscription wants. Mailboxes before `known` came by another filter and may be
    /// the same.
    fn add(&mut self, entry: &'a Entry, message: &Envelope, known: usize) {
        let Options {
            qos,
            no_local,
            retain_as_published,
        } = entry.options;
        if no_local && entry.mailbox.id == message.origin {
            return;
        }
        let retain = retain_as_published && message.retain;
        let id = entry.mailbox.id;
        let same = |t: &&mut Target<'_>| t.mailbox.id == id && t.share.is_none();
        if let Some(target) = self.direct[..known].iter_mut().find(same) {
            target.qos = target.qos.max(qos);
            target.retain |= retain;
            target.identifiers.extend(entry.identifier);
            return;
        }
        self.direct.push(Target {
            mailbox: &entry.mailbox,
            qos,
            retain,
            identifiers: entry.identifier.into_iter().collect(),
            share: None,
        });
    }

    fn add_shared(&mut self, entry: &'a Entry, group: &Group, message: &Envelope) {
        self.direct.push(Target {
            mailbox: &entry.mailbox,
            qos: entry.options.qos,
            retain: entry.options.retain_as_published && message.retain,
            identifiers: entry.identifier.into_iter().collect(),
            share: Some(group.share.clone()),
        });
    }

    /// Put the message into every mailbox that gets it from here. Returns one that is getting full
    /// because its session has not come to look at it, if there is one.
    pub(crate) fn offer(self, message: &Arc<Envelope>) -> Option<Arc<Mailbox>> {
        let mut crowded = None;
        for route in self.fleeting {
            let entries = route.entries.iter();
            // What comes at QoS 1 or 2 is among the targets.
            for entry in entries.filter(|e| e.options.qos.min(message.qos) == 0) {
                if entry.mailbox.arrive(route.id, message) {
                    crowded = Some(entry.mailbox.clone());
                }
            }
        }
        for target in self.direct {
            let qos = target.qos.min(message.qos);
            // At QoS 0 it comes by its routes, except to one member of a group.
            if qos == 0 && target.share.is_none() {
                continue;
            }
            target.mailbox.offer(Delivery {
                number: 0,
                envelope: message.clone(),
                qos,
                retain: target.retain,
                identifiers: target.identifiers,
                share: target.share,
            });
        }
        crowded
    }

    /// To how many it goes from here.
    pub(crate) fn len(&self) -> usize {
        self.direct.len() + self.fleeting.len()
    }

    /// Whether nobody gets the message from here.
    pub(crate) fn is_empty(&self) -> bool {
        self.direct.is_empty() && self.fleeting.is_empty()
    }
}
