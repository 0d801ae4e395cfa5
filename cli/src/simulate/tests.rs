//! The model is repeatable, and plausible.

/// The publisher keeps its word on a real socket.
mod socket;

use std::collections::HashMap;
use std::collections::HashSet;

use super::convention::plain::PlainTopics;
use super::message::Message;
use super::source::{LOAD_PAYLOAD_BYTES, load_payload};
use super::*;

/// 2026-03-01T00:00:00Z
const START_S: u64 = 1_772_323_200;

fn args(profile: Profile) -> Args {
    let url = "mqtt://127.0.0.1:1".parse().expect("a broker URL");
    let mut args = Args::new(url);
    args.profile = profile;
    args.start = Some(UNIX_EPOCH + Duration::from_secs(START_S));
    args
}

fn messages(args: &Args, client: u64, count: usize) -> Vec<Message> {
    let mut source = Source::new(&RunPlan::new(args), client).expect("a plain prefix");
    (0..count).map(|_| source.take()).collect()
}

#[test]
fn the_same_seed_gives_the_same_messages() {
    for profile in [
        Profile::House,
        Profile::Hotel,
        Profile::Factory,
        Profile::Plain,
        Profile::Load,
    ] {
        let mut args = args(profile);
        args.clients = 2;
        let first = messages(&args, 1, 2_000);
        assert_eq!(first, messages(&args, 1, 2_000));
        assert_ne!(first, messages(&args, 0, 2_000));
        if profile != Profile::Load {
            args.seed = 2;
            assert_ne!(first, messages(&args, 1, 2_000));
        }
    }
}

#[test]
fn two_clients_never_share_a_topic() {
    for profile in [
        Profile::House,
        Profile::Hotel,
        Profile::Factory,
        Profile::Plain,
        Profile::Load,
    ] {
        let topics = |client| -> HashSet<String> {
            let all = messages(&args(profile), client, 3_000);
            // Where every Shelly of the first generation introduces itself.
            let own = all.iter().filter(|one| &*one.topic != "shellies/announce");
            own.map(|one| one.topic.to_string()).collect()
        };
        assert!(topics(0).is_disjoint(&topics(1)), "{profile:?}");
    }
}

#[test]
fn load_payloads_are_61_bytes_of_json_and_unique() {
    let mut args = args(Profile::Load);
    args.clients = 3;
    let mut seen = HashSet::new();
    for client in 0..3 {
        for message in messages(&args, client, 5_000) {
            assert_eq!(message.payload.len(), LOAD_PAYLOAD_BYTES);
            let json: serde_json::Value = serde_json::from_slice(&message.payload).expect("JSON");
            assert!(seen.insert(json["n"].as_u64().expect("a counter")));
        }
    }
    assert_eq!(seen.len(), 15_000);
    assert_eq!(load_payload(u64::MAX).len(), LOAD_PAYLOAD_BYTES);
}

/// Every number in a payload, under its path.
fn numbers(payload: &[u8]) -> HashMap<String, f64> {
    fn walk(value: &serde_json::Value, path: &str, into: &mut HashMap<String, f64>) {
        match value {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    walk(value, &format!("{path}/{key}"), into);
                }
            }
            _ => drop(
                value
                    .as_f64()
                    .map(|number| into.insert(path.to_owned(), number)),
            ),
        }
    }
    let mut into = HashMap::new();
    if let Ok(value) = serde_json::from_slice(payload) {
        walk(&value, "", &mut into);
    }
    into
}

#[test]
fn counters_never_fall() {
    for profile in [Profile::House, Profile::Hotel, Profile::Factory] {
        let topics = PlainTopics::new(profile, 9, 0, "home").expect("a plain prefix");
        let mut counters: HashMap<String, f64> = HashMap::new();
        for step in 0..400 {
            let at = SimTime(START_S as i64 * 1_000 + step * 433_000);
            for index in 0..topics.len() {
                let message = topics.message(index, at);
                for (path, value) in numbers(&message.payload) {
                    let name = format!("{}{path}", message.topic);
                    if !["energy", "Total", "parts"]
                        .iter()
                        .any(|end| name.ends_with(end))
                    {
                        continue;
                    }
                    let before = counters.insert(name.clone(), value).unwrap_or_default();
                    assert!(value >= before, "{name} fell from {before} to {value}");
                }
            }
        }
        let growing = counters.values().filter(|value| **value > 0.0).count();
        assert!(growing >= 4, "{profile:?} has no counters");
    }
}

#[test]
fn a_house_is_plausible_and_mixes_its_shapes() {
    let mut args = args(Profile::Plain);
    args.speed = 600.0;
    let all = messages(&args, 0, 20_000);
    let texts: Vec<(String, String)> = all
        .iter()
        .map(|one| {
            let text = String::from_utf8(one.payload.to_vec()).expect("text");
            (one.topic.to_string(), text)
        })
        .collect();
    let has = |topic: &str, test: &dyn Fn(&str) -> bool| {
        let found = texts.iter().any(|(at, text)| at == topic && test(text));
        assert!(found, "no such payload on {topic}");
    };
    has("home/cellar/temperature", &|text| text.ends_with(" °C"));
    has("home/kitchen/temperature", &|text| {
        text.parse::<f64>().is_ok()
    });
    has("home/hall/motion", &|text| text == "on");
    has("home/hall/motion", &|text| text == "off");
    has("home/hall/lock", &|text| text == "unlocked");
    has("home/kitchen/fridge", &|text| {
        text.contains(r#""ENERGY":{"Total":"#)
    });
    has("home/kitchen/kettle", &|text| {
        text.contains(r#""state":"ON""#)
    });
    has("home/living-room/climate", &|text| text.len() > 50);
    for message in &all {
        if message.topic.ends_with("/climate") {
            let found = numbers(&message.payload);
            assert!((10.0..32.0).contains(&found["/temperature"]));
            assert!((5.0..=99.0).contains(&found["/humidity"]));
            assert!((5.0..=100.0).contains(&found["/battery"]));
        }
    }
}

#[test]
fn a_rate_is_spread_evenly_over_clients_and_time() {
    let pace = |client| source::Pace::new(1_000.0, 4, client);
    assert_eq!(pace(0).due(0), Some(Duration::ZERO));
    assert_eq!(pace(3).due(0), Some(Duration::from_millis(3)));
    assert_eq!(pace(1).due(1), Some(Duration::from_millis(5)));
    assert_eq!(source::Pace::new(0.0, 4, 1).due(7), None);
}

#[test]
fn broker_urls_are_read_and_passwords_not_shown() {
    let url: BrokerUrl = "mqtt://me:p%40ss@box".parse().expect("valid");
    assert_eq!(url.address, "box:1883");
    assert_eq!(url.password, Some(Secret("p@ss".to_owned())));
    assert!(!format!("{url:?}").contains("p@ss"));
    let bare: BrokerUrl = "localhost:1884".parse().expect("valid");
    assert_eq!(bare.address, "localhost:1884");
    assert!("mqtts://box".parse::<BrokerUrl>().is_err());
}
