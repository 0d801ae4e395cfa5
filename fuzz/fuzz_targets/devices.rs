//! All that a home's devices may say: announcements are learnt, readings decoded, commands encoded, and what is
//! kept over a restart gives the same devices again.
//!
//! An input is a row of messages that a byte 0xff parts. A message that begins with a byte below 0x20 has that
//! topic of [`TOPICS`] and the rest is its payload; any other is `topic`, a line feed, `payload`.
#![no_main]

use std::{collections::BTreeMap, hint::black_box};

use serde_json::{Value, json};
use tarn_common::ids::Seq;
use tarn_devices::{
    command::{self, Publish},
    convention::ConventionKind,
    message::Message,
    point::Domain,
    registry::{Device, Feature, Registry, Saved},
};
use tarn_edge::{
    decode::{Context, Decoder, state::State},
    journal::frame::{Kind, Record},
};
use tarn_fuzz::{about, saw};

/// Parts two messages; no UTF-8 has it.
const BETWEEN: u8 = 0xff;
/// First byte of a message with a topic of its own.
const TOPIC_FROM: u8 = 0x20;
/// Messages of one input at most.
const MESSAGES_MAX: usize = 400;
/// Milliseconds since 1970 of the first message.
const START_MS: i64 = 1_800_000_000_000;
/// Restarts after the last message.
const RESTARTS: usize = 2;

/// Topics of all conventions; announcements of the corpus name those that carry readings.
const TOPICS: [&str; 32] = [
    "homeassistant/sensor/bedroom/config",
    "homeassistant/light/node/lamp/config",
    "homeassistant/device/0x00158d0001a2b3c4/config",
    "homeassistant/climate/heater/config",
    "home/bedroom/state",
    "home/bedroom/availability",
    "zigbee2mqtt/bridge/devices",
    "zigbee2mqtt/bridge/info",
    "zigbee2mqtt/bridge/state",
    "zigbee2mqtt/my_plug",
    "zigbee2mqtt/my_plug/availability",
    "tasmota/discovery/2462AB49A3BC/config",
    "tasmota/discovery/2462AB49A3BC/sensors",
    "tele/tasmota_49A3BC/SENSOR",
    "tele/tasmota_49A3BC/STATE",
    "tele/tasmota_49A3BC/LWT",
    "stat/tasmota_49A3BC/RESULT",
    "shellies/shelly1pm-A4CF12/announce",
    "shellies/shelly1pm-A4CF12/info",
    "shellies/shelly1pm-A4CF12/relay/0",
    "shellyplus1pm-a8032abe54dc/events/rpc",
    "shellyplus1pm-a8032abe54dc/status/switch:0",
    "shellyplus1pm-a8032abe54dc/online",
    "shellyplus1pm-a8032abe54dc/announce",
    "esphome/discover/node",
    "node/sensor/living_temp/state",
    "node/light/ceiling/state",
    "spBv1.0/home/NBIRTH/node",
    "spBv1.0/home/NDATA/node",
    "spBv1.0/home/NDEATH/node",
    "tarn/backlog/bedroom",
    "attic/window/temperature",
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| devices(data));

fn devices(data: &[u8]) {
    let messages: Vec<_> = data
        .split(|byte| *byte == BETWEEN)
        .filter_map(message)
        .take(MESSAGES_MAX)
        .collect();
    let mut registry = Registry::new();
    for (message, seq) in messages.iter().zip(1..) {
        let heard = registry.hear(message, seq, START_MS + seq as i64 * 1000);
        let kind = ConventionKind::teacher(message.topic);
        saw((kind, format!("{heard:?}"), about(registry.devices().len())));
    }
    decode(&mut registry, &messages);
    for device in registry.devices() {
        saw((&device.conventions, registry.is_online(device)));
        saw(about(device.features.len()));
        let faults = registry.faults(&device.id);
        faults.for_each(|found| saw(found.fault.kind));
        device.features.values().for_each(set);
    }
    let mut before = registry;
    for _ in 0..RESTARTS {
        let kept = postcard::to_allocvec(&before.save()).expect("what is kept can be written");
        let saved: Saved = postcard::from_bytes(&kept).expect("what is kept can be read");
        let after = Registry::restore(saved);
        assert_eq!(told(&before), told(&after), "a restart changes devices");
        before = after;
    }
}

/// The message of one part of the input; none without a topic that a broker would take.
fn message(part: &[u8]) -> Option<Message<'_>> {
    let (first, rest) = part.split_first()?;
    if *first < TOPIC_FROM {
        let topic = TOPICS[usize::from(*first)];
        return Some(Message {
            topic,
            payload: rest,
        });
    }
    let end = part.iter().position(|byte| *byte == b'\n')?;
    let topic = std::str::from_utf8(&part[..end]).ok()?;
    let is_name = !topic.contains(['+', '#', '\0']);
    is_name.then_some(Message {
        topic,
        payload: &part[end + 1..],
    })
}

/// Decodes every message as the registry has learnt to read it.
fn decode(registry: &mut Registry, messages: &[Message<'_>]) {
    let context = Context {
        schema: registry.schema(),
        ..Context::default()
    };
    let mut decoder = Decoder::new(&context, State::default());
    for (message, seq) in messages.iter().zip(1..) {
        decoder.record(&Record {
            topic: message.topic,
            payload: message.payload,
            received_ms: START_MS + seq as i64 * 1000,
            ..Record::control(Kind::Publish, Seq(seq), "c")
        });
    }
    let decoded = decoder.finish();
    let all = decoded.rows.all();
    decoded.rows.batch(&all).expect("readings make a batch");
    saw(("readings", about(decoded.rows.len())));
    saw(("odd", about(decoded.odd_payloads as usize)));
    for (_, metric, value, text) in decoded.rows.iter() {
        saw((metric, value.is_some(), text.is_some()));
    }
    for found in decoded.faults {
        let received_ms = found.received_ms;
        registry.report(
            &found.device,
            &found.topic,
            found.fault,
            found.seq,
            received_ms,
        );
    }
}

/// Encodes commands with values of all kinds, those that the feature takes among them.
fn set(feature: &Feature) {
    if feature.write.is_none() {
        return;
    }
    let mut values = vec![
        json!(true),
        json!(0),
        json!(1),
        json!(21.5),
        json!(-1e300),
        json!("on"),
        json!("toggle"),
        json!("21.5"),
        json!("ä/{}\u{1}"),
        Value::Null,
        json!([0.3, 0.2]),
        json!({"r": 255, "g": 0, "b": 7}),
        json!({"state": "ON", "brightness": {"x": []}}),
    ];
    match &feature.domain {
        Domain::Options(options) => values.extend(options.iter().map(|option| json!(option))),
        Domain::Number { min, max, .. } => values.extend([json!(min), json!(max)]),
        Domain::Object(keys) => {
            values.push(keys.iter().map(|key| (key.clone(), json!(1))).collect());
            values.push(keys.iter().map(|_| json!(1)).collect());
        }
        Domain::Any | Domain::Switch | Domain::Text | Domain::Press => {}
    }
    for (place, value) in values.iter().enumerate() {
        let sent = command::encode(feature, value, 1, START_MS);
        saw((feature.component, place, sent.is_ok()));
        if let Ok(sent) = sent {
            is_sound(&sent);
        }
    }
}

fn is_sound(sent: &Publish) {
    assert!(sent.payload.len() <= command::PAYLOAD_BYTES_MAX);
    for expected in &sent.expected {
        black_box(expected.is_met(Some(1.0), None));
        black_box(expected.is_met(None, Some("on")));
    }
}

/// What a registry says of its devices.
fn told(registry: &Registry) -> BTreeMap<String, String> {
    let of = |device: &Device| {
        let (about, features) = (&device.about, &device.features);
        let identity = (&device.identifiers, &device.aliases, &device.conventions);
        let is_online = registry.is_online(device);
        format!(
            "{identity:?} {about:?} {:?} {features:#?} {is_online:?}",
            device.topics
        )
    };
    let devices = registry.devices();
    devices
        .map(|device| (device.id.to_string(), of(device)))
        .collect()
}
