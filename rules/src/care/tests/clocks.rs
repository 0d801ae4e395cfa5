use super::*;

/// Twenty devices that tell something every minute, and one that is away.
fn busy() -> Home {
    let mut home = Home::new();
    home.online("away", false);
    home.every(MINUTE, 5 * DAY, tell_all);
    assert_eq!(home.changed(), ["began offline away"]);
    home
}

fn tell_all(home: &mut Home, number: i64) {
    for device in 0..20 {
        home.tell(&format!("d{device}/temperature"), (number % 11) as f64);
    }
}

fn check(by_ms: i64) {
    let mut home = busy();
    home.pass(50 * SECOND);
    home.set_clock(by_ms);
    home.pass(20 * MINUTE);
    home.every(MINUTE, DAY, tell_all);
    assert_eq!(home.changed(), Vec::<String>::new(), "clock set by {by_ms}");
}

#[test]
fn a_clock_that_is_set_makes_nothing_a_fault() {
    for by_ms in [
        2 * HOUR,
        -2 * HOUR,
        HOUR,
        -HOUR,
        4 * MINUTE,
        -4 * MINUTE,
        400 * DAY,
        -400 * DAY,
    ] {
        check(by_ms);
    }
}

#[test]
fn a_clock_that_swings_makes_nothing_a_fault() {
    let mut home = busy();
    for _ in 0..200 {
        home.set_clock(2 * HOUR);
        home.every(MINUTE, 5 * MINUTE, tell_all);
        home.set_clock(-2 * HOUR);
        home.every(MINUTE, 5 * MINUTE, tell_all);
    }
    assert!(home.changed().is_empty());
    assert!(home.care.stats().pauses >= 400);
}

#[test]
fn a_device_that_dies_is_still_found_after_the_clock_was_set_back() {
    let mut home = busy();
    home.set_clock(-10 * DAY);
    home.every(MINUTE, HOUR, |home, number| {
        for device in 1..20 {
            home.tell(&format!("d{device}/temperature"), (number % 11) as f64);
        }
    });
    assert_eq!(home.changed(), ["began silent d0"]);
}

#[test]
fn readings_a_little_older_than_the_last_tick_cost_no_time() {
    let mut home = Home::new();
    for number in 0..4 * 24 * 60 {
        home.tell("a/b", (number % 3) as f64);
        home.pass(MINUTE);
        home.now_ms -= 20 * SECOND;
        home.tell("a/c", 1.0);
        home.now_ms += 20 * SECOND;
    }
    let watched_ms = home.care.snapshot().clock.now().watched_ms;
    assert_eq!(watched_ms, 4 * DAY);
    assert_eq!(home.care.stats().pauses, 1);
}

#[test]
fn the_ends_of_time_do_no_harm() {
    let mut home = busy();
    for now_ms in [i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN, -1, i64::MAX] {
        home.now_ms = now_ms;
        home.tell("d0/temperature", 1.0);
        home.online("d1", now_ms == 0);
        home.care.tick(now_ms);
        assert!(home.care.next_wake().is_some());
    }
}

#[test]
fn there_is_to_look_every_minute() {
    let mut care = Care::new();
    assert_eq!(care.next_wake(), None);
    care.tick(BEGIN_MS);
    assert_eq!(care.next_wake(), Some(BEGIN_MS + LOOK_MS));
    care.tick(BEGIN_MS + 20 * SECOND);
    assert_eq!(care.next_wake(), Some(BEGIN_MS + LOOK_MS));
    care.tick(BEGIN_MS + 61 * SECOND);
    assert_eq!(care.next_wake(), Some(BEGIN_MS + 2 * LOOK_MS));
}
