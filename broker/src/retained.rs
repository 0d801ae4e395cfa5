//! The last retained message of every topic.
//!
//! In memory, bounded in count and bytes; checkpoints write down what has changed. Subscribers walk
//! it with a cursor rather than take a copy, so any number of messages can be delivered at the pace
//! of the subscriber.

use std::{
    collections::{BTreeMap, HashSet, btree_map::Entry},
    ops::Bound,
    sync::Arc,
};

use parking_lot::RwLock;

use crate::{envelope::Envelope, limits::Limits, metrics::Metrics, topics};

/// Entries looked at under one hold of the lock.
const LOOKED_AT_MAX: usize = 4096;

/// Retained messages by topic.
#[derive(Debug)]
pub(crate) struct Retained {
    kept: RwLock<Kept>,
    messages_max: usize,
    bytes_max: usize,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Kept {
    by_topic: BTreeMap<Arc<str>, Arc<Envelope>>,
    bytes: usize,
    /// Messages of the broker's own topics, which are not counted.
    own: usize,
    /// Topics whose message is not the one of the last checkpoint.
    changed: HashSet<Arc<str>>,
}

/// How far a walk over the messages of one filter has come.
#[derive(Debug)]
pub(crate) struct Walk {
    filter: Box<str>,
    after: Option<Arc<str>>,
}

impl Walk {
    /// A walk over all that match `filter`.
    pub(crate) fn new(filter: &str) -> Walk {
        Walk {
            filter: filter.into(),
            after: None,
        }
    }

    /// The filter it was made for.
    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }
}

impl Retained {
    pub(crate) fn new(limits: &Limits, metrics: Metrics) -> Retained {
        Retained {
            kept: RwLock::default(),
            messages_max: limits.retained_messages_max,
            bytes_max: limits.retained_bytes_max,
            metrics,
        }
    }

    /// Keep a message as the one of its topic; an empty payload deletes. Returns whether there was
    /// room.
    pub(crate) fn set(&self, message: Envelope) -> bool {
        let mut guard = self.kept.write();
        let kept = &mut *guard;
        let room = kept.set(message, self.messages_max, self.bytes_max);
        self.tell(kept);
        room
    }

    /// Put a message of the last checkpoint back.
    pub(crate) fn restore(&self, message: Envelope) {
        self.set(message);
        self.kept.write().changed.clear();
    }

    /// Remove the messages whose time is over.
    pub(crate) fn expire(&self, now_ms: u64) {
        let over = |message: &Envelope| message.is_expired(now_ms);
        let topics: Vec<Arc<str>> = {
            let kept = self.kept.read();
            let found = kept.by_topic.iter().filter(|(_, message)| over(message));
            found.map(|(topic, _)| topic.clone()).collect()
        };
        for topic in topics {
            let mut kept = self.kept.write();
            // Another may have come in between.
            if kept
                .by_topic
                .get(&topic)
                .is_some_and(|message| over(message))
            {
                kept.remove(&topic);
                self.metrics.retained_expired.inc();
                self.tell(&kept);
            }
        }
    }

    fn tell(&self, kept: &Kept) {
        let count = kept.by_topic.len() - kept.own;
        self.metrics.retained_messages.set(count as i64);
        self.metrics.retained_bytes.set(kept.bytes as i64);
    }

    /// The message of a topic.
    pub(crate) fn get(&self, topic: &str) -> Option<Arc<Envelope>> {
        self.kept.read().by_topic.get(topic).cloned()
    }

    /// The topics that have changed since the last call, with their messages.
    pub(crate) fn take_changes(&self) -> Vec<(Arc<str>, Option<Arc<Envelope>>)> {
        let mut kept = self.kept.write();
        let changed = std::mem::take(&mut kept.changed);
        let with_message = |topic: Arc<str>| {
            let message = kept.by_topic.get(&topic).cloned();
            (topic, message)
        };
        changed.into_iter().map(with_message).collect()
    }

    /// Count topics as changed.
    pub(crate) fn mark(&self, topics: impl Iterator<Item = Arc<str>>) {
        self.kept.write().changed.extend(topics);
    }

    /// The next messages of a walk, up to `count`. Returns whether the walk may have more, even if
    /// none were found this time: it looks at a bounded number at once.
    pub(crate) fn step(
        &self,
        walk: &mut Walk,
        count: usize,
        found: &mut Vec<Arc<Envelope>>,
    ) -> bool {
        let kept = self.kept.read();
        let prefix = topics::literal_prefix(&walk.filter);
        let from = match &walk.after {
            Some(topic) => Bound::Excluded(&**topic),
            None => Bound::Included(prefix),
        };
        let mut last: Option<&Arc<str>> = None;
        let range = kept.by_topic.range::<str, _>((from, Bound::Unbounded));
        for (index, (topic, message)) in range.enumerate() {
            if !topic.starts_with(prefix) {
                return false;
            }
            if found.len() >= count || index >= LOOKED_AT_MAX {
                walk.after = last.cloned();
                return true;
            }
            if topics::matches(&walk.filter, topic) {
                found.push(message.clone());
            }
            last = Some(topic);
        }
        false
    }
}

impl Kept {
    fn remove(&mut self, topic: &str) {
        if let Some((topic, old)) = self.by_topic.remove_entry(topic) {
            self.bytes -= old.size();
            if is_lasting(&topic) {
                self.changed.insert(topic);
            } else {
                self.own -= 1;
            }
        }
    }

    fn set(&mut self, message: Envelope, messages_max: usize, bytes_max: usize) -> bool {
        if message.payload.is_empty() {
            self.remove(message.topic());
            return true;
        }
        let lasting = is_lasting(message.topic());
        let count = self.by_topic.len() - self.own;
        let new = message.size();
        let topic: Arc<str> = message.topic().into();
        let changed = lasting.then(|| topic.clone());
        match self.by_topic.entry(topic) {
            Entry::Occupied(mut entry) => {
                let old = entry.get().size();
                if self.bytes - old + new > bytes_max {
                    return false;
                }
                self.bytes = self.bytes - old + new;
                entry.insert(Arc::new(message));
            }
            Entry::Vacant(entry) => {
                if count >= messages_max || self.bytes + new > bytes_max {
                    return false;
                }
                self.bytes += new;
                self.own += usize::from(!lasting);
                entry.insert(Arc::new(message));
            }
        }
        self.changed.extend(changed);
        true
    }
}

/// Whether a topic's message is kept over a restart: not what the broker says of itself.
fn is_lasting(topic: &str) -> bool {
    !topic.starts_with(topics::SYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(topic: &str, payload: &str) -> Envelope {
        Envelope {
            topic: topic.to_owned().into(),
            payload: payload.to_owned().into(),
            qos: 1,
            retain: true,
            properties: Default::default(),
            received_ms: 0,
            seq: Default::default(),
            origin: 0,
        }
    }

    fn walk_all(retained: &Retained, filter: &str, count: usize) -> Vec<String> {
        let mut walk = Walk::new(filter);
        let mut topics = Vec::new();
        loop {
            let mut found = Vec::new();
            let more = retained.step(&mut walk, count, &mut found);
            topics.extend(found.iter().map(|m| m.topic().to_owned()));
            if !more {
                return topics;
            }
        }
    }

    #[test]
    fn walks_over_everything_in_small_steps() {
        let retained = Retained::new(&Limits::default(), Metrics::default());
        for i in 0..LOOKED_AT_MAX + 50 {
            assert!(retained.set(message(&format!("a/{i:05}"), "x")));
        }
        retained.set(message("a", "x"));
        retained.set(message("ab", "x"));
        retained.set(message("z/last", "x"));
        assert_eq!(walk_all(&retained, "a/#", 7).len(), LOOKED_AT_MAX + 51);
        assert_eq!(walk_all(&retained, "+/last", 7), ["z/last"]);
        assert_eq!(walk_all(&retained, "a/00042", 7), ["a/00042"]);
        assert_eq!(walk_all(&retained, "a", 1), ["a"]);
        retained.set(message("a/00042", ""));
        assert_eq!(walk_all(&retained, "a/00042", 7), [""; 0]);
    }

    #[test]
    fn messages_whose_time_is_over_go() {
        let metrics = Metrics::default();
        let retained = Retained::new(&Limits::default(), metrics.clone());
        let mut mortal = message("a", "x");
        mortal.properties.expiry_s = Some(10);
        retained.set(mortal);
        retained.set(message("b", "x"));
        retained.take_changes();
        retained.expire(9_999);
        assert_eq!(metrics.retained_messages.get(), 2);
        retained.expire(10_000);
        assert_eq!(walk_all(&retained, "#", 9), ["b"]);
        assert_eq!(metrics.retained_expired.get(), 1);
        assert_eq!(metrics.retained_messages.get(), 1);
        let changes = retained.take_changes();
        assert!(matches!(&changes[..], [(topic, None)] if &**topic == "a"));
    }

    #[test]
    fn is_bounded_and_counts_bytes() {
        let limits = Limits {
            retained_messages_max: 2,
            retained_bytes_max: 10,
            ..Limits::default()
        };
        let metrics = Metrics::default();
        let retained = Retained::new(&limits, metrics.clone());
        assert!(retained.set(message("a", "12")));
        assert!(retained.set(message("b", "12")));
        assert!(!retained.set(message("c", "1")));
        assert!(!retained.set(message("a", "1234567")));
        assert!(retained.set(message("a", "123456")));
        assert_eq!(metrics.retained_bytes.get(), 10);
        assert!(retained.set(message("a", "")));
        assert!(retained.set(message("b", "")));
        assert_eq!(
            (
                metrics.retained_bytes.get(),
                metrics.retained_messages.get()
            ),
            (0, 0)
        );
    }
}
