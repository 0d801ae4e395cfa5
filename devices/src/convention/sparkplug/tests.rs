use prost::Message as _;
use serde_json::json;

use super::{
    proto::{Metric, Payload, Property, PropertySet, PropertyValue, Template, Value},
    *,
};
use crate::{
    point::{At, Component, Domain, Encode, Form, Read, Write},
    reading::Taken,
};

/// A birth certificate that was not made by the code under test.
const GOLDEN: &str = include_str!("../../../fixtures/sparkplug/nbirth.hex");

pub(super) const AT: u64 = 1_736_603_810_490;

fn golden() -> Vec<u8> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    hex::decode(lines.collect::<String>()).expect("hex")
}

pub(super) fn metric(name: &str, datatype: u32, value: Value) -> Metric {
    Metric {
        name: Some(name.to_owned()),
        datatype: Some(datatype),
        value: Some(value),
        ..Metric::default()
    }
}

pub(super) fn payload(metrics: Vec<Metric>) -> Vec<u8> {
    let payload = Payload {
        timestamp: Some(AT),
        metrics,
        seq: Some(1),
    };
    payload.encode_to_vec()
}

pub(super) fn taken(payload: &[u8]) -> Vec<Taken<'_>> {
    read(payload, &[]).expect("payload")
}

pub(super) fn template(metrics: Vec<Metric>, is_definition: bool) -> Value {
    Value::Template(Box::new(Template {
        metrics,
        is_definition: Some(is_definition),
    }))
}

pub(super) fn message<'a>(topic: &'a str, payload: &'a [u8]) -> Message<'a> {
    Message { topic, payload }
}

pub(super) fn learn(topic: &str, payload: &[u8]) -> Announcement {
    let learned = Sparkplug.learn(&message(topic, payload)).expect(topic);
    assert_eq!(learned.len(), 1);
    learned.into_iter().next().expect("one")
}

#[test]
fn births_teach_and_nothing_else() {
    for (topic, teaches) in [
        ("spBv1.0/home/NBIRTH/gw", true),
        ("spBv1.0/home/DBIRTH/gw/boiler", true),
        ("spBv1.0/home/NDATA/gw", false),
        ("spBv1.0/home/DBIRTH/gw", false),
        ("spBv1.0/home/NBIRTH/gw/boiler", false),
        ("spBv1.0/home/DBIRTH/gw/boiler/x", false),
        ("spBv1.0/home/DBIRTH/gw/", false),
        ("spBv1.0//NBIRTH/gw", false),
        ("spBv1.0/STATE/NBIRTH/gw", false),
        ("spBv1.0/STATE/host", false),
        ("spAv1.0/home/NBIRTH/gw", false),
        ("home/NBIRTH/gw", false),
    ] {
        assert_eq!(Sparkplug.teaches(topic), teaches, "{topic}");
    }
}

#[test]
fn a_birth_says_what_a_node_measures() {
    let node = learn("spBv1.0/home/NBIRTH/gw", &golden());
    assert_eq!(node.identifiers[0].as_str(), "sparkplug:home/gw");
    assert_eq!(node.about.name.as_deref(), Some("gw"));
    assert_eq!(node.about.model.as_deref(), Some("EG-4"));
    assert_eq!(node.about.via, None);
    let names: Vec<&str> = node.points.iter().map(|p| p.metric.as_str()).collect();
    let expected = [
        "Node Control/Rebirth",
        "Properties/Model",
        "Boiler/Flow",
        "Boiler/Offset",
    ];
    assert_eq!(names, expected);
    let flow = &node.points[2];
    assert_eq!(flow.unit.as_deref(), Some("°C"));
    assert_eq!(
        flow.read,
        Some(Read::path("spBv1.0/home/NDATA/gw", "Boiler/Flow"))
    );
    let form = Form::Sparkplug {
        name: "Boiler/Flow".to_owned(),
        alias: Some(2),
        datatype: 9,
    };
    assert_eq!(
        flow.write,
        Some(Write::new("spBv1.0/home/NCMD/gw", Encode::new(form)))
    );
    assert_eq!(node.points[0].component, Component::Switch);
    assert_eq!(node.points[0].domain, Domain::Switch);
    assert_eq!(node.points[1].write, None);
}

#[test]
fn a_birth_lays_out_its_own_topic_and_the_data() {
    let node = learn("spBv1.0/home/NBIRTH/gw", &golden());
    let topics: Vec<&str> = node.streams.iter().map(|s| s.topic.as_str()).collect();
    let expected = [
        "spBv1.0/home/NBIRTH/gw",
        "spBv1.0/home/NDATA/gw",
        "spBv1.0/home/NDEATH/gw",
    ];
    assert_eq!(topics, expected);
    let Layout::Sparkplug { aliases, types } = &node.streams[1].layout else {
        panic!("another layout");
    };
    let alias = |n: u64, name: &str| (n, name.to_owned());
    assert_eq!(
        aliases[..],
        [
            alias(1, "Properties/Model"),
            alias(2, "Boiler/Flow"),
            alias(3, "Boiler/Offset")
        ]
    );
    assert!(types.is_sorted() && types.contains(&("Boiler/Offset".to_owned(), 2)));

    // Data messages name no types: the birth's tell that the number has a sign.
    let data = payload(vec![Metric {
        alias: Some(3),
        value: Some(Value::Int(0xfff0)),
        ..Metric::default()
    }]);
    let taken = read_typed(&data, aliases, types).expect("data");
    assert_eq!(taken[0].metric, "Boiler/Offset");
    assert_eq!(taken[0].value, Some(-16.0));
    let unborn = read(&data, &[]).expect("data");
    assert_eq!(unborn[0].metric, "alias.3");
}

#[test]
fn a_birth_has_readings() {
    let golden = golden();
    let taken = taken(&golden);
    let found: Vec<_> = taken
        .iter()
        .map(|t| (t.metric.as_ref(), t.value, t.text.as_deref(), t.ts))
        .collect();
    let at = Some(AT as i64);
    let expected = [
        ("bdSeq", Some(3.0), None, at),
        ("Node Control/Rebirth", Some(0.0), Some("false"), at),
        ("Properties/Model", None, Some("EG-4"), at),
        ("Boiler/Flow", Some(61.5), None, at),
        ("Boiler/Offset", Some(-5.0), None, at),
    ];
    assert_eq!(found, expected);
    assert!(taken.iter().all(|t| !t.historical));
}

#[test]
fn a_device_is_behind_its_node_and_goes_with_it() {
    let born = payload(vec![metric("on", 11, Value::Boolean(true))]);
    let device = learn("spBv1.0/home/DBIRTH/gw/boiler", &born);
    assert_eq!(device.identifiers[0].as_str(), "sparkplug:home/gw/boiler");
    let via = device.about.via.as_ref().expect("node");
    assert_eq!(via.as_str(), "sparkplug:home/gw");
    let write = device.points[0].write.as_ref().expect("settable");
    assert_eq!(write.topic, "spBv1.0/home/DCMD/gw/boiler");
    assert_eq!(write.encode.words[0], ("on".to_owned(), json!(true)));
    let says: Vec<(&str, &At)> = device
        .availability
        .topics
        .iter()
        .map(|t| (t.topic.as_str(), &t.at))
        .collect();
    let (online, offline) = (
        At::Always("online".to_owned()),
        At::Always("offline".to_owned()),
    );
    let expected = [
        ("spBv1.0/home/DBIRTH/gw/boiler", &online),
        ("spBv1.0/home/DDATA/gw/boiler", &online),
        ("spBv1.0/home/DDEATH/gw/boiler", &offline),
        ("spBv1.0/home/NDEATH/gw", &offline),
    ];
    assert_eq!(says, expected);
}

#[test]
fn properties_bound_what_can_be_set() {
    let number = |value: f64| Property {
        datatype: Some(10),
        value: Some(PropertyValue::Double(value)),
    };
    let properties = PropertySet {
        keys: ["engLow", "engHigh", "Engineering Units"]
            .map(str::to_owned)
            .to_vec(),
        values: vec![
            number(5.0),
            number(30.0),
            Property {
                datatype: Some(12),
                value: Some(PropertyValue::String(" °C ".to_owned())),
            },
        ],
    };
    let born = payload(vec![Metric {
        properties: Some(Box::new(properties)),
        ..metric("target", 3, Value::Int(21))
    }]);
    let node = learn("spBv1.0/home/NBIRTH/gw", &born);
    let domain = Domain::Number {
        min: Some(5.0),
        max: Some(30.0),
        step: Some(1.0),
    };
    assert_eq!(node.points[0].domain, domain);
    assert_eq!(node.points[0].unit.as_deref(), Some("°C"));
}

#[test]
fn data_before_a_birth_is_recognised() {
    let data = payload(vec![metric("t", 10, Value::Double(21.5))]);
    for (topic, id) in [
        ("spBv1.0/home/NDATA/gw", "sparkplug:home/gw"),
        ("spBv1.0/home/DDATA/gw/boiler", "sparkplug:home/gw/boiler"),
        ("spBv1.0/home/NDEATH/gw", "sparkplug:home/gw"),
    ] {
        let found = Sparkplug.recognise(&message(topic, &data)).expect(topic);
        assert_eq!(found.identifiers[0].as_str(), id);
        assert_eq!(found.streams.len(), 1);
        assert_eq!(found.streams[0].topic, topic);
    }
    for (topic, payload) in [
        ("spBv1.0/home/NDATA/gw", &b"21.5"[..]),
        ("spBv1.0/home/NCMD/gw", &data),
        ("spBv1.0/STATE/host", b"{}"),
        ("home/kitchen/temperature", b"21.5"),
    ] {
        assert_eq!(Sparkplug.recognise(&message(topic, payload)), None);
    }
}

#[test]
fn what_is_no_payload_is_a_fault() {
    let check = |payload: &[u8], detail: &str| {
        let fault = read(payload, &[]).expect_err(detail);
        assert_eq!(fault.kind, FaultKind::Payload);
        assert!(fault.detail.contains(detail), "{fault}");
        let topic = "spBv1.0/home/NBIRTH/gw";
        if let Err(fault) = Sparkplug.learn(&message(topic, payload)) {
            assert_eq!(fault.kind, FaultKind::Announcement);
        }
    };
    check(b"21.5", "");
    check(&[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f], "");
    check(&[0x12, 0x03, 0x0a, 0x01, 0xff], "");
    let named = |name: &str| metric(name, 3, Value::Int(1));
    check(
        &payload(vec![named("a"), named("")]),
        "metric 1: neither a name nor an alias",
    );
    check(
        &payload(vec![named(&"n".repeat(1025))]),
        "more than 1024 bytes",
    );
    check(
        &payload(vec![Metric::default(); 4097]),
        "more than 4096 metrics",
    );
    check(
        &vec![0x12; PAYLOAD_BYTES_MAX + 1],
        "longer than 524288 bytes",
    );
    let members = template(vec![named("a"); 4097], false);
    check(
        &payload(vec![metric("t", 19, members)]),
        "more than 4096 metrics",
    );
    let deep = (0..20).fold(named("a"), |inner, _| {
        metric("t", 19, template(vec![inner], false))
    });
    check(&payload(vec![deep]), "more than 8 templates");
    assert!(read(&payload(vec![named(&"n".repeat(1024))]), &[]).is_ok());
}

#[test]
fn any_prefix_and_any_flipped_bit_is_survived() {
    let golden = golden();
    for end in 0..golden.len() {
        let _ = read(&golden[..end], &[]);
    }
    for bit in 0..golden.len() * 8 {
        let mut bytes = golden.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let _ = read(&bytes, &[]);
        let _ = Sparkplug.learn(&message("spBv1.0/home/NBIRTH/gw", &bytes));
    }
}
