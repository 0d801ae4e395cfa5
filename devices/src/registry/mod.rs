//! The devices of a home. Announcements go in, one device comes out for all that share an identifier, and a
//! [`Schema`] that says how each topic is read.
//!
//! What is kept over a restart is what was heard, not what was made of it ([`Saved`]): a later version
//! that understands more learns more from the same messages.

/// From the devices that speak on a topic to how it is read.
mod bind;
/// One device out of many announcements.
mod compile;
/// What a user changes.
mod edit;
/// Keys of a payload.
mod explore;
/// What is wrong, by device.
mod faults;
/// Which identifiers are one device.
mod identities;
/// From a message to what it changes.
mod learn;
/// What is kept over a restart.
mod saved;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};

use self::{compile::Claim, faults::Faults, identities::Identities};
pub use self::{
    faults::{FAULTS_PER_DEVICE_MAX, FaultRecord},
    identities::EditError,
    saved::{InvalidSaved, Saved},
};
use crate::{
    announcement::{About, Announcement, Availability, Mode},
    binding::{Meaning, Schema},
    convention::ConventionKind,
    fault::{Fault, FaultKind},
    identifier::Identifier,
    message::Message,
    point::{Component, Domain, StateClass, Words, Write},
    template::Template,
};

/// Devices that are known at most.
pub const DEVICES_MAX: usize = 10_000;
/// Topics that taught something, at most.
pub const SOURCES_MAX: usize = 50_000;
/// Bytes of what they said at most.
pub const SOURCES_BYTES_MAX: usize = 128 << 20;
/// Topics that are remembered as nobody's at most; past it they are looked at again.
pub const PLAIN_TOPICS_MAX: usize = 200_000;
/// Bytes of a topic that is remembered as nobody's; a longer one is looked at each time.
const PLAIN_TOPIC_BYTES_MAX: usize = 1024;
/// Keys of explored topics that are looked at, at most.
const EXPLORED_MAX: usize = 50_000;
/// Compiled templates at most; past it all are compiled anew as they are needed.
const TEMPLATES_MAX: usize = 50_000;

/// The devices of a home.
#[derive(Debug, Default)]
pub struct Registry {
    identities: Identities,
    sources: BTreeMap<u64, Source>,
    order_of: FxHashMap<String, u64>,
    next_order: u64,
    sources_bytes: usize,
    devices: BTreeMap<Arc<str>, Device>,
    /// Sources that speak of a device, in the order in which they were first heard.
    spoken_of: FxHashMap<Arc<str>, BTreeSet<u64>>,
    /// Devices that claim a topic.
    claimants: FxHashMap<Arc<str>, BTreeSet<Arc<str>>>,
    /// Sources that claim a `unique_id`, by component and id; the first of them has it.
    unique: FxHashMap<(Component, String), BTreeSet<u64>>,
    roles: FxHashMap<Box<str>, Role>,
    plain_topics: usize,
    schema: Arc<Schema>,
    templates: FxHashMap<String, Result<Arc<Template>, Fault>>,
    faults: Faults,
    presence: FxHashMap<Arc<str>, FxHashMap<Arc<str>, Said>>,
    /// Keys of explored topics that were looked at.
    explored: FxHashSet<(Box<str>, Box<str>)>,
}

/// What a topic is to the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// No device's.
    Plain,
    /// Its messages teach.
    Teaches(ConventionKind),
    /// A device's readings.
    Bound,
    /// The same, and it says who is there.
    Presence,
    /// A device's readings, whose keys may show what can be set.
    Explored,
}

/// What one topic (or part of a shared one) has said.
#[derive(Debug)]
struct Source {
    kind: ConventionKind,
    origin: Origin,
    topic: Box<str>,
    payload: Box<[u8]>,
    parts: Vec<Part>,
}

/// How a source came to be one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Origin {
    /// Its messages teach.
    Taught,
    /// Its first message was recognised.
    Recognised,
    /// A later message of a topic that was recognised had this metric.
    Discovered(String),
}

#[derive(Debug)]
struct Part {
    device: Arc<str>,
    announcement: Announcement,
}

/// When a topic last said whether a device is there.
#[derive(Debug, Clone, Copy)]
struct Said {
    online: bool,
    at_ms: i64,
}

/// A device, from all that was announced of it.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its id.
    pub id: Arc<str>,
    /// What names it.
    pub identifiers: Vec<Identifier>,
    /// Ids that its readings were kept under before.
    pub aliases: Vec<Arc<str>>,
    /// What it is; name and room as their user set them, if one did.
    pub about: About,
    /// Conventions that it speaks.
    pub conventions: BTreeSet<ConventionKind>,
    /// What it measures and how it is set, by metric.
    pub features: BTreeMap<Arc<str>, Feature>,
    /// Topics that are its own.
    pub topics: Vec<Arc<str>>,
    claims: BTreeMap<Arc<str>, Claim>,
    /// What its metrics mean, wherever they are told.
    meanings: Arc<FxHashMap<Arc<str>, Meaning>>,
    availability: Availability,
}

/// A metric of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// Its name in readings and commands.
    pub metric: Arc<str>,
    /// What kind of thing it is.
    pub component: Component,
    /// Its name for people.
    pub name: Option<String>,
    /// Home Assistant's device class.
    pub class: Option<String>,
    /// Unit of its values, normalised.
    pub unit: Option<Arc<str>>,
    /// The unit as the device spells it.
    pub raw_unit: Option<String>,
    /// How its values belong together.
    pub state_class: Option<StateClass>,
    /// Values that it takes.
    pub domain: Domain,
    /// How it is set.
    pub write: Option<Write>,
    /// Whether its state is told.
    pub is_read: bool,
    /// What numbers are multiplied by.
    pub scale: f64,
    /// Words with a meaning of their own.
    pub words: Option<Words>,
}

/// What a message was to the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A reading, or nothing.
    Nothing,
    /// Devices are other than they were.
    Changed,
    /// A device came or went.
    Presence,
    /// It should have taught something and could not be understood.
    Rejected,
}

impl Registry {
    /// No device yet.
    #[must_use]
    pub fn new() -> Registry {
        Registry::default()
    }

    /// How all topics are read now.
    #[must_use]
    pub fn schema(&self) -> Arc<Schema> {
        self.schema.clone()
    }

    /// The devices, by id.
    pub fn devices(&self) -> impl ExactSizeIterator<Item = &Device> {
        self.devices.values()
    }

    /// The device of this id, or of one that was merged into it.
    #[must_use]
    pub fn device(&self, id: &str) -> Option<&Device> {
        self.devices.get(self.schema.current(id))
    }

    /// Whether a device is there, where anything says it.
    #[must_use]
    pub fn is_online(&self, device: &Device) -> Option<bool> {
        let said = self.presence.get(&device.id)?;
        let of_topic = |topic: &str| said.get(topic).map(|said| said.online);
        let topics = device.availability.topics.iter().map(|t| t.topic.as_str());
        match device.availability.mode {
            Mode::Latest => said
                .values()
                .max_by_key(|said| said.at_ms)
                .map(|said| said.online),
            Mode::Any => topics.filter_map(of_topic).reduce(|a, b| a || b),
            Mode::All => topics.map(of_topic).reduce(|a, b| Some(a? && b?)).flatten(),
        }
    }

    /// What is wrong with what a device says; also of devices that are known by their topics only.
    pub fn faults<'a>(&'a self, device: &'a str) -> impl Iterator<Item = &'a FaultRecord> {
        self.faults.of(self.schema.current(device))
    }

    /// Faults of all devices since the start, by kind.
    #[must_use]
    pub fn fault_totals(&self) -> &BTreeMap<FaultKind, u64> {
        self.faults.totals()
    }

    /// Count a fault that was found in a reading. The same record is counted once, however often it is decoded.
    pub fn report(&mut self, device: &str, topic: &str, fault: Fault, seq: u64, at_ms: i64) {
        let device = self.schema.current(device).to_owned();
        self.faults.report(&device, topic, fault, seq, at_ms);
    }

    /// Take one message in, in the order in which they were received.
    pub fn hear(&mut self, message: &Message<'_>, seq: u64, at_ms: i64) -> Heard {
        let role = match self.roles.get(message.topic) {
            Some(role) => *role,
            None => match self.meet(message, at_ms) {
                Ok(role) => role,
                Err(heard) => return heard,
            },
        };
        match role {
            Role::Plain | Role::Bound => Heard::Nothing,
            Role::Teaches(kind) => {
                let heard = self.learn(kind, message, seq, at_ms);
                match self.presence(message, at_ms) {
                    Heard::Presence if heard == Heard::Nothing => Heard::Presence,
                    _ => heard,
                }
            }
            Role::Presence => self.presence(message, at_ms),
            Role::Explored => self.explore(message, at_ms),
        }
    }
}

fn known_devices(source: Option<&Source>) -> Vec<Arc<str>> {
    let mut devices: Vec<Arc<str>> = Vec::new();
    for part in source.iter().flat_map(|source| &source.parts) {
        if !devices.contains(&part.device) {
            devices.push(part.device.clone());
        }
    }
    devices
}

/// The device that a plain value on a topic is of: all but its last level.
#[must_use]
pub fn plain_device(topic: &str) -> &str {
    match topic.rsplit_once('/') {
        Some((device, _)) if !device.is_empty() => device,
        _ => topic,
    }
}
