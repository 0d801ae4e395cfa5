#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use tokio::time::{Instant, advance};

use super::*;

const EPOCH: u64 = 0xab;

fn hub() -> Arc<LiveHub> {
    Arc::new(LiveHub::new(EPOCH, LiveMetrics::default()))
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
        LiveEvent::Gap(gap) => format!("gap {}", gap.dropped),
        LiveEvent::Reset(_) => "reset".to_owned(),
    }
}

/// What a listener finds now, and the id of the last of it.
fn taken(listener: &mut Listener) -> (Vec<String>, String) {
    let mut found = Vec::new();
    let mut id = listener.start().to_owned();
    while let Some(Some(event)) = listener.next().now_or_never() {
        found.push(words(&event));
        id = event.id();
    }
    (found, id)
}

fn heard(listener: &mut Listener) -> Vec<String> {
    taken(listener).0
}

fn listen(hub: &Arc<LiveHub>) -> Listener {
    hub.listen(Wanted::default(), None).unwrap()
}

fn resume(hub: &Arc<LiveHub>, id: &str) -> Listener {
    hub.listen(Wanted::default(), Some(id)).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_series_is_told_at_once_and_then_by_its_latest_value() {
    let hub = hub();
    let mut listener = listen(&hub);
    hub.push(reading("a", 1.0));
    assert_eq!(heard(&mut listener), ["a=1"]);
    for value in [2.0, 3.0, 4.0] {
        hub.push(reading("a", value));
    }
    hub.push(reading("b", 1.0));
    assert_eq!(heard(&mut listener), ["b=1"]);
    // Nobody pushes any more; the last value comes all the same, when the pause has ended.
    let before = Instant::now();
    assert_eq!(words(&listener.next().await.unwrap()), "a=4");
    assert_eq!(before.elapsed(), SERIES_PAUSE);
    advance(SERIES_PAUSE).await;
    assert_eq!(heard(&mut listener), Vec::<String>::new());
    hub.push(reading("a", 5.0));
    assert_eq!(heard(&mut listener), ["a=5"]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_listener_gets_the_latest_values_and_all_the_rest() {
    let hub = hub();
    let mut listener = listen(&hub);
    for n in 0..10 {
        hub.push(reading("a", f64::from(n)));
        hub.push(twin("a", &n.to_string()));
        advance(SERIES_PAUSE).await;
    }
    let mut expected: Vec<String> = (0..9).map(|n| format!("a:{n}")).collect();
    expected.extend(["a=9".to_owned(), "a:9".to_owned()]);
    assert_eq!(heard(&mut listener), expected);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_falls_behind_is_told_how_much_was_dropped() {
    let hub = hub();
    let (mut slow, mut filtered) = (listen(&hub), {
        let devices = vec!["b".to_owned()];
        let wanted = Wanted {
            devices,
            ..Wanted::default()
        };
        hub.listen(wanted, None).unwrap()
    });
    for n in 0..LISTENER_EVENTS_MAX + 7 {
        hub.push(twin("a", &n.to_string()));
    }
    hub.push(reading("a", 1.0));
    let found = heard(&mut slow);
    assert_eq!(found.len(), LISTENER_EVENTS_MAX + 2);
    assert_eq!((&*found[0], &*found[1]), ("gap 7", "a:7"));
    assert_eq!(found.last().unwrap(), "a=1");
    assert_eq!(heard(&mut filtered), Vec::<String>::new());
    hub.push(twin("a", "more"));
    assert_eq!(heard(&mut slow), ["a:more"]);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_misses_nothing_and_gets_nothing_twice() {
    let hub = hub();
    let mut listener = listen(&hub);
    hub.push(reading("a", 1.0));
    hub.push(twin("a", "x"));
    let (found, id) = taken(&mut listener);
    assert_eq!(found, ["a=1", "a:x"]);
    drop(listener);
    advance(SERIES_PAUSE).await;
    hub.push(reading("a", 2.0));
    hub.push(twin("a", "y"));
    advance(SERIES_PAUSE).await;
    hub.push(reading("a", 3.0));
    let mut back = resume(&hub, &id);
    assert_eq!(back.start(), id);
    hub.push(twin("a", "z"));
    let (found, id) = taken(&mut back);
    assert_eq!(found, ["a=2", "a:y", "a=3", "a:z"]);
    assert_eq!(heard(&mut resume(&hub, &id)), Vec::<String>::new());
    // Who had no event yet goes on from where it began.
    let fresh = listen(&hub);
    hub.push(twin("a", "w"));
    let start = fresh.start().to_owned();
    drop(fresh);
    assert_eq!(heard(&mut resume(&hub, &start)), ["a:w"]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_gives_a_reset_and_the_latest_values() {
    let hub = hub();
    for (device, value) in [("a", 1.0), ("b", 2.0)] {
        hub.push(reading(device, value));
    }
    hub.push(twin("a", "x"));
    advance(SERIES_PAUSE).await;
    hub.push(reading("a", 3.0));
    for id in ["", "7", "00000000000000ab-5", "00000000000000cd-1", "ab-x"] {
        let mut listener = resume(&hub, id);
        let first = listener.next().now_or_never().unwrap().unwrap();
        assert_eq!(words(&first), "reset", "{id}");
        // Broken off here, it is shown the same values again.
        let again = heard(&mut resume(&hub, &first.id()));
        assert!(again.ends_with(&["a=3".to_owned()]), "{again:?}");
        assert!(again.contains(&"b=2".to_owned()), "{again:?}");
        assert_eq!(heard(&mut listener), ["b=2", "a=3"], "{id}");
        hub.push(twin("a", "y"));
        assert_eq!(heard(&mut listener), ["a:y"], "{id}");
        // The next id would otherwise be one that there is.
        if id.ends_with("-5") {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_that_the_ring_has_lost_gives_a_reset() {
    let hub = hub();
    let start = listen(&hub).start().to_owned();
    for n in 0..RING_EVENTS_MAX {
        hub.push(twin("a", &n.to_string()));
    }
    assert_eq!(heard(&mut resume(&hub, &start)).len(), RING_EVENTS_MAX);
    hub.push(twin("a", "one more"));
    assert_eq!(heard(&mut resume(&hub, &start)), ["reset"]);
    // By bytes as well.
    let start = listen(&hub).start().to_owned();
    let large = "x".repeat(RING_BYTES_MAX / 8);
    for _ in 0..6 {
        hub.push(twin("a", &large));
    }
    assert_eq!(heard(&mut resume(&hub, &start)), ["reset"]);
}

#[tokio::test(start_paused = true)]
async fn series_beyond_the_bound_are_forgotten_and_told_as_dropped() {
    let hub = hub();
    let mut listener = listen(&hub);
    for n in 0..SERIES_MAX + 3 {
        hub.push(reading(&n.to_string(), 0.0));
    }
    let found = heard(&mut listener);
    assert_eq!((&*found[0], &*found[1]), ("gap 3", "3=0"));
    assert_eq!(found.len(), SERIES_MAX + 1);
}

#[tokio::test(start_paused = true)]
async fn a_time_that_nothing_was_gathered_in_is_told() {
    let hub = hub();
    hub.feed_began();
    let mut listener = listen(&hub);
    hub.push(reading("a", 1.0));
    let (_, id) = taken(&mut listener);
    hub.feed_ended();
    assert_eq!(heard(&mut listener), ["reset"]);
    let (found, after) = taken(&mut resume(&hub, &id));
    assert_eq!(found, ["reset"]);
    assert_eq!(heard(&mut resume(&hub, &after)), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn listeners_are_counted_bounded_and_leased() {
    let hub = hub();
    assert!(hub.wanted().now_or_never().is_none());
    let mut all: Vec<Listener> = (0..LISTENERS_MAX).map(|_| listen(&hub)).collect();
    assert_eq!(*hub.listeners().borrow(), LISTENERS_MAX);
    assert!(hub.wanted().now_or_never().is_some());
    assert!(hub.listen(Wanted::default(), None).is_err());
    // One that reads nothing while events wait gives its place away.
    hub.push(twin("a", "x"));
    for listener in &mut all[1..] {
        assert_eq!(heard(listener), ["a:x"]);
    }
    assert!(hub.listen(Wanted::default(), None).is_err());
    advance(STALLED_AFTER + Duration::from_secs(1)).await;
    let newcomer = listen(&hub);
    assert!(all[0].next().await.is_none());
    drop((newcomer, all));
    assert_eq!(*hub.listeners().borrow(), 0);
    let before = Instant::now();
    hub.unwanted().await;
    assert_eq!(before.elapsed(), LEASE_TAIL);
}

#[tokio::test(start_paused = true)]
async fn filters_hold() {
    let hub = hub();
    let of = |devices: &[&str], kinds: &[LiveKind]| {
        let wanted = Wanted {
            devices: devices.iter().map(|&d| d.to_owned()).collect(),
            kinds: kinds.to_vec(),
        };
        hub.listen(wanted, None).unwrap()
    };
    let mut device = of(&["a"], &[]);
    let mut kind = of(&[], &[LiveKind::Reading, LiveKind::Presence]);
    let mut both = of(&["b"], &[LiveKind::Twin]);
    hub.push_all([
        reading("a", 1.0),
        reading("b", 2.0),
        twin("b", "x"),
        LiveEvent::Presence(LivePresence::device("b", true, 0)),
        LiveEvent::Presence(LivePresence::of_box("0000000000000001", false, 0)),
    ]);
    assert_eq!(heard(&mut device), ["a=1", "0000000000000001!false"]);
    assert_eq!(
        heard(&mut kind),
        ["a=1", "b=2", "b!true", "0000000000000001!false"]
    );
    assert_eq!(heard(&mut both), ["b:x"]);
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
