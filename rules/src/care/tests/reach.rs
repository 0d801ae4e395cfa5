use super::*;

#[test]
fn a_device_is_told_as_offline_after_a_grace_time_and_once() {
    let mut home = Home::new();
    home.online("plug", true);
    home.pass(10 * MINUTE);
    let went_ms = home.now_ms;
    home.online("plug", false);
    home.pass(4 * MINUTE);
    assert!(home.changed().is_empty());
    home.pass(2 * MINUTE);
    let fault = home.changes[0].clone();
    assert_eq!(home.changed(), ["began offline plug"]);
    assert_eq!(fault.since_ms, went_ms);
    assert_eq!(fault.severity, crate::Severity::Warning);
    home.online("plug", false);
    home.pass(3 * DAY);
    assert!(home.changed().is_empty());
    assert_eq!(home.care.faults().collect::<Vec<_>>(), [&fault]);
    home.online("plug", true);
    assert_eq!(home.changed(), ["ended offline plug"]);
    assert_eq!(home.care.faults().count(), 0);
}

#[test]
fn a_short_absence_is_no_fault() {
    let mut home = Home::new();
    for _ in 0..10 {
        home.online("plug", false);
        home.pass(4 * MINUTE);
        home.online("plug", true);
        home.pass(70 * MINUTE);
    }
    assert!(home.changed().is_empty());
}

#[test]
fn a_flapping_device_is_told_once_until_it_is_steady_for_an_hour() {
    let mut home = Home::new();
    for _ in 0..50 {
        home.online("plug", false);
        home.pass(3 * MINUTE);
        home.online("plug", true);
        home.pass(9 * MINUTE);
    }
    assert_eq!(home.changed(), ["began comes_and_goes plug"]);
    home.pass(40 * MINUTE);
    assert!(home.changed().is_empty());
    home.pass(20 * MINUTE);
    assert_eq!(home.changed(), ["ended comes_and_goes plug"]);
}

#[test]
fn a_device_that_is_away_for_long_again_and_again_comes_and_goes() {
    let mut home = Home::new();
    for _ in 0..20 {
        home.online("plug", false);
        home.pass(15 * MINUTE);
        home.restart();
        home.online("plug", true);
        home.restart();
        home.pass(25 * MINUTE);
    }
    assert_eq!(
        home.changed(),
        [
            "began offline plug",
            "ended offline plug",
            "began comes_and_goes plug"
        ]
    );
}

#[test]
fn a_flapping_device_that_stays_away_is_offline() {
    let mut home = Home::new();
    for _ in 0..3 {
        home.online("plug", true);
        home.pass(MINUTE);
        home.online("plug", false);
        home.pass(MINUTE);
    }
    assert_eq!(home.changed(), ["began comes_and_goes plug"]);
    home.pass(2 * HOUR);
    assert_eq!(
        home.changed(),
        ["ended comes_and_goes plug", "began offline plug"]
    );
    assert_eq!(home.care.faults().count(), 1);
}

#[test]
fn after_a_pause_devices_get_their_grace_again() {
    let mut home = Home::new();
    home.online("plug", false);
    home.pass(4 * MINUTE);
    home.set_clock(DAY);
    home.pass(4 * MINUTE);
    assert!(home.changed().is_empty());
    home.pass(MINUTE);
    assert_eq!(home.changed(), ["began offline plug"]);
}
