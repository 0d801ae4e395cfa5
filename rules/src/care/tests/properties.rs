use proptest::prelude::*;

use super::*;

/// One thing that happens, and how long after the one before.
#[derive(Debug, Clone)]
struct Thing {
    after_ms: i64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    /// Series and value.
    Tell(usize, f64),
    /// For so long, a series tells something every five minutes: the same, or not.
    Go(usize, i64, bool),
    Online(usize, bool),
    Describe(usize, usize),
    Forget(usize),
    Neighbours(bool),
    Clock(i64),
    Nothing,
}

const DEVICES: [&str; 3] = ["hall", "living", "door"];
const SERIES: [&str; 5] = [
    "hall/temperature",
    "living/temperature",
    "living/humidity",
    "door/battery",
    "door/battery_low",
];
const KINDS: [(&str, &str); 4] = [
    ("temperature", "°C"),
    ("humidity", "%"),
    ("battery", "%"),
    ("", ""),
];

fn values() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (0..100_u8).prop_map(f64::from),
        2 => (0..1_000_u16).prop_map(|value| f64::from(value) / 7.0),
        1 => Just(f64::NAN),
        1 => Just(-300.0),
        1 => any::<f64>(),
    ]
}

fn things() -> impl Strategy<Value = Vec<Thing>> {
    let what = prop_oneof![
        8 => (0..SERIES.len(), values()).prop_map(|(series, value)| What::Tell(series, value)),
        6 => (0..SERIES.len(), 1..120_i64, any::<bool>()).prop_map(|(series, hours, same)| What::Go(series, hours, same)),
        4 => (0..DEVICES.len(), any::<bool>()).prop_map(|(device, online)| What::Online(device, online)),
        2 => (0..SERIES.len(), 0..KINDS.len()).prop_map(|(series, kind)| What::Describe(series, kind)),
        1 => (0..DEVICES.len()).prop_map(What::Forget),
        1 => any::<bool>().prop_map(What::Neighbours),
        1 => (-300..300_i64).prop_map(|minutes| What::Clock(minutes * MINUTE)),
        1 => Just(What::Nothing),
    ];
    let after_ms = prop_oneof![
        3 => Just(0),
        3 => 1..90_000_i64,
        2 => Just(HOUR),
        1 => Just(DAY),
    ];
    let thing = (after_ms, what).prop_map(|(after_ms, what)| Thing { after_ms, what });
    prop::collection::vec(thing, 1..40)
}

fn neighbours(home: &mut Home, are: bool) {
    let pair = [("hall", "temperature"), ("living", "temperature")];
    let told = home.care.set_neighbours(are.then_some(pair));
    home.changes.extend(told);
}

fn begin() -> Home {
    let mut home = Home::new();
    for (series, kind) in SERIES.iter().zip([0, 0, 1, 2, 3]) {
        home.describe(series, KINDS[kind].0, KINDS[kind].1);
    }
    neighbours(&mut home, true);
    home.every(5 * MINUTE, 4 * DAY, |home, number| {
        for series in &SERIES[..3] {
            home.tell(series, 20.0 + (number % 20) as f64);
        }
    });
    home
}

/// What they come to, with restarts before those of these numbers.
fn run(things: &[Thing], restarts: &[usize]) -> Vec<CareChange> {
    let mut home = begin();
    for (number, thing) in things.iter().enumerate() {
        if restarts.contains(&number) {
            home.restart();
        }
        home.pass(thing.after_ms);
        match thing.what {
            What::Tell(series, value) => home.tell(SERIES[series], value),
            What::Go(series, hours, same) => {
                home.every(5 * MINUTE, hours * HOUR, |home, number| {
                    let value = if same { 21.0 } else { (number % 31) as f64 };
                    home.tell(SERIES[series], value);
                });
            }
            What::Online(device, online) => home.online(DEVICES[device], online),
            What::Describe(series, kind) => {
                home.describe(SERIES[series], KINDS[kind].0, KINDS[kind].1);
            }
            What::Forget(device) => {
                let told = home.care.forget(DEVICES[device]);
                home.changes.extend(told);
            }
            What::Neighbours(are) => neighbours(&mut home, are),
            What::Clock(by_ms) => home.set_clock(by_ms),
            What::Nothing => home.pass(0),
        }
        let standing: Vec<_> = home.care.faults().cloned().collect();
        check_standing(&home.changes, standing);
    }
    home.pass(2 * DAY);
    home.changes
}

/// Each fault begins when it does not stand and ends when it does; what stands is what began and did not end.
fn check_standing(changes: &[CareChange], standing: Vec<CareChange>) {
    let mut expected: BTreeMap<String, CareChange> = BTreeMap::new();
    for change in changes {
        let id = change.alarm_id();
        match change.state {
            FaultState::Began => assert_eq!(expected.insert(id, change.clone()), None),
            FaultState::Ended => {
                let began = expected.remove(&id).expect("it stood");
                assert_eq!(
                    (began.words, began.since_ms),
                    (change.words.clone(), change.since_ms)
                );
            }
        }
    }
    let standing: BTreeMap<_, _> = standing
        .into_iter()
        .map(|fault| (fault.alarm_id(), fault))
        .collect();
    assert_eq!(expected, standing);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn restarts_change_nothing(things in things(), restarts in prop::collection::vec(0..40_usize, 1..6)) {
        prop_assert_eq!(run(&things, &restarts), run(&things, &[]));
    }

    #[test]
    fn readings_that_counted_before_count_for_nothing(things in things()) {
        let mut home = begin();
        let mut again = Vec::new();
        for thing in &things {
            home.pass(thing.after_ms);
            if let What::Tell(series, value) = thing.what {
                home.tell(SERIES[series], value);
                again.push((home.seq, SERIES[series], value));
            }
        }
        home.restart();
        let state = home.care.snapshot();
        for (seq, series, value) in again {
            let (device, metric) = named(series);
            let reading = Reading { seq, ts_ms: 0, device, metric, value: Some(value), text: None, replayed: false };
            prop_assert_eq!(home.care.on(&Input::Reading(reading), home.now_ms), []);
            let reading = Reading { seq: u64::MAX, replayed: true, ..reading };
            prop_assert_eq!(home.care.on(&Input::Reading(reading), home.now_ms), []);
        }
        prop_assert_eq!(home.care.snapshot(), state);
    }
}

#[test]
fn it_takes_what_an_engine_takes() {
    let mut care = Care::new();
    let place = Place {
        zone: jiff::tz::TimeZone::UTC,
        coordinates: None,
    };
    let mut engine = Engine::new(place);
    let inputs = [
        Input::Mode("night"),
        Input::Presence {
            member: "ada",
            home: true,
        },
        Input::Alarm {
            id: "leak",
            state: AlarmState::Raised,
        },
        Input::Online {
            device: "hall",
            online: true,
        },
    ];
    for input in &inputs {
        assert_eq!(care.on(input, BEGIN_MS), []);
        assert_eq!(engine.on(input, BEGIN_MS), []);
    }
}
