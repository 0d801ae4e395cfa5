use std::{collections::VecDeque, sync::Arc};

use crate::{envelope::Envelope, limits::Limits, router::RouteId};

/// Messages of QoS 0 between publishers and a session, with the route that each came on. The session
/// empties it whenever it runs, so it is only long while the machine is short of time.
#[derive(Debug)]
pub(super) struct Arrivals {
    messages: VecDeque<(RouteId, Arc<Envelope>)>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
}

impl Arrivals {
    pub(super) fn new(limits: &Limits) -> Arrivals {
        Arrivals {
            messages: VecDeque::new(),
            bytes: 0,
            messages_max: limits.queue_qos0_messages_max.max(1),
            bytes_max: limits.queue_bytes_max.max(limits.packet_bytes_max),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether publishers should wait until it is emptied.
    pub(super) fn is_crowded(&self) -> bool {
        self.messages.len() > self.messages_max / 2 || self.bytes > self.bytes_max / 2
    }

    /// Add a message. Returns how many older ones had to go.
    pub(super) fn push(&mut self, route: RouteId, message: &Arc<Envelope>) -> u64 {
        self.bytes += message.size();
        self.messages.push_back((route, message.clone()));
        let mut lost = 0;
        while self.messages.len() > self.messages_max
            || (self.bytes > self.bytes_max && self.messages.len() > 1)
        {
            if let Some((_, oldest)) = self.messages.pop_front() {
                self.bytes -= oldest.size();
                lost += 1;
            }
        }
        lost
    }

    /// Everything, oldest first.
    pub(super) fn take(&mut self) -> VecDeque<(RouteId, Arc<Envelope>)> {
        self.bytes = 0;
        std::mem::take(&mut self.messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let limits = Limits {
            queue_qos0_messages_max: 4,
            ..Limits::default()
        };
        let mut arrivals = Arrivals::new(&limits);
        let message = |n: u64| {
            Arc::new(Envelope {
                topic: "a".into(),
                payload: "1".into(),
                qos: 0,
                retain: false,
                properties: Default::default(),
                received_ms: n,
                seq: Default::default(),
                origin: 0,
            })
        };
        let lost: u64 = (0..6).map(|n| arrivals.push(RouteId(1), &message(n))).sum();
        assert_eq!((lost, arrivals.len(), arrivals.is_crowded()), (2, 4, true));
        let left: Vec<u64> = arrivals.take().iter().map(|(_, m)| m.received_ms).collect();
        assert_eq!(left, [2, 3, 4, 5]);
        assert_eq!((arrivals.len(), arrivals.is_crowded()), (0, false));
    }
}
