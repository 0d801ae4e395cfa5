use serde_json::json;

use super::{obey, put, switch, thing, wait_last};
use crate::devices::House;

/// The television plays: sound and light follow. It stops: all is as before.
#[test]
fn sound_and_light_follow_the_film() {
    let house = House::new("scene-film");
    let light = json!({
        "s": switch("light", "den/lamp"),
        "d": {"p": "number", "name": "Dimmer", "unique_id": "den/dim", "stat_t": "den/dim", "cmd_t": "den/dim/set", "min": 0, "max": 100},
    });
    let lamp = thing(&house, "lamp", "den", &light);
    let sound = thing(
        &house,
        "sound",
        "den",
        &json!({"s": switch("switch", "den/sound")}),
    );
    let dim = super::settable_by(&house, &lamp, "number");
    let device = house.device("den/+/set", obey);
    let sound_metric = super::settable(&house, &sound);
    house.publish(&[("den/tv", br#"{"state": "idle"}"#), ("den/lamp", b"ON")]);
    house.wait_measured("state");
    put(
        &house,
        "/scenes/film",
        &json!({
            "name": "Film",
            "then": [
                {"set": {"device": lamp, "values": {&dim: 10}}},
                {"set": {"device": sound, "values": {&sound_metric: true}}},
            ],
        }),
    );
    put(
        &house,
        "/scenes/after",
        &json!({
            "name": "After the film",
            "then": [
                {"set": {"device": lamp, "values": {&dim: 80}}},
                {"set": {"device": sound, "values": {&sound_metric: false}}},
            ],
        }),
    );
    let rule = |to: &str, scene: &str| {
        json!({
            "name": scene,
            "when": [{"change": {"device": "den/tv", "metric": "state", "to": to}}],
            "then": [{"scene": {"scene": scene}}],
        })
    };
    put(&house, "/rules/film", &rule("playing", "film"));
    put(&house, "/rules/after", &rule("idle", "after"));
    for _ in 0..3 {
        house.publish(&[("den/tv", br#"{"state": "playing"}"#)]);
        wait_last(&device, "den/dim/set", "10");
        wait_last(&device, "den/sound/set", "ON");
        house.publish(&[("den/tv", br#"{"state": "idle"}"#)]);
        wait_last(&device, "den/dim/set", "80");
        wait_last(&device, "den/sound/set", "OFF");
    }
    let gone = house.http.delete(&house.url("/scenes/film"));
    assert_eq!(gone.status, 204);
    let gone = house.http.delete(&house.url("/scenes/film"));
    assert_eq!(gone.status, 404);
    house.edge.assert_quiet(&[]);
}
