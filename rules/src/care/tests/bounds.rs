use super::*;

#[test]
fn devices_and_series_are_bounded_and_what_is_dropped_is_counted() {
    let mut home = Home::new();
    for number in 0..DEVICES_MAX + 3 {
        home.online(&format!("d{number}"), true);
    }
    assert_eq!(home.care.stats().dropped, 3);
    assert_eq!(home.care.snapshot().devices.len(), DEVICES_MAX);
    for number in 0..CARE_SERIES_MAX + 5 {
        home.tell(&format!("d0/m{number}"), 1.0);
    }
    assert_eq!(home.care.stats().dropped, 8);
    // Those that are known go on.
    home.describe("d0/m7", "battery", "%");
    home.tell("d0/m7", 3.0);
    assert_eq!(home.changed(), ["began battery_low d0/m7"]);
    home.restart();
    home.tell("d0/new", 1.0);
    assert_eq!(home.care.stats().dropped, 1);
    home.care.forget("d0");
    home.tell("d1/new", 1.0);
    assert_eq!(home.care.stats().dropped, 1);
}

#[test]
fn long_names_are_dropped() {
    let mut home = Home::new();
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    home.tell(&format!("{long}/a"), 1.0);
    home.tell(&format!("a/{long}"), 1.0);
    home.online(&long, false);
    assert_eq!(home.care.stats().dropped, 3);
    assert_eq!(home.care.snapshot().devices.len(), 0);
}

#[test]
fn pairs_are_bounded() {
    let mut home = Home::new();
    let names: Vec<String> = (0..PAIRS_MAX + 2)
        .map(|number| format!("d{number}"))
        .collect();
    let pairs = names.iter().map(|name| [("a", "t"), (&**name, "t")]);
    home.care.set_neighbours(pairs);
    assert_eq!(home.care.stats().pairs_dropped, 2);
    assert_eq!(home.care.snapshot().pairs.len(), PAIRS_MAX);
}

#[test]
fn what_is_long_gone_is_forgotten() {
    let mut home = Home::new();
    home.describe("kept/battery", "battery", "%");
    home.tell("gone/value", 1.0);
    home.tell("low/battery_low", 1.0);
    home.online("away", false);
    home.pass(31 * DAY);
    let devices = home.care.snapshot().devices;
    assert_eq!(devices.keys().collect::<Vec<_>>(), ["away", "kept", "low"]);
}

#[test]
fn a_state_does_not_grow() {
    let mut home = Home::new();
    home.describe("attic/temperature", "temperature", "°C");
    let size = |home: &Home| {
        serde_json::to_string(&home.care.snapshot())
            .expect("json")
            .len()
    };
    home.every(MINUTE, 8 * DAY, |home, number| {
        home.tell("attic/temperature", (number % 70) as f64);
    });
    let before = size(&home);
    home.every(MINUTE, 20 * DAY, |home, number| {
        home.tell("attic/temperature", (number % 70) as f64);
        home.online("attic", number % 5 != 0);
    });
    assert!(size(&home) < before + 400, "{before} {}", size(&home));
    assert!(before < 800, "{before}");
}

#[test]
fn ids_are_short_and_of_plain_characters() {
    let began = |device: &str, kind| CareChange::began(device, kind, String::new(), 0);
    assert_eq!(
        began("home/kitchen", FaultKind::Silent).of("x").alarm_id(),
        "device/home/kitchen/silent"
    );
    assert_eq!(
        began("5daa", FaultKind::Stuck).of("temperature").alarm_id(),
        "device/5daa/stuck/temperature"
    );
    let long = "ö".repeat(300);
    let ids = [
        began(&long, FaultKind::Silent).alarm_id(),
        began(&long, FaultKind::Offline).alarm_id(),
        began("a", FaultKind::Stuck).of("temperature#2").alarm_id(),
        began("a", FaultKind::Stuck).of("temperature+2").alarm_id(),
        began("a", FaultKind::Stuck).of("temperature\n2").alarm_id(),
    ];
    for (number, id) in ids.iter().enumerate() {
        assert!(id.chars().count() <= ALARM_ID_CHARS_MAX, "{id}");
        assert!(!id.contains(['#', '+', '\n']), "{id}");
        assert!(!ids[..number].contains(id), "{id}");
    }
    assert_eq!(ids[2], "device/a/stuck/temperature_2~b39849c3643a81f4");
}

#[test]
fn changes_have_a_form_of_their_own_in_json() {
    let change = CareChange::began("attic", FaultKind::OutOfRange, "tells 900 °C".into(), 5);
    let json = serde_json::to_value(change.of("temperature")).expect("json");
    assert_eq!(
        json,
        serde_json::json!({"device": "attic", "metric": "temperature", "kind": "out_of_range",
            "severity": "warning", "words": "tells 900 °C", "since_ms": 5, "state": "began"})
    );
    let change: CareChange = serde_json::from_value(json).expect("change");
    assert_eq!(change.metric.as_deref(), Some("temperature"));
}

#[test]
fn what_is_forgotten_has_no_faults() {
    let mut home = Home::new();
    home.tell("leak/battery_low", 1.0);
    home.tell("leak/value", f64::NAN);
    home.online("leak", false);
    home.pass(HOUR);
    assert_eq!(home.changed().len(), 3);
    let told = home.care.forget("leak");
    assert_eq!(told.len(), 3);
    assert_eq!(home.care.faults().count(), 0);
    assert_eq!(home.care.stats().began, 3);
    assert_eq!(home.care.stats().ended, 3);
}
