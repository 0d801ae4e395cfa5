use super::*;

/// Tells a temperature every five minutes for a week.
fn regular() -> Home {
    let mut home = Home::new();
    home.every(5 * MINUTE, 7 * DAY, |home, number| {
        home.tell("attic/temperature", 20.0 + (number % 7) as f64);
    });
    assert!(home.changed().is_empty());
    home
}

#[test]
fn a_regular_device_that_stops_is_silent_until_it_tells_something() {
    let mut home = regular();
    let last_ms = home.now_ms - 5 * MINUTE;
    home.pass(40 * MINUTE);
    assert!(home.changed().is_empty());
    home.pass(10 * MINUTE);
    let fault = home.changes[0].clone();
    assert_eq!(home.changed(), ["began silent attic"]);
    assert_eq!(fault.since_ms, last_ms);
    assert_eq!(
        fault.words,
        "has told nothing for 50m; it used to tell something every 5m"
    );
    home.pass(5 * DAY);
    assert!(home.changed().is_empty());
    home.tell("attic/temperature", 20.0);
    assert_eq!(home.changed(), ["ended silent attic"]);
}

#[test]
fn nothing_is_said_before_enough_is_known() {
    let mut home = Home::new();
    home.every(5 * MINUTE, 2 * DAY, |home, _| {
        home.tell("attic/temperature", 20.0);
    });
    home.pass(10 * DAY);
    assert!(home.changed().is_empty());
}

#[test]
fn a_device_that_only_tells_changes_is_never_silent() {
    let mut home = Home::new();
    let mut dice = Dice(7);
    for _ in 0..2_000 {
        home.tell("hall/contact", 1.0);
        home.pass(dice.between(2.0, 20.0) as i64 * SECOND);
        home.tell("hall/contact", 0.0);
        // Most visits are short after one another, and nights are quiet.
        let wait = -dice.share().max(1e-6).ln() * 40.0;
        home.pass((wait * MINUTE as f64) as i64);
    }
    home.pass(20 * DAY);
    assert!(home.changed().is_empty());
}

#[test]
fn what_is_off_at_night_is_not_silent() {
    let mut home = Home::new();
    for _ in 0..14 {
        home.every(10 * SECOND, 4 * HOUR, |home, number| {
            home.tell("tv/power", 80.0 + (number % 5) as f64);
        });
        home.pass(20 * HOUR);
    }
    assert!(home.changed().is_empty());
}

#[test]
fn what_is_off_at_weekends_is_told_once() {
    let mut home = Home::new();
    for _ in 0..6 {
        home.every(MINUTE, 5 * DAY, |home, _| home.tell("office/power", 80.0));
        home.pass(2 * DAY);
    }
    home.tell("office/power", 80.0);
    assert_eq!(
        home.changed(),
        ["began silent office", "ended silent office"]
    );
}

#[test]
fn an_offline_device_is_not_silent_as_well() {
    let mut home = regular();
    home.online("attic", true);
    home.online("attic", false);
    home.pass(DAY);
    assert_eq!(home.changed(), ["began offline attic"]);
    home.online("attic", true);
    assert_eq!(home.changed(), ["ended offline attic"]);
    // How long it was away is not its rhythm: it is still a regular one.
    home.every(5 * MINUTE, HOUR, |home, _| {
        home.tell("attic/temperature", 20.0);
    });
    home.pass(HOUR);
    assert_eq!(home.changed(), ["began silent attic"]);
}

#[test]
fn a_silent_device_that_turns_out_to_be_away_has_one_fault() {
    let mut home = regular();
    home.pass(HOUR);
    assert_eq!(home.changed(), ["began silent attic"]);
    home.online("attic", false);
    home.pass(HOUR);
    assert_eq!(
        home.changed(),
        ["ended silent attic", "began offline attic"]
    );
}

#[test]
fn a_metric_that_goes_while_the_device_goes_on_says_nothing() {
    let mut home = regular();
    home.every(25 * MINUTE, 30 * DAY, |home, number| {
        home.tell("attic/pressure", (number % 9) as f64);
        home.pass((number * 7 % 40) * MINUTE);
    });
    assert!(home.changed().is_empty());
}

#[test]
fn an_outage_of_some_minutes_is_no_silence() {
    let mut home = regular();
    for _ in 0..20 {
        home.pass(20 * MINUTE);
        home.every(5 * MINUTE, 6 * HOUR, |home, _| {
            home.tell("attic/temperature", 20.0);
        });
    }
    assert!(home.changed().is_empty());
}

#[test]
fn distances_that_were_not_watched_to_their_end_are_not_learned() {
    let mut home = Home::new();
    for _ in 0..1_000 {
        home.tell("attic/temperature", 20.0);
        home.pass(10 * MINUTE);
        home.set_clock(20 * MINUTE);
    }
    home.pass(2 * DAY);
    assert!(home.changed().is_empty());
}
