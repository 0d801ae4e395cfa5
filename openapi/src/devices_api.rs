use std::{collections::HashMap, time::Duration};

use poem_openapi::{
    ApiResponse, OpenApi, Tags,
    param::{Path, Query},
    payload::Json,
    types::Any,
};
use serde_json::Value;
use tarn_common::twin::{
    document::{DocumentId, Section},
    edit::Edit,
};

use crate::{
    devices::{
        Access, Command, Commands, DeviceError, DeviceUpdate, KnownDevice, MergeRequest,
        SetRequest, SplitDone, SplitRequest, duration, shown,
    },
    problem::Failure,
};

/// Values that one request sets at most.
const VALUES_MAX: usize = 100;
/// The longest that a request waits for a command's outcome: less than any request may take.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(50);
/// The longest that a device may take to confirm a command.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

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
    pub(crate) access: Access,
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
        let (home, devices, twins) = self.access.twins(&home).await?;
        let Json(DeviceUpdate { name, room }) = update;
        shown(&device, devices.device(&home, &device).await)?;
        let document = DocumentId::device(&devices.ids(&home, &device).await.0);
        let edits: Vec<Edit> = [("name", name), ("room", room)]
            .into_iter()
            .filter_map(|(attribute, text)| Some((attribute, text?)))
            .map(|(attribute, text)| {
                let text = Some(text).filter(|text| !text.is_empty());
                Edit::new(document.clone(), Section::Meta, attribute, text)
            })
            .collect();
        twins.edit(&edits, "box").await.map_err(DeviceError::from)?;
        let known = devices.device(&home, &device).await;
        Ok(DeviceOk::Device(Json(shown(&device, known)?)))
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
        let (home, devices) = self.access.devices(&home)?;
        devices.merge(&home, &device, &request.other).await?;
        let known = devices.device(&home, &device).await;
        Ok(DeviceOk::Device(Json(shown(&device, known)?)))
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
        let (home, devices) = self.access.devices(&home)?;
        let Json(SplitRequest { identifiers }) = request;
        let device = devices.split(&home, &device, identifiers).await?;
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
        let (home, devices) = self.access.devices(&home)?;
        let timeout = duration("timeout", timeout.0.as_deref(), TIMEOUT_MAX)?;
        let wait = duration("wait", wait.0.as_deref(), WAIT_MAX)?.unwrap_or_default();
        let mut values: Vec<(String, Value)> =
            values.0.into_iter().map(|(k, Any(v))| (k, v)).collect();
        if values.is_empty() || values.len() > VALUES_MAX {
            let detail = format!("name 1 to {VALUES_MAX} metrics and their values");
            return Err(Failure::bad_request(detail));
        }
        values.sort_by(|a, b| a.0.cmp(&b.0));
        let request = SetRequest {
            values,
            by: "box".into(),
            timeout,
            ..SetRequest::default()
        };
        let commands = devices.set(&home, &device, request, wait).await?;
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
        let (home, devices) = self.access.devices(&home)?;
        let commands = devices.commands(&home, &device).await;
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
        let (home, devices) = self.access.devices(&home)?;
        let wait = duration("wait", wait.0.as_deref(), WAIT_MAX)?.unwrap_or_default();
        match devices.command(&home, &command, wait).await {
            Some(command) => Ok(CommandOk::Command(Json(command))),
            None => Err(Failure::not_found(format!(
                "there is no command {:?}, or it is too long ago",
                command.0
            ))),
        }
    }
}
