use std::{collections::VecDeque, sync::Arc};

use super::Numbered;

/// Events, oldest first, up to so many and so many bytes.
#[derive(Debug)]
pub(super) struct Queue {
    events: VecDeque<Arc<Numbered>>,
    bytes: usize,
    events_max: usize,
    bytes_max: usize,
}

/// What had to go.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Evicted {
    pub(super) count: u64,
    /// Number of the last one.
    pub(super) upto: u64,
}

impl Queue {
    pub(super) fn new(events_max: usize, bytes_max: usize) -> Queue {
        Queue {
            events: VecDeque::new(),
            bytes: 0,
            events_max,
            bytes_max,
        }
    }

    /// Add an event; the oldest go where there is no room, and one that is too large goes itself.
    pub(super) fn push(&mut self, event: Arc<Numbered>) -> Evicted {
        self.bytes += event.bytes();
        self.events.push_back(event);
        let mut evicted = Evicted::default();
        while self.events.len() > self.events_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.pop() else { break };
            evicted.count += 1;
            evicted.upto = oldest.number();
        }
        evicted
    }

    pub(super) fn pop(&mut self) -> Option<Arc<Numbered>> {
        let oldest = self.events.pop_front()?;
        self.bytes -= oldest.bytes();
        Some(oldest)
    }

    pub(super) fn front(&self) -> Option<&Arc<Numbered>> {
        self.events.front()
    }

    /// The events after this number.
    pub(super) fn after(&self, number: u64) -> impl Iterator<Item = &Arc<Numbered>> {
        let start = self
            .events
            .partition_point(|event| event.number() <= number);
        self.events.range(start..)
    }

    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }
}
