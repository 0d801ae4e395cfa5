use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tarn_tests::device::{Answers, Device};
use tarn_tests::http::Http;
use tarn_tests::mosquitto_server::MosquittoServer;
use tarn_tests::process::{Launch, Service};
use tarn_tests::sse::Sse;
use tarn_tests::{tools, wait};

const LIMIT: Duration = Duration::from_secs(60);
/// From one side of the home to the other.
const SOON: Duration = Duration::from_secs(20);

fn store(folder: &Path) -> String {
    let store = folder.join("store");
    fs::create_dir_all(&store).expect("make a folder");
    format!("file://{}", store.display())
}

fn edge(folder: &Path, meeting: &str) -> Launch {
    Launch::edge(folder, "lake")
        .store(&store(folder), &[])
        .arg("--cut-age", "1h")
        .arg("--cloud", meeting)
}

/// A lamp that does what it is told, and says so.
fn lamp(edge: &Service) -> Device {
    let answer = |topic: &str, payload: &[u8]| -> Answers {
        match topic {
            "home/lamp/set" => vec![("home/lamp/light".into(), payload.to_vec())],
            _ => Vec::new(),
        }
    };
    let device = Device::connect(edge.mqtt_port(), "lamp", &["home/lamp/set"], answer);
    let config = json!({"name": "Light", "uniq_id": "lamp_l", "stat_t": "home/lamp/light", "cmd_t": "home/lamp/set", "dev": {"ids": ["lamp"], "name": "lamp"}});
    device.publish_retained("homeassistant/switch/lamp/config", config.to_string());
    device.publish("home/lamp/light", "OFF");
    device.wait_acked();
    device
}

/// The lamp's id, once a side has its twin with this owner's word of its state.
fn twin_of_lamp(http: &Http, side: &Service) -> String {
    wait::until(LIMIT, "the lamp's twin should be there", || {
        let answer = http.get(&side.url("/v1/homes/lake/devices"), "application/json");
        let list: Value = serde_json::from_slice(&answer.body).ok()?;
        let devices = list["devices"].as_array()?.clone();
        let mut ids = devices.iter().filter_map(|known| known["device"].as_str());
        ids.find(|id| {
            let device = device(http, side, id).unwrap_or_default();
            let is_lamp = device["announced"]["identifiers"] == json!(["ha:lamp"]);
            is_lamp && device["twin"]["reported"]["light"] == false
        })
        .map(str::to_owned)
    })
}

fn url(side: &Service, id: &str, path: &str) -> String {
    side.url(&format!("/v1/homes/lake/devices/{id}{path}"))
}

fn device(http: &Http, side: &Service, id: &str) -> Option<Value> {
    let answer = http.try_get(&url(side, id, ""), "application/json").ok()?;
    (answer.status == 200).then(|| answer.json("device"))
}

fn named(http: &Http, side: &Service, id: &str, name: &str) {
    wait::until_true(SOON, format!("it should be called {name}"), || {
        device(http, side, id).is_some_and(|device| device["twin"]["name"] == name)
    });
}

fn online(http: &Http, cloud: &Service, is_online: bool) {
    wait::until_true(
        LIMIT,
        format!("the box's presence should be {is_online}"),
        || {
            let boxes = http.json(&cloud.url("/v1/homes/lake/boxes"));
            let boxes = boxes["boxes"].as_array().cloned().unwrap_or_default();
            boxes.iter().any(|known| known["online"] == true) == is_online
        },
    );
}

/// What is done in the cloud is done at home, and the other way round; what cannot wait fails while the box is away, and a new box
/// is told everything.
#[test]
fn a_home_is_one_on_both_sides() {
    let folder = tools::folder("cloud-twins");
    let folder = folder.path();
    let http = Http::new();
    let mut cloud = Launch::cloud(folder).store(&store(folder), &[]).serve();
    let meeting = format!("mqtt://127.0.0.1:{}", cloud.mqtt_port());
    let mut home = edge(folder, &meeting).serve();
    let lamp_device = lamp(&home);
    let id = twin_of_lamp(&http, &cloud);

    // Names, from either side.
    let rename = |side: &Service, name: &str| {
        let answer = http.patch(&url(side, &id, ""), &json!({"name": name}));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    rename(&cloud, "Reading lamp");
    named(&http, &home, &id, "Reading lamp");
    rename(&home, "Lamp at the window");
    named(&http, &cloud, &id, "Lamp at the window");

    // What is wanted, and what is called.
    let wanted = http.patch(
        &url(&cloud, &id, "/desired?wait=15s"),
        &json!({"light": true}),
    );
    assert_eq!(wanted.status, 200, "{}", wanted.text());
    assert_eq!(wanted.json("desired")["commands"][0]["status"], "confirmed");
    lamp_device.wait_for("it is switched on", |heard| heard.payload == b"ON");
    let called = http.post(&url(&cloud, &id, "/call"), &json!({"light": false}));
    assert_eq!(called["commands"][0]["status"], "confirmed", "{called}");

    // One after the other, faster than the twin follows: the last one holds.
    for n in 0..6 {
        let answer = http.patch(&url(&cloud, &id, "/desired"), &json!({"light": n % 2 == 0}));
        assert!((200..300).contains(&answer.status), "{}", answer.text());
        std::thread::sleep(Duration::from_millis(70));
    }
    let last = http.patch(
        &url(&cloud, &id, "/desired?wait=15s"),
        &json!({"light": true}),
    );
    assert_eq!(
        last.json("desired")["commands"][0]["status"],
        "confirmed",
        "{}",
        last.text()
    );
    let off = http.patch(
        &url(&cloud, &id, "/desired?wait=15s"),
        &json!({"light": false}),
    );
    assert_eq!(
        off.json("desired")["commands"][0]["status"],
        "confirmed",
        "{}",
        off.text()
    );

    // What happens, as it happens, and the freshest readings.
    let mut app = Sse::open(&cloud.url("/v1/homes/lake/live?kind=reading"), None);
    wait::until_true(LIMIT, "the cloud should hear what happens", || {
        lamp_device.publish("attic/temperature", "20");
        app.next(Duration::from_secs(1))
            .is_some_and(|event| event.data["device"] == "attic")
    });
    drop(app);
    lamp_device.publish("cellar/temperature", "11.5");
    lamp_device.wait_acked();
    let fresh = http.json(&cloud.url("/v1/homes/lake/devices/cellar/readings?fresh=20s"));
    assert_eq!(fresh["readings"][0]["value"], 11.5, "{fresh}");
    assert_eq!(fresh["fresh"]["complete"], true, "{fresh}");

    // The box is away. What the lamp is was told before: else its next word would count as a deed at the lamp.
    wait::until_true(SOON, "the lamp should be told as off", || {
        device(&http, &cloud, &id)
            .is_some_and(|device| device["twin"]["reported"]["light"] == false)
    });
    online(&http, &cloud, true);
    home.kill_9();
    online(&http, &cloud, false);
    let away = http
        .try_post(&url(&cloud, &id, "/call"), &json!({"light": true}))
        .expect("an answer");
    assert_eq!(away.status, 503, "{}", away.text());
    let stale = http.json(&cloud.url("/v1/homes/lake/devices/cellar/readings?fresh=1s"));
    assert_eq!(stale["fresh"]["complete"], false, "{stale}");
    let pending = http.patch(&url(&cloud, &id, "/desired"), &json!({"light": true}));
    assert_eq!(pending.status, 202, "{}", pending.text());
    let command = pending.json("desired")["commands"][0].clone();
    assert_eq!(command["status"], "pending", "{command}");
    // It is in the bucket: the cloud may go as well. The lamp is back before the box hears of it.
    cloud.kill_9();
    drop(lamp_device);
    home.restart();
    let lamp_device = lamp(&home);
    cloud.restart();
    let follow = command["command"].as_str().expect("an id");
    let follow = format!("/v1/homes/lake/commands/{follow}");
    wait::until_true(LIMIT, "it should be confirmed", || {
        let answer = http.try_get(&cloud.url(&follow), "application/json").ok();
        answer.is_some_and(|answer| {
            answer.status == 200 && answer.json("command")["status"] == "confirmed"
        })
    });

    // Another box in its place knows what it knew.
    drop(lamp_device);
    assert_eq!(home.terminate(), 0);
    fs::rename(folder.join("lake"), folder.join("old")).expect("put aside");
    home.restart();
    named(&http, &home, &id, "Lamp at the window");
    let _lamp = lamp(&home);
    wait::until_true(LIMIT, "the new box should have the lamp", || {
        let answer = http.patch(
            &url(&cloud, &id, "/desired?wait=5s"),
            &json!({"light": false}),
        );
        answer.status == 200 && answer.json("desired")["commands"][0]["status"] == "confirmed"
    });
    home.assert_quiet(&["link is down", "torn", "cut off"]);
}

/// Two replicas at one broker are killed at any moment: what either answered with success is on both, and at home.
#[test]
fn replicas_may_die_at_any_moment() {
    let folder = tools::folder("cloud-replicas");
    let folder = folder.path();
    let server = MosquittoServer::start(folder);
    let meeting = format!("mqtt://127.0.0.1:{}", server.port());
    let replica = |name: &str| {
        let own = folder.join(name);
        fs::create_dir(&own).expect("make a folder");
        Launch::cloud(&own)
            .store(&store(folder), &[])
            .arg("--mqtt-cluster", &meeting)
            .serve()
    };
    let mut replicas = [replica("one"), replica("two")];
    let home = edge(folder, &meeting).serve();
    let http = Http::new();
    online(&http, &replicas[0], true);
    online(&http, &replicas[1], true);
    let member = |n: usize| json!({"name": format!("Guest {n}"), "role": "guest"});
    let put = |side: &Service, n: usize| {
        let answer = http.try_put(
            &side.url(&format!("/v1/homes/lake/members/guest{n}")),
            &member(n),
        );
        answer.is_some_and(|answer| (200..300).contains(&answer.status))
    };
    let (mut done, mut n) = (Vec::new(), 0);
    for round in 0..6 {
        let (dies, lives) = (round % 2, (round + 1) % 2);
        let until = Instant::now() + Duration::from_millis(150 + 130 * round as u64);
        while Instant::now() < until {
            n += 1;
            if put(&replicas[n % 2], n) {
                done.push(n);
            }
        }
        // In the middle of a write.
        let url = replicas[dies].url("/v1/homes/lake/members/guest0");
        let writing = std::thread::spawn(move || {
            Http::new().try_put(&url, &json!({"name": "Guest 0", "role": "guest"}))
        });
        std::thread::sleep(Duration::from_millis(3 * round as u64));
        replicas[dies].kill_9();
        let _ = writing.join().expect("no panic");
        for _ in 0..10 {
            n += 1;
            assert!(put(&replicas[lives], n), "the other serves on");
            done.push(n);
        }
        replicas[dies].restart();
    }
    assert!(done.len() > 60, "{}", done.len());
    for side in [&replicas[0], &replicas[1], &home] {
        wait::until_true(LIMIT, "every change should be everywhere", || {
            let Ok(answer) = http.try_get(&side.url("/v1/homes/lake/members"), "application/json")
            else {
                return false;
            };
            let members: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let members = members["members"].as_array().cloned().unwrap_or_default();
            let has = |n: &usize| {
                members
                    .iter()
                    .any(|member| member["name"] == format!("Guest {n}"))
            };
            done.iter().all(has)
        });
    }
}
