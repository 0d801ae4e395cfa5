//! The messages in flight: sent and not yet acknowledged, in the order they were first sent.

use std::collections::VecDeque;

use mqtt_proto::Pid;
use tokio::time::Instant;

use super::message::Message;

/// How many packet ids there are: 0 is not one.
const PIDS: u16 = u16::MAX;

/// How far a QoS 1 or 2 message has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Published; waits for PUBACK (QoS 1) or PUBREC (QoS 2).
    Published,
    /// Received by the broker (QoS 2), to be released; waits for PUBCOMP.
    Received,
}

/// One message in flight.
#[derive(Debug)]
pub(super) struct Flight {
    /// Its packet id, kept over reconnects so that the broker can tell a repetition.
    pub(super) pid: Pid,
    /// What was published.
    pub(super) message: Message,
    /// When it was first sent.
    pub(super) sent: Instant,
    /// How far it has come.
    pub(super) stage: Stage,
}

/// The window of one client.
///
/// Packet ids follow each other, so an id is found by its distance from the oldest one. A message
/// that was acknowledged before an older one leaves an empty place until the older one is done.
#[derive(Debug, Default)]
pub(super) struct Window {
    flights: VecDeque<Option<Flight>>,
    open: usize,
    oldest: Pid,
}

impl Window {
    /// Whether nothing is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// How many messages are in flight.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Whether one more may be sent where at most `limit` may be in flight.
    pub(super) fn has_room(&self, limit: usize) -> bool {
        self.open < limit && self.flights.len() < usize::from(PIDS)
    }

    /// Takes a message into flight under the next packet id. Call only where there is room.
    pub(super) fn admit(&mut self, message: Message, sent: Instant) -> Pid {
        let pid = self.oldest + self.flights.len() as u16;
        self.flights.push_back(Some(Flight {
            pid,
            message,
            sent,
            stage: Stage::Published,
        }));
        self.open += 1;
        pid
    }

    /// A packet id for something else than a message: the one that messages reach last.
    pub(super) fn spare_pid(&self) -> Pid {
        self.oldest - 1
    }

    /// Notes that the broker has received a QoS 2 message. False if no such message is in flight.
    pub(super) fn receive(&mut self, pid: Pid) -> bool {
        let place = self.place(pid);
        match self.flights.get_mut(place) {
            Some(Some(flight)) => {
                flight.stage = Stage::Received;
                true
            }
            _ => false,
        }
    }

    /// Ends a flight that stands at `stage`; `None` if there is no such flight.
    pub(super) fn settle(&mut self, pid: Pid, stage: Stage) -> Option<Flight> {
        let place = self.place(pid);
        let flight = self
            .flights
            .get_mut(place)?
            .take_if(|flight| flight.stage == stage)?;
        self.open -= 1;
        while let Some(None) = self.flights.front() {
            self.flights.pop_front();
            self.oldest += 1;
        }
        Some(flight)
    }

    /// Everything in flight, the oldest first.
    pub(super) fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.flights.iter().flatten()
    }

    fn place(&self, pid: Pid) -> usize {
        let (pid, oldest) = (pid.value(), self.oldest.value());
        let distance = if pid >= oldest {
            pid - oldest
        } else {
            PIDS - (oldest - pid)
        };
        usize::from(distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::source::load_payload;
    use mqtt_proto::TopicName;

    fn message(number: u64) -> Message {
        Message {
            topic: TopicName::try_from("t").expect("a plain topic"),
            payload: load_payload(number),
            retain: false,
        }
    }

    #[tokio::test]
    async fn packet_ids_cycle_past_zero_and_find_their_message() {
        let mut window = Window::default();
        let now = Instant::now();
        for number in 0..200_000_u64 {
            let pid = window.admit(message(number), now);
            assert_eq!(u64::from(pid.value()), number % 65_535 + 1);
            if number >= 3 {
                let done = number - 3;
                let pid = Pid::try_from((done % 65_535 + 1) as u16).expect("not zero");
                let flight = window.settle(pid, Stage::Published).expect("in flight");
                assert_eq!(flight.message, message(done));
                assert!(window.settle(pid, Stage::Published).is_none());
            }
        }
        assert_eq!(window.open(), 3);
    }

    #[tokio::test]
    async fn acks_in_any_order_leave_the_rest_in_order() {
        let mut window = Window::default();
        let pids: Vec<Pid> = (0..5)
            .map(|number| window.admit(message(number), Instant::now()))
            .collect();
        assert!(window.receive(pids[3]));
        assert!(window.settle(pids[3], Stage::Published).is_none());
        assert!(window.settle(pids[1], Stage::Published).is_some());
        assert!(window.settle(pids[0], Stage::Published).is_some());
        let left: Vec<_> = window.flights().map(|one| (one.pid, one.stage)).collect();
        let expected = [
            (pids[2], Stage::Published),
            (pids[3], Stage::Received),
            (pids[4], Stage::Published),
        ];
        assert_eq!(left, expected);
        assert!(!window.has_room(3) && window.has_room(4));
    }
}
