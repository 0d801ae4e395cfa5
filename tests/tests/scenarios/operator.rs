use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tarn_tests::http::Http;
use tarn_tests::mosquitto::{Mosquitto, Version};
use tarn_tests::process::Launch;
use tarn_tests::{tools, wait};

const LIMIT: Duration = Duration::from_secs(20);

/// What an operator sees of the clients by REST, and that one can be sent away.
#[test]
fn clients_are_listed_and_disconnected() {
    let folder = tools::folder("operator");
    let edge = Launch::edge(folder.path(), "operator").serve();
    let http = Http::new();
    let log = folder.path().join("clients.log");
    let client = Mosquitto::new(edge.mqtt_port()).version(Version::V5);
    let mut there = client
        .clone()
        .session("hall/panel")
        .subscribe("home/#", 1, &log);
    drop(
        client
            .clone()
            .session("phone")
            .subscribe("home/bell", 1, &log),
    );
    let of = |id: &str| -> Option<Value> {
        let page = http.json(&edge.url("/v1/broker/clients"));
        let clients = page["clients"].as_array().expect("a list").clone();
        clients.into_iter().find(|client| client["client_id"] == id)
    };
    wait::until_true(LIMIT, "the phone should be seen to be gone", || {
        of("phone").is_some_and(|phone| phone["connection"].is_null())
    });
    client.publish("home/bell", "ring", 1);
    there.wait_for(1, LIMIT);
    // It is counted when it has been written, which the client may hear of first.
    let panel = wait::until(LIMIT, "the panel should have been sent it", || {
        of("hall/panel").filter(|panel| panel["sent"] == 1)
    });
    assert_eq!(panel["connection"]["version"], "5", "{panel}");
    assert_eq!(panel["subscriptions"], 1, "{panel}");
    let phone = of("phone").expect("its session waits");
    assert_eq!(phone["queued_messages"], 1, "{phone}");
    // Who has rung the bell is gone, too, which the box may hear of later.
    wait::until_true(LIMIT, "the panel should be the only one connected", || {
        let connected = http.json(&edge.url("/v1/broker/clients?connected=true"));
        connected["clients"].as_array().map(Vec::len) == Some(1)
    });
    assert_eq!(
        http.json(&edge.url("/v1/broker/clients?limit=1"))["next_after"],
        "hall/panel"
    );

    let delete = |path: &str| http.delete(&edge.url(path)).status;
    assert_eq!(delete("/v1/broker/clients/hall%2Fpanel"), 204);
    wait::until_true(LIMIT, "it should be gone", || {
        of("hall/panel").is_none_or(|c| c["connection"].is_null())
    });
    assert_eq!(delete("/v1/broker/clients/hall%2Fpanel"), 404);
    assert_eq!(delete("/v1/broker/clients/phone?session=true"), 204);
    assert!(of("phone").is_none());
    // The log names who came, who went, and why.
    for words in [
        ["client connected", "client=hall/panel", "version=\"5\""],
        [
            "client disconnected",
            "client=hall/panel",
            "an operator disconnected",
        ],
    ] {
        wait::until_true(LIMIT, format!("the log should tell {words:?}"), || {
            let tells = |line: &String| words.iter().all(|word| line.contains(word));
            edge.log_lines().iter().any(tells)
        });
    }
    edge.assert_quiet(&[]);
}

/// The topics that dashboards for mosquitto show.
#[test]
fn the_broker_tells_of_itself_by_topics() {
    let folder = tools::folder("sys");
    // The box's own announcement would be retained, too.
    let edge = Launch::edge(folder.path(), "sys")
        .arg("--discovery-prefix", "")
        .serve();
    let client = Mosquitto::new(edge.mqtt_port());
    let log = folder.path().join("clients.log");
    client.publish_retained("home/lamp", "on", 1);
    let mut subscription = client.subscribe("$SYS/#", 0, &log);
    let shown = |messages: &[tarn_tests::mosquitto::Received]| -> BTreeMap<String, String> {
        let pairs = messages
            .iter()
            .map(|m| (m.topic.clone(), m.payload.clone()));
        pairs.collect()
    };
    // They are told anew every few seconds.
    let mut count = 1;
    let wanted = |topics: &BTreeMap<String, String>| {
        topics
            .get("$SYS/broker/retained messages/count")
            .is_some_and(|n| n == "1")
            && topics
                .get("$SYS/broker/clients/connected")
                .is_some_and(|n| n == "1")
            && topics
                .get("$SYS/broker/publish/messages/received")
                .is_some_and(|n| n == "1")
    };
    loop {
        let topics = shown(subscription.wait_for(count, LIMIT));
        if wanted(&topics) {
            assert!(topics["$SYS/broker/version"].starts_with("tarn "));
            assert!(topics["$SYS/broker/uptime"].ends_with(" seconds"));
            break;
        }
        count += 1;
    }
    // A wildcard in front does not find them, and nobody else may write them.
    let mut all = client.subscribe("#", 0, &log);
    assert_eq!(all.wait_for(1, LIMIT)[0].topic, "home/lamp");
    let _ = client.try_publish("$SYS/broker/uptime", "for ever", 1, false);
    client.publish("home/lamp", "off", 1);
    assert_eq!(all.wait_for(2, LIMIT)[1].topic, "home/lamp");
}

/// A client that may publish ten times a second is slowed down, and loses nothing by it.
#[test]
fn a_hasty_publisher_is_slowed_down() {
    let folder = tools::folder("rate");
    let edge = Launch::edge(folder.path(), "rate")
        .arg("--mqtt-publish-rate", 20)
        .serve();
    let client = Mosquitto::new(edge.mqtt_port());
    let log = folder.path().join("clients.log");
    let mut subscription = client.subscribe("home/meter", 1, &log);
    let payloads: Vec<String> = (0..80).map(|n| n.to_string()).collect();
    let started = Instant::now();
    let mut lines = client.publish_lines("home/meter", payloads.clone(), 1, &log);
    assert_eq!(lines.wait(LIMIT), 0);
    // The first second's worth may come at once.
    let took = started.elapsed();
    assert!(
        took > Duration::from_secs(2),
        "{took:?} for 80 at 20 a second"
    );
    let got: Vec<&str> = subscription
        .wait_for(80, LIMIT)
        .iter()
        .map(|m| m.payload.as_str())
        .collect();
    assert_eq!(got, payloads);
    let metrics = Http::new().get(&edge.url("/metrics"), "*/*").text();
    let throttled = metrics
        .lines()
        .find(|line| line.starts_with("tarn_mqtt_throttled_total "));
    assert!(
        throttled.is_some_and(|line| !line.ends_with(" 0")),
        "{metrics}"
    );
}
