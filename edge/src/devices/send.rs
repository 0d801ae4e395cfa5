use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tarn_broker::Publisher;
use tarn_common::{clock::Clock, ids::Seq};
use tarn_devices::{command, registry::Device};
use tarn_openapi::DeviceError;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Devices, OWN_CLIENT,
    commands::{Command, Status},
};
use crate::journal::Journal;

/// How long a command waits for the disk before it is told as sent.
const DURABLE_WITHIN: Duration = Duration::from_secs(5);
/// Longer than any command takes.
const OUTCOME_WITHIN: Duration = Duration::from_secs(24 * 3600);

/// Sends commands to devices, in their own words.
pub struct CommandSender {
    /// What is known of them.
    pub devices: Arc<Devices>,
    /// Where commands go.
    pub publisher: Publisher,
    /// What keeps them through a power cut.
    pub journal: Arc<Journal>,
    /// When it is.
    pub clock: Arc<dyn Clock>,
}

impl CommandSender {
    /// Send one command, which has its id already, or remember why not.
    pub(crate) fn send(
        &self,
        id: String,
        device: &str,
        metric: String,
        value: Value,
        timeout: Option<Duration>,
    ) -> Result<watch::Receiver<Command>, DeviceError> {
        let now_ms = self.clock.now_ms();
        let (device, encoded, timeout_ms) = {
            let registry = self.devices.registry.read();
            let device = registry.device(device).ok_or_else(|| not_known(device))?;
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
            id: id.clone(),
            device,
            metric,
            value,
            topic: String::new(),
            status: Status::Delivered,
            sent_ms: now_ms,
            deadline_ms: now_ms.saturating_add(timeout_ms),
            done_ms: None,
            seq: Seq::ZERO,
        };
        let publish = match encoded {
            Ok(publish) => publish,
            Err(refusal) => {
                command.refuse(refusal.to_string());
                return Ok(self.devices.commands.add(command, Vec::new()));
            }
        };
        command.topic.clone_from(&publish.topic);
        if publish.expected.is_empty() {
            command.done_ms = Some(now_ms);
        }
        // It is remembered first, because the device may answer at once.
        let receiver = self.devices.commands.add(command, publish.expected);
        let published = self.publisher.publish_logged(
            OWN_CLIENT,
            &publish.topic,
            publish.payload,
            publish.qos,
            publish.retain,
        );
        match published {
            Ok(published) => {
                self.devices.commands.published(&id, published.seq);
                // What the broker keeps reaches whoever comes later.
                if published.subscribers == 0 && !publish.retain {
                    let reason = format!("nobody listens on {}", publish.topic);
                    self.devices.commands.refuse(&id, reason, now_ms);
                }
            }
            Err(error) => self.devices.commands.refuse(&id, error.to_string(), now_ms),
        }
        Ok(receiver)
    }

    /// Wait until commands are on disk: what is told as delivered is not forgotten by a power cut.
    pub(crate) async fn durable(&self, upto: Seq) -> Result<(), DeviceError> {
        if self.journal.wait_durable(upto, DURABLE_WITHIN).await {
            return Ok(());
        }
        Err(DeviceError::Unavailable(
            "the disk does not take the command".into(),
        ))
    }

    /// Wait for the outcome of a command at most until then.
    pub(crate) async fn wait(&self, command: &mut watch::Receiver<Command>, until: Instant) {
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

    /// Wait for the outcome of a command, however long it may take.
    pub(crate) async fn outcome(&self, command: &mut watch::Receiver<Command>) {
        self.wait(command, Instant::now() + OUTCOME_WITHIN).await;
    }
}

pub(super) fn not_known(id: &str) -> DeviceError {
    DeviceError::NotFound(format!("there is no device {id:?} that announced itself"))
}

pub(super) fn not_settable(device: &Device, metric: &str) -> DeviceError {
    let settable = device.features.values().filter(|f| f.write.is_some());
    let names: Vec<&str> = settable.map(|f| &*f.metric).collect();
    let names = names.join(", ");
    DeviceError::Bad(format!(
        "{metric:?} cannot be set on this device; it has {names}"
    ))
}
