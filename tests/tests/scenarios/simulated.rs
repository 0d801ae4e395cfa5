use std::time::Duration;

use serde_json::Value;
use tarn_tests::mosquitto::{Mosquitto, Received, Subscription};
use tarn_tests::process::Launch;
use tarn_tests::{python, tools};

const LIMIT: Duration = Duration::from_secs(30);

/// Simulated devices are as good as real ones to an app at the same broker: their discovery is there
/// for who comes late, and a command is followed by the state that it asked for.
#[test]
fn simulated_devices_announce_themselves_and_take_commands() {
    let folder = tools::folder("simulated");
    let edge = Launch::edge(folder.path(), "simulated").serve();
    let mut house = Launch::simulate(folder.path(), "house", edge.mqtt())
        .arg("--rate", 200)
        .arg("--faults", 0)
        .start();
    let app = Mosquitto::new(edge.mqtt_port());
    let subscribe = |filter: &str, name: &str| {
        let log = folder.path().join(format!("{name}.log"));
        app.subscribe(filter, 1, &log)
    };
    let mut plug = subscribe("zigbee2mqtt/kitchen/plug", "plug");
    let mut answers = subscribe("app/rpc", "answers");
    let mut online = subscribe("+/online", "online");
    // A state that came by itself: the devices hear by now.
    plug.wait_for(1, LIMIT);

    app.publish("zigbee2mqtt/kitchen/plug/set", r#"{"state":"OFF"}"#, 1);
    wait_for(&mut plug, "the plug should be off", |message| {
        json(message)["state"] == "OFF"
    });

    let shelly = wait_for(&mut online, "a Shelly should be online", |message| {
        message.topic.starts_with("shellyplus1pm-")
    });
    let id = shelly.topic.trim_end_matches("/online");
    let call = r#"{"id":7,"src":"app","method":"Switch.Set","params":{"id":0,"on":false}}"#;
    app.publish(&format!("{id}/rpc"), call, 1);
    let answer = wait_for(&mut answers, "the Shelly should answer", |_| true);
    assert_eq!(json(&answer)["result"]["was_on"], true);

    let mut discovery = subscribe("homeassistant/#", "discovery");
    let config = wait_for(&mut discovery, "discovery is retained", |message| {
        message.topic == "homeassistant/lock/back-door/lock/config"
    });
    assert!(config.retained);

    // Who dies without a word leaves its will.
    house.kill_9();
    let mut bridge = subscribe("zigbee2mqtt/bridge/state", "bridge");
    wait_for(&mut bridge, "the bridge should be offline", |message| {
        json(message)["state"] == "offline"
    });
}

/// Each payload of the plain profile is the row that a script expects of it.
#[test]
fn plain_homes_become_rows_one_for_one() {
    let folder = tools::folder("plain");
    let store = format!("file://{}/store", folder.path().display());
    let mut edge = Launch::edge(folder.path(), "plain")
        .arg("--cut-age", "1s")
        .store(&store, &[])
        .serve();
    let acked = folder.path().join("acked");
    let _ = Launch::simulate(folder.path(), "plain", edge.mqtt())
        .arg("--profile", "plain")
        .arg("--clients", 2)
        .arg("--messages", 4_000)
        .arg("--rate", 0)
        .arg("--speed", 600)
        .arg("--acked-file", acked.display())
        .run()
        .succeeded();
    assert_eq!(edge.terminate(), 0);
    let report = python::check_acked(&store, &[acked.as_path()], &[], &[]);
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["acked_messages"], 4_000, "{report}");
}

fn json(message: &Received) -> Value {
    serde_json::from_str(&message.payload).unwrap_or_default()
}

/// The first message, those that have come before among them, that passes the test.
fn wait_for(
    subscription: &mut Subscription,
    what: &str,
    test: impl Fn(&Received) -> bool,
) -> Received {
    let mut count = 1;
    loop {
        let all = subscription.wait_for(count, LIMIT);
        if let Some(found) = all.iter().find(|message| test(message)) {
            return found.clone();
        }
        assert!(count < 10_000, "{what}");
        count = all.len() + 1;
    }
}
