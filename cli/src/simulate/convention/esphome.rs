//! ESPHome over MQTT: one retained scalar for each entity, and discovery in abbreviations.
//!
//! ```text
//! <node>/status                            (retained)  online | offline
//! <node>/sensor/<object>/state             (retained)  21.4
//! <node>/switch/<object>/state, …/command  (retained)  ON
//! <node>/button/restart/command                        PRESS
//! esphome/discover/<node>                  (retained)  {"ip":…,"name":…,"mac":…}
//! homeassistant/sensor/<node>/<object>/config (retained)
//! ```

use bytes::Bytes;
use mqtt_proto::TopicName;
use serde_json::json;

use super::home_assistant::discovery::{Announced, abbreviate, describe};
use super::{Device, Turn, payload_text};
use crate::simulate::fault::Oddity;
use crate::simulate::identity::Identity;
use crate::simulate::message::{Keep, Outbox, topic};
use crate::simulate::signal::SimTime;
use crate::simulate::thing::{Domain, Property, Thing};
use crate::simulate::values::{Value, Values};

/// One entity: a property of one of the things on the node.
#[derive(Debug)]
struct Entity {
    thing: usize,
    property: &'static Property,
    state: TopicName,
    command: Option<TopicName>,
}

/// One board with several things on it.
#[derive(Debug)]
pub(in crate::simulate) struct Node {
    things: Vec<Thing>,
    entities: Vec<Entity>,
    discovery: Vec<Announced>,
    status: TopicName,
    restart: TopicName,
    next: usize,
}

impl Node {
    /// A node of that name, each thing under a name of its own.
    pub(in crate::simulate) fn new(
        node: &str,
        identity: Identity,
        things: Vec<(&str, Thing)>,
    ) -> Node {
        let device = json!({
            "identifiers": identity.mac().to_lowercase(),
            "name": node,
            "sw_version": "esphome v2024.6.0",
            "model": "esp32dev",
            "manufacturer": "espressif"
        });
        let mut discovery = vec![discover(node, identity)];
        let mut entities = Vec::new();
        for (index, (prefix, thing)) in things.iter().enumerate() {
            for property in thing.properties() {
                let object = format!("{prefix}_{}", property.name);
                let mut config = json!({
                    "name": object.replace('_', " "),
                    "unique_id": format!("{}{object}", identity.mac().to_lowercase()),
                    "availability_topic": format!("{node}/status"),
                    "device": device
                });
                let component = describe(property, &mut config);
                // Whatever the thing calls them, ESPHome says ON and OFF.
                if matches!(property.domain, Domain::Flag | Domain::Switch { .. }) {
                    config["payload_on"] = "ON".into();
                    config["payload_off"] = "OFF".into();
                }
                let base = format!("{node}/{component}/{object}");
                let state = format!("{base}/state");
                config["state_topic"] = state.as_str().into();
                let command = property.settable.then(|| format!("{base}/command"));
                if let Some(command) = &command {
                    config["command_topic"] = command.as_str().into();
                }
                let config = config.as_object().cloned().unwrap_or_default();
                discovery.push(Announced {
                    topic: topic(&format!("homeassistant/{component}/{node}/{object}/config")),
                    payload: Bytes::from(abbreviate(config).to_string()),
                });
                entities.push(Entity {
                    thing: index,
                    property,
                    state: topic(&state),
                    command: command.as_deref().map(topic),
                });
            }
        }
        discovery.push(restart_button(node, identity));
        Node {
            things: things.into_iter().map(|(_, thing)| thing).collect(),
            entities,
            discovery,
            status: topic(&format!("{node}/status")),
            restart: topic(&format!("{node}/button/restart/command")),
            next: 0,
        }
    }

    fn tell(&self, entity: &Entity, values: &Values, out: &mut Outbox) {
        let name = entity.property.name;
        match (values.get(name), &entity.property.domain) {
            (Some(Value::Word(word)), Domain::Switch { on, .. }) => {
                let word = if word == on { "ON" } else { "OFF" };
                out.word(&entity.state, Keep::Retained, word);
            }
            (Some(value), _) => out.text(&entity.state, Keep::Retained, value),
            // Odd firmware left it out.
            (None, _) => {}
        }
    }

    fn tell_thing(&self, thing: usize, at: SimTime, out: &mut Outbox) {
        let values = self.things[thing].read(at);
        for entity in self.entities.iter().filter(|own| own.thing == thing) {
            self.tell(entity, &values, out);
        }
    }
}

impl Device for Node {
    fn turn(&self) -> Turn {
        Turn::Regular(self.entities.len().div_ceil(2))
    }

    fn announce(&mut self, at: SimTime, out: &mut Outbox) {
        self.availability(true, at, out);
        for one in &self.discovery {
            out.bytes(&one.topic, Keep::Retained, one.payload.clone());
        }
        for thing in 0..self.things.len() {
            self.tell_thing(thing, at, out);
        }
    }

    /// One entity in each turn, because each has an interval of its own.
    fn report(&mut self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        let entity = &self.entities[self.next % self.entities.len()];
        let mut values = self.things[entity.thing].read(at);
        values.retain(|name| name == entity.property.name);
        values.spoil(odd);
        self.tell(entity, &values, out);
        self.next += 1;
    }

    fn availability(&mut self, online: bool, _at: SimTime, out: &mut Outbox) {
        let word = if online { "online" } else { "offline" };
        out.word(&self.status, Keep::Retained, word);
    }

    /// A board forgets what it counted: ESPHome keeps totals only where it is told to.
    fn power_up(&mut self, resets: bool, at: SimTime) {
        for meter in self
            .things
            .iter_mut()
            .filter_map(Thing::meter)
            .filter(|_| resets)
        {
            meter.reset(at);
        }
    }

    fn read_zero(&mut self, zero: bool) {
        for meter in self.things.iter_mut().filter_map(Thing::meter) {
            meter.read_zero(zero);
        }
    }

    fn hears(&self) -> Vec<TopicName> {
        let mut topics: Vec<TopicName> = self
            .entities
            .iter()
            .filter_map(|entity| entity.command.clone())
            .collect();
        topics.push(self.restart.clone());
        topics
    }

    fn hear(&mut self, on: &str, payload: &[u8], at: SimTime, out: &mut Outbox) {
        let Some(text) = payload_text(payload) else {
            return;
        };
        if on == &*self.restart {
            if text == "PRESS" {
                self.availability(false, at, out);
                self.announce(at, out);
            }
            return;
        }
        let is_meant = |entity: &&Entity| entity.command.as_deref() == Some(on);
        let Some(entity) = self.entities.iter().find(is_meant) else {
            return;
        };
        let (thing, name) = (entity.thing, entity.property.name);
        // Whatever the thing calls them, ESPHome's switches hear ON and OFF.
        let text = match (entity.property.domain, text) {
            (Domain::Switch { on, .. }, "ON") => on,
            (Domain::Switch { off, .. }, "OFF") => off,
            _ => text,
        };
        if self.things[thing].write(name, text, at) {
            self.tell_thing(thing, at, out);
        }
    }
}

fn discover(node: &str, identity: Identity) -> Announced {
    let document = json!({
        "ip": identity.ip(),
        "name": node,
        "friendly_name": node,
        "port": 6053,
        "version": "2024.6.0",
        "mac": identity.mac().to_lowercase(),
        "platform": "ESP32",
        "board": "esp32dev",
        "network": "wifi"
    });
    Announced {
        topic: topic(&format!("esphome/discover/{node}")),
        payload: Bytes::from(document.to_string()),
    }
}

fn restart_button(node: &str, identity: Identity) -> Announced {
    let config = json!({
        "name": "Restart",
        "pl_prs": "PRESS",
        "cmd_t": format!("{node}/button/restart/command"),
        "avty_t": format!("{node}/status"),
        "uniq_id": format!("{}restart", identity.mac().to_lowercase()),
        "dev": {"ids": identity.mac().to_lowercase(), "name": node}
    });
    Announced {
        topic: topic(&format!("homeassistant/button/{node}/restart/config")),
        payload: Bytes::from(config.to_string()),
    }
}
