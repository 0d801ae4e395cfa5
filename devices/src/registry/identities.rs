use std::{collections::BTreeMap, sync::Arc};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::identifier::{DeviceId, Identifier};

/// Why devices were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no such device.
    #[error("there is no device {0} that announced itself")]
    Unknown(String),
    /// A device cannot be merged with itself.
    #[error("{0} is the same device already")]
    Same(String),
    /// The device does not have this identifier, and no such id was merged into it.
    #[error("the device has no identifier {0:?}, and no device of that id was merged into it")]
    NotIts(String),
    /// All that names the device would go.
    #[error("nothing would be left of the device; name only a part of its identifiers")]
    NothingLeft,
}

/// Which identifiers are one device. The first that is seen gives the id, which then stays.
#[derive(Debug, Default)]
pub(super) struct Identities {
    by_id: BTreeMap<Arc<str>, Identity>,
    owner: FxHashMap<Identifier, Arc<str>>,
    next: u64,
}

/// What makes a device one, and what its user said of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Identity {
    pub(super) id: Arc<str>,
    pub(super) identifiers: Vec<Identifier>,
    pub(super) aliases: Vec<Arc<str>>,
    /// What came with each id that was merged, so that a split gives it back whole.
    merged: Vec<(Arc<str>, Vec<Identifier>)>,
    pub(super) name: Option<String>,
    pub(super) room: Option<String>,
    /// Its identifiers were set apart by hand: they decide alone, and merge with nothing.
    pub(super) pinned: bool,
    /// Of two that turn out to be one, the older one stays.
    age: u64,
}

/// The device of an announcement.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) device: Arc<str>,
    /// Devices that turned out to be the same, and are gone.
    pub(super) merged: Vec<Arc<str>>,
}

impl Identities {
    pub(super) fn get(&self, id: &str) -> Option<&Identity> {
        self.by_id.get(id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Identity> {
        self.by_id.values()
    }

    /// The device that these identifiers name, made if there is none.
    pub(super) fn resolve(&mut self, identifiers: &[Identifier]) -> Resolved {
        let mut found: Vec<Arc<str>> = Vec::new();
        for owner in identifiers
            .iter()
            .filter_map(|identifier| self.owner.get(identifier))
        {
            if !found.contains(owner) {
                found.push(owner.clone());
            }
        }
        let is_pinned = |id: &Arc<str>| self.by_id.get(id).is_some_and(|identity| identity.pinned);
        if let Some(pinned) = found.iter().find(|id| is_pinned(id)) {
            return Resolved {
                device: pinned.clone(),
                merged: Vec::new(),
            };
        }
        found.sort_by_key(|id| self.by_id.get(id).map_or(u64::MAX, |identity| identity.age));
        let mut found = found.into_iter();
        let device = found.next().unwrap_or_else(|| self.make(&identifiers[0]));
        let merged: Vec<Arc<str>> = found.collect();
        for other in &merged {
            self.merge(&device, other);
        }
        for identifier in identifiers {
            self.give(identifier, &device);
        }
        Resolved { device, merged }
    }

    fn make(&mut self, first: &Identifier) -> Arc<str> {
        let mut id: Arc<str> = DeviceId::of(first).as_str().into();
        // An id that a split left in use, or that was merged into another device, is told apart by hashing again.
        while self.by_id.contains_key(&id) || self.current(&id) != id {
            id = DeviceId::of(&Identifier::native("apart", &id))
                .as_str()
                .into();
        }
        self.next += 1;
        let identity = Identity {
            id: id.clone(),
            identifiers: Vec::new(),
            aliases: Vec::new(),
            merged: Vec::new(),
            name: None,
            room: None,
            pinned: false,
            age: self.next,
        };
        self.by_id.insert(id.clone(), identity);
        id
    }

    fn give(&mut self, identifier: &Identifier, device: &Arc<str>) {
        if let Some(identity) = self.by_id.get_mut(device)
            && !self.owner.contains_key(identifier)
        {
            identity.identifiers.push(identifier.clone());
            self.owner.insert(identifier.clone(), device.clone());
        }
    }

    /// Put a device, or an id without one, into another.
    pub(super) fn merge(&mut self, device: &Arc<str>, other: &Arc<str>) {
        let gone = self.by_id.remove(other);
        let Some(identity) = self.by_id.get_mut(device) else {
            return;
        };
        identity.aliases.push(other.clone());
        let Some(gone) = gone else {
            return;
        };
        identity.aliases.extend(gone.aliases);
        identity
            .merged
            .push((other.clone(), gone.identifiers.clone()));
        identity.merged.extend(gone.merged);
        identity.name = identity.name.take().or(gone.name);
        identity.room = identity.room.take().or(gone.room);
        for identifier in gone.identifiers {
            self.owner.insert(identifier.clone(), device.clone());
            identity.identifiers.push(identifier);
        }
    }

    /// Make a device of its own of some identifiers, or of an id that was merged before.
    pub(super) fn split(
        &mut self,
        device: &Arc<str>,
        apart: &[String],
    ) -> Result<Arc<str>, EditError> {
        let identity = self
            .by_id
            .get(device)
            .ok_or_else(|| EditError::Unknown(device.to_string()))?;
        let (mut identifiers, mut ids) = (Vec::new(), Vec::new());
        for name in apart {
            if let Some(identifier) = identity.identifiers.iter().find(|i| i.as_str() == name) {
                identifiers.push(identifier.clone());
            } else if let Some(alias) = identity.aliases.iter().find(|alias| ***alias == **name) {
                ids.push(alias.clone());
            } else {
                return Err(EditError::NotIts(name.clone()));
            }
        }
        // An id that was merged takes with it what it had.
        for (id, had) in identity.merged.iter().filter(|(id, _)| ids.contains(id)) {
            let is_its = |i: &&Identifier| had.contains(i) || DeviceId::of(i).as_str() == &**id;
            identifiers.extend(identity.identifiers.iter().filter(is_its).cloned());
        }
        // In the order in which they became known, so that the id is made of the same one again.
        let identifiers: Vec<Identifier> = identity
            .identifiers
            .iter()
            .filter(|i| identifiers.contains(i))
            .cloned()
            .collect();
        // And an identifier takes the id with it that was made of it and merged: it becomes the new device's own.
        let of_identifiers = identity.aliases.iter().filter(|alias| {
            identifiers
                .iter()
                .any(|identifier| DeviceId::of(identifier).as_str() == &***alias)
        });
        ids.extend(of_identifiers.cloned());
        if identifiers.len() == identity.identifiers.len() {
            return Err(EditError::NothingLeft);
        }
        if identifiers.is_empty() {
            // The id was known by its topic only.
            let Some(id) = ids.first().cloned() else {
                return Err(EditError::NothingLeft);
            };
            self.drop_aliases(device, &ids);
            return Ok(id);
        }
        self.drop_aliases(device, &ids);
        if let Some(identity) = self.by_id.get_mut(device) {
            identity.identifiers.retain(|i| !identifiers.contains(i));
        }
        let new = self.make(&identifiers[0]);
        if let Some(identity) = self.by_id.get_mut(&new) {
            identity.pinned = true;
            identity.identifiers.clone_from(&identifiers);
        }
        for identifier in identifiers {
            self.owner.insert(identifier, new.clone());
        }
        Ok(new)
    }

    fn drop_aliases(&mut self, device: &Arc<str>, ids: &[Arc<str>]) {
        if let Some(identity) = self.by_id.get_mut(device) {
            identity.aliases.retain(|alias| !ids.contains(alias));
            identity.merged.retain(|(id, _)| !ids.contains(id));
        }
    }

    pub(super) fn rename(&mut self, device: &Arc<str>, name: Option<&str>, room: Option<&str>) {
        let set = |place: &mut Option<String>, text: Option<&str>| {
            if let Some(text) = text {
                *place = Some(text.to_owned()).filter(|text| !text.is_empty());
            }
        };
        if let Some(identity) = self.by_id.get_mut(device) {
            set(&mut identity.name, name);
            set(&mut identity.room, room);
        }
    }

    /// The device that an id stands for now.
    pub(super) fn current(&self, id: &Arc<str>) -> Arc<str> {
        let owner = self
            .by_id
            .values()
            .find(|identity| identity.aliases.contains(id));
        owner.map_or_else(|| id.clone(), |identity| identity.id.clone())
    }

    pub(super) fn aliases(&self) -> FxHashMap<Arc<str>, Arc<str>> {
        let of = |identity: &Identity| {
            let id = identity.id.clone();
            identity
                .aliases
                .clone()
                .into_iter()
                .map(move |alias| (alias, id.clone()))
        };
        self.by_id.values().flat_map(of).collect()
    }

    /// Take back what was kept.
    pub(super) fn restore(&mut self, identities: Vec<Identity>) {
        for identity in identities {
            self.next = self.next.max(identity.age);
            for identifier in &identity.identifiers {
                self.owner.insert(identifier.clone(), identity.id.clone());
            }
            self.by_id.insert(identity.id.clone(), identity);
        }
    }
}
