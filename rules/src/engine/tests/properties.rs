use proptest::prelude::*;

use super::*;

/// One thing that happens, and how long after the one before.
#[derive(Debug, Clone)]
struct Step {
    after_ms: i64,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Tell(usize, f64),
    Mode(bool),
    Presence(bool),
    Alarm(bool),
    Online(bool),
    Nothing,
}

const SERIES: [&str; 4] = ["hall/co2", "bath/humidity", "out/temperature", "hall/door"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        8 => (0..SERIES.len(), 0..6_u8).prop_map(|(series, value)| What::Tell(series, f64::from(value))),
        1 => any::<bool>().prop_map(What::Mode),
        1 => any::<bool>().prop_map(What::Presence),
        1 => any::<bool>().prop_map(What::Alarm),
        1 => any::<bool>().prop_map(What::Online),
        1 => Just(What::Nothing),
    ];
    let after_ms = prop_oneof![
        Just(0),
        1..3_000_i64,
        1..90_000_i64,
        Just(10_000),
        Just(400_000)
    ];
    let step = (after_ms, what).prop_map(|(after_ms, what)| Step { after_ms, what });
    prop::collection::vec(step, 1..60)
}

fn everything() -> BTreeMap<RuleId, Rule> {
    let lamp = |on: bool| json!([{"set": {"device": "lamp", "values": {"on": on}}}]);
    rules(&[
        (
            "level",
            json!({"when": at_reading("hall/co2"), "if": "value('hall/co2') > 3", "until": "value('hall/co2') < 2", "then": lamp(true), "priority": 1}),
        ),
        (
            "held",
            json!({"when": at_reading("bath/humidity"), "if": "value('bath/humidity') > 2", "for": "20s", "then": lamp(false)}),
        ),
        (
            "ratio",
            json!({"when": at_reading("hall/co2"), "if": "value('bath/humidity') / value('hall/co2') > 1", "cooldown": "15s"}),
        ),
        (
            "mean",
            json!({"when": at_reading("out/temperature"), "if": "avg('out/temperature', '1m') > 3"}),
        ),
        (
            "silent",
            json!({"when": at_reading("out/temperature"), "if": "age('out/temperature') > 45", "for": "5s"}),
        ),
        (
            "door",
            json!({"when": [{"change": {"device": "hall", "metric": "door", "to": 1}}], "if": "value('hall/co2') > 1", "for": "30s"}),
        ),
        (
            "any",
            json!({"when": at_reading("hall/door"), "then": lamp(false)}),
        ),
        (
            "minutely",
            json!({"when": [{"schedule": {"cron": "* * * * *"}}], "if": "anyone()"}),
        ),
        (
            "every",
            json!({"when": [{"every": "7s"}], "if": "mode == 'night'", "cooldown": "20s"}),
        ),
        (
            "night",
            json!({"when": [{"mode": {"to": "night"}}], "for": "12s"}),
        ),
        (
            "home",
            json!({"when": [{"presence": {"member": "ada", "is": "home"}}]}),
        ),
        (
            "leak",
            json!({"when": [{"alarm": {"alarm": "leak", "is": "raised"}}]}),
        ),
        (
            "away",
            json!({"when": at_reading("hall/co2"), "if": "!online('hall')", "for": "3s"}),
        ),
    ])
}

/// Runs the steps, restarting before those of these numbers; all that fired.
fn run(steps: &[Step], restarts: &[usize]) -> Vec<Firing> {
    let mut home = Home {
        engine: Engine::new(place()),
        now_ms: BEGIN_MS,
        seq: 0,
    };
    home.engine.set_rules(&everything(), home.now_ms);
    let mut told: Vec<(u64, i64, usize, f64)> = Vec::new();
    let mut fired = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        if restarts.contains(&number) {
            let text = serde_json::to_string(&home.engine.snapshot()).expect("json");
            let state = serde_json::from_str(&text).expect("state");
            home.engine = Engine::restore(place(), state);
            home.engine.set_rules(&everything(), home.now_ms);
            for (seq, ts_ms, series, value) in &told {
                let (device, metric) = SERIES[*series].rsplit_once('/').expect("series");
                let reading = Reading {
                    seq: *seq,
                    ts_ms: *ts_ms,
                    device,
                    metric,
                    value: Some(*value),
                    text: None,
                    replayed: false,
                };
                assert_eq!(home.engine.on(&Input::Reading(reading), home.now_ms), []);
            }
        }
        fired.extend(home.pass(step.after_ms));
        fired.extend(match step.what {
            What::Tell(series, value) => {
                told.push((home.seq + 1, home.now_ms, series, value));
                home.tell(SERIES[series], value)
            }
            What::Mode(night) => home.on(&Input::Mode(if night { "night" } else { "day" })),
            What::Presence(home_now) => home.on(&Input::Presence {
                member: "ada",
                home: home_now,
            }),
            What::Alarm(raised) => home.on(&Input::Alarm {
                id: "leak",
                state: if raised {
                    AlarmState::Raised
                } else {
                    AlarmState::Cleared
                },
            }),
            What::Online(online) => home.on(&Input::Online {
                device: "hall",
                online,
            }),
            What::Nothing => home.engine.tick(home.now_ms),
        });
    }
    fired.extend(home.pass(120_000));
    fired
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn restarts_change_nothing(steps in steps(), restarts in prop::collection::vec(0..60_usize, 0..6)) {
        prop_assert_eq!(run(&steps, &restarts), run(&steps, &[]));
    }

    #[test]
    fn a_back_test_equals_live(steps in steps()) {
        let rules = everything();
        let live = run(&steps, &[]);
        let mut now_ms = BEGIN_MS;
        let mut seq = 0;
        let mut inputs = Vec::new();
        for step in &steps {
            now_ms += step.after_ms;
            inputs.push((now_ms, match step.what {
                What::Tell(series, value) => {
                    seq += 1;
                    let (device, metric) = SERIES[series].rsplit_once('/').expect("series");
                    Input::Reading(Reading {
                        seq,
                        ts_ms: now_ms,
                        device,
                        metric,
                        value: Some(value),
                        text: None,
                        replayed: false,
                    })
                }
                What::Mode(night) => Input::Mode(if night { "night" } else { "day" }),
                What::Presence(home) => Input::Presence { member: "ada", home },
                What::Alarm(raised) => Input::Alarm {
                    id: "leak",
                    state: if raised { AlarmState::Raised } else { AlarmState::Cleared },
                },
                What::Online(online) => Input::Online { device: "hall", online },
                What::Nothing => continue,
            }));
        }
        for (id, rule) in &rules {
            let found = backtest(id, rule, inputs.iter().copied(), place(), BEGIN_MS, now_ms + 120_001);
            // Alone nobody overrules it.
            let mut alone: Vec<Firing> = live.iter().filter(|firing| firing.rule == *id).cloned().collect();
            for firing in &mut alone {
                if !firing.overruled.is_empty() {
                    firing.overruled.clear();
                    firing.actions.clone_from(&rule.then);
                }
            }
            prop_assert_eq!(found.firings, alone);
        }
    }
}
