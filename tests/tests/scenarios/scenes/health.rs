use serde_json::json;
use tarn_common::clock::{Clock, SystemClock};
use tarn_tests::wait;

use super::{obey, post, put, settable, sql, switch, thing, wait_last};
use crate::devices::{House, LIMIT, mute};

/// The mean of the air decides, not a breath: the fan runs and people are asked to open a window. What a cuff measures over days is
/// told with a plain word of caution, at home only.
#[test]
fn bad_air_is_let_out_and_health_stays_at_home() {
    let house = House::new("scene-health");
    let fan = thing(
        &house,
        "fan",
        "bedroom",
        &json!({"s": switch("fan", "bedroom/fan")}),
    );
    let power = settable(&house, &fan);
    let device = house.device("bedroom/fan/set", obey);
    let notes = house.device("tarn/scene-health/notify", mute);
    house.publish(&[("bedroom/air", br#"{"co2": 600}"#)]);
    house.wait_measured("co2");
    put(
        &house,
        "/rules/air",
        &json!({
            "name": "Bad air",
            "when": [{"reading": {"device": "bedroom/air", "metric": "co2"}}],
            "if": "count('bedroom/air/co2', '10m') >= 5.0 && avg('bedroom/air/co2', '10m') > 1000.0",
            "then": [
                {"set": {"device": fan, "values": {&power: true}}},
                {"notify": {"title": "Open a window", "message": "{{ avg('bedroom/air/co2', '10m') }} ppm in the bedroom"}},
            ],
        }),
    );
    let client = house.publisher();
    for ppm in [1900, 700, 700, 700, 700, 700] {
        client.publish("bedroom/air", json!({"co2": ppm}).to_string());
    }
    client.wait_acked();
    wait::until_true(LIMIT, "all of it should be seen", || {
        sql(&house, "SELECT count(*) FROM readings WHERE metric = 'co2'")[0] == 7
    });
    let fired = || house.http.json(&house.url("/firings"))["firings"].clone();
    assert_eq!(fired(), json!([]));
    for _ in 0..40 {
        client.publish("bedroom/air", json!({"co2": 1800}).to_string());
    }
    wait_last(&device, "bedroom/fan/set", "ON");
    let note = notes.wait_for("people should be asked", |_| true);
    assert!(String::from_utf8_lossy(&note.payload).contains("ppm in the bedroom"));

    // A cuff, morning and evening of the last days.
    let now_ms = SystemClock.now_ms();
    let readings: Vec<_> = (0..16)
        .map(|half| {
            let at = now_ms - half * 43_200_000;
            json!({"ts": at, "systolic": 158, "diastolic": 97})
        })
        .collect();
    house.publish(&[(
        "tarn/backlog/ada/cuff",
        json!(readings).to_string().as_bytes(),
    )]);
    let found = wait::until(LIMIT, "the pressure should be told", || {
        let found = post(
            &house,
            "/insights/packs/health-blood-pressure/run",
            &json!(null),
        );
        (!found["insights"].as_array()?.is_empty()).then_some(found)
    });
    let insight = &found["insights"][0];
    assert_eq!(insight["private"], true, "{insight}");
    assert!(insight["disclaimer"].is_string(), "{insight}");
    assert_eq!(
        sql(&house, "SELECT count(*) FROM events WHERE kind = 'insight'")[0],
        0
    );
    house.edge.assert_quiet(&[]);
}
