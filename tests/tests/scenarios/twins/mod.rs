use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tarn_common::{
    clock::{Clock, SystemClock},
    twin::{
        document::{DocumentId, Section},
        edit::Edit,
        replica::Replica,
        sync,
    },
};
use tarn_tests::{
    device::Device,
    http::{Answer, Http},
    wait,
};

use crate::devices::{House, LIMIT};

/// Twins in the store of a box that has no cloud.
mod bucket;
/// What is wanted of devices, over power cuts.
mod commands;
/// Names and rooms.
mod names;
/// Other nodes of the home.
mod peers;
/// What devices say.
mod reported;

/// How often something is looked at.
const PAUSE: Duration = Duration::from_millis(20);
/// A device that has something of everything.
pub(crate) const GADGET: &str = "ha:gadget";

/// Announces the gadget, and gives its id once it has a twin that knows what is safe of its door.
pub(crate) fn announce(house: &House) -> String {
    let config = json!({
        "dev": {"ids": ["gadget"], "name": "Gadget"},
        "o": {"name": "test"},
        "cmps": {
            "plug": {"p": "switch", "name": "Plug", "unique_id": "plug", "stat_t": "g/plug", "cmd_t": "g/plug/set"},
            "dial": {"p": "number", "name": "Dial", "unique_id": "dial", "stat_t": "g/dial", "cmd_t": "g/dial/set", "min": 5, "max": 30, "step": 0.5},
            "door": {"p": "lock", "name": "Door", "unique_id": "door", "stat_t": "g/door", "cmd_t": "g/door/set"},
            "bell": {"p": "button", "name": "Bell", "unique_id": "bell", "cmd_t": "g/bell/set"},
            "blind": {"p": "cover", "name": "Blind", "unique_id": "blind", "stat_t": "g/blind", "cmd_t": "g/blind/set"},
            "power": {"p": "sensor", "name": "Power", "unique_id": "power", "stat_t": "g/power", "dev_cla": "power", "unit_of_meas": "W"},
            "heat": {"p": "sensor", "name": "Heat", "unique_id": "heat", "stat_t": "g/heat", "dev_cla": "temperature", "unit_of_meas": "°C"},
        },
    });
    house
        .publisher()
        .publish_retained("homeassistant/device/gadget/config", config.to_string());
    let id = house.wait_id(GADGET);
    wait::until_true(LIMIT, "the gadget should have a twin", || {
        let changes = history(house, &id);
        changes
            .iter()
            .any(|change| change["section"] == "policy" && change["attribute"] == "door")
    });
    id
}

/// The gadget at its broker: it does what it is told and says so.
pub(crate) fn gadget(house: &House) -> Device {
    house.device("g/+/set", |topic, payload| {
        let state = match payload {
            b"LOCK" => b"LOCKED".to_vec(),
            b"UNLOCK" => b"UNLOCKED".to_vec(),
            other => other.to_vec(),
        };
        vec![(topic.trim_end_matches("/set").to_owned(), state)]
    })
}

/// What a device was told on one topic.
pub(crate) fn told(device: &Device, topic: &str) -> Vec<String> {
    let heard = device
        .heard()
        .into_iter()
        .filter(|heard| heard.topic == topic);
    heard
        .map(|heard| String::from_utf8_lossy(&heard.payload).into_owned())
        .collect()
}

/// A device as REST shows it.
pub(crate) fn shown(house: &House, id: &str) -> Value {
    house.http.json(&house.device_url(id, ""))
}

/// The twin of a device.
pub(crate) fn twin(house: &House, id: &str) -> Value {
    shown(house, id)["twin"].clone()
}

/// Waits until the twin passes the test, and gives it.
pub(crate) fn wait_twin(
    house: &House,
    id: &str,
    what: &str,
    test: impl Fn(&Value) -> bool,
) -> Value {
    wait_json(what, || twin(house, id), test)
}

fn wait_json(what: &str, look: impl Fn() -> Value, test: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let is_last = Instant::now() >= deadline;
        let found = look();
        if test(&found) {
            return found;
        }
        assert!(!is_last, "{what}, but it is {found:#}");
        std::thread::sleep(PAUSE);
    }
}

/// Waits until a metric is reported to be this.
pub(crate) fn wait_reported(house: &House, id: &str, metric: &str, value: &Value) {
    let what = format!("{metric} should be reported as {value}");
    wait_twin(house, id, &what, |twin| twin["reported"][metric] == *value);
}

/// The changes of a twin, latest first.
pub(crate) fn history(house: &House, id: &str) -> Vec<Value> {
    let url = house.device_url(id, "/history?limit=1000");
    let answer = house.http.get(&url, "application/json");
    if answer.status == 404 {
        return Vec::new();
    }
    answer.json(&url)["changes"]
        .as_array()
        .cloned()
        .expect("a list")
}

/// The conflicts of a device.
pub(crate) fn conflicts(house: &House, id: &str) -> Vec<Value> {
    let list = house.http.json(&house.device_url(id, "/conflicts"));
    list["conflicts"].as_array().cloned().expect("a list")
}

/// A command by its id.
pub(crate) fn command(house: &House, id: &str) -> Value {
    house.http.json(&house.url(&format!("/commands/{id}")))
}

/// Waits until a command has this status, and gives it.
pub(crate) fn wait_status(house: &House, id: &str, status: &str) -> Value {
    let what = format!("command {id} should be {status}");
    wait_json(
        &what,
        || command(house, id),
        |command| command["status"] == status,
    )
}

/// Asks for a metric of a device as somebody.
pub(crate) fn want(
    house: &House,
    id: &str,
    query: &str,
    headers: &[(&str, &str)],
    values: &Value,
) -> Answer {
    let url = house.device_url(id, &format!("/desired{query}"));
    let mut all = vec![("content-type", "application/json")];
    all.extend_from_slice(headers);
    house.http.request("PATCH", &url, &all, values.to_string())
}

/// Another node of the home: a replica in this process, which meets boxes over HTTP.
pub(crate) struct Peer {
    name: &'static str,
    pub(crate) replica: Replica,
    http: Http,
}

impl Peer {
    /// A node that knows nothing yet.
    pub(crate) fn new(name: &'static str) -> Peer {
        Peer {
            name,
            replica: Replica::new(name, false, rand::random()),
            http: Http::new(),
        }
    }

    /// Exchanges everything with a box.
    pub(crate) fn meet(&mut self, house: &House) {
        let mut bodies = sync::encode(&[self.replica.digest()]);
        for _ in 0..20 {
            let mut replies = Vec::new();
            for body in bodies {
                let answer = self.send(house, &body);
                assert_eq!(answer.status, 200, "{}", answer.text());
                replies.extend(frames(&answer.body));
            }
            bodies = replies
                .iter()
                .flat_map(|reply| self.receive(reply))
                .collect();
            if bodies.is_empty() {
                return;
            }
        }
        panic!("{} and the box have still something to say", self.name);
    }

    /// Sends one body to a box.
    pub(crate) fn send(&self, house: &House, body: &[u8]) -> Answer {
        let headers = [
            ("tarn-node", self.name),
            ("content-type", "application/octet-stream"),
        ];
        self.http
            .request("POST", &house.url("/sync"), &headers, body.to_vec())
    }

    fn receive(&mut self, body: &[u8]) -> Vec<Vec<u8>> {
        let now_ms = SystemClock.now_ms();
        let done = self.replica.exchange(sync::decode(body).expect("a body"));
        assert!(done.faults.is_empty(), "{:?}", done.faults);
        self.replica.commit(done.staged, now_ms);
        sync::encode(&done.replies)
    }

    /// Writes what is wanted of a device, and gives the id of the command.
    pub(crate) fn want(&mut self, device: &str, metric: &str, value: &Value, by: &str) -> String {
        self.want_at(device, metric, value, by, SystemClock.now_ms(), None)
    }

    /// The same at another time, for so many seconds.
    pub(crate) fn want_at(
        &mut self,
        device: &str,
        metric: &str,
        value: &Value,
        by: &str,
        now_ms: i64,
        ttl_s: Option<u32>,
    ) -> String {
        let edit = Edit::new(
            DocumentId::device(device),
            Section::Desired,
            metric,
            value.clone(),
        );
        let mut staged = self
            .replica
            .edit(&[edit.for_s(ttl_s)], by, now_ms)
            .expect("edits");
        let id = staged.ids.remove(0);
        self.replica.commit(staged, now_ms);
        id
    }
}

/// The bodies of an answer: each behind its length.
fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (body, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        bodies.push(body.to_vec());
        bytes = rest;
    }
    bodies
}
