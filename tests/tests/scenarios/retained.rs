use std::collections::BTreeSet;
use std::time::Duration;

use tarn_tests::mosquitto::Mosquitto;
use tarn_tests::process::Launch;
use tarn_tests::tools;

const LIMIT: Duration = Duration::from_secs(20);
/// As a large home's discovery has them.
const TOPICS: usize = 1200;

#[test]
fn a_home_of_discovery_topics_reaches_every_subscriber() {
    let folder = tools::folder("retained");
    // The box's own announcement would be one more.
    let edge = Launch::edge(folder.path(), "retained").arg("--discovery-prefix", "");
    let mut edge = edge.serve();
    let client = Mosquitto::new(edge.mqtt_port());
    let names: BTreeSet<String> = (0..TOPICS)
        .map(|number| format!("homeassistant/sensor/device-{number}/config"))
        .collect();
    let payload = "x".repeat(1024);
    let topics: Vec<&str> = names.iter().map(String::as_str).collect();
    client.publish_retained_many(&topics, &payload);
    let large = "y".repeat(300 * 1024);
    client.publish_retained_from_stdin("zigbee2mqtt/bridge/devices", &large);
    // Before and after a power cut.
    for round in 0..2 {
        let client = Mosquitto::new(edge.mqtt_port());
        for qos in [0, 1] {
            let log = folder.path().join(format!("sub-{round}-{qos}.log"));
            let mut subscription = client.subscribe("homeassistant/#", qos, &log);
            let received = subscription.wait_for(TOPICS, LIMIT);
            assert!(received.iter().all(|m| m.retained && m.payload == payload));
            let got: BTreeSet<String> = received.iter().map(|m| m.topic.clone()).collect();
            assert_eq!(got, names, "QoS {qos}");
            let mut subscription = client.subscribe("zigbee2mqtt/#", qos, &log);
            assert_eq!(subscription.wait_for(1, LIMIT)[0].payload, large);
        }
        if round == 0 {
            edge.kill_9();
            edge.restart();
        }
    }
    edge.assert_quiet(&[]);
}
