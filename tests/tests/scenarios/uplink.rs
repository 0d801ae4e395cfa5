use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tarn_tests::http::Http;
use tarn_tests::mosquitto::{Mosquitto, Received, Version};
use tarn_tests::mosquitto_server::MosquittoServer;
use tarn_tests::process::{Launch, Service};
use tarn_tests::{tools, wait};

const LIMIT: Duration = Duration::from_secs(60);
/// Id of a node that a test plays.
const NODE: &str = "00000000000000aa";

fn cloud(folder: &Path) -> Launch {
    let store = folder.join("store");
    std::fs::create_dir_all(&store).expect("make a folder");
    Launch::cloud(folder).store(&format!("file://{}", store.display()), &[])
}

fn boxes_online(cloud: &Service, count: usize) {
    wait::until_true(LIMIT, format!("{count} boxes should be there"), || {
        let text = Http::new().get(&cloud.url("/metrics"), "*/*").text();
        text.contains(&format!("tarn_downlink_boxes_online {count}\n"))
    });
}

fn last_json(messages: &[Received]) -> Value {
    let last = messages.last().expect("there is one");
    serde_json::from_str(&last.payload).expect("it is JSON")
}

/// A box is there while it runs, says how it is, answers, and is away when it is killed, stopped or cut off.
#[test]
fn a_box_is_seen_in_the_cloud() {
    let folder = tools::folder("uplink");
    let log = folder.path().join("clients.log");
    let mut cloud = cloud(folder.path()).serve();
    let mut edge = Launch::edge(folder.path(), "lake")
        .arg("--cloud", format!("mqtt://127.0.0.1:{}", cloud.mqtt_port()))
        .serve();
    boxes_online(&cloud, 1);
    let there = Mosquitto::new(cloud.mqtt_port()).version(Version::V5);
    let mut presence = there.subscribe("tarn/lake/box/+/presence", 1, &log);
    let mut state = there.subscribe("tarn/lake/box/+/state", 1, &log);
    let got = presence.wait_for(1, LIMIT);
    assert!(got[0].retained);
    assert_eq!(last_json(got)["online"], true);
    let topic = got[0].topic.clone();
    let edge_id = topic
        .split('/')
        .nth(3)
        .expect("it names the box")
        .to_owned();
    let told = last_json(state.wait_for(1, LIMIT));
    assert_eq!(told["backlog_entries"], 0);
    assert_eq!(told["disk_budget_bytes"], 10_u64 << 30);

    // It is asked.
    let mut answers = there.subscribe(&format!("tarn/lake/answer/{NODE}"), 1, &log);
    let ask = json!({
        "id": "01JXQ5XK0G0000000000000000", "from": NODE, "deadline": "2099-01-01T00:00:00Z",
        "ask": {"kind": "watch", "seconds": 1},
    });
    there.publish(&format!("tarn/lake/box/{edge_id}/ask"), &ask.to_string(), 1);
    let answer = last_json(answers.wait_for(1, LIMIT));
    assert_eq!(
        (&answer["id"], &answer["edge"]),
        (&ask["id"], &json!(edge_id))
    );

    // Killed, it is away by its will; back, it is there; stopped, it says farewell.
    edge.kill_9();
    boxes_online(&cloud, 0);
    assert_eq!(last_json(presence.wait_for(2, LIMIT))["online"], false);
    edge.restart();
    boxes_online(&cloud, 1);
    assert_eq!(last_json(presence.wait_for(3, LIMIT))["online"], true);
    assert_eq!(edge.terminate(), 0);
    boxes_online(&cloud, 0);
    assert_eq!(last_json(presence.wait_for(4, LIMIT))["online"], false);
    edge.restart();
    boxes_online(&cloud, 1);
    drop((presence, state, answers));

    // A cloud that is away is found again.
    cloud.kill_9();
    cloud.restart();
    boxes_online(&cloud, 1);
    edge.assert_quiet(&["link is down", "torn", "cut off"]);
    assert_eq!(cloud.terminate(), 0);
    cloud.assert_quiet(&[]);
}

/// Boxes and two replicas meet at a broker that is there already.
#[test]
fn a_broker_of_others_is_a_meeting_place() {
    let folder = tools::folder("uplink-cluster");
    let server = MosquittoServer::start(folder.path());
    let url = format!("mqtt://127.0.0.1:{}", server.port());
    let replicas = ["one", "two"].map(|name| {
        let folder = folder.path().join(name);
        std::fs::create_dir(&folder).expect("make a folder");
        cloud(&folder).arg("--mqtt-cluster", &url).serve()
    });
    let mut edge = Launch::edge(folder.path(), "lake")
        .arg("--cloud", &url)
        .serve();
    let other = Launch::edge(folder.path(), "hill")
        .arg("--cloud", &url)
        .serve();
    replicas.iter().for_each(|replica| boxes_online(replica, 2));
    edge.kill_9();
    replicas.iter().for_each(|replica| boxes_online(replica, 1));
    edge.restart();
    replicas.iter().for_each(|replica| boxes_online(replica, 2));
    drop(other);
    replicas.iter().for_each(|replica| boxes_online(replica, 1));
    edge.assert_quiet(&["torn", "cut off"]);
    replicas
        .iter()
        .for_each(|replica| replica.assert_quiet(&[]));
}

/// At the cloud's broker a home sees itself and nobody else.
#[test]
fn homes_are_kept_apart() {
    let folder = tools::folder("uplink-homes");
    let passwords = folder.path().join("passwords");
    for (home, key) in [("lake", "of the lake"), ("hill", "of the hill")] {
        let _ = Launch::command(folder.path(), "user", &["user"])
            .arg("--password-file", passwords.display())
            .words(&["add", home])
            .run_with_input(&format!("{key}\n"))
            .succeeded();
    }
    let cloud = cloud(folder.path())
        .arg("--password-file", passwords.display())
        .arg("--anonymous", "never")
        .serve();
    let url = format!("mqtt://127.0.0.1:{}", cloud.mqtt_port());
    let edge = Launch::edge(folder.path(), "lake")
        .arg("--cloud", &url)
        .variables(&[("TARN_HOME_KEY".to_owned(), "of the lake".to_owned())])
        .serve();
    boxes_online(&cloud, 1);
    let log = folder.path().join("clients.log");
    let client = Mosquitto::new(cloud.mqtt_port()).version(Version::V5);
    let hill = client.clone().login("hill", "of the hill");
    let lake = client.clone().login("lake", "of the lake");
    let mut heard = lake.subscribe("tarn/lake/sync/all", 1, &log);
    assert!(hill.may_subscribe("tarn/hill/#"));
    for filter in [
        "tarn/lake/#",
        "tarn/+/box/+/presence",
        "#",
        "$share/tarn-cloud/tarn/+/sync/all",
        "$SYS/#",
    ] {
        assert!(!hill.may_subscribe(filter), "{filter}");
    }
    for topic in ["tarn/lake/sync/all", "tarn/lakes", "home/lamp"] {
        let refused = hill.try_publish(topic, "mischief", 1, false);
        assert!(refused.stderr.contains("Not authorized"), "{refused}");
    }
    lake.publish("tarn/lake/sync/all", "hello", 1);
    assert_eq!(heard.wait_for(1, LIMIT)[0].payload, "hello");
    for (user, key) in [("lake", "of the hill"), ("$cloud", "")] {
        let stranger = client.clone().login(user, key);
        assert_ne!(
            stranger
                .try_publish("tarn/lake/sync/all", "", 1, false)
                .code(),
            0
        );
    }
    assert_ne!(
        client
            .try_publish("tarn/lake/sync/all", "", 1, false)
            .code(),
        0
    );
    edge.assert_quiet(&[]);
    cloud.assert_quiet(&["login denied"]);
}
