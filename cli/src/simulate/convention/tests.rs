//! Each convention has the shape of the real thing, and its devices do what they are told.

/// Conventions that tell of their devices by discovery.
mod announced;
/// Births, aliases, deaths, commands.
mod sparkplug;
/// Relays and meters.
mod switches;

use std::collections::HashSet;

use prost::Message as _;
use serde_json::Value as Json;

use super::sparkplug::proto::Payload;
use super::*;
use crate::simulate::Profile;
use crate::simulate::fault::Faults;
use crate::simulate::home::Home;
use crate::simulate::population::{self, Setting};
use crate::simulate::signal::{DAY_MS, Dice};

/// Noon of 2026-03-01.
const START: SimTime = SimTime(1_772_323_200_000 + DAY_MS / 2);

fn home(profile: Profile, seed: u64, client: u64, faults: f64) -> Home {
    let setting = Setting {
        profile,
        seed,
        client,
        home_prefix: "home",
        utc_offset_ms: 3_600_000,
    };
    let residents = population::residents(setting).expect("a plain prefix");
    Home::new(residents, Faults::new(Dice::new(seed).fork(client), faults))
}

/// The first messages of a home, `step_ms` apart.
fn messages(home: &mut Home, count: u64, step_ms: i64) -> Vec<Message> {
    let at = |n: u64| SimTime(START.0 + n as i64 * step_ms);
    (0..count).map(|n| home.take(n, at(n))).collect()
}

fn json(message: &Message) -> Json {
    serde_json::from_slice(&message.payload).expect("JSON")
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.payload).expect("text")
}

fn find<'a>(all: &'a [Message], topic: &str) -> &'a Message {
    let found = all.iter().find(|one| &*one.topic == topic);
    found.unwrap_or_else(|| panic!("nothing on {topic}"))
}

fn find_like<'a>(all: &'a [Message], start: &str, end: &str) -> &'a Message {
    let is_like = |one: &&Message| one.topic.starts_with(start) && one.topic.ends_with(end);
    let found = all.iter().find(is_like);
    found.unwrap_or_else(|| panic!("nothing on {start}…{end}"))
}

/// A house after its first two thousand messages.
fn house() -> (Home, Vec<Message>) {
    let mut home = home(Profile::House, 1, 0, 0.0);
    let all = messages(&mut home, 2_000, 1_000);
    (home, all)
}

/// What a home answers to one command.
fn answers(home: &mut Home, topic: &str, payload: &[u8]) -> Vec<Message> {
    let topic = TopicName::try_from(topic).expect("a topic");
    assert!(home.hears().contains(&topic), "nobody hears on {topic}");
    home.hear(&topic, payload);
    std::iter::from_fn(|| home.answer()).collect()
}

fn payload(message: &Message) -> Payload {
    Payload::decode(&*message.payload).expect("protobuf")
}

#[test]
fn sleepers_tell_what_they_measured_and_when() {
    let (_, all) = house();
    let rows = json(find(&all, "tarn/backlog/garden"));
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), 24);
    assert!(
        rows.iter()
            .all(|one| one["ts"].is_i64() && one["value"].is_number())
    );
    let columns = json(find(&all, "tarn/backlog/attic-logger"));
    let times = columns["ts"].as_array().expect("times");
    assert!(times[0].as_str().is_some_and(|text| text.ends_with('Z')));
    for metric in ["temperature", "humidity"] {
        assert_eq!(columns[metric].as_array().map(Vec::len), Some(times.len()));
    }
    // No moment is told twice, and time goes on.
    let mut last = 0;
    for message in all
        .iter()
        .filter(|one| &*one.topic == "tarn/backlog/garden")
    {
        for row in json(message).as_array().expect("rows").iter().step_by(2) {
            let ts = row["ts"].as_i64().expect("a time");
            assert!(ts > last);
            last = ts;
        }
    }
}

#[test]
fn every_json_payload_of_some_days_can_be_read() {
    for profile in [Profile::House, Profile::Hotel, Profile::Factory] {
        for seed in 1..4 {
            let mut home = home(profile, seed, 0, 5.0);
            let mut read = 0;
            for message in messages(&mut home, 20_000, 15_000) {
                if message.topic.starts_with("spBv1.0/") {
                    payload(&message);
                } else if message.payload.starts_with(b"{") || message.payload.starts_with(b"[") {
                    json(&message);
                    read += 1;
                } else {
                    assert!(!text(&message).is_empty(), "{}", message.topic);
                }
            }
            assert!(read > 5_000, "{profile:?} speaks little JSON");
        }
    }
}

#[test]
fn faults_come_from_the_seed() {
    let all = |seed| messages(&mut home(Profile::House, seed, 0, 5.0), 20_000, 1_000);
    let one = all(7);
    assert_eq!(one, all(7));
    assert_ne!(one, all(8));
    let says = |text: &str| {
        one.iter().any(|message| {
            message
                .payload
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        })
    };
    assert!(says("\"n/a\"") && says(" °C\""));
    assert!(
        one.windows(2).any(|pair| pair[0] == pair[1]),
        "no report came twice"
    );
    for offline in [r#"{"state":"offline"}"#, "Offline", "false", "lost"] {
        assert!(
            one.iter()
                .any(|message| message.payload == offline.as_bytes()),
            "no {offline}"
        );
    }
    let configs = one
        .iter()
        .filter(|message| message.topic.ends_with("/config"));
    let topics: Vec<&str> = configs.map(|message| &*message.topic).collect();
    let different: HashSet<&&str> = topics.iter().collect();
    assert!(
        topics.len() > different.len(),
        "nobody introduced itself again"
    );
}

#[test]
fn counters_fall_to_zero_for_good_or_for_one_report() {
    let (mut resets, mut glitches) = (0, 0);
    for seed in 1..6 {
        let all = messages(&mut home(Profile::House, seed, 0, 8.0), 30_000, 5_000);
        let mut topics: Vec<&str> = all
            .iter()
            .map(|one| &*one.topic)
            .filter(|topic| topic.ends_with("/relay/0/energy"))
            .collect();
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            let series: Vec<f64> = all
                .iter()
                .filter(|one| &*one.topic == topic)
                .filter_map(|one| text(one).parse().ok())
                .collect();
            for at in series.windows(3) {
                let fell = at[1] == 0.0 && at[0] > 0.0;
                glitches += usize::from(fell && at[2] >= at[0]);
                resets += usize::from(at[1] < at[0] && at[2] < at[0]);
            }
        }
    }
    assert!(resets > 0, "no counter was reset");
    assert!(glitches > 0, "no counter read zero once");
}

#[test]
fn clients_share_no_topic_that_one_device_owns() {
    const SHARED: [&str; 1] = ["shellies/announce"];
    for profile in [Profile::House, Profile::Hotel, Profile::Factory] {
        let topics = |client| -> HashSet<String> {
            let all = messages(&mut home(profile, 3, client, 0.0), 3_000, 1_000);
            let own = all.iter().filter(|one| !SHARED.contains(&&*one.topic));
            own.map(|one| one.topic.to_string()).collect()
        };
        let both: Vec<String> = topics(0).intersection(&topics(1)).cloned().collect();
        assert!(both.is_empty(), "{profile:?}: {both:?}");
    }
}

#[test]
fn subscriptions_stay_within_what_a_broker_allows_one_client() {
    for profile in [Profile::House, Profile::Hotel, Profile::Factory] {
        let topics = home(profile, 1, 0, 0.0).hears();
        assert!(
            (20..1_000).contains(&topics.len()),
            "{profile:?}: {}",
            topics.len()
        );
    }
}
