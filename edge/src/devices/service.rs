use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use tarn_broker::{Publisher, log::PublishLog};
use tarn_common::{
    clock::Clock,
    ids::{HomeId, Seq},
    twin::home::HomeTwins,
};
use tarn_devices::{
    command,
    point::Domain,
    registry::{Device, EditError, Feature as KnownFeature, Registry},
};
use tarn_openapi::{
    Any, BoxInfo, Command as CommandShape, DeviceError, DeviceFault, DeviceService, Feature,
    KnownDevice, SetRequest, types::moment,
};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Devices, OWN_CLIENT,
    commands::{Command, Status},
};
use crate::journal::Journal;

/// How long a command waits for the disk before it is told as sent.
const DURABLE_WITHIN: Duration = Duration::from_secs(5);

/// What the REST interface asks of a box's devices.
pub struct BoxDevices {
    /// What is known of them.
    pub devices: Arc<Devices>,
    /// Where commands go.
    pub publisher: Publisher,
    /// What keeps them through a power cut.
    pub journal: Arc<Journal>,
    /// When it is.
    pub clock: Arc<dyn Clock>,
}

#[async_trait]
impl DeviceService for BoxDevices {
    async fn twins(&self, _: &HomeId) -> Result<Option<Arc<HomeTwins>>, DeviceError> {
        Ok(None)
    }

    async fn known(&self, _: &HomeId) -> Vec<KnownDevice> {
        let registry = self.devices.registry.read();
        registry
            .devices()
            .map(|device| self.shown(&registry, device))
            .collect()
    }

    async fn device(&self, _: &HomeId, id: &str) -> Option<KnownDevice> {
        let registry = self.devices.registry.read();
        if let Some(device) = registry.device(id) {
            return Some(self.shown(&registry, device));
        }
        let faults = faults(&registry, id);
        (!faults.is_empty()).then(|| KnownDevice {
            device: id.to_owned(),
            clock_skew_ms: self.devices.skews.lock().of(id),
            faults,
            ..KnownDevice::default()
        })
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
        let SetRequest {
            values, timeout, ..
        } = request;
        // All of them, or none.
        self.are_settable(id, &values)?;
        let mut sent = Vec::new();
        let mut upto = Seq::ZERO;
        for (metric, value) in values {
            let (command, seq) = self.send(id, metric, value, timeout)?;
            upto = upto.max(seq);
            sent.push(command);
        }
        self.durable(upto).await?;
        let until = Instant::now() + wait;
        for command in &mut sent {
            self.wait(command, until).await;
        }
        Ok(sent
            .iter()
            .map(|command| shape(&command.borrow()))
            .collect())
    }

    async fn call(
        &self,
        home: &HomeId,
        id: &str,
        request: SetRequest,
        wait: Duration,
    ) -> Result<Vec<CommandShape>, DeviceError> {
        self.set(home, id, request, wait).await
    }

    async fn commands(&self, _: &HomeId, id: &str) -> Vec<CommandShape> {
        let (id, _) = self.all_ids(id);
        let commands = self.devices.commands.of(&id, self.clock.now_ms());
        commands.iter().map(shape).collect()
    }

    async fn command(&self, _: &HomeId, id: &str, wait: Duration) -> Option<CommandShape> {
        let mut command = self.devices.commands.get(id, self.clock.now_ms())?;
        self.wait(&mut command, Instant::now() + wait).await;
        let command = shape(&command.borrow());
        Some(command)
    }

    async fn boxes(&self, _: &HomeId) -> Vec<BoxInfo> {
        Vec::new()
    }

    async fn sync(&self, _: &HomeId, _: &str, _: &[u8]) -> Result<Vec<Vec<u8>>, DeviceError> {
        Err(DeviceError::Unavailable("no twins are kept here".into()))
    }
}

impl BoxDevices {
    fn all_ids(&self, id: &str) -> (String, Vec<String>) {
        let registry = self.devices.registry.read();
        let Some(device) = registry.device(id) else {
            return (id.to_owned(), vec![id.to_owned()]);
        };
        let mut ids = vec![device.id.to_string()];
        ids.extend(device.aliases.iter().map(ToString::to_string));
        (device.id.to_string(), ids)
    }

    fn shown(&self, registry: &Registry, device: &Device) -> KnownDevice {
        let texts = |of: &[Arc<str>]| of.iter().map(ToString::to_string).collect();
        KnownDevice {
            device: device.id.to_string(),
            name: device.about.name.clone(),
            room: device.about.room.clone(),
            vendor: device.about.vendor.clone(),
            model: device.about.model.clone(),
            firmware: device.about.firmware.clone(),
            hardware: device.about.hardware.clone(),
            serial: device.about.serial.clone(),
            online: registry.is_online(device),
            clock_skew_ms: self.devices.skews.lock().of(&device.id),
            identifiers: device.identifiers.iter().map(ToString::to_string).collect(),
            aliases: texts(&device.aliases),
            conventions: device
                .conventions
                .iter()
                .map(|c| c.name().to_owned())
                .collect(),
            topics: texts(&device.topics),
            features: device.features.values().map(feature).collect(),
            faults: faults(registry, &device.id),
        }
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

    /// Check that a device has what is to be set.
    fn are_settable(&self, id: &str, values: &[(String, Value)]) -> Result<(), DeviceError> {
        let registry = self.devices.registry.read();
        let device = registry.device(id).ok_or_else(|| not_known(id))?;
        let missing = values
            .iter()
            .find(|(metric, _)| !device.features.contains_key(metric.as_str()));
        missing.map_or(Ok(()), |(metric, _)| Err(not_settable(device, metric)))
    }

    /// Send one command, or remember why not. Gives where its publish stands in the journal.
    fn send(
        &self,
        id: &str,
        metric: String,
        value: Value,
        timeout: Option<Duration>,
    ) -> Result<(watch::Receiver<Command>, Seq), DeviceError> {
        let now_ms = self.clock.now_ms();
        let (device, encoded, timeout_ms) = {
            let registry = self.devices.registry.read();
            let device = registry.device(id).ok_or_else(|| not_known(id))?;
            let Some(feature) = device.features.get(metric.as_str()) else {
                return Err(not_settable(device, &metric));
            };
            let usual = Duration::from_secs(command::timeout_s(feature));
            let timeout_ms = timeout.unwrap_or(usual).as_millis() as i64;
            let call = rand::random::<u32>() >> 1;
            (
                device.id.clone(),
                command::encode(feature, &value, call, now_ms),
                timeout_ms,
            )
        };
        let mut command = Command {
            id: ulid::Ulid::from_parts(now_ms.unsigned_abs(), rand::random()).to_string(),
            device,
            metric,
            value,
            topic: String::new(),
            status: Status::Delivered,
            sent_ms: now_ms,
            deadline_ms: now_ms.saturating_add(timeout_ms),
            done_ms: None,
        };
        let publish = match encoded {
            Ok(publish) => publish,
            Err(refusal) => {
                command.refuse(refusal.to_string());
                return Ok((self.devices.commands.add(command, Vec::new()), Seq::ZERO));
            }
        };
        command.topic.clone_from(&publish.topic);
        if publish.expected.is_empty() {
            command.done_ms = Some(now_ms);
        }
        // It is remembered first, because the device may answer at once.
        let id = command.id.clone();
        let receiver = self.devices.commands.add(command, publish.expected);
        let published = self.publisher.publish_logged(
            OWN_CLIENT,
            &publish.topic,
            publish.payload,
            publish.qos,
            publish.retain,
        );
        let seq = match published {
            // What the broker keeps reaches whoever comes later.
            Ok(published) if published.subscribers > 0 || publish.retain => published.seq,
            Ok(published) => {
                let reason = format!("nobody listens on {}", publish.topic);
                self.devices.commands.refuse(&id, reason, now_ms);
                published.seq
            }
            Err(error) => {
                self.devices.commands.refuse(&id, error.to_string(), now_ms);
                Seq::ZERO
            }
        };
        Ok((receiver, seq))
    }

    /// Wait until commands are on disk: what is told as delivered is not forgotten by a power cut.
    async fn durable(&self, upto: Seq) -> Result<(), DeviceError> {
        let mut durable = self.journal.durable();
        let waited = timeout(DURABLE_WITHIN, durable.wait_for(|seq| *seq >= upto)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            _ => Err(DeviceError::Unavailable(
                "the disk does not take the command".into(),
            )),
        }
    }

    async fn wait(&self, command: &mut watch::Receiver<Command>, until: Instant) {
        loop {
            let deadline_ms = {
                let command = command.borrow_and_update();
                if command.done_ms.is_some() {
                    return;
                }
                command.deadline_ms
            };
            let left_ms = (deadline_ms - self.clock.now_ms()).max(0);
            let deadline = Instant::now() + Duration::from_millis(left_ms.unsigned_abs());
            tokio::select! {
                changed = command.changed() => if changed.is_err() { return },
                () = sleep_until(deadline) => self.devices.commands.expire(self.clock.now_ms().max(deadline_ms)),
                () = sleep_until(until) => return,
            }
        }
    }
}

fn not_known(id: &str) -> DeviceError {
    DeviceError::NotFound(format!("there is no device {id:?} that announced itself"))
}

fn not_settable(device: &Device, metric: &str) -> DeviceError {
    let settable = device.features.values().filter(|f| f.write.is_some());
    let names: Vec<&str> = settable.map(|f| &*f.metric).collect();
    let names = names.join(", ");
    DeviceError::Bad(format!(
        "{metric:?} cannot be set on this device; it has {names}"
    ))
}

fn feature(feature: &KnownFeature) -> Feature {
    let (takes, options) = match &feature.domain {
        Domain::Any => ("any", Vec::new()),
        Domain::Switch => ("switch", Vec::new()),
        Domain::Number { .. } => ("number", Vec::new()),
        Domain::Options(options) => ("option", options.clone()),
        Domain::Text => ("text", Vec::new()),
        Domain::Press => ("press", Vec::new()),
        Domain::Object(keys) => ("object", keys.clone()),
    };
    let (min, max, step) = match feature.domain {
        Domain::Number { min, max, step } => (min, max, step),
        _ => (None, None, None),
    };
    Feature {
        metric: feature.metric.to_string(),
        component: feature.component.name().to_owned(),
        name: feature.name.clone(),
        class: feature.class.clone(),
        unit: feature.unit.as_deref().map(str::to_owned),
        raw_unit: feature.raw_unit.clone(),
        state_class: feature.state_class.map(|class| class.name().to_owned()),
        settable: feature.write.is_some(),
        takes: takes.to_owned(),
        min,
        max,
        step,
        options,
    }
}

fn faults(registry: &Registry, device: &str) -> Vec<DeviceFault> {
    let at = |ms: i64| (ms > 0).then(|| moment(ms));
    let fault = |record: &tarn_devices::registry::FaultRecord| DeviceFault {
        kind: record.fault.kind.name().to_owned(),
        detail: record.fault.detail.clone(),
        topic: record.topic.clone(),
        count: record.count,
        first: at(record.first_ms),
        last: at(record.last_ms),
    };
    registry.faults(device).map(fault).collect()
}

fn shape(command: &Command) -> CommandShape {
    let (status, reason) = match &command.status {
        Status::Delivered => ("delivered", None),
        Status::Confirmed => ("confirmed", None),
        Status::TimedOut => ("timed_out", None),
        Status::Refused(reason) => ("refused", Some(reason.clone())),
    };
    CommandShape {
        command: command.id.clone(),
        device: command.device.to_string(),
        metric: command.metric.clone(),
        value: Any(command.value.clone()),
        status: status.to_owned(),
        reason,
        topic: Some(command.topic.clone()).filter(|topic| !topic.is_empty()),
        sent: moment(command.sent_ms),
        deadline: Some(moment(command.deadline_ms)),
        done: command.done_ms.map(moment),
    }
}
