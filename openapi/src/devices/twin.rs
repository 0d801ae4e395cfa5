use std::collections::{BTreeMap, HashSet};

use poem_openapi::{Object, types::Any};
use serde_json::Value;
use tarn_common::{
    ids::HomeId,
    twin::{
        command::{CommandState, wanted_of},
        document::{Document, Section},
        edit::value,
        history::{Changed, history},
        home::HomeTwins,
        replica::{DELETED_AT, OWNER, Replica},
        resolve::{Resolved, Why},
        write::Write,
    },
};

use super::{DeviceService, KnownDevice};
use crate::{about, types::moment};

/// What is shared of a device between its box and everyone else.
#[derive(Debug, Clone, Object)]
pub struct Twin {
    /// Its name for people, by whoever named it, else as it announced; null where it has none.
    pub name: Option<String>,
    /// The room that it is in, by whoever said it, else as it announced; null where nobody said it.
    pub room: Option<String>,
    /// Id of the box that it is at; null where no box has it yet.
    pub owner: Option<String>,
    /// What it says that it is, by metric.
    pub reported: BTreeMap<String, Any<Value>>,
    /// What is wanted of it, by metric.
    pub desired: BTreeMap<String, WantedValue>,
    /// Metrics of which several values were wanted at once; `GET …/conflicts` shows them.
    pub conflicts: u64,
}

/// What is wanted of a metric.
#[derive(Debug, Clone, Object)]
pub struct WantedValue {
    /// What it shall be.
    pub value: Any<Value>,
    /// Who wants it: `device` for what somebody did at the device itself.
    pub by: String,
    /// Since when, RFC 3339 UTC.
    pub at: String,
    /// Seconds from then on that it may be carried out; null where for ever.
    pub ttl_s: Option<u32>,
    /// Id of the command; `GET /v1/homes/{home}/commands/{command}` follows it.
    pub command: String,
    /// How far it is, as a command's status.
    pub status: String,
    /// Why it was refused; null otherwise.
    pub reason: Option<String>,
}

/// Metrics of which several values were wanted at once.
#[derive(Debug, Object)]
pub(crate) struct Conflicts {
    /// By metric.
    pub(crate) conflicts: Vec<Conflict>,
}

/// Values that were wanted at once: by people who did not know of each other.
#[derive(Debug, Object)]
pub(crate) struct Conflict {
    /// The metric.
    pub(crate) metric: String,
    /// The value that holds, on every box and in every cloud; null where the time of all has passed.
    pub(crate) winner: Option<Contender>,
    /// The others, latest first.
    pub(crate) losers: Vec<Contender>,
}

/// One of the values that were wanted at once.
#[derive(Debug, Object)]
pub(crate) struct Contender {
    /// What was wanted.
    pub(crate) value: Any<Value>,
    /// Who wanted it: `device` for what somebody did at the device itself.
    pub(crate) by: String,
    /// When, RFC 3339 UTC.
    pub(crate) at: String,
    /// Id of the command.
    pub(crate) command: String,
    /// Why it does not hold: `expired`, `clock_ahead`, `policy`, `changed_at_device` or `older`; null for the one that does.
    pub(crate) why: Option<String>,
}

/// What settles a conflict.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct ConflictResolution {
    /// What it shall be; the value that holds where it is absent or null.
    pub(crate) value: Option<Any<Value>>,
}

/// What was changed of a twin.
#[derive(Debug, Object)]
pub(crate) struct TwinHistory {
    /// Latest first.
    pub(crate) changes: Vec<TwinChange>,
}

/// One change of a twin.
#[derive(Debug, Object)]
pub(crate) struct TwinChange {
    /// When, RFC 3339 UTC; null for what nobody dated.
    pub(crate) at: Option<String>,
    /// Who: `device` for what the device or its box said.
    pub(crate) by: String,
    /// What kind of thing was changed: `meta`, `about`, `reported`, `desired`, `ack` or `policy`.
    pub(crate) section: String,
    /// Which one.
    pub(crate) attribute: String,
    /// What it became; null where it was taken away.
    pub(crate) value: Any<Value>,
    /// Id of the command, where it is one; null otherwise.
    pub(crate) command: Option<String>,
}

impl Twin {
    /// A twin by its document.
    pub(crate) fn of(document: &Document, now_ms: i64) -> Twin {
        let announced = about::device(document).unwrap_or_default();
        let announced = overlaid(announced, Some(document), now_ms);
        let reported = document.attributes(Section::Reported).into_iter();
        let reported = reported.filter_map(|attribute| {
            let scalar = document.scalar(Section::Reported, &attribute)?;
            Some((attribute, Any(value(&scalar))))
        });
        let desired = wanted_of(document, now_ms).into_iter();
        Twin {
            name: announced.name,
            room: announced.room,
            owner: text(document, OWNER, now_ms),
            reported: reported.collect(),
            desired: desired
                .map(|state| (state.attribute.clone(), WantedValue::of(state)))
                .collect(),
            conflicts: conflicts(document, now_ms).len() as u64,
        }
    }
}

impl WantedValue {
    fn of(state: CommandState) -> WantedValue {
        WantedValue {
            value: Any(state.value),
            by: state.by,
            at: moment(state.at_ms),
            ttl_s: state.ttl_s,
            command: state.id,
            status: state.status.name().to_owned(),
            reason: state.reason,
        }
    }
}

impl Conflict {
    fn of(metric: String, resolved: Resolved) -> Conflict {
        let losers = resolved.losers.into_iter();
        Conflict {
            metric,
            winner: resolved.winner.map(|write| Contender::of(write, None)),
            losers: losers
                .map(|(write, why)| Contender::of(write, Some(why)))
                .collect(),
        }
    }
}

impl Contender {
    fn of(write: Write, why: Option<Why>) -> Contender {
        Contender {
            value: Any(write.v),
            by: write.by,
            at: moment(write.at.ms),
            command: write.id,
            why: why.map(|why| why.name().to_owned()),
        }
    }
}

impl TwinChange {
    fn of(changed: Changed) -> TwinChange {
        let is_command = changed.section == Section::Desired;
        TwinChange {
            at: changed.at_ms.map(moment),
            by: changed.by,
            section: changed.section.name().to_owned(),
            attribute: changed.attribute,
            value: Any(changed.value),
            command: changed.id.filter(|_| is_command),
        }
    }
}

/// Metrics of which several values were wanted at once.
pub(crate) fn conflicts(document: &Document, now_ms: i64) -> Vec<Conflict> {
    let attributes = document.attributes(Section::Desired).into_iter();
    let conflicts = attributes.filter_map(|attribute| {
        let resolved = document.resolve(Section::Desired, &attribute, now_ms);
        resolved
            .is_conflict()
            .then(|| Conflict::of(attribute, resolved))
    });
    conflicts.collect()
}

/// Who changed what of a twin, latest first.
pub(crate) fn changes(document: &Document, max: usize) -> Vec<TwinChange> {
    let changes = history(document, max).into_iter();
    changes.map(TwinChange::of).collect()
}

/// A device with the name and the room that people gave it.
pub(crate) fn overlaid(
    mut device: KnownDevice,
    document: Option<&Document>,
    now_ms: i64,
) -> KnownDevice {
    if let Some(document) = document {
        device.name = text(document, "name", now_ms).or(device.name);
        device.room = text(document, "room", now_ms).or(device.room);
    }
    device
}

/// A device that has a twin, as that knows it; none of one that was deleted.
pub(crate) fn twinned(document: &Document, now_ms: i64) -> Option<KnownDevice> {
    let deleted_at = document.value(Section::Meta, DELETED_AT, now_ms);
    let device = about::device(document).filter(|_| deleted_at.is_none())?;
    Some(overlaid(device, Some(document), now_ms))
}

/// Devices of a home that announced themselves or have a twin, each with what people say of it.
pub async fn announced(
    devices: &dyn DeviceService,
    home: &HomeId,
    twins: &HomeTwins,
    now_ms: i64,
) -> Vec<KnownDevice> {
    let known = devices.known(home).await;
    twins.read(|replica| all(known, replica, now_ms))
}

/// Names of devices for people, by their ids; those without one are left out.
#[must_use]
pub fn names_of(devices: &[KnownDevice]) -> BTreeMap<String, String> {
    let named = devices.iter();
    let named = named.filter_map(|device| Some((device.device.clone(), device.name.clone()?)));
    named.collect()
}

/// Devices that announced themselves here, and those that have a twin only, each with what people say of it.
pub(crate) fn all(known: Vec<KnownDevice>, replica: &Replica, now_ms: i64) -> Vec<KnownDevice> {
    let mut ids: HashSet<String> = HashSet::new();
    let mut all = Vec::new();
    for device in known {
        let id = tarn_common::twin::document::DocumentId::device(&device.device);
        ids.extend(device.aliases.iter().cloned());
        ids.insert(device.device.clone());
        all.push(overlaid(device, replica.document(&id), now_ms));
    }
    let twinned = replica
        .documents()
        .filter_map(|document| twinned(document, now_ms));
    all.extend(twinned.filter(|device| !ids.contains(&device.device)));
    all
}

fn text(document: &Document, attribute: &str, now_ms: i64) -> Option<String> {
    let text = document.value(Section::Meta, attribute, now_ms)?;
    text.as_str().map(str::to_owned)
}
