//! What devices cost: decoding their messages, following them, learning what they announce. One thread; rates are
//! per second of its CPU time, so that a busy machine does not count against them.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tarn_common::ids::Seq;
use tarn_devices::{convention::sparkplug, message::Message, registry::Registry};
use tarn_edge::{
    decode::{Context, Decoder, state::State},
    journal::frame::{Kind, Record},
};

const MESSAGES: usize = 100_000;
const ROUNDS: usize = 5;
const DEVICES: usize = 50;
const CONFIGURATIONS: usize = 1_104;
const START_MS: i64 = 1_800_000_000_000;
const ZIGBEE_DEVICES: &str = include_str!("../../../devices/fixtures/zigbee2mqtt/devices.json");
const SHELLY_FULL: &str = include_str!("../../../devices/fixtures/shelly_gen2/plus1pm_full.json");

/// A topic and a payload.
type Said = (String, Vec<u8>);

/// All figures of this module.
pub(crate) fn devices() -> Value {
    let plain: Vec<Said> = cycled(200, |n| (format!("home/room-{n}/sensor"), climate));
    let zigbee: Vec<Said> = cycled(DEVICES, |n| (format!("zigbee2mqtt/plug-{n}"), plug));
    let templated: Vec<Said> = cycled(DEVICES, |n| (format!("ha/{n}/state"), climate));
    let shelly: Vec<Said> = cycled(DEVICES, |n| {
        (format!("{}/events/rpc", shelly_id(n)), notification)
    });
    let sparkplug: Vec<Said> = cycled(DEVICES, |n| {
        (format!("spBv1.0/home/NDATA/node-{n}"), node_data)
    });
    let of_zigbee = registry(&[zigbee_bridge()]);
    let of_shelly = registry(&shelly_introductions());
    let of_sparkplug = registry(&births());
    json!({
        "decode_per_s": {
            "plain": decode(&Registry::new(), &plain),
            "zigbee2mqtt": decode(&of_zigbee, &zigbee),
            "template": decode(&registry(&sensors(1)), &templated),
            "templates_3": decode(&registry(&sensors(3)), &templated),
            "shelly": decode(&of_shelly, &shelly),
            "sparkplug": decode(&of_sparkplug, &sparkplug),
        },
        "hear_per_s": {
            "plain": hear(Registry::new(), &plain),
            "bound": hear(of_zigbee, &zigbee),
            "explored": hear(of_shelly, &shelly),
        },
        "learn_s": learn(),
    })
}

/// Seconds of CPU that a piece of work takes this thread.
fn cpu_s<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let started = now();
    let done = work();
    ((now() - started).as_secs_f64(), done)
}

/// Messages of so many speakers by turns.
fn cycled(speakers: usize, speaker: impl Fn(usize) -> (String, fn(usize) -> Vec<u8>)) -> Vec<Said> {
    let message = |n| {
        let (topic, payload) = speaker(n % speakers);
        (topic, payload(n))
    };
    (0..MESSAGES).map(message).collect()
}

fn registry(said: &[Said]) -> Registry {
    let mut registry = Registry::new();
    for ((topic, payload), seq) in said.iter().zip(1..) {
        registry.hear(&Message { topic, payload }, seq, START_MS);
    }
    assert!(registry.devices().len() > 0, "nothing was learnt");
    registry
}

/// Messages a second that are decoded, as records in memory; the bytes of the journal are not read.
fn decode(registry: &Registry, said: &[Said]) -> Vec<f64> {
    let is_bound = registry.schema().binding(&said[0].0).is_some();
    assert_eq!(is_bound, registry.devices().len() > 0, "{}", said[0].0);
    let context = Context {
        schema: registry.schema(),
        ..Context::default()
    };
    let round = |_| {
        let (took, rows) = cpu_s(|| {
            let mut decoder = Decoder::new(&context, State::default());
            for ((topic, payload), seq) in said.iter().zip(1..) {
                decoder.record(&Record {
                    topic,
                    payload,
                    received_ms: START_MS + seq as i64,
                    ..Record::control(Kind::Publish, Seq(seq), "c")
                });
            }
            let decoded = decoder.finish();
            assert!(decoded.faults.is_empty(), "{:?}", decoded.faults.first());
            decoded.rows.len()
        });
        assert!(rows >= said.len(), "{rows} readings");
        said.len() as f64 / took
    };
    (0..ROUNDS).map(round).collect()
}

/// Messages a second that the registry follows, once it knows their topics.
fn hear(mut registry: Registry, said: &[Said]) -> Vec<f64> {
    let mut round = |_| {
        let (took, ()) = cpu_s(|| {
            for ((topic, payload), seq) in said.iter().zip(1..) {
                registry.hear(&Message { topic, payload }, seq, START_MS);
            }
        });
        said.len() as f64 / took
    };
    (0..ROUNDS).map(&mut round).collect()
}

/// Seconds to learn what Home Assistant's discovery says of a home.
fn learn() -> Vec<f64> {
    let said: Vec<Said> = (0..CONFIGURATIONS).map(configuration).collect();
    let round = |_| {
        let (took, registry) = cpu_s(|| registry(&said));
        let features = registry.devices().map(|device| device.features.len());
        assert_eq!(features.sum::<usize>(), CONFIGURATIONS);
        took
    };
    (0..ROUNDS).map(round).collect()
}

/// Three numbers and a signal in 61 bytes.
fn climate(n: usize) -> Vec<u8> {
    let wave = (n % 977) as f64 / 10.0;
    let (temperature, humidity, power) = (15.0 + wave / 10.0, 30.0 + wave / 4.0, wave * 7.0);
    let lqi = n % 255;
    format!(r#"{{"temperature":{temperature:.1},"humidity":{humidity:.0},"power":{power:.1},"lqi":{lqi:>3}}}"#)
        .into_bytes()
}

fn plug(n: usize) -> Vec<u8> {
    let power = (n % 977) as f64 / 10.0;
    let (energy, signal) = (n as f64 / 1000.0, n % 255);
    format!(
        r#"{{"state":"ON","power":{power:.1},"energy":{energy:.2},"temperature":31,"linkquality":{signal}}}"#
    )
    .into_bytes()
}

/// An id ends with the device's address, which is not all zeros.
fn shelly_id(n: usize) -> String {
    format!("shellyplus1pm-{:012x}", n + 1)
}

fn notification(n: usize) -> Vec<u8> {
    let power = (n % 977) as f64 / 10.0;
    let (ts, energy) = (START_MS / 1000 + n as i64 / 1000, 1000.0 + n as f64 / 100.0);
    let id = shelly_id(n % DEVICES);
    format!(
        r#"{{"src":"{id}","dst":"{id}/events","method":"NotifyStatus","params":{{"ts":{ts}.06,"switch:0":{{"id":0,"apower":{power:.1},"voltage":230.2,"current":0.42,"aenergy":{{"total":{energy:.3},"minute_ts":{ts}}}}}}}}}"#
    )
    .into_bytes()
}

const FLOAT: u32 = 9;
const NODE_METRICS: [&str; 3] = ["temperature", "humidity", "power"];

/// Metrics by alias; one payload of a single metric after the other is the payload of all.
fn node(n: usize, name: impl Fn(usize) -> &'static str) -> Vec<u8> {
    let now = START_MS + n as i64;
    let metric = |place: usize| {
        let value = json!((n % 977) as f64 / 10.0);
        sparkplug::encode(name(place), Some(place as u64), FLOAT, &value, now).expect("encodes")
    };
    (0..NODE_METRICS.len()).flat_map(metric).collect()
}

fn node_data(n: usize) -> Vec<u8> {
    node(n, |_| "")
}

fn births() -> Vec<Said> {
    let birth = |n| {
        let payload = node(n, |place| NODE_METRICS[place]);
        (format!("spBv1.0/home/NBIRTH/node-{n}"), payload)
    };
    (0..DEVICES).map(birth).collect()
}

/// A bridge with plugs only.
fn zigbee_bridge() -> Said {
    let fixture: Vec<Value> = serde_json::from_str(ZIGBEE_DEVICES).expect("JSON");
    let is_plug = |device: &&Value| device["friendly_name"] == "my_plug";
    let plug = fixture.iter().find(is_plug).expect("a plug");
    let plugs = (0..DEVICES).map(|n| {
        let mut plug = plug.clone();
        plug["friendly_name"] = json!(format!("plug-{n}"));
        plug["ieee_address"] = json!(format!("0x00158d00{n:08x}"));
        plug
    });
    let payload = plugs.collect::<Value>().to_string().into_bytes();
    ("zigbee2mqtt/bridge/devices".to_owned(), payload)
}

fn shelly_introductions() -> Vec<Said> {
    let introduction = |n| {
        let id = shelly_id(n);
        let mut full: Value = serde_json::from_str(SHELLY_FULL).expect("JSON");
        full["src"] = json!(id);
        (format!("{id}/events/rpc"), full.to_string().into_bytes())
    };
    (0..DEVICES).map(introduction).collect()
}

/// Sensors whose templates share one topic per device.
fn sensors(templates: usize) -> Vec<Said> {
    let sensor = |n: usize| {
        let (device, key) = (
            n / templates,
            ["temperature", "humidity", "power"][n % templates],
        );
        let config = json!({
            "unique_id": format!("{device}-{key}"),
            "name": key,
            "state_topic": format!("ha/{device}/state"),
            "value_template": format!("{{{{ value_json.{key} | round(1) }}}}"),
            "device": {"identifiers": [format!("bench-{device}")], "name": format!("Device {device}")},
        });
        let topic = format!("homeassistant/sensor/bench-{device}/{key}/config");
        (topic, config.to_string().into_bytes())
    };
    (0..DEVICES * templates).map(sensor).collect()
}

/// One of a home's Home Assistant configurations.
fn configuration(n: usize) -> Said {
    let (device, entity) = (n % DEVICES, n / DEVICES);
    let component = ["sensor", "sensor", "binary_sensor", "switch", "number"][entity % 5];
    let state = format!("home/device-{device}/state");
    let mut config = json!({
        "unique_id": format!("device-{device}-{entity}"),
        "name": format!("Entity {entity}"),
        "state_topic": state,
        "availability_topic": format!("home/device-{device}/availability"),
        "value_template": format!("{{{{ value_json.entity_{entity} | round({}) }}}}", n % 7),
        "device": {
            "identifiers": [format!("device-{device}")],
            "connections": [["mac", format!("02:00:00:00:00:{device:02x}")]],
            "name": format!("Device {device}"),
            "manufacturer": "Acme",
            "model": "T1",
            "sw_version": "1.2.3",
        },
    });
    match component {
        "sensor" => {
            config["unit_of_measurement"] = json!("°C");
            config["device_class"] = json!("temperature");
            config["state_class"] = json!("measurement");
        }
        "binary_sensor" => {}
        _ => config["command_topic"] = json!(format!("home/device-{device}/{entity}/set")),
    }
    let topic = format!("homeassistant/{component}/device-{device}/entity_{entity}/config");
    (topic, config.to_string().into_bytes())
}
