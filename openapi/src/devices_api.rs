use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use poem_openapi::{
    ApiResponse, Object, OpenApi, Tags,
    param::{Path, Query},
    payload::Json,
    types::Any,
};
use serde_json::Value;
use tarn_common::query::when;

use crate::problem::Failure;

/// Values that one request sets at most.
const VALUES_MAX: usize = 100;
/// The longest that a request waits for a command's outcome: less than any request may take.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(50);
/// The longest that a device may take to confirm a command.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// The devices of a box: what they announced, and the way to set them.
#[async_trait]
pub trait DeviceService: Send + Sync + 'static {
    /// Every device that announced itself.
    fn known(&self) -> Vec<KnownDevice>;
    /// The device of this id, or of one that was merged into it. One that is known by its topics only is there
    /// where something was wrong with what it said.
    fn device(&self, id: &str) -> Option<KnownDevice>;
    /// The device's present id, and all ids that its readings are stored under.
    fn ids(&self, id: &str) -> (String, Vec<String>);
    /// Give it a name and a room; an empty text goes back to what it says itself.
    async fn update(
        &self,
        id: &str,
        name: Option<String>,
        room: Option<String>,
    ) -> Result<(), DeviceError>;
    /// Make two devices one.
    async fn merge(&self, id: &str, other: &str) -> Result<(), DeviceError>;
    /// Make some identifiers of a device a device of their own; gives its id.
    async fn split(&self, id: &str, identifiers: Vec<String>) -> Result<String, DeviceError>;
    /// Set metrics of a device, each by a command, and wait for their outcome at most so long.
    async fn set(
        &self,
        id: &str,
        values: Vec<(String, Value)>,
        timeout: Option<Duration>,
        wait: Duration,
    ) -> Result<Vec<Command>, DeviceError>;
    /// The latest commands to a device, latest first.
    fn commands(&self, id: &str) -> Vec<Command>;
    /// A command, after waiting for its outcome at most so long.
    async fn command(&self, id: &str, wait: Duration) -> Option<Command>;
}

/// Why something was not done to a device.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeviceError {
    /// There is no such device.
    #[error("{0}")]
    NotFound(String),
    /// The request is wrong.
    #[error("{0}")]
    Bad(String),
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Failure {
        match error {
            DeviceError::NotFound(detail) => Failure::not_found(detail),
            DeviceError::Bad(detail) => Failure::bad_request(detail),
            DeviceError::Unavailable(detail) => Failure::unavailable(detail),
        }
    }
}

/// What a device announced, and what was made of it.
#[derive(Debug, Clone, Default, Object)]
pub struct KnownDevice {
    /// Its id.
    pub device: String,
    /// Its name for people; null where it has none.
    pub name: Option<String>,
    /// The room that it is in; null where nobody said it.
    pub room: Option<String>,
    /// Who made it; null where it does not say.
    pub vendor: Option<String>,
    /// What its vendor calls it; null where it does not say.
    pub model: Option<String>,
    /// Version of its firmware; null where it does not say.
    pub firmware: Option<String>,
    /// Version of its hardware; null where it does not say.
    pub hardware: Option<String>,
    /// Its serial number; null where it does not say.
    pub serial: Option<String>,
    /// Whether it is there; null where nothing says it.
    pub online: Option<bool>,
    /// Its clock less the box's in milliseconds, delays included; null where it does not tell its time.
    pub clock_skew_ms: Option<i64>,
    /// What names it, like `mac:aabbccddeeff` or `ieee:00158d0001a2b3c4`.
    pub identifiers: Vec<String>,
    /// Ids that its readings were stored under before.
    pub aliases: Vec<String>,
    /// How it speaks, like `zigbee2mqtt` or `home_assistant`.
    pub conventions: Vec<String>,
    /// MQTT topics that are its own.
    pub topics: Vec<String>,
    /// What it measures, and what can be set on it.
    pub features: Vec<Feature>,
    /// What is wrong with what it says. Its readings are kept all the same.
    pub faults: Vec<DeviceFault>,
}

/// Something that a device measures or that can be set on it.
#[derive(Debug, Clone, Object)]
pub struct Feature {
    /// Its metric in readings, and its name in commands.
    pub metric: String,
    /// What kind of thing it is, by Home Assistant's names, like `sensor`, `switch` or `light`.
    pub component: String,
    /// Its name for people; null where it has none.
    pub name: Option<String>,
    /// Home Assistant's device class, like `temperature`; null without one.
    pub class: Option<String>,
    /// Unit of its readings; null without one.
    pub unit: Option<String>,
    /// The unit as the device spells it; null without one.
    pub raw_unit: Option<String>,
    /// `measurement`, `total` or `total_increasing`; null where nobody says it. Beside a metric that is
    /// `total_increasing` stands `<metric>.cumulative`, which goes on over resets.
    pub state_class: Option<String>,
    /// Whether it can be set.
    pub settable: bool,
    /// What it takes when it is set: `any`, `switch`, `number`, `option`, `text`, `press` or `object`.
    pub takes: String,
    /// Lowest number that it takes; null without a bound.
    pub min: Option<f64>,
    /// Highest number that it takes; null without a bound.
    pub max: Option<f64>,
    /// Distance between two numbers that it takes; null where any will do.
    pub step: Option<f64>,
    /// Words that it takes, or keys of an object; empty for others.
    pub options: Vec<String>,
}

/// Something wrong with what a device says.
#[derive(Debug, Clone, Object)]
pub struct DeviceFault {
    /// `announcement`, `template`, `payload`, `duplicate_id`, `identity_changed`, `unit`, `clock` or `too_large`.
    pub kind: String,
    /// What is wrong.
    pub detail: String,
    /// Topic that it came on.
    pub topic: String,
    /// How often since the box started.
    pub count: u64,
    /// When first, RFC 3339 UTC; null where it was found at the start again.
    pub first: Option<String>,
    /// When last, RFC 3339 UTC; null where it was found at the start again.
    pub last: Option<String>,
}

/// A change of what a user says of a device.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct DeviceUpdate {
    /// Its name; an empty text goes back to the one that it announced.
    #[oai(validator(max_length = 256))]
    pub(crate) name: Option<String>,
    /// The room that it is in; an empty text goes back to the one that it suggested.
    #[oai(validator(max_length = 256))]
    pub(crate) room: Option<String>,
}

/// The other of two devices that are one.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct MergeRequest {
    /// Id of the device that goes; its readings are shown with those of the one that stays.
    #[oai(validator(max_length = 1024))]
    pub(crate) other: String,
}

/// What is to be a device of its own.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct SplitRequest {
    /// Some of the device's identifiers, or ids that were merged into it.
    #[oai(validator(min_items = 1, max_items = 100))]
    pub(crate) identifiers: Vec<String>,
}

/// A device of its own.
#[derive(Debug, Object)]
pub(crate) struct SplitDone {
    /// Its id.
    pub(crate) device: String,
}

/// Commands, one for each value.
#[derive(Debug, Object)]
pub(crate) struct Commands {
    /// In the order of the request, or latest first.
    pub(crate) commands: Vec<Command>,
}

/// A command to a device.
#[derive(Debug, Clone, Object)]
pub struct Command {
    /// Its id; `GET /v1/homes/{home}/commands/{command}` follows it.
    pub command: String,
    /// Id of the device.
    pub device: String,
    /// What is set.
    pub metric: String,
    /// What it is set to.
    pub value: Any<Value>,
    /// `delivered` to whoever listens for the device, `confirmed` by the device's own state, `timed_out` without that,
    /// or `refused`. What has no state to read back stays `delivered`.
    pub status: String,
    /// Why it was refused; null otherwise.
    pub reason: Option<String>,
    /// MQTT topic that it went to; null where it was refused before.
    pub topic: Option<String>,
    /// When it was sent, RFC 3339 UTC.
    pub sent: String,
    /// Until when the device may confirm it, RFC 3339 UTC.
    pub deadline: String,
    /// When it came to its end, RFC 3339 UTC; null while it waits.
    pub done: Option<String>,
}

#[derive(Tags)]
enum Tag {
    /// Devices of a home, and what is done to them.
    Devices,
}

#[derive(ApiResponse)]
enum DeviceOk {
    /// The device.
    #[oai(status = 200)]
    Device(Json<KnownDevice>),
}

#[derive(ApiResponse)]
enum SplitOk {
    /// The new device.
    #[oai(status = 200)]
    Done(Json<SplitDone>),
}

#[derive(ApiResponse)]
enum SetOk {
    /// Every command has come to its end.
    #[oai(status = 200)]
    Done(Json<Commands>),
    /// Some commands wait to be confirmed.
    #[oai(status = 202)]
    Waiting(Json<Commands>),
}

#[derive(ApiResponse)]
enum CommandsOk {
    /// The commands.
    #[oai(status = 200)]
    Commands(Json<Commands>),
}

#[derive(ApiResponse)]
enum CommandOk {
    /// The command.
    #[oai(status = 200)]
    Command(Json<Command>),
}

/// What can be done to the devices of a box.
#[derive(Clone)]
pub(crate) struct DevicesApi {
    pub(crate) home: String,
    pub(crate) devices: Option<Arc<dyn DeviceService>>,
}

#[OpenApi]
impl DevicesApi {
    /// Name a device
    ///
    /// Sets its name and its room. Its id stays.
    #[oai(
        path = "/v1/homes/:home/devices/:device",
        method = "patch",
        operation_id = "updateDevice",
        tag = "Tag::Devices"
    )]
    async fn update_device(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
        update: Json<DeviceUpdate>,
    ) -> Result<DeviceOk, Failure> {
        let devices = self.devices(&home)?;
        let Json(DeviceUpdate { name, room }) = update;
        devices.update(&device, name, room).await?;
        self.shown(&home, &device)
    }

    /// Merge two devices
    ///
    /// For what announces itself twice and cannot be told to be one thing. Readings stay where they are and are shown
    /// together; the other's id goes on to work.
    #[oai(
        path = "/v1/homes/:home/devices/:device/merge",
        method = "post",
        operation_id = "mergeDevices",
        tag = "Tag::Devices"
    )]
    async fn merge_devices(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device that stays, percent-encoded.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
        request: Json<MergeRequest>,
    ) -> Result<DeviceOk, Failure> {
        let devices = self.devices(&home)?;
        devices.merge(&device, &request.other).await?;
        self.shown(&home, &device)
    }

    /// Split a device
    ///
    /// Makes some of its identifiers, or what was merged into it, a device of its own. They stay apart from then on.
    #[oai(
        path = "/v1/homes/:home/devices/:device/split",
        method = "post",
        operation_id = "splitDevice",
        tag = "Tag::Devices"
    )]
    async fn split_device(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
        request: Json<SplitRequest>,
    ) -> Result<SplitOk, Failure> {
        let devices = self.devices(&home)?;
        let Json(SplitRequest { identifiers }) = request;
        let device = devices.split(&device, identifiers).await?;
        Ok(SplitOk::Done(Json(SplitDone { device })))
    }

    /// Set what is wanted of a device
    ///
    /// A JSON object of metrics and values, such as `{"state": true, "brightness": 120}`. Each becomes a command in the
    /// device's own words. It is confirmed when the device tells that state, or times out.
    #[oai(
        path = "/v1/homes/:home/devices/:device/desired",
        method = "patch",
        operation_id = "setDesired",
        tag = "Tag::Devices"
    )]
    async fn set_desired(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
        /// How long the device may take, like `10s`; what is usual for its kind where it is not said.
        timeout: Query<Option<String>>,
        /// How long to wait for the outcome, like `5s`; not at all where it is not said.
        wait: Query<Option<String>>,
        values: Json<HashMap<String, Any<Value>>>,
    ) -> Result<SetOk, Failure> {
        let devices = self.devices(&home)?;
        let timeout = duration("timeout", timeout.0.as_deref(), TIMEOUT_MAX)?;
        let wait = duration("wait", wait.0.as_deref(), WAIT_MAX)?.unwrap_or_default();
        let mut values: Vec<(String, Value)> =
            values.0.into_iter().map(|(k, Any(v))| (k, v)).collect();
        if values.is_empty() || values.len() > VALUES_MAX {
            let detail = format!("name 1 to {VALUES_MAX} metrics and their values");
            return Err(Failure::bad_request(detail));
        }
        values.sort_by(|a, b| a.0.cmp(&b.0));
        let commands = devices.set(&device, values, timeout, wait).await?;
        let is_done = commands.iter().all(|command| command.done.is_some());
        let commands = Json(Commands { commands });
        Ok(if is_done {
            SetOk::Done(commands)
        } else {
            SetOk::Waiting(commands)
        })
    }

    /// List a device's commands
    ///
    /// Those that the box remembers since it started, latest first.
    #[oai(
        path = "/v1/homes/:home/devices/:device/commands",
        method = "get",
        operation_id = "listCommands",
        tag = "Tag::Devices"
    )]
    async fn list_commands(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the device, percent-encoded.
        #[oai(validator(max_length = 1024))]
        device: Path<String>,
    ) -> Result<CommandsOk, Failure> {
        let devices = self.devices(&home)?;
        let commands = devices.commands(&device);
        Ok(CommandsOk::Commands(Json(Commands { commands })))
    }

    /// Follow a command
    ///
    /// How far it is, after waiting for its outcome if asked to.
    #[oai(
        path = "/v1/homes/:home/commands/:command",
        method = "get",
        operation_id = "getCommand",
        tag = "Tag::Devices"
    )]
    async fn get_command(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Id of the command.
        #[oai(validator(max_length = 64))]
        command: Path<String>,
        /// How long to wait for the outcome, like `5s`; not at all where it is not said.
        wait: Query<Option<String>>,
    ) -> Result<CommandOk, Failure> {
        let devices = self.devices(&home)?;
        let wait = duration("wait", wait.0.as_deref(), WAIT_MAX)?.unwrap_or_default();
        match devices.command(&command, wait).await {
            Some(command) => Ok(CommandOk::Command(Json(command))),
            None => Err(Failure::not_found(format!(
                "there is no command {:?}, or it is too long ago",
                command.0
            ))),
        }
    }
}

impl DevicesApi {
    fn devices(&self, home: &str) -> Result<&Arc<dyn DeviceService>, Failure> {
        let devices = self.devices.as_ref();
        let devices =
            devices.ok_or_else(|| Failure::internal("no devices are behind this interface"))?;
        if home == self.home {
            Ok(devices)
        } else {
            Err(Failure::not_found(format!(
                "this is the box of home {}",
                self.home
            )))
        }
    }

    fn shown(&self, home: &str, device: &str) -> Result<DeviceOk, Failure> {
        let known = self.devices(home)?.device(device);
        known
            .map(|device| DeviceOk::Device(Json(device)))
            .ok_or_else(|| Failure::not_found(format!("there is no device {device:?}")))
    }
}

/// A duration that a request names, at most so long.
pub(crate) fn duration(
    name: &str,
    text: Option<&str>,
    max: Duration,
) -> Result<Option<Duration>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let width = when::width(name, text)?;
    let duration = Duration::from_millis(width.unsigned_abs());
    if duration <= max {
        return Ok(Some(duration));
    }
    let detail = format!(
        "{name}: {text:?} is too long, use at most {} s",
        max.as_secs()
    );
    Err(Failure::bad_request(detail))
}
