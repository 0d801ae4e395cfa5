use super::*;

fn place(zone: &str, coordinates: Option<(f64, f64)>) -> Place {
    Place {
        zone: TimeZone::get(zone).expect(zone),
        coordinates,
    }
}

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().expect(text).as_millisecond()
}

fn moments(schedule: &Schedule, place: &Place, from: &str, to: &str) -> Vec<String> {
    let mut at = ms(from);
    let mut found = Vec::new();
    while let Some(next) = schedule.after(at, place).filter(|next| *next < ms(to)) {
        found.push(Timestamp::from_millisecond(next).expect("time").to_string());
        at = next;
    }
    found
}

fn check_cron(cron: &str, from: &str, to: &str, expected: &[&str]) {
    let place = place("Europe/Berlin", None);
    let trigger = Trigger::Schedule {
        cron: cron.to_owned(),
    };
    let schedule = Schedule::of(&trigger, &place).expect(cron).expect(cron);
    assert_eq!(moments(&schedule, &place, from, to), expected, "{cron}");
}

#[test]
fn a_time_of_day_follows_the_home_s_clock() {
    check_cron(
        "0 7 * * 1-5",
        "2025-01-02T00:00:00Z",
        "2025-01-07T00:00:00Z",
        &[
            "2025-01-02T06:00:00Z",
            "2025-01-03T06:00:00Z",
            "2025-01-06T06:00:00Z",
        ],
    );
    check_cron(
        "0 7 1 7 *",
        "2025-01-02T00:00:00Z",
        "2025-12-07T00:00:00Z",
        &["2025-07-01T05:00:00Z"],
    );
}

#[test]
fn a_time_that_summer_time_skips_comes_right_after() {
    check_cron(
        "30 2 * * *",
        "2025-03-29T00:00:00Z",
        "2025-03-31T12:00:00Z",
        &[
            "2025-03-29T01:30:00Z",
            "2025-03-30T01:00:00Z",
            "2025-03-31T00:30:00Z",
        ],
    );
    check_cron(
        "15,45 2,14 * * *",
        "2025-03-30T00:00:00Z",
        "2025-03-30T20:00:00Z",
        &[
            "2025-03-30T01:00:00Z",
            "2025-03-30T12:15:00Z",
            "2025-03-30T12:45:00Z",
        ],
    );
}

#[test]
fn a_time_that_comes_twice_is_taken_once() {
    check_cron(
        "30 2 * * *",
        "2025-10-25T00:00:00Z",
        "2025-10-27T12:00:00Z",
        &[
            "2025-10-25T00:30:00Z",
            "2025-10-26T00:30:00Z",
            "2025-10-27T01:30:00Z",
        ],
    );
    check_cron(
        "0,30 2,3 * * *",
        "2025-10-26T00:00:00Z",
        "2025-10-26T12:00:00Z",
        &[
            "2025-10-26T00:30:00Z",
            "2025-10-26T02:00:00Z",
            "2025-10-26T02:30:00Z",
        ],
    );
}

#[test]
fn what_is_meant_hourly_goes_on_through_summer_time() {
    check_cron(
        "0 * * * *",
        "2025-10-26T00:00:00Z",
        "2025-10-26T03:00:00Z",
        &["2025-10-26T01:00:00Z", "2025-10-26T02:00:00Z"],
    );
    check_cron(
        "*/30 * * * *",
        "2025-03-30T00:29:00Z",
        "2025-03-30T01:31:00Z",
        &[
            "2025-03-30T00:30:00Z",
            "2025-03-30T01:00:00Z",
            "2025-03-30T01:30:00Z",
        ],
    );
}

#[test]
fn a_day_that_no_calendar_has_never_comes() {
    check_cron(
        "0 0 30 2 *",
        "2025-01-01T00:00:00Z",
        "2099-01-01T00:00:00Z",
        &[],
    );
    check_cron(
        "0 0 29 2 *",
        "2025-01-01T00:00:00Z",
        "2030-01-01T00:00:00Z",
        &["2028-02-28T23:00:00Z"],
    );
}

#[test]
fn what_is_no_pattern_is_refused() {
    let place = place("UTC", None);
    for cron in [
        "",
        "7",
        "0 7 * *",
        "0 0 7 * * *",
        "61 7 * * *",
        "a b c d e",
        "0 7 * * *  2025",
    ] {
        let trigger = Trigger::Schedule {
            cron: cron.to_owned(),
        };
        assert!(Schedule::of(&trigger, &place).is_err(), "{cron}");
    }
}

fn sun(event: SunEvent, offset_ms: i64) -> Schedule {
    Schedule::Sun { event, offset_ms }
}

#[test]
fn the_sun_rises_and_sets_in_berlin() {
    let berlin = place("Europe/Berlin", Some((52.52, 13.405)));
    let near = |schedule: &Schedule, expected: &str| {
        let at = schedule
            .after(ms("2025-06-15T00:00:00Z"), &berlin)
            .expect("moment");
        assert!(
            (at - ms(expected)).abs() < 180_000,
            "{}",
            Timestamp::from_millisecond(at).expect("time")
        );
    };
    near(&sun(SunEvent::Sunrise, 0), "2025-06-15T02:43:00Z");
    near(&sun(SunEvent::Sunset, 0), "2025-06-15T19:31:00Z");
    near(&sun(SunEvent::Sunset, -3_600_000), "2025-06-15T18:31:00Z");
}

#[test]
fn every_day_has_one_sunset_east_and_west() {
    for (zone, longitude) in [
        ("Pacific/Auckland", 174.8),
        ("America/Los_Angeles", -118.2),
        ("UTC", 179.9),
        ("UTC", -179.9),
    ] {
        let place = place(zone, Some((34.0, longitude)));
        let found = moments(
            &sun(SunEvent::Sunset, 0),
            &place,
            "2025-05-01T00:00:00Z",
            "2025-05-31T00:00:00Z",
        );
        assert_eq!(found.len(), 30, "{zone} {longitude}");
    }
}

#[test]
fn the_midnight_sun_does_not_set() {
    let tromso = place("Europe/Oslo", Some((70.0, 18.96)));
    let found = moments(
        &sun(SunEvent::Sunset, 0),
        &tromso,
        "2025-06-01T00:00:00Z",
        "2025-07-01T00:00:00Z",
    );
    assert_eq!(found, [""; 0]);
    let next = sun(SunEvent::Sunset, 0)
        .after(ms("2025-06-01T00:00:00Z"), &tromso)
        .expect("sunset");
    assert!((ms("2025-07-15T00:00:00Z")..ms("2025-08-10T00:00:00Z")).contains(&next));
    let pole = place("UTC", Some((90.0, 0.0)));
    assert_eq!(sun(SunEvent::Sunrise, 0).after(0, &pole), None);
}

#[test]
fn every_so_often_is_counted_from_the_epoch() {
    let place = place("UTC", None);
    let every = Schedule::Every(300_000);
    assert_eq!(every.after(0, &place), Some(300_000));
    assert_eq!(every.after(299_999, &place), Some(300_000));
    assert_eq!(every.after(-1, &place), Some(0));
    assert_eq!(every.after(i64::MAX, &place), None);
}

#[test]
fn the_last_of_many_missed_moments_counts() {
    let place = place("UTC", None);
    let every = Schedule::Every(60_000);
    assert_eq!(every.last(60_000, 60_000, &place), 60_000);
    assert_eq!(every.last(60_000, 7_230_000, &place), 7_200_000);
    let rare = Schedule::Every(3_600_000);
    assert_eq!(
        rare.last(3_600_000, 3_600_000 + 1_000_000, &place),
        3_600_000
    );
}
