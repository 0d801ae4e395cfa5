use super::*;

/// A series of this class that varies for some days, told every five minutes.
fn lively(class: &str, unit: &str) -> Home {
    let mut home = Home::new();
    home.describe("attic/value", class, unit);
    vary(&mut home, 20.0);
    home
}

/// Values from here on, for some days.
fn vary(home: &mut Home, from: f64) {
    home.every(5 * MINUTE, 8 * DAY, |home, number| {
        home.tell("attic/value", from + (number % 50) as f64 / 10.0);
    });
    home.changed();
}

fn still(home: &mut Home, value: f64, for_ms: i64) -> Vec<String> {
    home.every(5 * MINUTE, for_ms, |home, _| {
        home.tell("attic/value", value);
    });
    home.changed()
}

#[test]
fn a_value_that_no_longer_moves_is_stuck_until_it_does() {
    for (class, unit, value) in [
        ("temperature", "°C", 21.5),
        ("temperature", "°F", 70.0),
        ("humidity", "%", 40.0),
        ("power", "W", 3.25),
        ("carbon_dioxide", "ppm", 600.0),
        ("atmospheric_pressure", "hPa", 1_000.0),
    ] {
        let mut home = Home::new();
        home.describe("attic/value", class, unit);
        vary(&mut home, value + 1.0);
        let since_ms = home.now_ms;
        assert_eq!(still(&mut home, value, 23 * HOUR), [""; 0], "{class}");
        home.every(5 * MINUTE, 2 * HOUR, |home, _| {
            home.tell("attic/value", value);
        });
        let fault = home.changes[0].clone();
        assert_eq!(home.changed(), ["began stuck attic/value"], "{class}");
        assert_eq!(fault.since_ms, since_ms);
        assert_eq!(fault.severity, crate::Severity::Info);
        assert_eq!(still(&mut home, value, 9 * DAY), [""; 0], "{class}");
        let told = still(&mut home, value + 0.1, HOUR);
        assert_eq!(told, ["ended stuck attic/value"], "{class}");
    }
}

#[test]
fn what_may_stay_the_same_is_not_stuck() {
    for (class, unit) in [
        ("battery", "%"),
        ("", ""),
        ("illuminance", "lx"),
        ("moisture", "%"),
    ] {
        let mut home = lively(class, unit);
        assert_eq!(still(&mut home, 23.0, 4 * DAY), [""; 0], "{class}");
    }
    let counter = SeriesInfo {
        class: Some("power"),
        unit: Some("W"),
        state_class: Some("total_increasing"),
        ..SeriesInfo::default()
    };
    let set_point = SeriesInfo {
        class: Some("temperature"),
        unit: Some("°C"),
        settable: true,
        ..SeriesInfo::default()
    };
    for info in [counter, set_point] {
        let mut home = lively("temperature", "°C");
        home.describe_as("attic/value", &info);
        vary(&mut home, 20.0);
        assert_eq!(still(&mut home, 23.0, 4 * DAY), [""; 0]);
    }
}

#[test]
fn nothing_to_measure_is_not_stuck_but_zero_degrees_are() {
    assert_eq!(still(&mut lively("power", "W"), 0.0, 4 * DAY), [""; 0]);
    assert_eq!(still(&mut lively("power", "W"), -0.0, 4 * DAY), [""; 0]);
    let mut home = lively("temperature", "°C");
    home.every(5 * MINUTE, 2 * DAY, |home, number| {
        home.tell("attic/value", if number % 2 == 0 { 0.0 } else { -0.0 });
    });
    assert_eq!(home.changed(), ["began stuck attic/value"]);
}

#[test]
fn a_value_that_never_moved_much_is_not_stuck() {
    // A cellar in half degrees: hours of the same, some changes a day.
    let mut home = Home::new();
    home.describe("cellar/temperature", "temperature", "°C");
    home.every(10 * MINUTE, 20 * DAY, |home, number| {
        let half = if number / 48 % 2 == 0 { 11.5 } else { 12.0 };
        home.tell("cellar/temperature", half);
    });
    home.every(10 * MINUTE, 6 * DAY, |home, _| {
        home.tell("cellar/temperature", 12.0);
    });
    // A plug in standby every night.
    home.describe("tv/power", "power", "W");
    for _ in 0..10 {
        home.every(5 * MINUTE, 4 * HOUR, |home, number| {
            home.tell("tv/power", 80.0 + (number % 9) as f64);
        });
        home.every(5 * MINUTE, 20 * HOUR, |home, _| home.tell("tv/power", 1.5));
    }
    home.every(5 * MINUTE, 10 * DAY, |home, _| home.tell("tv/power", 1.5));
    // The cellar has told nothing since.
    assert_eq!(home.changed(), ["began silent cellar"]);
}

#[test]
fn a_value_that_is_told_rarely_is_not_stuck() {
    let mut home = lively("temperature", "°C");
    home.every(2 * HOUR, 40 * HOUR, |home, _| {
        home.tell("attic/value", 21.5);
    });
    let told = home.changed();
    assert!(!told.iter().any(|line| line.contains("stuck")), "{told:?}");
}

/// What comes of these values, told a minute apart.
fn range(class: &str, unit: &str, values: &[f64]) -> Vec<String> {
    let mut home = Home::new();
    home.describe("attic/value", class, unit);
    for value in values {
        home.tell("attic/value", *value);
        home.pass(MINUTE);
    }
    home.changed()
}

#[test]
fn one_spike_is_no_fault_and_two_are() {
    let began = ["began out_of_range attic/value"];
    for (class, unit, fine, odd) in [
        ("temperature", "°C", 20.0, 85.1),
        ("temperature", "°C", 20.0, -127.0),
        ("temperature", "°F", 100.0, 200.0),
        ("temperature", "K", 300.0, 200.0),
        ("humidity", "%", 55.0, 100.5),
        ("battery", "%", 55.0, -1.0),
        ("carbon_dioxide", "ppm", 600.0, 20.0),
        ("carbon_dioxide", "ppm", 600.0, 65_535.0),
        ("atmospheric_pressure", "hPa", 1_000.0, 10.0),
        ("power", "W", 5.0, 1e6),
    ] {
        assert_eq!(
            range(class, unit, &[fine, odd, fine, fine]),
            [""; 0],
            "{class}"
        );
        assert_eq!(range(class, unit, &[fine, odd, odd]), began, "{class}");
        assert_eq!(
            range(class, unit, &[odd, fine, fine, odd, fine]),
            began,
            "{class}"
        );
    }
}

#[test]
fn of_a_slow_sensor_two_odd_values_in_a_row_are_enough() {
    let mut home = Home::new();
    home.describe("attic/value", "temperature", "°C");
    for (value, told) in [
        (90.0, ""),
        (20.0, ""),
        (90.0, ""),
        (90.0, "began out_of_range attic/value"),
    ] {
        home.tell("attic/value", value);
        home.pass(6 * HOUR);
        assert_eq!(home.changed().join(","), told);
    }
}

#[test]
fn what_cannot_be_is_told_at_once() {
    let began = ["began out_of_range attic/value"];
    for (class, unit, odd) in [
        ("temperature", "°C", -300.0),
        ("humidity", "%", 254.0),
        ("battery", "%", 200.0),
        ("carbon_dioxide", "ppm", -1.0),
        ("", "", f64::NAN),
        ("power", "W", f64::INFINITY),
        ("", "", f64::NEG_INFINITY),
    ] {
        assert_eq!(range(class, unit, &[odd]), began, "{class} {odd}");
    }
}

#[test]
fn the_edges_of_a_range_are_within() {
    for (class, unit, values) in [
        ("temperature", "°C", [-60.0, 85.0]),
        ("humidity", "%", [0.0, 100.0]),
        ("carbon_dioxide", "ppm", [300.0, 10_000.0]),
        // In a unit that is not known, and of no class, nothing is known.
        ("temperature", "°Rø", [-9e9, 9e9]),
        ("", "", [-9e99, 9e99]),
    ] {
        let all = [values[0], values[0], values[1], values[1]];
        assert_eq!(range(class, unit, &all), [""; 0], "{class}");
    }
}

#[test]
fn a_range_is_over_after_an_hour_without() {
    let mut home = Home::new();
    home.describe("attic/value", "temperature", "°C");
    home.tell("attic/value", 20.0);
    let since_ms = home.now_ms;
    home.tell("attic/value", 900.0);
    home.pass(MINUTE);
    home.tell("attic/value", 901.25);
    let fault = home.changes[0].clone();
    assert_eq!(fault.words, "tells 901.25 °C, which is above 85 °C");
    assert_eq!(fault.since_ms, since_ms);
    home.changed();
    home.every(5 * MINUTE, 3 * HOUR, |home, number| {
        home.tell("attic/value", if number % 10 == 5 { 900.0 } else { 20.0 });
    });
    assert!(home.changed().is_empty());
    home.every(5 * MINUTE, HOUR, |home, _| home.tell("attic/value", 20.0));
    assert_eq!(home.changed(), ["ended out_of_range attic/value"]);
}

#[test]
fn announced_bounds_take_the_place_of_the_class_s() {
    let mut home = Home::new();
    let oven = SeriesInfo {
        class: Some("temperature"),
        unit: Some("°C"),
        min: Some(0.0),
        max: Some(300.0),
        ..SeriesInfo::default()
    };
    home.describe_as("oven/temperature", &oven);
    home.tell("oven/temperature", 250.0);
    home.tell("oven/temperature", 250.0);
    assert!(home.changed().is_empty());
    home.tell("oven/temperature", 301.0);
    home.tell("oven/temperature", 301.0);
    assert_eq!(home.changed(), ["began out_of_range oven/temperature"]);
    // Bounds that make no sense are none.
    let odd = SeriesInfo {
        min: Some(300.0),
        max: Some(0.0),
        ..oven
    };
    home.describe_as("oven/temperature", &odd);
    home.tell("oven/temperature", 20.0);
    home.tell("oven/temperature", 20.0);
    assert_eq!(home.changed(), ["ended out_of_range oven/temperature"]);
}

#[test]
fn a_battery_is_low_until_it_is_well_charged() {
    let mut home = Home::new();
    home.describe("lock/battery", "battery", "%");
    for (charge, told) in [
        (16.0, ""),
        (15.0, "began battery_low lock/battery"),
        (14.0, ""),
        (17.0, ""),
        (12.0, ""),
        (19.9, ""),
        (255.0, "began out_of_range lock/battery"),
        (f64::NAN, ""),
        (20.0, "ended battery_low lock/battery"),
        (15.5, ""),
    ] {
        home.tell("lock/battery", charge);
        home.pass(HOUR);
        assert_eq!(home.changed().join(","), told, "{charge}");
    }
}

#[test]
fn a_battery_may_only_say_that_it_is_low() {
    let mut home = Home::new();
    home.tell("leak/battery_low", 0.0);
    assert!(home.changed().is_empty());
    home.tell("leak/battery_low", 1.0);
    home.say("leak/battery_low", "true");
    assert_eq!(home.changed(), ["began battery_low leak/battery_low"]);
    home.describe("leak/Battery", "battery", "");
    home.say("leak/Battery", "ON");
    home.say("leak/battery_low", "OFF");
    // One fault for the battery, whichever of both says it.
    assert!(home.changed().is_empty());
    home.say("leak/Battery", "off");
    assert_eq!(home.changed(), ["ended battery_low leak/battery_low"]);
}

#[test]
fn another_description_begins_anew() {
    let mut home = Home::new();
    home.describe("lock/battery", "battery", "%");
    home.tell("lock/battery", 3.0);
    home.describe("lock/battery", "battery", "%");
    assert_eq!(home.changed(), ["began battery_low lock/battery"]);
    home.describe("lock/battery", "voltage", "V");
    assert_eq!(home.changed(), ["ended battery_low lock/battery"]);
    home.tell("lock/battery", 3.0);
    assert!(home.changed().is_empty());
}
