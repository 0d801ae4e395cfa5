use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tarn_tests::device::Device;
use tarn_tests::http::Http;
use tarn_tests::process::{Launch, Service};
use tarn_tests::sse::Sse;
use tarn_tests::{tools, wait};

/// From a publish to the event, at most.
const SOON: Duration = Duration::from_secs(1);
/// For what else has to come.
const LIMIT: Duration = Duration::from_secs(20);

fn start(folder: &std::path::Path, home: &str) -> Service {
    Launch::edge(folder, home)
        .arg("--discovery-prefix", "homeassistant")
        .serve()
}

fn metric(http: &Http, edge: &Service, name: &str) -> u64 {
    let text = http.get(&edge.url("/metrics"), "*/*").text();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{name} is no metric"))
}

fn of(sse: &mut Sse, device: &str, limit: Duration) -> (Value, Instant) {
    let event = sse.wait_for(device, limit, |event| {
        event.name == "reading" && event.data["device"] == device
    });
    (event.data, event.at)
}

/// A reading reaches everybody who listens, at once and once, also him who was away for a while.
#[test]
fn readings_come_as_they_are_published() {
    let folder = tools::folder("live");
    let mut edge = start(folder.path(), "live");
    let http = Http::new();
    let device = Device::silent(edge.mqtt_port(), "sensor");
    let url = edge.url("/v1/homes/live/live?kind=reading");
    // What came before anybody listened is no event, and reading it costs nothing.
    device.publish("hall/temperature", "18 °C");
    device.wait_acked();
    let readings = edge.url("/v1/homes/live/devices/hall/readings?fresh=5s");
    let page = http.json(&readings);
    assert_eq!(page["readings"][0]["value"], 18.0, "{page}");
    assert_eq!(page["fresh"]["complete"], true, "{page}");
    assert_eq!(metric(&http, &edge, "tarn_live_records_total"), 0);

    let mut app = Sse::open(&url, None);
    let mut wall = Sse::open(&url, None);
    assert_eq!(metric(&http, &edge, "tarn_live_listeners"), 2);
    device.publish("hall/temperature", "19.5 °C");
    for sse in [&mut app, &mut wall] {
        let (data, _) = of(sse, "hall", SOON);
        let said = (&data["metric"], &data["value"], &data["unit"]);
        assert_eq!(said, (&json!("temperature"), &json!(19.5), &json!("°C")));
    }

    // Away for a while, and back: nothing is lost and nothing comes twice.
    let id = app.last_id().to_owned();
    drop(app);
    for (room, value) in [("attic", "1"), ("bath", "2"), ("cellar", "3")] {
        device.publish(&format!("{room}/temperature"), value);
        of(&mut wall, room, SOON);
    }
    let mut app = Sse::open(&url, Some(&id));
    device.publish("den/temperature", "4");
    for (room, value) in [("attic", 1.0), ("bath", 2.0), ("cellar", 3.0), ("den", 4.0)] {
        let event = app.wait_for(room, LIMIT, |event| event.data["device"] != "tarn");
        assert_eq!(
            (&event.data["device"], &event.data["value"]),
            (&json!(room), &json!(value))
        );
    }

    // An id of another process: a reset, and the latest value of each series.
    let mut stranger = Sse::open(&url, Some("0123456789abcdef-17"));
    let first = stranger.next(SOON).expect("an event");
    assert_eq!(first.name, "reset", "{first:?}");
    assert_eq!(of(&mut stranger, "hall", SOON).0["value"], 19.5);

    // How long it takes from a publish to its event.
    let mut took = Vec::new();
    for n in 0..40 {
        let (room, sent) = (format!("room{n}"), Instant::now());
        device.publish(&format!("{room}/temperature"), n.to_string());
        took.push(of(&mut wall, &room, SOON).1.duration_since(sent));
    }
    took.sort();
    eprintln!(
        "publish to event: p50 {:?}, p95 {:?}, max {:?}",
        took[20], took[38], took[39]
    );

    // Listeners do not hold a stopping box up.
    let stopping = Instant::now();
    assert_eq!(edge.terminate(), 0);
    assert!(
        stopping.elapsed() < Duration::from_secs(4),
        "{:?}",
        stopping.elapsed()
    );
    edge.assert_quiet(&[]);
}

/// A fast sensor is told by its latest value, and every value is in the lake all the same.
#[test]
fn a_fast_sensor_is_told_by_its_latest_value() {
    let folder = tools::folder("live-fast");
    let edge = start(folder.path(), "fast");
    let http = Http::new();
    let device = Device::silent(edge.mqtt_port(), "meter");
    let mut app = Sse::open(&edge.url("/v1/homes/fast/live?device=meter"), None);
    for n in 1..=500 {
        device.publish("meter/power", n.to_string());
    }
    let mut events = 1;
    while of(&mut app, "meter", SOON).0["value"] != 500.0 {
        events += 1;
    }
    assert!(events < 100, "{events} events");
    let page = http.json(&edge.url("/v1/homes/fast/devices/meter/readings?limit=1000"));
    assert_eq!(page["readings"].as_array().map(Vec::len), Some(500));
    assert!(metric(&http, &edge, "tarn_live_coalesced_total") > 300);
    edge.assert_quiet(&[]);
}

/// A counter goes on live where it stood, over a reset and a cut, and what listeners are shown changes nothing in
/// what is stored. A device that goes is told.
#[test]
fn counters_and_presence_are_told() {
    let folder = tools::folder("live-counter");
    let edge = start(folder.path(), "counter");
    let http = Http::new();
    let device = Device::silent(edge.mqtt_port(), "meter");
    let config = json!({
        "name": "Energy", "unique_id": "m1_energy", "state_topic": "m1/energy", "unit_of_measurement": "kWh",
        "state_class": "total_increasing", "device_class": "energy", "availability_topic": "m1/status",
        "device": {"identifiers": ["m1"], "name": "Meter"},
    });
    device.publish_retained("homeassistant/sensor/m1/energy/config", config.to_string());
    for value in ["100", "110", "0", "5"] {
        device.publish("m1/energy", value);
    }
    device.wait_acked();
    let known = || {
        let devices = http.json(&edge.url("/v1/homes/counter/devices"));
        let devices = devices["devices"].as_array().cloned().unwrap_or_default();
        devices.into_iter().find(|d| d["name"] == "Meter")
    };
    let id = wait::until(LIMIT, "the meter should be known", known)["device"].clone();
    let id = id.as_str().expect("an id");
    let url = edge.url(&format!("/v1/homes/counter/live?device={id}"));
    let mut app = Sse::open(&url, None);
    device.publish("m1/energy", "7");
    let total = app.wait_for("the total", SOON, |event| {
        let metric = event.data["metric"].as_str();
        metric.is_some_and(|metric| metric.ends_with(".cumulative"))
    });
    assert_eq!(total.data["value"], 117.0, "{total:?}");
    for (word, online) in [("online", true), ("offline", false)] {
        device.publish("m1/status", word);
        let event = app.wait_for(word, SOON, |event| event.name == "presence");
        assert_eq!(
            (&event.data["id"], &event.data["online"]),
            (&json!(id), &json!(online))
        );
    }
    let metric = total.data["metric"].as_str().expect("a name").to_owned();
    let path = format!("/v1/homes/counter/devices/{id}/readings?metric={metric}");
    let page = http.json(&edge.url(&path));
    let values: Vec<_> = page["readings"].as_array().expect("readings").clone();
    let values: Vec<_> = values.iter().map(|r| r["value"].clone()).collect();
    assert_eq!(
        values,
        [100.0, 110.0, 110.0, 115.0, 117.0].map(|v| json!(v)),
        "{page}"
    );
    edge.assert_quiet(&[]);
}
