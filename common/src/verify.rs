/// What ids that go on from others say of those.
mod origins;

use std::collections::{BTreeMap, HashSet};

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Int64Type, TimestampMillisecondType},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use xxhash_rust::xxh3::Xxh3;

use self::origins::{Stretch, check_origins};
use crate::{
    catalog::{read_entry, writers},
    chunk::{self, Digest, Footer},
    commit_log::{Chunk, Entry},
    event,
    ids::{EdgeId, HomeId, Seq},
    layout::{ChunkKey, EVENTS, EntryKey, READINGS, TWINS, TwinKey, log_prefix, twins_prefix},
    reading::DAY_MS,
    store::{Store, StoreError},
};

/// Parts of twins that are read at a time: they are small, and many.
const TWINS_AT_ONCE: usize = 16;

/// What a check of a whole store found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Nothing is wrong.
    pub ok: bool,
    /// Each log that was read.
    pub writers: Vec<Writer>,
    /// Chunks read.
    pub chunks: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Readings that events tell as evicted, so that no chunk has them.
    pub evicted_rows: u64,
    /// Parts of twins read.
    pub twins: u64,
    /// Objects under `readings/` and `events/` that no log entry names: of cuts that are being shipped, or left over.
    pub unlogged: Vec<String>,
    /// Records that two copies of one box have both stored, so that their readings are there twice.
    pub twice: Vec<Twice>,
    /// Everything that is wrong.
    pub faults: Vec<Fault>,
}

/// What was found of one writer's log.
#[derive(Debug, Serialize)]
pub struct Writer {
    /// The home.
    pub home: HomeId,
    /// The writer.
    pub writer: EdgeId,
    /// Entries read.
    pub entries: u64,
    /// First journal record accounted for.
    pub first_seq: Seq,
    /// Last journal record accounted for.
    pub last_seq: Seq,
    /// Records that the writer itself told as lost to a damaged disk.
    pub lost_records: u64,
    /// The id that the box had before, if it was copied or restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<EdgeId>,
}

/// Records that were in a journal when it was copied, and that both copies have stored since: each
/// before the other's were in the store. Nothing is wrong with them but that they are there twice.
#[derive(Debug, Serialize)]
pub struct Twice {
    /// The home.
    pub home: HomeId,
    /// Who stored them, and told that the other may have them.
    pub writer: EdgeId,
    /// The other.
    pub other: EdgeId,
    /// The first of them.
    pub first: Seq,
    /// The last of them.
    pub last: Seq,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub struct Fault {
    /// What kind of fault.
    pub kind: FaultKind,
    /// Key of the object, or prefix of the log.
    pub key: String,
    /// What exactly.
    pub detail: String,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A log entry that cannot be read or understood.
    Entry,
    /// Log entries whose numbers or sequences leave something out.
    Gap,
    /// Log entries that account for the same records.
    Overlap,
    /// An object that is not there.
    Missing,
    /// Bytes that are not what the log says.
    Checksum,
    /// A file that is no chunk, or not the one that its key says.
    Content,
    /// Rows out of order.
    Order,
    /// The same reading twice.
    Duplicate,
}

impl Report {
    fn fault(&mut self, kind: FaultKind, key: impl ToString, detail: impl ToString) {
        self.faults.push(Fault {
            kind,
            key: key.to_string(),
            detail: detail.to_string(),
        });
    }
}

/// Read every log and every chunk of a store (of one home, if given) and check them: CRC32, SHA-256,
/// rows, order, days, sequence gaps and duplicates; and the SHA-256 of every part of a twin. The error is for a store that cannot be listed.
pub async fn verify(store: &Store, home: Option<&HomeId>) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let mut known: HashSet<ChunkKey> = HashSet::new();
    let mut logs = BTreeMap::new();
    let found = writers(store).await?;
    let wanted = |(found, _): &&(HomeId, EdgeId)| home.is_none_or(|wanted| wanted == found);
    let found: Vec<_> = found.iter().filter(wanted).collect();
    for of_home in found.chunk_by(|a, b| a.0 == b.0) {
        let mut entries = Vec::new();
        for (home, writer) in of_home {
            let log = read_log(store, home, *writer, &mut report).await?;
            check_log(home, *writer, &log, &mut report);
            let stretches: Vec<Stretch> = log.iter().map(Stretch::of).collect();
            logs.insert((home.clone(), *writer), stretches);
            entries.extend(log);
        }
        // What was removed need not be there: eviction removes what never came into a store.
        let removed: HashSet<&ChunkKey> = entries.iter().flat_map(|e| &e.removes).collect();
        for entry in &entries {
            let live = entry.adds.iter().filter(|c| !removed.contains(&c.key));
            let live: Vec<&Chunk> = live.collect();
            check_chunks(store, &live, &mut report).await?;
            known.extend(live.iter().map(|chunk| chunk.key.clone()));
        }
    }
    check_origins(&logs, &mut report);
    for prefix in [READINGS, EVENTS] {
        let prefix = home.map_or(prefix.to_owned(), |home| format!("{prefix}/home={home}"));
        let objects: Vec<_> = store.list(&prefix, None).try_collect().await?;
        let is_known = |key: &str| {
            key.parse::<ChunkKey>()
                .is_ok_and(|key| known.contains(&key))
        };
        let keys = objects.iter().map(|object| object.location.to_string());
        report.unlogged.extend(keys.filter(|key| !is_known(key)));
    }
    check_twins(store, home, &mut report).await?;
    report.ok = report.faults.is_empty();
    Ok(report)
}

/// Parts of twins must be what their names say. One that goes meanwhile was replaced by a snapshot.
async fn check_twins(
    store: &Store,
    home: Option<&HomeId>,
    report: &mut Report,
) -> Result<(), StoreError> {
    let prefix = home.map_or(TWINS.to_owned(), twins_prefix);
    let objects: Vec<_> = store.list(&prefix, None).try_collect().await?;
    let keys = objects.iter().map(|object| object.location.as_ref());
    let keys: Vec<TwinKey> = keys.filter_map(|key| key.parse().ok()).collect();
    let reads = keys.into_iter().map(|key| async move {
        let read = store.get(&key.to_string()).await;
        (key, read)
    });
    let mut reads = stream::iter(reads).buffer_unordered(TWINS_AT_ONCE);
    while let Some((key, read)) = reads.next().await {
        match read {
            Ok(bytes) => {
                report.twins += 1;
                if !key.is_of(&bytes) {
                    let detail = "SHA-256 is not the one in its name";
                    report.fault(FaultKind::Checksum, &key, detail);
                }
            }
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn read_log(
    store: &Store,
    home: &HomeId,
    writer: EdgeId,
    report: &mut Report,
) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    let objects: Vec<_> = store
        .list(&log_prefix(home, writer), None)
        .try_collect()
        .await?;
    let mut keys: Vec<EntryKey> = objects
        .iter()
        .filter_map(|o| o.location.as_ref().parse().ok())
        .collect();
    keys.sort();
    for key in keys {
        match read_entry(store, &key).await {
            Ok(entry) => entries.push(entry),
            Err(reason) => report.fault(FaultKind::Entry, &key, reason),
        }
    }
    Ok(entries)
}

/// Entries of a writer must follow each other in number and in sequence.
fn check_log(home: &HomeId, writer: EdgeId, entries: &[Entry], report: &mut Report) {
    let log = log_prefix(home, writer);
    let (mut number, mut last) = (0, Seq::ZERO);
    let after = entries.iter().find_map(|e| e.origin.as_ref()?.after);
    for entry in entries {
        if entry.number != number + 1 {
            report.fault(
                FaultKind::Gap,
                &log,
                format!("entries {} to {} are missing", number + 1, entry.number - 1),
            );
        } else if entry.first > last.next() && (number > 0 || after.is_none()) {
            // What comes before the first entry of a new id is under the id before.
            report.fault(
                FaultKind::Gap,
                entry.key(),
                format!(
                    "records {} to {} are in no entry",
                    last.next(),
                    entry.first.0 - 1
                ),
            );
        }
        if entry.first <= last && !entry.is_keepers() {
            report.fault(
                FaultKind::Overlap,
                entry.key(),
                format!(
                    "starts at record {}, but the entry before ends at {last}",
                    entry.first
                ),
            );
        }
        (number, last) = (entry.number, last.max(entry.last));
    }
    report.writers.push(Writer {
        home: home.clone(),
        writer,
        entries: entries.len() as u64,
        first_seq: entries.first().map_or(Seq::ZERO, |e| e.first),
        last_seq: last,
        lost_records: entries.iter().map(|e| e.lost_records).sum(),
        after,
    });
}

/// Check the live chunks of one entry.
async fn check_chunks(
    store: &Store,
    live: &[&Chunk],
    report: &mut Report,
) -> Result<(), StoreError> {
    // A reading is unique by (edge, seq, device, metric, ts); one entry holds all chunks of its records.
    let mut seen: HashSet<(i64, u64)> = HashSet::new();
    for &chunk in live {
        let bytes = match store.get(&chunk.key.to_string()).await {
            Ok(bytes) => bytes,
            Err(StoreError::NotFound { .. }) => {
                report.fault(
                    FaultKind::Missing,
                    &chunk.key,
                    "the log names it, the store does not have it",
                );
                continue;
            }
            Err(e) => return Err(e),
        };
        report.chunks += 1;
        report.bytes += bytes.len() as u64;
        let digest = Digest::of(&bytes);
        if let Err(fault) = chunk.check(&bytes) {
            report.fault(FaultKind::Checksum, &chunk.key, fault);
            continue;
        }
        if digest.sha256 != chunk.sha256 {
            report.fault(
                FaultKind::Checksum,
                &chunk.key,
                "SHA-256 is not what the log says",
            );
            continue;
        }
        if chunk.key.is_events() {
            match check_events(chunk, &bytes) {
                Ok(evicted) => report.evicted_rows += evicted,
                Err((kind, detail)) => report.fault(kind, &chunk.key, detail),
            }
            continue;
        }
        if let Err((kind, detail)) = check_rows(chunk, &bytes, &mut seen) {
            report.fault(kind, &chunk.key, detail);
        }
        report.rows += chunk.rows;
    }
    Ok(())
}

/// A chunk of events must be what its key says. Says how many readings its gaps tell as evicted.
fn check_events(chunk: &Chunk, bytes: &Bytes) -> Result<u64, (FaultKind, String)> {
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

fn check_rows(
    chunk: &Chunk,
    bytes: &Bytes,
    seen: &mut HashSet<(i64, u64)>,
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
    seen: &mut HashSet<(i64, u64)>,
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

#[cfg(test)]
mod tests;
