use serde_json::json;

use super::*;
use crate::{
    announcement::TimeKey,
    fault::FaultKind,
    point::{Component, Domain, Encode, Form, Read, StateClass, Write},
};

const FULL: &str = include_str!("../../../fixtures/shelly_gen2/plus1pm_full.json");
const PARTIAL: &str = include_str!("../../../fixtures/shelly_gen2/plus1pm_partial.json");
const EVENT: &str = include_str!("../../../fixtures/shelly_gen2/plus1pm_event.json");
const SWITCH: &str = include_str!("../../../fixtures/shelly_gen2/plus1pm_switch.json");
const ANNOUNCE: &str = include_str!("../../../fixtures/shelly_gen2/plus1pm_announce.json");
const EM: &str = include_str!("../../../fixtures/shelly_gen2/pro3em_em.json");
const EMDATA: &str = include_str!("../../../fixtures/shelly_gen2/pro3em_emdata.json");
const HT: &str = include_str!("../../../fixtures/shelly_gen2/plusht.json");

const ID: &str = "shellyplus1pm-a8032abe54dc";

fn recognise(topic: &str, payload: &str) -> Option<Announcement> {
    ShellyGen2.recognise(&Message {
        topic,
        payload: payload.as_bytes(),
    })
}

fn streams(announcement: &Announcement) -> Vec<&str> {
    let streams = announcement.streams.iter();
    streams.map(|stream| stream.topic.as_str()).collect()
}

fn flat(metric: &str, prefix: &str, root: &str, clock: &str) -> Layout {
    Layout::Flat {
        metric: metric.to_owned(),
        prefix: prefix.to_owned(),
        root: root.to_owned(),
        time: TimeKey::Unix(clock.to_owned()),
    }
}

/// Keys of a payload, flattened below a prefix; empty ones and nulls too.
fn keys(prefix: &str, json: &Value, into: &mut Vec<String>) {
    let below = |key: &str| match prefix {
        "" => key.to_owned(),
        _ => format!("{prefix}.{key}"),
    };
    match json {
        Value::Object(object) => object.iter().for_each(|(k, v)| keys(&below(k), v, into)),
        Value::Array(array) => {
            let places = array.iter().enumerate();
            places.for_each(|(n, v)| keys(&below(&n.to_string()), v, into));
        }
        _ => into.push(prefix.to_owned()),
    }
}

fn check_meaning(key: &str, unit: &str, class: &str) -> KeyMeaning {
    let meaning = ShellyGen2.meaning(key).expect(key);
    assert_eq!(meaning.unit.unwrap_or_default(), unit, "{key}");
    assert_eq!(meaning.class.unwrap_or_default(), class, "{key}");
    meaning
}

#[test]
fn a_notification_names_its_device_and_all_its_topics() {
    let found = recognise(&format!("{ID}/events/rpc"), FULL).expect("device");
    assert_eq!(found.identifiers[0].as_str(), "mac:a8032abe54dc");
    assert_eq!(found.identifiers[1].as_str(), format!("shelly:{ID}"));
    assert_eq!(found.about.vendor.as_deref(), Some("Shelly"));
    assert_eq!(found.about.model.as_deref(), Some("shellyplus1pm"));
    assert_eq!(found.availability.topics[0].topic, format!("{ID}/online"));
    assert_eq!(found.streams[0].layout, flat("events", "", "params", "ts"));
    let topics = streams(&found);
    for below in [
        "events/rpc",
        "online",
        "rpc",
        "status/switch:0",
        "status/sys",
    ] {
        assert!(
            topics.contains(&format!("{ID}/{below}").as_str()),
            "{below}"
        );
    }
}

#[test]
fn a_chosen_prefix_is_recognised_by_what_is_in_its_notifications() {
    let found = recognise("cellar/dryer/events/rpc", PARTIAL).expect("device");
    assert_eq!(found.identifiers[0].as_str(), "mac:a8032abe54dc");
    let topics = [
        "cellar/dryer/events/rpc",
        "cellar/dryer/online",
        "cellar/dryer/rpc",
        "cellar/dryer/status/switch:0",
    ];
    assert_eq!(streams(&found), topics);
    for other in ["online", "status/switch:0", "rpc", "command/switch:0"] {
        assert_eq!(recognise(&format!("cellar/dryer/{other}"), SWITCH), None);
    }
}

#[test]
fn topics_of_others_are_not_taken() {
    for (topic, payload) in [
        ("home/kitchen/temperature", "21.5"),
        ("tasmota/online", "true"),
        (
            "tarn/rpc",
            r#"{"id":1,"src":"shellyplus1pm-a8032abe54dc","result":{}}"#,
        ),
        ("shellyplus1pm/online", "true"),
        ("shelly1-AABB12/online", "true"),
        ("shellyplus1pm-000000000000/online", "true"),
        ("shelly plug-a8032abe54dc/online", "true"),
        ("shellyplus1pm-a8032abe54dc/other", "true"),
        ("/online", "true"),
        ("online", "true"),
        ("x/events/rpc", "{}"),
        ("x/events/rpc", "no json"),
        (
            "x/events/rpc",
            r#"{"src":"plug","method":"NotifyStatus","params":{}}"#,
        ),
        (
            "x/events/rpc",
            r#"{"src":"shellyplus1-a8032abe54dc","method":"Switch.Set"}"#,
        ),
        ("x/events/rpc", r#"{"src":5,"method":"NotifyStatus"}"#),
    ] {
        assert_eq!(recognise(topic, payload), None, "{topic} {payload}");
    }
}

#[test]
fn a_component_has_the_same_names_on_both_roads() {
    let topic = format!("{ID}/status/switch:0");
    let found = recognise(&topic, SWITCH).expect("device");
    assert_eq!(found.streams.len(), 1);
    assert_eq!(
        found.streams[0].layout,
        flat("switch:0", "switch:0.", "", "ts")
    );
    let sys = recognise(&format!("{ID}/status/sys"), "{}").expect("device");
    assert_eq!(sys.streams[0].layout, flat("sys", "sys.", "", "unixtime"));

    let full: Value = serde_json::from_str(FULL).expect("JSON");
    let (mut by_rpc, mut by_status) = (Vec::new(), Vec::new());
    keys("", &full["params"], &mut by_rpc);
    let status: Value = serde_json::from_str(SWITCH).expect("JSON");
    keys("switch:0", &status, &mut by_status);
    assert!(by_status.iter().all(|key| by_rpc.contains(key)));
}

#[test]
fn a_switch_is_set_by_a_call() {
    let call = Form::Rpc {
        method: "Switch.Set".to_owned(),
        params: Map::from_iter([("id".to_owned(), json!(0))]),
        key: "on".to_owned(),
    };
    for (topic, payload, path) in [
        ("status/switch:0", SWITCH, "output"),
        ("events/rpc", FULL, "switch:0.output"),
    ] {
        let topic = format!("{ID}/{topic}");
        let point = Point {
            domain: Domain::Switch,
            read: Some(Read::path(&topic, path)),
            write: Some(Write::new(
                format!("{ID}/rpc"),
                Encode::switch(call.clone(), true, false),
            )),
            ..Point::new("switch:0.output", Component::Switch)
        };
        let found = recognise(&topic, payload).expect("device");
        assert_eq!(found.points, std::slice::from_ref(&point));
        assert_eq!(ShellyGen2.discover(&topic, "switch:0.output"), Some(point));
    }
    let partial = recognise(&format!("{ID}/events/rpc"), PARTIAL).expect("device");
    assert_eq!(partial.points, []);
}

#[test]
fn what_can_be_set_is_discovered_by_its_key() {
    let check = |metric: &str, method: &str, key: &str| {
        let point = ShellyGen2
            .discover("plug/events/rpc", metric)
            .expect(metric);
        assert_eq!(point.metric, metric);
        let write = point.write.expect(metric);
        assert_eq!(write.topic, "plug/rpc");
        let Form::Rpc {
            method: found,
            key: parameter,
            params,
        } = write.encode.form
        else {
            panic!("{metric} is no call");
        };
        assert_eq!((found.as_str(), parameter.as_str()), (method, key));
        assert_eq!(params["id"], json!(1), "{metric}");
    };
    check("switch:1.output", "Switch.Set", "on");
    check("light:1.output", "Light.Set", "on");
    check("light:1.brightness", "Light.Set", "brightness");
    check("rgbw:1.white", "RGBW.Set", "white");
    check("cct:1.ct", "CCT.Set", "ct");
    check("cover:1.current_pos", "Cover.GoToPosition", "pos");
    check("number:1.value", "Number.Set", "value");
    for metric in [
        "switch:1.apower",
        "switch.output",
        "switch:x.output",
        "output",
        "",
        "temperature:0.tC",
    ] {
        assert_eq!(ShellyGen2.discover("plug/events/rpc", metric), None);
    }
    for topic in ["plug/online", "plug", "plug/status/switch:0"] {
        assert_eq!(ShellyGen2.discover(topic, "switch:1.output"), None);
    }
}

#[test]
fn a_cover_has_a_method_for_each_word() {
    let point = ShellyGen2.discover("blind/events/rpc", "cover:0.state");
    let encode = point.expect("cover").write.expect("settable").encode;
    assert_eq!(encode.form, Form::Plain);
    let methods: Vec<(&str, &Value)> = encode
        .words
        .iter()
        .map(|(word, call)| (word.as_str(), &call["method"]))
        .collect();
    assert!(methods.contains(&("open", &json!("Cover.Open"))));
    assert!(methods.contains(&("close", &json!("Cover.Close"))));
    assert!(methods.contains(&("stop", &json!("Cover.Stop"))));
    let open = json!({"id": 1, "src": "tarn", "method": "Cover.Open", "params": {"id": 0}});
    assert_eq!(encode.words[0].1, open);
}

#[test]
fn a_target_temperature_stands_deeper_in_its_call() {
    let point = ShellyGen2.discover("hall/status/thermostat:0", "thermostat:0.target_C");
    let point = point.expect("thermostat");
    assert_eq!(
        point.read,
        Some(Read::path("hall/status/thermostat:0", "target_C"))
    );
    let Form::Json { path, with } = point.write.expect("settable").encode.form else {
        panic!("no JSON");
    };
    assert_eq!(path, "params.config.target_C");
    assert_eq!(with["method"], json!("Thermostat.SetConfig"));
    assert_eq!(with["params"], json!({"id": 0}));
}

#[test]
fn calls_and_commands_are_kept_as_text() {
    for (below, metric) in [
        ("rpc", "rpc"),
        ("command", "command"),
        ("command/switch:0", "command.switch:0"),
    ] {
        let found = recognise(&format!("{ID}/{below}"), "on").expect("device");
        let metric = metric.to_owned();
        assert_eq!(found.streams[0].layout, Layout::Raw { metric });
    }
}

#[test]
fn an_announcement_says_what_it_is() {
    let topic = format!("{ID}/announce");
    let learn = |topic: &str, payload: &str| {
        ShellyGen2.learn(&Message {
            topic,
            payload: payload.as_bytes(),
        })
    };
    assert!(ShellyGen2.teaches(&topic));
    assert!(!ShellyGen2.teaches("dryer/announce"));
    assert!(!ShellyGen2.teaches(&format!("{ID}/events/rpc")));
    let learned = learn(&topic, ANNOUNCE).expect("announcement");
    assert_eq!(learned[0].identifiers[0].as_str(), "mac:a8032abe54dc");
    let about = &learned[0].about;
    assert_eq!(about.name.as_deref(), Some("Dryer"));
    assert_eq!(about.model.as_deref(), Some("shellyplus1pm"));
    assert_eq!(about.hardware.as_deref(), Some("SNSW-001P16EU"));
    assert_eq!(about.firmware.as_deref(), Some("1.4.4"));
    assert_eq!(learn(&topic, ""), Ok(Vec::new()));
    let fault = learn(&topic, "[1]").expect_err("no object");
    assert_eq!(fault.kind, FaultKind::Announcement);
}

#[test]
fn units_follow_from_component_and_key() {
    check_meaning("switch:0.apower", "W", "power");
    check_meaning("switch:0.voltage", "V", "voltage");
    check_meaning("pm1:0.current", "A", "current");
    check_meaning("switch:0.freq", "Hz", "frequency");
    check_meaning("switch:0.pf", "", "power_factor");
    check_meaning("switch:0.temperature.tC", "°C", "temperature");
    check_meaning("temperature:100.tF", "°F", "temperature");
    check_meaning("humidity:0.rh", "%", "humidity");
    check_meaning("devicepower:0.battery.percent", "%", "battery");
    check_meaning("devicepower:0.battery.V", "V", "voltage");
    check_meaning("wifi.rssi", "dBm", "signal_strength");
    check_meaning("sys.uptime", "s", "duration");
    for key in ["switch:0.id", "switch:0.output", "uptime", "", "a.b.c"] {
        assert_eq!(ShellyGen2.meaning(key), None, "{key}");
    }
}

#[test]
fn energy_is_counted_in_watt_hours() {
    for key in [
        "switch:0.aenergy.total",
        "pm1:0.ret_aenergy.total",
        "emdata:0.total_act",
        "emdata:0.total_act_ret",
        "emdata:0.a_total_act_energy",
        "em1data:0.total_act_ret_energy",
    ] {
        let meaning = check_meaning(key, "Wh", "energy");
        assert_eq!(meaning.state_class, Some(StateClass::TotalIncreasing));
        assert!(meaning.scale == 0.0 || meaning.scale == 1.0);
    }
    let minute = check_meaning("switch:0.aenergy.by_minute.1", "Wh", "energy");
    assert_eq!((minute.raw_unit, minute.scale), (Some("mWh"), 0.001));
    assert_eq!(ShellyGen2.meaning("switch:0.aenergy.minute_ts"), None);
}

#[test]
fn every_number_of_the_meters_has_a_meaning() {
    for (component, payload) in [("em:0", EM), ("emdata:0", EMDATA)] {
        let status: Value = serde_json::from_str(payload).expect("JSON");
        let mut found = Vec::new();
        keys(component, &status, &mut found);
        for key in found.iter().filter(|key| !key.ends_with(".id")) {
            assert!(ShellyGen2.meaning(key).is_some(), "{key}");
        }
    }
}

#[test]
fn a_component_that_is_no_level_of_a_topic_has_no_topic() {
    let payload = format!(
        r##"{{"src":"{ID}","method":"NotifyStatus","params":{{"#":{{}},"a/b":{{}},"+:0":{{"output":true}}}}}}"##
    );
    let found = recognise("x/events/rpc", &payload).expect("device");
    assert_eq!(streams(&found), ["x/events/rpc", "x/online", "x/rpc"]);
    assert_eq!(found.points, []);
}

#[test]
fn events_and_sleepers_are_recognised_too() {
    let event = recognise(&format!("{ID}/events/rpc"), EVENT).expect("device");
    assert_eq!(event.points, []);
    let sleeper = recognise("shellyplusht-08b61fcb7e3c/events/rpc", HT).expect("device");
    assert_eq!(sleeper.identifiers[0].as_str(), "mac:08b61fcb7e3c");
    assert_eq!(sleeper.points, []);
}
