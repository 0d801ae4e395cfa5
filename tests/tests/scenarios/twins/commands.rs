use serde_json::{Value, json};

use super::{announce, command, gadget, told, twin, wait_reported, wait_status, wait_twin, want};
use crate::devices::{House, mute};

/// A command is answered with where it is followed, stands in the twin, and is known after a power cut.
#[test]
fn a_command_is_followed_over_a_power_cut() {
    let mut house = House::new("twin-command");
    let id = announce(&house);
    let device = gadget(&house);
    let answer = want(
        &house,
        &id,
        "",
        &[("tarn-author", "ada")],
        &json!({"plug": true}),
    );
    let commands = answer.json("desired");
    let sent = commands["commands"][0].clone();
    let name = sent["command"].as_str().expect("an id").to_owned();
    // The device may have answered before the box did.
    if answer.status != 200 {
        assert_eq!(answer.status, 202, "{sent:#}");
        let location = format!("/v1/homes/{}/commands/{name}", house.name);
        assert_eq!(answer.header("location"), Some(location.as_str()));
    }
    wait_status(&house, &name, "confirmed");
    let seen = wait_twin(
        &house,
        &id,
        "the twin should say that it is confirmed",
        |twin| twin["desired"]["plug"]["status"] == "confirmed",
    );
    let wanted = &seen["desired"]["plug"];
    assert_eq!(
        (&wanted["command"], &wanted["value"], &wanted["by"]),
        (&json!(name), &json!(true), &json!("ada")),
        "{seen:#}"
    );
    house.edge.kill_9();
    house.edge.restart();
    let known = command(&house, &name);
    assert_eq!(
        (&known["status"], &known["metric"], &known["value"]),
        (&json!("confirmed"), &json!("plug"), &json!(true)),
        "{known:#}"
    );
    let list = house.http.json(&house.device_url(&id, "/commands"));
    assert!(
        list["commands"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|one| one["command"] == name.as_str()),
        "{list:#}"
    );
    assert_eq!(told(&device, "g/plug/set"), ["ON"]);
    house.edge.assert_quiet(&["journal"]);
}

/// Commands that were stored and not done when the power failed: what is a state is wanted still, what is unsafe or a deed is not.
#[test]
fn what_was_not_done_before_a_power_cut_is_done_once_where_that_is_safe() {
    let mut house = House::new("twin-left");
    let id = announce(&house);
    let deaf = house.device("g/+/set", mute);
    let ids: Vec<String> = [
        ("dial", json!(22)),
        ("door", json!("unlock")),
        ("plug", json!("toggle")),
        ("blind", json!("STOP")),
    ]
    .into_iter()
    .filter_map(|(metric, value)| {
        let answer = want(&house, &id, "?timeout=60s", &[], &json!({metric: value})).json(metric);
        let command = &answer["commands"][0];
        // A switch of this kind does not know how to toggle.
        (command["status"] != "refused")
            .then(|| command["command"].as_str().expect("an id").to_owned())
    })
    .collect();
    assert_eq!(ids.len(), 3);
    house.edge.kill_9();
    drop(deaf);
    house.edge.restart();
    let device = gadget(&house);
    let [dial, door, blind] = &ids[..] else {
        panic!("{ids:?}")
    };
    for unsafe_one in [door, blind] {
        let refused = wait_status(&house, unsafe_one, "refused");
        assert_eq!(refused["reason"], "box_restarted", "{refused:#}");
    }
    // The device is heard again, and tells how it is.
    house.publish(&[("g/dial", b"20")]);
    wait_status(&house, dial, "confirmed");
    wait_reported(&house, &id, "dial", &json!(22));
    house.edge.kill_9();
    house.edge.restart();
    let again = gadget(&house);
    house.publish(&[("g/dial", b"22"), ("g/plug", b"ON")]);
    wait_reported(&house, &id, "plug", &json!(true));
    // A command that comes after all that was left.
    let last = want(&house, &id, "?wait=10s", &[], &json!({"dial": 25}));
    assert_eq!(last.status, 200, "{}", last.text());
    assert_eq!(told(&device, "g/dial/set"), ["22"]);
    assert_eq!(told(&again, "g/dial/set"), ["25"]);
    let others: Vec<String> = ["g/door/set", "g/blind/set"]
        .iter()
        .flat_map(|topic| [told(&device, topic), told(&again, topic)].concat())
        .collect();
    assert!(others.is_empty(), "{others:?}");
    house.edge.assert_quiet(&["journal"]);
}

/// What is unsafe later lives for a short while, and nobody may want it for longer.
#[test]
fn to_unlock_is_for_now() {
    let house = House::new("twin-unlock");
    let id = announce(&house);
    let device = gadget(&house);
    let refused = want(&house, &id, "?ttl=1h", &[], &json!({"door": "unlock"}));
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("/call"), "{}", refused.text());
    let locked = want(
        &house,
        &id,
        "?ttl=1h&wait=10s",
        &[],
        &json!({"door": "lock"}),
    );
    assert_eq!(locked.status, 200, "{}", locked.text());
    let unlocked = want(
        &house,
        &id,
        "?wait=10s",
        &[("tarn-author", "ada")],
        &json!({"door": "unlock"}),
    );
    assert_eq!(unlocked.status, 200, "{}", unlocked.text());
    assert_eq!(unlocked.json("door")["commands"][0]["status"], "confirmed");
    let wanted: Value = twin(&house, &id)["desired"]["door"].clone();
    assert_eq!(
        (&wanted["value"], &wanted["ttl_s"]),
        (&json!("unlock"), &json!(30)),
        "{wanted:#}"
    );
    let url = house.device_url(&id, "/call");
    let called = house.http.request(
        "POST",
        &url,
        &[("content-type", "application/json")],
        json!({"door": "lock"}).to_string(),
    );
    assert_eq!(called.json("call")["commands"][0]["status"], "confirmed");
    assert_eq!(told(&device, "g/door/set"), ["LOCK", "UNLOCK", "LOCK"]);
    house.edge.assert_quiet(&["journal"]);
}
