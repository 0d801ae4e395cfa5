use std::{
    collections::{BTreeMap, HashMap},
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

/// What devices said since it was last taken: the latest state of each attribute that twins keep.
#[derive(Debug, Default)]
pub struct Heard {
    inner: Mutex<Inner>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    states: BTreeMap<(Arc<str>, Arc<str>), Value>,
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
            self.inner
                .lock()
                .states
                .insert((device.id.clone(), metric.clone()), state);
            self.more.notify_one();
        }
    }

    /// Something other than a state has changed that twins keep.
    pub(crate) fn look_again(&self) {
        self.more.notify_one();
    }

    /// Wait until there is something.
    pub(crate) async fn more(&self) {
        self.more.notified().await;
    }

    /// Take what was said.
    pub(crate) fn take(&self) -> BTreeMap<(Arc<str>, Arc<str>), Value> {
        std::mem::take(&mut self.inner.lock().states)
    }

    /// Give back what could not be kept, beneath what was said meanwhile.
    pub(crate) fn give_back(&self, states: BTreeMap<(Arc<str>, Arc<str>), Value>) {
        let mut inner = self.inner.lock();
        for (place, state) in states {
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
