//! What the client sends.

use mqtt_proto::{
    Pid, v3,
    v5::{self, PubackReasonCode, PubrelReasonCode, SubscribeReasonCode, UnsubscribeReasonCode},
};
use tarn_common::ids::Seq;
use tokio::time::Instant;

use super::{CONGESTION_RECHECK, End, Session, subscriptions::Answer};
use crate::{
    exchange::{Closing, Message, Sender},
    frame::frame,
    log::{Appended, Refused},
    mailbox::{Deliveries, RetainedWalk},
    packet::{self, Inbound, Publish, Subscribe, Version},
    reply::{self, AckKind},
    topics,
    transport::Transport,
    violation::Violation,
};

/// Packet type of PUBLISH.
const PUBLISH: u8 = 3;

/// Nothing is taken from a client that lets this much of its answers wait.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

impl<S: Transport> Session<'_, S> {
    /// Whether more may be taken from the client now.
    pub(super) fn can_take(&self) -> bool {
        !self.is_waiting_for_us() && self.connection.output.len() < OUTPUT_BYTES_MAX
    }

    /// Whether nothing is taken from the client because of the log or the router.
    pub(super) fn is_waiting_for_us(&self) -> bool {
        self.acks.len() >= usize::from(self.shared.limits.unacked_max)
            || self.refused_until.is_some()
            || self.congested_until.is_some()
            || self.throttled_until.is_some()
            || self.subscriptions.awaits_router()
    }

    /// Take the packets that are complete, and commit what they brought.
    pub(super) async fn take_input(&mut self) -> Result<(), End> {
        if self
            .congested_until
            .is_some_and(|until| until <= Instant::now())
        {
            self.wait_if_congested();
        }
        if self
            .throttled_until
            .is_some_and(|until| until <= Instant::now())
        {
            self.throttled_until = None;
        }
        let taken = self.take_packets().await;
        // What was taken before an error is the client's all the same.
        let flushed = self.flush();
        self.tell_received();
        taken.and(flushed)
    }

    /// Counters that all sessions share are touched once for all that was taken in a turn.
    fn tell_received(&mut self) {
        let packets = std::mem::take(&mut self.received_packets);
        if packets > 0 {
            self.shared.metrics.received_packets.inc_by(packets);
            self.mailbox.traffic.received(self.published.tell());
        }
    }

    async fn take_packets(&mut self) -> Result<(), End> {
        while self.can_take() {
            let input = &mut self.connection.input;
            let found = frame(input, self.shared.limits.packet_bytes_max)?;
            let Some(frame) = found.filter(|frame| input.len() >= frame.total_len) else {
                if input.is_empty() {
                    self.partial_since = None;
                } else if self.partial_since.is_none() {
                    self.partial_since = Some(Instant::now());
                }
                return Ok(());
            };
            if self.received_packets == 0 {
                self.last_packet_at = Instant::now();
            }
            if frame.control >> 4 == PUBLISH
                && let Err(until) = self.rate.check()
            {
                self.shared.metrics.throttled.inc();
                self.throttled_until = Some(until);
                break;
            }
            let body = &input[frame.header_len..frame.total_len];
            let inbound = packet::decode(self.client.version, frame, body)?;
            bytes::Buf::advance(input, frame.total_len);
            self.partial_since = None;
            self.received_packets += 1;
            self.take_packet(inbound).await?;
        }
        // While we do not read, the client cannot complete what it has begun.
        self.partial_since = None;
        Ok(())
    }

    async fn take_packet(&mut self, inbound: Inbound) -> Result<(), End> {
        match inbound {
            Inbound::Publish(publish) => self.take_publish(publish),
            Inbound::PubRel(pid) => {
                self.take_pubrel(pid);
                Ok(())
            }
            Inbound::PubAck(packet_id) => {
                self.take_ack(|deliveries| deliveries.completed(packet_id, false));
                Ok(())
            }
            Inbound::PubComp(packet_id) => {
                self.take_ack(|deliveries| deliveries.completed(packet_id, true));
                Ok(())
            }
            Inbound::PubRec { packet_id, ok } => {
                self.take_pubrec(packet_id, ok);
                Ok(())
            }
            Inbound::Subscribe(subscribe) => self.take_subscribe(subscribe).await,
            Inbound::Unsubscribe { pid, filters } => self.take_unsubscribe(pid, &filters),
            Inbound::PingReq => {
                reply::pingresp(&mut self.connection.output);
                self.outlet.packets += 1;
                Ok(())
            }
            Inbound::Disconnect {
                with_will,
                expiry_s,
            } => {
                // A session that was to end with its connection cannot be kept afterwards.
                if expiry_s.is_some_and(|s| s > 0) && self.client.expiry_s == 0 {
                    return Err(Violation::Protocol.into());
                }
                Err(End::Disconnected(Closing {
                    discard_will: !with_will,
                    expiry_s: expiry_s.map(|s| self.shared.limits.session_expiry(s)),
                    stopping: false,
                }))
            }
        }
    }

    fn take_ack(&mut self, take: impl FnOnce(&mut Deliveries)) {
        let _order = self.shared.exchange.in_order();
        take(&mut self.mailbox.lock().deliveries);
        self.has_mail = true;
    }

    fn take_pubrec(&mut self, packet_id: u16, ok: bool) {
        let mut known = true;
        self.take_ack(|deliveries| match ok {
            true => known = deliveries.received(packet_id),
            false => deliveries.refused(packet_id),
        });
        if !known {
            self.outlet.packets += 1;
            let out = &mut self.connection.output;
            match self.client.version {
                Version::V3 => reply::ack(out, AckKind::PubRel, packet_id),
                Version::V5 => {
                    let reason = PubrelReasonCode::PacketIdentifierNotFound as u8;
                    reply::ack_with_reason(out, AckKind::PubRel, packet_id, reason);
                }
            }
        }
    }

    /// The topic that an alias stands for is put in, or remembered.
    fn resolve_alias(&mut self, publish: &mut Publish) -> Result<(), Violation> {
        let Some(alias) = publish.alias else {
            return Ok(());
        };
        if alias == 0 || alias > self.shared.limits.topic_aliases_max {
            return Err(Violation::TopicAlias);
        }
        let at = usize::from(alias) - 1;
        if self.aliases.len() <= at {
            self.aliases.resize(at + 1, None);
        }
        if !publish.topic.is_empty() {
            self.aliases[at] = Some(publish.topic.clone());
        } else if let Some(topic) = &self.aliases[at] {
            publish.topic = topic.clone();
        } else {
            return Err(Violation::Protocol);
        }
        Ok(())
    }

    fn take_publish(&mut self, mut publish: Publish) -> Result<(), End> {
        self.resolve_alias(&mut publish)?;
        if publish.topic.is_empty() && self.client.version == Version::V5 {
            return Err(Violation::Protocol.into());
        }
        if !topics::is_valid_name(&publish.topic, &self.shared.limits) {
            return Err(Violation::TopicName.into());
        }
        let Publish { qos, packet_id, .. } = publish;
        self.published.count(qos, publish.payload.len());
        if publish.topic.starts_with(topics::SYS)
            || !self.client.identity.access.may_write(&publish.topic)
        {
            self.forbid(&publish);
            return Ok(());
        }
        let message = Message {
            topic: &publish.topic,
            payload: &publish.payload,
            qos,
            retain: publish.retain,
            properties: &publish.properties,
            origin: self.mailbox.id,
        };
        let sender = Sender {
            client: &self.mailbox.client,
            packet_id,
            dup: publish.dup,
        };
        let appended = self
            .shared
            .exchange
            .publish(message, Some(sender), &mut self.batch);
        self.uncommitted = true;
        let seq = match appended {
            Ok(Appended::Stored(seq)) => seq,
            Ok(Appended::Duplicate(seq)) => {
                self.shared.metrics.duplicates.inc();
                seq
            }
            Err(refused) => {
                self.refuse(qos, packet_id, refused);
                return Ok(());
            }
        };
        match qos {
            0 => {}
            1 => self.owe(AckKind::PubAck, packet_id, seq),
            _ => {
                self.owe(AckKind::PubRec, packet_id, seq);
                self.unreleased.insert(packet_id);
                let open_max = usize::from(self.shared.limits.unacked_max);
                // Clients of 3.1.1 are not told of a bound.
                if self.client.version == Version::V5 && self.unreleased.len() > open_max {
                    return Err(Violation::ReceiveMaximum.into());
                }
            }
        }
        Ok(())
    }

    fn owe(&mut self, kind: AckKind, packet_id: u16, seq: Seq) {
        self.acks.owe(kind, packet_id, seq, self.last_packet_at);
    }

    fn owe_refusal(&mut self, kind: AckKind, packet_id: u16, reason: PubackReasonCode) {
        self.acks
            .owe_refusal(kind, packet_id, reason as u8, self.last_packet_at);
    }

    /// The client may not publish there. One of MQTT 5 is told so; for one of 3.1.1 the publish is
    /// acked and dropped, because all that closing would do is to make it try again.
    fn forbid(&mut self, publish: &Publish) {
        self.shared.metrics.refused("acl");
        tracing::debug!(client = %self.mailbox.client, topic = %publish.topic, "publish is not allowed");
        let kind = match publish.qos {
            0 => return,
            1 => AckKind::PubAck,
            _ => AckKind::PubRec,
        };
        let reason = match self.client.version {
            Version::V3 => PubackReasonCode::Success,
            Version::V5 => PubackReasonCode::NotAuthorized,
        };
        self.owe_refusal(kind, publish.packet_id, reason);
    }

    /// Make what was appended durable and hand what was routed to the router.
    fn flush(&mut self) -> Result<(), End> {
        if std::mem::take(&mut self.uncommitted) {
            self.shared.log.commit();
        }
        if self.shared.exchange.flush(&mut self.batch)? {
            self.wait_if_congested();
        }
        Ok(())
    }

    fn wait_if_congested(&mut self) {
        let congested = self.shared.exchange.is_congested(&mut self.batch);
        self.congested_until = congested.then(|| Instant::now() + CONGESTION_RECHECK);
    }

    /// The log did not take a publish. An MQTT 5 client is told so; one of 3.1.1 can only be told
    /// by closing, after which it sends again what was not acked.
    fn refuse(&mut self, qos: u8, packet_id: u16, refused: Refused) {
        let (label, reason) = match refused {
            Refused::Full => ("full", PubackReasonCode::QuotaExceeded),
            Refused::Unavailable => ("unavailable", PubackReasonCode::ImplementationSpecificError),
            // PUBACK has no code of its own for this.
            Refused::TooLarge => ("too_large", PubackReasonCode::QuotaExceeded),
        };
        self.shared.metrics.refused(label);
        let kind = match qos {
            0 => return,
            1 => AckKind::PubAck,
            _ => AckKind::PubRec,
        };
        match self.client.version {
            Version::V5 => self.owe_refusal(kind, packet_id, reason),
            Version::V3 => self.pause_and_close(),
        }
    }

    fn take_pubrel(&mut self, pid: Pid) {
        self.unreleased.remove(&pid.value());
        match self
            .shared
            .log
            .release(self.registration.client(), pid.value())
        {
            Ok(seq) => {
                self.uncommitted = true;
                self.owe(AckKind::PubComp, pid.value(), seq);
            }
            // PUBCOMP cannot say that it failed, so that the client has to send PUBREL again.
            Err(_) => {
                self.shared.metrics.refused("release");
                self.pause_and_close();
            }
        }
    }

    fn pause_and_close(&mut self) {
        self.refused_until = Some(Instant::now() + self.shared.limits.refused_pause);
    }

    async fn take_subscribe(&mut self, subscribe: Subscribe) -> Result<(), End> {
        let (exchange, limits) = (&self.shared.exchange, &self.shared.limits);
        let access = &self.client.identity.access;
        let mut codes = Vec::with_capacity(subscribe.filters.len());
        for (filter, options) in &subscribe.filters {
            let identifier = subscribe.identifier;
            let code = self
                .subscriptions
                .subscribe(filter, *options, identifier, access, exchange, limits)?;
            codes.push(code);
        }
        exchange.commit();
        // That may wait for the router; what came before should not.
        self.flush()?;
        let exchange = &self.shared.exchange;
        self.subscriptions.ask(exchange).await?;
        self.subscriptions.answer(subscribe.pid, codes);
        Ok(self.write_answers()?)
    }

    /// Write the answers to SUBSCRIBE and UNSUBSCRIBE that have waited for the router and the log.
    pub(super) fn write_answers(&mut self) -> Result<(), Violation> {
        let durable = *self.durable.borrow();
        while let Some(answer) = self.subscriptions.next_answer(durable) {
            match answer {
                Answer::Subscribed {
                    pid,
                    codes,
                    retained,
                } => self.write_suback(pid, codes, retained)?,
                Answer::Unsubscribed { pid, codes } => self.write_unsuback(pid, codes)?,
            }
        }
        Ok(())
    }

    /// Answer a SUBSCRIBE, and start on its retained messages.
    fn write_suback(
        &mut self,
        pid: Pid,
        codes: Vec<SubscribeReasonCode>,
        retained: Vec<RetainedWalk>,
    ) -> Result<(), Violation> {
        self.outlet.packets += 1;
        let out = &mut self.connection.output;
        match self.client.version {
            Version::V3 => {
                let granted = codes.into_iter().map(|code| match code {
                    SubscribeReasonCode::GrantedQoS0 => Some(0),
                    SubscribeReasonCode::GrantedQoS1 => Some(1),
                    SubscribeReasonCode::GrantedQoS2 => Some(2),
                    _ => None,
                });
                reply::suback_v3(out, pid.value(), granted);
            }
            Version::V5 => {
                let suback = v5::Suback::new(pid, codes).into();
                if !reply::v5(out, &suback, self.client.packet_bytes_max) {
                    return Err(Violation::AnswerTooLarge);
                }
            }
        }
        if !retained.is_empty() {
            let mut state = self.mailbox.lock();
            retained
                .into_iter()
                .for_each(|walk| state.deliveries.walk(walk));
            self.has_mail = true;
        }
        Ok(())
    }

    fn take_unsubscribe(
        &mut self,
        pid: Pid,
        filters: &[mqtt_proto::TopicFilter],
    ) -> Result<(), End> {
        let mut codes = Vec::with_capacity(filters.len());
        for filter in filters {
            let code = self
                .subscriptions
                .unsubscribe(filter, &self.shared.exchange)?;
            self.mailbox.lock().deliveries.stop_walk(filter);
            codes.push(code);
        }
        self.shared.exchange.commit();
        self.subscriptions.answer_unsubscribe(pid, codes);
        Ok(self.write_answers()?)
    }

    fn write_unsuback(
        &mut self,
        pid: Pid,
        codes: Vec<UnsubscribeReasonCode>,
    ) -> Result<(), Violation> {
        self.outlet.packets += 1;
        let out = &mut self.connection.output;
        match self.client.version {
            Version::V3 => reply::v3(out, &v3::Packet::Unsuback(pid)),
            Version::V5 => {
                let unsuback = v5::Unsuback::new(pid, codes).into();
                if !reply::v5(out, &unsuback, self.client.packet_bytes_max) {
                    return Err(Violation::AnswerTooLarge);
                }
            }
        }
        Ok(())
    }
}
