use std::collections::BTreeMap;

use parking_lot::Mutex;
use tarn_common::ids::{EdgeId, HomeId};
use tarn_link::{BoxState, Presence};

use super::DownlinkMetrics;

/// Homes that are kept in mind.
const HOMES_MAX: usize = 65_536;
/// Boxes of one home that are kept in mind.
const BOXES_MAX: usize = 64;

/// What was heard of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoxSeen {
    /// Which box.
    pub edge: EdgeId,
    /// What it said of whether it is there.
    pub presence: Option<Presence>,
    /// What it said of how it is.
    pub state: Option<BoxState>,
    /// When it was last heard of, milliseconds since 1970 UTC, by the clock of this replica.
    pub last_seen_ms: i64,
}

/// The boxes that were heard of.
#[derive(Debug)]
pub(super) struct Boxes {
    known: Mutex<Known>,
    metrics: DownlinkMetrics,
}

#[derive(Debug, Default)]
struct Known {
    homes: BTreeMap<HomeId, BTreeMap<EdgeId, Kept>>,
    boxes: i64,
    online: i64,
    /// Grows with each connection.
    epoch: u32,
}

#[derive(Debug)]
struct Kept {
    seen: BoxSeen,
    /// The connection on which its presence was last heard.
    epoch: u32,
}

/// What a box said.
#[derive(Debug)]
pub(super) enum Said {
    Presence(Presence),
    State(BoxState),
}

impl Kept {
    fn is_online(&self) -> bool {
        self.seen.presence.as_ref().is_some_and(|p| p.online)
    }
}

impl Boxes {
    pub(super) fn new(metrics: &DownlinkMetrics) -> Boxes {
        Boxes {
            known: Mutex::default(),
            metrics: metrics.clone(),
        }
    }

    /// A box has said something. Returns what is known of it now, or none if there is no room for it.
    pub(super) fn hear(
        &self,
        home: &HomeId,
        edge: EdgeId,
        said: Said,
        now_ms: i64,
    ) -> Option<BoxSeen> {
        let mut guard = self.known.lock();
        let known = &mut *guard;
        if !known.homes.contains_key(home) && known.homes.len() >= HOMES_MAX {
            return None;
        }
        let boxes = known.homes.entry(home.clone()).or_default();
        if !boxes.contains_key(&edge) && boxes.len() >= BOXES_MAX {
            return None;
        }
        let kept = boxes.entry(edge).or_insert_with(|| {
            known.boxes += 1;
            Kept {
                seen: BoxSeen {
                    edge,
                    presence: None,
                    state: None,
                    last_seen_ms: now_ms,
                },
                epoch: 0,
            }
        });
        let was_online = kept.is_online();
        kept.seen.last_seen_ms = now_ms;
        match said {
            Said::Presence(presence) => {
                kept.seen.presence = Some(presence);
                kept.epoch = known.epoch;
            }
            Said::State(state) => kept.seen.state = Some(state),
        }
        known.online += i64::from(kept.is_online()) - i64::from(was_online);
        let seen = kept.seen.clone();
        self.count(known);
        Some(seen)
    }

    /// A box is not to be known any more.
    pub(super) fn forget(&self, home: &HomeId, edge: EdgeId) {
        let mut known = self.known.lock();
        let Some(boxes) = known.homes.get_mut(home) else {
            return;
        };
        let gone = boxes.remove(&edge);
        if boxes.is_empty() {
            known.homes.remove(home);
        }
        if let Some(gone) = gone {
            known.boxes -= 1;
            known.online -= i64::from(gone.is_online());
        }
        self.count(&known);
    }

    /// A connection is up: what boxes said is going to be heard again.
    pub(super) fn begin(&self) {
        self.known.lock().epoch += 1;
    }

    /// What was to be heard again was: who was not is not there. Returns who went so.
    pub(super) fn settle(&self) -> Vec<(HomeId, BoxSeen)> {
        let mut guard = self.known.lock();
        let known = &mut *guard;
        let mut gone = Vec::new();
        for (home, boxes) in &mut known.homes {
            for kept in boxes.values_mut() {
                if kept.epoch != known.epoch
                    && let Some(presence) = &mut kept.seen.presence
                    && std::mem::replace(&mut presence.online, false)
                {
                    known.online -= 1;
                    gone.push((home.clone(), kept.seen.clone()));
                }
            }
        }
        self.count(known);
        gone
    }

    pub(super) fn of(&self, home: &HomeId) -> Vec<BoxSeen> {
        let known = self.known.lock();
        let boxes = known.homes.get(home).into_iter();
        boxes
            .flat_map(BTreeMap::values)
            .map(|kept| kept.seen.clone())
            .collect()
    }

    pub(super) fn homes(&self) -> Vec<HomeId> {
        self.known.lock().homes.keys().cloned().collect()
    }

    /// Boxes that are away and were last heard of by then.
    pub(super) fn away_since(&self, heard_by_ms: i64) -> Vec<(HomeId, EdgeId)> {
        let known = self.known.lock();
        let is_away = |kept: &Kept| {
            let seen = &kept.seen;
            let is_offline = seen.presence.as_ref().is_some_and(|p| !p.online);
            is_offline && seen.last_seen_ms <= heard_by_ms
        };
        let homes = known.homes.iter().flat_map(|(home, boxes)| {
            let away = boxes.iter().filter(|(_, kept)| is_away(kept));
            away.map(|(edge, _)| (home.clone(), *edge))
        });
        homes.collect()
    }

    pub(super) fn is_online(&self, home: &HomeId, edge: EdgeId) -> bool {
        let known = self.known.lock();
        let kept = known.homes.get(home).and_then(|boxes| boxes.get(&edge));
        kept.is_some_and(Kept::is_online)
    }

    fn count(&self, known: &Known) {
        self.metrics.homes.set(known.homes.len() as i64);
        self.metrics.boxes.set(known.boxes);
        self.metrics.boxes_online.set(known.online);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presence(online: bool) -> Said {
        Said::Presence(Presence {
            online,
            since: tarn_link::message::timestamp(0),
            version: String::new(),
            name: None,
        })
    }

    #[test]
    fn boxes_come_and_go() {
        let metrics = DownlinkMetrics::default();
        let boxes = Boxes::new(&metrics);
        let home: HomeId = "a".parse().expect("a home");
        let edge = EdgeId(1);
        assert!(!boxes.is_online(&home, edge));
        boxes.begin();
        boxes.hear(&home, edge, presence(true), 5);
        boxes.hear(&home, EdgeId(2), presence(true), 6);
        assert!(boxes.is_online(&home, edge));
        assert_eq!(boxes.of(&home)[0].last_seen_ms, 5);
        assert_eq!(boxes.settle(), []);
        assert_eq!(metrics.boxes_online.get(), 2);
        // The broker lost what it kept, and only one of them is heard again.
        boxes.begin();
        boxes.hear(&home, edge, presence(true), 7);
        let gone = boxes.settle();
        assert_eq!(gone.len(), 1);
        assert_eq!(gone[0].1.edge, EdgeId(2));
        assert!(boxes.is_online(&home, edge) && !boxes.is_online(&home, EdgeId(2)));
        assert_eq!(metrics.boxes_online.get(), 1);
        boxes.forget(&home, edge);
        boxes.forget(&home, EdgeId(2));
        assert_eq!(boxes.homes(), []);
        assert_eq!((metrics.boxes.get(), metrics.boxes_online.get()), (0, 0));
    }

    #[test]
    fn nobody_fills_the_memory() {
        let metrics = DownlinkMetrics::default();
        let boxes = Boxes::new(&metrics);
        let home: HomeId = "a".parse().expect("a home");
        for n in 0..BOXES_MAX as u64 {
            assert!(boxes.hear(&home, EdgeId(n), presence(true), 0).is_some());
        }
        assert!(
            boxes
                .hear(&home, EdgeId(1 << 20), presence(true), 0)
                .is_none()
        );
        for n in 1..HOMES_MAX {
            let home = format!("h{n}").parse().expect("a home");
            assert!(boxes.hear(&home, EdgeId(0), presence(true), 0).is_some());
        }
        let one_more = "more".parse().expect("a home");
        assert!(
            boxes
                .hear(&one_more, EdgeId(0), presence(true), 0)
                .is_none()
        );
        assert!(boxes.hear(&home, EdgeId(0), presence(false), 0).is_some());
        assert_eq!(metrics.homes.get(), HOMES_MAX as i64);
    }
}
