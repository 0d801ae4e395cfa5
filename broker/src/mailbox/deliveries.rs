//! Messages on their way to one client.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::BytesMut;
use tarn_common::ids::Seq;

use crate::{
    envelope::Envelope,
    limits::Limits,
    metrics::Metrics,
    note::{Progress, Sent, SentRetained},
    outlet::{Outcome, Outlet},
    reply::{self, AckKind},
    retained::{Retained, Walk},
};

/// No more is added to a write buffer that holds this much.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Retained messages that are taken from the store at once.
const RETAINED_AT_ONCE: usize = 64;

/// A message for the client.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// Place in the order of the client's messages; set when it is queued.
    pub(crate) number: u64,
    pub(crate) envelope: Arc<Envelope>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) identifiers: Vec<u32>,
    /// Filter of the shared subscription that it came by: another member may have it if this one
    /// goes for good.
    pub(crate) share: Option<Arc<str>>,
}

/// The retained messages that a new subscription gets.
#[derive(Debug)]
pub(crate) struct RetainedWalk {
    pub(crate) walk: Walk,
    /// What was retained after this position comes live, in its order.
    pub(crate) upto: Seq,
    pub(crate) qos: u8,
    pub(crate) identifier: Option<u32>,
}

/// What a message in flight waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// PUBACK or PUBREC, or for its own PUBLISH to be written.
    Published,
    /// PUBCOMP, or for its own PUBREL to be written.
    Received,
}

/// What became of a note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noted {
    /// There was nothing to say.
    Nothing,
    Written,
    /// Something is only sent once the note is durable.
    Awaited,
}

/// A message that has a packet id.
#[derive(Debug, Clone)]
pub(crate) struct InFlight {
    pub(crate) delivery: Delivery,
    pub(crate) phase: Phase,
    /// What follows is only written once the log is durable up to here, so that a restart does not
    /// make a second message of QoS 2 out of it.
    needs: Seq,
    /// Whether it went out on an earlier connection.
    dup: bool,
    /// Whether it takes a place of this connection's window.
    open: bool,
}

/// The queue of one client, and what it has in flight.
///
/// Retained messages are taken from the store when there is room for them, so that there may be
/// any number of them. They may come between newer messages: the store then has the newest.
#[derive(Debug)]
pub(crate) struct Deliveries {
    messages_max: usize,
    bytes_max: usize,
    fleeting_max: usize,
    /// Bound on the queues of all clients together.
    all_bytes_max: i64,
    /// Messages of QoS 1 and 2.
    queue: VecDeque<Delivery>,
    /// Messages of QoS 0.
    fleeting: VecDeque<Delivery>,
    bytes: usize,
    walks: VecDeque<RetainedWalk>,
    retained: VecDeque<Delivery>,
    in_flight: HashMap<u16, InFlight>,
    /// Packet ids whose PUBLISH is to be written, in order.
    unsent: VecDeque<u16>,
    /// Packet ids whose PUBREL is to be written, in order.
    unreleased: VecDeque<u16>,
    /// Places taken of the window.
    open: usize,
    /// What has happened since the last note.
    progress: Progress,
    /// Whether restarts are to find it again.
    noted: bool,
    last_packet_id: u16,
    next_number: u64,
    /// Messages that the client did not get, for whatever reason.
    pub(crate) dropped: u64,
    metrics: Metrics,
}

impl Deliveries {
    pub(crate) fn new(limits: &Limits, metrics: Metrics) -> Self {
        Deliveries {
            messages_max: limits.queue_messages_max,
            bytes_max: limits.queue_bytes_max.max(limits.packet_bytes_max),
            fleeting_max: limits.queue_qos0_messages_max,
            all_bytes_max: i64::try_from(limits.queues_bytes_max).unwrap_or(i64::MAX),
            queue: VecDeque::new(),
            fleeting: VecDeque::new(),
            bytes: 0,
            walks: VecDeque::new(),
            retained: VecDeque::new(),
            in_flight: HashMap::new(),
            unsent: VecDeque::new(),
            unreleased: VecDeque::new(),
            open: 0,
            progress: Progress::default(),
            noted: false,
            last_packet_id: 0,
            next_number: 1,
            dropped: 0,
            metrics,
        }
    }

    /// Note from now on what happens to messages, or no longer.
    pub(crate) fn set_noted(&mut self, noted: bool) {
        self.noted = noted;
        if !noted {
            self.progress = Progress::default();
        }
    }

    /// Queue a message. If there is no room the oldest of QoS 0 gives way, or else this one.
    pub(crate) fn offer(&mut self, delivery: Delivery) {
        if delivery.qos == 0 && self.fleeting.len() >= self.fleeting_max {
            self.drop_oldest_fleeting();
        }
        let size = delivery.envelope.size();
        while self.queue.len() >= self.messages_max
            || self.bytes + size > self.bytes_max
            || self.metrics.queued_bytes.get() + size as i64 > self.all_bytes_max
        {
            if !self.drop_oldest_fleeting() {
                self.count_dropped("queue_full");
                return;
            }
        }
        self.take(delivery);
    }

    /// Queue a message whatever the bounds say: it was taken before a restart.
    pub(crate) fn take(&mut self, mut delivery: Delivery) {
        let size = delivery.envelope.size();
        self.bytes += size;
        self.metrics.queued_bytes.inc_by(size as i64);
        self.metrics.queued_messages.inc();
        delivery.number = self.number();
        if delivery.qos == 0 {
            self.fleeting.push_back(delivery);
        } else {
            self.queue.push_back(delivery);
        }
    }

    /// Deliver the retained messages of a filter; a walk over the same filter starts again.
    pub(crate) fn walk(&mut self, walk: RetainedWalk) {
        self.stop_walk(walk.walk.filter());
        self.walks.push_back(walk);
    }

    /// Deliver no more retained messages of a filter.
    pub(crate) fn stop_walk(&mut self, filter: &str) {
        self.walks.retain(|walk| walk.walk.filter() != filter);
    }

    /// The client sent PUBREC. Returns whether there is such a message.
    pub(crate) fn received(&mut self, packet_id: u16) -> bool {
        let Some(message) = self.in_flight.get_mut(&packet_id) else {
            return false;
        };
        if message.delivery.qos == 2 && message.phase == Phase::Published {
            message.phase = Phase::Received;
            message.needs = Seq::ZERO;
            if self.noted {
                message.needs = Seq(u64::MAX);
                self.progress.received.push(packet_id);
            }
        }
        self.unreleased.push_back(packet_id);
        true
    }

    /// The client has a message for good, or does not want it. `qos2` tells PUBCOMP from PUBACK.
    pub(crate) fn completed(&mut self, packet_id: u16, qos2: bool) {
        let fits = |message: &InFlight| (message.phase == Phase::Received) == qos2;
        if self.in_flight.get(&packet_id).is_some_and(fits) {
            self.finish(packet_id);
        }
    }

    /// The client refused a message in PUBREC.
    pub(crate) fn refused(&mut self, packet_id: u16) {
        self.finish(packet_id);
    }

    /// Begin a connection: everything in flight is sent again, in its order.
    pub(crate) fn resume(&mut self) {
        let mut ids: Vec<(u64, u16, Phase)> = self
            .in_flight
            .iter_mut()
            .map(|(&id, message)| {
                (message.open, message.dup) = (false, true);
                (message.delivery.number, id, message.phase)
            })
            .collect();
        ids.sort_unstable_by_key(|&(number, ..)| number);
        self.open = 0;
        self.unsent.clear();
        self.unreleased.clear();
        for (_, id, phase) in ids {
            match phase {
                Phase::Published => self.unsent.push_back(id),
                Phase::Received => self.unreleased.push_back(id),
            }
        }
    }

    /// End a connection: what is only worth having at once goes.
    pub(crate) fn pause(&mut self) {
        while self.drop_oldest_fleeting() {}
    }

    /// Whether nothing waits, is in flight or is to be noted.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty()
            && self.fleeting.is_empty()
            && self.in_flight.is_empty()
            && self.walks.is_empty()
            && self.retained.is_empty()
            && self.progress.is_empty()
    }

    /// Whether something waits for the log to become durable.
    pub(crate) fn awaits_log(&self) -> bool {
        !self.unsent.is_empty() || !self.unreleased.is_empty()
    }

    /// Write what the client's window, the buffer and the log have room for. Returns whether there
    /// may be more that waits for none of them.
    pub(crate) fn write(
        &mut self,
        outlet: &mut Outlet,
        out: &mut BytesMut,
        retained: &Retained,
        now_ms: u64,
        durable: Seq,
    ) -> bool {
        self.write_releases(outlet, out, durable);
        self.write_unsent(outlet, out, now_ms, durable);
        let mut more = true;
        // All lists get on, whatever the others hold.
        while more && out.len() < OUTPUT_BYTES_MAX {
            more = false;
            if self.retained.is_empty() && !self.walks.is_empty() {
                self.refill(retained);
            }
            if let Some(delivery) = self.pop_fleeting() {
                outlet.publish(out, &delivery, 0, false, now_ms);
                more = true;
            }
            for from_store in [true, false] {
                if let Some(delivery) = self.pop(from_store, outlet.window) {
                    self.assign(delivery, from_store, outlet, out, now_ms, durable);
                    more = true;
                }
            }
        }
        // A walk looks at a bounded number of messages at once and may have found none of its own.
        !self.walks.is_empty() && self.retained.is_empty() && out.len() < OUTPUT_BYTES_MAX
    }

    /// What has happened since the last call, to be written into the log by `note`, which returns
    /// its position.
    pub(crate) fn note<E>(
        &mut self,
        note: impl FnOnce(Progress) -> Result<Seq, E>,
    ) -> Result<Noted, E> {
        if self.progress.is_empty() {
            return Ok(Noted::Nothing);
        }
        let seq = note(self.progress.clone())?;
        let progress = std::mem::take(&mut self.progress);
        let mut waits = !progress.received.is_empty();
        let sent = progress.sent.iter().map(|sent| sent.packet_id);
        for id in sent.chain(progress.received) {
            if let Some(message) = self.in_flight.get_mut(&id)
                && message.delivery.qos == 2
            {
                message.needs = seq;
                waits = true;
            }
        }
        Ok(if waits {
            Noted::Awaited
        } else {
            Noted::Written
        })
    }

    /// Apply a note of before a restart.
    pub(crate) fn replay(&mut self, progress: Progress, retained: &Retained) {
        for id in progress.done {
            self.forget(id);
        }
        for id in progress.received {
            if let Some(message) = self.in_flight.get_mut(&id) {
                message.phase = Phase::Received;
            }
        }
        for sent in progress.sent {
            self.replay_sent(sent, retained);
        }
    }

    /// What is queued and in flight, with the state of the latter, for the store.
    pub(crate) fn kept(&self) -> (Vec<Delivery>, Vec<(u16, u64, bool)>) {
        let in_flight = self.in_flight.iter().map(|(&id, message)| {
            let received = message.phase == Phase::Received;
            (id, message.delivery.number, received)
        });
        let flying = self.in_flight.values().map(|message| &message.delivery);
        let deliveries = flying.chain(&self.queue).cloned().collect();
        (deliveries, in_flight.collect())
    }

    /// Put back what [`Deliveries::kept`] gave.
    pub(crate) fn restore(&mut self, deliveries: Vec<Delivery>, in_flight: &[(u16, u64, bool)]) {
        let flying: HashMap<u64, (u16, bool)> = in_flight
            .iter()
            .map(|&(id, number, received)| (number, (id, received)))
            .collect();
        for delivery in deliveries {
            let number = delivery.number;
            self.next_number = self.next_number.max(number);
            self.take(delivery);
            if let Some(queued) = self.queue.back_mut() {
                queued.number = number;
            }
            if let Some(&(id, received)) = flying.get(&number)
                && let Some(delivery) = self.queue.pop_back()
            {
                self.fly(id, delivery, received);
            }
        }
    }

    /// Messages of shared subscriptions that another member may have: all but those of QoS 2 that
    /// this client may have got.
    pub(crate) fn take_shared(&mut self) -> Vec<Delivery> {
        let flying: Vec<_> = self.in_flight.drain().collect();
        let flying = flying.into_iter().map(|(_, message)| message.delivery);
        let queued = std::mem::take(&mut self.queue);
        let (mut shared, mut rest) = (Vec::new(), Vec::new());
        for (may_be_known, delivery) in flying
            .map(|delivery| (delivery.qos == 2, delivery))
            .chain(queued.into_iter().map(|delivery| (false, delivery)))
        {
            if delivery.share.is_some() && !may_be_known {
                shared.push(delivery);
            } else {
                rest.push(delivery);
            }
        }
        shared.iter().chain(&rest).for_each(|d| self.left(d));
        shared.sort_unstable_by_key(|delivery| delivery.number);
        shared
    }

    /// Messages that wait or are in flight.
    pub(crate) fn len(&self) -> usize {
        self.queue.len() + self.fleeting.len() + self.in_flight.len()
    }

    /// Bytes of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that were sent and not yet acked.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn left(&mut self, delivery: &Delivery) {
        let size = delivery.envelope.size();
        self.bytes -= size;
        self.metrics.queued_bytes.dec_by(size as i64);
        self.metrics.queued_messages.dec();
    }

    fn drop_oldest_fleeting(&mut self) -> bool {
        let Some(oldest) = self.fleeting.pop_front() else {
            return false;
        };
        self.left(&oldest);
        self.count_dropped("queue_full");
        true
    }

    fn count_dropped(&mut self, reason: &'static str) {
        self.lost(reason, 1);
    }

    /// The client did not get so many messages, which have not come here.
    pub(crate) fn lost(&mut self, reason: &'static str, count: u64) {
        self.dropped += count;
        self.metrics.dropped(reason, count);
    }

    fn pop_fleeting(&mut self) -> Option<Delivery> {
        let delivery = self.fleeting.pop_front()?;
        self.left(&delivery);
        Some(delivery)
    }

    /// Take the next message of one of the lists, if the window has room for it.
    fn pop(&mut self, from_store: bool, window: usize) -> Option<Delivery> {
        let list = if from_store {
            &mut self.retained
        } else {
            &mut self.queue
        };
        let open = self.in_flight.len() < window && self.unsent.len() < window;
        if !list.front().is_some_and(|next| next.qos == 0 || open) {
            return None;
        }
        list.pop_front()
    }

    /// Take the next retained messages out of the store.
    fn refill(&mut self, retained: &Retained) {
        let Some(walk) = self.walks.front_mut() else {
            return;
        };
        let mut found = Vec::new();
        let more = retained.step(&mut walk.walk, RETAINED_AT_ONCE, &mut found);
        let (qos, identifier, upto) = (walk.qos, walk.identifier, walk.upto);
        let found = found.into_iter().filter(|envelope| envelope.seq <= upto);
        self.retained.extend(found.map(|envelope| Delivery {
            number: 0,
            qos: qos.min(envelope.qos),
            retain: true,
            identifiers: identifier.into_iter().collect(),
            share: None,
            envelope,
        }));
        if !more {
            self.walks.pop_front();
        }
    }

    /// Give a message its packet id, and write it if it need not wait.
    fn assign(
        &mut self,
        mut delivery: Delivery,
        from_store: bool,
        outlet: &mut Outlet,
        out: &mut BytesMut,
        now_ms: u64,
        durable: Seq,
    ) {
        if delivery.qos == 0 {
            self.count(outlet.publish(out, &delivery, 0, false, now_ms));
            return;
        }
        if from_store {
            delivery.number = self.number();
            self.bytes += delivery.envelope.size();
            self.metrics
                .queued_bytes
                .inc_by(delivery.envelope.size() as i64);
            self.metrics.queued_messages.inc();
        }
        let id = self.next_packet_id();
        if delivery.qos == 1 {
            let outcome = outlet.publish(out, &delivery, id, false, now_ms);
            if self.count(outcome) {
                self.note_sent(id, &delivery, from_store);
                self.fly(id, delivery, false);
                self.open_up(id);
            } else {
                self.left(&delivery);
                // A restart must not find it in the queue again.
                self.note_sent(id, &delivery, from_store);
                self.note_done(id);
            }
            return;
        }
        self.note_sent(id, &delivery, from_store);
        let needs = if self.noted {
            // Until the note is written.
            Seq(u64::MAX)
        } else {
            delivery.envelope.seq
        };
        self.fly(id, delivery, false);
        if let Some(message) = self.in_flight.get_mut(&id) {
            message.needs = needs;
        }
        self.unsent.push_back(id);
        self.write_unsent(outlet, out, now_ms, durable);
    }

    fn note_sent(&mut self, packet_id: u16, delivery: &Delivery, from_store: bool) {
        if self.noted {
            let retained = from_store.then(|| SentRetained {
                topic: delivery.envelope.topic().to_owned(),
                qos: delivery.qos,
                identifiers: delivery.identifiers.clone(),
            });
            self.progress.sent.push(Sent {
                packet_id,
                seq: delivery.envelope.seq.0,
                retained,
            });
        }
    }

    fn note_done(&mut self, packet_id: u16) {
        if !self.noted {
            return;
        }
        // A note says first what is done and then what was sent, so one that is both is left out;
        // after a restart it may be sent again.
        let before = self.progress.sent.len();
        self.progress
            .sent
            .retain(|sent| sent.packet_id != packet_id);
        if self.progress.sent.len() == before {
            self.progress.done.push(packet_id);
        }
    }

    fn fly(&mut self, packet_id: u16, delivery: Delivery, received: bool) {
        self.last_packet_id = self.last_packet_id.max(packet_id);
        let phase = if received {
            Phase::Received
        } else {
            Phase::Published
        };
        self.in_flight.insert(
            packet_id,
            InFlight {
                delivery,
                phase,
                needs: Seq::ZERO,
                dup: false,
                open: false,
            },
        );
    }

    fn open_up(&mut self, packet_id: u16) {
        if let Some(message) = self.in_flight.get_mut(&packet_id)
            && !message.open
        {
            message.open = true;
            self.open += 1;
        }
    }

    fn write_releases(&mut self, outlet: &mut Outlet, out: &mut BytesMut, durable: Seq) {
        while let Some(&id) = self.unreleased.front() {
            if let Some(message) = self.in_flight.get(&id) {
                if message.needs > durable {
                    return;
                }
                reply::ack(out, AckKind::PubRel, id);
                outlet.packets += 1;
            }
            self.unreleased.pop_front();
        }
    }

    fn write_unsent(&mut self, outlet: &mut Outlet, out: &mut BytesMut, now_ms: u64, durable: Seq) {
        while let Some(&id) = self.unsent.front() {
            if out.len() >= OUTPUT_BYTES_MAX {
                return;
            }
            if let Some(message) = self.in_flight.get(&id) {
                if message.needs > durable || self.open >= outlet.window {
                    return;
                }
                let outcome = outlet.publish(out, &message.delivery, id, message.dup, now_ms);
                if self.count(outcome) {
                    self.open_up(id);
                } else {
                    self.finish(id);
                }
            }
            self.unsent.pop_front();
        }
    }

    /// Count what became of a message. Returns whether it went out.
    fn count(&mut self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Written => return true,
            Outcome::Expired => self.count_dropped("expired"),
            Outcome::TooLarge => self.count_dropped("too_large"),
            Outcome::Forbidden => self.count_dropped("acl"),
        }
        false
    }

    fn finish(&mut self, packet_id: u16) {
        if self.forget(packet_id) {
            self.note_done(packet_id);
        }
    }

    fn forget(&mut self, packet_id: u16) -> bool {
        let Some(message) = self.in_flight.remove(&packet_id) else {
            return false;
        };
        self.open -= usize::from(message.open);
        self.left(&message.delivery);
        true
    }

    fn replay_sent(&mut self, sent: Sent, retained: &Retained) {
        let id = sent.packet_id;
        let known = self.in_flight.get(&id);
        if known.is_some_and(|message| message.delivery.envelope.seq.0 == sent.seq) {
            return;
        }
        self.forget(id);
        match sent.retained {
            None => {
                let mut queued = self.queue.iter();
                let at = queued.position(|d| d.envelope.seq.0 == sent.seq);
                if let Some(delivery) = at.and_then(|at| self.queue.remove(at)) {
                    self.fly(id, delivery, false);
                }
            }
            Some(note) => {
                let Some(envelope) = retained.get(&note.topic) else {
                    return;
                };
                self.take(Delivery {
                    number: 0,
                    qos: note.qos,
                    retain: true,
                    identifiers: note.identifiers,
                    share: None,
                    envelope,
                });
                if let Some(delivery) = self.queue.pop_back() {
                    self.fly(id, delivery, false);
                }
            }
        }
    }

    /// An id that is not in flight. There is one, because the window is smaller than their number.
    fn next_packet_id(&mut self) -> u16 {
        loop {
            self.last_packet_id = self.last_packet_id.checked_add(1).unwrap_or(1);
            if !self.in_flight.contains_key(&self.last_packet_id) {
                return self.last_packet_id;
            }
        }
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.metrics.queued_bytes.dec_by(self.bytes as i64);
        self.metrics.queued_messages.dec_by(self.len() as i64);
    }
}
