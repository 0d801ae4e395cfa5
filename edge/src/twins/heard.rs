use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;
use serde_json::Value;
use tarn_devices::{
    binding::{Binding, Schema},
    registry::Registry,
    twin,
};
use tokio::sync::Notify;

/// States by device and metric.
pub(crate) type States = BTreeMap<(Arc<str>, Arc<str>), Value>;

/// What devices said since it was last taken: the latest state of each attribute that twins keep.
#[derive(Debug, Default)]
pub struct Heard {
    inner: Mutex<Inner>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    states: States,
    /// What was taken and is not in the twins yet.
    taken: States,
    /// Whether what is heard happens now, and was not read from the journal of an earlier process.
    is_live: bool,
    /// Devices that were heard since.
    spoke: HashSet<Arc<str>>,
    /// Whether a topic says anything that twins keep, as of this generation of the schema.
    topics: HashMap<Box<str>, bool>,
    generation: u64,
}

impl Heard {
    /// Whether what comes on a topic may belong into a twin.
    pub(crate) fn concerns(&self, topic: &str, schema: &Schema, registry: &Registry) -> bool {
        let Some(binding) = schema.binding(topic) else {
            return false;
        };
        let mut inner = self.inner.lock();
        if inner.generation != schema.generation {
            inner.topics.clear();
            inner.generation = schema.generation;
        }
        if let Some(&is_shared) = inner.topics.get(topic) {
            return is_shared;
        }
        let is_shared = says_shared(binding, registry);
        inner.topics.insert(topic.into(), is_shared);
        is_shared
    }

    /// A device said something.
    pub(crate) fn said(
        &self,
        registry: &Registry,
        device: &str,
        metric: &str,
        value: Option<f64>,
        text: Option<&str>,
    ) {
        let Some(device) = registry.device(device) else {
            return;
        };
        let Some((metric, feature)) = device.features.get_key_value(metric) else {
            return;
        };
        if !twin::is_shared(feature) {
            return;
        }
        if let Some(state) = twin::reported(feature, value, text) {
            let mut inner = self.inner.lock();
            if inner.is_live && !inner.spoke.contains(&device.id) {
                inner.spoke.insert(device.id.clone());
            }
            let place = (device.id.clone(), metric.clone());
            inner.states.insert(place, state);
            drop(inner);
            self.more.notify_one();
        }
    }

    /// From now on devices are heard as they speak.
    pub(crate) fn go_live(&self) {
        self.inner.lock().is_live = true;
    }

    /// Whether a device has told a state while this process runs.
    pub(crate) fn spoke(&self, device: &str) -> bool {
        self.inner.lock().spoke.contains(device)
    }

    /// A state that was heard and may not be in the twin yet.
    pub(crate) fn pending(&self, device: &str, metric: &str) -> Option<Value> {
        let place = (device.into(), metric.into());
        let inner = self.inner.lock();
        let state = inner.states.get(&place);
        state.or_else(|| inner.taken.get(&place)).cloned()
    }

    /// Something other than a state has changed that twins keep.
    pub(crate) fn look_again(&self) {
        self.more.notify_one();
    }

    /// Wait until there is something.
    pub(crate) async fn more(&self) {
        self.more.notified().await;
    }

    /// Take what was said, to put it into the twins; [`Heard::is_kept`] or [`Heard::give_back`] says what came of it.
    pub(crate) fn take(&self) -> States {
        let mut inner = self.inner.lock();
        inner.taken = std::mem::take(&mut inner.states);
        inner.taken.clone()
    }

    /// What was taken is in the twins.
    pub(crate) fn is_kept(&self) {
        self.inner.lock().taken.clear();
    }

    /// What was taken could not be kept: it lies beneath what was said meanwhile.
    pub(crate) fn give_back(&self) {
        let mut inner = self.inner.lock();
        for (place, state) in std::mem::take(&mut inner.taken) {
            inner.states.entry(place).or_insert(state);
        }
    }
}

/// Whether any device of a topic has something that twins keep.
fn says_shared(binding: &Binding, registry: &Registry) -> bool {
    let of_keys = binding.keys.values().map(|meaning| &meaning.device);
    let of_templates = binding.templates.iter().map(|(_, meaning)| &meaning.device);
    let of_plain = binding.plain.iter().map(|meaning| &meaning.device);
    let mut devices = of_keys
        .chain(of_templates)
        .chain(of_plain)
        .chain([&binding.device]);
    devices.any(|id| {
        let device = registry.device(id);
        device.is_some_and(|device| device.features.values().any(twin::is_shared))
    })
}
