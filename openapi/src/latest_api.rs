use poem_openapi::{
    ApiResponse, OpenApi, Tags,
    param::{Path, Query},
};
use tarn_common::{ids::HomeId, query::devices::Devices};

use crate::{
    api::{Api, listed, merged},
    kept::Encoded,
    problem::Failure,
    types::{LatestList, LatestReading},
};

#[derive(Tags)]
enum Tag {
    /// Homes, devices and their readings.
    Readings,
}

/// What all devices of a home measured last.
#[derive(Clone)]
pub(crate) struct LatestApi {
    pub(crate) api: Api,
}

#[derive(ApiResponse)]
enum LatestOk {
    /// The readings.
    #[oai(status = 200)]
    Latest(Encoded<LatestList>),
}

#[OpenApi]
impl LatestApi {
    /// List the latest readings of a home
    ///
    /// One of each metric of each device, by device and metric: what a wall panel shows. Costs no reading of chunks that were
    /// looked at before.
    #[oai(
        path = "/v1/homes/:home/latest",
        method = "get",
        operation_id = "listLatest",
        tag = "Tag::Readings"
    )]
    async fn list_latest(
        &self,
        /// Name of the home.
        #[oai(validator(max_length = 64))]
        home: Path<String>,
        /// Only of these devices, by id; repeat it for several.
        #[oai(validator(max_items = 100))]
        device: Query<Vec<String>>,
        /// Only these metrics; repeat it for several.
        #[oai(validator(max_items = 100))]
        metric: Query<Vec<String>>,
    ) -> Result<LatestOk, Failure> {
        let home = self.api.home(&home).await?;
        // Answers to other questions than for all are not worth their room.
        let source = match device.is_empty() && metric.is_empty() {
            true => self.api.source("listLatest", &home).await?,
            false => None,
        };
        let made = self.latest(&home, &device, &metric);
        Ok(LatestOk::Latest(self.api.kept.get(source, made).await?))
    }
}

impl LatestApi {
    async fn latest(
        &self,
        home: &HomeId,
        device: &[String],
        metric: &[String],
    ) -> Result<LatestList, Failure> {
        let Devices { devices, missing } = self.api.summaries(home).await?;
        let known = match self.api.known(home)? {
            Some(devices) => devices.known(home).await,
            None => Vec::new(),
        };
        let wants = |wanted: &[String], name: &str| {
            wanted.is_empty() || wanted.iter().any(|wanted| wanted == name)
        };
        let devices = merged(devices, &known);
        let devices = devices.values().filter(|d| wants(device, &d.device));
        let latest = devices.flat_map(|device| {
            let metrics = device
                .metrics
                .iter()
                .filter(|(name, _)| wants(metric, name));
            metrics.map(|(name, series)| LatestReading::of(&device.device, name, series))
        });
        Ok(LatestList {
            latest: latest.collect(),
            missing: listed(&missing),
        })
    }
}
