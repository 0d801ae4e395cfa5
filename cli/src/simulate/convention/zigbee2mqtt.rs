//! Zigbee2MQTT: a bridge that lists its devices with all they can do, and one JSON state for each.
//!
//! ```text
//! zigbee2mqtt/bridge/state              (retained)  online | {"state":"online"}
//! zigbee2mqtt/bridge/devices            (retained)  [{"ieee_address":…,"definition":{"exposes":[…]}},…]
//! zigbee2mqtt/<name>/availability       (retained)  online | {"state":"online"}
//! zigbee2mqtt/<name>                                {"state":"ON","power":56.3,…}
//! zigbee2mqtt/<name>/set, …/set/state, …/get        what it hears
//! ```
//!
//! The second and further clients have a base topic of their own, `zigbee2mqtt-2` and so on, as
//! homes with two coordinators must.

/// What a bridge tells of a kind of device.
mod exposes;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use mqtt_proto::TopicName;
use serde_json::{Value as Json, json};

use super::{Device, Turn, payload_text, scalar_text};
use crate::simulate::channel::link_quality;
use crate::simulate::fault::Oddity;
use crate::simulate::identity::Identity;
use crate::simulate::message::{Keep, Message, Outbox, topic};
use crate::simulate::signal::{Dice, SimTime};
use crate::simulate::thing::{Property, Thing};
use crate::simulate::values::Value;

use exposes::{exposes, product};

/// What all devices of one coordinator share.
#[derive(Debug, Clone)]
pub(in crate::simulate) struct Network {
    base: String,
    /// Old versions say `online`, new ones `{"state":"online"}`.
    plain_availability: bool,
    bridge: Arc<BridgeState>,
}

/// What the devices must know of their bridge: while it is down, nobody speaks for them.
#[derive(Debug, Default)]
struct BridgeState {
    is_up: AtomicBool,
    /// How often it has started: it then tells of each device anew.
    starts: AtomicU64,
}

impl Network {
    /// The network of one client; every second one runs an old version.
    pub(in crate::simulate) fn new(client: u64) -> Network {
        Network {
            base: match client {
                0 => "zigbee2mqtt".to_owned(),
                _ => format!("zigbee2mqtt-{}", client + 1),
            },
            plain_availability: client % 2 == 1,
            bridge: Arc::default(),
        }
    }

    fn is_up(&self) -> bool {
        self.bridge.is_up.load(Relaxed)
    }

    fn word(&self, online: bool) -> &'static str {
        match (self.plain_availability, online) {
            (true, true) => "online",
            (true, false) => "offline",
            (false, true) => r#"{"state":"online"}"#,
            (false, false) => r#"{"state":"offline"}"#,
        }
    }
}

/// The bridge itself.
#[derive(Debug)]
pub(in crate::simulate) struct Bridge {
    network: Network,
    state: TopicName,
    devices: TopicName,
    list: Bytes,
}

impl Bridge {
    /// The bridge of these devices.
    pub(in crate::simulate) fn new(
        network: Network,
        coordinator: Identity,
        devices: &[Zigbee],
    ) -> Bridge {
        let mut list = vec![json!({
            "ieee_address": coordinator.ieee(),
            "type": "Coordinator",
            "network_address": 0,
            "supported": true,
            "friendly_name": "Coordinator",
            "definition": null,
            "endpoints": {}
        })];
        list.extend(devices.iter().map(Zigbee::entry));
        Bridge {
            state: topic(&format!("{}/bridge/state", network.base)),
            devices: topic(&format!("{}/bridge/devices", network.base)),
            list: Bytes::from(Json::Array(list).to_string()),
            network,
        }
    }
}

impl Device for Bridge {
    fn turn(&self) -> Turn {
        Turn::Never
    }

    fn announce(&mut self, at: SimTime, out: &mut Outbox) {
        self.availability(true, at, out);
    }

    fn report(&mut self, _at: SimTime, _odd: Option<Oddity>, _out: &mut Outbox) {}

    fn availability(&mut self, online: bool, _at: SimTime, out: &mut Outbox) {
        out.word(&self.state, Keep::Retained, self.network.word(online));
        self.network.bridge.is_up.store(online, Relaxed);
        if online {
            self.network.bridge.starts.fetch_add(1, Relaxed);
            out.bytes(&self.devices, Keep::Retained, self.list.clone());
        }
    }

    fn will(&self) -> Option<Message> {
        Some(Message {
            topic: self.state.clone(),
            payload: Bytes::from_static(self.network.word(false).as_bytes()),
            retain: true,
        })
    }

    fn connection_lost(&mut self, _at: SimTime, out: &mut Outbox) {
        out.word(&self.state, Keep::Retained, self.network.word(true));
    }
}

/// One device of the network.
#[derive(Debug)]
pub(in crate::simulate) struct Zigbee {
    network: Network,
    name: String,
    identity: Identity,
    thing: Thing,
    dice: Dice,
    state: TopicName,
    availability: TopicName,
    /// The start of the bridge since which it was told of.
    told_since: u64,
}

impl Zigbee {
    /// A device under its friendly name, which may contain `/`.
    pub(in crate::simulate) fn new(
        network: &Network,
        name: &str,
        identity: Identity,
        thing: Thing,
        dice: Dice,
    ) -> Zigbee {
        let base = &network.base;
        Zigbee {
            network: network.clone(),
            name: name.to_owned(),
            identity,
            thing,
            dice,
            state: topic(&format!("{base}/{name}")),
            availability: topic(&format!("{base}/{name}/availability")),
            told_since: 0,
        }
    }

    /// Whether this is its friendly name.
    pub(in crate::simulate) fn is_named(&self, name: &str) -> bool {
        self.name == name
    }

    /// Its place in the list of the bridge.
    fn entry(&self) -> Json {
        let (vendor, model, description) = product(self.thing.kind());
        let battery = self.thing.properties().iter().any(|p| p.name == "battery");
        json!({
            "ieee_address": self.identity.ieee(),
            "type": if battery { "EndDevice" } else { "Router" },
            "network_address": 1_000 + u32::from(self.identity.low_u16()),
            "supported": true,
            "disabled": false,
            "friendly_name": self.name,
            "definition": {
                "model": model,
                "vendor": vendor,
                "description": description,
                "exposes": exposes(&self.thing),
                "options": [],
                "supports_ota": false
            },
            "power_source": if battery { "Battery" } else { "Mains (single phase)" },
            "model_id": model,
            "interviewing": false,
            "interview_completed": true
        })
    }

    fn tell(&self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        if !self.network.is_up() {
            return;
        }
        let mut values = self.thing.read(at);
        values.add("linkquality", Value::Whole(link_quality(self.dice, at)));
        values.spoil(odd);
        out.json(&self.state, Keep::Live, &values);
    }

    fn set(&mut self, document: &Json, at: SimTime) -> bool {
        let Json::Object(wanted) = document else {
            return false;
        };
        let mut changed = false;
        for (name, value) in wanted {
            let text = scalar_text(value);
            changed |= text.is_some_and(|text| self.thing.write(name, &text, at));
        }
        changed
    }
}

impl Device for Zigbee {
    fn turn(&self) -> Turn {
        match self.thing.tells_changes() {
            true => Turn::OnChange,
            false => Turn::Regular(1),
        }
    }

    fn state(&self, at: SimTime) -> bool {
        self.thing.is_on(at)
    }

    fn announce(&mut self, at: SimTime, out: &mut Outbox) {
        self.told_since = self.network.bridge.starts.load(Relaxed);
        self.availability(true, at, out);
        self.tell(at, None, out);
    }

    fn follow_up(&mut self, at: SimTime, out: &mut Outbox) {
        if self.told_since != self.network.bridge.starts.load(Relaxed) {
            self.announce(at, out);
        }
    }

    fn report(&mut self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        self.tell(at, odd, out);
    }

    fn availability(&mut self, online: bool, _at: SimTime, out: &mut Outbox) {
        if self.network.is_up() {
            let word = self.network.word(online);
            out.word(&self.availability, Keep::Retained, word);
        }
    }

    fn power_up(&mut self, resets: bool, at: SimTime) {
        if let Some(meter) = self.thing.meter().filter(|_| resets) {
            meter.reset(at);
        }
    }

    fn read_zero(&mut self, zero: bool) {
        if let Some(meter) = self.thing.meter() {
            meter.read_zero(zero);
        }
    }

    fn hears(&self) -> Vec<TopicName> {
        let settable = |property: &&Property| property.settable;
        let mut topics: Vec<TopicName> = self
            .thing
            .properties()
            .iter()
            .filter(settable)
            .map(|property| topic(&format!("{}/set/{}", &*self.state, property.name)))
            .collect();
        if !topics.is_empty() {
            topics.push(topic(&format!("{}/set", &*self.state)));
            topics.push(topic(&format!("{}/get", &*self.state)));
        }
        topics
    }

    fn hear(&mut self, on: &str, payload: &[u8], at: SimTime, out: &mut Outbox) {
        let Some(verb) = on
            .strip_prefix(&*self.state)
            .filter(|_| self.network.is_up())
        else {
            return;
        };
        let changed = match verb.strip_prefix("/set/") {
            Some(name) => {
                payload_text(payload).is_some_and(|text| self.thing.write(name, text, at))
            }
            None if verb == "/set" => {
                // A bare word stands for the state.
                let document = serde_json::from_slice(payload)
                    .unwrap_or_else(|_| json!({"state": payload_text(payload)}));
                self.set(&document, at)
            }
            None => verb == "/get",
        };
        if changed {
            self.tell(at, None, out);
        }
    }
}
