use std::path::Path;
use std::time::Duration;

use tarn_tests::mosquitto::{Mosquitto, Received, Version};
use tarn_tests::process::{Launch, Service};
use tarn_tests::tools;

const LIMIT: Duration = Duration::from_secs(10);
const HOME: &str = "clients";

/// A box without a store: these clients only talk to each other.
fn start_box(folder: &Path) -> Service {
    Launch::edge(folder, HOME).serve()
}

fn both_versions(check: impl Fn(Version, &Mosquitto, &Path)) {
    let folder = tools::folder(HOME);
    let edge = start_box(folder.path());
    for version in [Version::V311, Version::V5] {
        check(
            version,
            &Mosquitto::new(edge.mqtt_port()).version(version),
            folder.path(),
        );
    }
    edge.assert_quiet(&[]);
}

#[test]
fn messages_arrive_at_the_lower_of_both_qualities() {
    both_versions(|version, client, folder| {
        for published in 0..=2 {
            for subscribed in 0..=2 {
                let topic = format!("home/{version:?}/{published}/{subscribed}");
                let mut subscription =
                    client.subscribe(&topic, subscribed, &folder.join("sub.log"));
                client.publish(&topic, "21.5", published);
                let expected = Received {
                    topic: topic.clone(),
                    payload: "21.5".to_owned(),
                    qos: published.min(subscribed),
                    retained: false,
                };
                assert_eq!(subscription.wait_for(1, LIMIT), [expected]);
            }
        }
    });
}

/// In MQTT 5 this also shows that the Receive Maximum is kept: mosquitto_sub allows 20 open messages
/// and ends with a protocol error at the 21st. (A broker that takes PUBREC for the end of a QoS 2
/// message fails here, mosquitto 2.0.11 among them.)
#[test]
fn many_messages_arrive_once_and_in_order() {
    both_versions(|version, client, folder| {
        for qos in 1..=2 {
            let topic = format!("home/{version:?}/order/{qos}");
            let mut subscription = client.subscribe(&topic, qos, &folder.join("sub.log"));
            let payloads: Vec<String> = (0..2000).map(|number| number.to_string()).collect();
            let log = folder.join(format!("pub-{version:?}-{qos}.log"));
            let mut lines = client.publish_lines(&topic, payloads.clone(), qos, &log);
            assert_eq!(lines.wait(LIMIT), 0);
            let received = subscription.wait_for(payloads.len(), LIMIT);
            let got: Vec<&str> = received
                .iter()
                .map(|message| message.payload.as_str())
                .collect();
            assert_eq!(got, payloads);
        }
    });
}

#[test]
fn a_retained_message_waits_for_its_subscribers_and_can_be_deleted() {
    both_versions(|version, client, folder| {
        let topic = format!("home/{version:?}/lamp/state");
        let log = folder.join("sub.log");
        client.publish_retained(&topic, "on", 1);
        let first = client.subscribe(&topic, 1, &log).wait_for(1, LIMIT)[0].clone();
        assert_eq!((first.payload.as_str(), first.retained), ("on", true));

        // An empty payload deletes it: the next subscriber gets only what comes from then on.
        client.publish_retained(&topic, "", 1);
        let mut subscription = client.subscribe(&topic, 1, &log);
        client.publish(&topic, "off", 1);
        let next = &subscription.wait_for(1, LIMIT)[0];
        assert_eq!((next.payload.as_str(), next.retained), ("off", false));
    });
}

#[test]
fn wildcards_match_levels() {
    both_versions(|version, client, folder| {
        let root = format!("home/{version:?}/wild");
        let mut one = client.subscribe(&format!("{root}/+/power"), 1, &folder.join("sub.log"));
        let mut all = client.subscribe(&format!("{root}/#"), 1, &folder.join("sub.log"));
        for topic in ["a/power", "a/b/power", "b/power"] {
            client.publish(&format!("{root}/{topic}"), topic, 1);
        }
        let payloads = |messages: &[Received]| -> Vec<String> {
            messages
                .iter()
                .map(|message| message.payload.clone())
                .collect()
        };
        assert_eq!(
            payloads(all.wait_for(3, LIMIT)),
            ["a/power", "a/b/power", "b/power"]
        );
        assert_eq!(payloads(one.wait_for(2, LIMIT)), ["a/power", "b/power"]);
    });
}

#[test]
fn a_box_with_users_asks_for_a_password() {
    let folder = tools::folder(HOME);
    let edge = Launch::edge(folder.path(), HOME)
        .arg("--user", "alice:well water")
        .arg("--anonymous", "never")
        .serve();
    for version in [Version::V311, Version::V5] {
        let nobody = Mosquitto::new(edge.mqtt_port()).version(version);
        let publish = |client: &Mosquitto| client.try_publish("home/a/b", "1", 1, false).code();
        assert_eq!(
            publish(&nobody.clone().login("alice", "well water")),
            0,
            "{version:?}"
        );
        assert_ne!(
            publish(&nobody.clone().login("alice", "sea water")),
            0,
            "{version:?}: wrong password"
        );
        assert_ne!(
            publish(&nobody.clone().login("bob", "well water")),
            0,
            "{version:?}: unknown user"
        );
        assert_ne!(publish(&nobody), 0, "{version:?}: no login");
    }
}

/// What a home knows without asking its devices again: the state of the lock, and the bell that
/// rang while the one who listens to it was away.
#[test]
fn retained_messages_and_sessions_survive_a_power_cut() {
    let folder = tools::folder(HOME);
    let mut edge = start_box(folder.path());
    let log = folder.path().join("sub.log");
    let client = || Mosquitto::new(edge.mqtt_port());
    client().publish_retained("home/lock/state", "locked", 1);
    drop(client().session("sleeper").subscribe("home/bell", 1, &log));
    client().publish("home/bell", "ring", 1);
    edge.kill_9();
    edge.restart();

    let client = || Mosquitto::new(edge.mqtt_port());
    let lock = client()
        .subscribe("home/lock/state", 1, &log)
        .wait_for(1, LIMIT)[0]
        .clone();
    assert_eq!((lock.payload.as_str(), lock.retained), ("locked", true));
    let mut sleeper = client().session("sleeper").subscribe("home/other", 1, &log);
    let bell = &sleeper.wait_for(1, LIMIT)[0];
    assert_eq!(
        (bell.topic.as_str(), bell.payload.as_str()),
        ("home/bell", "ring")
    );
    drop(sleeper);
    edge.assert_quiet(&[]);
}
