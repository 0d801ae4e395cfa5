//! The scenes that Tarn is for, each a small house of simulated devices with the rules that docs/scenes.md shows.

/// All of the house by one word.
mod control;
/// Devices that go, and batteries that run down.
mod devices;
/// Loads that are shed.
mod energy;
/// A film in the evening.
mod film;
/// Air and blood pressure.
mod health;
/// A server that is told of alarms.
mod hook;
/// Messages that nobody takes.
mod messages;
/// Home Assistant on the wall.
mod panel;
/// Rules that go wrong, and others that do not mind.
mod robust;
/// A door that opens while nobody is at home.
mod security;
/// Lights of one room, each of another make.
mod vendors;
/// A room that is kept warm.
mod warmth;

use serde_json::{Value, json};
use tarn_tests::{
    device::{Answers, Device},
    http::Http,
    process::{Launch, Service},
    wait,
};

use crate::devices::{House, LIMIT};

/// Announces a device of a room with these parts, by Home Assistant's discovery, and gives its id.
fn thing(house: &House, name: &str, room: &str, parts: &Value) -> String {
    let config = json!({
        "dev": {"ids": [name], "name": name, "sa": room},
        "o": {"name": "test"},
        "cmps": parts,
    });
    house.publisher().publish_retained(
        &format!("homeassistant/device/{name}/config"),
        config.to_string(),
    );
    let id = house.wait_id(&format!("ha:{name}"));
    wait::until_true(LIMIT, format!("{name} should be in {room}"), || {
        house.announced(&id)["room"] == room
    });
    id
}

/// A part that is switched.
fn switch(component: &str, topic: &str) -> Value {
    json!({"p": component, "name": "Power", "unique_id": topic, "stat_t": topic, "cmd_t": format!("{topic}/set")})
}

/// A part that measures.
fn sensor(class: &str, unit: &str, topic: &str) -> Value {
    json!({"p": "sensor", "name": class, "unique_id": topic, "stat_t": topic, "dev_cla": class, "unit_of_meas": unit})
}

/// With one channel to people: a webhook at this port.
fn with_hook(launch: Launch, name: &str, port: u16) -> Launch {
    let file = std::env::temp_dir().join(format!("tarn-hook-{port}.toml"));
    let channels = format!(
        "[[channel]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:{port}/\"\n"
    );
    std::fs::write(&file, channels).expect("write the file of channels");
    launch.arg("--channels", file.display())
}

/// Does as it is told, and says so.
fn obey(topic: &str, payload: &[u8]) -> Answers {
    vec![(topic.trim_end_matches("/set").to_owned(), payload.to_vec())]
}

/// The metric of a device that can be set.
fn settable(house: &House, id: &str) -> String {
    let what = format!("something of {id} should be settable");
    wait::until(LIMIT, what, || {
        let announced = house.announced(id);
        let features = announced["features"].as_array()?.clone();
        let mut settable = features
            .iter()
            .filter(|feature| feature["settable"] == true);
        Some(settable.next()?["metric"].as_str()?.to_owned())
    })
}

/// The metric of a device that takes such a thing.
fn settable_by(house: &House, id: &str, takes: &str) -> String {
    let what = format!("something of {id} should take a {takes}");
    wait::until(LIMIT, what, || {
        let announced = house.announced(id);
        let features = announced["features"].as_array()?.clone();
        let mut settable = features
            .iter()
            .filter(|f| f["settable"] == true && f["takes"] == takes);
        Some(settable.next()?["metric"].as_str()?.to_owned())
    })
}

/// The metric of a device of this class.
fn metric(house: &House, id: &str, class: &str) -> String {
    let what = format!("{id} should measure {class}");
    wait::until(LIMIT, what, || {
        let announced = house.announced(id);
        let features = announced["features"].as_array()?.clone();
        let mut found = features.iter().filter(|feature| feature["class"] == class);
        Some(found.next()?["metric"].as_str()?.to_owned())
    })
}

/// Puts something below the home, and the service must take it.
fn put(house: &House, path: &str, body: &Value) -> Value {
    put_at(&house.http, &house.edge, house.name, path, body)
}

fn put_at(http: &Http, side: &Service, home: &str, path: &str, body: &Value) -> Value {
    let url = side.url(&format!("/v1/homes/{home}{path}"));
    let answer = http.try_put(&url, body).expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json(path)
}

/// Asks for something below the home.
fn post(house: &House, path: &str, body: &Value) -> Value {
    let answer = house.http.try_post(&house.url(path), body);
    let answer = answer.expect("an answer");
    assert!(
        (200..300).contains(&answer.status),
        "{path}: {} {}",
        answer.status,
        answer.text()
    );
    answer.json(path)
}

/// An alarm of the home; null where there is none of this id.
fn alarm(house: &House, id: &str) -> Value {
    let list = house.http.json(&house.url("/alarms"));
    let alarms = list["alarms"].as_array().expect("a list").clone();
    let found = alarms.into_iter().find(|alarm| alarm["alarm"] == id);
    found.unwrap_or_default()
}

fn wait_alarm(house: &House, id: &str, state: &str) -> Value {
    wait::until(LIMIT, format!("the alarm {id} should be {state}"), || {
        Some(alarm(house, id)).filter(|alarm| alarm["state"] == state)
    })
}

/// What a device was told last on a topic.
fn last(device: &Device, topic: &str) -> Option<String> {
    crate::twins::told(device, topic).pop()
}

fn wait_last(device: &Device, topic: &str, payload: &str) {
    let what = format!("{topic} should be told {payload}");
    wait::until_true(LIMIT, what, || {
        last(device, topic).as_deref() == Some(payload)
    });
}

/// The first column of the answer to a query.
fn sql(house: &House, sql: &str) -> Vec<Value> {
    let answer = house
        .http
        .post(&house.edge.url("/v1/sql"), &json!({"sql": sql}));
    let rows = answer["rows"].as_array().expect("rows");
    rows.iter().map(|row| row[0].clone()).collect()
}
