use std::net::TcpListener;

use serde_json::json;
use tarn_tests::wait;

use super::{post, put, settable, sql, switch, thing, wait_alarm, with_hook};
use crate::devices::{House, LIMIT};

/// A rule that divides by zero, one that would loop, one on a device that went away, a webhook that hangs, and a night in which the
/// clocks are set: each is visible, and none stops another rule.
#[test]
fn rules_that_go_wrong_stop_no_other() {
    // Takes connections and never answers.
    let hangs = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = hangs.local_addr().expect("an address").port();
    let house = House::started("scene-robust", |launch| {
        // The last Sunday of March, half an hour before the clocks are set.
        with_hook(launch, "stuck", port)
            .arg("--cut-age", "1s")
            .arg("--time-zone", "Europe/Vienna")
            .arg("--clock", "2026-03-29T00:30:00Z*600")
    });
    house.publish(&[("home/a", br#"{"n": 0, "m": 0}"#)]);
    house.wait_measured("n");
    let change = json!([{"change": {"device": "home/a", "metric": "n"}}]);
    put(
        &house,
        "/rules/zero",
        &json!({
            "name": "Divides", "when": change, "if": "1 / int(value('home/a/m')) > 0",
            "then": [{"notify": {"title": "Never"}}],
        }),
    );
    let looping = json!({
        "name": "Round", "when": [{"mode": {"to": "x"}}], "then": [{"mode": {"mode": "x"}}],
    });
    let refused = house.http.try_put(&house.url("/rules/round"), &looping);
    let refused = refused.expect("an answer");
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("circle"), "{}", refused.text());
    let mut parts = json!({"s": switch("switch", "hall/plug")});
    parts["s"]["avty_t"] = json!("hall/plug/status");
    let plug = thing(&house, "plug", "hall", &parts);
    let power = settable(&house, &plug);
    house
        .publisher()
        .publish_retained("hall/plug/status", "offline");
    let call = json!([{"call": {"device": plug, "values": {&power: true}}}]);
    let gone = json!({"name": "On a device that went", "when": change, "then": call});
    put(&house, "/rules/gone", &gone);
    put(
        &house,
        "/rules/good",
        &json!({
            "name": "Works", "when": change,
            "then": [{"raise": {"alarm": "good", "severity": "warning", "message": "n is {{ value('home/a/n') }}"}}],
        }),
    );
    put(
        &house,
        "/rules/gap",
        &json!({
            "name": "At a time that there is not", "when": [{"schedule": {"cron": "30 2 * * *"}}],
            "then": [{"raise": {"alarm": "gap", "severity": "info", "message": "half past two"}}],
        }),
    );
    house.publish(&[("home/a", br#"{"n": 1}"#)]);
    let raised = wait_alarm(&house, "good", "raised");
    assert_eq!(raised["message"], "n is 1");
    wait_alarm(&house, "gap", "raised");
    wait::until_true(LIMIT, "the division should be told", || {
        sql(
            &house,
            "SELECT count(*) FROM events WHERE kind = 'rule' AND metric = 'zero' AND reason = 'fault'",
        )[0] == 1
    });
    let times = sql(
        &house,
        "SELECT count(*) FROM events WHERE kind = 'rule' AND metric = 'gap' AND reason = 'fired'",
    );
    assert_eq!(times[0], 1);
    wait::until_true(LIMIT, "the hook that hangs should be told of", || {
        sql(
            &house,
            "SELECT count(*) FROM events WHERE kind = 'delivery' AND metric = 'stuck' AND reason = 'failed'",
        )[0] != 0
    });
    wait::until_true(LIMIT, "that the plug is away should be told", || {
        let done = sql(
            &house,
            "SELECT text FROM events WHERE kind = 'rule' AND metric = 'gone' AND reason = 'done'",
        );
        done.iter().any(|text| {
            text.as_str()
                .is_some_and(|text| !text.contains("\"faults\":[]"))
        })
    });
    // And still.
    post(&house, "/alarms/good/acknowledge", &json!(null));
    wait_alarm(&house, "good", "acknowledged");
    house
        .edge
        .assert_quiet(&["zero", "rule=gone", "hook", "webhook", "message"]);
}
