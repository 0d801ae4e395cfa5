use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::*;

fn known() -> Known {
    let mut devices: BTreeMap<String, BTreeMap<String, KnownMetric>> = BTreeMap::new();
    for (device, metric, settable) in [
        ("bath/climate", "temperature", false),
        ("bath/climate", "humidity", false),
        ("bath/fan", "on", true),
        ("bath/fan", "speed", true),
        ("bath/fan", "power", false),
        ("hall/lamp", "on", true),
    ] {
        let metrics = devices.entry(device.to_owned()).or_default();
        metrics.insert(metric.to_owned(), KnownMetric { settable });
    }
    let lamp = Settable {
        device: "hall/lamp".into(),
        room: Some("hall".into()),
        metric: "on".into(),
        component: "light".into(),
        takes: crate::group::Takes::Switch,
    };
    Known {
        devices,
        settables: vec![lamp],
        scenes: BTreeMap::from([("evening".to_owned(), evening())]),
        place: Place {
            zone: TimeZone::get("Europe/Berlin").expect("zone"),
            coordinates: None,
        },
    }
}

fn evening() -> Vec<Action> {
    actions(json!([{"set": {"device": "hall/lamp", "values": {"on": true}}}]))
}

fn actions(parts: Value) -> Vec<Action> {
    serde_json::from_value(parts).expect("actions")
}

#[test]
fn scenes_are_checked_and_start_no_others() {
    assert_eq!(check_scene(&evening(), &known()), Ok(()));
    for (parts, words) in [
        (json!([]), "1 to 100"),
        (json!([{"scene": {"scene": "evening"}}]), "no other scene"),
        (json!([{"clear": {"alarm": "leak"}}]), "no alarms"),
        (
            json!([{"set": {"device": "hall/lamb", "values": {"on": true}}}]),
            "hall/lamp",
        ),
        (
            json!([{"group": {"component": "light", "room": "hal", "values": {"on": true}}}]),
            "hal",
        ),
    ] {
        let faults = check_scene(&actions(parts.clone()), &known()).expect_err("a fault");
        assert!(faults[0].to_string().contains(words), "{parts}: {faults:?}");
    }
}

#[test]
fn all_lights_count_as_set_where_loops_are_looked_for() {
    let back = json!({
        "when": [{"change": {"device": "hall/lamp", "metric": "on"}}],
        "then": [{"group": {"component": "light", "values": {"on": false}}}],
    });
    check_fault(back, "r → r");
}

/// A rule with these parts in place of harmless ones.
fn rule(parts: Value) -> Rule {
    let mut all = json!({
        "name": "a rule",
        "when": [{"every": "5m"}],
        "then": [{"notify": {"title": "Hello"}}],
    });
    for (name, part) in parts.as_object().expect("parts") {
        all[name] = part.clone();
    }
    serde_json::from_value(all).expect("rule")
}

fn faults_among(others: &[(&str, Value)], id: &str, parts: Value) -> Vec<String> {
    let others = others
        .iter()
        .map(|(id, parts)| (RuleId::from(*id), rule(parts.clone())));
    let found = check(&others.collect(), &id.into(), &rule(parts), &known());
    let faults = found.err().unwrap_or_default();
    faults.iter().map(Fault::to_string).collect()
}

fn check_fault(parts: Value, expected: &str) {
    let faults = faults_among(&[], "r", parts.clone());
    assert!(
        faults.len() == 1 && faults[0].contains(expected),
        "{parts}: {faults:?}, expected {expected}"
    );
}

fn check_fine(parts: Value) {
    assert_eq!(faults_among(&[], "r", parts.clone()), [""; 0], "{parts}");
}

#[test]
fn a_right_rule_is_accepted() {
    check_fine(json!({}));
    check_fine(json!({
        "when": [{"reading": {"device": "bath/climate", "metric": "humidity"}}],
        "if": "value('bath/climate/humidity') > 70 && online('bath/fan')",
        "until": "value('bath/climate/humidity') < 60",
        "for": "10m",
        "then": [
            {"set": {"device": "bath/fan", "values": {"on": true, "speed": 2}}},
            {"scene": {"scene": "evening"}},
            {"raise": {"alarm": "damp", "severity": "info", "message": "{{ value('bath/climate/humidity') }} %"}},
        ],
    }));
}

#[test]
fn unknown_names_are_told_with_what_looks_alike() {
    let reading = |device: &str, metric: &str| json!({"when": [{"reading": {"device": device, "metric": metric}}]});
    check_fault(
        reading("bath/climat", "humidity"),
        "when[0].reading: no device `bath/climat` is known, did you mean `bath/climate`?",
    );
    check_fault(
        reading("bath/climate", "humidty"),
        "did you mean `humidity`?",
    );
    check_fault(reading("garage", "x"), "no device `garage` is known");
    check_fault(
        json!({"if": "value('bath/climate/temprature') > 1"}),
        "if: `bath/climate` has no metric `temprature`, did you mean `temperature`?",
    );
    check_fault(
        json!({"if": "!online('bath/fun')"}),
        "did you mean `bath/fan`?",
    );
    check_fault(
        json!({"then": [{"scene": {"scene": "evenin"}}]}),
        "did you mean `evening`?",
    );
    check_fault(
        json!({"then": [{"notify": {"title": "{{ value('a/b') }}"}}]}),
        "then[0].title: no device `a` is known",
    );
}

#[test]
fn only_what_can_be_set_is_set() {
    let set = |metric: &str| {
        let mut values = serde_json::Map::new();
        values.insert(metric.to_owned(), json!(1));
        json!({"then": [{"set": {"device": "bath/fan", "values": values}}]})
    };
    check_fine(set("speed"));
    check_fault(
        set("power"),
        "then[0].set.values.power: `power` is only measured, of `bath/fan` one can set `on`, `speed`",
    );
    check_fault(set("sped"), "did you mean `speed`?");
    check_fault(
        json!({"then": [{"set": {"device": "bath/fan", "values": {}}}]}),
        "1 to 50 values",
    );
}

#[test]
fn bounds_are_kept() {
    check_fault(json!({"name": ""}), "name: it has 1 to 100 characters");
    check_fault(
        json!({"name": "ä".repeat(101)}),
        "name: it has 1 to 100 characters",
    );
    check_fault(
        json!({"when": []}),
        "when: it has 1 to 20 parts, here are 0",
    );
    check_fault(
        json!({"then": vec![json!({"mode": {"mode": "x"}}); 21]}),
        "then: it has 1 to 20 parts, here are 21",
    );
    check_fault(json!({"priority": 101}), "priority");
    check_fault(
        json!({"when": [{"every": "500ms"}]}),
        "when[0]: it is every 1s at most",
    );
    check_fault(
        json!({"when": [{"schedule": {"cron": "61 7 * * *"}}]}),
        "when[0]: `61 7 * * *` is no time",
    );
    check_fault(
        json!({"when": [{"schedule": {"cron": "0 7 30 2 *"}}]}),
        "no calendar has such a day",
    );
    check_fault(
        json!({"when": [{"sun": {"event": "sunset"}}]}),
        "the home has no coordinates",
    );
    check_fault(
        json!({"then": [{"publish": {"topic": "a/#", "payload": 1}}]}),
        "no `+` or `#`",
    );
    check_fault(json!({"if": "hour"}), "if: a condition gives yes or no");
    check_fault(json!({"until": "hour > 1"}), "until: it ends a level");
    check_fault(
        json!({"then": [{"notify": {"title": "{{ hour"}}]}),
        "has no `}}`",
    );
    check_fault(
        json!({"when": [{"change": {"device": "bath/fan", "metric": "on", "to": true, "from": true}}]}),
        "no change",
    );
}

#[test]
fn all_faults_are_told_at_once() {
    let faults = faults_among(&[], "", json!({"name": "", "if": "x", "priority": 200}));
    assert_eq!(faults.len(), 4, "{faults:?}");
}

fn when_changed(device: &str) -> Value {
    json!([{"change": {"device": device, "metric": "on"}}])
}

fn set_on(device: &str) -> Value {
    json!([{"set": {"device": device, "values": {"on": true}}}])
}

#[test]
fn a_circle_of_rules_is_refused_and_named() {
    let a = (
        "a",
        json!({"when": when_changed("bath/fan"), "then": set_on("hall/lamp")}),
    );
    let b = json!({"when": when_changed("hall/lamp"), "then": set_on("bath/fan")});
    let faults = faults_among(std::slice::from_ref(&a), "b", b.clone());
    assert!(
        faults[0].contains("then: the rules set each other off in a circle: b → a → b;"),
        "{faults:?}"
    );
    let mut slow = b.clone();
    slow["cooldown"] = json!("2s");
    let faults = faults_among(std::slice::from_ref(&a), "b", slow.clone());
    assert!(faults[0].contains("b → a → b"), "{faults:?}");
    let mut slow_a = a.1.clone();
    slow_a["cooldown"] = json!("1s");
    assert_eq!(faults_among(&[("a", slow_a.clone())], "b", slow), [""; 0]);
    let mut off = a.1;
    off["enabled"] = json!(false);
    assert_eq!(faults_among(&[("a", off)], "b", b), [""; 0]);
}

#[test]
fn a_rule_that_sets_itself_off_is_refused() {
    check_fault(
        json!({"when": when_changed("bath/fan"), "then": set_on("bath/fan")}),
        "circle: r → r;",
    );
    check_fault(
        json!({
            "when": [{"reading": {"device": "bath/climate", "metric": "humidity"}}],
            "if": "value('bath/fan/on') == 0",
            "then": set_on("bath/fan"),
        }),
        "circle: r → r;",
    );
    let mode = |to: &str, mode: &str| json!({"when": [{"mode": {"to": to}}], "then": [{"mode": {"mode": mode}}]});
    check_fault(mode("night", "night"), "circle: r → r;");
    check_fine(mode("evening", "night"));
    check_fault(
        json!({
            "when": at_humidity(),
            "if": "mode == 'night'",
            "then": [{"mode": {"mode": "day"}}],
        }),
        "circle: r → r;",
    );
}

#[test]
fn alarms_make_a_circle_only_through_their_states() {
    let clears = json!({"when": [{"alarm": {"alarm": "x", "is": "raised"}}], "then": [{"clear": {"alarm": "x"}}]});
    check_fine(clears.clone());
    let raises = json!({
        "when": [{"alarm": {"alarm": "x", "is": "cleared"}}],
        "then": [{"raise": {"alarm": "x", "severity": "info", "message": "again"}}],
    });
    let faults = faults_among(&[("clears", clears)], "raises", raises);
    assert!(faults[0].contains("raises → clears → raises"), "{faults:?}");
}

fn at_humidity() -> Value {
    json!([{"reading": {"device": "bath/climate", "metric": "humidity"}}])
}

#[test]
fn what_a_moment_only_looks_at_makes_no_circle() {
    check_fine(
        json!({"when": [{"every": "5m"}], "if": "value('bath/fan/on') == 0", "then": set_on("bath/fan")}),
    );
}

#[test]
fn a_circle_through_a_scene_and_a_mode_is_found() {
    let others = [
        (
            "a",
            json!({"when": [{"mode": {"to": "night"}}], "then": [{"scene": {"scene": "evening"}}]}),
        ),
        ("other", json!({"when": when_changed("bath/fan")})),
    ];
    let faults = faults_among(
        &others,
        "b",
        json!({"when": when_changed("hall/lamp"), "then": [{"mode": {"mode": "night"}}]}),
    );
    assert!(faults[0].contains("b → a → b"), "{faults:?}");
}

#[test]
fn a_rule_may_replace_its_former_self() {
    let before = (
        "a",
        json!({"when": when_changed("bath/fan"), "then": set_on("bath/fan")}),
    );
    assert_eq!(
        faults_among(&[before], "a", json!({"when": when_changed("bath/fan")})),
        [""; 0]
    );
}

#[test]
fn a_graph_is_kept_up_to_date() {
    let known = known();
    let mut graph = Graph::default();
    let a = rule(json!({"when": when_changed("bath/fan"), "then": set_on("hall/lamp")}));
    let b = rule(json!({"when": when_changed("hall/lamp"), "then": set_on("bath/fan")}));
    graph.insert(&"a".into(), &a, &known);
    assert!(graph.circle_with(&"b".into(), &b, &known).is_some());
    graph.remove(&"a".into());
    assert!(graph.is_empty() && graph.circle_with(&"b".into(), &b, &known).is_none());
}
