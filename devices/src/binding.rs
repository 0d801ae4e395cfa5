//! How the payloads of one topic are read: compiled from the announcements of all devices that share it.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::{
    announcement::{AvailabilityTopic, Layout},
    convention::ConventionKind,
    identifier::Identifier,
    point::{At, Words},
    template::Template,
};

/// How a topic is read.
#[derive(Debug, Clone)]
pub struct Binding {
    /// Device of all that the topic says and no point claims.
    pub device: Arc<str>,
    /// The convention that bound the topic.
    pub convention: ConventionKind,
    /// How payloads are laid out.
    pub layout: Layout,
    /// What a plain payload means, where a point says it.
    pub plain: Option<Meaning>,
    /// What flattened keys mean, as they stand in the payload below the layout's root and without its prefix.
    pub keys: FxHashMap<String, Meaning>,
    /// What the device's metrics mean on whichever topic they come.
    pub metrics: Arc<FxHashMap<Arc<str>, Meaning>>,
    /// Readings that templates make of a payload.
    pub templates: Vec<(Arc<Template>, Meaning)>,
    /// Devices whose availability the topic says.
    pub availability: Vec<AvailabilityRule>,
    /// Whether availability is all that the topic says.
    pub only_availability: bool,
}

/// What one value of a payload means.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    /// Whose it is.
    pub device: Arc<str>,
    /// What was measured.
    pub metric: Arc<str>,
    /// Unit of the value, normalised.
    pub unit: Option<Arc<str>>,
    /// What numbers are multiplied by.
    pub scale: f64,
    /// Words with a meaning of their own.
    pub words: Option<Words>,
    /// A counter that only grows: a cumulative metric stands beside it.
    pub counter: bool,
}

/// What a topic says about one device's availability.
#[derive(Debug, Clone)]
pub struct AvailabilityRule {
    /// Which device.
    pub device: Arc<str>,
    /// What it says.
    pub says: AvailabilityTopic,
    /// Whether it is the device's only one.
    pub is_sole: bool,
    /// The compiled template, where it is one.
    pub template: Option<Arc<Template>>,
}

impl AvailabilityRule {
    /// Whether a payload says that the device is there; none where it says neither.
    #[must_use]
    pub fn read(&self, payload: &str) -> Option<bool> {
        let said = match &self.says.at {
            At::Value => None,
            At::Always(word) => Some(word.clone()),
            At::Path(path) => at_path(payload, path),
            At::Template(_) => self.template.as_ref()?.value(payload).ok()?,
        };
        let said = said.as_deref().unwrap_or(payload);
        match said {
            _ if said == self.says.online => Some(true),
            _ if said == self.says.offline => Some(false),
            _ => None,
        }
    }
}

fn at_path(payload: &str, path: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(payload).ok()?;
    let found = path.split('.').try_fold(&json, |at, key| at.get(key))?;
    Some(match found {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// How all topics are read, at one moment: cheap to share, never changed once shared.
#[derive(Debug, Clone, Default)]
pub struct Schema {
    /// Grows whenever a topic comes to be read in another way.
    pub generation: u64,
    pub(crate) bindings: FxHashMap<Arc<str>, Arc<Binding>>,
    pub(crate) owners: FxHashMap<Identifier, Arc<str>>,
    pub(crate) aliases: FxHashMap<Arc<str>, Arc<str>>,
}

impl Schema {
    /// How a topic is read, if a device speaks on it.
    #[must_use]
    pub fn binding(&self, topic: &str) -> Option<&Arc<Binding>> {
        self.bindings.get(topic)
    }

    /// The device that has this identifier.
    #[must_use]
    pub fn owner(&self, identifier: &Identifier) -> Option<&Arc<str>> {
        self.owners.get(identifier)
    }

    /// The ids that were merged into a device.
    pub fn former_ids(&self, device: &str) -> impl Iterator<Item = &Arc<str>> {
        let merged = self.aliases.iter();
        merged
            .filter(move |(_, current)| &***current == device)
            .map(|(id, _)| id)
    }

    /// The id under which a device's readings are kept: its own, unless it was merged into another.
    #[must_use]
    pub fn current<'a>(&'a self, device: &'a str) -> &'a str {
        self.aliases.get(device).map_or(device, |current| current)
    }
}
