use serde_json::json;
use tarn_tests::wait;

use super::{metric, obey, put, sensor, settable, sql, switch, thing, wait_last};
use crate::devices::{House, LIMIT};

/// Where the house draws too much for a while the boiler goes off, and comes back when there is room again; a moment of much is
/// nothing. The dearer wish wins where two want different things.
#[test]
fn loads_are_shed_and_come_back() {
    let house = House::new("scene-energy");
    let meter = thing(
        &house,
        "meter",
        "cellar",
        &json!({"p": sensor("power", "W", "cellar/meter")}),
    );
    let boiler = thing(
        &house,
        "boiler",
        "cellar",
        &json!({"s": switch("switch", "cellar/boiler")}),
    );
    let (power, boil) = (metric(&house, &meter, "power"), settable(&house, &boiler));
    let device = house.device("cellar/boiler/set", obey);
    house.publish(&[("cellar/meter", b"300"), ("cellar/boiler", b"ON")]);
    let draws = format!("value('{meter}/{power}')");
    put(
        &house,
        "/rules/shed",
        &json!({
            "name": "Too much",
            "when": [{"reading": {"device": meter, "metric": power}}],
            "if": format!("{draws} > 5000.0"),
            "for": "1s",
            "until": format!("{draws} < 3000.0"),
            "then": [{"set": {"device": boiler, "values": {&boil: false}}}],
            "priority": 10,
        }),
    );
    put(
        &house,
        "/rules/back",
        &json!({
            "name": "Room again",
            "when": [{"reading": {"device": meter, "metric": power}}],
            "if": format!("{draws} < 3000.0"),
            "for": "1s",
            "then": [{"set": {"device": boiler, "values": {&boil: true}}}],
        }),
    );
    let client = house.publisher();
    let say = |watts: &str| {
        client.publish("cellar/meter", watts);
        client.wait_acked();
    };
    say("300");
    wait_last(&device, "cellar/boiler/set", "ON");
    say("6000");
    say("1000");
    wait::until_true(LIMIT, "the moment should be over", || {
        sql(&house, "SELECT count(*) FROM readings WHERE value = 1000")[0] == 1
    });
    say("6200");
    wait_last(&device, "cellar/boiler/set", "OFF");
    say("900");
    wait_last(&device, "cellar/boiler/set", "ON");
    let fired = house.http.json(&house.url("/firings?rule=shed"));
    let firings = fired["firings"].as_array().expect("a list");
    assert_eq!(firings.len(), 1, "{fired}");
    let values = firings[0]["values"].to_string();
    assert!(values.contains("6200"), "{values}");
    house.edge.assert_quiet(&["value"]);
}
