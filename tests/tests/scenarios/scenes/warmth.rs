use serde_json::json;

use super::{last, obey, put, settable, switch, thing, wait_last};
use crate::devices::House;

/// Simulated minutes that the room is looked at.
const MINUTES: usize = 600;
/// Minutes in which it may warm up.
const WARM_UP: usize = 120;

/// Two rules hold a room between 20 and 22 degrees while it is freezing outside, with a power cut in the middle.
#[test]
fn a_room_is_kept_warm() {
    let mut house = House::new("scene-warmth");
    let heater = thing(
        &house,
        "heater",
        "den",
        &json!({"s": switch("switch", "den/heater")}),
    );
    let power = settable(&house, &heater);
    house.publish(&[("den/climate", br#"{"temperature": 15.0}"#)]);
    house.wait_measured("temperature");
    let rule = |name: &str, condition: &str, on: bool| {
        json!({
            "name": name,
            "when": [{"reading": {"device": "den/climate", "metric": "temperature"}}],
            "if": condition,
            "then": [{"set": {"device": heater, "values": {&power: on}}}],
        })
    };
    put(
        &house,
        "/rules/cold",
        &rule("Cold", "value('den/climate/temperature') < 20.6", true),
    );
    put(
        &house,
        "/rules/warm",
        &rule("Warm", "value('den/climate/temperature') > 21.4", false),
    );

    let mut device = house.device("den/heater/set", obey);
    let mut sensor = house.publisher();
    let (mut inside, mut is_on) = (15.0, false);
    let (mut lowest, mut highest, mut switched) = (f64::MAX, f64::MIN, 0);
    for minute in 0..MINUTES {
        // Half an hour's loss to the frost, and a heater of two kilowatts.
        inside += (-5.0 - inside) / 600.0 + if is_on { 0.12 } else { 0.0 };
        sensor.publish("den/climate", json!({"temperature": inside}).to_string());
        // The house waits for its box, however busy that is: its minutes are not ours.
        if inside < 20.6 && !is_on {
            wait_last(&device, "den/heater/set", "ON");
        } else if inside > 21.4 && is_on {
            wait_last(&device, "den/heater/set", "OFF");
        }
        let wanted = last(&device, "den/heater/set").map_or(is_on, |told| told == "ON");
        switched += usize::from(wanted != is_on);
        is_on = wanted;
        if minute > WARM_UP {
            (lowest, highest) = (lowest.min(inside), highest.max(inside));
        }
        if minute == MINUTES / 2 {
            sensor.wait_acked();
            house.edge.kill_9();
            house.edge.restart();
            device = house.device("den/heater/set", obey);
            sensor = house.publisher();
        }
    }
    println!("{lowest:.2} to {highest:.2} °C, switched {switched} times");
    assert!(lowest > 20.0 && highest < 22.0, "{lowest} to {highest}");
    assert!((4..100).contains(&switched), "{switched}");
    house.edge.assert_quiet(&["journal"]);
}
