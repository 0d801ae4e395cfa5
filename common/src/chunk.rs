use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute,
    datatypes::{Float64Type, Int64Type, TimestampMillisecondType},
};
use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder,
        arrow_writer::ArrowWriterOptions,
    },
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::{KeyValue, SortingColumn},
        properties::{WriterProperties, WriterPropertiesBuilder},
    },
    schema::types::ColumnPath,
};
use rustc_hash::FxHashSet;
use sha2::{Digest as _, Sha256};

use crate::{ids::Seq, layout::ChunkKey, reading::column};

/// Version of the chunk format, written into each file as `tarn.format`.
pub const FORMAT: u32 = 1;

/// Rows of a row group at most.
pub const ROW_GROUP_ROWS_MAX: usize = 1_000_000;

/// zstd level on the box, where time is dear.
pub const ZSTD_LEVEL_BOX: i32 = 1;

/// Rows looked at to choose the encoding of `value`.
const SAMPLE_ROWS: usize = 4_096;

/// CRC32 (IEEE) and SHA-256 of an object's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// CRC32, quick to check.
    pub crc32: u32,
    /// SHA-256, for who does not trust the disk's other users.
    pub sha256: [u8; 32],
}

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Digest {
        Digest {
            crc32: crc32fast::hash(bytes),
            sha256: Sha256::digest(bytes).into(),
        }
    }
}

/// A chunk as bytes, with what its log entry will say about it.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The Parquet file.
    pub bytes: Bytes,
    /// Rows in it.
    pub rows: u64,
    /// Digest of `bytes`.
    pub digest: Digest,
    /// Earliest and latest `ts`.
    pub ts_range: (i64, i64),
    /// Lowest and highest `seq`.
    pub seq_range: (Seq, Seq),
}

/// Why a chunk could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// The Parquet library refused.
    #[error("parquet")]
    Parquet(#[from] ParquetError),
    /// A chunk always has rows.
    #[error("no rows")]
    Empty,
    /// The content is not what the log says.
    #[error("{0}")]
    Fault(String),
}

/// Encode one sorted batch (schema [`crate::reading::batch_schema`]) as a chunk.
pub fn encode(key: &ChunkKey, batch: &RecordBatch, zstd_level: i32) -> Result<Encoded, ChunkError> {
    let ts = batch.column(0).as_primitive::<TimestampMillisecondType>();
    let seq = batch.column(7).as_primitive::<Int64Type>();
    let range = |min: Option<i64>, max: Option<i64>| min.zip(max).ok_or(ChunkError::Empty);
    let ts_range = range(compute::min(ts), compute::max(ts))?;
    let seqs = range(compute::min(seq), compute::max(seq))?;
    let properties = properties(key, batch, zstd_level)?;
    // Without the Arrow schema in the file every reader sees plain strings, and no categories.
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), batch.schema(), options)?;
    writer.write(batch)?;
    let bytes = Bytes::from(writer.into_inner()?);
    Ok(Encoded {
        rows: batch.num_rows() as u64,
        digest: Digest::of(&bytes),
        ts_range,
        seq_range: (Seq(seqs.0 as u64), Seq(seqs.1 as u64)),
        bytes,
    })
}

fn properties(
    key: &ChunkKey,
    batch: &RecordBatch,
    level: i32,
) -> Result<WriterProperties, ParquetError> {
    let path = |name: &str| ColumnPath::from(name);
    let delta = |builder: WriterPropertiesBuilder, name: &str| {
        builder
            .set_column_dictionary_enabled(path(name), false)
            .set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED)
    };
    let sorted = |column_idx| SortingColumn {
        column_idx,
        descending: false,
        nulls_first: false,
    };
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_created_by(format!("tarn {}", env!("CARGO_PKG_VERSION")))
        .set_sorting_columns(Some(vec![sorted(1), sorted(2), sorted(0)]))
        .set_key_value_metadata(Some(file_metadata(key)));
    for name in [column::TS, column::RECEIVED, column::SEQ] {
        builder = delta(builder, name);
    }
    if !values_repeat(batch) {
        builder = builder
            .set_column_dictionary_enabled(path(column::VALUE), false)
            .set_column_encoding(path(column::VALUE), Encoding::BYTE_STREAM_SPLIT);
    }
    Ok(builder.build())
}

pub(crate) fn file_metadata(key: &ChunkKey) -> Vec<KeyValue> {
    [
        ("tarn.format", FORMAT.to_string()),
        ("tarn.writer", env!("CARGO_PKG_VERSION").to_owned()),
        ("tarn.home", key.home.to_string()),
        ("tarn.edge", key.edge.to_string()),
        ("tarn.shard", key.shard.to_string()),
        ("tarn.first_seq", key.first.to_string()),
        ("tarn.last_seq", key.last.to_string()),
    ]
    .map(|(name, value)| KeyValue::new(name.to_owned(), value))
    .into()
}

/// Whether a dictionary pays for `value`: at most half of a spread sample is distinct.
fn values_repeat(batch: &RecordBatch) -> bool {
    let values = batch.column(3).as_primitive::<Float64Type>();
    let step = (values.len() / SAMPLE_ROWS).max(1);
    let sample: Vec<u64> = (0..values.len())
        .step_by(step)
        .filter(|&row| values.is_valid(row))
        .map(|row| values.value(row).to_bits())
        .collect();
    let distinct: FxHashSet<u64> = sample.iter().copied().collect();
    distinct.len() * 2 <= sample.len().max(1)
}

/// What a chunk's own bytes say: rows and file metadata.
#[derive(Debug, Clone)]
pub struct Footer {
    /// Rows, as the footer counts them.
    pub rows: u64,
    /// The `tarn.…` key-values.
    pub metadata: Vec<(String, String)>,
}

/// Read a chunk's footer; a cut or damaged file is an error.
pub fn footer(bytes: &Bytes) -> Result<Footer, ChunkError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())?;
    let file = reader.metadata().file_metadata();
    let metadata = file.key_value_metadata().into_iter().flatten();
    Ok(Footer {
        rows: u64::try_from(file.num_rows()).unwrap_or(0),
        metadata: metadata
            .map(|kv| (kv.key.clone(), kv.value.clone().unwrap_or_default()))
            .collect(),
    })
}

/// All rows of a chunk, batch by batch, as [`crate::reading::chunk_schema`].
pub fn read(
    bytes: Bytes,
) -> Result<impl Iterator<Item = Result<RecordBatch, ChunkError>>, ChunkError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?
        .with_batch_size(65_536)
        .build()?;
    Ok(reader.map(|batch| batch.map_err(|e| ChunkError::Fault(e.to_string()))))
}
