use std::{
    collections::BTreeSet,
    fmt,
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use datafusion::{
    catalog::CatalogProviderList,
    catalog::{
        CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
        SchemaProvider,
    },
    common::DataFusionError,
    dataframe::DataFrame,
    execution::{
        SessionState, SessionStateBuilder,
        context::{SQLOptions, SessionContext},
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::{GreedyMemoryPool, MemoryPool},
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    physical_plan::execute_stream,
    prelude::SessionConfig,
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use tokio::{runtime::Runtime, sync::Semaphore, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use super::{
    answer::{Answer, Limits, batch_bytes, plain_batch, plain_schema},
    days::KnownDays,
    error::{QueryError, may_be_a_file, memory_limit, sort_out},
    events::{self, Events, KnownEvents},
    guard::{REFUSED_FUNCTIONS, check_plan, check_text},
    lake::{Lake, Stamp, View},
    pool::QueryPool,
    scan::{Files, Readable},
    stop::{Stop, stoppable},
    summary::{MergedHomes, Summaries},
    table::{Readings, TABLE},
};
use crate::ids::HomeId;

/// Stack of the engine's threads: planning recurses, and unoptimised frames are deep.
const STACK_BYTES: usize = 16 << 20;

/// Bytes of chunk footers that are kept.
const FOOTERS_BYTES: usize = 64 << 20;

/// Catalog and schema that the tables lie in.
const CATALOG: (&str, &str) = ("tarn", "lake");

/// Settings of an [`Engine`].
#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// Bytes that the operators of all queries may hold together.
    pub memory_bytes: usize,
    /// Threads, and parts that a query is split in.
    pub threads: usize,
    /// Queries that run at a time; more wait within their time limit.
    pub queries_at_once: usize,
}

impl Default for EngineSettings {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        EngineSettings {
            memory_bytes: 512 << 20,
            threads,
            queries_at_once: 4,
        }
    }
}

/// Answers questions over a lake, on threads of its own, so that a heavy question delays nothing else.
pub struct Engine {
    pub(super) lake: Arc<dyn Lake>,
    pub(super) summaries: Arc<Summaries>,
    pub(super) merged: MergedHomes,
    pub(super) events: KnownEvents,
    pub(super) days: KnownDays,
    runtime: Option<Runtime>,
    /// Made for the first question: a box that nobody asks should stay small.
    base: OnceLock<SessionState>,
    threads: usize,
    environment: Arc<RuntimeEnv>,
    memory: Arc<dyn MemoryPool>,
    readable: Arc<Readable>,
    places: Arc<Semaphore>,
    queries_at_once: usize,
    memory_bytes: usize,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("lake", &self.lake)
            .finish_non_exhaustive()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Waiting for the threads would panic inside of a task, and nobody waits for their work.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine {
    /// An engine over this lake. Fails when its threads cannot be started.
    pub fn new(lake: Arc<dyn Lake>, settings: &EngineSettings) -> Result<Engine, QueryError> {
        let internal = |e: &dyn fmt::Display| QueryError::Internal(e.to_string());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(settings.threads.max(1))
            .thread_stack_size(STACK_BYTES)
            .thread_name("query")
            .enable_all()
            .build()
            .map_err(|e| internal(&e))?;
        let memory: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(settings.memory_bytes));
        let environment = RuntimeEnvBuilder::new()
            .with_memory_pool(memory.clone())
            // A box's flash is not for spilling: what does not fit is refused.
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled),
            )
            .with_metadata_cache_limit(FOOTERS_BYTES)
            .build_arc()
            .map_err(|e| internal(&e))?;
        Ok(Engine {
            lake,
            summaries: Arc::default(),
            merged: MergedHomes::default(),
            events: KnownEvents::default(),
            days: KnownDays::default(),
            runtime: Some(runtime),
            base: OnceLock::new(),
            threads: settings.threads.max(1),
            environment,
            memory,
            readable: Arc::default(),
            places: Arc::new(Semaphore::new(settings.queries_at_once.max(1))),
            queries_at_once: settings.queries_at_once.max(1),
            memory_bytes: settings.memory_bytes,
        })
    }

    /// Queries that run now, those that are being stopped included.
    #[must_use]
    pub fn busy(&self) -> usize {
        self.queries_at_once
            .saturating_sub(self.places.available_permits())
    }

    /// The lake at this moment.
    pub(super) async fn view(&self) -> Result<View, QueryError> {
        let view = self.lake.view().await;
        view.map_err(|e| QueryError::Unavailable(e.to_string()))
    }

    /// What the lake holds now; see [`Lake::stamp`].
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        self.lake.stamp()
    }

    /// Answer one SQL query that reads. The tables are `readings`: the columns of a reading, and
    /// `home`, `edge` and `date`; and `events`: those of an event, and `home` and `date`.
    pub async fn sql(self: &Arc<Self>, text: &str, limits: Limits) -> Result<Answer, QueryError> {
        self.sql_within(None, text, limits).await
    }

    /// The same over these homes only: the tables have nothing of others.
    pub async fn sql_within(
        self: &Arc<Self>,
        homes: Option<Arc<BTreeSet<HomeId>>>,
        text: &str,
        limits: Limits,
    ) -> Result<Answer, QueryError> {
        check_text(text)?;
        let text = text.to_owned();
        self.ask(limits, homes, move |context: SessionContext| {
            let text = text.clone();
            async move {
                let reads_only = SQLOptions::new()
                    .with_allow_ddl(false)
                    .with_allow_dml(false)
                    .with_allow_statements(false);
                let frame = context.sql_with_options(&text, reads_only).await?;
                check_plan(frame.logical_plan())?;
                Ok(frame)
            }
            .boxed()
        })
        .await
    }

    /// Plan and run a question within its limits, on the engine's threads. It is stopped when its
    /// time is over, and when nobody waits for it any more.
    pub(super) async fn ask(
        self: &Arc<Self>,
        limits: Limits,
        homes: Option<Arc<BTreeSet<HomeId>>>,
        question: impl Question,
    ) -> Result<Answer, QueryError> {
        let started = Instant::now();
        let engine = self.clone();
        let stop = Stop::default();
        let waiting = stop.waiting();
        let run = async move {
            let run = Run {
                question: &question,
                homes: homes.as_deref(),
                limits,
                stop: &stop,
            };
            let first = engine.run_once(&run).await;
            // A file that turns out unreadable half way is told, and the others answer.
            let (result, missing) = match first {
                (Err(error), files) if may_be_a_file(&error) && files.find_damage().await => {
                    let (result, again) = engine.run_with(&run, files).await;
                    (result, again.missing())
                }
                (result, files) => (result, files.missing()),
            };
            let memory = limits.memory_bytes.min(engine.memory_bytes);
            let got = result.map_err(|e| sort_out(&e, memory))?;
            if got.over_memory {
                return Err(QueryError::TooExpensive {
                    limit: memory_limit(memory),
                });
            }
            Ok(Answer {
                schema: got.schema,
                batches: got.batches,
                truncated: got.truncated,
                missing,
                took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            })
        };
        let answer = self.on_threads(limits.time, run).await;
        drop(waiting);
        answer
    }

    /// Run work on the engine's threads within a time; it takes one of the engine's places.
    pub(super) async fn on_threads<T: Send + 'static>(
        &self,
        time: Duration,
        work: impl Future<Output = Result<T, QueryError>> + Send + 'static,
    ) -> Result<T, QueryError> {
        let Some(runtime) = &self.runtime else {
            return Err(QueryError::Unavailable(
                "the query engine has stopped".into(),
            ));
        };
        let places = self.places.clone();
        // The place is held by the task: work that is slow to stop still counts as running.
        let task = AbortOnDropHandle::new(runtime.spawn(async move {
            let place = places.acquire_owned().await;
            let done = work.await;
            drop(place);
            done
        }));
        match tokio::time::timeout(time, task).await {
            Err(_) => Err(QueryError::TooExpensive {
                limit: format!("{} s of time", time.as_secs_f64()),
            }),
            Ok(Ok(done)) => done,
            Ok(Err(failed)) => Err(QueryError::Internal(failed.to_string())),
        }
    }

    async fn run_once(
        &self,
        run: &Run<'_, impl Question>,
    ) -> (Result<Got, DataFusionError>, Arc<Files>) {
        let files = Arc::new(Files::new(self.lake.clone(), self.readable.clone()));
        self.run_with(run, files).await
    }

    async fn run_with(
        &self,
        run: &Run<'_, impl Question>,
        files: Arc<Files>,
    ) -> (Result<Got, DataFusionError>, Arc<Files>) {
        let got = async {
            let view = self
                .lake
                .view()
                .await
                .map_err(|e| DataFusionError::External(Box::new(e)))?;
            let view = match run.homes {
                Some(homes) => view.only(homes),
                None => view,
            };
            let context = self.context(view, files.clone(), run.limits)?;
            let frame = run.question.plan(context).await?;
            collect(frame, run.limits, run.stop).await
        };
        (got.await, files)
    }

    /// A session of its own for one query: the moment of the lake, and its share of the memory.
    fn context(
        &self,
        view: View,
        files: Arc<Files>,
        limits: Limits,
    ) -> Result<SessionContext, DataFusionError> {
        let pool = QueryPool::new(self.memory.clone(), limits.memory_bytes);
        let environment = RuntimeEnvBuilder::from_runtime_env(&self.environment)
            .with_memory_pool(Arc::new(pool))
            .build_arc()?;
        let schema = MemorySchemaProvider::new();
        let events = Events::new(&view, files.clone());
        schema.register_table(events::TABLE.into(), Arc::new(events))?;
        let table = Readings::new(view, files, self.summaries.clone());
        schema.register_table(TABLE.into(), Arc::new(table))?;
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(CATALOG.1, Arc::new(schema))?;
        let catalogs = MemoryCatalogProviderList::new();
        catalogs.register_catalog(CATALOG.0.into(), Arc::new(catalog));
        let base = || base_state(self.threads, self.environment.clone());
        let state = SessionStateBuilder::new_from_existing(self.base.get_or_init(base).clone())
            .with_catalog_list(Arc::new(catalogs))
            .with_runtime_env(environment)
            .build();
        Ok(SessionContext::new_with_state(state))
    }
}

/// Makes the plan of a question, again for each run of it.
pub(super) trait Question: Send + Sync + 'static {
    fn plan(
        &self,
        context: SessionContext,
    ) -> BoxFuture<'static, Result<DataFrame, DataFusionError>>;
}

impl<F> Question for F
where
    F: Fn(SessionContext) -> BoxFuture<'static, Result<DataFrame, DataFusionError>>
        + Send
        + Sync
        + 'static,
{
    fn plan(
        &self,
        context: SessionContext,
    ) -> BoxFuture<'static, Result<DataFrame, DataFusionError>> {
        self(context)
    }
}

/// A question as it is asked.
struct Run<'a, Q> {
    question: &'a Q,
    /// The homes that the asker may see; none named means all.
    homes: Option<&'a BTreeSet<HomeId>>,
    limits: Limits,
    stop: &'a Stop,
}

struct Got {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    truncated: bool,
    over_memory: bool,
}

async fn collect(frame: DataFrame, limits: Limits, stop: &Stop) -> Result<Got, DataFusionError> {
    let context = Arc::new(frame.task_ctx());
    let plan = stoppable(frame.create_physical_plan().await?, stop)?;
    let mut stream = execute_stream(plan, context)?;
    let schema = plain_schema(&stream.schema());
    let mut got = Got {
        schema,
        batches: Vec::new(),
        truncated: false,
        over_memory: false,
    };
    let (mut rows, mut bytes) = (0, 0);
    while let Some(batch) = stream.next().await {
        let batch = plain_batch(&got.schema, &batch?)?;
        if batch.num_rows() == 0 {
            continue;
        }
        let left = limits.rows - rows;
        got.truncated = batch.num_rows() > left;
        let batch = batch.slice(0, batch.num_rows().min(left));
        rows += batch.num_rows();
        bytes += batch_bytes(&batch);
        got.over_memory = bytes > limits.memory_bytes;
        if batch.num_rows() > 0 {
            got.batches.push(batch);
        }
        if got.truncated || got.over_memory {
            break;
        }
    }
    Ok(got)
}

fn base_state(threads: usize, environment: Arc<RuntimeEnv>) -> SessionState {
    let mut config = SessionConfig::new()
        .with_information_schema(true)
        .with_default_catalog_and_schema(CATALOG.0, CATALOG.1)
        .with_create_default_catalog_and_schema(false)
        .with_target_partitions(threads);
    let options = config.options_mut();
    // With it a message can name line and column.
    options.sql_parser.collect_spans = true;
    options.execution.time_zone = Some("+00:00".into());
    // One device of many: rows are left out while the file is read, before the other columns are.
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.reorder_filters = true;
    let mut builder = SessionStateBuilder::new_with_default_features()
        .with_config(config)
        .with_runtime_env(environment)
        .with_table_function_list(Vec::new());
    if let Some(functions) = builder.scalar_functions() {
        functions.retain(|f| {
            let named =
                |name: &str| f.name() == name || f.aliases().iter().any(|alias| alias == name);
            !REFUSED_FUNCTIONS.iter().any(|refused| named(refused))
        });
    }
    builder.build()
}
