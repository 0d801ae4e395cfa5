//! Devices by what they say themselves: real clients at the broker, the REST interface, and plain Parquet readers.

/// Readings of the past, each once.
mod backlog;
/// Devices that change, go, and come back.
mod changes;
/// Each kind of thing that can be set.
mod components;
/// Each convention: learnt, read, set.
mod conventions;
/// Counters that go on over resets.
mod counters;
/// What REST answered is not forgotten.
mod durable;
/// Firmwares and bridges with topics of their own.
mod firmware;
/// A home of many devices.
mod many;
/// One device out of many voices.
mod merging;
/// The box as a device of Home Assistant.
mod self_discovery;
/// A Sparkplug node, whose payloads are not text.
mod sparkplug;
/// Discovery and payloads that are wrong.
mod wrong_input;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tarn_tests::device::{Answers, Device};
use tarn_tests::http::{Answer, Http};
use tarn_tests::process::{Launch, Service};
use tarn_tests::{python, tools, wait};
use tempfile::TempDir;

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A box with a store of its own, and who talks to it.
pub(crate) struct House {
    pub(crate) name: &'static str,
    pub(crate) folder: TempDir,
    pub(crate) edge: Service,
    pub(crate) http: Http,
}

impl House {
    /// A box that cuts whenever it has had readings for a second.
    pub(crate) fn new(name: &'static str) -> House {
        House::cutting_after(name, "1s")
    }

    /// A box that cuts when readings are so old, or when it is stopped.
    fn cutting_after(name: &'static str, age: &str) -> House {
        House::started(name, |launch| launch.arg("--cut-age", age))
    }

    /// A box with these arguments.
    pub(crate) fn started(name: &'static str, with: impl FnOnce(Launch) -> Launch) -> House {
        let folder = tools::folder(name);
        let store = format!("file://{}/store", folder.path().display());
        let launch = Launch::edge(folder.path(), name).store(&store, &[]);
        let edge = with(launch).serve();
        House {
            name,
            folder,
            edge,
            http: Http::new(),
        }
    }

    pub(crate) fn store(&self) -> String {
        format!("file://{}/store", self.folder.path().display())
    }

    /// A client that only publishes.
    pub(crate) fn publisher(&self) -> Device {
        Device::silent(self.edge.mqtt_port(), &client_id())
    }

    /// A device that listens to this topic and answers.
    pub(crate) fn device(
        &self,
        filter: &str,
        answer: impl Fn(&str, &[u8]) -> Answers + Send + 'static,
    ) -> Device {
        Device::connect(self.edge.mqtt_port(), &client_id(), &[filter], answer)
    }

    /// Publishes these and waits until the box has them.
    pub(crate) fn publish(&self, messages: &[(&str, &[u8])]) {
        let client = self.publisher();
        for (topic, payload) in messages {
            client.publish(topic, *payload);
        }
        client.wait_acked();
    }

    /// The URL of a path below the home.
    pub(crate) fn url(&self, path: &str) -> String {
        self.edge.url(&format!("/v1/homes/{}{path}", self.name))
    }

    /// The URL of a path below a device.
    pub(crate) fn device_url(&self, id: &str, path: &str) -> String {
        self.url(&format!("/devices/{}{path}", id.replace('/', "%2F")))
    }

    /// Waits until something is known that measures this.
    pub(crate) fn wait_measured(&self, metric: &str) {
        wait::until_true(LIMIT, format!("{metric} should be known"), || {
            let list = self
                .http
                .json(&self.url(&format!("/latest?metric={metric}")));
            list["latest"].as_array().is_some_and(|all| !all.is_empty())
        });
    }

    /// The ids of the devices in the list.
    fn ids(&self) -> Vec<String> {
        let list = self.http.json(&self.url("/devices"));
        let devices = list["devices"].as_array().expect("a list");
        devices
            .iter()
            .map(|device| device["device"].as_str().expect("an id").to_owned())
            .collect()
    }

    /// What is known of a device by its announcements or faults; null where nothing is.
    pub(crate) fn announced(&self, id: &str) -> Value {
        let answer = self.http.get(&self.device_url(id, ""), "application/json");
        if answer.status == 404 {
            return Value::Null;
        }
        answer.json(id)["announced"].clone()
    }

    /// Waits for the device with this identifier and gives what it announced.
    pub(crate) fn wait_device(&self, identifier: &str) -> Value {
        let what = format!("{identifier} should be known");
        wait::until(LIMIT, what, || {
            let ids = self.ids().into_iter();
            let mut devices = ids.map(|id| self.announced(&id));
            devices.find(|device| {
                let identifiers = device["identifiers"].as_array();
                identifiers.is_some_and(|all| all.iter().any(|one| one == identifier))
            })
        })
    }

    /// Waits for the device with this identifier and gives its id.
    pub(crate) fn wait_id(&self, identifier: &str) -> String {
        let device = self.wait_device(identifier);
        device["device"].as_str().expect("an id").to_owned()
    }

    /// Waits until a metric of a device can be set.
    pub(crate) fn wait_settable(&self, id: &str, metric: &str) {
        let what = format!("{metric} of {id} should be settable");
        wait::until_true(LIMIT, what, || {
            let announced = self.announced(id);
            let features = announced["features"].as_array().into_iter().flatten();
            let mut settable = features.filter(|feature| feature["settable"] == true);
            settable.any(|feature| feature["metric"] == metric)
        });
    }

    /// Asks for a metric to be set: the status and the answer.
    pub(crate) fn set(&self, id: &str, metric: &str, value: &Value, query: &str) -> Answer {
        let url = self.device_url(id, &format!("/desired?{query}"));
        self.http.patch(&url, &json!({ metric: value }))
    }

    /// The only command of a good answer.
    pub(crate) fn set_command(
        &self,
        id: &str,
        metric: &str,
        value: &Value,
        query: &str,
    ) -> (u16, Value) {
        let answer = self.set(id, metric, value, query);
        let document = answer.json(&format!("{id} {metric}"));
        let commands = document["commands"].as_array().expect("commands");
        assert_eq!(commands.len(), 1, "{document}");
        (answer.status, commands[0].clone())
    }

    /// The store's rows, as DuckDB reads them.
    fn rows(&self) -> Vec<Row> {
        rows_of("duckdb", &self.store())
    }

    /// Waits until the store has what is looked for, and gives all its rows.
    fn wait_rows(&self, what: &str, test: impl Fn(&[Row]) -> bool) -> Vec<Row> {
        wait::until(LIMIT, what, || Some(self.rows()).filter(|rows| test(rows)))
    }

    /// Waits until the store has so many rows of a metric.
    fn wait_count(&self, device: &str, metric: &str, count: usize) -> Vec<Row> {
        let what = format!("{count} rows of {metric} should be in the store");
        self.wait_rows(&what, |rows| of(rows, device, metric).len() >= count)
    }

    /// The box's metrics.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let text = self.http.get(&self.edge.url("/metrics"), "*/*").text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }
}

/// A row of the lake.
#[derive(Clone, PartialEq)]
struct Row {
    ts: i64,
    device: String,
    metric: String,
    value: Option<f64>,
    text: Option<String>,
    unit: Option<String>,
    quality: i64,
}

/// One line, for the messages of failed scenarios.
impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Row {
            ts,
            device,
            metric,
            value,
            text,
            unit,
            quality,
        } = self;
        write!(
            f,
            "{ts} {device} {metric} = {value:?} {text:?} {unit:?} quality {quality}"
        )
    }
}

/// The rows of a store, in the order of time, as an engine reads them.
fn rows_of(engine: &str, store: &str) -> Vec<Row> {
    let text = |row: &Value, key: &str| row[key].as_str().map(str::to_owned);
    let row = |row: Value| Row {
        ts: row["ts"].as_i64().expect("a time"),
        device: text(&row, "device").expect("a device"),
        metric: text(&row, "metric").expect("a metric"),
        value: row["value"].as_f64(),
        text: text(&row, "text"),
        unit: text(&row, "unit"),
        quality: row["quality"].as_i64().expect("a quality"),
    };
    let rows = python::read_lake(engine, store, "whole_rows", &[]);
    rows.into_iter().map(row).collect()
}

/// The rows of one metric.
fn of<'r>(rows: &'r [Row], device: &str, metric: &str) -> Vec<&'r Row> {
    rows.iter()
        .filter(|row| row.device == device && row.metric == metric)
        .collect()
}

/// The numbers of one metric.
fn values(rows: &[Row], device: &str, metric: &str) -> Vec<f64> {
    let rows = of(rows, device, metric).into_iter();
    rows.filter_map(|row| row.value).collect()
}

/// An id that no other client of this test binary has.
pub(crate) fn client_id() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("client-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A device that answers nothing.
pub(crate) fn mute(_: &str, _: &[u8]) -> Answers {
    Vec::new()
}

/// A recorded message of the fixtures.
fn fixture(name: &str) -> Vec<u8> {
    let path = tools::source("../devices/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}
