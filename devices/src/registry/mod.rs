//! The devices of a home. Announcements go in, one device comes out for all that share an identifier, and a
//! [`Schema`] that says how each topic is read.
//!
//! What is kept over a restart is what was heard, not what was made of it ([`Saved`]): a later version
//! that understands more learns more from the same messages.

/// One device out of many announcements.
mod compile;
/// Keys of a payload.
mod explore;
/// What is wrong, by device.
mod faults;
/// Which identifiers are one device.
mod identities;
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
    binding::{AvailabilityRule, Binding, Meaning, Schema},
    convention::ConventionKind,
    fault::{Fault, FaultKind},
    identifier::Identifier,
    message::Message,
    point::{Component, Domain, Point, StateClass, Words, Write},
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

    /// A topic's first message: what the topic is from now on, or what the message has changed already.
    fn meet(&mut self, message: &Message<'_>, at_ms: i64) -> Result<Role, Heard> {
        if let Some(kind) = ConventionKind::teacher(message.topic) {
            self.roles.insert(message.topic.into(), Role::Teaches(kind));
            return Ok(Role::Teaches(kind));
        }
        let recognised = ConventionKind::ALL.into_iter().find_map(|kind| {
            let announcement = kind.convention().recognise(message)?;
            Some((kind, announcement))
        });
        if let Some((kind, announcement)) = recognised
            && self.has_room(message)
        {
            let key = message.topic.to_owned();
            self.replace(
                kind,
                Origin::Recognised,
                key,
                message,
                vec![announcement],
                at_ms,
            );
            match self.roles.get(message.topic) {
                Some(Role::Presence) => self.presence(message, at_ms),
                Some(Role::Explored) => self.explore(message, at_ms),
                _ => Heard::Nothing,
            };
            return Err(Heard::Changed);
        }
        if self.plain_topics >= PLAIN_TOPICS_MAX {
            self.roles.retain(|_, role| *role != Role::Plain);
            self.plain_topics = 0;
        }
        self.plain_topics += 1;
        self.roles.insert(message.topic.into(), Role::Plain);
        Ok(Role::Plain)
    }

    fn learn(
        &mut self,
        kind: ConventionKind,
        message: &Message<'_>,
        seq: u64,
        at_ms: i64,
    ) -> Heard {
        let convention = kind.convention();
        let key = source_key(kind, message);
        let known = self
            .order_of
            .get(&key)
            .and_then(|order| self.sources.get(order));
        if known.is_some_and(|source| *source.payload == *message.payload) {
            return Heard::Nothing;
        }
        // What is known already may be replaced, or taken back, also where nothing new is taken.
        let has_room = known.is_some() || self.has_room(message);
        let learnt = if has_room {
            convention.learn(message)
        } else {
            let detail = format!(
                "no more is taken: {DEVICES_MAX} devices, {SOURCES_MAX} topics that announce or {SOURCES_BYTES_MAX} bytes of announcements are the limit"
            );
            Err(Fault::new(FaultKind::TooLarge, detail))
        };
        match learnt {
            Ok(announcements) => {
                self.replace(kind, Origin::Taught, key, message, announcements, at_ms);
                Heard::Changed
            }
            Err(fault) => {
                let taught: Vec<Arc<str>> =
                    known_devices(self.order_of.get(&key).and_then(|o| self.sources.get(o)));
                let plain = plain_device(message.topic).to_owned();
                for device in taught.iter().map(|d| &**d).chain([plain.as_str()]) {
                    self.faults
                        .report(device, message.topic, fault.clone(), seq, at_ms);
                }
                Heard::Rejected
            }
        }
    }

    /// Look whether a topic's keys show what can be set.
    fn explore(&mut self, message: &Message<'_>, at_ms: i64) -> Heard {
        let Some(binding) = self.schema.bindings.get(message.topic).cloned() else {
            return Heard::Nothing;
        };
        let mut heard = Heard::Nothing;
        for metric in explore::metrics(&binding.layout, message.payload) {
            let looked_at = (Box::from(message.topic), Box::from(metric.as_str()));
            if self.explored.len() >= EXPLORED_MAX || !self.explored.insert(looked_at) {
                continue;
            }
            if self.discover(
                binding.convention,
                message.topic,
                &metric,
                &binding.device,
                at_ms,
            ) {
                heard = Heard::Changed;
            }
        }
        heard
    }

    /// Take in how a metric of a recognised topic is set, if its convention knows.
    fn discover(
        &mut self,
        kind: ConventionKind,
        topic: &str,
        metric: &str,
        device: &str,
        at_ms: i64,
    ) -> bool {
        let Some(point) = kind.convention().discover(topic, metric) else {
            return false;
        };
        let Some(identifiers) = self
            .devices
            .get(device)
            .map(|device| device.identifiers.clone())
        else {
            return false;
        };
        let announcement = Announcement {
            identifiers,
            points: vec![point],
            ..Announcement::default()
        };
        let message = Message {
            topic,
            payload: &[],
        };
        let (origin, key) = (
            Origin::Discovered(metric.to_owned()),
            format!("{topic}#{metric}"),
        );
        self.replace(kind, origin, key, &message, vec![announcement], at_ms);
        true
    }

    fn has_room(&self, message: &Message<'_>) -> bool {
        self.sources.len() < SOURCES_MAX
            && self.sources_bytes + message.payload.len() <= SOURCES_BYTES_MAX
            && self.devices.len() < DEVICES_MAX
    }

    /// Put what a source says in the place of what it said before.
    fn replace(
        &mut self,
        kind: ConventionKind,
        origin: Origin,
        key: String,
        message: &Message<'_>,
        announcements: Vec<Announcement>,
        at_ms: i64,
    ) {
        let order = self.order_of.get(&key).copied();
        let mut affected: BTreeSet<Arc<str>> = BTreeSet::new();
        let before = order.and_then(|order| self.sources.remove(&order));
        let before_devices = known_devices(before.as_ref());
        if let Some(before) = before {
            self.sources_bytes -= before.payload.len();
            self.give_up_unique(order, &before.parts, &mut affected);
        }
        let order = order.unwrap_or_else(|| {
            self.next_order += 1;
            self.next_order - 1
        });
        for device in &before_devices {
            if let Some(sources) = self.spoken_of.get_mut(device) {
                sources.remove(&order);
            }
            affected.insert(device.clone());
        }
        let mut parts = Vec::new();
        let mut faults = Vec::new();
        for announcement in announcements {
            if announcement.identifiers.is_empty() {
                continue;
            }
            let resolved = self.identities.resolve(&announcement.identifiers);
            affected.insert(resolved.device.clone());
            for merged in resolved.merged {
                self.move_sources(&merged, &resolved.device);
                affected.insert(merged);
            }
            let device = resolved.device;
            self.claim_unique(order, &device, &announcement, &mut faults, &mut affected);
            self.spoken_of
                .entry(device.clone())
                .or_default()
                .insert(order);
            parts.push(Part {
                device,
                announcement,
            });
        }
        if let ([old], [new]) = (&before_devices[..], &parts[..])
            && *old != new.device
            && self.identities.current(old) != new.device
        {
            let detail = format!("it announced device {old} before");
            faults.push((
                new.device.clone(),
                Fault::new(FaultKind::IdentityChanged, detail),
            ));
        }
        if parts.is_empty() {
            self.order_of.remove(&key);
        } else {
            self.sources_bytes += message.payload.len();
            self.order_of.insert(key.clone(), order);
            let (topic, payload) = (message.topic.into(), message.payload.into());
            self.sources.insert(
                order,
                Source {
                    kind,
                    origin,
                    topic,
                    payload,
                    parts,
                },
            );
        }
        for (device, fault) in faults {
            self.faults.report(&device, message.topic, fault, 0, at_ms);
        }
        for device in affected {
            self.compile(&device, at_ms);
        }
    }

    /// Let others have the `unique_id`s of what a source said before.
    fn give_up_unique(
        &mut self,
        order: Option<u64>,
        parts: &[Part],
        affected: &mut BTreeSet<Arc<str>>,
    ) {
        let points = parts.iter().flat_map(|part| &part.announcement.points);
        for key in points.filter_map(unique_key) {
            let (Some(claims), Some(order)) = (self.unique.get_mut(&key), order) else {
                continue;
            };
            let had = claims.first() == Some(&order);
            claims.remove(&order);
            match claims.first() {
                Some(heir) if had => affected.extend(known_devices(self.sources.get(heir))),
                Some(_) => {}
                None => {
                    self.unique.remove(&key);
                }
            }
        }
    }

    /// Take note of who claims which `unique_id`. Whoever was heard first has it, so that a restart changes nothing.
    fn claim_unique(
        &mut self,
        order: u64,
        device: &Arc<str>,
        announcement: &Announcement,
        faults: &mut Vec<(Arc<str>, Fault)>,
        affected: &mut BTreeSet<Arc<str>>,
    ) {
        for point in &announcement.points {
            let Some(key) = unique_key(point) else {
                continue;
            };
            let claims = self.unique.entry(key).or_default();
            let first = claims.first().copied();
            claims.insert(order);
            match first.and_then(|first| Some((first, self.sources.get(&first)?))) {
                Some((first, source)) if first < order => {
                    let (id, topic) = (
                        point.unique_id.as_deref().unwrap_or_default(),
                        &source.topic,
                    );
                    let detail = format!(
                        "unique_id {id:?} of {} is that of {topic} already; what it says is kept as it comes",
                        point.metric
                    );
                    faults.push((device.clone(), Fault::new(FaultKind::DuplicateId, detail)));
                }
                Some((first, source)) if first > order => {
                    affected.extend(known_devices(Some(source)));
                }
                _ => {}
            }
        }
    }

    /// Whether a source's point is not another's by its `unique_id`.
    fn is_its_own(&self, order: u64, point: &Point) -> bool {
        let claims = unique_key(point).and_then(|key| self.unique.get(&key));
        claims.is_none_or(|claims| claims.first() == Some(&order))
    }

    fn move_sources(&mut self, from: &Arc<str>, to: &Arc<str>) {
        let moved = self.spoken_of.remove(from).unwrap_or_default();
        for order in &moved {
            let parts = self.sources.get_mut(order).map(|source| &mut source.parts);
            for part in parts
                .into_iter()
                .flatten()
                .filter(|part| part.device == *from)
            {
                part.device = to.clone();
            }
        }
        self.spoken_of.entry(to.clone()).or_default().extend(moved);
        if let Some(said) = self.presence.remove(from) {
            self.presence.entry(to.clone()).or_default().extend(said);
        }
    }

    /// What a message says about who is there.
    fn presence(&mut self, message: &Message<'_>, at_ms: i64) -> Heard {
        let Some(binding) = self.schema.bindings.get(message.topic).cloned() else {
            return Heard::Nothing;
        };
        let payload = String::from_utf8_lossy(message.payload);
        let mut heard = Heard::Nothing;
        for rule in &binding.availability {
            let Some(online) = rule.read(payload.trim()) else {
                continue;
            };
            let said = self.presence.entry(rule.device.clone()).or_default();
            let before = said.insert(message.topic.into(), Said { online, at_ms });
            if before.is_none_or(|before| before.online != online) {
                heard = Heard::Presence;
            }
        }
        heard
    }

    /// Give a device a name or a room; an empty text goes back to what it says itself.
    ///
    /// # Errors
    /// There is no such device.
    pub fn rename(
        &mut self,
        device: &str,
        name: Option<&str>,
        room: Option<&str>,
    ) -> Result<(), EditError> {
        let id = self.known(device)?;
        self.identities.rename(&id, name, room);
        self.compile(&id, 0);
        Ok(())
    }

    /// Say that two devices are one: the readings of `other`, which may also be a device that is known by its
    /// topic only, are from now on those of `device`.
    ///
    /// # Errors
    /// There is no such device, or it is the same.
    pub fn merge(&mut self, device: &str, other: &str) -> Result<(), EditError> {
        let id = self.known(device)?;
        let other: Arc<str> = self.schema.current(other).into();
        if id == other {
            return Err(EditError::Same(other.to_string()));
        }
        self.identities.merge(&id, &other);
        self.move_sources(&other, &id);
        self.compile(&other, 0);
        self.compile(&id, 0);
        self.refresh_aliases();
        Ok(())
    }

    /// Say that some of a device's identifiers, or an id that was merged into it, are a device of their own.
    /// Gives the id of the new one.
    ///
    /// # Errors
    /// There is no such device, it does not have them, or nothing would be left of it.
    pub fn split(&mut self, device: &str, apart: &[String]) -> Result<Arc<str>, EditError> {
        let id = self.known(device)?;
        let new = self.identities.split(&id, apart)?;
        let orders = self.spoken_of.get(&id).cloned().unwrap_or_default();
        for order in orders {
            let Some(source) = self.sources.get_mut(&order) else {
                continue;
            };
            for part in source.parts.iter_mut().filter(|part| part.device == id) {
                part.device = self
                    .identities
                    .resolve(&part.announcement.identifiers)
                    .device;
            }
            let devices = known_devices(Some(source));
            if !devices.contains(&id)
                && let Some(sources) = self.spoken_of.get_mut(&id)
            {
                sources.remove(&order);
            }
            for device in devices {
                self.spoken_of.entry(device).or_default().insert(order);
            }
        }
        self.presence.remove(&id);
        self.compile(&id, 0);
        self.compile(&new, 0);
        self.refresh_aliases();
        Ok(new)
    }

    fn known(&self, device: &str) -> Result<Arc<str>, EditError> {
        let known = self.device(device).map(|device| device.id.clone());
        known.ok_or_else(|| EditError::Unknown(device.to_owned()))
    }

    fn refresh_aliases(&mut self) {
        let aliases = self.identities.aliases();
        let schema = Arc::make_mut(&mut self.schema);
        schema.aliases = aliases;
        schema.generation += 1;
    }

    /// Read a topic anew as the devices that claim it say.
    fn bind(&mut self, topic: &Arc<str>) {
        let claims: Vec<(&Device, &Claim)> = self
            .claimants
            .get(topic)
            .into_iter()
            .flatten()
            .filter_map(|device| {
                let device = self.devices.get(device)?;
                Some((device, device.claims.get(topic)?))
            })
            .collect();
        let binding = binding_of(&claims);
        let schema = Arc::make_mut(&mut self.schema);
        schema.generation += 1;
        let known = self.roles.get(&**topic).copied();
        let teacher = match known {
            None => ConventionKind::teacher(topic),
            Some(Role::Teaches(kind)) => Some(kind),
            Some(_) => None,
        };
        if let Some(kind) = teacher {
            self.roles.insert((**topic).into(), Role::Teaches(kind));
        }
        let teaches = teacher.is_some();
        match binding {
            Some(binding) => {
                let role = match binding.availability.is_empty() {
                    false => Role::Presence,
                    true if binding.convention.discovers() => Role::Explored,
                    true => Role::Bound,
                };
                if !teaches {
                    self.roles.insert((**topic).into(), role);
                }
                schema.bindings.insert(topic.clone(), Arc::new(binding));
            }
            None => {
                schema.bindings.remove(topic);
                if !teaches {
                    self.roles.remove(&**topic);
                }
            }
        }
    }
}

/// The claims of all devices on one topic as one binding; the first that has a layout owns the topic.
fn binding_of(claims: &[(&Device, &Claim)]) -> Option<Binding> {
    let (owner, main) = claims
        .iter()
        .find(|(_, claim)| claim.layout.is_some())
        .or_else(|| claims.first())?;
    let availability: Vec<AvailabilityRule> = claims
        .iter()
        .flat_map(|(_, claim)| claim.availability.clone())
        .collect();
    let mut binding = Binding {
        device: owner.id.clone(),
        convention: main.kind,
        layout: main.layout.clone().unwrap_or_else(compile::flat),
        plain: None,
        keys: FxHashMap::default(),
        metrics: owner.meanings.clone(),
        templates: Vec::new(),
        only_availability: claims.iter().all(|(_, claim)| claim.says_presence_only()),
        availability,
    };
    for (_, claim) in claims {
        binding.plain = binding.plain.or_else(|| claim.plain.clone());
        for (path, meaning) in &claim.keys {
            binding
                .keys
                .entry(path.clone())
                .or_insert_with(|| meaning.clone());
        }
        binding.templates.extend(claim.templates.iter().cloned());
    }
    let says_nothing = claims.iter().all(|(_, claim)| claim.layout.is_none());
    (!says_nothing || !binding.availability.is_empty()).then_some(binding)
}

/// The name of what announces: the topic, unless several share it.
fn source_key(kind: ConventionKind, message: &Message<'_>) -> String {
    let shared = kind.convention().source(message);
    shared.unwrap_or_else(|| message.topic.to_owned())
}

/// What no two points of a home share.
fn unique_key(point: &Point) -> Option<(Component, String)> {
    Some((point.component, point.unique_id.clone()?))
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
