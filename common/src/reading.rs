use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// How far a reading can be trusted: 0 is good, anything else a flag that says why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i8)]
pub enum Quality {
    /// Nothing to say against it.
    #[default]
    Good = 0,
    /// The device's time was not plausible, so `ts` is the box's; or the box got it before its own clock was set.
    ClockMended = 1,
    /// It came more than [`LATE_AFTER_MS`] after it was measured.
    Late = 2,
    /// Made up from its neighbours.
    Estimated = 3,
    /// Sent as history by a device that had slept.
    Historical = 4,
    /// The payload was not text: `text` holds it as base64.
    Binary = 5,
}

/// A reading that arrives later than this after its own time is flagged as late.
pub const LATE_AFTER_MS: i64 = 60 * 60 * 1000;

/// Milliseconds in a day.
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Names of the columns, in the order in which they stand in a chunk.
pub mod column {
    /// When it was measured.
    pub const TS: &str = "ts";
    /// Stable device id.
    pub const DEVICE: &str = "device";
    /// What was measured.
    pub const METRIC: &str = "metric";
    /// The number; booleans as 0 and 1.
    pub const VALUE: &str = "value";
    /// A state, or a payload that is no number.
    pub const TEXT: &str = "text";
    /// Unit of `value`.
    pub const UNIT: &str = "unit";
    /// When the box got it.
    pub const RECEIVED: &str = "received";
    /// Journal sequence.
    pub const SEQ: &str = "seq";
    /// [`super::Quality`] as a number.
    pub const QUALITY: &str = "quality";
}

/// The Arrow schema of a batch on its way into a chunk (names as dictionaries).
#[must_use]
pub fn batch_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| schema(&dictionary()));
    SCHEMA.clone()
}

/// The Arrow schema of a chunk as every reader sees it (names as plain strings).
#[must_use]
pub fn chunk_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| schema(&DataType::Utf8));
    SCHEMA.clone()
}

/// The type of timestamps: milliseconds, UTC.
#[must_use]
pub fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// The type of names in memory: a dictionary.
#[must_use]
pub fn dictionary() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

fn schema(name: &DataType) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new(column::TS, timestamp(), false),
        Field::new(column::DEVICE, name.clone(), false),
        Field::new(column::METRIC, name.clone(), false),
        Field::new(column::VALUE, DataType::Float64, true),
        Field::new(column::TEXT, DataType::Utf8, true),
        Field::new(column::UNIT, name.clone(), true),
        Field::new(column::RECEIVED, timestamp(), false),
        Field::new(column::SEQ, DataType::Int64, false),
        Field::new(column::QUALITY, DataType::Int8, false),
    ]))
}
