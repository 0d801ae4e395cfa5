//! Each convention has the shape of the real thing, and its devices do what they are told.

use std::collections::HashSet;

use prost::Message as _;
use serde_json::{Value as Json, json};

use super::sparkplug::proto::{Metric, MetricValue, Payload};
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

#[test]
fn home_assistant_announces_single_components_in_abbreviations() {
    let (_, all) = house();
    let lock = find(&all, "homeassistant/lock/back-door/lock/config");
    assert!(lock.retain);
    let config = json(lock);
    assert_eq!(config["~"], "things/back-door");
    assert_eq!(config["stat_t"], "~/state");
    assert_eq!(config["cmd_t"], "~/set/state");
    assert_eq!(config["avty_t"], "~/availability");
    assert_eq!(config["uniq_id"], "back-door_lock");
    assert_eq!(config["dev"]["ids"][0], "back-door");
    let battery = json(find(&all, "homeassistant/sensor/back-door/battery/config"));
    assert_eq!(battery["unit_of_meas"], "%");
    assert_eq!(battery["val_tpl"], "{{ value_json.battery }}");
    assert_eq!(text(find(&all, "things/back-door/availability")), "online");
    assert!(json(find(&all, "things/back-door/state"))["state"].is_string());
    let broken = json(find(&all, "homeassistant/sensor/attic/dew_point/config"));
    assert!(
        broken["val_tpl"]
            .as_str()
            .is_some_and(|text| text.contains("no_such_filter"))
    );
}

#[test]
fn home_assistant_announces_whole_devices() {
    let (_, all) = house();
    let config = json(find(&all, "homeassistant/device/ventilation/config"));
    assert_eq!(config["dev"]["ids"], "ventilation");
    assert!(config["o"]["name"].is_string());
    assert_eq!(config["availability"][0]["payload_available"], "connected");
    assert_eq!(
        text(find(&all, "things/ventilation/availability")),
        "connected"
    );
    let components = config["cmps"].as_object().expect("components");
    let platforms: HashSet<&str> = components
        .values()
        .filter_map(|one| one["platform"].as_str())
        .collect();
    for platform in ["number", "select", "button", "sensor"] {
        assert!(platforms.contains(platform), "{platforms:?}");
    }
    let number = &components["target_flow"];
    assert_eq!(
        number["command_topic"],
        "things/ventilation/set/target_flow"
    );
    assert_eq!(number["unique_id"], "ventilation_target_flow");
    assert!(
        !json(find(&all, "homeassistant/device/heat-pump/config"))
            .to_string()
            .contains("\"~")
    );
}

#[test]
fn home_assistant_devices_do_what_they_are_told() {
    let (mut home, _) = house();
    let answer = answers(&mut home, "things/back-door/set/state", b"UNLOCK");
    assert_eq!(json(&answer[0])["state"], "UNLOCK");
    let answer = answers(&mut home, "things/ventilation/set/target_flow", b"220");
    assert_eq!(json(&answer[0])["target_flow"], 220);
    assert!(answers(&mut home, "things/ventilation/set/target_flow", b"9000").is_empty());
    let again = answers(&mut home, "things/ventilation/set/restart", b"PRESS");
    assert_eq!(text(&again[0]), "lost");
    find(&again, "homeassistant/device/ventilation/config");
    let all = answers(&mut home, "homeassistant/status", b"online");
    find(&all, "homeassistant/cover/garage/cover/config");
    find(&all, "homeassistant/device/pond-pump/config");
}

#[test]
fn zigbee2mqtt_lists_its_devices_with_exposes() {
    let (_, all) = house();
    assert_eq!(
        json(find(&all, "zigbee2mqtt/bridge/state"))["state"],
        "online"
    );
    let list = find(&all, "zigbee2mqtt/bridge/devices");
    assert!(list.retain);
    let list = json(list);
    let named = |name: &str| {
        let devices = list.as_array().expect("a list").iter();
        let found = devices.clone().find(|one| one["friendly_name"] == name);
        found.unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert!(named("Coordinator")["definition"].is_null());
    let plug = named("kitchen/plug");
    assert!(
        plug["ieee_address"]
            .as_str()
            .is_some_and(|text| text.len() == 18)
    );
    let exposes = plug["definition"]["exposes"].as_array().expect("exposes");
    assert_eq!(exposes[0]["type"], "switch");
    assert_eq!(exposes[0]["features"][0]["access"], 7);
    let energy = exposes.iter().find(|one| one["name"] == "energy");
    assert_eq!(energy.expect("energy")["unit"], "kWh");
    let state = find(&all, "zigbee2mqtt/kitchen/plug");
    assert!(!state.retain && json(state)["power"].is_number());
    let availability = find(&all, "zigbee2mqtt/kitchen/plug/availability");
    assert!(availability.retain);
    assert_eq!(json(availability)["state"], "online");
    // The second client runs an old version, on a base topic of its own.
    let second = messages(
        &mut super::tests::home(Profile::House, 1, 1, 0.0),
        300,
        1_000,
    );
    let availability = find(&second, "zigbee2mqtt-2/kitchen/plug-2/availability");
    assert_eq!(text(availability), "online");
}

#[test]
fn zigbee2mqtt_devices_do_what_they_are_told_and_one_is_deaf() {
    let (mut home, _) = house();
    let answer = answers(
        &mut home,
        "zigbee2mqtt/kitchen/plug/set",
        br#"{"state":"OFF"}"#,
    );
    assert_eq!(json(&answer[0])["state"], "OFF");
    assert_eq!(json(&answer[0])["power"], 0.0);
    let answer = answers(
        &mut home,
        "zigbee2mqtt/kitchen/plug/get",
        br#"{"state":""}"#,
    );
    assert_eq!(json(&answer[0])["state"], "OFF");
    let answer = answers(&mut home, "zigbee2mqtt/kitchen/plug/set/state", b"TOGGLE");
    assert_eq!(json(&answer[0])["state"], "ON");
    let answer = answers(
        &mut home,
        "zigbee2mqtt/bedroom/blind/set",
        br#"{"position":40}"#,
    );
    assert_eq!(json(&answer[0])["position"], 40);
    assert!(answers(&mut home, "zigbee2mqtt/kitchen/plug/set", b"\xFF\x00").is_empty());
    assert!(
        answers(
            &mut home,
            "zigbee2mqtt/hall/old-lamp/set",
            br#"{"state":"ON"}"#
        )
        .is_empty()
    );
}

#[test]
fn tasmota_tells_local_time_and_arrays() {
    let (_, all) = house();
    let config = json(find_like(&all, "tasmota/discovery/", "/config"));
    let own = config["t"].as_str().expect("a topic");
    assert_eq!(config["ft"], "%prefix%/%topic%/");
    assert_eq!(text(find(&all, &format!("tele/{own}/LWT"))), "Online");
    let sensor = json(find(&all, &format!("tele/{own}/SENSOR")));
    assert_eq!(sensor["Time"], "2026-03-01T13:00:00");
    assert!(sensor["ENERGY"]["Total"].is_number());
    let is_array =
        |one: &&Message| one.topic.ends_with("/SENSOR") && json(one)["ENERGY"]["Total"].is_array();
    assert!(
        all.iter().any(|one| is_array(&one)),
        "no meter of two channels"
    );
    // One device has the other full topic.
    let climate = find_like(&all, "tasmota_", "/tele/SENSOR");
    assert!(json(climate)["SI7021"]["Temperature"].is_number());
    let sensors = json(find_like(&all, "tasmota/discovery/", "/sensors"));
    assert!(sensors["sn"]["ENERGY"]["Total"].is_number());
}

#[test]
fn tasmota_devices_do_what_they_are_told() {
    let (mut home, all) = house();
    let config = json(find_like(&all, "tasmota/discovery/", "/config"));
    let own = config["t"].as_str().expect("a topic");
    let answer = answers(&mut home, &format!("cmnd/{own}/POWER"), b"TOGGLE");
    assert_eq!(&*answer[0].topic, format!("stat/{own}/RESULT"));
    assert_eq!(json(&answer[0]), json!({"POWER": "OFF"}));
    assert_eq!(&*answer[1].topic, format!("stat/{own}/POWER"));
    assert_eq!(text(&answer[1]), "OFF");
    let answer = answers(&mut home, &format!("cmnd/{own}/POWER"), b"");
    assert_eq!(json(&answer[0]), json!({"POWER": "OFF"}));
    let answer = answers(&mut home, &format!("cmnd/{own}/POWER"), b"maybe");
    assert_eq!(json(&answer[0]), json!({"Command": "Error"}));
}

#[test]
fn shellies_of_the_first_generation_speak_in_scalars() {
    let (mut home, all) = house();
    let announce = json(find(&all, "shellies/announce"));
    let id = announce["id"].as_str().expect("an id");
    assert!(id.starts_with("shellyplug-s-"));
    assert_eq!(text(find(&all, &format!("shellies/{id}/online"))), "true");
    assert_eq!(text(find(&all, &format!("shellies/{id}/relay/0"))), "on");
    let energy = text(find(&all, &format!("shellies/{id}/relay/0/energy")));
    assert!(
        energy.parse::<u64>().is_ok(),
        "watt-minutes are whole: {energy}"
    );
    let answer = answers(&mut home, &format!("shellies/{id}/relay/0/command"), b"off");
    assert_eq!(&*answer[0].topic, format!("shellies/{id}/relay/0"));
    assert_eq!(text(&answer[0]), "off");
    let answer = answers(&mut home, "shellies/command", b"announce");
    let announced = answer
        .iter()
        .filter(|one| &*one.topic == "shellies/announce");
    assert_eq!(announced.count(), 3);
}

#[test]
fn shellies_of_the_second_generation_notify_and_answer_calls() {
    let (mut home, all) = house();
    let online = find_like(&all, "shellyplus1pm-", "/online");
    let id = online.topic.trim_end_matches("/online").to_owned();
    let events: Vec<Json> = all
        .iter()
        .filter(|one| *one.topic == *format!("{id}/events/rpc"))
        .map(json)
        .collect();
    assert_eq!(events[0]["method"], "NotifyFullStatus");
    assert_eq!(events[1]["method"], "NotifyStatus");
    assert_eq!(events[1]["src"], *id);
    assert_eq!(events[1]["params"]["switch:0"]["id"], 0);
    assert!(
        events[1]["params"]["switch:0"].get("aenergy").is_none(),
        "partial"
    );
    assert!(events[2]["params"]["switch:0"]["aenergy"]["total"].is_number());
    assert!(json(find(&all, &format!("{id}/status/switch:0")))["output"] == true);

    let rpc = format!("{id}/rpc");
    let call =
        json!({"id": 7, "src": "tarn", "method": "Switch.Set", "params": {"id": 0, "on": false}});
    let answer = answers(&mut home, &rpc, call.to_string().as_bytes());
    assert_eq!(&*answer[0].topic, "tarn/rpc");
    assert_eq!(json(&answer[0])["result"], json!({"was_on": true}));
    assert_eq!(json(&answer[1])["params"]["switch:0"]["output"], false);
    assert_eq!(json(&answer[2])["output"], false);
    let call = json!({"id": 8, "src": "tarn", "method": "Light.Dance"});
    let answer = answers(&mut home, &rpc, call.to_string().as_bytes());
    assert_eq!(json(&answer[0])["error"]["code"], 404);
    let call = json!({"id": 9, "src": "a/#", "method": "Switch.GetStatus"});
    assert!(answers(&mut home, &rpc, call.to_string().as_bytes()).is_empty());
    let answer = answers(&mut home, &format!("{id}/command/switch:0"), b"on");
    assert_eq!(json(&answer[0])["params"]["switch:0"]["output"], true);
}

#[test]
fn esphome_keeps_a_scalar_for_each_entity() {
    let (mut home, all) = house();
    assert_eq!(text(find(&all, "greenhouse/status")), "online");
    let celsius = find(&all, "greenhouse/sensor/bed_temperature/state");
    assert!(celsius.retain && text(celsius).parse::<f64>().is_ok());
    assert_eq!(text(find(&all, "greenhouse/switch/pump_state/state")), "ON");
    assert_eq!(
        json(find(&all, "esphome/discover/greenhouse"))["name"],
        "greenhouse"
    );
    let config = json(find(
        &all,
        "homeassistant/sensor/greenhouse/bed_temperature/config",
    ));
    assert_eq!(config["stat_t"], "greenhouse/sensor/bed_temperature/state");
    assert_eq!(config["avty_t"], "greenhouse/status");
    assert_eq!(config["dev_cla"], "temperature");
    let answer = answers(&mut home, "greenhouse/switch/pump_state/command", b"OFF");
    let told = find(&answer, "greenhouse/switch/pump_state/state");
    assert_eq!(text(told), "OFF");
    let answer = answers(&mut home, "airbox/select/vent_mode/command", b"boost");
    assert_eq!(
        text(find(&answer, "airbox/select/vent_mode/state")),
        "boost"
    );
}

fn payload(message: &Message) -> Payload {
    Payload::decode(&*message.payload).expect("protobuf")
}

/// A line of a factory after its first thousand messages.
fn factory(faults: f64) -> (Home, Vec<Message>) {
    let mut home = home(Profile::Factory, 1, 0, faults);
    let all = messages(&mut home, 3_000, 500);
    (home, all)
}

#[test]
fn sparkplug_begins_with_births_and_goes_on_in_aliases() {
    let (home, all) = factory(0.0);
    let all: Vec<&Message> = all
        .iter()
        .filter(|one| one.topic.starts_with("spBv1.0/"))
        .collect();
    assert_eq!(&*all[0].topic, "spBv1.0/plant/NBIRTH/line-1");
    let birth = payload(all[1]);
    assert_eq!(&*all[1].topic, "spBv1.0/plant/DBIRTH/line-1/press-1-01");
    assert!(
        birth
            .metrics
            .iter()
            .all(|one| one.name.is_some() && one.alias.is_some())
    );
    let mut aliases = HashSet::new();
    for (place, message) in all.iter().enumerate() {
        let payload = payload(message);
        assert_eq!(payload.seq, Some(place as u64 % 256), "{}", message.topic);
        assert!(!message.retain);
        let is_birth = message.topic.contains("BIRTH");
        for metric in payload.metrics {
            let alias = metric.alias;
            match is_birth {
                true => drop(alias.map(|alias| assert!(aliases.insert(alias)))),
                false => assert!(
                    metric.name.is_none() && alias.is_some_and(|one| aliases.contains(&one))
                ),
            }
        }
    }
    let will = home.will().expect("a will");
    assert_eq!(&*will.topic, "spBv1.0/plant/NDEATH/line-1");
    assert_eq!(payload(&will).metrics[0], payload(all[0]).metrics[0]);
}

#[test]
fn sparkplug_devices_do_what_they_are_told() {
    let (mut home, _) = factory(0.0);
    let set = |name: Option<&str>, alias, value| {
        let metric = Metric {
            name: name.map(str::to_owned),
            alias,
            value: Some(value),
            ..Metric::default()
        };
        let command = Payload {
            metrics: vec![metric],
            ..Payload::default()
        };
        command.encode_to_vec()
    };
    let topic = "spBv1.0/plant/DCMD/line-1/press-1-02";
    let command = set(
        Some("Control/Speed Setpoint"),
        None,
        MetricValue::Double(900.0),
    );
    let answer = answers(&mut home, topic, &command);
    assert_eq!(&*answer[0].topic, "spBv1.0/plant/DDATA/line-1/press-1-02");
    let told = |answer: &Message, alias| {
        let metrics = payload(answer).metrics;
        let found = metrics.into_iter().find(|one| one.alias == Some(alias));
        found.and_then(|one| one.value)
    };
    assert_eq!(told(&answer[0], 209), Some(MetricValue::Double(900.0)));
    let answer = answers(
        &mut home,
        topic,
        &set(None, Some(208), MetricValue::Boolean(false)),
    );
    assert_eq!(told(&answer[0], 208), Some(MetricValue::Boolean(false)));
    assert_eq!(told(&answer[0], 200), Some(MetricValue::Double(0.0)));
    let command = set(
        Some("Node Control/Rebirth"),
        None,
        MetricValue::Boolean(true),
    );
    let answer = answers(&mut home, "spBv1.0/plant/NCMD/line-1", &command);
    assert_eq!(payload(&answer[0]).seq, Some(0));
    // The machines follow at once.
    assert_eq!(&*answer[1].topic, "spBv1.0/plant/DBIRTH/line-1/press-1-01");
    assert_eq!(answer.len(), 7);
}

#[test]
fn a_new_connection_of_a_sparkplug_node_has_a_new_birth_and_a_will_that_names_it() {
    let (mut home, _) = factory(0.0);
    let before = payload(&home.will().expect("a will"));
    home.connection_lost();
    let birth = home.answer().expect("a birth");
    let after = payload(&home.will().expect("a will"));
    assert_ne!(before, after);
    assert_eq!(payload(&birth).metrics[0], after.metrics[0]);
}

#[test]
fn what_a_machine_stored_while_it_was_away_is_historical() {
    let (_, all) = factory(20.0);
    let mut stored = 0;
    for message in all.iter().filter(|one| one.topic.contains("/DDATA/")) {
        let payload = payload(message);
        for metric in &payload.metrics {
            if metric.is_historical == Some(true) {
                stored += 1;
                assert!(metric.timestamp < payload.timestamp);
            }
        }
    }
    assert!(stored > 0);
    let has = |kind: &str| all.iter().any(|one| one.topic.contains(kind));
    assert!(has("/DDEATH/") && has("/NDEATH/"));
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
