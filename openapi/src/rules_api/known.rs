use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use tarn_rules::{
    Place as Locality,
    check::{Fault, Known, KnownMetric},
};

use crate::{
    api::{Api, merged},
    automation::{self, settables},
    devices::Place,
    problem::Failure,
};

/// What a rule is held against: the home's devices with what they have measured and what can be set on them, its scenes,
/// and where it is.
pub(crate) async fn known_of(api: &Api, place: &Place) -> Result<Known, Failure> {
    let announced = api.announced(&place.home, &place.devices).await?;
    let summaries = api.summaries(&place.home).await?.devices;
    let mut devices: BTreeMap<String, BTreeMap<String, KnownMetric>> = BTreeMap::new();
    for (id, device) in merged(summaries, &announced) {
        let metrics = device.metrics.keys();
        let measured = metrics.map(|name| (name.to_string(), KnownMetric { settable: false }));
        devices.entry(id).or_default().extend(measured);
    }
    let settables = settables(&announced);
    for device in announced {
        let features = device.features.into_iter();
        let features = features.map(|f| {
            let settable = f.settable;
            (f.metric, KnownMetric { settable })
        });
        devices.entry(device.device).or_default().extend(features);
    }
    let scenes = place
        .twins
        .read(|replica| automation::scenes(replica, place.now_ms));
    Ok(Known {
        devices,
        settables,
        scenes: scenes.into_iter().map(|(id, s)| (id, s.then)).collect(),
        place: here(api.service()?.zone(), place),
    })
}

/// Where a home is; in this time zone where nobody said it.
pub(crate) fn here(zone: TimeZone, place: &Place) -> Locality {
    let said = place
        .twins
        .read(|replica| automation::place(replica, place.now_ms));
    said.or(zone)
}

/// What is wrong, in words.
pub(crate) fn refused(faults: &[Fault]) -> Failure {
    let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
    Failure::bad_request(words.join("; "))
}
