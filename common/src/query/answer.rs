use std::{sync::Arc, time::Duration};

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    compute,
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};

use super::lake::Missing;

/// What one question may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Wall time, waiting for a free place included.
    pub time: Duration,
    /// Bytes that its operators and its answer may hold in memory.
    pub memory_bytes: usize,
    /// Rows of the answer; more are cut off and told as `truncated`.
    pub rows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            time: Duration::from_secs(30),
            memory_bytes: 256 << 20,
            rows: 100_000,
        }
    }
}

/// The answer to a question.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Names and types of the columns; strings are plain UTF-8.
    pub schema: SchemaRef,
    /// The rows, as `schema`.
    pub batches: Vec<RecordBatch>,
    /// Whether rows were cut off at the limit.
    pub truncated: bool,
    /// Chunks whose rows should be in the answer and are not.
    pub missing: Vec<Missing>,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

impl Answer {
    /// Rows in it.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// Bytes of its values in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.batches.iter().map(batch_bytes).sum()
    }
}

/// Bytes of a batch's own rows: batches may be slices of buffers that are larger, and shared.
pub(super) fn batch_bytes(batch: &RecordBatch) -> usize {
    let own = |column: &ArrayRef| {
        let sliced = column.to_data().get_slice_memory_size();
        sliced.unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(own).sum()
}

/// The schema with the types that every reader knows: string views and dictionaries of strings
/// become plain strings.
pub(super) fn plain_schema(schema: &Schema) -> SchemaRef {
    let plain = |field: &Arc<Field>| match plain_type(field.data_type()) {
        Some(plain) => Arc::new(field.as_ref().clone().with_data_type(plain)),
        None => field.clone(),
    };
    Arc::new(Schema::new(
        schema.fields().iter().map(plain).collect::<Vec<_>>(),
    ))
}

/// The batch with the types of [`plain_schema`].
pub(super) fn plain_batch(
    schema: &SchemaRef,
    batch: &RecordBatch,
) -> Result<RecordBatch, ArrowError> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(column.clone())
            } else {
                compute::cast(column, field.data_type())
            }
        });
    let columns = columns.collect::<Result<Vec<ArrayRef>, _>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options)
}

fn plain_type(from: &DataType) -> Option<DataType> {
    match from {
        DataType::Utf8View | DataType::LargeUtf8 => Some(DataType::Utf8),
        DataType::BinaryView | DataType::LargeBinary => Some(DataType::Binary),
        DataType::Dictionary(_, values) => {
            Some(plain_type(values).unwrap_or_else(|| values.as_ref().clone()))
        }
        _ => None,
    }
}
