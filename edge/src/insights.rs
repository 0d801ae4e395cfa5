//! Insights, run by the box on their schedules.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;
use parking_lot::RwLock;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tarn_broker::Publisher;
use tarn_common::{
    clock::Clock,
    event::{INSIGHT, LoggedEvent},
    ids::HomeId,
    query::{Engine, Limits},
    twin::home::HomeTwins,
};
use tarn_insights::{Finding, Pack, merged};
use tarn_openapi::{
    DeviceService, announced,
    automation::{self, InsightSettings},
    insights::{InsightService, Run},
    names_of,
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{devices::OWN_CLIENT, journal::Journal, kept_file::KeptFile};

/// How often it is looked whether a pack is due.
const LOOK_MS: i64 = 60_000;
/// The shortest pause between two looks, whatever the clock.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// How long one query may take at least: nobody waits for it, and a box may have many small chunks.
const QUERY_WITHIN: Duration = Duration::from_secs(300);

/// Word of the event that something was found, or is otherwise than before.
const FOUND: &str = "found";
/// Word of the event that it is no longer so.
const GONE: &str = "gone";

/// What insights have found, and when they ran; kept over restarts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    ran: BTreeMap<String, i64>,
    findings: BTreeMap<String, Vec<Finding>>,
    #[serde(default)]
    faults: BTreeMap<String, String>,
}

/// The insights of a box.
#[derive(Debug)]
pub struct BoxInsights {
    own: Vec<Pack>,
    kept: RwLock<Kept>,
    file: KeptFile,
}

impl BoxInsights {
    /// Those of this program and `own`. `file` has what was found before; one that cannot be understood is told, and
    /// insights run anew.
    #[must_use]
    pub fn open(own: Vec<Pack>, file: PathBuf) -> BoxInsights {
        let file = KeptFile::new(file, "what insights have found");
        let kept = file.read_or_default();
        BoxInsights {
            own,
            kept: RwLock::new(kept),
            file,
        }
    }
}

impl InsightService for BoxInsights {
    fn packs(&self) -> Vec<&Pack> {
        merged(&self.own)
    }

    fn findings(&self) -> Vec<Finding> {
        let kept = self.kept.read();
        kept.findings.values().flatten().cloned().collect()
    }

    fn faults(&self) -> BTreeMap<String, String> {
        self.kept.read().faults.clone()
    }
}

/// Runs them.
pub struct InsightStage {
    /// The home.
    pub home: HomeId,
    /// What is run, and what was found.
    pub insights: Arc<BoxInsights>,
    /// Answers queries.
    pub engine: Arc<Engine>,
    /// What one query may cost.
    pub limits: Limits,
    /// What devices are called.
    pub devices: Arc<dyn DeviceService>,
    /// What the home says of insights.
    pub twins: Arc<HomeTwins>,
    /// Where findings are noted.
    pub journal: Arc<Journal>,
    /// Where findings are published.
    pub publisher: Publisher,
    /// When it is.
    pub clock: Arc<dyn Clock>,
    /// The home's time zone, where nobody says another.
    pub zone: TimeZone,
    /// Figures.
    pub metrics: InsightMetrics,
}

/// Figures of insights.
#[derive(Debug, Clone)]
pub struct InsightMetrics {
    runs: Counter,
    failed: Counter,
}

impl InsightMetrics {
    /// Make them known.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let (runs, failed) = (Counter::default(), Counter::default());
        registry.register("tarn_insights_runs", "Insights that ran", runs.clone());
        registry.register(
            "tarn_insights_failed",
            "Insights that failed",
            failed.clone(),
        );
        InsightMetrics { runs, failed }
    }
}

impl InsightStage {
    /// Run what is due until stopped.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let pause = self.clock.wait(LOOK_MS).max(PAUSE_MIN);
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
            if stop.run_until_cancelled(self.look()).await.is_none() {
                return;
            }
        }
    }

    async fn look(&self) {
        let now_ms = self.clock.now_ms();
        let (said, place) = self.twins.read(|replica| {
            (
                automation::insights(replica, now_ms),
                automation::place(replica, now_ms),
            )
        });
        let zone = place.or(self.zone.clone()).zone;
        let is_due = |pack: &&Pack| {
            let ran = self.insights.kept.read().ran.get(&pack.id).copied();
            said.get(&pack.id).is_none_or(|said| said.enabled) && pack.due(ran, now_ms, &zone)
        };
        let due: Vec<&Pack> = self.insights.packs().into_iter().filter(is_due).collect();
        if due.is_empty() {
            return;
        }
        let known = announced(&*self.devices, &self.home, &self.twins, now_ms).await;
        let run = Run {
            engine: &self.engine,
            limits: Limits {
                time: self.limits.time.max(QUERY_WITHIN),
                ..self.limits
            },
            home: &self.home,
            now_ms,
            zone: &zone,
            names: &names_of(&known),
        };
        for pack in due {
            let settings = said.get(&pack.id).cloned().unwrap_or_default();
            let found = run.pack(pack, &settings).await;
            self.metrics.runs.inc();
            let mut kept = self.insights.kept.write();
            kept.ran.insert(pack.id.clone(), now_ms);
            match found {
                Ok(found) => {
                    kept.faults.remove(&pack.id);
                    let before = kept.findings.insert(pack.id.clone(), found.clone());
                    drop(kept);
                    self.tell(pack, &settings, before.unwrap_or_default(), &found, now_ms);
                }
                Err(error) => {
                    self.metrics.failed.inc();
                    let words = error.to_string();
                    let before = kept.faults.insert(pack.id.clone(), words.clone());
                    if before.as_ref() != Some(&words) {
                        tracing::warn!(pack = pack.id, error = words, "an insight failed");
                    }
                }
            }
        }
        // Written as it is now; the lock is not held while the disk works.
        let kept = serde_json::to_value(&*self.insights.kept.read()).unwrap_or_default();
        self.insights.file.put(&kept).await;
    }

    /// Tell what is new and what is over; nothing of what is private.
    fn tell(
        &self,
        pack: &Pack,
        settings: &InsightSettings,
        before: Vec<Finding>,
        now: &[Finding],
        now_ms: i64,
    ) {
        if pack.private && !settings.shared {
            return;
        }
        let mut before: HashMap<String, Finding> = before
            .into_iter()
            .map(|finding| (finding.key.clone(), finding))
            .collect();
        for finding in now {
            let known = before.remove(&finding.key);
            if known.is_none_or(|known| known.advice != finding.advice) {
                self.note(finding, FOUND, now_ms);
            }
        }
        for finding in before.values() {
            self.note(finding, GONE, now_ms);
        }
        let topic = format!("tarn/{}/insight/{}", self.home, pack.id);
        let published = self.publisher.publish_logged(
            OWN_CLIENT,
            &topic,
            json!({"title": pack.title, "findings": now}).to_string(),
            1,
            true,
        );
        if let Err(error) = published {
            tracing::error!(pack = pack.id, %error, "what an insight has found cannot be published");
        }
    }

    fn note(&self, finding: &Finding, word: &str, now_ms: i64) {
        let event = LoggedEvent {
            at_ms: now_ms,
            kind: INSIGHT.into(),
            subject: format!("{}/{}", finding.pack, finding.key),
            reason: word.into(),
            detail: json!(finding),
        };
        self.journal.tell(&event);
    }
}
