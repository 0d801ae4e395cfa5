use std::collections::{BTreeMap, HashSet};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Int64Type, TimestampMillisecondType},
};
use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::report::FaultKind;
use crate::{
    chunk::{self, Footer},
    commit_log::Chunk,
    event,
    reading::DAY_MS,
};

/// What was read of one entry: a reading is unique by (edge, seq, device, metric, ts), and one entry holds all chunks
/// of its records.
pub(super) type Readings = HashSet<(i64, u64)>;

/// A chunk of events must be what its key says. Says how many readings its gaps tell as evicted.
pub(super) fn check_events(chunk: &Chunk, bytes: &Bytes) -> Result<u64, (FaultKind, String)> {
    let content = |detail: String| (FaultKind::Content, detail);
    let footer = check_footer(chunk, bytes)?;
    let events = event::decode(bytes.clone()).map_err(|e| content(e.to_string()))?;
    if events.len() as u64 != chunk.rows || footer.rows != chunk.rows {
        let rows = events.len();
        return Err(content(format!("{rows} rows, the log says {}", chunk.rows)));
    }
    if let Some(event) = events.iter().find(|event| event.day() != chunk.key.day) {
        let detail = format!("an event of {} ms is of another day", event.ts);
        return Err(content(detail));
    }
    let gaps = events.iter().filter(|event| event.is_gap());
    Ok(gaps.filter_map(|gap| gap.rows).sum())
}

fn check_footer(chunk: &Chunk, bytes: &Bytes) -> Result<Footer, (FaultKind, String)> {
    let content = |detail: String| (FaultKind::Content, detail);
    let footer = chunk::footer(bytes).map_err(|e| content(e.to_string()))?;
    let metadata: BTreeMap<_, _> = footer.metadata.iter().cloned().collect();
    let says = |name: &str| metadata.get(name).map_or("", String::as_str);
    if says("tarn.home") != chunk.key.home.as_str()
        || says("tarn.edge") != chunk.key.edge.to_string()
    {
        return Err(content("its footer names another home or edge".into()));
    }
    Ok(footer)
}

/// Check that a chunk is what its key and the log say, row by row.
pub(super) fn check_rows(
    chunk: &Chunk,
    bytes: &Bytes,
    seen: &mut Readings,
) -> Result<(), (FaultKind, String)> {
    let content = |detail: String| (FaultKind::Content, detail);
    let footer = check_footer(chunk, bytes)?;
    let mut rows = 0;
    let mut last: Option<(String, String, i64)> = None;
    for batch in chunk::read(bytes.clone()).map_err(|e| content(e.to_string()))? {
        let batch = batch.map_err(|e| content(e.to_string()))?;
        rows += batch.num_rows() as u64;
        check_batch(chunk, &batch, &mut last, seen)?;
    }
    if rows != chunk.rows || footer.rows != chunk.rows {
        return Err(content(format!("{rows} rows, the log says {}", chunk.rows)));
    }
    Ok(())
}

fn check_batch(
    chunk: &Chunk,
    batch: &RecordBatch,
    last: &mut Option<(String, String, i64)>,
    seen: &mut Readings,
) -> Result<(), (FaultKind, String)> {
    let content = |detail: String| (FaultKind::Content, detail);
    let ts = batch
        .column(0)
        .as_primitive_opt::<TimestampMillisecondType>();
    let seq = batch.column(7).as_primitive_opt::<Int64Type>();
    let device = batch.column(1).as_string_opt::<i32>();
    let metric = batch.column(2).as_string_opt::<i32>();
    let (Some(ts), Some(seq), Some(device), Some(metric)) = (ts, seq, device, metric) else {
        return Err(content("its columns are not those of a chunk".into()));
    };
    for row in 0..batch.num_rows() {
        let (t, s) = (ts.value(row), seq.value(row));
        let here = (device.value(row), metric.value(row), t);
        if last
            .as_ref()
            .is_some_and(|(d, m, t)| (d.as_str(), m.as_str(), *t) > here)
        {
            return Err((
                FaultKind::Order,
                format!("row of {} {} at {t} comes too late", here.0, here.1),
            ));
        }
        *last = Some((here.0.to_owned(), here.1.to_owned(), t));
        if t.div_euclid(DAY_MS) != i64::from(chunk.key.day) {
            return Err(content(format!("a row of {t} ms is of another day")));
        }
        if (s as u64) < chunk.key.first.0 || s as u64 > chunk.key.last.0 {
            return Err(content(format!("record {s} is not of this cut")));
        }
        if !seen.insert((s, series_key(here))) {
            return Err((
                FaultKind::Duplicate,
                format!("record {s} has {} of {} twice at {t}", here.1, here.0),
            ));
        }
    }
    Ok(())
}

/// What tells the readings of one record apart: it may tell of several devices, and of several moments.
fn series_key((device, metric, ts): (&str, &str, i64)) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(device.as_bytes());
    hash.update(&[0]);
    hash.update(metric.as_bytes());
    hash.update(&ts.to_le_bytes());
    hash.digest()
}
