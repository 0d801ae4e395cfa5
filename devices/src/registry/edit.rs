use std::sync::Arc;

use super::{EditError, Registry, known_devices};

impl Registry {
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

    pub(super) fn known(&self, device: &str) -> Result<Arc<str>, EditError> {
        let known = self.device(device).map(|device| device.id.clone());
        known.ok_or_else(|| EditError::Unknown(device.to_owned()))
    }

    pub(super) fn refresh_aliases(&mut self) {
        let aliases = self.identities.aliases();
        let schema = Arc::make_mut(&mut self.schema);
        schema.aliases = aliases;
        schema.generation += 1;
    }

    pub(super) fn move_sources(&mut self, from: &Arc<str>, to: &Arc<str>) {
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
}
