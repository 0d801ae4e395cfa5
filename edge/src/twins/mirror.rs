use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tarn_common::{
    clock::Clock,
    ids::EdgeId,
    twin::{
        document::{Document, DocumentId, Section},
        edit::{Edit, value as scalar_value},
        home::{HomeTwins, TwinError},
        replica::{DELETED_AT, OWNER, Replica},
        resolve::Policy,
        write::DEVICE,
    },
};
use tarn_devices::{
    registry::{Device, Feature},
    twin,
};
use tarn_openapi::{about, types::moment};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::{Presence, heard::States, policy};
use crate::{devices::Devices, identity::Identity};

/// What is said within this time becomes one change of its document.
const COALESCE: Duration = Duration::from_millis(500);
/// How often it is looked who has a device.
const CLAIM_EVERY: Duration = Duration::from_secs(30);
/// Documents that one change of the store concerns at most.
const DOCUMENTS_AT_ONCE: usize = 500;

/// Keeps the twins of this box's devices true to what is known of them.
pub struct Mirror {
    /// Who this box is.
    pub identity: Identity,
    /// The twins.
    pub twins: Arc<HomeTwins>,
    /// What is known of devices.
    pub devices: Arc<Devices>,
    /// Which boxes are there.
    pub presence: Presence,
    /// When it is.
    pub clock: Arc<dyn Clock>,
}

impl Mirror {
    /// Keep the twins true until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let known = self.devices.clone();
        let mut generation = None;
        let mut claim = interval(CLAIM_EVERY);
        claim.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_due = tokio::select! {
                () = stop.cancelled() => return,
                () = known.heard.more() => {
                    if stop.run_until_cancelled(sleep(COALESCE)).await.is_none() {
                        return;
                    }
                    false
                }
                _ = claim.tick() => true,
            };
            let now = Some(known.context().schema.generation);
            self.look(is_due || now != generation).await;
            generation = now;
        }
    }

    /// Bring the documents up to what is known now: all of them, or those of devices that were heard.
    pub async fn look(&self, all: bool) {
        let heard = self.devices.heard.take();
        if let Err(error) = self.write(&heard, all).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "what devices said is not in their twins yet"
            );
            self.devices.heard.give_back();
        } else {
            self.devices.heard.is_kept();
        }
    }

    async fn write(&self, heard: &States, all: bool) -> Result<(), TwinError> {
        let me = self.identity.edge.to_string();
        let mut devices = self.known(|id| all || heard.keys().any(|(device, _)| device == id));
        devices.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        for devices in devices.chunks(DOCUMENTS_AT_ONCE) {
            let decide = |replica: &Replica| -> Result<Vec<Edit>, TwinError> {
                Ok(devices
                    .iter()
                    .flat_map(|(device, about)| self.edits(replica, device, about, heard))
                    .collect())
            };
            self.twins.edit_if(decide, &me).await?;
        }
        if all {
            let decide = |replica: &Replica| Ok::<_, TwinError>(self.gone(replica));
            self.twins.edit_if(decide, &me).await?;
        }
        Ok(())
    }

    /// Devices of this box that took back what they announced, or became part of another one: they are marked, and their twins stay.
    fn gone(&self, replica: &Replica) -> Vec<Edit> {
        let now_ms = self.clock.now_ms();
        let me = self.identity.edge.to_string();
        let registry = self.devices.registry.read();
        let is_known = |id: &str| registry.device(id).is_some_and(|device| &*device.id == id);
        let documents = replica.documents().filter(|document| {
            let id = &document.key().id;
            id.as_device().is_some_and(|device| !is_known(device))
                && replica.owner(id, now_ms).as_ref() == Some(&me)
                && document.value(Section::Meta, DELETED_AT, now_ms).is_none()
        });
        documents
            .map(|document| {
                let id = document.key().id.clone();
                Edit::new(id, Section::Meta, DELETED_AT, moment(now_ms))
            })
            .collect()
    }

    /// Devices, each with what its document says about it.
    fn known(
        &self,
        wanted: impl Fn(&Arc<str>) -> bool,
    ) -> Vec<(Device, Vec<(&'static str, Value)>)> {
        let registry = self.devices.registry.read();
        let known = |device: &Device| {
            (
                device.clone(),
                about::scalars(&self.devices.shown(&registry, device)),
            )
        };
        registry
            .devices()
            .filter(|device| wanted(&device.id))
            .map(known)
            .collect()
    }

    /// What is to be changed in the document of a device; nothing where another box has it.
    fn edits(
        &self,
        replica: &Replica,
        device: &Device,
        about: &[(&'static str, Value)],
        heard: &States,
    ) -> Vec<Edit> {
        let id = DocumentId::device(&device.id);
        let now_ms = self.clock.now_ms();
        let mut edits = Vec::new();
        match claim(replica, &id, self.identity.edge, &self.presence, now_ms) {
            Claim::Others => return edits,
            Claim::Ours => {}
            Claim::Take => {
                let owner = self.identity.edge.to_string();
                edits.push(Edit::new(id.clone(), Section::Meta, OWNER, owner));
            }
        }
        let document = replica.document(&id);
        if document
            .is_some_and(|document| document.value(Section::Meta, DELETED_AT, now_ms).is_some())
        {
            edits.push(Edit::new(
                id.clone(),
                Section::Meta,
                DELETED_AT,
                Value::Null,
            ));
        }
        let is = |section, attribute: &str| {
            document
                .and_then(|d| d.scalar(section, attribute))
                .map(|s| scalar_value(&s))
        };
        let mut put = |section: Section, attribute: &str, value: Value| {
            if is(section, attribute).unwrap_or(Value::Null) != value {
                edits.push(Edit::new(id.clone(), section, attribute, value));
            }
        };
        for (attribute, value) in about {
            put(Section::About, attribute, value.clone());
        }
        for feature in device.features.values() {
            let policy = policy(feature);
            if policy != Policy::Latest {
                let policy = json!(policy).to_string();
                put(Section::Policy, &feature.metric, json!(policy));
            }
        }
        let states = device.features.values().filter_map(|feature| {
            let state = heard.get(&(device.id.clone(), feature.metric.clone()))?;
            Some((feature, state))
        });
        for (feature, state) in states {
            edits.extend(self.states(&id, document, feature, state));
        }
        edits
    }

    /// A state of a device, and that somebody wanted it so at the device, if it was neither so before nor wanted by a command.
    fn states(
        &self,
        id: &DocumentId,
        document: Option<&Document>,
        feature: &Feature,
        state: &Value,
    ) -> Vec<Edit> {
        let metric = &*feature.metric;
        let was = document.and_then(|document| document.scalar(Section::Reported, metric));
        let was = was.as_ref().map(scalar_value);
        if was
            .as_ref()
            .is_some_and(|was| !twin::is_change(feature, was, state))
        {
            return Vec::new();
        }
        let mut edits = vec![Edit::new(
            id.clone(),
            Section::Reported,
            metric,
            state.clone(),
        )];
        let is_first = was.is_none();
        let device = id.as_device().unwrap_or_default();
        let wanted = twin::wanted(feature, state).filter(|_| {
            // A command's own effect is heard a moment later, when something else may be wanted already.
            let leads_there = |value: &Value| twin::leads_to(feature, value, state);
            let now_ms = self.clock.now_ms();
            let is_settable = feature.write.is_some() && !is_first;
            is_settable
                && !self
                    .devices
                    .commands
                    .explain(device, metric, now_ms, leads_there)
        });
        if let Some(wanted) = wanted {
            let now = document.and_then(|document| {
                document
                    .resolve(Section::Desired, metric, self.clock.now_ms())
                    .winner
            });
            let is_new = now.is_none_or(|now| twin::is_change(feature, &now.v, &wanted));
            if is_new {
                edits.push(Edit::new(id.clone(), Section::Desired, metric, wanted).by(DEVICE));
            }
        }
        edits
    }
}

/// Whose a device is that box `edge` knows.
pub(crate) fn claim(
    replica: &Replica,
    id: &DocumentId,
    edge: EdgeId,
    presence: &Presence,
    now_ms: i64,
) -> Claim {
    let owner = replica
        .owner(id, now_ms)
        .and_then(|owner| owner.parse::<EdgeId>().ok());
    match owner {
        Some(owner) if owner == edge => Claim::Ours,
        Some(owner) if presence(owner) == Some(true) => Claim::Others,
        _ => Claim::Take,
    }
}

/// Whose a device is.
pub(crate) enum Claim {
    /// This box's.
    Ours,
    /// Another box's, which is there.
    Others,
    /// Nobody has it, or a box that is not there.
    Take,
}
