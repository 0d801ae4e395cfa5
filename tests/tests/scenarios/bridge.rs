use std::time::Duration;

use tarn_tests::http::Http;
use tarn_tests::mosquitto::Mosquitto;
use tarn_tests::mosquitto_server::MosquittoServer;
use tarn_tests::process::Launch;
use tarn_tests::{tools, wait};

const LIMIT: Duration = Duration::from_secs(30);
const READINGS: usize = 3000;

/// A home keeps its mosquitto: what is published there is in the box's history, however often the box
/// loses its power, and commands go back.
#[test]
fn a_home_may_keep_its_broker() {
    let folder = tools::folder("bridge");
    let server = MosquittoServer::start(folder.path());
    let mut edge = Launch::edge(folder.path(), "bridge")
        .arg("--bridge", format!("mqtt://127.0.0.1:{}", server.port()))
        .arg("--bridge-in", "home/#")
        .arg("--bridge-out", "home/+/set")
        .serve();
    let there = Mosquitto::new(server.port());
    let log = folder.path().join("clients.log");
    bridged(&edge.url("/metrics"));

    // Commands of the box's clients reach the devices there, and do not come back.
    let mut commands = there.subscribe("home/+/set", 1, &log);
    let mut here = Mosquitto::new(edge.mqtt_port()).subscribe("home/#", 1, &log);
    Mosquitto::new(edge.mqtt_port()).publish("home/lamp/set", "ON", 1);
    assert_eq!(commands.wait_for(1, LIMIT)[0].payload, "ON");
    there.publish("home/lamp/state", "ON", 1);
    let got = here.wait_for(2, LIMIT);
    let topics: Vec<&str> = got.iter().map(|m| m.topic.as_str()).collect();
    assert_eq!(topics, ["home/lamp/set", "home/lamp/state"]);
    drop(here);

    // Readings go on there while the box is killed again and again.
    let payloads: Vec<String> = (0..READINGS).map(|n| n.to_string()).collect();
    let mut lines = there.publish_lines("home/meter/energy", payloads, 1, &log);
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(300));
        edge.kill_9();
        edge.restart();
    }
    assert_eq!(lines.wait(LIMIT), 0);
    wait::until_true(LIMIT, "all readings should be in the box", || {
        let sql = "SELECT count(DISTINCT value) AS n FROM readings WHERE device = 'home/meter'";
        let answer = Http::new().post(&edge.url("/v1/sql"), &serde_json::json!({"sql": sql}));
        answer["rows"][0][0] == READINGS
    });
    edge.assert_quiet(&["bridge interrupted", "torn", "cut off"]);
}

fn bridged(metrics: &str) {
    wait::until_true(LIMIT, "the bridge should be connected", || {
        let text = Http::new().get(metrics, "*/*").text();
        text.contains("tarn_bridge_connected 1")
    });
}
