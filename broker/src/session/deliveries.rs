//! Messages on their way to the client.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::BytesMut;

use super::Client;
use crate::{
    envelope::Envelope,
    exchange::Exchange,
    limits::Limits,
    metrics::Metrics,
    packet::Version,
    reply::{self, Delivered},
    retained::Walk,
};

/// No more is added to a write buffer that holds this much.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Retained messages that are taken from the store at once.
const RETAINED_AT_ONCE: usize = 64;

/// A message for the client.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) envelope: Arc<Envelope>,
    pub(super) qos: u8,
    pub(super) retain: bool,
    pub(super) identifiers: Vec<u32>,
}

impl Delivery {
    fn size(&self) -> usize {
        let Envelope {
            topic,
            payload,
            properties,
            ..
        } = &*self.envelope;
        topic.len() + payload.len() + properties.wire.len()
    }
}

/// The retained messages that a new subscription gets.
#[derive(Debug)]
pub(super) struct RetainedWalk {
    pub(super) walk: Walk,
    pub(super) qos: u8,
    pub(super) identifier: Option<u32>,
}

/// What a message in flight waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InFlight {
    /// PUBACK or PUBREC.
    Sent,
    /// PUBCOMP.
    Received,
}

/// The queue of one client, and what it has in flight.
///
/// Retained messages are taken from the store when there is room for them, so that there may be
/// any number of them. They may come between newer messages: the store then has the newest.
#[derive(Debug)]
pub(super) struct Deliveries {
    version: Version,
    packet_bytes_max: usize,
    window: usize,
    messages_max: usize,
    bytes_max: usize,
    queue: VecDeque<Delivery>,
    queue_bytes: usize,
    queued_qos0: usize,
    walks: VecDeque<RetainedWalk>,
    retained: VecDeque<Delivery>,
    in_flight: HashMap<u16, InFlight>,
    last_packet_id: u16,
    metrics: Metrics,
}

impl Deliveries {
    pub(super) fn new(limits: &Limits, client: &Client, metrics: Metrics) -> Self {
        Deliveries {
            version: client.version,
            packet_bytes_max: client.packet_bytes_max,
            window: client.receive_max.min(limits.inflight_max).into(),
            messages_max: limits.queue_messages_max,
            bytes_max: limits.queue_bytes_max.max(limits.packet_bytes_max),
            queue: VecDeque::new(),
            queue_bytes: 0,
            queued_qos0: 0,
            walks: VecDeque::new(),
            retained: VecDeque::new(),
            in_flight: HashMap::new(),
            last_packet_id: 0,
            metrics,
        }
    }

    /// Queue a message. If there is no room the oldest of QoS 0 gives way, or else this one.
    pub(super) fn offer(&mut self, delivery: Delivery) {
        while !self.has_room(&delivery) {
            self.metrics.dropped("queue_full", 1);
            let oldest = if self.queued_qos0 == 0 {
                None
            } else {
                self.queue.iter().position(|queued| queued.qos == 0)
            };
            let Some(oldest) = oldest.and_then(|at| self.queue.remove(at)) else {
                return;
            };
            self.left(&oldest);
        }
        self.queue_bytes += delivery.size();
        self.queued_qos0 += usize::from(delivery.qos == 0);
        self.queue.push_back(delivery);
    }

    /// Deliver the retained messages of a filter; a walk over the same filter starts again.
    pub(super) fn walk(&mut self, walk: RetainedWalk) {
        self.stop_walk(walk.walk.filter());
        self.walks.push_back(walk);
    }

    /// Deliver no more retained messages of a filter.
    pub(super) fn stop_walk(&mut self, filter: &str) {
        self.walks.retain(|walk| walk.walk.filter() != filter);
    }

    /// The client sent PUBREC.
    pub(super) fn received(&mut self, packet_id: u16) {
        if let Some(state) = self.in_flight.get_mut(&packet_id) {
            *state = InFlight::Received;
        }
    }

    /// The client has a message for good, or does not want it.
    pub(super) fn completed(&mut self, packet_id: u16) {
        self.in_flight.remove(&packet_id);
    }

    /// Write what the client's window and the buffer have room for. Returns whether there may be
    /// more that waits for neither.
    pub(super) fn write(&mut self, out: &mut BytesMut, exchange: &Exchange) -> bool {
        let mut written = 0;
        let mut more = true;
        // Both lists get on, whatever the other one holds.
        while more && out.len() < OUTPUT_BYTES_MAX {
            more = false;
            if self.retained.is_empty() && !self.walks.is_empty() {
                self.refill(exchange);
            }
            for retained in [true, false] {
                if let Some(delivery) = self.pop(retained) {
                    written += u64::from(self.send(&delivery, exchange.now_ms(), out));
                    more = true;
                }
            }
        }
        if written > 0 {
            self.metrics.delivered.inc_by(written);
        }
        // A walk looks at a bounded number of messages at once and may have found none of its own.
        !self.walks.is_empty() && self.retained.is_empty() && out.len() < OUTPUT_BYTES_MAX
    }

    /// Take the next message of one of the lists, if the window has room for it.
    fn pop(&mut self, retained: bool) -> Option<Delivery> {
        let open = self.in_flight.len() < self.window;
        let list = if retained {
            &mut self.retained
        } else {
            &mut self.queue
        };
        if !list.front().is_some_and(|next| next.qos == 0 || open) {
            return None;
        }
        let delivery = list.pop_front()?;
        if !retained {
            self.left(&delivery);
        }
        Some(delivery)
    }

    fn has_room(&self, delivery: &Delivery) -> bool {
        self.queue.len() < self.messages_max && self.queue_bytes + delivery.size() <= self.bytes_max
    }

    fn left(&mut self, delivery: &Delivery) {
        self.queue_bytes -= delivery.size();
        self.queued_qos0 -= usize::from(delivery.qos == 0);
    }

    /// Take the next retained messages out of the store.
    fn refill(&mut self, exchange: &Exchange) {
        let Some(walk) = self.walks.front_mut() else {
            return;
        };
        let mut found = Vec::new();
        let more = exchange
            .retained()
            .step(&mut walk.walk, RETAINED_AT_ONCE, &mut found);
        let (qos, identifier) = (walk.qos, walk.identifier);
        self.retained
            .extend(found.into_iter().map(|envelope| Delivery {
                qos: qos.min(envelope.qos),
                retain: true,
                identifiers: identifier.into_iter().collect(),
                envelope,
            }));
        if !more {
            self.walks.pop_front();
        }
    }

    fn send(&mut self, delivery: &Delivery, now_ms: u64, out: &mut BytesMut) -> bool {
        let envelope = &delivery.envelope;
        let age_s = (now_ms.saturating_sub(envelope.received_ms) / 1000) as u32;
        let expiry_s = match envelope.properties.expiry_s {
            Some(limit) if age_s >= limit => {
                self.metrics.dropped("expired", 1);
                return false;
            }
            limit => limit.map(|limit| limit - age_s),
        };
        let packet_id = if delivery.qos > 0 {
            self.next_packet_id()
        } else {
            0
        };
        let message = Delivered {
            topic: &envelope.topic,
            payload: &envelope.payload,
            qos: delivery.qos,
            retain: delivery.retain,
            packet_id,
            expiry_s,
            properties: &envelope.properties.wire,
            identifiers: &delivery.identifiers,
        };
        if !reply::publish(out, self.version, &message, self.packet_bytes_max) {
            self.metrics.dropped("too_large", 1);
            return false;
        }
        if packet_id != 0 {
            self.in_flight.insert(packet_id, InFlight::Sent);
        }
        true
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
