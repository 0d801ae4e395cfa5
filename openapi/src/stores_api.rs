/// Shapes of what going through the copies finds.
mod scrub;

use std::sync::Arc;

use async_trait::async_trait;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, Tags, param::Path, payload::Json};
use tarn_common::{
    fleet::ChangeError,
    ids::StoreName,
    placement::{Change, Load, Loads, Member, Placement, Plan, State, StoreSet},
};

pub use self::scrub::{CopyFault, LostChunk, ScrubState};
use crate::problem::Failure;

/// Moves of a plan that are listed one by one; the sums are of all.
const MOVES_LISTED_MAX: usize = 1_000;

/// The stores of a fleet, as an operator sees them.
#[async_trait]
pub trait StoresService: Send + Sync + 'static {
    /// The store set that holds, and what each store holds and how it does.
    async fn stores(&self) -> StoresNow;
    /// What would be moved now.
    async fn plan(&self) -> Plan;
    /// Change the set.
    async fn change(&self, change: Change) -> Result<(), ChangeError>;
    /// Move now what there is to move, without waiting for the next round.
    fn rebalance(&self);
    /// What going through the copies has found.
    async fn scrub(&self) -> ScrubState;
}

/// The stores of a fleet at one moment.
#[derive(Debug, Clone)]
pub struct StoresNow {
    /// The set.
    pub set: StoreSet,
    /// What each store holds by the log, and how it has been doing.
    pub loads: Loads,
    /// The stores that are left alone because they fail.
    pub failing: Vec<StoreName>,
    /// What is being moved.
    pub moving: Moving,
}

/// How far moving has come.
#[derive(Debug, Clone, Default, Object)]
pub struct Moving {
    /// Moves of this round that are done.
    pub done: u64,
    /// Moves of this round.
    pub total: u64,
    /// Bytes of those that are done.
    pub done_bytes: u64,
    /// Bytes of all of them.
    pub total_bytes: u64,
    /// What failed last, in words; null when nothing did.
    pub last_error: Option<String>,
}

/// What may be done with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub(crate) enum StoreState {
    /// It takes chunks.
    Active,
    /// Its chunks are moved away; it takes no more.
    Draining,
    /// It is gone, with all that it held.
    Lost,
}

/// One store.
#[derive(Debug, Object)]
pub(crate) struct StoreInfo {
    /// Its name.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) url: String,
    /// Its share, beside the others'.
    pub(crate) weight: f64,
    /// What may fail together; null where nothing is said.
    pub(crate) zone: Option<String>,
    /// What may be done with it.
    pub(crate) state: StoreState,
    /// It is left alone for a while, because it fails.
    pub(crate) failing: bool,
    /// Bytes of chunks in it, by the log.
    pub(crate) bytes: u64,
    /// Copies of chunks in it, by the log.
    pub(crate) chunks: u64,
    /// Operations of the last minute or two, from here.
    pub(crate) recent_operations: u64,
    /// How long an operation takes on average, milliseconds.
    pub(crate) latency_ms: f64,
    /// Operations that failed since the service started.
    pub(crate) errors: u64,
}

/// All stores of the fleet.
#[derive(Debug, Object)]
pub(crate) struct Stores {
    /// Version of the store set.
    pub(crate) version: u64,
    /// The fleet, 16 hex digits.
    pub(crate) fleet: String,
    /// Copies of each chunk.
    pub(crate) copies: u64,
    /// The highest load by weight over the mean; 1 is level.
    pub(crate) peak: f64,
    /// The stores.
    pub(crate) stores: Vec<StoreInfo>,
    /// What is being moved.
    pub(crate) moving: Moving,
}

/// What a store holds.
#[derive(Debug, Object)]
pub(crate) struct StoreLoad {
    /// Its name.
    pub(crate) store: String,
    /// Bytes of chunks.
    pub(crate) bytes: u64,
    /// Copies of chunks.
    pub(crate) chunks: u64,
}

/// One copy made, one let go, or both.
#[derive(Debug, Object)]
pub(crate) struct StoreMove {
    /// Key of the chunk.
    pub(crate) chunk: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// The store that lets its copy go; null where none does.
    pub(crate) from: Option<String>,
    /// The store that gets one; null where none does.
    pub(crate) to: Option<String>,
    /// Why: `lost`, `too_few`, `drain`, `zone`, `surplus` or `balance`.
    pub(crate) why: String,
}

/// What would be moved, and what that comes to.
#[derive(Debug, Object)]
pub(crate) struct StoresPlan {
    /// Copies that are made.
    pub(crate) copies: u64,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// What each store holds before.
    pub(crate) before: Vec<StoreLoad>,
    /// What each store holds afterwards.
    pub(crate) after: Vec<StoreLoad>,
    /// All moves.
    pub(crate) moves_total: u64,
    /// The first thousand of them.
    pub(crate) moves: Vec<StoreMove>,
}

/// A store to be added.
#[derive(Debug, Object)]
pub(crate) struct NewStore {
    /// Its name: 1 to 32 of a-z, 0-9 and -.
    #[oai(validator(max_length = 32))]
    pub(crate) name: String,
    /// Where it is: file:///dir or s3://bucket/prefix?endpoint=…; keys are set in the environment of each node.
    #[oai(validator(max_length = 2048))]
    pub(crate) url: String,
    /// Its share, beside the others'; 1 where it is not said.
    pub(crate) weight: Option<f64>,
    /// What may fail together.
    #[oai(validator(max_length = 64))]
    pub(crate) zone: Option<String>,
}

/// What is to be changed of a store: one thing at a time.
#[derive(Debug, Object)]
pub(crate) struct StoreChange {
    /// Have it take chunks, drained, or taken as lost.
    pub(crate) state: Option<StoreState>,
    /// Another share.
    pub(crate) weight: Option<f64>,
    /// Another place.
    #[oai(validator(max_length = 2048))]
    pub(crate) url: Option<String>,
}

#[derive(Tags)]
enum Tag {
    /// The stores that chunks lie in.
    Stores,
}

#[derive(ApiResponse)]
enum StoresOk {
    /// The stores.
    #[oai(status = 200)]
    Stores(Json<Stores>),
}

#[derive(ApiResponse)]
enum PlanOk {
    /// The plan.
    #[oai(status = 200)]
    Plan(Json<StoresPlan>),
}

#[derive(ApiResponse)]
enum ScrubOk {
    /// What was found.
    #[oai(status = 200)]
    Scrub(Json<ScrubState>),
}

#[derive(ApiResponse)]
enum Begun {
    /// It has begun; `GET /v1/stores` says how far it is.
    #[oai(status = 202)]
    Begun,
}

/// The operations on stores, which only the cloud has.
#[derive(Clone)]
pub(crate) struct StoresApi {
    pub(crate) stores: Option<Arc<dyn StoresService>>,
}

#[OpenApi]
impl StoresApi {
    /// List the stores
    ///
    /// The store set, what each store holds by the log, and how it has been doing.
    #[oai(
        path = "/v1/stores",
        method = "get",
        operation_id = "listStores",
        tag = "Tag::Stores"
    )]
    async fn list_stores(&self) -> Result<StoresOk, Failure> {
        self.now().await
    }

    /// Add a store
    ///
    /// It must be empty, or belong to this fleet. It gets its share of the chunks from there on; `GET /v1/stores/plan`
    /// says which.
    #[oai(
        path = "/v1/stores",
        method = "post",
        operation_id = "addStore",
        tag = "Tag::Stores"
    )]
    async fn add_store(&self, store: Json<NewStore>) -> Result<StoresOk, Failure> {
        let new = store.0;
        let member = Member {
            name: name(&new.name)?,
            url: new.url,
            weight: new.weight.unwrap_or(1.0),
            zone: new.zone,
            state: State::Active,
        };
        self.change(Change::Add(member)).await
    }

    /// Change a store
    ///
    /// A store that drains loses its chunks to the others, and can be removed then. One that is lost has its chunks made
    /// again from their other copies.
    #[oai(
        path = "/v1/stores/:store",
        method = "patch",
        operation_id = "changeStore",
        tag = "Tag::Stores"
    )]
    async fn change_store(
        &self,
        /// Its name.
        store: Path<String>,
        change: Json<StoreChange>,
    ) -> Result<StoresOk, Failure> {
        let name = name(&store)?;
        let change = match change.0 {
            StoreChange {
                state: Some(state),
                weight: None,
                url: None,
            } => match state {
                StoreState::Active => Change::Restore(name),
                StoreState::Draining => Change::Drain(name),
                StoreState::Lost => Change::Lose(name),
            },
            StoreChange {
                state: None,
                weight: Some(weight),
                url: None,
            } => Change::Weigh(name, weight),
            StoreChange {
                state: None,
                weight: None,
                url: Some(url),
            } => Change::Move(name, url),
            _ => {
                let detail = "say one of state, weight and url";
                return Err(Failure::bad_request(detail));
            }
        };
        self.change(change).await
    }

    /// Remove a store
    ///
    /// It must hold no chunks any more: drain it first, or say that it is lost.
    #[oai(
        path = "/v1/stores/:store",
        method = "delete",
        operation_id = "removeStore",
        tag = "Tag::Stores"
    )]
    async fn remove_store(
        &self,
        /// Its name.
        store: Path<String>,
    ) -> Result<StoresOk, Failure> {
        let name = name(&store)?;
        let held = self.service()?.stores().await.loads.of(&name).chunks;
        self.change(Change::Remove(name, held)).await
    }

    /// Preview what would be moved
    ///
    /// Nothing is moved by asking. What is missing or has to go comes first, then what levels the stores.
    #[oai(
        path = "/v1/stores/plan",
        method = "get",
        operation_id = "planStores",
        tag = "Tag::Stores"
    )]
    async fn plan_stores(&self) -> Result<PlanOk, Failure> {
        let plan = self.service()?.plan().await;
        let moves = plan.moves.iter().take(MOVES_LISTED_MAX);
        Ok(PlanOk::Plan(Json(StoresPlan {
            copies: plan.copies,
            bytes: plan.bytes,
            before: loads(&plan.before),
            after: loads(&plan.after),
            moves_total: plan.moves.len() as u64,
            moves: moves
                .map(|step| StoreMove {
                    chunk: step.key.to_string(),
                    bytes: step.bytes,
                    from: step.from.as_ref().map(ToString::to_string),
                    to: step.to.as_ref().map(ToString::to_string),
                    why: step.why.to_string(),
                })
                .collect(),
        })))
    }

    /// Look at the scrub
    ///
    /// The service goes through all copies of all chunks for ever, and repairs what is missing or damaged from a good
    /// copy. Here is what it found.
    #[oai(
        path = "/v1/stores/scrub",
        method = "get",
        operation_id = "getScrub",
        tag = "Tag::Stores"
    )]
    async fn get_scrub(&self) -> Result<ScrubOk, Failure> {
        let state = self.service()?.scrub().await;
        Ok(ScrubOk::Scrub(Json(state)))
    }

    /// Move now what there is to move
    ///
    /// What `GET /v1/stores/plan` tells is moved in the background; `moving` of `GET /v1/stores` tells how far it is.
    #[oai(
        path = "/v1/stores/rebalance",
        method = "post",
        operation_id = "rebalanceStores",
        tag = "Tag::Stores"
    )]
    async fn rebalance_stores(&self) -> Result<Begun, Failure> {
        self.service()?.rebalance();
        Ok(Begun::Begun)
    }
}

impl StoresApi {
    fn service(&self) -> Result<&Arc<dyn StoresService>, Failure> {
        let stores = self.stores.as_ref();
        stores.ok_or_else(|| Failure::internal("no stores are behind this interface"))
    }

    async fn now(&self) -> Result<StoresOk, Failure> {
        let now = self.service()?.stores().await;
        let set = &now.set;
        let stores = set.members.iter().map(|member| {
            let Load {
                bytes,
                chunks,
                recent_operations,
                latency_ms,
                errors,
            } = now.loads.of(&member.name);
            StoreInfo {
                name: member.name.to_string(),
                url: member.url.clone(),
                weight: member.weight,
                zone: member.zone.clone(),
                state: match member.state {
                    State::Active => StoreState::Active,
                    State::Draining => StoreState::Draining,
                    State::Lost => StoreState::Lost,
                },
                failing: now.failing.contains(&member.name),
                bytes,
                chunks,
                recent_operations,
                latency_ms,
                errors,
            }
        });
        Ok(StoresOk::Stores(Json(Stores {
            version: set.version,
            fleet: set.fleet.to_string(),
            copies: set.copies as u64,
            peak: now.loads.peak(Placement::of(set).shares()),
            stores: stores.collect(),
            moving: now.moving,
        })))
    }

    async fn change(&self, change: Change) -> Result<StoresOk, Failure> {
        match self.service()?.change(change).await {
            Ok(()) => self.now().await,
            Err(ChangeError::NoStore(reason)) => Err(Failure::unavailable(reason)),
            Err(refused) => Err(Failure::bad_request(refused.to_string())),
        }
    }
}

fn name(text: &str) -> Result<StoreName, Failure> {
    text.parse()
        .map_err(|e: tarn_common::ids::InvalidId| Failure::bad_request(e.to_string()))
}

fn loads(loads: &Loads) -> Vec<StoreLoad> {
    let loads = loads.0.iter().map(|(name, load)| StoreLoad {
        store: name.to_string(),
        bytes: load.bytes,
        chunks: load.chunks,
    });
    loads.collect()
}
