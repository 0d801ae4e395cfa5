use super::*;

const PAIR: [SeriesName<'static>; 2] = [("a", "temperature"), ("b", "temperature")];

/// Two sensors side by side, one of which stands in the sun.
fn neighbours() -> Home {
    let mut home = Home::new();
    home.describe("a/temperature", "temperature", "°C");
    home.describe("b/temperature", "temperature", "°C");
    home.care.set_neighbours([PAIR]);
    home
}

fn days(home: &mut Home, days: i64, mut off: impl FnMut(i64) -> f64) -> Vec<String> {
    let mut dice = Dice(11);
    home.every(15 * MINUTE, days * DAY, |home, number| {
        let hour = (number / 4 % 24) as f64;
        let outside = 20.0 - 5.0 * (hour * std::f64::consts::TAU / 24.0).cos();
        let sun = if (12.0..16.0).contains(&hour) {
            2.0
        } else {
            0.0
        };
        let noise = dice.between(-0.4, 0.4);
        home.tell(
            "a/temperature",
            tenths(outside + sun + noise + off(number / 96)),
        );
        home.tell("b/temperature", tenths(outside + dice.between(-0.4, 0.4)));
    });
    home.changed()
}

#[test]
fn neighbours_that_go_together_do_not_drift() {
    let mut home = neighbours();
    assert_eq!(days(&mut home, 60, |_| 0.0), [""; 0]);
}

#[test]
fn a_shift_is_found_within_days_and_ends_when_it_is_gone() {
    let mut home = neighbours();
    days(&mut home, 10, |_| 0.0);
    assert_eq!(days(&mut home, 4, |_| 1.5), ["began drift a/temperature"]);
    let fault = home.care.faults().next().expect("fault").clone();
    assert_eq!(
        fault.beside,
        Some(("b".to_owned(), "temperature".to_owned()))
    );
    assert_eq!(fault.severity, crate::Severity::Info);
    assert_eq!(fault.alarm_id(), "device/a/drift/temperature/b/temperature");
    assert!(
        fault.words.starts_with(
            "no longer goes together with b/temperature: on average of a day it is 1."
        ),
        "{}",
        fault.words
    );
    assert_eq!(days(&mut home, 5, |_| 0.0), ["ended drift a/temperature"]);
}

#[test]
fn a_slow_drift_is_found_in_both_directions() {
    for sign in [1.0, -1.0] {
        let mut home = neighbours();
        days(&mut home, 8, |_| 0.0);
        let told = days(&mut home, 30, |day| sign * 0.1 * day as f64);
        assert_eq!(told, ["began drift a/temperature"]);
    }
}

#[test]
fn one_odd_day_is_no_drift() {
    let mut home = neighbours();
    days(&mut home, 10, |_| 0.0);
    let told = days(&mut home, 30, |day| if day % 10 == 5 { 20.0 } else { 0.0 });
    assert_eq!(told, [""; 0]);
}

#[test]
fn a_drift_that_stays_is_how_they_are_now() {
    let mut home = neighbours();
    days(&mut home, 10, |_| 0.0);
    assert_eq!(
        days(&mut home, 60, |_| 3.0),
        ["began drift a/temperature", "ended drift a/temperature"]
    );
}

#[test]
fn what_does_not_go_together_is_learned_until_it_does() {
    let mut home = neighbours();
    let told = days(&mut home, 40, |day| (day * 7 % 13) as f64);
    assert_eq!(told, [""; 0]);
    assert_eq!(days(&mut home, 12, |_| 0.0), [""; 0]);
    assert_eq!(days(&mut home, 4, |_| 6.0), ["began drift a/temperature"]);
}

#[test]
fn only_two_of_a_kind_are_compared() {
    let mut home = neighbours();
    home.describe("b/temperature", "temperature", "°F");
    days(&mut home, 10, |_| 0.0);
    assert_eq!(days(&mut home, 10, |_| 5.0), [""; 0]);
}

#[test]
fn only_neighbours_are_compared() {
    let mut home = neighbours();
    home.care.set_neighbours([]);
    days(&mut home, 10, |_| 0.0);
    assert_eq!(days(&mut home, 10, |_| 5.0), [""; 0]);
}

#[test]
fn what_was_learned_stays_when_neighbours_are_set_again() {
    let mut home = neighbours();
    days(&mut home, 10, |_| 0.0);
    home.restart();
    let [one, other] = PAIR;
    home.care
        .set_neighbours([[other, one], [one, ("c", "temperature")], [one, one]]);
    assert_eq!(days(&mut home, 4, |_| 1.5), ["began drift a/temperature"]);
    let told = home.care.set_neighbours([]);
    assert_eq!(line(&told[0]), "ended drift a/temperature");
}
