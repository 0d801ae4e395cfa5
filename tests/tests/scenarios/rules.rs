use std::time::Duration;

use serde_json::{Value, json};
use tarn_tests::http::Answer;
use tarn_tests::wait;

use crate::devices::{House, LIMIT};
use crate::twins::{announce, gadget, told};

fn put(house: &House, rule: &str, definition: &Value) -> Answer {
    let url = house.url(&format!("/rules/{rule}"));
    house.http.try_put(&url, definition).expect("an answer")
}

fn alarms(house: &House) -> Vec<Value> {
    let list = house.http.json(&house.url("/alarms"));
    list["alarms"].as_array().expect("a list").clone()
}

/// Events of rules and alarms in the lake: how many, by kind, subject and word.
fn events(house: &House, kind: &str, subject: &str, word: &str) -> u64 {
    let sql = format!(
        "SELECT count(*) AS n FROM events WHERE kind = '{kind}' AND metric = '{subject}' AND reason = '{word}'"
    );
    let answer = house
        .http
        .post(&house.edge.url("/v1/sql"), &json!({"sql": sql}));
    answer["rows"][0][0].as_u64().expect("a count")
}

fn leak_rule(plug: &str) -> Value {
    json!({
        "name": "Water in the cellar",
        "when": [{"change": {"device": "home/cellar", "metric": "leak", "to": 1}}],
        "if": "mode != 'holiday'",
        "then": [
            {"raise": {"alarm": "leak", "severity": "critical", "message": "Water: {{ value('home/cellar/leak') }}"}},
            {"set": {"device": plug, "values": {"plug": true}}},
        ],
    })
}

/// Says each change of a counter.
fn echo_rule(topic: &str) -> Value {
    json!({
        "name": "Echo",
        "when": [{"change": {"device": "home/counter", "metric": "n"}}],
        "then": [{"publish": {"topic": topic, "payload": {"seen": true}}}],
    })
}

/// A sensor's word raises an alarm and switches a device, once; the alarm stands over a power cut until somebody has seen it.
#[test]
fn an_alarm_is_raised_once_and_outlives_a_power_cut() {
    let mut house = House::new("rule-alarm");
    let plug = announce(&house);
    let device = gadget(&house);
    house.publish(&[("home/cellar", br#"{"leak": 0}"#)]);
    house.wait_measured("leak");
    let answer = put(&house, "leak", &leak_rule(&plug));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let panel = house.device("tarn/rule-alarm/alarm/+", |_, _| Vec::new());

    house.publish(&[("home/cellar", br#"{"leak": 1}"#)]);
    wait::until_true(LIMIT, "the alarm should be raised", || {
        alarms(&house)
            .iter()
            .any(|alarm| alarm["state"] == "raised")
    });
    let alarm = alarms(&house).remove(0);
    assert_eq!(
        (&alarm["severity"], &alarm["message"], &alarm["by"]),
        (&json!("critical"), &json!("Water: 1"), &json!("rule:leak"))
    );
    wait::until_true(LIMIT, "the plug should be switched", || {
        told(&device, "g/plug/set") == ["ON"]
    });
    wait::until_true(LIMIT, "the alarm should be published", || {
        told(&panel, "tarn/rule-alarm/alarm/leak").len() == 1
    });
    wait::until_true(LIMIT, "it should be noted", || {
        events(&house, "rule", "leak", "done") == 1
    });

    house.edge.kill_9();
    house.edge.restart();
    assert_eq!(alarms(&house)[0]["state"], "raised");
    // What was wet stays wet, so nothing new has happened.
    house.publish(&[("home/cellar", br#"{"leak": 1}"#)]);
    let url = house.url("/alarms/leak/acknowledge");
    let seen = house.http.post(&url, &Value::Null);
    assert_eq!(seen["state"], "acknowledged");
    wait::until_true(LIMIT, "that should be noted", || {
        events(&house, "alarm", "leak", "acknowledged") == 1
    });
    assert_eq!(
        (
            events(&house, "rule", "leak", "fired"),
            events(&house, "alarm", "leak", "raised")
        ),
        (1, 1)
    );
    assert_eq!(told(&device, "g/plug/set"), ["ON"]);
    house.edge.assert_quiet(&["journal"]);
}

/// Each change fires once, however often the power fails in between.
#[test]
fn a_rule_fires_once_for_each_change_over_power_cuts() {
    fires_once(House::new("rule-once"), Duration::ZERO);
}

/// The same, while the journal is cut all the time: no segment goes before rules have read it.
#[test]
fn a_rule_fires_once_for_each_change_while_the_journal_is_cut() {
    let house = House::started("rule-cut", |launch| launch.arg("--cut-age", "100ms"));
    fires_once(house, Duration::from_millis(40));
}

fn fires_once(mut house: House, pause: Duration) {
    // A rule that fires more than sixty times a minute rests.
    const KILLS: u64 = 5;
    const EACH: u64 = 10;
    house.publish(&[("home/counter", br#"{"n": 0}"#)]);
    house.wait_measured("n");
    let answer = put(&house, "echo", &echo_rule("echo/n"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut n = 0;
    for _ in 0..KILLS {
        let client = house.publisher();
        for _ in 0..EACH {
            n += 1;
            client.publish("home/counter", format!("{{\"n\": {n}}}"));
            // What comes at once is cut at once.
            std::thread::sleep(pause);
        }
        client.wait_acked();
        house.edge.kill_9();
        house.edge.restart();
    }
    let count = || events(&house, "rule", "echo", "fired");
    wait::until_true(LIMIT, "each change should have fired", || count() >= n);
    wait::until_true(LIMIT, "each should be carried out", || {
        events(&house, "rule", "echo", "done") >= n
    });
    assert_eq!(count(), n);
    house.edge.assert_quiet(&["journal"]);
}

/// A rule is for what comes after it was set, and that is so over a power cut, too.
#[test]
fn a_rule_begins_when_it_is_set_and_stays_so_over_a_power_cut() {
    let mut house = House::new("rule-begins");
    let tell = |house: &House, n: u32| {
        house.publish(&[("home/counter", format!("{{\"n\": {n}}}").as_bytes())]);
    };
    let set = |house: &House, id: &str| {
        let answer = put(house, id, &echo_rule(id));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    let fired = |house: &House, id: &str, times: u64| {
        wait::until_true(LIMIT, format!("{id} should fire"), || {
            events(house, "rule", id, "done") >= times
        });
        assert_eq!(events(house, "rule", id, "fired"), times, "{id}");
    };
    tell(&house, 0);
    house.wait_measured("n");
    set(&house, "first");
    tell(&house, 1);
    fired(&house, "first", 1);
    set(&house, "second");
    house.edge.kill_9();
    house.edge.restart();
    tell(&house, 2);
    fired(&house, "first", 2);
    fired(&house, "second", 1);
    // Another that looks at something else is another rule.
    let mut other = echo_rule("second");
    other["if"] = json!("value('home/counter/n') < 2.0");
    assert_eq!(put(&house, "second", &other).status, 200);
    house.edge.kill_9();
    house.edge.restart();
    tell(&house, 3);
    fired(&house, "first", 3);
    tell(&house, 1);
    fired(&house, "second", 2);
    house.edge.assert_quiet(&["journal"]);
}

/// Who was told that the mode is another has what rules do about it, whatever happens to the power then.
#[test]
fn what_rules_do_about_a_mode_is_done_over_a_power_cut() {
    let mut house = House::new("rule-mode");
    let rule = json!({
        "name": "Quiet",
        "when": [{"mode": {"to": "night"}}],
        "then": [{"publish": {"topic": "echo/night", "payload": "quiet", "retain": true}}],
    });
    assert_eq!(put(&house, "quiet", &rule).status, 200);
    for times in 1..=5 {
        let url = house.url("/mode");
        for mode in ["home", "night"] {
            let answer = house.http.try_put(&url, &json!({"mode": mode}));
            assert_eq!(answer.expect("an answer").status, 200);
        }
        house.edge.kill_9();
        house.edge.restart();
        wait::until_true(LIMIT, "it should be carried out", || {
            events(&house, "rule", "quiet", "done") == times
        });
        assert_eq!(events(&house, "rule", "quiet", "fired"), times);
    }
    let panel = house.device("echo/+", |_, _| Vec::new());
    wait::until_true(LIMIT, "it should be told", || {
        told(&panel, "echo/night") == ["quiet"]
    });
}

/// What is underway when the power fails is carried out afterwards, though the note that it fired is cut and gone by then.
#[test]
fn what_was_underway_is_carried_out_after_a_power_cut() {
    let mut house = House::started("rule-underway", |launch| launch.arg("--cut-age", "100ms"));
    let plug = announce(&house);
    let mute = house.device("g/+/set", |_, _| Vec::new());
    house.publish(&[("home/counter", br#"{"n": 0}"#)]);
    house.wait_measured("n");
    let rule = json!({
        "name": "Call, then tell",
        "when": [{"change": {"device": "home/counter", "metric": "n"}}],
        // The plug never says that it did it; that is waited for.
        "then": [
            {"call": {"device": plug, "values": {"plug": true}}},
            {"publish": {"topic": "echo/told", "payload": "told", "retain": true}},
        ],
    });
    let answer = put(&house, "call", &rule);
    assert_eq!(answer.status, 200, "{}", answer.text());
    house.publish(&[("home/counter", br#"{"n": 1}"#)]);
    wait::until_true(LIMIT, "the plug should be called", || {
        told(&mute, "g/plug/set") == ["ON"]
    });
    let cuts = || house.metric("tarn_cut_segments_total").unwrap_or_default();
    let before = cuts();
    wait::until_true(LIMIT, "that should be cut", || {
        house.publish(&[("home/other", br#"{"m": 1}"#)]);
        cuts() > before + 2.0
    });
    assert_eq!(events(&house, "rule", "call", "done"), 0);

    house.edge.kill_9();
    house.edge.restart();
    let panel = house.device("echo/+", |_, _| Vec::new());
    wait::until_true(LIMIT, "it should be carried out", || {
        events(&house, "rule", "call", "done") == 1
    });
    assert_eq!(events(&house, "rule", "call", "fired"), 1);
    wait::until_true(LIMIT, "it should be told", || {
        told(&panel, "echo/told") == ["told"]
    });
    house
        .edge
        .assert_quiet(&["journal", "an action of a rule failed"]);
}

/// What makes no sense is refused, with words that help.
#[test]
fn rules_are_checked_when_they_are_set() {
    let house = House::new("rule-check");
    let plug = announce(&house);
    house.publish(&[("home/cellar", br#"{"leak": 0}"#)]);
    house.wait_measured("leak");
    let good = leak_rule(&plug);
    for (field, wrong, words) in [
        ("if", json!("value('home/celar/leak') > 0.0"), "home/cellar"),
        ("if", json!("1 + 'a'"), "if"),
        (
            "when",
            json!([{"schedule": {"cron": "99 * * * *"}}]),
            "when[0]",
        ),
        (
            "then",
            json!([{"set": {"device": plug, "values": {"plugg": true}}}]),
            "plug",
        ),
        (
            "then",
            json!([{"set": {"device": plug, "values": {}}, "clear": {"alarm": "x"}}]),
            "rule",
        ),
    ] {
        let mut rule = good.clone();
        rule[field] = wrong.clone();
        let answer = put(&house, "leak", &rule);
        assert_eq!(answer.status, 400, "{wrong}");
        let problem: Value = serde_json::from_str(&answer.text()).expect("a problem");
        let detail = problem["detail"].as_str().expect("words");
        assert!(detail.contains(words), "{wrong}: {detail}");
    }
    assert_eq!(house.http.json(&house.url("/rules"))["rules"], json!([]));
    assert_eq!(put(&house, "leak", &good).status, 200);
    let kept = house.http.json(&house.url("/rules/leak"));
    assert_eq!(kept["definition"], good);
    let gone = house.http.delete(&house.url("/rules/leak"));
    assert_eq!(gone.status, 204);
    assert_eq!(house.http.json(&house.url("/rules"))["rules"], json!([]));
    house.edge.assert_quiet(&[]);
}

/// A window has what was measured before the rule was set and before a power cut, each reading once, whether it is cut or not.
#[test]
fn windows_know_what_was_before_the_rule_and_before_a_power_cut() {
    let mut house = House::started("rule-windows", |launch| launch.arg("--cut-age", "1s"));
    let told = |house: &House, values: &[u32]| {
        let payloads: Vec<String> = values.iter().map(|n| format!("{{\"n\": {n}}}")).collect();
        let messages: Vec<(&str, &[u8])> = payloads
            .iter()
            .map(|payload| ("home/a", payload.as_bytes()))
            .collect();
        house.publish(&messages);
    };
    let cut = |house: &House, readings: u32| {
        wait::until_true(LIMIT, format!("{readings} readings should be cut"), || {
            house.metric("tarn_cut_readings_total") >= Some(f64::from(readings))
        });
    };
    told(&house, &[10, 10, 10]);
    cut(&house, 3);
    let rule = json!({
        "name": "A high hour", "when": [{"reading": {"device": "home/a", "metric": "n"}}],
        "if": "avg('home/a/n', '1h') > 50.0",
        "then": [{"raise": {"alarm": "high", "severity": "info",
            "message": "{{ count('home/a/n', '1h') }} with {{ sum('home/a/n', '1h') }}"}}],
    });
    let answer = put(&house, "high", &rule);
    assert_eq!(answer.status, 200, "{}", answer.text());
    told(&house, &[80]);
    cut(&house, 4);
    told(&house, &[60]);
    house.edge.kill_9();
    house.edge.restart();
    told(&house, &[100, 200]);
    let alarm = wait::until(LIMIT, "the alarm should be raised", || {
        alarms(&house).into_iter().next()
    });
    // 38 before the last one, 67 with it.
    assert_eq!(alarm["message"], "7 with 470");
}
