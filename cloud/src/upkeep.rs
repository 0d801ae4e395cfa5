/// Going through all copies for ever.
mod scrub;

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use rand::Rng as _;
use tarn_common::{
    fleet::{Carried, ChangeError, Fleet, carry_out, placed},
    ids::StoreName,
    keeper::Keeper,
    layout::ChunkKey,
    placement::{Change, Loads, Plan, Rule, plan, plan_to_rest},
};
use tarn_openapi::{Moving, ScrubState, StoresNow, StoresService};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub use self::scrub::ScrubSettings;
pub(crate) use self::scrub::Scrubbing;
use crate::{follow::Follow, metrics::Metrics};

/// How upkeep behaves.
#[derive(Debug, Clone, PartialEq)]
pub struct UpkeepSettings {
    /// How often it is looked whether something is to be moved.
    pub every: Duration,
    /// Bytes a second that moving may use; 0 moves nothing by itself.
    pub bytes_per_second: u64,
    /// How much is moved.
    pub rule: Rule,
}

impl Default for UpkeepSettings {
    fn default() -> Self {
        UpkeepSettings {
            every: Duration::from_secs(30),
            bytes_per_second: 8 << 20,
            rule: Rule {
                moves_max: 1_000,
                ..Rule::default()
            },
        }
    }
}

/// Looks after where chunks are: what has too few copies, or lies where it may not stay, and what one store has too much.
/// Any number of replicas may do so beside each other.
#[derive(Debug)]
pub(crate) struct Upkeep {
    fleet: Arc<Fleet>,
    keeper: Arc<Keeper>,
    follow: Arc<Follow>,
    settings: UpkeepSettings,
    metrics: Metrics,
    scrubbing: Arc<Scrubbing>,
    moving: Mutex<Moving>,
    now: Notify,
}

/// What tells one move of a plan from another.
type Step = (ChunkKey, Option<StoreName>, Option<StoreName>);

impl Upkeep {
    pub(crate) fn new(
        fleet: Arc<Fleet>,
        keeper: Arc<Keeper>,
        follow: Arc<Follow>,
        settings: UpkeepSettings,
        metrics: Metrics,
        scrubbing: Arc<Scrubbing>,
    ) -> Upkeep {
        Upkeep {
            fleet,
            keeper,
            follow,
            settings,
            metrics,
            scrubbing,
            moving: Mutex::default(),
            now: Notify::new(),
        }
    }

    /// Look and move, until stopped.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut seen: HashSet<Step> = HashSet::new();
        loop {
            let round = async {
                let asked = {
                    // Replicas that started together do not go on together.
                    let pause = self
                        .settings
                        .every
                        .mul_f64(rand::rng().random_range(0.7..=1.3));
                    tokio::select! {
                        () = tokio::time::sleep(pause) => false,
                        () = self.now.notified() => true,
                    }
                };
                if let Err(reason) = self.fleet.join().await {
                    tracing::warn!(reason, "the stores cannot be looked after");
                    return;
                }
                if asked || self.settings.bytes_per_second > 0 {
                    self.round(&mut seen, asked).await;
                }
                // What was moved away goes once nobody can rely on it any more.
                self.scrubbing.clear().await;
            };
            if stop.run_until_cancelled(round).await.is_none() {
                return;
            }
        }
    }

    async fn round(&self, seen: &mut HashSet<Step>, asked: bool) {
        self.follow.look_now().await;
        if !self.follow.reasons().is_empty() {
            // What cannot be seen whole is not judged: a chunk may have been placed by what is missing.
            return;
        }
        if self.fleet.agreed().set.version == 0 {
            // Nobody has said yet how many copies there should be.
            return;
        }
        let mut plan = self.plan_now();
        let steps: HashSet<Step> = plan.moves.iter().map(step).collect();
        if !asked {
            // A box may be about to do it itself: what two rounds find stands.
            plan.moves.retain(|m| seen.contains(&step(m)));
        }
        *seen = steps;
        self.carry_out(&plan).await;
    }

    fn plan_now(&self) -> Plan {
        let chunks = placed(&self.follow.snapshot());
        plan(&self.fleet.agreed().set, &chunks, &self.settings.rule)
    }

    async fn carry_out(&self, plan: &Plan) {
        *self.moving.lock() = Moving {
            total: plan.moves.len() as u64,
            total_bytes: plan.moves.iter().map(|m| m.bytes).sum(),
            ..Moving::default()
        };
        let chunks = self.follow.chunks(plan.moves.iter().map(|m| &m.key)).await;
        let rate = Some(self.settings.bytes_per_second).filter(|rate| *rate > 0);
        let now = |key: &ChunkKey| chunks.get(key).cloned();
        let done = carry_out(&self.keeper, plan, rate, now, |step, carried| {
            let mut moving = self.moving.lock();
            match carried {
                Carried::Done => {
                    moving.done += 1;
                    moving.done_bytes += step.bytes;
                    self.metrics.moved.inc();
                }
                Carried::Overtaken => {}
                Carried::Failed(error) => {
                    self.metrics.move_errors.inc();
                    tracing::warn!(chunk = %step.key, %error, "a chunk was not moved");
                    moving.last_error = Some(error.to_string());
                }
            }
        });
        self.follow.apply(&done.await).await;
    }
}

fn step(step: &tarn_common::placement::Move) -> Step {
    (step.key.clone(), step.from.clone(), step.to.clone())
}

#[async_trait]
impl StoresService for Upkeep {
    async fn stores(&self) -> StoresNow {
        let set = self.fleet.agreed().set.clone();
        let mut loads = Loads::of_chunks(self.follow.snapshot().iter());
        let mut failing = BTreeSet::new();
        for member in self.fleet.pool().members() {
            let health = member.health();
            let load = loads.0.entry(member.name().clone()).or_default();
            load.recent_operations = health.recent_operations;
            load.latency_ms = health.latency_ms;
            load.errors = health.errors;
            if health.is_open {
                failing.insert(member.name().clone());
            }
        }
        StoresNow {
            set,
            loads,
            failing: failing.into_iter().collect(),
            moving: self.moving.lock().clone(),
        }
    }

    async fn plan(&self) -> Plan {
        self.follow.look_now().await;
        let chunks = placed(&self.follow.snapshot());
        let rule = Rule {
            moves_max: usize::MAX,
            ..self.settings.rule
        };
        plan_to_rest(&self.fleet.agreed().set, &chunks, &rule)
    }

    async fn change(&self, change: Change) -> Result<(), ChangeError> {
        self.fleet.change(change).await.map(|_| ())
    }

    fn rebalance(&self) {
        self.now.notify_one();
    }

    async fn scrub(&self) -> ScrubState {
        self.scrubbing.state()
    }
}
