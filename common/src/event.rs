//! What happens that is no reading, as rows in chunks of their own: gaps, audit rows, rules that fired, alarms.

/// Who changed what, or was refused.
mod audit;
/// What rules and alarms did.
mod logged;

pub use self::{
    audit::{AuditEntry, Outcome},
    logged::LoggedEvent,
};

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
    },
    datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimestampMillisecondType},
    error::ArrowError,
};
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};

use crate::{
    chunk::{self, ChunkError, Digest, Encoded, file_metadata},
    ids::{EdgeId, HomeId, Seq, Shard},
    layout::{ChunkKey, Content},
    reading::{DAY_MS, timestamp},
};

/// Names of the columns, in the order in which they stand in a chunk of events.
pub mod column {
    /// When it begins.
    pub const TS: &str = "ts";
    /// When it ends; of a gap, the last reading that is missing.
    pub const UNTIL: &str = "until";
    /// What kind of event: [`super::GAP`], [`super::AUDIT`], [`super::RULE`], [`super::ALARM`], [`super::INSIGHT`] or
    /// [`super::DELIVERY`].
    pub const KIND: &str = "kind";
    /// The device concerned; none for all.
    pub const DEVICE: &str = "device";
    /// The metric concerned, none for all; the rule, the alarm, the insight or the channel.
    pub const METRIC: &str = "metric";
    /// Of a gap, the tier of value of what is missing.
    pub const TIER: &str = "tier";
    /// Why it is.
    pub const REASON: &str = "reason";
    /// Of a gap, the readings that are missing; none where that is not known.
    pub const ROWS: &str = "rows";
    /// Of a gap, the journal records that are missing, where readings were not made of them.
    pub const RECORDS: &str = "records";
    /// Of a gap, bytes of chunks or of the journal that it was.
    pub const BYTES: &str = "bytes";
    /// The box, by the id that it had for these records.
    pub const EDGE: &str = "edge";
    /// The first journal record concerned.
    pub const FIRST_SEQ: &str = "first_seq";
    /// The last one.
    pub const LAST_SEQ: &str = "last_seq";
    /// When the event was written.
    pub const RECORDED: &str = "recorded";
    /// What more there is to say, in words.
    pub const TEXT: &str = "text";
}

/// Kind of an event that tells of readings that are missing and will not come.
pub const GAP: &str = "gap";

/// Kind of an event that tells of a change that somebody asked for, or of a request that was refused.
pub const AUDIT: &str = "audit";

/// Kind of an event that tells what a rule did.
pub const RULE: &str = "rule";

/// Kind of an event that tells what became of an alarm.
pub const ALARM: &str = "alarm";

/// Kind of an event that tells what an insight has found, or that it is no longer so.
pub const INSIGHT: &str = "insight";

/// Kind of an event that tells what became of a message to people.
pub const DELIVERY: &str = "delivery";

/// Why readings are missing.
pub mod reason {
    /// The box was full, and some readings of a dense series were dropped; others of it are there.
    pub const THINNED: &str = "thinned";
    /// The box was full, and all of these readings were dropped.
    pub const EVICTED: &str = "evicted";
    /// The box's disk had damaged what it was to keep.
    pub const DAMAGED: &str = "damaged";
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// When it begins, milliseconds since 1970 UTC.
    pub ts: i64,
    /// When it ends; both ends belong to it.
    pub until: i64,
    /// What kind of event.
    pub kind: Arc<str>,
    /// The device concerned; none for all.
    pub device: Option<Arc<str>>,
    /// The metric concerned; none for all.
    pub metric: Option<Arc<str>>,
    /// The tier of value of what is missing.
    pub tier: Option<Arc<str>>,
    /// Why it is, see [`reason`].
    pub reason: Option<Arc<str>>,
    /// Readings that are missing.
    pub rows: Option<u64>,
    /// Journal records that are missing.
    pub records: Option<u64>,
    /// Bytes that it was.
    pub bytes: Option<u64>,
    /// The box.
    pub edge: EdgeId,
    /// The first journal record concerned.
    pub first_seq: Seq,
    /// The last one.
    pub last_seq: Seq,
    /// When it was written.
    pub recorded: i64,
    /// What more there is to say.
    pub text: Option<Arc<str>>,
}

impl Event {
    /// Something that a record, or an entry of a log, tells of the moment at which it was written.
    pub(crate) fn told(kind: &str, at_ms: i64, edge: EdgeId, seq: Seq) -> Event {
        Event {
            ts: at_ms,
            until: at_ms,
            kind: kind.into(),
            device: None,
            metric: None,
            tier: None,
            reason: None,
            rows: None,
            records: None,
            bytes: None,
            edge,
            first_seq: seq,
            last_seq: seq,
            recorded: at_ms,
            text: None,
        }
    }

    /// The UTC day that it lies in, by its begin: days since 1970-01-01.
    #[must_use]
    pub fn day(&self) -> i32 {
        self.ts.div_euclid(DAY_MS) as i32
    }

    /// Whether it tells of readings that are missing.
    #[must_use]
    pub fn is_gap(&self) -> bool {
        &*self.kind == GAP
    }
}

/// The Arrow schema of events.
#[must_use]
pub fn schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let field = |name, kind: DataType, nullable| Field::new(name, kind, nullable);
        Arc::new(Schema::new(vec![
            field(column::TS, timestamp(), false),
            field(column::UNTIL, timestamp(), false),
            field(column::KIND, DataType::Utf8, false),
            field(column::DEVICE, DataType::Utf8, true),
            field(column::METRIC, DataType::Utf8, true),
            field(column::TIER, DataType::Utf8, true),
            field(column::REASON, DataType::Utf8, true),
            field(column::ROWS, DataType::Int64, true),
            field(column::RECORDS, DataType::Int64, true),
            field(column::BYTES, DataType::Int64, true),
            field(column::EDGE, DataType::Utf8, false),
            field(column::FIRST_SEQ, DataType::Int64, false),
            field(column::LAST_SEQ, DataType::Int64, false),
            field(column::RECORDED, timestamp(), false),
            field(column::TEXT, DataType::Utf8, true),
        ]))
    });
    SCHEMA.clone()
}

/// Events as an Arrow batch with [`schema`].
pub fn batch(events: &[Event]) -> Result<RecordBatch, ArrowError> {
    let time = |of: fn(&Event) -> i64| -> ArrayRef {
        let times = TimestampMillisecondArray::from_iter_values(events.iter().map(of));
        Arc::new(times.with_timezone("UTC"))
    };
    let texts = |of: fn(&Event) -> Option<&Arc<str>>| -> ArrayRef {
        let texts = events.iter().map(|event| of(event).map(|text| &**text));
        Arc::new(texts.collect::<StringArray>())
    };
    let counts = |of: fn(&Event) -> Option<u64>| -> ArrayRef {
        let counts = events.iter().map(|event| of(event).map(integer));
        Arc::new(counts.collect::<Int64Array>())
    };
    let edges = StringArray::from_iter_values(events.iter().map(|event| event.edge.to_string()));
    let columns = vec![
        time(|event| event.ts),
        time(|event| event.until),
        texts(|event| Some(&event.kind)),
        texts(|event| event.device.as_ref()),
        texts(|event| event.metric.as_ref()),
        texts(|event| event.tier.as_ref()),
        texts(|event| event.reason.as_ref()),
        counts(|event| event.rows),
        counts(|event| event.records),
        counts(|event| event.bytes),
        Arc::new(edges),
        counts(|event| Some(event.first_seq.0)),
        counts(|event| Some(event.last_seq.0)),
        time(|event| event.recorded),
        texts(|event| event.text.as_ref()),
    ];
    RecordBatch::try_new(schema(), columns)
}

/// Events by the chunks that they go into: one for each day, of the log entry that has this home, writer and number.
#[must_use]
pub fn by_chunk(
    home: &HomeId,
    writer: EdgeId,
    number: u64,
    events: impl IntoIterator<Item = Event>,
) -> BTreeMap<ChunkKey, Vec<Event>> {
    let mut chunks: BTreeMap<ChunkKey, Vec<Event>> = BTreeMap::new();
    for event in events {
        let key = ChunkKey {
            home: home.clone(),
            day: event.day(),
            edge: writer,
            shard: Shard(0),
            first: Seq(number),
            last: Seq(number),
            content: Content::Events,
        };
        chunks.entry(key).or_default().push(event);
    }
    chunks
}

/// Encode events of one day as a chunk; the same events always give the same bytes.
pub fn encode(key: &ChunkKey, events: &[Event], level: i32) -> Result<Encoded, ChunkError> {
    let fault = |e: ArrowError| ChunkError::Fault(e.to_string());
    let mut sorted = events.to_vec();
    sorted.sort();
    let (Some(first), Some(until)) = (sorted.first(), sorted.iter().map(|e| e.until).max()) else {
        return Err(ChunkError::Empty);
    };
    let seq_range = (
        sorted.iter().map(|e| e.first_seq).min().unwrap_or_default(),
        sorted.iter().map(|e| e.last_seq).max().unwrap_or_default(),
    );
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(level)?))
        .set_created_by(format!("tarn {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(file_metadata(key)))
        .build();
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema(), options)?;
    writer.write(&batch(&sorted).map_err(fault)?)?;
    let bytes = Bytes::from(writer.into_inner()?);
    Ok(Encoded {
        rows: sorted.len() as u64,
        digest: Digest::of(&bytes),
        ts_range: (first.ts, until),
        seq_range,
        bytes,
    })
}

/// All events of a chunk.
pub fn decode(bytes: Bytes) -> Result<Vec<Event>, ChunkError> {
    let mut events = Vec::new();
    for batch in chunk::read(bytes)? {
        let batch = batch?;
        let found = from_batch(&batch);
        let found =
            found.ok_or_else(|| ChunkError::Fault("its columns are not those of events".into()))?;
        events.extend(found);
    }
    Ok(events)
}

fn from_batch(batch: &RecordBatch) -> Option<Vec<Event>> {
    let time = |name: &str| {
        let column = batch.column_by_name(name)?;
        column.as_primitive_opt::<TimestampMillisecondType>()
    };
    let count = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
    let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
    let (ts, until, recorded) = (
        time(column::TS)?,
        time(column::UNTIL)?,
        time(column::RECORDED)?,
    );
    let (kind, device, metric) = (
        text(column::KIND)?,
        text(column::DEVICE)?,
        text(column::METRIC)?,
    );
    let (tier, reason, edge, words) = (
        text(column::TIER)?,
        text(column::REASON)?,
        text(column::EDGE)?,
        text(column::TEXT)?,
    );
    let (rows, records, bytes) = (
        count(column::ROWS)?,
        count(column::RECORDS)?,
        count(column::BYTES)?,
    );
    let (first, last) = (count(column::FIRST_SEQ)?, count(column::LAST_SEQ)?);
    let said = |of: &StringArray, row: usize| of.is_valid(row).then(|| Arc::from(of.value(row)));
    let counted = |of: &Int64Array, row: usize| {
        let count = of.is_valid(row).then(|| of.value(row))?;
        u64::try_from(count).ok()
    };
    let event = |row: usize| {
        Some(Event {
            ts: ts.value(row),
            until: until.value(row),
            kind: said(kind, row)?,
            device: said(device, row),
            metric: said(metric, row),
            tier: said(tier, row),
            reason: said(reason, row),
            rows: counted(rows, row),
            records: counted(records, row),
            bytes: counted(bytes, row),
            edge: edge.value(row).parse().ok()?,
            first_seq: Seq(counted(first, row)?),
            last_seq: Seq(counted(last, row)?),
            recorded: recorded.value(row),
            text: said(words, row),
        })
    };
    (0..batch.num_rows()).map(event).collect()
}

fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::Shard, layout::Content};

    fn event(ts: i64) -> Event {
        Event {
            ts,
            until: ts + 5,
            kind: GAP.into(),
            device: Some("home/kitchen".into()),
            metric: None,
            tier: None,
            reason: Some(reason::EVICTED.into()),
            rows: Some(7),
            records: None,
            bytes: Some(100),
            edge: EdgeId(0xab),
            first_seq: Seq(3),
            last_seq: Seq(9),
            recorded: ts + 100,
            text: None,
        }
    }

    #[test]
    fn events_come_back_as_they_were_sorted() {
        let key = ChunkKey {
            home: "h".parse().expect("home"),
            day: 0,
            edge: EdgeId(0xab),
            shard: Shard(0),
            first: Seq(2),
            last: Seq(2),
            content: Content::Events,
        };
        let encoded = encode(&key, &[event(20), event(10)], 1).expect("encodes");
        assert_eq!((encoded.rows, encoded.ts_range), (2, (10, 25)));
        assert_eq!(encoded.seq_range, (Seq(3), Seq(9)));
        let again = encode(&key, &[event(10), event(20)], 1).expect("encodes");
        assert_eq!(encoded.bytes, again.bytes);
        let events = decode(encoded.bytes).expect("decodes");
        assert_eq!(events, [event(10), event(20)]);
        assert!(encode(&key, &[], 1).is_err());
    }
}
