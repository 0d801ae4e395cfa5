use super::*;

fn cron(cron: &str) -> Value {
    json!({"when": [{"schedule": {"cron": cron}}]})
}

fn times(fired: &[Firing]) -> Vec<String> {
    let at = |firing: &Firing| {
        Timestamp::from_millisecond(firing.at_ms)
            .expect("time")
            .to_string()
    };
    fired.iter().map(at).collect()
}

const DAY_MS: i64 = 24 * 3_600_000;

#[test]
fn a_schedule_fires_by_the_home_s_clock_in_both_seasons() {
    let mut home = Home::at("2025-03-28T12:00:00Z", &[("gap", cron("30 2 * * *"))]);
    assert_eq!(
        times(&home.pass(3 * DAY_MS)),
        [
            "2025-03-29T01:30:00Z",
            "2025-03-30T01:00:00Z",
            "2025-03-31T00:30:00Z"
        ]
    );
    let mut home = Home::at("2025-10-25T12:00:00Z", &[("fold", cron("30 2 * * *"))]);
    let fired = home.pass(2 * DAY_MS);
    assert_eq!(
        times(&fired),
        ["2025-10-26T00:30:00Z", "2025-10-27T01:30:00Z"]
    );
    assert_eq!(fired[0].id, format!("fold@t{}", ms("2025-10-26T00:30:00Z")));
    assert_eq!(fired[0].why.trigger, "schedule 30 2 * * *");
}

#[test]
fn the_sun_sets_every_day_but_not_in_the_polar_summer() {
    let sunset = json!({"when": [{"sun": {"event": "sunset", "offset": "-15m"}}]});
    let mut home = Home::new(&[("dusk", sunset.clone())]);
    let fired = home.pass(10 * DAY_MS);
    assert_eq!(fired.len(), 10);
    assert_eq!(fired[0].why.trigger, "sunset -15m");
    let mut engine = Engine::new(Place {
        coordinates: Some((70.0, 18.96)),
        ..place()
    });
    engine.set_rules(&rules(&[("dusk", sunset)]), ms("2025-06-01T00:00:00Z"));
    assert!(engine.next_wake().expect("sunset") > ms("2025-07-15T00:00:00Z"));
    assert!(engine.tick(ms("2025-06-30T00:00:00Z")).is_empty());
}

#[test]
fn a_home_without_coordinates_has_no_sun() {
    let mut engine = Engine::new(Place {
        coordinates: None,
        ..place()
    });
    engine.set_rules(
        &rules(&[("dusk", json!({"when": [{"sun": {"event": "sunset"}}]}))]),
        BEGIN_MS,
    );
    let faults: Vec<_> = engine
        .faults()
        .map(|(_, fault)| fault.words.as_str())
        .collect();
    assert_eq!(
        faults,
        ["the home has no coordinates, the sun cannot be computed"]
    );
}

#[test]
fn a_moment_missed_by_little_is_made_up_for() {
    let mut home = Home::new(&[("hourly", cron("0 * * * *"))]);
    let fired = home.engine.tick(BEGIN_MS + 3_600_000 + 299_999);
    assert_eq!(fired.len(), 1);
    assert_eq!(fired[0].id, format!("hourly@t{}", BEGIN_MS + 3_600_000));
    assert!(home.engine.tick(BEGIN_MS + 3_600_000 + 300_000).is_empty());
}

#[test]
fn a_moment_missed_by_much_is_told() {
    let mut home = Home::new(&[("hourly", cron("0 * * * *"))]);
    assert!(home.engine.tick(BEGIN_MS + 3_600_000 + 300_000).is_empty());
    assert_eq!(
        home.notices(),
        [(NoticeKind::Missed, "schedule 0 * * * *".to_owned())]
    );
    assert_eq!(home.engine.stats().missed, 1);
    assert_eq!(home.engine.next_wake(), Some(BEGIN_MS + 2 * 3_600_000));
}

#[test]
fn a_clock_that_jumps_ahead_brings_no_storm() {
    let mut home = Home::new(&[
        ("minutely", cron("* * * * *")),
        ("often", json!({"when": [{"every": "1s"}]})),
    ]);
    let fired = home.engine.tick(BEGIN_MS + 5 * DAY_MS + 30_500);
    assert_eq!(ids(&fired), ["often", "minutely"]);
    assert!(home.engine.tick(BEGIN_MS + 5 * DAY_MS + 30_600).is_empty());
}

#[test]
fn a_clock_that_goes_back_lets_waits_begin_anew() {
    let mut home = Home::new(&[
        (
            "level",
            json!({"when": at_reading("a/b"), "if": "value('a/b') > 1", "for": "10m"}),
        ),
        ("moment", json!({"when": at_reading("c/d"), "for": "10m"})),
    ]);
    home.tell("a/b", 2.0);
    home.tell("c/d", 2.0);
    home.pass(500_000);
    home.now_ms -= 2 * 3_600_000;
    assert!(home.engine.tick(home.now_ms).is_empty());
    assert!(home.pass(599_999).is_empty());
    assert_eq!(ids(&home.pass(1)), ["level", "moment"]);
}

#[test]
fn a_clock_that_goes_back_a_little_repeats_no_schedule() {
    let mut home = Home::new(&[("hourly", cron("0 * * * *"))]);
    assert_eq!(home.pass(3_600_000).len(), 1);
    home.now_ms -= 60_000;
    assert!(home.engine.tick(home.now_ms).is_empty());
    assert!(home.pass(61_000).is_empty());
    home.now_ms -= 7_200_000;
    assert!(home.engine.tick(home.now_ms).is_empty());
    assert_eq!(home.pass(7_200_000).len(), 2);
}

#[test]
fn a_cooldown_outlives_a_clock_that_goes_back() {
    let mut home = Home::new(&[("bell", json!({"when": at_reading("a/b"), "cooldown": "1m"}))]);
    assert_eq!(home.tell("a/b", 1.0).len(), 1);
    home.now_ms -= 3_600_000;
    home.engine.tick(home.now_ms);
    home.pass(30_000);
    assert!(home.tell("a/b", 1.0).is_empty());
    home.pass(30_000);
    assert_eq!(home.tell("a/b", 1.0).len(), 1);
}

#[test]
fn absurd_clocks_do_no_harm() {
    let all = [
        ("cron", cron("* * * * *")),
        ("every", json!({"when": [{"every": "1s"}]})),
        ("sun", json!({"when": [{"sun": {"event": "sunset"}}]})),
        (
            "level",
            json!({"when": at_reading("a/b"), "if": "age('a/b') > 1 || hour > 3", "for": "10m"}),
        ),
    ];
    let mut home = Home::new(&all);
    for now_ms in [i64::MAX, i64::MIN, 0, i64::MAX - 1, -1, BEGIN_MS] {
        home.now_ms = now_ms;
        home.tell("a/b", 1.0);
        home.engine.tick(now_ms);
        assert!(
            home.engine.next_wake().is_none_or(|wake| wake > now_ms),
            "{now_ms}"
        );
    }
}

#[test]
fn a_home_that_says_where_it_is_goes_by_that_clock() {
    let mut home = Home::at("2025-06-16T10:00:00Z", &[("seven", cron("0 7 * * *"))]);
    home.engine.set_place(Place {
        zone: TimeZone::get("America/New_York").expect("zone"),
        coordinates: None,
    });
    home.engine
        .set_rules(&rules(&[("seven", cron("0 7 * * *"))]), home.now_ms);
    assert_eq!(times(&home.pass(DAY_MS)), ["2025-06-16T11:00:00Z"]);
}
