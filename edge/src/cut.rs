/// The task that seals and cuts.
pub mod stage;

#[cfg(test)]
mod tests;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use tarn_common::{
    chunk::{self, ChunkError, Encoded, ZSTD_LEVEL_BOX},
    clock::Clock,
    commit_log::{Chunk, Entry, VERSION},
    database::DatabaseError,
    durable::{self, Disk},
    event::{self, Event, GAP, reason},
    fleet::Fleet,
    ids::{EdgeId, HomeId, Seq, StoreName},
    layout::{ChunkKey, Content},
    rows::{Part, Rows},
};

use crate::{
    care::{CareInlet, Heard},
    decode::{Decoded, Decoder, time::PLAUSIBLE_FROM_MS},
    devices::Devices,
    identity::Identity,
    journal::{
        Segment, Segments,
        frame::SEGMENT_HEAD,
        segment::{Damage, Scan},
    },
    metrics::CutMetrics,
};

/// Cuts sealed segments into chunks.
///
/// One segment always gives the same chunks under the same names, so a crash at any point of a cut
/// is mended by doing it again. The order: every chunk aside and synced, read back and verified;
/// the renames; the directories synced; what decoding goes on from (`devices.redb`); then the log entry,
/// which makes the chunks visible. Only after that may the segment go.
#[derive(Debug)]
pub struct Cutter {
    /// The box and its home.
    pub identity: Identity,
    /// The box's own lake.
    pub lake: PathBuf,
    /// What is known of devices.
    pub devices: Arc<Devices>,
    /// Where chunks are to go; none where the box keeps them all.
    pub stores: Option<Arc<Fleet>>,
    /// The files' operations.
    pub disk: Arc<dyn Disk>,
    /// Time of the entries.
    pub clock: Arc<dyn Clock>,
    /// Figures.
    pub metrics: CutMetrics,
    /// Who looks after devices by what was decoded.
    pub care: Option<CareInlet>,
}

/// A cut that is durable.
#[derive(Debug)]
pub struct Cut {
    /// Its log entry.
    pub entry: Entry,
    /// What was damaged in the segment.
    pub damage: Vec<Damage>,
}

/// Why a cut failed; the segment is still there and the cut can be done again.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// A file operation failed.
    #[error("{action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A chunk could not be encoded, or is not what was written when read back.
    #[error("chunk {key}")]
    Chunk {
        /// Which.
        key: String,
        /// Why.
        source: ChunkError,
    },
    /// What decoding goes on from could not be kept.
    #[error("keep counters and devices")]
    Devices(#[from] DatabaseError),
}

impl CutError {
    /// Whether the segment itself cannot be read, so that trying again may never help.
    fn is_unreadable(&self) -> bool {
        matches!(self, CutError::Io { action: READ, .. })
    }
}

/// An error with what caused it, in one line.
pub(crate) fn with_sources(error: &CutError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

const READ: &str = "read";

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CutError {
    let path = path.to_owned();
    move |source| CutError::Io {
        action,
        path,
        source,
    }
}

impl Cutter {
    /// Cut one sealed segment as the writer's entry `number`. Blocks.
    pub fn cut(&self, segment: &Segment, number: u64) -> Result<Cut, CutError> {
        let (mut decoded, damage) = self.decode(segment)?;
        let rows = std::mem::take(&mut decoded.rows);
        let mut written = Vec::new();
        for part in rows.partition(self.identity.shards) {
            written.push(self.write_aside(&rows, &part, segment)?);
        }
        match &self.care {
            Some(care) => care.hand_on(Heard {
                rows,
                last: segment.last,
            }),
            None => drop(rows),
        }
        name_all(&*self.disk, &self.lake, &written)?;
        self.devices.cut(segment.last, &decoded)?;
        let events = std::mem::take(&mut decoded.events);
        self.log(segment, number, written, damage, events)
    }

    /// Account for a segment that cannot be read at all: its records are told as lost. Blocks.
    pub fn cut_as_lost(&self, segment: &Segment, number: u64) -> Result<Cut, CutError> {
        let records = segment.last.0 + 1 - segment.first.0;
        tracing::error!(segment = %segment.path.display(), records, "journal segment cannot be read; it is put aside and its records are logged as lost");
        let damage = Damage {
            offset: 0,
            bytes: segment.bytes,
            records,
            first: segment.first,
            after_ms: None,
            before_ms: None,
        };
        self.log(segment, number, Vec::new(), vec![damage], Vec::new())
    }

    fn log(
        &self,
        segment: &Segment,
        number: u64,
        adds: Vec<Chunk>,
        damage: Vec<Damage>,
        events: Vec<Event>,
    ) -> Result<Cut, CutError> {
        let writer = self.identity.edge_at(segment.first);
        let lost_records = damage.iter().map(|d| d.records).sum();
        let mut events: Vec<Event> = events
            .into_iter()
            .map(|event| Event {
                edge: writer,
                ..event
            })
            .collect();
        events.extend(self.gaps(writer, segment, &damage));
        let of = (&self.identity.home, writer, number);
        let wanted = |key: &ChunkKey, bytes| self.wanted(key, bytes);
        let events = write_events(&*self.disk, &self.lake, of, &events, &wanted)?;
        name_all(&*self.disk, &self.lake, &events)?;
        let adds = adds.into_iter().chain(events).collect();
        let entry = Entry {
            v: VERSION,
            home: self.identity.home.clone(),
            writer,
            number,
            at_ms: self.clock.now_ms(),
            first: segment.first,
            last: segment.last,
            lost_records,
            adds,
            removes: Vec::new(),
            origin: self.identity.origin_of(writer),
            places: Vec::new(),
            root: None,
        };
        let path = self.lake.join(entry.key().to_string());
        durable::put(&*self.disk, &path, &entry.to_bytes()).map_err(io_error("write", &path))?;
        self.count(&entry);
        Ok(Cut { entry, damage })
    }

    /// What was damaged, as gaps of all devices: what the records said is not known.
    fn gaps(&self, writer: EdgeId, segment: &Segment, damage: &[Damage]) -> Vec<Event> {
        let now = self.clock.now_ms();
        let holes = damage.iter().filter(|hole| hole.records > 0);
        let gap = |hole: &Damage| {
            // A box whose clock was not set yet has no better idea of when that was than now.
            let at = |ms: Option<i64>| ms.filter(|&ms| ms >= PLAUSIBLE_FROM_MS).unwrap_or(now);
            let (from, until) = (at(hole.after_ms), at(hole.before_ms));
            Event {
                ts: from.min(until),
                until: until.max(from),
                kind: GAP.into(),
                device: None,
                metric: None,
                tier: None,
                reason: Some(reason::DAMAGED.into()),
                rows: None,
                records: Some(hole.records),
                bytes: Some(hole.bytes),
                edge: writer,
                first_seq: hole.first.max(segment.first),
                last_seq: Seq(hole.first.0 + hole.records - 1),
                recorded: now,
                text: None,
            }
        };
        holes.map(gap).collect()
    }

    fn decode(&self, segment: &Segment) -> Result<(Decoded, Vec<Damage>), CutError> {
        // What a device announces counts for all of its readings in the segment, those before it too.
        let learnt = self.devices.catch_up(&Segments::only(segment));
        learnt.map_err(io_error(READ, &segment.path))?;
        let bytes = fs::read(&segment.path).map_err(io_error(READ, &segment.path))?;
        let context = self.devices.context();
        let mut decoder = Decoder::new(&context, self.devices.state_before(segment.first));
        let before_first = Seq(segment.first.0 - 1);
        let mut scan = Scan::new(&bytes, SEGMENT_HEAD.min(bytes.len()), before_first);
        let (mut reached, mut reached_ms) = (before_first, None);
        // A segment given up after a failed sync may hold records that stand in the next one too.
        for record in scan
            .by_ref()
            .take_while(|record| record.seq <= segment.last)
        {
            decoder.record(&record);
            (reached, reached_ms) = (record.seq, Some(record.received_ms));
        }
        let (end, _, mut damage) = scan.end();
        if reached < segment.last {
            let bytes = (bytes.len() - end.min(bytes.len())) as u64;
            let records = segment.last.0 - reached.0;
            damage.push(Damage {
                offset: end as u64,
                bytes,
                records,
                first: reached.next(),
                after_ms: reached_ms,
                before_ms: None,
            });
        }
        for hole in &damage {
            tracing::error!(segment = %segment.path.display(), offset = hole.offset, bytes = hole.bytes, records = hole.records, "journal segment is damaged; its other records are kept");
        }
        let decoded = decoder.finish();
        self.metrics.odd_payloads.inc_by(decoded.odd_payloads);
        Ok((decoded, damage))
    }

    /// Encode a part and write it aside.
    fn write_aside(&self, rows: &Rows, part: &Part, segment: &Segment) -> Result<Chunk, CutError> {
        let key = ChunkKey {
            home: self.identity.home.clone(),
            day: part.day,
            edge: self.identity.edge_at(segment.first),
            shard: part.shard,
            first: segment.first,
            last: segment.last,
            content: Content::Readings,
        };
        let chunk_error = |source| CutError::Chunk {
            key: key.to_string(),
            source,
        };
        let batch = rows
            .batch(part)
            .map_err(|e| chunk_error(ChunkError::Fault(e.to_string())))?;
        let encoded = chunk::encode(&key, &batch, ZSTD_LEVEL_BOX).map_err(chunk_error)?;
        drop(batch);
        let stores = self.wanted(&key, encoded.bytes.len() as u64);
        write_aside(&*self.disk, &self.lake, key, &encoded, stores)
    }

    fn wanted(&self, key: &ChunkKey, bytes: u64) -> Vec<StoreName> {
        match &self.stores {
            Some(stores) => stores.wanted(key, bytes),
            None => vec![StoreName::main()],
        }
    }

    fn count(&self, entry: &Entry) {
        self.metrics.cuts.inc();
        self.metrics.lost_records.inc_by(entry.lost_records);
        self.metrics.chunks.inc_by(entry.adds.len() as u64);
        let readings = entry.adds.iter().filter(|chunk| !chunk.key.is_events());
        self.metrics
            .readings
            .inc_by(readings.map(|chunk| chunk.rows).sum());
        self.metrics
            .bytes
            .inc_by(entry.adds.iter().map(|c| c.bytes).sum());
    }
}

/// Write a chunk aside, sync it, and check what the disk gives back.
pub(crate) fn write_aside(
    disk: &dyn Disk,
    lake: &Path,
    key: ChunkKey,
    encoded: &Encoded,
    stores: Vec<StoreName>,
) -> Result<Chunk, CutError> {
    let name = key.to_string();
    let chunk_error = |source| CutError::Chunk {
        key: name.clone(),
        source,
    };
    let path = lake.join(&name);
    let aside = durable::aside(&path);
    let dir = path.parent().unwrap_or(lake);
    durable::create_dirs(disk, dir).map_err(io_error("make", dir))?;
    disk.write(&aside, &encoded.bytes)
        .map_err(io_error("write", &aside))?;
    disk.sync_file(&aside).map_err(io_error("sync", &aside))?;
    let chunk = Chunk::new(key, encoded, stores);
    let back = Bytes::from(fs::read(&aside).map_err(io_error("read back", &aside))?);
    chunk
        .check(&back)
        .map_err(|e| chunk_error(ChunkError::Fault(e.to_string())))?;
    let footer = chunk::footer(&back).map_err(chunk_error)?;
    if footer.rows != chunk.rows {
        let fault = format!("{} rows read back of {}", footer.rows, chunk.rows);
        return Err(chunk_error(ChunkError::Fault(fault)));
    }
    Ok(chunk)
}

/// Write events aside as chunks, one for each day, of the entry that has this home, writer and number.
pub(crate) fn write_events(
    disk: &dyn Disk,
    lake: &Path,
    (home, writer, number): (&HomeId, EdgeId, u64),
    events: &[Event],
    stores: &dyn Fn(&ChunkKey, u64) -> Vec<StoreName>,
) -> Result<Vec<Chunk>, CutError> {
    let chunks = event::by_chunk(home, writer, number, events.iter().cloned());
    let write = |(key, events): (ChunkKey, Vec<Event>)| {
        let encoded = event::encode(&key, &events, ZSTD_LEVEL_BOX);
        let encoded = encoded.map_err(|source| CutError::Chunk {
            key: key.to_string(),
            source,
        })?;
        let stores = stores(&key, encoded.bytes.len() as u64);
        write_aside(disk, lake, key, &encoded, stores)
    };
    chunks.into_iter().map(write).collect()
}

/// Give chunks that were written aside their names, durably.
pub(crate) fn name_all(disk: &dyn Disk, lake: &Path, chunks: &[Chunk]) -> Result<(), CutError> {
    let mut dirs = Vec::new();
    for chunk in chunks {
        let path = lake.join(chunk.key.to_string());
        disk.rename(&durable::aside(&path), &path)
            .map_err(io_error("name", &path))?;
        let dir = path.parent().unwrap_or(lake).to_owned();
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs.iter()
        .try_for_each(|dir| disk.sync_dir(dir).map_err(io_error("sync", dir)))
}
