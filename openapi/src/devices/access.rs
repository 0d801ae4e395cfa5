use std::{sync::Arc, time::Duration};

use tarn_common::{
    ids::{HomeId, InvalidId},
    query::when,
    twin::home::HomeTwins,
};

use super::{DeviceService, KnownDevice};
use crate::{problem::Failure, service::Service};

/// The host as operations on twins see it. Without one they only describe themselves.
#[derive(Clone, Default)]
pub(crate) struct Access {
    pub(crate) host: Option<Arc<dyn Service>>,
}

impl Access {
    /// The host.
    pub(crate) fn service(&self) -> Result<&Arc<dyn Service>, Failure> {
        let host = self.host.as_ref();
        host.ok_or_else(|| Failure::unavailable("nothing is served here"))
    }

    /// A home by its name, if it may be here, and what serves its devices.
    pub(crate) fn devices(&self, home: &str) -> Result<(HomeId, Arc<dyn DeviceService>), Failure> {
        let home: HomeId = home
            .parse()
            .map_err(|error: InvalidId| Failure::bad_request(error.to_string()))?;
        let service = self.service()?;
        let devices = service.devices();
        let devices = devices.ok_or_else(|| Failure::unavailable("no devices are served here"))?;
        match service.home() {
            Some(own) if own != home => {
                Err(Failure::not_found(format!("this is the box of home {own}")))
            }
            _ => Ok((home, devices)),
        }
    }

    /// The same with the twins of the home.
    pub(crate) async fn twins(
        &self,
        home: &str,
    ) -> Result<(HomeId, Arc<dyn DeviceService>, Arc<HomeTwins>), Failure> {
        let (home, devices) = self.devices(home)?;
        match devices.twins(&home).await? {
            Some(twins) => Ok((home, devices, twins)),
            None => Err(Failure::not_found(format!(
                "there is no home {home} with twins here"
            ))),
        }
    }
}

/// A device that must be there.
pub(crate) fn shown(id: &str, device: Option<KnownDevice>) -> Result<KnownDevice, Failure> {
    device.ok_or_else(|| Failure::not_found(format!("there is no device {id:?}")))
}

/// A duration of a query, like `10s`.
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
