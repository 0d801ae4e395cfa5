//! Tasmota and Shelly: relays, meters and what they answer.

use serde_json::json;

use super::*;

#[test]
fn tasmota_tells_local_time_and_arrays() {
    let (_, all) = house();
    let config = json(find_like(&all, "tasmota/discovery/", "/config"));
    let own = config["t"].as_str().expect("a topic");
    assert_eq!(config["ft"], "%prefix%/%topic%/");
    assert_eq!(text(find(&all, &format!("tele/{own}/LWT"))), "Online");
    let sensor = json(find(&all, &format!("tele/{own}/SENSOR")));
    assert_eq!(sensor["Time"], "2026-03-01T13:00:00");
    assert!(sensor["ENERGY"]["Total"].is_number());
    let is_array =
        |one: &&Message| one.topic.ends_with("/SENSOR") && json(one)["ENERGY"]["Total"].is_array();
    assert!(
        all.iter().any(|one| is_array(&one)),
        "no meter of two channels"
    );
    // One device has the other full topic.
    let climate = find_like(&all, "tasmota_", "/tele/SENSOR");
    assert!(json(climate)["SI7021"]["Temperature"].is_number());
    let sensors = json(find_like(&all, "tasmota/discovery/", "/sensors"));
    assert!(sensors["sn"]["ENERGY"]["Total"].is_number());
}

#[test]
fn tasmota_devices_do_what_they_are_told() {
    let (mut home, all) = house();
    let config = json(find_like(&all, "tasmota/discovery/", "/config"));
    let own = config["t"].as_str().expect("a topic");
    let answer = answers(&mut home, &format!("cmnd/{own}/POWER"), b"TOGGLE");
    assert_eq!(&*answer[0].topic, format!("stat/{own}/RESULT"));
    assert_eq!(json(&answer[0]), json!({"POWER": "OFF"}));
    assert_eq!(&*answer[1].topic, format!("stat/{own}/POWER"));
    assert_eq!(text(&answer[1]), "OFF");
    let answer = answers(&mut home, &format!("cmnd/{own}/POWER"), b"");
    assert_eq!(json(&answer[0]), json!({"POWER": "OFF"}));
    let answer = answers(&mut home, &format!("cmnd/{own}/POWER"), b"maybe");
    assert_eq!(json(&answer[0]), json!({"Command": "Error"}));
}

#[test]
fn shellies_of_the_first_generation_speak_in_scalars() {
    let (mut home, all) = house();
    let announce = json(find(&all, "shellies/announce"));
    let id = announce["id"].as_str().expect("an id");
    assert!(id.starts_with("shellyplug-s-"));
    assert_eq!(text(find(&all, &format!("shellies/{id}/online"))), "true");
    assert_eq!(text(find(&all, &format!("shellies/{id}/relay/0"))), "on");
    let energy = text(find(&all, &format!("shellies/{id}/relay/0/energy")));
    assert!(
        energy.parse::<u64>().is_ok(),
        "watt-minutes are whole: {energy}"
    );
    let answer = answers(&mut home, &format!("shellies/{id}/relay/0/command"), b"off");
    assert_eq!(&*answer[0].topic, format!("shellies/{id}/relay/0"));
    assert_eq!(text(&answer[0]), "off");
    let answer = answers(&mut home, "shellies/command", b"announce");
    let announced = answer
        .iter()
        .filter(|one| &*one.topic == "shellies/announce");
    assert_eq!(announced.count(), 3);
}

#[test]
fn shellies_of_the_second_generation_notify_and_answer_calls() {
    let (mut home, all) = house();
    let online = find_like(&all, "shellyplus1pm-", "/online");
    let id = online.topic.trim_end_matches("/online").to_owned();
    let events: Vec<Json> = all
        .iter()
        .filter(|one| *one.topic == *format!("{id}/events/rpc"))
        .map(json)
        .collect();
    assert_eq!(events[0]["method"], "NotifyFullStatus");
    assert_eq!(events[1]["method"], "NotifyStatus");
    assert_eq!(events[1]["src"], *id);
    assert_eq!(events[1]["params"]["switch:0"]["id"], 0);
    assert!(
        events[1]["params"]["switch:0"].get("aenergy").is_none(),
        "partial"
    );
    assert!(events[2]["params"]["switch:0"]["aenergy"]["total"].is_number());
    assert!(json(find(&all, &format!("{id}/status/switch:0")))["output"] == true);

    let rpc = format!("{id}/rpc");
    let call =
        json!({"id": 7, "src": "tarn", "method": "Switch.Set", "params": {"id": 0, "on": false}});
    let answer = answers(&mut home, &rpc, call.to_string().as_bytes());
    assert_eq!(&*answer[0].topic, "tarn/rpc");
    assert_eq!(json(&answer[0])["result"], json!({"was_on": true}));
    assert_eq!(json(&answer[1])["params"]["switch:0"]["output"], false);
    assert_eq!(json(&answer[2])["output"], false);
    let call = json!({"id": 8, "src": "tarn", "method": "Light.Dance"});
    let answer = answers(&mut home, &rpc, call.to_string().as_bytes());
    assert_eq!(json(&answer[0])["error"]["code"], 404);
    let call = json!({"id": 9, "src": "a/#", "method": "Switch.GetStatus"});
    assert!(answers(&mut home, &rpc, call.to_string().as_bytes()).is_empty());
    let answer = answers(&mut home, &format!("{id}/command/switch:0"), b"on");
    assert_eq!(json(&answer[0])["params"]["switch:0"]["output"], true);
}
