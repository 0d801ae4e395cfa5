use std::{fmt::Debug, sync::Arc};

use tarn_common::{
    clock::Clock,
    ids::HomeId,
    query::{Engine, Limits},
};

use crate::{broker_api::BrokerService, devices::DeviceService};

/// Who serves the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A box, for its own home.
    Edge,
    /// The cloud service, for all homes of its stores.
    Cloud,
}

/// What a host (box or cloud) gives the interface.
pub trait Service: Debug + Send + Sync + 'static {
    /// Which of the two documents it serves.
    fn kind(&self) -> Kind;
    /// Answers the questions.
    fn engine(&self) -> &Arc<Engine>;
    /// What "now" is, for times like `-24h`.
    fn clock(&self) -> &dyn Clock;
    /// What one question may cost.
    fn limits(&self) -> Limits;
    /// Its MQTT broker; only a box has one.
    fn broker(&self) -> Option<Arc<dyn BrokerService>> {
        None
    }
    /// The home that it is for; none for one that is for many.
    fn home(&self) -> Option<HomeId> {
        None
    }
    /// The devices of its homes.
    fn devices(&self) -> Option<Arc<dyn DeviceService>> {
        None
    }
    /// Why it is not ready to serve, one reason each; empty when it is. Answers at once.
    fn not_ready(&self) -> Vec<String>;
}
