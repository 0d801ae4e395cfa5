use serde_json::json;
use tarn_tests::wait;

use super::{post, put};
use crate::devices::{House, LIMIT};

/// Lights of one room that speak Zigbee2MQTT, Tasmota and Home Assistant's discovery are one group: each is told in its own words.
#[test]
fn lights_of_a_room_are_one_whatever_their_make() {
    let house = House::new("scene-vendors");
    let bridge = json!([{
        "ieee_address": "0x00158d0001a2b3c4", "friendly_name": "bulb", "type": "Router", "supported": true,
        "definition": {"model": "LED1", "vendor": "Maker", "exposes": [{
            "type": "light", "features": [
                {"type": "binary", "name": "state", "property": "state", "access": 7, "value_on": "ON", "value_off": "OFF"},
                {"type": "numeric", "name": "brightness", "property": "brightness", "access": 7, "value_min": 0, "value_max": 254},
            ],
        }]},
    }]);
    let client = house.publisher();
    client.publish_retained("zigbee2mqtt/bridge/devices", bridge.to_string());
    let strip = json!({"name": "Strip", "uniq_id": "strip", "stat_t": "strip", "cmd_t": "strip/set", "dev": {"ids": ["strip"], "name": "strip"}});
    client.publish_retained("homeassistant/light/strip/config", strip.to_string());
    let lamp = json!({
        "ip": "192.168.1.9", "dn": "Lamp", "fn": ["Lamp"], "hn": "lamp", "mac": "5CCF7F112233", "md": "Sonoff", "ty": 0, "if": 0,
        "ofln": "Offline", "onln": "Online", "state": ["OFF", "ON", "TOGGLE", "HOLD"], "sw": "13.1.0", "t": "lamp",
        "ft": "%prefix%/%topic%/", "tp": ["cmnd", "stat", "tele"], "rl": [2, 0, 0, 0], "so": {"30": 0}, "lk": 0, "lt_st": 1, "ver": 1,
    });
    client.publish_retained("tasmota/discovery/5CCF7F112233/config", lamp.to_string());
    client.publish("tele/lamp/LWT", "Online");
    client.wait_acked();
    let ids = [
        house.wait_id("ieee:00158d0001a2b3c4"),
        house.wait_id("ha:strip"),
        house.wait_id("mac:5ccf7f112233"),
    ];
    for id in &ids {
        let moved = house
            .http
            .patch(&house.device_url(id, ""), &json!({"room": "den"}));
        assert_eq!(moved.status, 200, "{}", moved.text());
    }
    let bulb = house.device("zigbee2mqtt/bulb/set", |_, payload| {
        vec![("zigbee2mqtt/bulb".into(), payload.to_vec())]
    });
    let strip = house.device("strip/set", |_, payload| {
        vec![("strip".into(), payload.to_vec())]
    });
    let lamp = house.device("cmnd/lamp/+", |topic, payload| {
        vec![(topic.replace("cmnd", "stat"), payload.to_vec())]
    });
    let group = json!({"component": "light", "room": "den", "values": {"on": true, "percent": 50}});
    let done = wait::until(LIMIT, "all three should be set", || {
        let done = post(&house, "/group", &group);
        (done["devices"].as_array()?.len() == 3).then_some(done)
    });
    assert!(
        done["devices"]
            .as_array()
            .is_some_and(|all| all.iter().all(|one| one["problem"].is_null())),
        "{done}"
    );
    let heard = |payload: &[u8], words: &[&str]| {
        let text = String::from_utf8_lossy(payload).replace(' ', "");
        words.iter().all(|word| text.contains(word))
    };
    bulb.wait_for("the bulb should be half bright", |h| {
        heard(&h.payload, &["\"brightness\":127"])
    });
    bulb.wait_for("the bulb should be on", |h| {
        heard(&h.payload, &["\"state\":\"ON\""])
    });
    strip.wait_for("the strip should be on", |h| h.payload == b"ON");
    lamp.wait_for("the lamp should be on", |h| {
        h.topic.starts_with("cmnd/lamp/P") && heard(&h.payload, &["ON"])
    });

    // By a rule, too.
    put(
        &house,
        "/rules/dark",
        &json!({
            "name": "Nobody is there",
            "when": [{"mode": {"to": "away"}}],
            "then": [{"group": {"component": "light", "room": "den", "values": {"on": false}}}],
        }),
    );
    put(&house, "/mode", &json!({"mode": "away"}));
    strip.wait_for("the strip should be off", |h| h.payload == b"OFF");
    bulb.wait_for("the bulb should be off", |h| {
        heard(&h.payload, &["\"state\":\"OFF\""])
    });
    lamp.wait_for("the lamp should be off", |h| {
        h.topic.starts_with("cmnd/lamp/P") && heard(&h.payload, &["OFF"])
    });
    let none = house.http.try_post(
        &house.url("/group"),
        &json!({"component": "light", "room": "attic", "values": {"on": true}}),
    );
    assert_eq!(none.expect("an answer").status, 404);
    house.edge.assert_quiet(&[]);
}
