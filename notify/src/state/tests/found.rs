//! What the property in `believe` has found.

use super::*;
use crate::told::FLAP_REST_MS;

fn refuse(house: &mut House) -> &mut House {
    house.attempt(never());
    house
}

/// Six raises at once, so that it comes and goes from now on.
fn flap(house: &mut House) -> &mut House {
    for _ in 0..5 {
        house.warn().clear();
    }
    house.warn()
}

#[test]
fn what_was_seen_before_it_got_worse_is_not_told_first() {
    let mut house = House::new("");
    house.raise(Severity::Info).acknowledge().warn();
    house.heard(&["raised warning"]);
}

#[test]
fn one_time_that_it_stood_is_not_taken_for_the_next() {
    let mut house = House::new("");
    // All within one millisecond.
    house
        .raise(Severity::Info)
        .clear()
        .raise(Severity::Info)
        .warn();
    house.heard(&["raised info", "cleared info", "raised warning"]);
}

#[test]
fn what_rests_but_could_not_be_told_stays_when_the_next_time_is_seen() {
    let mut house = House::new("after = \"10m\"");
    flap(&mut house).pass(FLAP_REST_MS).attempt(away());
    house.clear().warn().acknowledge().pass(MINUTE);
    house.heard(&[
        "raised warning began",
        "raised warning ended",
        "cleared warning",
    ]);
}

#[test]
fn where_it_was_refused_that_it_comes_and_goes_the_end_of_that_is_not_told() {
    let mut house = House::new("");
    for _ in 0..5 {
        house.warn().clear().deliver();
    }
    house.heard.clear();
    refuse(house.warn())
        .acknowledge()
        .pass(FLAP_REST_MS)
        .heard(&[]);
}

#[test]
fn what_waited_before_quiet_hours_keeps_its_end() {
    let mut house = House::new("quiet = \"22:00-07:00\"");
    house.pass(9 * 60 * MINUTE).warn().clear().pass(60 * MINUTE);
    flap(&mut house).pass(9 * 60 * MINUTE);
    house.heard(&[
        "raised warning",
        "cleared warning",
        "raised warning began",
        "raised warning ended",
    ]);
}

#[test]
fn quiet_hours_are_those_of_whoever_is_told() {
    // Noon by UTC is nine in the evening in Tokyo.
    let mut house = House::new("quiet = \"22:00-07:00\"\nzone = \"Asia/Tokyo\"");
    house.pass(2 * 60 * MINUTE).warn().heard(&[]);
    house.pass(8 * 60 * MINUTE);
    house.heard(&["raised warning"]);
}
