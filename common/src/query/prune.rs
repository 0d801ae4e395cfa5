use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Int64Array, StringViewArray,
        TimestampMillisecondArray, UInt64Array,
    },
    datatypes::SchemaRef,
};
use datafusion::{
    catalog::Session,
    common::{Column, DFSchema, ScalarValue, pruning::PruningStatistics},
    logical_expr::{Expr, utils::conjunction},
    physical_optimizer::pruning::PruningPredicateBuilder,
};

use super::{summary::Summaries, table::extra};
use crate::{commit_log::Chunk, reading::column};

/// The chunks that may hold a row for which all filters are true. What cannot be told keeps a chunk.
pub(super) fn prune(
    chunks: Vec<Arc<Chunk>>,
    filters: &[Expr],
    schema: &SchemaRef,
    session: &dyn Session,
    summaries: &Summaries,
) -> Vec<Arc<Chunk>> {
    let Some(filter) = conjunction(filters.iter().cloned()) else {
        return chunks;
    };
    let keep = || {
        let df_schema = DFSchema::try_from(schema.as_ref().clone()).ok()?;
        let predicate = session.create_physical_expr(filter, &df_schema).ok()?;
        let predicate = PruningPredicateBuilder::new()
            .with_file_schema(schema.clone())
            .try_build(predicate)
            .ok()?;
        predicate
            .prune(&Logged {
                chunks: &chunks,
                summaries,
            })
            .ok()
    };
    match keep() {
        Some(keep) => chunks
            .iter()
            .zip(keep)
            .filter(|(_, keep)| *keep)
            .map(|(c, _)| c.clone())
            .collect(),
        None => chunks,
    }
}

/// What the log says of chunks, as the pruning of the engine asks for it.
struct Logged<'a> {
    chunks: &'a [Arc<Chunk>],
    summaries: &'a Summaries,
}

impl Logged<'_> {
    fn bounds(
        &self,
        name: &str,
        ts: impl Fn(&Chunk) -> i64,
        seq: impl Fn(&Chunk) -> u64,
    ) -> Option<ArrayRef> {
        let chunks = self.chunks.iter();
        Some(match name {
            column::TS => Arc::new(
                TimestampMillisecondArray::from_iter_values(chunks.map(|c| ts(c)))
                    .with_timezone("UTC"),
            ),
            column::SEQ => Arc::new(Int64Array::from_iter_values(
                chunks.map(|c| i64::try_from(seq(c)).unwrap_or(i64::MAX)),
            )),
            extra::HOME => Arc::new(StringViewArray::from_iter_values(
                chunks.map(|c| c.key.home.as_str()),
            )),
            extra::EDGE => Arc::new(StringViewArray::from_iter_values(
                chunks.map(|c| c.key.edge.to_string()),
            )),
            extra::DATE => Arc::new(Date32Array::from_iter_values(chunks.map(|c| c.key.day))),
            _ => return None,
        })
    }
}

impl PruningStatistics for Logged<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(&column.name, |c| c.min_ts, |c| c.min_seq.0)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bounds(&column.name, |c| c.max_ts, |c| c.max_seq.0)
    }

    fn num_containers(&self) -> usize {
        self.chunks.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let never_null = !matches!(
            column.name.as_str(),
            column::VALUE | column::TEXT | column::UNIT
        );
        never_null.then(|| Arc::new(UInt64Array::from(vec![0; self.chunks.len()])) as ArrayRef)
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(UInt64Array::from_iter_values(
            self.chunks.iter().map(|c| c.rows),
        )))
    }

    /// A chunk whose summary is at hand names all its devices.
    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        if column.name != column::DEVICE {
            return None;
        }
        let names: Option<Vec<&str>> = values.iter().map(|v| v.try_as_str().flatten()).collect();
        let names = names?;
        let holds = |chunk: &Arc<Chunk>| {
            let summary = self.summaries.known(&chunk.key)?;
            // "Only these" is never claimed; "none of these" is certain.
            (!names.iter().any(|name| summary.has_device(name))).then_some(false)
        };
        Some(self.chunks.iter().map(holds).collect())
    }
}
