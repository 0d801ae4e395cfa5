#![allow(clippy::unwrap_used)]

use std::{cell::Cell, sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::time::Instant;

use super::{hub::Found, *};

const EPOCH: u64 = 0xab;

/// A hub whose time passes when a test says so.
struct Bench {
    hub: Arc<LiveHub>,
    now: Cell<Instant>,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            hub: Arc::new(LiveHub::new(EPOCH, LiveMetrics::default())),
            now: Cell::new(Instant::now()),
        }
    }

    fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }

    fn push(&self, event: LiveEvent) {
        self.hub.push_at([event], self.now.get());
    }

    fn listen_to(&self, wanted: Wanted, id: Option<&str>) -> Result<Listener, TooMany> {
        self.hub.listen_at(wanted, id, self.now.get())
    }

    fn listen(&self) -> Listener {
        self.listen_to(Wanted::default(), None).unwrap()
    }

    fn resume(&self, id: &str) -> Listener {
        self.listen_to(Wanted::default(), Some(id)).unwrap()
    }

    fn next(&self, listener: &Listener) -> Option<Arc<Numbered>> {
        match listener.look(self.now.get()) {
            Found::Event(event) => Some(event),
            Found::Nothing(_) | Found::Gone => None,
        }
    }

    /// What a listener finds now, and the id of the last of it.
    fn taken(&self, listener: &Listener) -> (Vec<String>, String) {
        let mut found = Vec::new();
        let mut id = listener.start().to_owned();
        while let Some(event) = self.next(listener) {
            found.push(words(&event));
            id = event.id();
        }
        (found, id)
    }

    fn heard(&self, listener: &Listener) -> Vec<String> {
        self.taken(listener).0
    }
}

fn reading(device: &str, value: f64) -> LiveEvent {
    LiveEvent::Reading(LiveReading {
        device: device.to_owned(),
        metric: "temperature".to_owned(),
        value: Some(value),
        text: None,
        unit: None,
        ts: String::new(),
        received: String::new(),
    })
}

fn twin(device: &str, changed: &str) -> LiveEvent {
    LiveEvent::Twin(LiveTwin {
        device: device.to_owned(),
        changed: vec![changed.to_owned()],
    })
}

/// An event in a few words.
fn words(event: &Numbered) -> String {
    match event.event() {
        LiveEvent::Reading(reading) => format!("{}={}", reading.device, reading.value.unwrap()),
        LiveEvent::Twin(twin) => format!("{}:{}", twin.device, twin.changed[0]),
        LiveEvent::Presence(presence) => format!("{}!{}", presence.id, presence.online),
        LiveEvent::Alarm(alarm) => format!("{}!{}", alarm.alarm, alarm.state),
        LiveEvent::Gap(gap) => format!("gap {}", gap.dropped),
        LiveEvent::Reset(_) => "reset".to_owned(),
    }
}

#[test]
fn a_series_is_told_at_once_and_then_by_its_latest_value() {
    let bench = Bench::new();
    let listener = bench.listen();
    bench.push(reading("a", 1.0));
    assert_eq!(bench.heard(&listener), ["a=1"]);
    for value in [2.0, 3.0, 4.0] {
        bench.push(reading("a", value));
    }
    bench.push(reading("b", 1.0));
    assert_eq!(bench.heard(&listener), ["b=1"]);
    // Nobody pushes any more; the last value comes all the same, when the pause has ended.
    let Found::Nothing(Some(due)) = listener.look(bench.now.get()) else {
        panic!("a value waits");
    };
    assert_eq!(due, bench.now.get() + SERIES_PAUSE);
    bench.pass(SERIES_PAUSE);
    assert_eq!(bench.heard(&listener), ["a=4"]);
    bench.pass(SERIES_PAUSE);
    assert_eq!(bench.heard(&listener), Vec::<String>::new());
    bench.push(reading("a", 5.0));
    assert_eq!(bench.heard(&listener), ["a=5"]);
}

#[test]
fn a_slow_listener_gets_the_latest_values_and_all_the_rest() {
    let bench = Bench::new();
    let listener = bench.listen();
    for n in 0..10 {
        bench.push(reading("a", f64::from(n)));
        bench.push(twin("a", &n.to_string()));
        bench.pass(SERIES_PAUSE);
    }
    let mut expected: Vec<String> = (0..9).map(|n| format!("a:{n}")).collect();
    expected.extend(["a=9".to_owned(), "a:9".to_owned()]);
    assert_eq!(bench.heard(&listener), expected);
}

#[test]
fn a_listener_that_falls_behind_is_told_how_much_was_dropped() {
    let bench = Bench::new();
    let (slow, filtered) = (bench.listen(), {
        let devices = vec!["b".to_owned()];
        let wanted = Wanted {
            devices,
            ..Wanted::default()
        };
        bench.listen_to(wanted, None).unwrap()
    });
    for n in 0..LISTENER_EVENTS_MAX + 7 {
        bench.push(twin("a", &n.to_string()));
    }
    bench.push(reading("a", 1.0));
    let found = bench.heard(&slow);
    assert_eq!(found.len(), LISTENER_EVENTS_MAX + 2);
    assert_eq!((&*found[0], &*found[1]), ("gap 7", "a:7"));
    assert_eq!(found.last().unwrap(), "a=1");
    assert_eq!(bench.heard(&filtered), Vec::<String>::new());
    bench.push(twin("a", "more"));
    assert_eq!(bench.heard(&slow), ["a:more"]);
}

#[test]
fn who_comes_back_misses_nothing_and_gets_nothing_twice() {
    let bench = Bench::new();
    let listener = bench.listen();
    bench.push(reading("a", 1.0));
    bench.push(twin("a", "x"));
    let (found, id) = bench.taken(&listener);
    assert_eq!(found, ["a=1", "a:x"]);
    drop(listener);
    bench.pass(SERIES_PAUSE);
    bench.push(reading("a", 2.0));
    bench.push(twin("a", "y"));
    bench.pass(SERIES_PAUSE);
    bench.push(reading("a", 3.0));
    let back = bench.resume(&id);
    assert_eq!(back.start(), id);
    bench.push(twin("a", "z"));
    let (found, id) = bench.taken(&back);
    assert_eq!(found, ["a=2", "a:y", "a=3", "a:z"]);
    assert_eq!(bench.heard(&bench.resume(&id)), Vec::<String>::new());
    // Who had no event yet goes on from where it began.
    let fresh = bench.listen();
    bench.push(twin("a", "w"));
    let start = fresh.start().to_owned();
    drop(fresh);
    assert_eq!(bench.heard(&bench.resume(&start)), ["a:w"]);
}

#[test]
fn an_unknown_id_gives_a_reset_and_the_latest_values() {
    let bench = Bench::new();
    for (device, value) in [("a", 1.0), ("b", 2.0)] {
        bench.push(reading(device, value));
    }
    bench.push(twin("a", "x"));
    bench.pass(SERIES_PAUSE);
    bench.push(reading("a", 3.0));
    for id in ["00000000000000ab-5", "00000000000000cd-1", "ab-x", "7", ""] {
        let listener = bench.resume(id);
        let first = bench.next(&listener).unwrap();
        assert_eq!(words(&first), "reset", "{id}");
        // Broken off here, it is shown the same values again.
        let again = bench.heard(&bench.resume(&first.id()));
        for value in ["b=2", "a=3"] {
            assert!(again.iter().any(|told| told == value), "{again:?}");
        }
        assert_eq!(bench.heard(&listener), ["b=2", "a=3"], "{id}");
        bench.push(twin("a", "y"));
        assert_eq!(bench.heard(&listener), ["a:y"], "{id}");
    }
}

#[test]
fn an_id_that_the_ring_has_lost_gives_a_reset() {
    let bench = Bench::new();
    let start = bench.listen().start().to_owned();
    for n in 0..RING_EVENTS_MAX {
        bench.push(twin("a", &n.to_string()));
    }
    assert_eq!(bench.heard(&bench.resume(&start)).len(), RING_EVENTS_MAX);
    bench.push(twin("a", "one more"));
    assert_eq!(bench.heard(&bench.resume(&start)), ["reset"]);
    // By bytes as well.
    let start = bench.listen().start().to_owned();
    let large = "x".repeat(RING_BYTES_MAX / 8);
    for _ in 0..6 {
        bench.push(twin("a", &large));
    }
    assert_eq!(bench.heard(&bench.resume(&start)), ["reset"]);
}

#[test]
fn series_beyond_the_bound_are_forgotten_and_told_as_dropped() {
    let bench = Bench::new();
    let listener = bench.listen();
    for n in 0..SERIES_MAX + 3 {
        bench.push(reading(&n.to_string(), 0.0));
    }
    let found = bench.heard(&listener);
    assert_eq!((&*found[0], &*found[1]), ("gap 3", "3=0"));
    assert_eq!(found.len(), SERIES_MAX + 1);
}

#[test]
fn a_time_that_nothing_was_gathered_in_is_told() {
    let bench = Bench::new();
    bench.hub.feed_began();
    let listener = bench.listen();
    bench.push(reading("a", 1.0));
    let (_, id) = bench.taken(&listener);
    bench.hub.feed_ended();
    assert_eq!(bench.heard(&listener), ["reset"]);
    let (found, after) = bench.taken(&bench.resume(&id));
    assert_eq!(found, ["reset"]);
    assert_eq!(bench.heard(&bench.resume(&after)), Vec::<String>::new());
}

#[test]
fn listeners_are_counted_and_bounded() {
    let bench = Bench::new();
    let hub = &bench.hub;
    assert!(hub.wanted().now_or_never().is_none());
    let all: Vec<Listener> = (0..LISTENERS_MAX).map(|_| bench.listen()).collect();
    assert_eq!(*hub.listeners().borrow(), LISTENERS_MAX);
    assert!(hub.wanted().now_or_never().is_some());
    let full = || bench.listen_to(Wanted::default(), None).is_err();
    assert!(full());
    // One that reads nothing while events wait gives its place away.
    bench.push(twin("a", "x"));
    for listener in &all[1..] {
        assert_eq!(bench.heard(listener), ["a:x"]);
    }
    assert!(full());
    bench.pass(STALLED_AFTER + Duration::from_secs(1));
    let newcomer = bench.listen();
    assert!(full());
    assert!(matches!(all[0].look(bench.now.get()), Found::Gone));
    drop((newcomer, all));
    assert_eq!(*hub.listeners().borrow(), 0);
}

/// By the machine's own clock: a listener that sleeps is woken by an event, and by the end of a pause.
#[tokio::test]
async fn a_listener_is_woken() {
    let hub = Arc::new(LiveHub::new(EPOCH, LiveMetrics::default()));
    let mut listener = hub.listen(Wanted::default(), None).unwrap();
    let listening = tokio::spawn(async move {
        let mut heard = Vec::new();
        for _ in 0..3 {
            heard.push(words(&listener.next().await.unwrap()));
        }
        heard
    });
    tokio::task::yield_now().await;
    hub.push_all([reading("a", 1.0), reading("a", 2.0), twin("a", "x")]);
    let heard = tokio::time::timeout(Duration::from_secs(20), listening).await;
    assert_eq!(heard.unwrap().unwrap(), ["a=1", "a:x", "a=2"]);
}

#[test]
fn filters_hold() {
    let bench = Bench::new();
    let of = |devices: &[&str], kinds: &[LiveKind]| {
        let wanted = Wanted {
            devices: devices.iter().map(|&d| d.to_owned()).collect(),
            kinds: kinds.to_vec(),
        };
        bench.listen_to(wanted, None).unwrap()
    };
    let device = of(&["a"], &[]);
    let kind = of(&[], &[LiveKind::Reading, LiveKind::Presence]);
    let both = of(&["b"], &[LiveKind::Twin]);
    bench.hub.push_all([
        reading("a", 1.0),
        reading("b", 2.0),
        twin("b", "x"),
        LiveEvent::Presence(LivePresence::device("b", true, 0)),
        LiveEvent::Presence(LivePresence::of_box("0000000000000001", false, 0)),
    ]);
    assert_eq!(bench.heard(&device), ["a=1", "0000000000000001!false"]);
    assert_eq!(
        bench.heard(&kind),
        ["a=1", "b=2", "b!true", "0000000000000001!false"]
    );
    assert_eq!(bench.heard(&both), ["b:x"]);
}

#[test]
fn both_forms_of_json_are_one() {
    use poem_openapi::types::ToJSON;
    for event in [
        reading("a", 1.5),
        twin("a", "x"),
        LiveEvent::Presence(LivePresence::device("b", true, 0)),
        LiveEvent::Gap(LiveGap { dropped: 3 }),
        LiveEvent::Reset(LiveReset {
            reason: "r".to_owned(),
        }),
    ] {
        let ours = serde_json::to_value(&event).unwrap();
        assert_eq!(ours["kind"], event.name());
        assert_eq!(Some(&ours), event.to_json().as_ref());
        assert_eq!(serde_json::from_value::<LiveEvent>(ours).unwrap(), event);
    }
}
