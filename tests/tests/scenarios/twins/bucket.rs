use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{announce, gadget, shown, wait_json, wait_twin, want};
use crate::devices::House;

/// The objects of twins in the store.
fn objects(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(objects(&path)),
            path => found.push(path),
        }
    }
    found
}

fn name(house: &House, id: &str, name: &str, room: &str) {
    let what = json!({"name": name, "room": room});
    let answer = house.http.patch(&house.device_url(id, ""), &what);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn identity(house: &House) -> Value {
    let boxes = house.http.json(&house.url("/boxes"));
    boxes["boxes"][0]["edge"].clone()
}

/// The box's data is lost: a new one has the twins from the store. The old one comes back and undoes nothing.
#[test]
fn a_new_box_takes_the_twins_from_the_store_and_the_old_one_undoes_nothing() {
    let mut house = House::new("twin-bucket");
    let id = announce(&house);
    let device = gadget(&house);
    name(&house, &id, "Thing", "Study");
    let done = want(
        &house,
        &id,
        "?wait=10s",
        &[("tarn-author", "ada")],
        &json!({"dial": 22}),
    );
    assert_eq!(done.status, 200, "{}", done.text());
    wait_twin(&house, &id, "22 should be confirmed", |twin| {
        twin["desired"]["dial"]["status"] == "confirmed"
    });
    let old = identity(&house);
    assert_eq!(house.edge.terminate(), 0);
    drop(device);
    let kept = house
        .folder
        .path()
        .join("store/twins")
        .join(format!("home={}", house.name));
    assert!(!objects(&kept).is_empty(), "{}", kept.display());

    let data = house.folder.path().join(house.name);
    let aside = |name: &str| house.folder.path().join(name);
    let (of_old, of_new) = (aside("old"), aside("new"));
    std::fs::rename(&data, &of_old).expect("the old box's data");
    house.edge.restart();
    assert_ne!(identity(&house), old);
    let url = house.device_url(&id, "");
    let look = || match house.http.get(&url, "application/json") {
        answer if answer.status == 404 => Value::Null,
        answer => answer.json(&url),
    };
    let now = wait_json("the new box should know the device", look, |device| {
        device["twin"]["name"] == "Thing"
    });
    assert_eq!(now["twin"]["room"], "Study", "{now:#}");
    let wanted = &now["twin"]["desired"]["dial"];
    assert_eq!(
        (&wanted["value"], &wanted["by"], &wanted["status"]),
        (&json!(22), &json!("ada"), &json!("confirmed")),
        "{now:#}"
    );
    // The device comes to the new box, which has other people by now.
    let device = gadget(&house);
    assert_eq!(announce(&house), id);
    name(&house, &id, "Other thing", "Kitchen");
    let owner = identity(&house);
    wait_twin(&house, &id, "the new box should have the device", |twin| {
        twin["owner"] == owner
    });
    let done = want(
        &house,
        &id,
        "?wait=10s",
        &[("tarn-author", "bob")],
        &json!({"dial": 19}),
    );
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(super::told(&device, "g/dial/set"), ["19"]);
    assert_eq!(house.edge.terminate(), 0);
    drop(device);

    std::fs::rename(&data, &of_new).expect("the new box's data");
    std::fs::rename(&of_old, &data).expect("the old box's data");
    house.edge.restart();
    assert_eq!(identity(&house), old);
    wait_json(
        "the old box should learn the new name",
        || shown(&house, &id),
        |device| device["twin"]["name"] == "Other thing",
    );
    assert_eq!(house.edge.terminate(), 0);
    std::fs::rename(&data, &of_old).expect("the old box's data");
    std::fs::rename(&of_new, &data).expect("the new box's data");
    house.edge.restart();
    let device = gadget(&house);
    let is_so = |twin: &Value| {
        (
            &twin["name"],
            &twin["room"],
            &twin["desired"]["dial"]["value"],
            &twin["desired"]["dial"]["by"],
        ) == (
            &json!("Other thing"),
            &json!("Kitchen"),
            &json!(19),
            &json!("bob"),
        )
    };
    let now = wait_twin(&house, &id, "all should be as it was", is_so);
    assert_eq!(now["conflicts"], 0, "{now:#}");
    assert_eq!(super::told(&device, "g/dial/set"), [""; 0]);
    house.edge.assert_quiet(&["journal"]);
}
