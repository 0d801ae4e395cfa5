use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use tarn_common::{
    clock::Clock,
    ids::{EdgeId, HomeId, Seq},
    twin::{
        command::{LIVE_TTL_MAX, LiveError, live_ttl},
        document::{DocumentId, Section},
        edit::Edit,
        home::HomeTwins,
        replica::{OWNER, Replica},
    },
};
use tarn_devices::{
    registry::{EditError, Feature, Registry},
    twin,
};
use tarn_openapi::{
    BoxInfo, Command as CommandShape, DeviceError, DeviceService, KnownDevice, SetRequest, Wanted,
    check_heads,
};
use tokio::time::Instant;

use super::{
    Devices,
    commands::{Command, Status},
    send::{CommandSender, not_known, not_settable},
    shown::{faults, shape},
};
use crate::twins::{
    Presence,
    actuate::Actuator,
    mirror::{Claim, claim},
    policy,
};

/// Boxes of the home as this one sees them.
pub type Boxes = Box<dyn Fn() -> Vec<BoxInfo> + Send + Sync>;

/// What the REST interface asks of a box's devices.
pub struct BoxDevices {
    /// Who this box is.
    pub edge: EdgeId,
    /// What is known of devices.
    pub devices: Arc<Devices>,
    /// The home's twins.
    pub twins: Arc<HomeTwins>,
    /// What sends commands.
    pub sender: Arc<CommandSender>,
    /// What sends those that the twins want.
    pub actuator: Arc<Actuator>,
    /// Which boxes are there.
    pub presence: Presence,
    /// The boxes of the home.
    pub boxes: Boxes,
    /// When it is.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl DeviceService for BoxDevices {
    async fn twins(&self, _: &HomeId) -> Result<Option<Arc<HomeTwins>>, DeviceError> {
        Ok(Some(self.twins.clone()))
    }

    async fn known(&self, _: &HomeId) -> Vec<KnownDevice> {
        let registry = self.devices.registry.read();
        registry
            .devices()
            .map(|device| self.devices.shown(&registry, device))
            .collect()
    }

    async fn device(&self, _: &HomeId, id: &str) -> Option<KnownDevice> {
        let own = {
            let registry = self.devices.registry.read();
            registry
                .device(id)
                .map(|device| self.devices.shown(&registry, device))
        };
        own.or_else(|| self.faulty(id))
    }

    async fn ids(&self, _: &HomeId, id: &str) -> (String, Vec<String>) {
        self.all_ids(id)
    }

    async fn merge(&self, _: &HomeId, id: &str, other: &str) -> Result<(), DeviceError> {
        self.edit(|registry| registry.merge(id, other)).await
    }

    async fn split(
        &self,
        _: &HomeId,
        id: &str,
        identifiers: Vec<String>,
    ) -> Result<String, DeviceError> {
        let new = self
            .edit(|registry| registry.split(id, &identifiers))
            .await?;
        Ok(new.to_string())
    }

    async fn set(
        &self,
        _: &HomeId,
        id: &str,
        request: SetRequest,
        wait: Duration,
    ) -> Result<Vec<CommandShape>, DeviceError> {
        let (id, _) = self.all_ids(id);
        if self.is_others(&id) {
            return self.others().set(&id, &request, wait).await;
        }
        // All of them, or none.
        let writes = self.writes(&id, &request)?;
        let until = Instant::now() + wait;
        let edits = |replica: &Replica| self.edits(replica, &id, &writes, &request);
        let write = self.twins.edit_if(edits, &request.by);
        let ids = self.actuator.want(&id, request.timeout, write).await?;
        let mut ids = ids.into_iter();
        let mut commands = Vec::new();
        for (_, write) in writes {
            commands.push(match write {
                Write::Wanted { .. } => ids.find(|id| !id.is_empty()).unwrap_or_default(),
                Write::Refused(command) => {
                    let id = command.id.clone();
                    self.devices.commands.add(*command, Vec::new());
                    id
                }
            });
        }
        self.outcomes(commands, until).await
    }

    async fn call(
        &self,
        home: &HomeId,
        id: &str,
        request: SetRequest,
        wait: Duration,
    ) -> Result<Vec<CommandShape>, DeviceError> {
        let (device, _) = self.all_ids(id);
        if self.is_others(&device) {
            let document = DocumentId::device(&device);
            let now_ms = self.clock.now_ms();
            let is_owned = self
                .twins
                .read(|replica| replica.owner(&document, now_ms).is_some());
            // One that was only ever named, and announced itself nowhere, is at no box.
            return Err(if is_owned {
                DeviceError::Away(format!("{device} is at another box; ask that one"))
            } else {
                DeviceError::NotFound(format!("{device} has announced nothing that can be set"))
            });
        }
        self.set(home, id, request, wait).await
    }

    async fn commands(&self, _: &HomeId, id: &str) -> Vec<CommandShape> {
        let (id, _) = self.all_ids(id);
        let own = self.devices.commands.of(&id, self.clock.now_ms());
        let mut commands: Vec<CommandShape> = own.iter().map(shape).collect();
        // What this process did not send the twin remembers.
        let others = self.others().commands(&id);
        let others: Vec<_> = others
            .into_iter()
            .filter(|c| commands.iter().all(|own| own.command != c.command))
            .collect();
        commands.extend(others);
        commands.sort_by(|a, b| b.command.cmp(&a.command));
        commands
    }

    async fn command(&self, _: &HomeId, id: &str, wait: Duration) -> Option<CommandShape> {
        let Some(mut command) = self.devices.commands.get(id, self.clock.now_ms()) else {
            return self.others().command(id, wait).await;
        };
        self.sender.wait(&mut command, Instant::now() + wait).await;
        let command = shape(&command.borrow());
        Some(command)
    }

    async fn boxes(&self, _: &HomeId) -> Vec<BoxInfo> {
        (self.boxes)()
    }

    async fn sync(&self, _: &HomeId, from: &str, body: &[u8]) -> Result<Vec<Vec<u8>>, DeviceError> {
        Ok(self.twins.receive(from, body).await?.replies)
    }
}

/// A value of a request.
enum Write {
    /// It goes into the twin, and may be carried out for so many seconds.
    Wanted { value: Value, ttl_s: Option<u32> },
    /// The device does not take it.
    Refused(Box<Command>),
}

impl BoxDevices {
    fn others(&self) -> Wanted<'_> {
        Wanted {
            twins: &self.twins,
            clock: self.clock.as_ref(),
        }
    }

    fn all_ids(&self, id: &str) -> (String, Vec<String>) {
        let registry = self.devices.registry.read();
        let Some(device) = registry.device(id) else {
            return (id.to_owned(), vec![id.to_owned()]);
        };
        let mut ids = vec![device.id.to_string()];
        ids.extend(device.aliases.iter().map(ToString::to_string));
        (device.id.to_string(), ids)
    }

    /// Whether another box that is there has a device, or this one does not know it.
    fn is_others(&self, id: &str) -> bool {
        let is_known = self.devices.registry.read().device(id).is_some();
        let document = DocumentId::device(id);
        self.twins.read(|replica| {
            let now_ms = self.clock.now_ms();
            match claim(replica, &document, self.edge, &self.presence, now_ms) {
                Claim::Ours => false,
                Claim::Others => true,
                Claim::Take => !is_known && replica.document(&document).is_some(),
            }
        })
    }

    /// A device that is known by its topics only, where something was wrong with what it said.
    fn faulty(&self, id: &str) -> Option<KnownDevice> {
        let faults = faults(&self.devices.registry.read(), id);
        (!faults.is_empty()).then(|| KnownDevice {
            device: id.to_owned(),
            clock_skew_ms: self.devices.skews.lock().of(id),
            faults,
            ..KnownDevice::default()
        })
    }

    /// What of a request goes into the twin, in the form in which it is compared with states.
    fn writes(&self, id: &str, request: &SetRequest) -> Result<Vec<(String, Write)>, DeviceError> {
        let registry = self.devices.registry.read();
        let device = registry.device(id).ok_or_else(|| not_known(id))?;
        let now_ms = self.clock.now_ms();
        let write = |(metric, value): &(String, Value)| {
            let feature = device
                .features
                .get(metric.as_str())
                .ok_or_else(|| not_settable(device, metric))?;
            let is_settable = feature.write.is_some();
            let write = match twin::canonical(feature, value) {
                Ok(value) if is_settable => {
                    let ttl_s = ttl_s(feature, &value, request.ttl)
                        .map_err(|error| DeviceError::Bad(format!("{metric}: {error}")))?;
                    Write::Wanted { value, ttl_s }
                }
                refused => {
                    let reason = refused.err().map_or_else(
                        || format!("{metric} is only measured, it cannot be set"),
                        |refusal| refusal.to_string(),
                    );
                    Write::Refused(Box::new(Command {
                        id: ulid::Ulid::from_parts(now_ms.unsigned_abs(), rand::random())
                            .to_string(),
                        device: device.id.clone(),
                        metric: metric.clone(),
                        value: value.clone(),
                        topic: String::new(),
                        status: Status::Refused(reason),
                        sent_ms: now_ms,
                        deadline_ms: now_ms,
                        done_ms: Some(now_ms),
                        seq: Seq::ZERO,
                    }))
                }
            };
            Ok((metric.clone(), write))
        };
        request.values.iter().map(write).collect()
    }

    /// The writes as edits; this box takes the device first if nobody has it.
    fn edits(
        &self,
        replica: &Replica,
        id: &str,
        writes: &[(String, Write)],
        request: &SetRequest,
    ) -> Result<Vec<Edit>, DeviceError> {
        let document = DocumentId::device(id);
        check_heads(replica.document(&document), request.if_match.as_deref())?;
        let wanted = writes.iter().filter_map(|(metric, write)| match write {
            Write::Wanted { value, ttl_s } => {
                let edit = Edit::new(document.clone(), Section::Desired, metric, value.clone());
                Some(edit.for_s(*ttl_s))
            }
            Write::Refused(_) => None,
        });
        let mut edits: Vec<Edit> = wanted.collect();
        if let Claim::Take = claim(
            replica,
            &document,
            self.edge,
            &self.presence,
            self.clock.now_ms(),
        ) {
            let owner = Edit::new(document, Section::Meta, OWNER, self.edge.to_string());
            edits.push(owner);
        }
        Ok(edits)
    }

    /// Wait until commands are on disk, then for their outcome at most until then.
    async fn outcomes(
        &self,
        ids: Vec<String>,
        until: Instant,
    ) -> Result<Vec<CommandShape>, DeviceError> {
        let now_ms = self.clock.now_ms();
        let mut commands = Vec::new();
        for id in ids {
            match self.devices.commands.get(&id, now_ms) {
                Some(mut command) => {
                    let seq = command.borrow().seq;
                    self.sender.durable(seq).await?;
                    self.sender.wait(&mut command, until).await;
                    let command = shape(&command.borrow());
                    commands.push(command);
                }
                // Something came before it was sent; the twin knows what.
                None => {
                    let wait = until.saturating_duration_since(Instant::now());
                    commands.extend(self.others().command(&id, wait).await);
                }
            }
        }
        Ok(commands)
    }

    /// Change the registry, and say so only when it is kept.
    async fn edit<T>(
        &self,
        change: impl FnOnce(&mut Registry) -> Result<T, EditError>,
    ) -> Result<T, DeviceError> {
        let changed = change(&mut self.devices.registry.write());
        let changed = changed.map_err(|error| match error {
            EditError::Unknown(_) => DeviceError::NotFound(error.to_string()),
            EditError::Same(_) | EditError::NotIts(_) | EditError::NothingLeft => {
                DeviceError::Bad(error.to_string())
            }
        })?;
        let devices = self.devices.clone();
        let saved = tokio::task::spawn_blocking(move || devices.save()).await;
        match saved {
            Ok(Ok(())) => Ok(changed),
            Ok(Err(error)) => {
                tracing::error!(error = ?error, "a change of a device is not stored");
                Err(DeviceError::Unavailable(format!(
                    "the change is not stored: {error}"
                )))
            }
            Err(panic) => Err(DeviceError::Unavailable(panic.to_string())),
        }
    }
}

/// How long a value may wait to be carried out. What must not come late is known by the device, whether its twin says it yet or not.
fn ttl_s(
    feature: &Feature,
    value: &Value,
    ttl: Option<Duration>,
) -> Result<Option<u32>, LiveError> {
    // Nobody wants a press to be made up for.
    let usual = twin::is_deed(feature, value).then_some(LIVE_TTL_MAX);
    live_ttl(&policy(feature), value, ttl.or(usual))
}
