use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{
    FEED_WITHIN, LEASE_TAIL, LISTENER_BYTES_MAX, LISTENER_EVENTS_MAX, LISTENERS_MAX, Listener,
    LiveEvent, LiveGap, LiveKind, LiveMetrics, LiveReading, LiveReset, Numbered, RING_BYTES_MAX,
    RING_EVENTS_MAX, STALLED_AFTER,
    event::EventId,
    metrics::KindLabels,
    queue::{Evicted, Queue},
    series::{Offered, Series},
};

/// The events of one home, and those who listen to them.
///
/// Every event has a number. Readings lie once for all listeners, by series; a listener is shown those whose number it
/// has not passed, so that a slow one sees the latest value of each. All else waits for each listener in a queue of
/// its own. A ring keeps what was told last, for who comes back.
#[derive(Debug)]
pub struct LiveHub {
    epoch: u64,
    metrics: LiveMetrics,
    inner: Mutex<Inner>,
    /// Grows whenever a listener has something new to look at.
    changes: watch::Sender<u64>,
    listeners: watch::Sender<usize>,
    is_fed: watch::Sender<bool>,
}

/// No further listener has room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{LISTENERS_MAX} listen to this home already")]
pub struct TooMany;

/// What a listener wants to hear.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only of these devices, and of boxes; empty for all.
    pub devices: Vec<String>,
    /// Only of these kinds; empty for all.
    pub kinds: Vec<LiveKind>,
}

impl Wanted {
    fn covers(&self, event: &LiveEvent) -> bool {
        let kind = event.kind();
        let is_kind = kind.is_none_or(|kind| self.kinds.is_empty() || self.kinds.contains(&kind));
        let device = event.device();
        let is_device = device.is_none_or(|device| {
            self.devices.is_empty() || self.devices.iter().any(|wanted| wanted == device)
        });
        is_kind && is_device
    }
}

#[derive(Debug)]
struct Inner {
    /// Number of the latest event.
    last: u64,
    /// Nobody can go on from a number below this one: events after it are forgotten, or were never known.
    floor: u64,
    ring: Queue,
    series: Series,
    next_place: u64,
    places: HashMap<u64, Place>,
}

/// Where a listener is.
#[derive(Debug)]
struct Place {
    wanted: Wanted,
    /// It has seen everything up to this number.
    upto: u64,
    /// Why it has to read everything anew, until it is told.
    reset: Option<&'static str>,
    /// What it missed while it was away.
    missed: Queue,
    /// Events other than readings.
    others: Queue,
    /// What was dropped since it was last told of that.
    dropped: Evicted,
    /// Since when something waits for it to look.
    behind_since: Option<Instant>,
}

/// What a listener finds when it looks.
#[derive(Debug)]
pub(super) enum Found {
    /// The next event.
    Event(Arc<Numbered>),
    /// Nothing, until something changes or this moment comes.
    Nothing(Option<Instant>),
    /// Its place was given away.
    Gone,
}

impl LiveHub {
    /// A hub without events. `epoch` is random, so that an event's id of another process is told apart.
    #[must_use]
    pub fn new(epoch: u64, metrics: LiveMetrics) -> LiveHub {
        LiveHub {
            epoch,
            metrics,
            inner: Mutex::new(Inner {
                last: 0,
                floor: 0,
                ring: Queue::new(RING_EVENTS_MAX, RING_BYTES_MAX),
                series: Series::default(),
                next_place: 0,
                places: HashMap::new(),
            }),
            changes: watch::Sender::new(0),
            listeners: watch::Sender::new(0),
            is_fed: watch::Sender::new(false),
        }
    }

    /// Tell an event. A reading may wait for the pause of its series, and give way to a later one.
    pub fn push(&self, event: LiveEvent) {
        self.push_all([event]);
    }

    /// Tell several events, in their order.
    pub fn push_all(&self, events: impl IntoIterator<Item = LiveEvent>) {
        self.push_at(events, Instant::now());
    }

    pub(super) fn push_at(&self, events: impl IntoIterator<Item = LiveEvent>, now: Instant) {
        {
            let mut inner = self.inner.lock();
            self.tell_ended(&mut inner, now);
            for event in events {
                let event = match event {
                    LiveEvent::Reading(reading) => match self.offer(&mut inner, reading) {
                        Some(reading) => LiveEvent::Reading(reading),
                        None => continue,
                    },
                    other => other,
                };
                self.tell(&mut inner, event, now);
            }
        }
        self.changes.send_modify(|n| *n += 1);
    }

    /// Listen from now on, or from after the event of this id. An id that is not known any more gives a reset and
    /// the latest value of each series.
    ///
    /// # Errors
    /// There is no room for another listener.
    pub fn listen(
        self: &Arc<Self>,
        wanted: Wanted,
        last_event_id: Option<&str>,
    ) -> Result<Listener, TooMany> {
        self.listen_at(wanted, last_event_id, Instant::now())
    }

    pub(super) fn listen_at(
        self: &Arc<Self>,
        wanted: Wanted,
        last_event_id: Option<&str>,
        now: Instant,
    ) -> Result<Listener, TooMany> {
        let mut inner = self.inner.lock();
        if inner.places.len() >= LISTENERS_MAX {
            self.remove_stalled(&mut inner, now);
        }
        if inner.places.len() >= LISTENERS_MAX {
            return Err(TooMany);
        }
        let mut place = Place {
            wanted,
            upto: inner.last,
            reset: None,
            missed: Queue::new(RING_EVENTS_MAX, RING_BYTES_MAX),
            others: Queue::new(LISTENER_EVENTS_MAX, LISTENER_BYTES_MAX),
            dropped: Evicted::default(),
            behind_since: None,
        };
        let mut start = inner.last;
        match last_event_id.map(|id| self.resume_after(&inner, id)) {
            None => {}
            Some(Ok(number)) => {
                start = number;
                let missed = inner.ring.after(number);
                for event in missed.filter(|event| place.wanted.covers(event.event())) {
                    place.missed.push(event.clone());
                }
            }
            Some(Err(reason)) => {
                place.start_anew(&inner.series, start, reason);
                start = place.upto;
            }
        }
        let start = EventId {
            epoch: self.epoch,
            number: start,
        };
        let id = inner.next_place;
        inner.next_place += 1;
        inner.places.insert(id, place);
        self.count(&inner);
        drop(inner);
        Ok(Listener::new(
            self.clone(),
            id,
            start.to_string(),
            self.changes.subscribe(),
        ))
    }

    /// How many listen, as it changes.
    #[must_use]
    pub fn listeners(&self) -> watch::Receiver<usize> {
        self.listeners.subscribe()
    }

    /// Resolves when anybody listens.
    pub async fn wanted(&self) {
        // It lives as long as this hub.
        let _ = self.listeners().wait_for(|&n| n > 0).await;
    }

    /// Resolves when nobody has listened for [`LEASE_TAIL`].
    pub async fn unwanted(&self) {
        let mut listeners = self.listeners();
        loop {
            let _ = listeners.wait_for(|&n| n == 0).await;
            let back = timeout(LEASE_TAIL, listeners.wait_for(|&n| n > 0)).await;
            if back.is_err() {
                return;
            }
        }
    }

    /// What happens from now on is pushed.
    pub fn feed_began(&self) {
        self.is_fed.send_replace(true);
    }

    /// What happens from now on is not pushed, so nobody can go on from here without a reset.
    pub fn feed_ended(&self) {
        self.is_fed.send_replace(false);
        let mut inner = self.inner.lock();
        inner.last += 1;
        inner.floor = inner.last;
        inner.ring.clear();
        inner.series.clear();
        let last = inner.last;
        let Inner { series, places, .. } = &mut *inner;
        for place in places.values_mut() {
            place.start_anew(series, last, "events were not gathered for a while");
        }
        drop(inner);
        self.changes.send_modify(|n| *n += 1);
    }

    /// Resolves when what happens is pushed, or after [`FEED_WITHIN`].
    pub async fn fed(&self) {
        let mut is_fed = self.is_fed.subscribe();
        let _ = timeout(FEED_WITHIN, is_fed.wait_for(|is_fed| *is_fed)).await;
    }

    /// The next event for a listener.
    pub(super) fn look(&self, id: u64, now: Instant) -> Found {
        let mut inner = self.inner.lock();
        let ended = self.tell_ended(&mut inner, now);
        let due = inner.series.due();
        let (last, epoch) = (inner.last, self.epoch);
        let Inner { series, places, .. } = &mut *inner;
        let Some(place) = places.get_mut(&id) else {
            return Found::Gone;
        };
        place.behind_since = None;
        let found = place.next(series, epoch);
        if found.is_none() {
            place.upto = last;
        }
        drop(inner);
        if ended {
            self.changes.send_modify(|n| *n += 1);
        }
        found.map_or(Found::Nothing(due), Found::Event)
    }

    pub(super) fn leave(&self, id: u64) {
        let mut inner = self.inner.lock();
        if inner.places.remove(&id).is_some() {
            self.count(&inner);
        }
    }

    /// The number to go on after, or why that cannot be.
    fn resume_after(&self, inner: &Inner, id: &str) -> Result<u64, &'static str> {
        let Some(EventId { epoch, number }) = EventId::parse(id) else {
            return Err("the id is none of a live event");
        };
        if epoch != self.epoch || number > inner.last {
            return Err("the service was started again, or another one answers");
        }
        if number < inner.floor {
            return Err("it is too long ago");
        }
        Ok(number)
    }

    fn offer(&self, inner: &mut Inner, reading: LiveReading) -> Option<LiveReading> {
        match inner.series.offer(reading) {
            Offered::Now(reading) => Some(reading),
            Offered::Waits => None,
            Offered::Replaces => {
                self.metrics.coalesced.inc();
                None
            }
        }
    }

    /// Tell the readings whose pause has ended. Whether there were any.
    fn tell_ended(&self, inner: &mut Inner, now: Instant) -> bool {
        let ended = inner.series.ended(now);
        let any = !ended.is_empty();
        for reading in ended {
            self.tell(inner, LiveEvent::Reading(reading), now);
        }
        any
    }

    fn tell(&self, inner: &mut Inner, event: LiveEvent, now: Instant) {
        let kind = event.name();
        self.metrics
            .events
            .get_or_create(&KindLabels { kind })
            .inc();
        inner.last += 1;
        let id = EventId {
            epoch: self.epoch,
            number: inner.last,
        };
        let event = Arc::new(Numbered::new(id, event));
        let evicted = inner.ring.push(event.clone());
        inner.floor = inner.floor.max(evicted.upto);
        let is_reading = matches!(event.event(), LiveEvent::Reading(_));
        let forgotten = inner.series.told(&event, now);
        for place in inner.places.values_mut() {
            place.behind_since.get_or_insert(now);
            let mut dropped = Evicted::default();
            if !is_reading && place.wanted.covers(event.event()) {
                dropped = place.others.push(event.clone());
            }
            let unseen = forgotten
                .iter()
                .filter(|event| event.number() > place.upto && place.wanted.covers(event.event()));
            for event in unseen {
                dropped.count += 1;
                dropped.upto = dropped.upto.max(event.number());
            }
            place.drop_some(dropped);
            self.metrics.dropped.inc_by(dropped.count);
        }
    }

    fn remove_stalled(&self, inner: &mut Inner, now: Instant) {
        let is_stalled = |since: Instant| now.duration_since(since) > STALLED_AFTER;
        inner
            .places
            .retain(|_, place| !place.behind_since.is_some_and(is_stalled));
        self.count(inner);
        self.changes.send_modify(|n| *n += 1);
    }

    fn count(&self, inner: &Inner) {
        let before = self.listeners.send_replace(inner.places.len());
        let more = inner.places.len() as i64 - before as i64;
        self.metrics.listeners.inc_by(more);
    }
}

impl Place {
    /// Forget where it was; it is shown the latest of each series.
    fn start_anew(&mut self, series: &Series, last: u64, reason: &'static str) {
        self.reset = Some(reason);
        self.missed.clear();
        self.others.clear();
        self.dropped = Evicted::default();
        // Who goes on from the reset is shown the same again.
        let first = series
            .after(0)
            .find(|event| self.wanted.covers(event.event()));
        self.upto = first.map_or(last, |first| first.number() - 1);
    }

    fn drop_some(&mut self, dropped: Evicted) {
        self.dropped.count += dropped.count;
        self.dropped.upto = self.dropped.upto.max(dropped.upto);
    }

    /// The event with the lowest number that it has not seen. So the numbers that it sees only grow, and whichever it
    /// saw last, it can go on from there.
    fn next(&mut self, series: &Series, epoch: u64) -> Option<Arc<Numbered>> {
        let own = |number, event| Arc::new(Numbered::new(EventId { epoch, number }, event));
        if let Some(reason) = self.reset.take() {
            let reason = reason.to_owned();
            return Some(own(self.upto, LiveEvent::Reset(LiveReset { reason })));
        }
        if let Some(missed) = self.missed.pop() {
            return Some(missed);
        }
        let mut readings = series.after(self.upto);
        let reading = readings.find(|event| self.wanted.covers(event.event()));
        let reading_at = reading.map_or(u64::MAX, |event| event.number());
        let other_at = self.others.front().map_or(u64::MAX, |e| e.number());
        let Evicted { count, upto } = self.dropped;
        let next = if count > 0 && upto < reading_at.min(other_at) {
            self.dropped = Evicted::default();
            Some(own(upto, LiveEvent::Gap(LiveGap { dropped: count })))
        } else if other_at < reading_at {
            self.others.pop()
        } else {
            reading.cloned()
        };
        if let Some(next) = &next {
            self.upto = next.number();
        }
        next
    }
}
