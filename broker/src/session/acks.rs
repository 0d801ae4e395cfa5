//! Acks that wait for the log.

use std::{collections::VecDeque, time::Duration};

use bytes::BytesMut;
use tarn_common::ids::Seq;
use tokio::time::Instant;

use crate::reply::{self, AckKind};

/// Acks of one client in the order in which they are owed.
#[derive(Debug)]
pub(super) struct Acks {
    owed: VecDeque<Owed>,
    /// The highest position whose ack has been written.
    written: Seq,
    /// The highest position that the log knows to be confirmed.
    confirmed: Seq,
    waiting: Option<Waiting>,
    confirm_delay: Duration,
}

#[derive(Debug)]
struct Owed {
    kind: AckKind,
    packet_id: u16,
    /// Durable position that it waits for. `Err` holds the reason of a refusal, which waits for
    /// nothing but its turn.
    when: Result<Seq, u8>,
    /// When the publish was taken.
    taken: Instant,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// Acks of durable records.
    pub(super) durable: u64,
    /// Acks of all kinds.
    pub(super) all: u64,
    /// When the oldest of the acked publishes was taken.
    pub(super) oldest: Option<Instant>,
}

/// Acks that have left for the socket.
#[derive(Debug)]
struct Waiting {
    /// All up to this position.
    seq: Seq,
    /// Bytes that the socket had taken by then.
    sent: u64,
    since: Instant,
}

impl Acks {
    pub(super) fn new(confirm_delay: Duration) -> Self {
        Acks {
            owed: VecDeque::new(),
            written: Seq::ZERO,
            confirmed: Seq::ZERO,
            waiting: None,
            confirm_delay,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.owed.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// Owe an ack once the log is durable up to `seq`.
    pub(super) fn owe(&mut self, kind: AckKind, packet_id: u16, seq: Seq, taken: Instant) {
        self.owed.push_back(Owed {
            kind,
            packet_id,
            when: Ok(seq),
            taken,
        });
    }

    /// Owe a refusal, after the acks of what came before it.
    pub(super) fn owe_refusal(
        &mut self,
        kind: AckKind,
        packet_id: u16,
        reason: u8,
        taken: Instant,
    ) {
        self.owed.push_back(Owed {
            kind,
            packet_id,
            when: Err(reason),
            taken,
        });
    }

    /// Write what is due.
    pub(super) fn write(&mut self, durable: Seq, out: &mut BytesMut) -> Written {
        let mut written = Written::default();
        while let Some(next) = self.owed.front() {
            match next.when {
                Ok(seq) if seq > durable => break,
                Ok(seq) => {
                    reply::ack(out, next.kind, next.packet_id);
                    self.written = self.written.max(seq);
                    written.durable += 1;
                    written.oldest.get_or_insert(next.taken);
                }
                // A reason of 0 is a plain ack, which is all that MQTT 3.1.1 knows.
                Err(0) => reply::ack(out, next.kind, next.packet_id),
                Err(reason) => reply::ack_with_reason(out, next.kind, next.packet_id, reason),
            }
            written.all += 1;
            self.owed.pop_front();
        }
        written
    }

    /// When to ask again what has arrived, if anything is to be asked.
    pub(super) fn confirm_due(&self) -> Option<Instant> {
        self.waiting
            .as_ref()
            .map(|waiting| waiting.since + self.confirm_delay)
    }

    /// The position up to which the client has got all acks, if that is news. `sent` is how many
    /// bytes the socket has taken, if it has taken all; `arrived` asks how many the peer's kernel
    /// has. An ack gets [`Limits::confirm_delay`](crate::Limits::confirm_delay) to be read by the
    /// client itself.
    pub(super) fn confirmed(
        &mut self,
        now: Instant,
        sent: Option<u64>,
        arrived: impl FnOnce() -> u64,
    ) -> Option<Seq> {
        let ripe = self
            .waiting
            .as_ref()
            .filter(|w| now >= w.since + self.confirm_delay);
        let confirmed = match ripe {
            Some(waiting) if arrived() >= waiting.sent => Some(waiting.seq),
            Some(_) => {
                // Ask again later, and not at every turn.
                self.waiting.iter_mut().for_each(|w| w.since = now);
                None
            }
            None => None,
        };
        if let Some(seq) = confirmed {
            self.confirmed = seq;
            self.waiting = None;
        }
        if self.waiting.is_none()
            && self.written > self.confirmed
            && let Some(sent) = sent
        {
            self.waiting = Some(Waiting {
                seq: self.written,
                sent,
                since: now,
            });
        }
        confirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acks_wait_for_their_turn() {
        let mut acks = Acks::new(Duration::from_secs(1));
        let mut out = BytesMut::new();
        let now = Instant::now();
        acks.owe(AckKind::PubAck, 1, Seq(5), now);
        acks.owe_refusal(AckKind::PubAck, 2, 0x97, now);
        acks.owe(AckKind::PubRec, 3, Seq(4), now + Duration::from_secs(1));
        assert_eq!(acks.write(Seq(4), &mut out), Written::default());
        assert!(out.is_empty());
        let written = Written {
            durable: 2,
            all: 3,
            oldest: Some(now),
        };
        assert_eq!(acks.write(Seq(5), &mut out), written);
        assert_eq!(
            &out[..],
            [0x40, 2, 0, 1, 0x40, 3, 0, 2, 0x97, 0x50, 2, 0, 3]
        );
        assert!(acks.is_empty());
    }

    #[test]
    fn confirms_late_and_once() {
        let delay = Duration::from_secs(1);
        let mut acks = Acks::new(delay);
        let mut now = Instant::now();
        assert_eq!(acks.confirmed(now, Some(4), || 4), None);
        acks.owe(AckKind::PubAck, 1, Seq(7), now);
        acks.write(Seq(9), &mut BytesMut::new());
        assert_eq!(acks.confirmed(now, None, || 4), None);
        assert_eq!(acks.confirm_due(), None);
        assert_eq!(acks.confirmed(now, Some(8), || 4), None);
        assert_eq!(acks.confirm_due(), Some(now + delay));
        assert_eq!(acks.confirmed(now, Some(8), || unreachable!()), None);
        now += delay;
        assert_eq!(acks.confirmed(now, Some(8), || 7), None);
        now += delay;
        acks.owe(AckKind::PubAck, 2, Seq(8), now);
        acks.write(Seq(9), &mut BytesMut::new());
        assert_eq!(acks.confirmed(now, None, || 8), Some(Seq(7)));
        assert_eq!(acks.confirmed(now, Some(12), || unreachable!()), None);
        now += delay;
        assert_eq!(acks.confirmed(now, Some(20), || 12), Some(Seq(8)));
        assert_eq!(acks.confirm_due(), None);
    }
}
