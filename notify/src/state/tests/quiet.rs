use super::*;

const QUIET: &str = "quiet = \"22:00-07:00\"";

fn at_night(lines: &str) -> House {
    let mut house = House::new(&format!("{QUIET}\n{lines}"));
    house.pass(11 * 60 * MINUTE);
    house
}

const TO_MORNING: i64 = 8 * 60 * MINUTE;

#[test]
fn what_can_wait_is_told_in_the_morning() {
    let mut house = at_night("");
    let morning_ms = house.now_ms + TO_MORNING;
    house.warn().heard(&[]);
    assert_eq!(house.next(), Next::At(morning_ms));
    house.pass(TO_MORNING - 1).heard(&[]);
    house.pass(1).heard(&["raised warning"]);
}

#[test]
fn what_is_over_by_then_is_not() {
    let mut house = at_night("");
    house
        .warn()
        .pass(MINUTE)
        .clear()
        .pass(TO_MORNING)
        .heard(&[]);
    // Nor what was seen meanwhile, when it is over.
    house.pass(16 * 60 * MINUTE).warn().acknowledge().clear();
    house.pass(12 * 60 * MINUTE).heard(&[]);
}

#[test]
fn what_is_urgent_is_told_at_once() {
    at_night("")
        .raise(Severity::Critical)
        .heard(&["raised critical"]);
    for class in [Class::Smoke, Class::Gas, Class::Water, Class::Intrusion] {
        let mut house = at_night("");
        house.alarm.class = Some(class);
        house.raise(Severity::Info).heard(&["raised info"]);
        house.acknowledge().clear();
        house.heard(&["acknowledged info", "cleared info"]);
    }
    let mut house = at_night("");
    house.alarm.class = Some(Class::Device);
    house.warn().heard(&[]).raise(Severity::Critical);
    house
        .heard(&["raised critical"])
        .pass(TO_MORNING)
        .heard(&[]);
}

#[test]
fn the_end_of_what_was_told_before_waits_too() {
    let mut house = at_night("");
    house
        .pass(-2 * 60 * MINUTE)
        .warn()
        .heard(&["raised warning"]);
    house.pass(2 * 60 * MINUTE).clear().heard(&[]);
    // What came and went meanwhile does not take it along.
    house.pass(MINUTE).warn().pass(MINUTE).clear();
    house.pass(TO_MORNING).heard(&["cleared warning"]);
}

#[test]
fn what_is_urgent_takes_along_what_was_before_it() {
    let mut house = at_night("");
    house
        .pass(-2 * 60 * MINUTE)
        .warn()
        .heard(&["raised warning"]);
    house.pass(2 * 60 * MINUTE).clear().heard(&[]);
    house.pass(MINUTE).raise(Severity::Critical);
    house.heard(&["cleared warning", "raised critical"]);
}

#[test]
fn messages_wait_unless_they_are_critical() {
    let mut house = at_night("");
    notice(&mut house, "later", Severity::Warning);
    notice(&mut house, "now", Severity::Critical);
    house.heard(&["now"]).pass(TO_MORNING).heard(&["later"]);
}
