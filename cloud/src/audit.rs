use std::{collections::BTreeMap, sync::Arc, time::Duration};

use prometheus_client::{metrics::counter::Counter, registry::Registry};
use tarn_common::{
    event::{AuditEntry, Event},
    fleet::Fleet,
    ids::{EdgeId, HomeId, Seq},
    keeper::{Keeper, KeeperError},
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// How long a row waits for more before it is put into the stores: a service that is killed loses those of so long.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// Rows that wait at most. More are counted, and only there.
const WAITING_MAX: usize = 10_000;
/// How long the last rows may take when the service stops.
const STOP_TIME: Duration = Duration::from_secs(5);

/// Takes audit rows in.
#[derive(Debug, Clone)]
pub(crate) struct AuditInlet {
    rows: mpsc::Sender<(HomeId, AuditEntry)>,
    dropped: Counter,
}

impl AuditInlet {
    /// Take a row; it never blocks.
    pub(crate) fn add(&self, home: &HomeId, entry: AuditEntry) {
        if let Err(error) = self.rows.try_send((home.clone(), entry)) {
            let (_, entry) = error.into_inner();
            self.dropped.inc();
            tracing::error!(
                entry = entry.to_json(),
                "an audit row has no room; it is only here"
            );
        }
    }
}

/// Puts audit rows into the stores, as events of their homes.
#[derive(Debug)]
pub(crate) struct AuditWriter {
    rows: mpsc::Receiver<(HomeId, AuditEntry)>,
    keeper: Arc<Keeper>,
    fleet: Arc<Fleet>,
    /// What was not put yet.
    waiting: BTreeMap<HomeId, Vec<Event>>,
}

/// The two ends.
pub(crate) fn audit(
    keeper: Arc<Keeper>,
    fleet: Arc<Fleet>,
    registry: &mut Registry,
) -> (AuditInlet, AuditWriter) {
    let dropped = Counter::default();
    registry.register(
        "audit_dropped",
        "Audit rows that had no room and are only in the log",
        dropped.clone(),
    );
    let (sender, rows) = mpsc::channel(WAITING_MAX);
    let inlet = AuditInlet {
        rows: sender,
        dropped,
    };
    let writer = AuditWriter {
        rows,
        keeper,
        fleet,
        waiting: BTreeMap::new(),
    };
    (inlet, writer)
}

impl AuditWriter {
    /// Write until stopped, and then what is left.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut failing = false;
        while stop.run_until_cancelled(self.fill()).await.is_some() {
            self.flush(&mut failing).await;
        }
        while let Ok((home, entry)) = self.rows.try_recv() {
            self.take(home, &entry);
        }
        if tokio::time::timeout(STOP_TIME, self.flush(&mut failing))
            .await
            .is_err()
        {
            tracing::error!("the stores did not take the last audit rows");
        }
    }

    /// Wait for rows, and for more after the first. What failed before is tried again after the same time.
    async fn fill(&mut self) {
        if self.waiting.is_empty() {
            match self.rows.recv().await {
                Some((home, entry)) => self.take(home, &entry),
                None => std::future::pending().await,
            }
        }
        let until = Instant::now() + FLUSH_EVERY;
        while let Ok(Some((home, entry))) = tokio::time::timeout_at(until, self.rows.recv()).await {
            self.take(home, &entry);
        }
    }

    fn take(&mut self, home: HomeId, entry: &AuditEntry) {
        let event = entry.to_event(EdgeId(0), Seq::ZERO);
        self.waiting.entry(home).or_default().push(event);
    }

    async fn flush(&mut self, failing: &mut bool) {
        let fleet = self.fleet.clone();
        let wanted = move |key: &_, bytes| fleet.wanted(key, bytes);
        for (home, events) in std::mem::take(&mut self.waiting) {
            match self.keeper.add_events(&home, &events, &wanted).await {
                Ok(()) => *failing = false,
                // They come with the next entry.
                Err(KeeperError::Log { .. }) => {}
                Err(error) => {
                    if !std::mem::replace(failing, true) {
                        tracing::error!(%error, "audit rows cannot be written; they wait");
                    }
                    self.waiting.insert(home, events);
                }
            }
        }
    }
}
