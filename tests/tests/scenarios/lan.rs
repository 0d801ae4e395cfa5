use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tarn_tests::http::Http;
use tarn_tests::mosquitto::{Mosquitto, Version};
use tarn_tests::process::{Launch, Service};
use tarn_tests::{tools, wait};

const LIMIT: Duration = Duration::from_secs(60);
const KEY: &str = "of the lake";

/// A box with this edge id, whose data is in a folder of its own.
fn edge(folder: &Path, home: &str, id: u64, key: &str) -> Launch {
    let folder = folder.join(format!("{home}-{id}"));
    let data = folder.join(home);
    std::fs::create_dir_all(&data).expect("make a folder");
    let identity = json!({"v": 1, "edge": format!("{id:016x}"), "home": home, "shards": 1});
    std::fs::write(data.join("box.json"), identity.to_string()).expect("write an identity");
    Launch::edge(&folder, home)
        .arg("--shards", 1)
        .variables(&[("TARN_HOME_KEY".to_owned(), key.to_owned())])
}

fn url(launch: &Launch, id: u64) -> String {
    let port = launch.mqtt_port().expect("a box has one");
    format!("mqtt://127.0.0.1:{port}#{id:016x}")
}

fn make_room(edge: &Service, home: &str, room: &str) {
    let url = edge.url(&format!("/v1/homes/{home}/rooms/{room}"));
    assert_eq!(Http::new().put(&url).status, 200, "{url}");
}

fn rooms(edge: &Service, home: &str) -> Vec<String> {
    let home = Http::new().json(&edge.url(&format!("/v1/homes/{home}")));
    let rooms = home["rooms"].as_array().expect("it has rooms").iter();
    rooms
        .map(|room| room["room"].as_str().expect("a room has a name").to_owned())
        .collect()
}

fn has_room(edge: &Service, home: &str, room: &str) {
    wait::until_true(LIMIT, format!("{room} should be known"), || {
        rooms(edge, home).iter().any(|known| known == room)
    });
}

/// Both boxes have what was made at either.
fn share(one: &Service, other: &Service, home: &str, round: &str) {
    make_room(one, home, &format!("one-{round}"));
    make_room(other, home, &format!("other-{round}"));
    has_room(other, home, &format!("one-{round}"));
    has_room(one, home, &format!("other-{round}"));
}

fn sees_online(edge: &Service, home: &str, id: u64, online: bool) {
    let id = format!("{id:016x}");
    let what = format!("box {id} should be there: {online}");
    wait::until_true(LIMIT, what, || {
        let home = Http::new().json(&edge.url(&format!("/v1/homes/{home}")));
        let boxes = home["boxes"].as_array().expect("it has boxes");
        let found = boxes.iter().find(|a_box| a_box["edge"] == id);
        found.is_some_and(|found| found["online"] == online)
    });
}

fn is_refused(edge: &Service, user: &str) {
    wait::until_true(LIMIT, format!("{user} should be refused"), || {
        let lines = edge.log_lines();
        let denied = |line: &&String| line.contains("login denied") && line.contains(user);
        lines.iter().filter(denied).count() >= 2
    });
}

/// Two boxes that list each other have the same twins and see each other, whichever goes down; nobody else gets in.
#[test]
fn listed_boxes_of_one_home_meet() {
    let folder = tools::folder("lan");
    let folder = folder.path();
    let (small, large) = (edge(folder, "lake", 1, KEY), edge(folder, "lake", 2, KEY));
    let (small_url, large_url) = (url(&small, 1), url(&large, 2));
    let mut small = small.arg("--peer", &large_url).serve();
    let mut large = large.arg("--peer", &small_url).serve();
    share(&small, &large, "lake", "first");
    sees_online(&small, "lake", 2, true);
    sees_online(&large, "lake", 1, true);

    small.kill_9();
    sees_online(&large, "lake", 1, false);
    make_room(&large, "lake", "meanwhile");
    small.restart();
    has_room(&small, "lake", "meanwhile");
    large.kill_9();
    make_room(&small, "lake", "while-away");
    large.restart();
    has_room(&large, "lake", "while-away");
    share(&small, &large, "lake", "second");
    sees_online(&small, "lake", 2, true);
    sees_online(&large, "lake", 1, true);

    // A box of the home by name, and one of another home by name and with the same key.
    let thief = edge(folder, "lake", 0, "guessed").arg("--peer", &large_url);
    let thief = thief.serve();
    let stranger = edge(folder, "hill", 0, KEY).arg("--peer", &large_url);
    let stranger = stranger.serve();
    make_room(&thief, "lake", "mischief");
    make_room(&stranger, "hill", "mischief");
    is_refused(&large, "tarn:lake:0000000000000000");
    is_refused(&large, "tarn:hill:0000000000000000");
    assert_eq!(rooms(&thief, "lake"), ["mischief"]);
    assert_eq!(rooms(&stranger, "hill"), ["mischief"]);
    share(&small, &large, "lake", "third");
    for edge in [&small, &large] {
        assert!(!rooms(edge, "lake").contains(&"mischief".to_owned()));
    }
    drop((thief, stranger));

    // Clients of the home have no word among its boxes, and what boxes say is no reading.
    let client = Mosquitto::new(large.mqtt_port()).version(Version::V5);
    assert!(!client.may_subscribe("tarn/lake/sync/all"));
    let refused = client.try_publish("tarn/lake/sync/all", "mischief", 1, false);
    assert!(refused.stderr.contains("Not authorized"), "{refused}");
    client.publish("home/lamp", "1", 1);
    let question = json!({"sql": "select distinct device, metric from readings"});
    let answer = Http::new().post(&large.url("/v1/sql"), &question);
    assert_eq!(answer["rows"], json!([["home", "lamp"]]));
    small.assert_quiet(&["link is down", "torn", "cut off"]);
    large.assert_quiet(&["link is down", "login denied", "torn", "cut off"]);
}

/// Two boxes that know nothing of each other find each other by mDNS.
#[test]
fn boxes_of_one_home_find_each_other() {
    let folder = tools::folder("lan-mdns");
    let folder = folder.path();
    let on = |id| edge(folder, "found", id, KEY).arg("--lan", "on");
    let small = on(1).serve();
    let mut large = on(2).serve();
    share(&small, &large, "found", "first");
    large.kill_9();
    make_room(&small, "found", "meanwhile");
    large.restart();
    has_room(&large, "found", "meanwhile");
    sees_online(&small, "found", 2, true);
    small.assert_quiet(&["link is down", "torn", "cut off"]);
    large.assert_quiet(&["link is down", "torn", "cut off"]);
}
