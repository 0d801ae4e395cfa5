use super::*;

fn humid(parts: Value) -> Home {
    let mut all = json!({"when": at_reading("bath/humidity"), "if": "value('bath/humidity') > 70"});
    for (name, part) in parts.as_object().expect("parts") {
        all[name] = part.clone();
    }
    Home::new(&[("humid", all)])
}

/// Whether each value makes the rule fire.
fn check(home: &mut Home, values: &[(f64, bool)]) {
    for (number, (value, fires)) in values.iter().enumerate() {
        let fired = home.tell("bath/humidity", *value);
        assert_eq!(!fired.is_empty(), *fires, "value {number}: {value}");
        home.pass(1_000);
    }
}

#[test]
fn a_level_fires_once_until_it_ends() {
    check(
        &mut humid(json!({})),
        &[
            (50.0, false),
            (71.0, true),
            (80.0, false),
            (70.0, false),
            (72.0, true),
        ],
    );
}

#[test]
fn with_until_it_ends_only_there() {
    check(
        &mut humid(json!({"until": "value('bath/humidity') < 60"})),
        &[
            (71.0, true),
            (65.0, false),
            (75.0, false),
            (59.0, false),
            (71.0, true),
        ],
    );
}

#[test]
fn it_fires_when_it_held_long_enough_without_a_reading() {
    let mut home = humid(json!({"for": "10m"}));
    assert!(home.tell("bath/humidity", 75.0).is_empty());
    assert_eq!(home.engine.next_wake(), Some(BEGIN_MS + 600_000));
    assert!(home.pass(599_999).is_empty());
    let fired = home.pass(1);
    assert_eq!(ids(&fired), ["humid"]);
    assert_eq!(fired[0].at_ms, BEGIN_MS + 600_000);
    assert_eq!(fired[0].why.trigger, "held for 10m");
    assert_eq!(fired[0].why.seq, Some(1));
    assert!(home.pass(3_600_000).is_empty());
}

#[test]
fn what_does_not_hold_in_between_begins_anew() {
    let mut home = humid(json!({"for": "10m"}));
    home.tell("bath/humidity", 75.0);
    home.pass(300_000);
    home.tell("bath/humidity", 65.0);
    home.tell("bath/humidity", 75.0);
    assert!(home.pass(599_999).is_empty());
    assert_eq!(home.pass(1).len(), 1);
}

#[test]
fn a_late_tick_still_fires_before_what_comes_after() {
    let mut home = humid(json!({"for": "10m"}));
    home.tell("bath/humidity", 75.0);
    home.now_ms += 700_000;
    assert_eq!(home.tell("bath/humidity", 50.0).len(), 1);
    assert_eq!(home.engine.next_wake(), None);
}

#[test]
fn it_hears_of_all_series_that_its_conditions_name() {
    let mut home = Home::new(&[(
        "air",
        json!({"when": at_reading("bath/humidity"), "if": "value('hall/co2') > value('bath/humidity')", "until": "value('attic/temperature') > 30"}),
    )]);
    home.tell("bath/humidity", 50.0);
    assert_eq!(home.tell("hall/co2", 900.0).len(), 1);
    home.tell("hall/co2", 10.0);
    assert!(home.tell("hall/co2", 900.0).is_empty());
    home.tell("attic/temperature", 31.0);
    assert_eq!(home.tell("hall/co2", 901.0).len(), 1);
    assert!(home.tell("cellar/temperature", 901.0).is_empty());
}

#[test]
fn a_reading_concerns_only_the_rules_that_name_its_series() {
    let all: Vec<(String, Value)> = (0..50)
        .map(|n| {
            let series = format!("room{n}/co2");
            let parts =
                json!({"when": at_reading(&series), "if": format!("value('{series}') > 1")});
            (format!("r{n}"), parts)
        })
        .collect();
    let all: Vec<(&str, Value)> = all
        .iter()
        .map(|(id, parts)| (id.as_str(), parts.clone()))
        .collect();
    let mut home = Home::new(&all);
    assert_eq!(ids(&home.tell("room7/co2", 2.0)), ["r7"]);
    assert_eq!(home.engine.stats().evaluations, 1);
}

#[test]
fn time_alone_can_change_a_level() {
    let mut home = Home::new(&[(
        "silent",
        json!({"when": at_reading("hall/co2"), "if": "age('hall/co2') > 60"}),
    )]);
    assert!(home.tell("hall/co2", 400.0).is_empty());
    assert!(home.pass(60_000).is_empty());
    assert_eq!(home.pass(10_000).len(), 1);
    assert!(home.pass(60_000).is_empty());
    home.tell("hall/co2", 400.0);
    assert_eq!(home.pass(70_000).len(), 1);
}

#[test]
fn a_level_by_the_hour_ends_by_the_hour() {
    let mut home = Home::new(&[(
        "noon",
        json!({"when": at_reading("hall/co2"), "if": "hour == 13"}),
    )]);
    home.tell("hall/co2", 400.0);
    let day_ms = 24 * 3_600_000;
    let fired = home.pass(3 * day_ms);
    let times: Vec<i64> = fired
        .iter()
        .map(|firing| (firing.at_ms - BEGIN_MS) % day_ms)
        .collect();
    assert_eq!(times, [3_600_000; 3]);
}

#[test]
fn a_mean_falls_as_time_goes_on() {
    let mut home = Home::new(&[(
        "mean",
        json!({"when": at_reading("hall/co2"), "if": "count('hall/co2', '1m') > 1 && avg('hall/co2', '1m') < 500"}),
    )]);
    home.tell("hall/co2", 900.0);
    home.pass(30_000);
    assert!(home.tell("hall/co2", 400.0).is_empty());
    home.pass(15_000);
    assert!(home.tell("hall/co2", 400.0).is_empty());
    assert_eq!(home.pass(20_000).len(), 1);
}

#[test]
fn a_device_that_goes_away_is_noticed() {
    let mut home = Home::new(&[(
        "away",
        json!({"when": at_reading("freezer/temperature"), "if": "!online('freezer')", "for": "5m"}),
    )]);
    home.tell("freezer/temperature", -18.0);
    let online = |online| Input::Online {
        device: "freezer",
        online,
    };
    assert!(home.on(&online(false)).is_empty());
    home.pass(200_000);
    home.on(&online(true));
    home.on(&online(false));
    assert!(home.pass(299_999).is_empty());
    assert_eq!(home.pass(1).len(), 1);
}

#[test]
fn what_fails_does_not_fire_and_is_told_once() {
    let mut home = Home::new(&[
        (
            "ratio",
            json!({"when": at_reading("grid/power"), "if": "value('sun/power') / value('grid/power') > 1"}),
        ),
        (
            "other",
            json!({"when": at_reading("grid/power"), "if": "value('grid/power') < 1"}),
        ),
    ]);
    assert_eq!(ids(&home.tell("grid/power", 0.0)), ["other"]);
    let unknown = (NoticeKind::Fault, "sun/power told nothing yet".to_owned());
    assert_eq!(home.notices(), [unknown]);
    for _ in 0..3 {
        assert!(home.tell("sun/power", 500.0).is_empty());
        home.pass(1_000);
    }
    assert_eq!(
        home.notices(),
        [(NoticeKind::Fault, "division by zero".to_owned())]
    );
    let faults: Vec<_> = home
        .engine
        .faults()
        .map(|(id, fault)| (id.as_str(), fault.words.as_str()))
        .collect();
    assert_eq!(faults, [("ratio", "division by zero")]);
    assert_eq!(ids(&home.tell("grid/power", 100.0)), ["ratio"]);
    assert_eq!(home.notices(), [(NoticeKind::Recovered, String::new())]);
    assert_eq!(home.engine.faults().count(), 0);
    assert_eq!(home.engine.stats().faults, 2);
}

#[test]
fn a_failure_ends_no_level_but_breaks_a_wait() {
    let mut home = humid(json!({}));
    home.tell("bath/humidity", 75.0);
    home.tell("bath/humidity", f64::NAN);
    assert!(home.tell("bath/humidity", 75.0).is_empty());
    let mut home = humid(json!({"for": "1m"}));
    home.tell("bath/humidity", 75.0);
    home.tell("bath/humidity", f64::NAN);
    assert!(home.pass(60_000).is_empty());
}

#[test]
fn why_tells_what_was_seen() {
    let mut home = Home::new(&[(
        "why",
        json!({
            "when": at_reading("bath/humidity"),
            "if": "value('bath/humidity') > 70 && mode != 'away' && !has('a/b')",
            "then": [{"notify": {"title": "{{ value('bath/humidity') }} %", "message": "{{ value('a/b') }}"}}],
        }),
    )]);
    home.on(&Input::Mode("day"));
    home.tell("bath/humidity", 50.0);
    home.notices();
    let fired = home.tell("bath/humidity", 71.25);
    let firing = serde_json::to_value(&fired[0]).expect("json");
    assert_eq!(
        firing,
        json!({
            "rule": "why",
            "id": "why@2",
            "at_ms": BEGIN_MS,
            "why": {
                "trigger": "bath/humidity 71.25",
                "seq": 2,
                "values": {"value('bath/humidity')": 71.25, "mode": "day", "has('a/b')": false},
            },
            "actions": [{"notify": {"title": "71.25 %", "message": "?"}}],
        })
    );
    assert_eq!(
        serde_json::from_value::<Firing>(firing).expect("firing"),
        fired[0]
    );
    assert_eq!(
        home.notices(),
        [(NoticeKind::Fault, "a text: a/b told nothing yet".to_owned())]
    );
}

#[test]
fn a_rule_without_a_level_fires_at_each_reading() {
    let mut home = Home::new(&[("button", json!({"when": at_reading("hall/button")}))]);
    assert_eq!(home.say("hall/button", "press").len(), 1);
    assert_eq!(home.say("hall/button", "press").len(), 1);
}

#[test]
fn a_rule_that_is_off_does_nothing() {
    let mut home = Home::new(&[(
        "off",
        json!({"when": at_reading("a/b"), "if": "true", "enabled": false}),
    )]);
    assert!(home.tell("a/b", 1.0).is_empty());
    assert_eq!(home.engine.rules_count(), 0);
}
