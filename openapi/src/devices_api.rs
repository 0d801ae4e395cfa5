use poem_openapi::{ApiResponse, OpenApi, Tags, param::Path, payload::Json};

use crate::{
    devices::{Access, KnownDevice, MergeRequest, SplitDone, SplitRequest, shown},
    problem::Failure,
};

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

/// What only a box does to its devices.
#[derive(Clone)]
pub(crate) struct DevicesApi {
    pub(crate) access: Access,
}

#[OpenApi]
impl DevicesApi {
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
}
