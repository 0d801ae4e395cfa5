use std::{sync::Arc, time::Duration};

use tarn_common::{
    ids::{HomeId, InvalidId},
    query::when,
    twin::{document::DocumentId, home::HomeTwins, write::DEVICE},
};

use super::{DeviceService, KnownDevice, twin};
use crate::{
    access::{By, Role},
    problem::Failure,
    service::Service,
};

/// Characters of the name of an author, or of a node.
const NAME_MAX: usize = 64;

/// The home, what serves its devices, and its twins.
pub(crate) struct Place {
    pub(crate) home: HomeId,
    pub(crate) devices: Arc<dyn DeviceService>,
    pub(crate) twins: Arc<HomeTwins>,
    pub(crate) now_ms: i64,
}

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
    pub(crate) async fn twins(&self, home: &str) -> Result<Place, Failure> {
        let (home, devices) = self.devices(home)?;
        let now_ms = self.service()?.clock().now_ms();
        match devices.twins(&home).await? {
            Some(twins) => Ok(Place {
                home,
                devices,
                twins,
                now_ms,
            }),
            None => Err(Failure::not_found(format!(
                "there is no home {home} with twins here"
            ))),
        }
    }

    /// Wait until what runs the rules knows what was stored before: rules, the mode, who is there.
    pub(crate) async fn rules_taken(&self) -> Result<(), Failure> {
        match self.service()?.rules_taken().await {
            true => Ok(()),
            false => Err(Failure::unavailable(
                "it is stored, but the rules of the box do not go by it yet; asking again waits again",
            )),
        }
    }

    /// A device that announced itself, has a twin or has readings, with the name and room that people gave it.
    pub(crate) async fn device(&self, place: &Place, id: &str) -> Result<KnownDevice, Failure> {
        let Place {
            home,
            devices,
            twins,
            now_ms,
        } = place;
        let (id, ids) = devices.ids(home, id).await;
        let document = DocumentId::device(&id);
        let known = devices.device(home, &id).await;
        let known = twins.read(|replica| {
            let document = replica.document(&document);
            match known {
                Some(known) => Some(twin::overlaid(known, document, *now_ms)),
                None => document.and_then(|document| twin::twinned(document, *now_ms)),
            }
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let service = self.service()?;
        let time = service.limits().time;
        let summaries = service.engine().devices(home, time).await?.devices;
        let has_readings = summaries
            .iter()
            .any(|summary| ids.iter().any(|id| **id == *summary.device));
        let device = KnownDevice {
            device: id.clone(),
            ..KnownDevice::default()
        };
        shown(&id, has_readings.then_some(device))
    }

    /// Who writes: whoever asks, or in whose name he does.
    pub(crate) fn author(&self, caller: &By, header: Option<String>) -> Result<String, Failure> {
        match header {
            None => author(&caller.0.name),
            Some(name) if matches!(caller.0.role, Role::Owner | Role::Service) => author(&name),
            Some(_) => Err(Failure::forbidden(
                "tarn-author: only an owner or a service may write in the name of others",
            )),
        }
    }
}

/// The name of an author or a node. `device` is nobody's: what is done at a device stands over what others want.
pub(crate) fn author(name: &str) -> Result<String, Failure> {
    let is_plain = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let is_name = !name.trim().is_empty() && name.len() <= NAME_MAX && is_plain;
    if is_name && name != DEVICE {
        return Ok(name.to_owned());
    }
    Err(Failure::bad_request(format!(
        "{name:?} is no name of who asks: use 1 to {NAME_MAX} printable ASCII characters, and not {DEVICE:?}"
    )))
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
