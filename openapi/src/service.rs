use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::tz::TimeZone;
use tarn_common::{
    clock::Clock,
    event::AuditEntry,
    ids::HomeId,
    query::{Engine, Limits},
};

use crate::{
    access::Access, broker_api::BrokerService, devices::DeviceService, insights::InsightService,
    live::LiveHub, notices::Teller, stores_api::StoresService,
};

/// Who serves the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A box, for its own home.
    Edge,
    /// The cloud service, for all homes of its stores.
    Cloud,
}

/// How fresh the readings are that a host can answer with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Freshness {
    /// Readings that were acknowledged until then are in the answer, milliseconds since 1970 UTC.
    pub as_of_ms: i64,
    /// What was not waited for, in words; empty where all of it is in the answer.
    pub missing: Vec<String>,
}

/// What a host (box or cloud) gives the interface.
#[async_trait]
pub trait Service: Debug + Send + Sync + 'static {
    /// Which of the two documents it serves.
    fn kind(&self) -> Kind;
    /// Answers the questions.
    fn engine(&self) -> &Arc<Engine>;
    /// What "now" is, for times like `-24h`.
    fn clock(&self) -> &dyn Clock;
    /// What one question may cost.
    fn limits(&self) -> Limits;
    /// Who may do what.
    fn access(&self) -> &Arc<Access>;
    /// Note who changed what, or was refused. A change is answered after this has returned.
    async fn audit(&self, home: &HomeId, entry: AuditEntry);
    /// Its MQTT broker; only a box has one.
    fn broker(&self) -> Option<Arc<dyn BrokerService>> {
        None
    }
    /// Its stores; only the cloud looks after them.
    fn stores(&self) -> Option<Arc<dyn StoresService>> {
        None
    }
    /// The time zone of homes that do not say theirs.
    fn zone(&self) -> TimeZone {
        TimeZone::UTC
    }
    /// What it does for insights by itself; only a box does.
    fn insights(&self) -> Option<&dyn InsightService> {
        None
    }
    /// Wait until what runs the rules of its home knows what was stored before, and what fires for it will be carried out, a power
    /// cut or not; whether it came to that. There is nothing to wait for where another node runs them.
    async fn rules_taken(&self) -> bool {
        true
    }
    /// Tells people; none for one that does not.
    fn teller(&self) -> Option<&Teller> {
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
    /// What happens in this home, as it happens; none where nothing of that is known here. Answers at once.
    fn live(&self, _home: &str) -> Option<Arc<LiveHub>> {
        None
    }
    /// Have the latest readings of this home at hand, and wait for them at most so long. A box has them always: the
    /// end of its journal is a part of every answer.
    async fn fresh(&self, _home: &str, _wait: Duration) -> Freshness {
        Freshness {
            as_of_ms: self.clock().now_ms(),
            missing: Vec::new(),
        }
    }
    /// Why it is not ready to serve, one reason each; empty when it is. Answers at once.
    fn not_ready(&self) -> Vec<String>;
}
