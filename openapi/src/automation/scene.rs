use std::{collections::BTreeMap, time::Duration};

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tarn_common::{
    ids::HomeId,
    twin::{
        home::{HomeTwins, TwinError},
        replica::Replica,
    },
};
use tarn_rules::{
    group::{Group, Settable, Takes},
    rule::{Action, Scalar},
};

use super::{named, setting};
use crate::devices::{Command, DeviceError, DeviceService, Feature, KnownDevice, SetRequest};

/// What settings of scenes begin with; their ids follow.
const SCENE: &str = "scene/";
/// What settings of when a scene was started begin with; their ids follow.
const STARTED: &str = "started/";

/// What several devices do at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// What people call it.
    pub name: String,
    /// What is done, in this order.
    pub then: Vec<Action>,
}

/// When somebody wanted a scene.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Started {
    /// When, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// Who wanted it.
    pub by: String,
}

/// Scenes by id that this version understands.
#[must_use]
pub fn scenes(replica: &Replica, now_ms: i64) -> BTreeMap<String, Scene> {
    named(replica, SCENE, now_ms)
}

/// When each scene was wanted last.
#[must_use]
pub fn starts(replica: &Replica, now_ms: i64) -> BTreeMap<String, Started> {
    named(replica, STARTED, now_ms)
}

/// Make a scene, put it in the place of the one that was, or take it away. On return that is stored. Gives whether there is
/// such a scene, or was.
///
/// # Errors
/// It cannot be stored.
pub async fn set_scene(
    twins: &HomeTwins,
    id: &str,
    scene: Option<&Scene>,
    by: &str,
    now_ms: i64,
) -> Result<bool, TwinError> {
    let mut is_there = scene.is_some();
    let decide = |replica: &Replica| {
        let before = scenes(replica, now_ms).remove(id);
        is_there |= before.is_some();
        if before.as_ref() == scene {
            return Ok(Vec::new());
        }
        let value = scene.map_or(Value::Null, |scene| json!(scene));
        Ok::<_, TwinError>(vec![setting(&format!("{SCENE}{id}"), value)])
    };
    twins.edit_if(decide, by).await?;
    Ok(is_there)
}

/// Want a scene: the box of the home carries it out. On return that is stored. Gives whether there is such a scene.
///
/// # Errors
/// It cannot be stored.
pub async fn start_scene(
    twins: &HomeTwins,
    id: &str,
    by: &str,
    now_ms: i64,
) -> Result<bool, TwinError> {
    let mut is_there = false;
    let decide = |replica: &Replica| {
        is_there = scenes(replica, now_ms).contains_key(id);
        if !is_there {
            return Ok(Vec::new());
        }
        let before = starts(replica, now_ms).remove(id);
        let started = Started {
            // One that is wanted twice within a millisecond is wanted twice.
            at_ms: before.map_or(now_ms, |before| now_ms.max(before.at_ms + 1)),
            by: by.to_owned(),
        };
        Ok::<_, TwinError>(vec![setting(&format!("{STARTED}{id}"), json!(started))])
    };
    twins.edit_if(decide, by).await?;
    Ok(is_there)
}

/// Say what is wanted of all devices of a kind; gives what became of it, by their ids. Those that cannot be had keep none of the
/// others waiting. Nobody is told anything where no device understands it.
pub async fn set_group(
    service: &dyn DeviceService,
    home: &HomeId,
    known: &[KnownDevice],
    group: &Group,
    by: &str,
) -> Vec<(String, Result<Vec<Command>, DeviceError>)> {
    let sets = group.of(&settables(known)).into_iter();
    let sets = sets.map(async |(device, values)| {
        let request = request(&values, by);
        let set = service.set(home, &device, request, Duration::ZERO).await;
        (device, set)
    });
    join_all(sets).await
}

/// What a rule or a scene wants of a device.
#[must_use]
pub fn request(values: &BTreeMap<String, Scalar>, by: &str) -> SetRequest {
    let values = values.iter();
    SetRequest {
        values: values
            .map(|(metric, value)| (metric.clone(), json!(value)))
            .collect(),
        by: by.to_owned(),
        ..SetRequest::default()
    }
}

/// What can be set on devices, for what is wanted of all of a kind.
#[must_use]
pub fn settables(devices: &[KnownDevice]) -> Vec<Settable> {
    let of = |device: &KnownDevice| {
        let (id, room) = (device.device.clone(), device.room.clone());
        let features = device.features.iter().filter(|feature| feature.settable);
        let settables = features.map(move |feature| Settable {
            device: id.clone(),
            room: room.clone(),
            metric: feature.metric.clone(),
            component: feature.component.clone(),
            takes: takes(feature),
        });
        settables.collect::<Vec<_>>()
    };
    devices.iter().flat_map(of).collect()
}

fn takes(feature: &Feature) -> Takes {
    match &*feature.takes {
        "switch" => Takes::Switch,
        "number" => Takes::Number {
            min: feature.min,
            max: feature.max,
        },
        "option" => Takes::Options(feature.options.clone()),
        _ => Takes::Other,
    }
}
