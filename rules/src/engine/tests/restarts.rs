use super::*;

#[test]
fn a_level_that_was_active_does_not_fire_again() {
    let all = [(
        "humid",
        json!({"when": at_reading("a/b"), "if": "value('a/b') > 70"}),
    )];
    let mut home = Home::new(&all);
    assert_eq!(home.tell("a/b", 75.0).len(), 1);
    let state = home.engine.snapshot();
    home.engine = Engine::restore(place(), state);
    home.engine.set_rules(&rules(&all), home.now_ms);
    home.seq = 0;
    assert!(home.tell("a/b", 75.0).is_empty());
    assert!(home.tell("a/b", 76.0).is_empty());
    home.tell("a/b", 60.0);
    assert_eq!(home.tell("a/b", 75.0).len(), 1);
}

#[test]
fn what_counted_before_only_fills_values() {
    let all = [(
        "any",
        json!({"when": at_reading("a/b"), "if": "count('a/b', '1h') > 2"}),
    )];
    let mut home = Home::new(&all);
    home.tell("a/b", 1.0);
    home.tell("a/b", 1.0);
    home.engine = Engine::restore(place(), home.engine.snapshot());
    home.engine.set_rules(&rules(&all), home.now_ms);
    home.seq = 0;
    assert!(home.tell("a/b", 1.0).is_empty());
    assert!(home.tell("a/b", 1.0).is_empty());
    assert_eq!(home.engine.stats().evaluations, 0);
    assert_eq!(home.tell("a/b", 1.0).len(), 1);
}

#[test]
fn a_firing_that_comes_again_after_a_crash_has_the_same_id() {
    let all = [
        (
            "level",
            json!({"when": at_reading("a/b"), "if": "value('a/b') > 70", "for": "10s"}),
        ),
        ("moment", json!({"when": at_reading("a/b")})),
    ];
    let mut home = Home::new(&all);
    home.tell("a/b", 60.0);
    let state = home.engine.snapshot();
    let run = |home: &mut Home, late_ms: i64| {
        home.seq = 1;
        home.now_ms += late_ms;
        let mut fired = home.tell("a/b", 75.0);
        fired.extend(home.pass(10_000));
        fired
            .iter()
            .map(|firing| firing.id.clone())
            .collect::<Vec<_>>()
    };
    let before = run(&mut home, 0);
    assert_eq!(before, ["moment@2", "level@2"]);
    home.engine = Engine::restore(place(), state);
    home.engine.set_rules(&rules(&all), home.now_ms);
    assert_eq!(run(&mut home, 70_000), before);
}

#[test]
fn a_moment_that_came_while_it_was_down_is_made_up_for_or_told() {
    let all = [(
        "hourly",
        json!({"when": [{"schedule": {"cron": "0 * * * *"}}]}),
    )];
    for (down_ms, fires) in [(3_600_000 + 299_000, 1), (3_600_000 + 301_000, 0)] {
        let mut home = Home::new(&all);
        home.pass(1_000);
        home.engine.tick(home.now_ms);
        let mut engine = Engine::restore(place(), home.engine.snapshot());
        engine.set_rules(&rules(&all), BEGIN_MS + down_ms);
        let fired = engine.tick(BEGIN_MS + down_ms);
        assert_eq!(fired.len(), fires, "{down_ms}");
        assert_eq!(engine.take_notices().len(), 1 - fires, "{down_ms}");
    }
}

#[test]
fn a_rule_that_was_entered_while_it_was_down_misses_nothing() {
    let mut home = Home::new(&[]);
    home.engine.tick(BEGIN_MS);
    let mut engine = Engine::restore(place(), home.engine.snapshot());
    let all = rules(&[(
        "hourly",
        json!({"when": [{"schedule": {"cron": "0 * * * *"}}]}),
    )]);
    engine.set_rules(&all, BEGIN_MS + 3_700_000);
    assert!(engine.tick(BEGIN_MS + 3_700_000).is_empty());
    assert_eq!(engine.next_wake(), Some(BEGIN_MS + 7_200_000));
}

#[test]
fn a_rule_that_looks_at_something_else_begins_anew() {
    let level = |limit: &str, name: &str| {
        let condition = format!("value('a/b') > {limit}");
        [(
            "r",
            json!({"when": at_reading("a/b"), "if": condition, "name": name}),
        )]
    };
    let mut home = Home::new(&level("70", "old"));
    home.tell("a/b", 75.0);
    home.engine
        .set_rules(&rules(&level("70", "new")), home.now_ms);
    assert!(home.tell("a/b", 75.0).is_empty());
    home.engine
        .set_rules(&rules(&level("71", "new")), home.now_ms);
    assert_eq!(home.tell("a/b", 75.0).len(), 1);
}

#[test]
fn a_state_is_small_and_reads_back() {
    let mut home = Home::new(&[(
        "r",
        json!({"when": at_reading("a/b"), "if": "value('a/b') > 70", "for": "1h"}),
    )]);
    home.tell("a/b", 75.0);
    home.on(&Input::Mode("night"));
    let state = home.engine.snapshot();
    let text = serde_json::to_string(&state).expect("json");
    assert!(text.len() < 400, "{text}");
    assert_eq!(serde_json::from_str::<State>(&text).expect("state"), state);
    assert_eq!(
        serde_json::from_str::<State>("{}").expect("state"),
        State::default()
    );
}

#[test]
fn a_back_test_says_where_it_was_cut_off() {
    let all = rules(&[("often", json!({"when": [{"every": "1s"}]}))]);
    let found = backtest(
        &"often".into(),
        &all[&RuleId::from("often")],
        [],
        place(),
        BEGIN_MS,
        BEGIN_MS + 3_600_000,
    );
    assert_eq!(found.firings.len(), crate::backtest::FIRINGS_MAX);
    assert_eq!(found.cut_off_ms, Some(BEGIN_MS + 1_001_000));
}

#[test]
fn a_back_test_knows_what_was_told_before() {
    let parts =
        json!({"when": at_reading("a/b"), "if": "mode == 'night' && count('a/b', '1h') > 1"});
    let reading = |at: u64| {
        let ts_ms = BEGIN_MS + at as i64 * 60_000;
        (
            ts_ms,
            Input::Reading(Reading {
                seq: at,
                ts_ms,
                device: "a",
                metric: "b",
                value: Some(1.0),
                text: None,
                replayed: false,
            }),
        )
    };
    let mode = (BEGIN_MS, Input::Mode("night"));
    let inputs = [mode, reading(1), reading(2), reading(3)];
    let found = backtest(
        &"r".into(),
        &rule(&parts),
        inputs,
        place(),
        BEGIN_MS + 150_000,
        BEGIN_MS + 600_000,
    );
    let at: Vec<i64> = found
        .firings
        .iter()
        .map(|firing| firing.at_ms - BEGIN_MS)
        .collect();
    assert_eq!(at, [160_000]);
}

#[test]
fn windows_that_begin_are_told_what_was_before() {
    let all = [(
        "damp",
        json!({"when": at_reading("a/b"), "if": "avg('a/b', '10m') > 70 && max('a/b', '1h') > 90"}),
    )];
    let mut home = Home::new(&all);
    let windows = home.engine.take_unfilled();
    let wanted = [600_000, 3_600_000].map(|window_ms| Unfilled {
        window_ms,
        device: "a".into(),
        metric: "b".into(),
    });
    let mut sorted = windows.clone();
    sorted.sort();
    assert_eq!(sorted, wanted);
    assert_eq!(home.engine.take_unfilled(), []);
    let sample = |before_ms: i64, value: f64| Sample {
        first_ms: home.now_ms - before_ms,
        last_ms: home.now_ms - before_ms,
        count: 1,
        sum: value,
        min: value,
        max: value,
    };
    let (low, high) = (sample(60_000, 50.0), sample(1_800_000, 95.0));
    home.engine.fill(&wanted[0], vec![low]);
    home.engine.fill(&wanted[1], vec![high, low]);
    // 62.5 on average, where it would be 75 without what was before.
    assert!(home.tell("a/b", 75.0).is_empty());
    assert_eq!(home.tell("a/b", 95.0).len(), 1);
    // A rule that stays keeps its windows.
    home.engine.set_rules(&rules(&all), home.now_ms);
    assert_eq!(home.engine.take_unfilled(), []);
}

#[test]
fn a_state_knows_the_rules_that_ran() {
    let home = Home::new(&[("quiet", json!({"when": at_reading("a/b")}))]);
    let state = home.engine.snapshot();
    let knows = |id: &str, rule: Value| {
        let all = rules(&[(id, rule)]);
        all.iter().all(|(id, rule)| state.knows(id, rule))
    };
    assert!(knows("quiet", json!({"when": at_reading("a/b")})));
    assert!(knows(
        "quiet",
        json!({"when": at_reading("a/b"), "name": "Other"})
    ));
    assert!(!knows("quiet", json!({"when": at_reading("a/c")})));
    assert!(!knows("other", json!({"when": at_reading("a/b")})));
}
