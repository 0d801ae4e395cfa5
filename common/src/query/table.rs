use std::sync::{Arc, LazyLock};

use arrow::{
    array::{ArrayRef, AsArray, Date32Array, RecordBatch, StringViewArray},
    compute,
    datatypes::{DataType, Field, Schema, SchemaRef, TimestampMillisecondType},
    error::ArrowError,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{ColumnStatistics, DataFusionError, ScalarValue, Statistics, stats::Precision},
    datasource::{
        TableType,
        listing::PartitionedFile,
        memory::MemorySourceConfig,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource},
        source::DataSourceExec,
        table_schema::TableSchema,
    },
    execution::object_store::ObjectStoreUrl,
    logical_expr::{Expr, TableProviderFilterPushDown},
    physical_plan::{ExecutionPlan, empty::EmptyExec, union::UnionExec},
};
use object_store::{ObjectMeta, path::Path};

use super::{
    lake::{ChunkFile, Tail, View},
    prune::prune,
    scan::Files,
    summary::Summaries,
};
use crate::{
    commit_log::Chunk,
    reading::{self, column},
};

/// Name of the table of readings.
pub(super) const TABLE: &str = "readings";

/// The columns that a reading has from where it lies.
pub(super) mod extra {
    /// The home.
    pub(in crate::query) const HOME: &str = "home";
    /// The box, as 16 hex digits.
    pub(in crate::query) const EDGE: &str = "edge";
    /// The UTC day of `ts`.
    pub(in crate::query) const DATE: &str = "date";
}

/// Columns in a file, with strings as views: read without a copy, compared by their prefix.
fn file_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let schema = reading::chunk_schema();
        let view = |field: &Arc<Field>| match field.data_type() {
            DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
            _ => field.clone(),
        };
        Arc::new(Schema::new(
            schema.fields().iter().map(view).collect::<Vec<_>>(),
        ))
    });
    SCHEMA.clone()
}

fn extra_columns() -> Vec<Arc<Field>> {
    vec![
        Arc::new(Field::new(extra::HOME, DataType::Utf8View, false)),
        Arc::new(Field::new(extra::EDGE, DataType::Utf8View, false)),
        Arc::new(Field::new(extra::DATE, DataType::Date32, false)),
    ]
}

/// The columns of the table: a reading's own, then [`extra`].
pub(super) fn table_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let fields = file_schema()
            .fields()
            .iter()
            .cloned()
            .chain(extra_columns())
            .collect::<Vec<_>>();
        Arc::new(Schema::new(fields))
    });
    SCHEMA.clone()
}

/// The table `readings` of one query: one moment of the lake.
#[derive(Debug)]
pub(super) struct Readings {
    view: View,
    files: Arc<Files>,
    summaries: Arc<Summaries>,
}

impl Readings {
    pub(super) fn new(view: View, files: Arc<Files>, summaries: Arc<Summaries>) -> Readings {
        Readings {
            view,
            files,
            summaries,
        }
    }

    fn scan_files(
        &self,
        files: Vec<(Arc<Chunk>, ChunkFile)>,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let files = files
            .iter()
            .map(|(chunk, file)| partitioned_file(chunk, file));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let statistics: Vec<Arc<Statistics>> =
            files.iter().filter_map(|f| f.statistics.clone()).collect();
        let statistics =
            Statistics::try_merge_iter(statistics.iter().map(Arc::as_ref), &table_schema())?;
        let groups = FileGroup::new(files).split_files(session.config().target_partitions());
        let source = ParquetSource::new(
            TableSchema::builder(file_schema())
                .with_table_partition_cols(extra_columns())
                .build(),
        )
        .with_table_parquet_options(session.table_options().parquet.clone())
        .with_enable_page_index(true)
        .with_pushdown_filters(session.config_options().execution.parquet.pushdown_filters);
        let store = session
            .runtime_env()
            .object_store(ObjectStoreUrl::local_filesystem())?;
        let cache = session
            .runtime_env()
            .cache_manager
            .get_file_metadata_cache();
        let reader =
            datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory::new(
                store, cache,
            );
        let source = source.with_parquet_file_reader_factory(Arc::new(reader));
        let config =
            FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), Arc::new(source))
                .with_file_groups(groups)
                .with_statistics(statistics)
                .with_projection_indices(projection.cloned())?
                .with_limit(limit)
                .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn scan_tail(
        &self,
        projection: Option<&Vec<usize>>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>, DataFusionError> {
        let batches = self
            .view
            .tail
            .iter()
            .filter(|tail| tail.batch.num_rows() > 0)
            .map(tail_batch);
        let batches = batches.collect::<Result<Vec<_>, _>>()?;
        if batches.is_empty() {
            return Ok(None);
        }
        let plan =
            MemorySourceConfig::try_new_exec(&[batches], table_schema(), projection.cloned())?;
        Ok(Some(plan))
    }
}

#[async_trait]
impl TableProvider for Readings {
    fn schema(&self) -> SchemaRef {
        table_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let chunks = prune(
            self.view.readings().cloned().collect(),
            filters,
            &table_schema(),
            session,
            &self.summaries,
        );
        let files = self.files.open(chunks).await;
        let mut inputs = Vec::new();
        if !files.is_empty() {
            inputs.push(self.scan_files(files, session, projection, limit)?);
        }
        inputs.extend(self.scan_tail(projection)?);
        match inputs.len() {
            0 => {
                let schema = datafusion::common::project_schema(&table_schema(), projection)?;
                Ok(Arc::new(EmptyExec::new(schema)))
            }
            1 => Ok(inputs.remove(0)),
            _ => UnionExec::try_new(inputs),
        }
    }

    /// Chunks, row groups and pages are left out by filters, rows are not: the engine filters again.
    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

fn partitioned_file(chunk: &Chunk, file: &ChunkFile) -> Result<PartitionedFile, DataFusionError> {
    let meta = ObjectMeta {
        location: Path::from_absolute_path(&file.path)
            .map_err(|e| DataFusionError::External(e.into()))?,
        // Chunks never change, so one moment for all keeps their footers cached.
        last_modified: Default::default(),
        size: chunk.bytes,
        e_tag: None,
        version: None,
    };
    let values = vec![
        ScalarValue::Utf8View(Some(chunk.key.home.to_string())),
        ScalarValue::Utf8View(Some(chunk.key.edge.to_string())),
        ScalarValue::Date32(Some(chunk.key.day)),
    ];
    // The guard rides with the file, so that the file stays for as long as the plan does.
    let guard = file.guard.clone();
    Ok(PartitionedFile::new_from_meta(meta)
        .with_partition_values(values)
        .with_statistics(Arc::new(statistics(chunk)))
        .with_extension(guard))
}

/// What the log says of a file's columns. `ts` and `seq` are never null, their bounds are exact.
fn statistics(chunk: &Chunk) -> Statistics {
    let schema = file_schema();
    let ts = |at: i64| {
        Precision::Exact(ScalarValue::TimestampMillisecond(
            Some(at),
            Some("UTC".into()),
        ))
    };
    let seq = |at: u64| {
        Precision::Exact(ScalarValue::Int64(Some(
            i64::try_from(at).unwrap_or(i64::MAX),
        )))
    };
    let columns = schema.fields().iter().map(|field| {
        let unknown = ColumnStatistics::new_unknown();
        let (min_value, max_value) = match field.name().as_str() {
            column::TS => (ts(chunk.min_ts), ts(chunk.max_ts)),
            column::SEQ => (seq(chunk.min_seq.0), seq(chunk.max_seq.0)),
            _ => return unknown,
        };
        ColumnStatistics {
            null_count: Precision::Exact(0),
            min_value,
            max_value,
            ..unknown
        }
    });
    Statistics {
        num_rows: Precision::Exact(usize::try_from(chunk.rows).unwrap_or(usize::MAX)),
        total_byte_size: Precision::Absent,
        column_statistics: columns.collect(),
    }
}

/// A tail's rows as the table has them.
fn tail_batch(tail: &Tail) -> Result<RecordBatch, ArrowError> {
    let rows = tail.batch.num_rows();
    let ts = tail
        .batch
        .column(0)
        .as_primitive::<TimestampMillisecondType>();
    let day = |ts: &i64| i32::try_from(ts.div_euclid(reading::DAY_MS)).unwrap_or(i32::MAX);
    let edge = tail.edge.to_string();
    let extra: [ArrayRef; 3] = [
        Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(
            tail.home.as_str(),
            rows,
        ))),
        Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(
            edge.as_str(),
            rows,
        ))),
        Arc::new(Date32Array::from_iter_values(ts.values().iter().map(day))),
    ];
    let own = tail
        .batch
        .columns()
        .iter()
        .zip(file_schema().fields().to_vec());
    let own = own.map(|(column, field)| compute::cast(column, field.data_type()));
    let columns = own
        .chain(extra.into_iter().map(Ok))
        .collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(table_schema(), columns)
}
