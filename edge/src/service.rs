use std::{
    collections::HashSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use tarn_broker::{ClientState, Operator, log::PublishLog};
use tarn_common::{
    catalog::Snapshot,
    clock::Clock,
    commit_log::Chunk,
    event::{AuditEntry, Event, Outcome},
    ids::HomeId,
    layout::ChunkKey,
    query::{
        ChunkFile, Engine, Lake, LakeError, Limits, Missing, Stamp, Tail as UncutReadings, View,
    },
};
use tarn_openapi::{
    Access, BrokerService, DeviceService, Kind, MqttClient, MqttConnection, Service,
    insights::InsightService, live::LiveHub, notices::Teller, types::moment,
};

use crate::{
    devices::service::BoxDevices,
    identity::Identity,
    insights::BoxInsights,
    journal::Journal,
    rules::Taken,
    shelf::Shelf,
    tail::{Tail, Uncut},
};

/// The box's lake as queries see it: its chunks on disk, and the journal behind them, so that an
/// answer at home is never stale.
#[derive(Debug, Clone)]
pub struct BoxLake {
    identity: Identity,
    journal: Arc<Journal>,
    shelf: Arc<Shelf>,
    tail: Arc<Tail>,
    /// Chunks whose bytes were checked since the start.
    verified: Arc<Mutex<HashSet<ChunkKey>>>,
}

/// How long an answer waits for its audit row to be on disk: a disk that takes nothing must not keep people from their lamps.
const AUDIT_WITHIN: Duration = Duration::from_secs(2);

/// How long an answer waits until what runs the rules knows what was stored: some look for what was before first.
const RULES_WITHIN: Duration = Duration::from_secs(20);

/// Tries for a view while cuts remove segments under it.
const VIEW_TRIES: u32 = 5;

impl BoxLake {
    /// The lake of this box.
    #[must_use]
    pub fn new(
        identity: Identity,
        journal: Arc<Journal>,
        shelf: Arc<Shelf>,
        tail: Arc<Tail>,
    ) -> Self {
        BoxLake {
            identity,
            journal,
            shelf,
            tail,
            verified: Arc::default(),
        }
    }

    fn look(&self) -> Result<View, LakeError> {
        let mut failure = None;
        for _ in 0..VIEW_TRIES {
            // The segments first: a cut in between then takes its rows from the tail to the chunks.
            let segments = self.journal.segments();
            let (chunks, cut_upto) = self.shelf.view();
            match self.tail.uncut(&segments, cut_upto) {
                Ok(uncut) => return Ok(self.viewed(chunks, uncut)),
                Err(e) => failure = Some(e),
            }
        }
        let reason = failure.map_or_else(String::new, |e| e.to_string());
        Err(LakeError(format!("the journal cannot be read: {reason}")))
    }

    fn viewed(&self, chunks: Snapshot, uncut: Vec<Uncut>) -> View {
        let home = &self.identity.home;
        let mut view = View {
            chunks,
            ..View::default()
        };
        for of_segment in uncut {
            let edge = self.identity.edge_at(of_segment.first);
            let readings = of_segment.batches.into_iter();
            view.tail.extend(readings.map(|batch| UncutReadings {
                home: home.clone(),
                edge,
                batch,
            }));
            let events = of_segment.events.into_iter();
            let events = events.map(|event| (home.clone(), Event { edge, ..event }));
            view.uncut_events.extend(events);
        }
        view
    }

    fn find(&self, chunk: &Chunk) -> Result<ChunkFile, Missing> {
        let Some(path) = self.shelf.path(&chunk.key) else {
            let reason = "no longer on this box's disk; the store has it";
            return Err(Missing::of(chunk, reason));
        };
        if !self.verified.lock().contains(&chunk.key) {
            let bytes = fs::read(&path).map_err(|e| Missing::of(chunk, e.to_string()))?;
            chunk
                .check(&bytes)
                .map_err(|e| Missing::of(chunk, e.to_string()))?;
            self.verified.lock().insert(chunk.key.clone());
        }
        Ok(ChunkFile { path, guard: None })
    }
}

#[async_trait]
impl Lake for BoxLake {
    async fn view(&self) -> Result<View, LakeError> {
        let lake = self.clone();
        let looked = tokio::task::spawn_blocking(move || lake.look()).await;
        looked.unwrap_or_else(|e| Err(LakeError(e.to_string())))
    }

    async fn file(&self, chunk: &Chunk) -> Result<ChunkFile, Missing> {
        let (lake, wanted) = (self.clone(), chunk.clone());
        let found = tokio::task::spawn_blocking(move || lake.find(&wanted)).await;
        found.unwrap_or_else(|e| Err(Missing::of(chunk, e.to_string())))
    }

    fn stamp(&self) -> Option<Stamp> {
        Some(Stamp {
            chunks: self.shelf.view().0,
            upto: *self.journal.durable().borrow(),
            generation: self.tail.generation(),
        })
    }
}

/// What the REST interface asks of a box.
pub struct BoxService {
    /// Answers questions.
    pub engine: Arc<Engine>,
    /// What "now" is.
    pub clock: Arc<dyn Clock>,
    /// What one question may cost.
    pub limits: Limits,
    /// Looks at MQTT clients.
    pub operator: Operator,
    /// Who may do what.
    pub access: Arc<Access>,
    /// Where it is noted who did what.
    pub journal: Arc<Journal>,
    /// The home's devices.
    pub devices: Arc<BoxDevices>,
    /// The home's time zone, where nobody says another.
    pub zone: TimeZone,
    /// Tells people.
    pub teller: Teller,
    /// Waits until what runs the rules knows what was stored.
    pub rules: Arc<Taken>,
    /// Its insights.
    pub insights: Arc<BoxInsights>,
    /// The home.
    pub home: HomeId,
    /// What happens in it.
    pub live: Arc<LiveHub>,
    /// Set once everything runs, taken back at the stop.
    pub ready: AtomicBool,
}

impl std::fmt::Debug for BoxService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoxService")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Service for BoxService {
    fn kind(&self) -> Kind {
        Kind::Edge
    }

    fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    fn limits(&self) -> Limits {
        self.limits
    }

    fn insights(&self) -> Option<&dyn InsightService> {
        Some(&*self.insights)
    }

    fn teller(&self) -> Option<&Teller> {
        Some(&self.teller)
    }

    async fn rules_taken(&self) -> bool {
        self.rules.wait(RULES_WITHIN).await
    }

    fn zone(&self) -> TimeZone {
        self.zone.clone()
    }

    fn access(&self) -> &Arc<Access> {
        &self.access
    }

    /// A change is answered after its row is on disk; that something was refused may wait for the next commit.
    async fn audit(&self, _home: &HomeId, entry: AuditEntry) {
        let noted = self.journal.audit(&entry);
        let seq = match noted {
            Ok(seq) => seq,
            Err(refused) => {
                tracing::error!(
                    ?refused,
                    entry = entry.to_json(),
                    "an audit row cannot be written; it is only here"
                );
                return;
            }
        };
        if entry.outcome != Outcome::Refused {
            self.journal.wait_durable(seq, AUDIT_WITHIN).await;
        }
    }

    fn broker(&self) -> Option<Arc<dyn BrokerService>> {
        Some(Arc::new(BoxBroker(self.operator.clone())))
    }

    fn home(&self) -> Option<HomeId> {
        Some(self.home.clone())
    }

    fn devices(&self) -> Option<Arc<dyn DeviceService>> {
        Some(self.devices.clone())
    }

    fn live(&self, home: &str) -> Option<Arc<LiveHub>> {
        (home == self.home.as_str()).then(|| self.live.clone())
    }

    fn not_ready(&self) -> Vec<String> {
        if self.ready.load(Ordering::Acquire) {
            Vec::new()
        } else {
            vec!["starting or stopping".into()]
        }
    }
}

/// The box's broker as the REST interface sees it.
struct BoxBroker(Operator);

#[async_trait]
impl BrokerService for BoxBroker {
    fn clients(&self, after: Option<&str>, limit: usize, connected: bool) -> Vec<MqttClient> {
        let clients = self.0.clients(after, limit, connected);
        clients.into_iter().map(mqtt_client).collect()
    }

    fn disconnect(&self, client_id: &str) -> bool {
        self.0.disconnect(client_id)
    }

    async fn end_session(&self, client_id: &str) -> bool {
        self.0.end_session(client_id).await
    }
}

fn mqtt_client(client: ClientState) -> MqttClient {
    let connection = client.connection.map(|connection| MqttConnection {
        user: connection.user,
        address: connection.address.to_string(),
        version: connection.version.to_owned(),
        keep_alive_s: connection.keep_alive_s,
        since: moment(connection.since_ms as i64),
    });
    MqttClient {
        client_id: client.client_id,
        connection,
        session_expiry_s: Some(client.session_expiry_s).filter(|&s| s != u32::MAX),
        subscriptions: client.subscriptions as u64,
        queued_messages: client.queued_messages as u64,
        queued_bytes: client.queued_bytes as u64,
        in_flight: client.in_flight as u64,
        dropped: client.dropped,
        received: client.received,
        sent: client.sent,
        has_will: client.has_will,
    }
}
