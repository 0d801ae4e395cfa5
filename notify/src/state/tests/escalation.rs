use super::*;

const AFTER: &str = "after = \"10m\"";

#[test]
fn an_alarm_that_nobody_acknowledges_is_told_in_time() {
    let mut house = House::new(AFTER);
    house.warn().pass(10 * MINUTE - 1).heard(&[]);
    assert_eq!(house.next(), Next::At(NOON + 10 * MINUTE));
    house.pass(1).heard(&["raised warning"]);
    house.acknowledge().heard(&["acknowledged warning"]);
    house.clear().heard(&["cleared warning"]);
}

#[test]
fn one_that_somebody_has_seen_is_not_told() {
    let mut house = House::new(AFTER);
    house.warn().pass(9 * MINUTE).acknowledge();
    house.pass(60 * MINUTE).heard(&[]).clear().heard(&[]);
    house
        .warn()
        .pass(MINUTE)
        .clear()
        .pass(60 * MINUTE)
        .heard(&[]);
}

#[test]
fn it_counts_from_when_it_was_raised_or_got_worse_unseen() {
    let mut house = House::new(AFTER);
    // Found after a start: it has stood for long.
    house.alarm.raised_ms = NOON - 20 * MINUTE;
    house.alarm.state = AlarmState::Raised;
    house.reconcile().heard(&["raised warning"]);

    let mut house = House::new(AFTER);
    house.warn().pass(8 * MINUTE).raise(Severity::Critical);
    house
        .heard(&[])
        .pass(2 * MINUTE)
        .heard(&["raised critical"]);

    // What was seen was less bad.
    let mut house = House::new(AFTER);
    house.warn().pass(8 * MINUTE).acknowledge();
    house.pass(60 * MINUTE).raise(Severity::Critical);
    house.pass(9 * MINUTE).heard(&[]);
    house.pass(MINUTE).heard(&["raised critical"]);
}

#[test]
fn an_alarm_of_a_clock_that_is_ahead_waits_no_longer() {
    let mut house = House::new(AFTER);
    house.warn();
    // The clock is set back by a day.
    house.pass(-24 * 60 * MINUTE).heard(&["raised warning"]);

    let mut house = House::new(AFTER);
    house.alarm.raised_ms = NOON + 5 * MINUTE;
    house.alarm.state = AlarmState::Raised;
    house
        .reconcile()
        .pass(10 * MINUTE)
        .heard(&["raised warning"]);
}
