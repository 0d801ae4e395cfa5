use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tarn_tests::wait;

use super::{
    alarm, hook::Hook, obey, put, settable, switch, thing, wait_alarm, wait_last, with_hook,
};
use crate::devices::{House, LIMIT, mute};

/// From the contact's message to the alarm's, for the fastest of five: the others may have met a busy machine.
const SOON: Duration = Duration::from_millis(100);

/// The last to go arms the house by itself. A door that opens then is an alarm within moments, with a siren and a message to
/// people; it outlives a power cut, people are told of it all the same, and who comes home disarms.
#[test]
fn a_door_that_opens_while_nobody_is_there() {
    let hook = Hook::start();
    let mut house = House::started("scene-security", |launch| {
        with_hook(launch, "hook", hook.port).arg("--cut-age", "1s")
    });
    let siren = thing(
        &house,
        "siren",
        "hall",
        &json!({"s": switch("switch", "hall/siren")}),
    );
    let power = settable(&house, &siren);
    let device = house.device("hall/siren/set", obey);
    let panel = house.device("tarn/scene-security/alarm/+", mute);
    house.publish(&[
        ("home/door", br#"{"open": 0}"#),
        ("phone/ada", br#"{"place": "home"}"#),
    ]);
    wait::until_true(LIMIT, "the door and the phone should be known", || {
        let list = house.http.json(&house.url("/latest"));
        list["latest"].as_array().is_some_and(|all| all.len() >= 2)
    });
    put(
        &house,
        "/members/ada",
        &json!({"name": "Ada", "tracker": "phone/ada/place"}),
    );
    put(
        &house,
        "/rules/arm",
        &json!({
            "name": "The last one goes",
            "when": [{"presence": {"is": "away"}}],
            "then": [{"mode": {"mode": "away"}}],
        }),
    );
    put(
        &house,
        "/rules/disarm",
        &json!({
            "name": "Somebody comes home",
            "when": [{"presence": {"is": "home"}}],
            "then": [{"mode": {"mode": "home"}}, {"clear": {"alarm": "intrusion"}}, {"set": {"device": siren, "values": {&power: false}}}],
        }),
    );
    put(
        &house,
        "/rules/door",
        &json!({
            "name": "The door opens while nobody is there",
            "when": [{"change": {"device": "home/door", "metric": "open", "to": 1}}],
            "if": "mode == 'away'",
            "then": [
                {"raise": {"alarm": "intrusion", "severity": "critical", "class": "intrusion", "message": "The door was opened"}},
                {"set": {"device": siren, "values": {&power: true}}},
            ],
        }),
    );
    // While somebody is at home, doors open.
    house.publish(&[
        ("home/door", br#"{"open": 1}"#),
        ("home/door", br#"{"open": 0}"#),
    ]);
    let mode = |house: &House| house.http.json(&house.url("/mode"))["mode"].clone();
    let goes = |house: &House, to: &str, wanted: &str| {
        house.publish(&[("phone/ada", format!(r#"{{"place": "{to}"}}"#).as_bytes())]);
        wait::until_true(LIMIT, format!("the mode should be {wanted}"), || {
            mode(house) == wanted
        });
    };
    goes(&house, "home", "home");
    assert_eq!(alarm(&house, "intrusion"), Value::Null);

    let mut took = Vec::new();
    for round in 1..=5 {
        goes(&house, "work", "away");
        let raised = || {
            let heard = panel.heard();
            heard
                .iter()
                .filter(|heard| heard.payload.windows(8).any(|w| w == b"\"raised\""))
                .count()
        };
        let door = house.publisher();
        let before = raised();
        let began = Instant::now();
        door.publish("home/door", r#"{"open": 1}"#);
        wait::until_true(LIMIT, "the alarm should be published", || raised() > before);
        took.push(began.elapsed());
        wait_last(&device, "hall/siren/set", "ON");
        if round < 5 {
            door.publish("home/door", r#"{"open": 0}"#);
            door.wait_acked();
            goes(&house, "home", "home");
            wait_alarm(&house, "intrusion", "cleared");
            wait_last(&device, "hall/siren/set", "OFF");
        }
    }
    took.sort();
    println!("from the door's message to the alarm: {took:?}");
    assert!(took[0] <= SOON, "{took:?}");

    // The power goes in the middle of it.
    house.edge.kill_9();
    house.edge.restart();
    assert_eq!(alarm(&house, "intrusion")["state"], "raised");
    wait::until_true(LIMIT, "people should have been told of every alarm", || {
        let told = hook.told();
        let raised = told
            .iter()
            .filter(|told| told.to_string().contains("\"raised\""));
        raised.count() >= 5
    });
    goes(&house, "home", "home");
    wait_alarm(&house, "intrusion", "cleared");
    // The siren was cut off by the power cut, which the rule says.
    house
        .edge
        .assert_quiet(&["journal", "rule=disarm", "rule=door"]);
}
