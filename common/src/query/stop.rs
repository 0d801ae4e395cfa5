//! Operators look for work to do in loops that may run for minutes without giving way, a nested loop
//! join above all: aborting their task does nothing until then. So each plan gets small pieces between
//! its operators that fail once nobody waits for the answer.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow::{
    array::RecordBatch,
    datatypes::{FieldRef, Schema},
};
use datafusion::{
    common::{
        DataFusionError,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::ColumnarValue,
    physical_expr::PhysicalExpr,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties,
        coop::make_cooperative,
        joins::{NestedLoopJoinExec, NestedLoopJoinExecBuilder, utils::JoinFilter},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt;

/// Set once nobody waits for the answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

/// Whoever waits for the answer holds this.
#[derive(Debug)]
pub(super) struct Waiting(Stop);

impl Stop {
    pub(super) fn waiting(&self) -> Waiting {
        Waiting(self.clone())
    }

    fn check(&self) -> Result<(), DataFusionError> {
        if self.0.load(Ordering::Relaxed) {
            return Err(DataFusionError::Execution(
                "nobody waits for the answer".into(),
            ));
        }
        Ok(())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// The plan, with a place to stop after each input and each join, and within each nested loop join.
pub(super) fn stoppable(
    plan: Arc<dyn ExecutionPlan>,
    stop: &Stop,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let wrap = |node: Arc<dyn ExecutionPlan>| {
        let node = match node.downcast_ref::<NestedLoopJoinExec>() {
            Some(join) => stoppable_join(join, stop)?,
            None => node,
        };
        if node.children().is_empty() || node.name().contains("Join") {
            return Ok(Transformed::yes(Arc::new(StopExec {
                input: node,
                stop: stop.clone(),
            }) as _));
        }
        Ok(Transformed::no(node))
    };
    plan.transform_up(wrap).data()
}

fn stoppable_join(
    join: &NestedLoopJoinExec,
    stop: &Stop,
) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
    let filter = join.filter().map(|filter| {
        let checked = StopExpr {
            inner: filter.expression().clone(),
            stop: stop.clone(),
        };
        JoinFilter::new(
            Arc::new(checked),
            filter.column_indices().to_vec(),
            filter.schema().clone(),
        )
    });
    let join = NestedLoopJoinExecBuilder::new(
        join.left().clone(),
        join.right().clone(),
        *join.join_type(),
    )
    .with_filter(filter)
    .with_projection_ref(join.projection().clone())
    .build()?;
    Ok(Arc::new(join))
}

/// Passes batches on until it is to stop.
#[derive(Debug)]
struct StopExec {
    input: Arc<dyn ExecutionPlan>,
    stop: Stop,
}

impl DisplayAs for StopExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StopExec")
    }
}

impl ExecutionPlan for StopExec {
    fn name(&self) -> &str {
        "StopExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion, DataFusionError>,
    ) -> Result<TreeNodeRecursion, DataFusionError> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let input = children.into_iter().next();
        let input =
            input.ok_or_else(|| DataFusionError::Internal("StopExec needs an input".into()))?;
        Ok(Arc::new(StopExec {
            input,
            stop: self.stop.clone(),
        }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream, DataFusionError> {
        self.stop.check()?;
        let stop = self.stop.clone();
        let batches = self.input.execute(partition, context)?;
        let schema = batches.schema();
        let checked = batches.map(move |batch| stop.check().and(batch));
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(
            schema, checked,
        ))))
    }
}

/// Passes an expression's values on until it is to stop.
#[derive(Debug, Clone)]
struct StopExpr {
    inner: Arc<dyn PhysicalExpr>,
    stop: Stop,
}

impl PartialEq for StopExpr {
    fn eq(&self, other: &Self) -> bool {
        self.inner.eq(&other.inner)
    }
}

impl Eq for StopExpr {}

impl Hash for StopExpr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.hash(state);
    }
}

impl fmt::Display for StopExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl PhysicalExpr for StopExpr {
    fn return_field(&self, schema: &Schema) -> Result<FieldRef, DataFusionError> {
        self.inner.return_field(schema)
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue, DataFusionError> {
        self.stop.check()?;
        self.inner.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.inner]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
        let inner = children.into_iter().next();
        let inner =
            inner.ok_or_else(|| DataFusionError::Internal("StopExpr needs an input".into()))?;
        Ok(Arc::new(StopExpr {
            inner,
            stop: self.stop.clone(),
        }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt_sql(f)
    }
}
