use std::error::Error;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    csv::WriterBuilder,
    datatypes::{
        DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, SchemaRef,
        UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
    ipc::writer::StreamWriter,
    util::display::{ArrayFormatter, FormatOptions},
};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    file::properties::WriterProperties,
};
use serde::Serialize;
use serde_json::{Number, Value};
use tarn_common::{query::readings::COUNT, reading::column};

use crate::types::moment;

/// Moments in JSON and CSV: RFC 3339, UTC, milliseconds.
const TIME_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.3fZ";

/// About what a reading takes as JSON.
const READING_BYTES: usize = 200;

type Encoded = Result<Vec<u8>, Box<dyn Error + Send + Sync>>;

/// CSV with a header line; null is empty.
pub(crate) fn csv(schema: &SchemaRef, batches: &[RecordBatch]) -> Encoded {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new()
        .with_header(true)
        .with_timestamp_format(TIME_FORMAT.into())
        .with_timestamp_tz_format(TIME_FORMAT.into())
        .build(&mut bytes);
    // The header line comes with the first batch, so an empty one makes it come always.
    writer.write(&RecordBatch::new_empty(schema.clone()))?;
    for batch in batches {
        writer.write(batch)?;
    }
    drop(writer);
    Ok(bytes)
}

/// An Arrow IPC stream.
pub(crate) fn arrow_stream(schema: &SchemaRef, batches: &[RecordBatch]) -> Encoded {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()?;
    Ok(writer.into_inner()?)
}

/// A Parquet file, zstd.
pub(crate) fn parquet(schema: &SchemaRef, batches: &[RecordBatch]) -> Encoded {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .build();
    let options = ArrowWriterOptions::new()
        .with_properties(properties)
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options)?;
    for batch in batches {
        writer.write(batch)?;
    }
    Ok(writer.into_inner()?)
}

/// A reading as [`crate::types::Reading`] has it, of the columns that are there.
#[derive(Serialize)]
struct ReadingRow<'a> {
    ts: &'a str,
    device: &'a str,
    metric: &'a str,
    value: Option<f64>,
    text: Option<&'a str>,
    unit: Option<&'a str>,
    received: Option<String>,
    seq: Option<i64>,
    quality: Option<i64>,
    edge: Option<&'a str>,
    count: Option<i64>,
}

/// Write readings of a device as a JSON array behind what `json` has: a page may have a hundred thousand.
pub(crate) fn readings(
    json: &mut Vec<u8>,
    batches: &[RecordBatch],
    device: &str,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    json.reserve(rows * READING_BYTES);
    json.push(b'[');
    let begin = json.len();
    // Readings of several metrics stand beside each other at one time, which is written once.
    let (mut ts_ms, mut ts_text) = (None, String::new());
    for batch in batches {
        let named = |name: &str, kind: &DataType| match batch.column_by_name(name) {
            Some(column) => cast(column, kind).map(Some),
            None => Ok(None),
        };
        let texts = |name: &str| named(name, &DataType::Utf8);
        let numbers = |name: &str| named(name, &DataType::Int64);
        let (metric, text, unit) = (
            texts(column::METRIC)?,
            texts(column::TEXT)?,
            texts(column::UNIT)?,
        );
        let edge = texts("edge")?;
        let (ts, received) = (numbers(column::TS)?, numbers(column::RECEIVED)?);
        let (seq, quality, count) = (
            numbers(column::SEQ)?,
            numbers(column::QUALITY)?,
            numbers(COUNT)?,
        );
        let value = named(column::VALUE, &DataType::Float64)?;
        for row in 0..batch.num_rows() {
            let at_ms = number_at(ts.as_ref(), row);
            if at_ms != ts_ms {
                (ts_ms, ts_text) = (at_ms, at_ms.map(moment).unwrap_or_default());
            }
            let reading = ReadingRow {
                ts: &ts_text,
                device,
                metric: text_at(metric.as_ref(), row).unwrap_or_default(),
                value: at(value.as_ref(), row).map(|v| v.as_primitive::<Float64Type>().value(row)),
                text: text_at(text.as_ref(), row),
                unit: text_at(unit.as_ref(), row),
                received: number_at(received.as_ref(), row).map(moment),
                seq: number_at(seq.as_ref(), row),
                quality: number_at(quality.as_ref(), row),
                edge: text_at(edge.as_ref(), row),
                count: number_at(count.as_ref(), row),
            };
            if json.len() > begin {
                json.push(b',');
            }
            serde_json::to_writer(&mut *json, &reading)?;
        }
    }
    json.push(b']');
    Ok(())
}

/// The column, where it has something in this row.
fn at(column: Option<&ArrayRef>, row: usize) -> Option<&ArrayRef> {
    column.filter(|column| column.is_valid(row))
}

fn text_at(column: Option<&ArrayRef>, row: usize) -> Option<&str> {
    at(column, row).map(|column| column.as_string::<i32>().value(row))
}

fn number_at(column: Option<&ArrayRef>, row: usize) -> Option<i64> {
    at(column, row).map(|column| column.as_primitive::<Int64Type>().value(row))
}

/// Rows as arrays of JSON values: numbers that JSON cannot say (NaN, infinite) are null, moments are
/// RFC 3339, and what JSON has no type for is text.
pub(crate) fn rows(
    batches: &[RecordBatch],
) -> Result<Vec<Vec<Value>>, Box<dyn Error + Send + Sync>> {
    let mut rows = Vec::with_capacity(batches.iter().map(RecordBatch::num_rows).sum());
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(values)
            .collect::<Result<Vec<_>, _>>()?;
        let mut columns: Vec<_> = columns.into_iter().map(Vec::into_iter).collect();
        for _ in 0..batch.num_rows() {
            rows.push(
                columns
                    .iter_mut()
                    .map(|c| c.next().unwrap_or(Value::Null))
                    .collect(),
            );
        }
    }
    Ok(rows)
}

/// A column as JSON values.
fn values(array: &ArrayRef) -> Result<Vec<Value>, Box<dyn Error + Send + Sync>> {
    macro_rules! numbers {
        ($kind:ty) => {
            array
                .as_primitive::<$kind>()
                .iter()
                .map(|v| v.map_or(Value::Null, Value::from))
                .collect()
        };
    }
    let float = |v: Option<f64>| {
        v.and_then(Number::from_f64)
            .map_or(Value::Null, Value::Number)
    };
    Ok(match array.data_type() {
        DataType::Null => vec![Value::Null; array.len()],
        DataType::Boolean => array
            .as_boolean()
            .iter()
            .map(|v| v.map_or(Value::Null, Value::Bool))
            .collect(),
        DataType::Int8 => numbers!(Int8Type),
        DataType::Int16 => numbers!(Int16Type),
        DataType::Int32 => numbers!(Int32Type),
        DataType::Int64 => numbers!(Int64Type),
        DataType::UInt8 => numbers!(UInt8Type),
        DataType::UInt16 => numbers!(UInt16Type),
        DataType::UInt32 => numbers!(UInt32Type),
        DataType::UInt64 => numbers!(UInt64Type),
        DataType::Float32 => array
            .as_primitive::<Float32Type>()
            .iter()
            .map(|v| float(v.map(f64::from)))
            .collect(),
        DataType::Float64 => array
            .as_primitive::<Float64Type>()
            .iter()
            .map(float)
            .collect(),
        DataType::Utf8 => array
            .as_string::<i32>()
            .iter()
            .map(|v| v.map_or(Value::Null, Value::from))
            .collect(),
        _ => texts(array)?,
    })
}

fn texts(array: &ArrayRef) -> Result<Vec<Value>, Box<dyn Error + Send + Sync>> {
    let options = FormatOptions::new()
        .with_timestamp_format(Some(TIME_FORMAT))
        .with_timestamp_tz_format(Some(TIME_FORMAT));
    let formatter = ArrayFormatter::try_new(array.as_ref(), &options)?;
    let value = |row| {
        if array.is_null(row) {
            return Ok(Value::Null);
        }
        Ok(Value::String(formatter.value(row).try_to_string()?))
    };
    (0..array.len()).map(value).collect()
}
