//! A box that is full of what no store has makes room by value, and tells each reading that goes. See
//! `docs/decisions/0018-eviction-tells-what-goes.md`.

/// Which readings of a chunk go at a step.
pub mod reduce;
/// What readings are worth.
pub mod tier;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    sync::Arc,
};

use arrow::compute::concat_batches;
use bytes::Bytes;
use parking_lot::Mutex;
use tarn_common::{
    chunk::{self, ChunkError, ZSTD_LEVEL_BOX},
    clock::Clock,
    commit_log::{Chunk, Entry, VERSION},
    durable::{self, Disk},
    event::{Event, GAP, reason},
    ids::EdgeId,
    layout::{ChunkKey, Content},
};
use tokio::sync::watch;

use self::{
    reduce::{Lost, Reduced, Step, reduce},
    tier::{Tier, is_vital},
};
use crate::{
    cut::{CutError, name_all, write_aside, write_events},
    devices::Devices,
    metrics::DiskMetrics,
    shelf::{EntryId, Shelf},
};

/// Bytes of chunks that one log entry of an eviction concerns at most, but for the chunk that reaches it.
pub const ENTRY_BYTES_MAX: u64 = 64 << 20;

/// What the gaps of one log entry take about, at least: so much is freed beyond what is wanted.
const GAPS_BYTES: u64 = 4 << 10;

/// Stands for the tier of readings that could not be read.
const UNKNOWN: &str = "unknown";

/// Makes room on the box's own shelf among chunks that no store has.
///
/// For each chunk that loses readings: what is left of it is written aside, synced and read back under a name of its
/// own; then, under the lock of the log, the gaps that tell what goes are written in the same way, all get their names, the directories
/// are synced, and one log entry removes the old chunks and adds what is left and the gaps. Only after that the old
/// files go. Before the entry a crash leaves files that no entry names, after it files that are removed: a start clears
/// away both.
#[derive(Debug)]
pub struct Evictor {
    /// The box's chunks.
    pub shelf: Arc<Shelf>,
    /// What is known of devices.
    pub devices: Arc<Devices>,
    /// The files' operations.
    pub disk: Arc<dyn Disk>,
    /// Time of the entries.
    pub clock: Arc<dyn Clock>,
    /// Figures.
    pub metrics: DiskMetrics,
    /// Tells of each new entry's number.
    pub entries: watch::Sender<u64>,
    /// Chunks of which a step took nothing, so that they are not read for it again.
    pub spared: Mutex<HashMap<ChunkKey, Step>>,
}

/// One chunk that loses readings.
#[derive(Debug)]
struct Change {
    entry: EntryId,
    chunk: Arc<Chunk>,
    /// What is left of it, written aside.
    left: Option<Chunk>,
    gaps: Vec<Event>,
}

impl Change {
    fn freed(&self) -> u64 {
        let left = self.left.as_ref().map_or(0, |left| left.bytes);
        self.chunk.bytes.saturating_sub(left)
    }
}

impl Evictor {
    /// Free so many bytes, or as many as these steps can, among the chunks of entries that are not shipped. Says how
    /// many that were. Blocks.
    ///
    /// # Errors
    /// A file operation failed; what was freed before is logged.
    pub fn evict(
        &self,
        wanted: u64,
        steps: &[Step],
        is_shipped: &dyn Fn(EntryId) -> bool,
    ) -> Result<u64, CutError> {
        let mut freed = 0;
        for &step in steps {
            // The next step begins where this one has nothing left to take.
            while freed < wanted {
                let eviction = self.gather(wanted - freed, step, is_shipped)?;
                if eviction.is_empty() {
                    break;
                }
                freed += self.commit(eviction, is_shipped)?;
            }
        }
        Ok(freed)
    }

    /// Do a step on as many chunks as free so much, or as one log entry may concern.
    fn gather(
        &self,
        wanted: u64,
        step: Step,
        is_shipped: &dyn Fn(EntryId) -> bool,
    ) -> Result<Vec<Change>, CutError> {
        let (mut changes, mut bytes, mut freed) = (Vec::new(), 0, 0);
        for (entry, chunk) in self.candidates(step, is_shipped) {
            if freed >= wanted.saturating_add(GAPS_BYTES) || bytes >= ENTRY_BYTES_MAX {
                break;
            }
            match self.change(entry, &chunk, step) {
                Ok(Some(change)) => {
                    freed += change.freed();
                    changes.push(change);
                }
                Ok(None) => {
                    self.spared.lock().insert(chunk.key.clone(), step);
                }
                Err(e) => {
                    self.abandon(&changes);
                    return Err(e);
                }
            }
            bytes += chunk.bytes;
        }
        Ok(changes)
    }

    /// Chunks of readings that are on this disk only and that a step may take something of, the oldest first.
    fn candidates(
        &self,
        step: Step,
        is_shipped: &dyn Fn(EntryId) -> bool,
    ) -> Vec<(EntryId, Arc<Chunk>)> {
        let mut spared = self.spared.lock();
        let entries = self.shelf.entries_on_disk().into_iter();
        let chunks = entries
            .filter(|entry| !is_shipped(*entry))
            .flat_map(|entry| {
                let chunks = self.shelf.chunks(entry).into_iter();
                chunks.map(move |chunk| (entry, chunk))
            });
        let all: Vec<(EntryId, Arc<Chunk>)> = chunks.collect();
        if spared.len() > 2 * all.len() {
            spared.retain(|key, _| all.iter().any(|(_, chunk)| chunk.key == *key));
        }
        let is_open = |chunk: &Chunk| {
            let done = match chunk.key.content {
                Content::Readings => 0,
                Content::Left(step) => step,
                Content::Events => u8::MAX,
            };
            let spared = spared.get(&chunk.key).map_or(0, |step| step.number());
            step.number() > done.max(spared) && self.shelf.path(&chunk.key).is_some()
        };
        let mut open: Vec<_> = all.into_iter().filter(|(_, c)| is_open(c)).collect();
        let age = |chunk: &Chunk| {
            let era = self.shelf.identity().index_of(chunk.key.edge);
            (era, chunk.key.first, chunk.key.day, chunk.key.shard)
        };
        open.sort_by_key(|(_, chunk)| age(chunk));
        open
    }

    /// Do a step on a chunk, and write what is left of it aside. None where the step takes nothing.
    fn change(
        &self,
        entry: EntryId,
        chunk: &Arc<Chunk>,
        step: Step,
    ) -> Result<Option<Change>, CutError> {
        let failed = |source| CutError::Chunk {
            key: chunk.key.to_string(),
            source,
        };
        let rows = match self.read(chunk)? {
            Ok(rows) => rows,
            // What cannot be read cannot be weighed: it goes at the very end.
            Err(fault) if step == Step::Everything => {
                tracing::error!(chunk = %chunk.key, rows = chunk.rows, error = %fault, "a chunk that no store has is damaged, and goes to make room");
                let gaps = vec![self.damaged(chunk, &fault)];
                return Ok(Some(Change {
                    entry,
                    chunk: chunk.clone(),
                    left: None,
                    gaps,
                }));
            }
            Err(_) => return Ok(None),
        };
        let registry = self.devices.registry.read();
        let reduced = reduce(&rows, step, |device, metric, unit| {
            let known = registry.device(device);
            is_vital(
                device,
                metric,
                unit,
                known.and_then(|d| d.features.get(metric)),
            )
        });
        drop(registry);
        let reduced = reduced.map_err(|e| failed(ChunkError::Fault(e.to_string())))?;
        let Some(Reduced { kept, lost }) = reduced else {
            return Ok(None);
        };
        let left = match kept {
            None => None,
            Some(kept) => {
                let key = ChunkKey {
                    content: Content::Left(step.number()),
                    ..chunk.key.clone()
                };
                let encoded = chunk::encode(&key, &kept, ZSTD_LEVEL_BOX).map_err(failed)?;
                Some(write_aside(
                    &*self.disk,
                    self.shelf.lake(),
                    key,
                    &encoded,
                    chunk.stores.clone(),
                )?)
            }
        };
        let mut change = Change {
            entry,
            chunk: chunk.clone(),
            left,
            gaps: Vec::new(),
        };
        change.gaps = self.gaps(&change, lost);
        Ok(Some(change))
    }

    /// The readings of a chunk, or why they are not to be had.
    fn read(&self, chunk: &Chunk) -> Result<Result<arrow::array::RecordBatch, String>, CutError> {
        let path = self.shelf.lake().join(chunk.key.to_string());
        let bytes = match fs::read(&path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Err(e.to_string())),
            Err(source) => {
                return Err(CutError::Io {
                    action: "read",
                    path,
                    source,
                });
            }
        };
        let rows = || -> Result<_, String> {
            chunk.check(&bytes).map_err(|e| e.to_string())?;
            let batches = chunk::read(bytes).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            let batches = batches.map_err(|e| e.to_string())?;
            let schema = batches.first().map(|batch| batch.schema());
            let schema = schema.ok_or_else(|| "no rows".to_owned())?;
            concat_batches(&schema, &batches).map_err(|e| e.to_string())
        };
        Ok(rows())
    }

    fn gaps(&self, change: &Change, lost: Vec<Lost>) -> Vec<Event> {
        let total: u64 = lost.iter().map(|lost| lost.rows).sum();
        let recorded = self.clock.now_ms();
        let gap = |lost: Lost| Event {
            ts: lost.from,
            until: lost.until,
            kind: GAP.into(),
            device: Some(lost.device.into()),
            metric: Some(lost.metric.into()),
            tier: Some(lost.tier.name().into()),
            reason: Some(lost.reason.into()),
            rows: Some(lost.rows),
            records: None,
            // Its share of what the chunk has become smaller by.
            bytes: Some(change.freed() * lost.rows / total.max(1)),
            edge: change.chunk.key.edge,
            first_seq: lost.first_seq,
            last_seq: lost.last_seq,
            recorded,
            text: None,
        };
        lost.into_iter().map(gap).collect()
    }

    fn damaged(&self, chunk: &Chunk, fault: &str) -> Event {
        Event {
            ts: chunk.min_ts,
            until: chunk.max_ts,
            kind: GAP.into(),
            device: None,
            metric: None,
            tier: None,
            reason: Some(reason::DAMAGED.into()),
            rows: Some(chunk.rows),
            records: None,
            bytes: Some(chunk.bytes),
            edge: chunk.key.edge,
            first_seq: chunk.min_seq,
            last_seq: chunk.max_seq,
            recorded: self.clock.now_ms(),
            text: Some(fault.into()),
        }
    }

    /// Log what was done, and remove the files. Says how many bytes that frees.
    fn commit(
        &self,
        changes: Vec<Change>,
        is_shipped: &dyn Fn(EntryId) -> bool,
    ) -> Result<u64, CutError> {
        // What came into a store meanwhile is not to go.
        let (kept, changes): (Vec<_>, Vec<_>) = changes
            .into_iter()
            .partition(|change| is_shipped(change.entry));
        self.abandon(&kept);
        if changes.is_empty() {
            return Ok(0);
        }
        let entry = self.log(&changes)?;
        for key in &entry.removes {
            if let Err(e) = self.shelf.evict(key) {
                tracing::warn!(error = %e, "removing an evicted chunk");
            }
        }
        self.entries.send_replace(entry.number);
        self.count(&changes);
        let told: u64 = entry
            .adds
            .iter()
            .filter(|c| c.key.is_events())
            .map(|c| c.bytes)
            .sum();
        let freed: u64 = changes.iter().map(Change::freed).sum();
        Ok(freed.saturating_sub(told))
    }

    fn log(&self, changes: &[Change]) -> Result<Entry, CutError> {
        let (shelf, lake) = (&self.shelf, self.shelf.lake());
        let _writing = shelf.writing();
        let (_, upto) = shelf.view();
        // The log that the next cut goes on with: then its entries stay in the order of their records.
        let writer = shelf.identity().edge_at(upto.next());
        let number = shelf.next_number(writer);
        let gaps = merged(changes.iter().flat_map(|change| &change.gaps));
        let home = &shelf.identity().home;
        // Where the readings were to go their gaps go.
        let stores = changes.first().map(|change| change.chunk.stores.clone());
        let stores = |_: &ChunkKey, _| stores.clone().unwrap_or_default();
        let of = (home, writer, number);
        let events = write_events(&*self.disk, lake, of, &gaps, &stores)?;
        let left = changes.iter().filter_map(|change| change.left.clone());
        let adds: Vec<Chunk> = left.chain(events).collect();
        name_all(&*self.disk, lake, &adds)?;
        let entry = Entry {
            v: VERSION,
            home: home.clone(),
            writer,
            number,
            at_ms: self.clock.now_ms(),
            first: upto.next(),
            last: upto,
            lost_records: 0,
            adds,
            removes: changes.iter().map(|c| c.chunk.key.clone()).collect(),
            origin: shelf.identity().origin_of(writer),
            places: Vec::new(),
            root: None,
        };
        let path = lake.join(entry.key().to_string());
        let put = durable::put(&*self.disk, &path, &entry.to_bytes());
        put.map_err(|source| CutError::Io {
            action: "write",
            path,
            source,
        })?;
        shelf.take(&entry);
        Ok(entry)
    }

    /// Remove what was written aside and is not needed. What has its name already stays: an entry whose put
    /// failed half way may be on the disk and stand for it. The next entry takes that one's number, and the next start
    /// clears away what is in none.
    fn abandon(&self, changes: &[Change]) {
        for left in changes.iter().filter_map(|change| change.left.as_ref()) {
            let path = self.shelf.lake().join(left.key.to_string());
            // What stays is no more than a file that the next start clears away.
            let _ = self.disk.remove(&durable::aside(&path));
        }
    }

    fn count(&self, changes: &[Change]) {
        let (mut rows, mut by_tier) = (0, BTreeMap::<&str, u64>::new());
        for gap in changes.iter().flat_map(|change| &change.gaps) {
            let lost = gap.rows.unwrap_or(0);
            rows += lost;
            *by_tier
                .entry(gap.tier.as_deref().unwrap_or(UNKNOWN))
                .or_default() += lost;
            let tier = Tier::ALL
                .into_iter()
                .find(|tier| gap.tier.as_deref() == Some(tier.name()));
            self.metrics.evicted(tier.map_or(UNKNOWN, Tier::name), lost);
        }
        let oldest = changes.iter().map(|change| change.chunk.min_ts).min();
        tracing::warn!(
            rows,
            ?by_tier,
            chunks = changes.len(),
            from_ms = oldest,
            "the box is full of readings that no store has; some were dropped, and are told as gaps"
        );
    }
}

/// Gaps of one series that go at once are told as one for each day, tier, reason and id.
fn merged<'a>(gaps: impl Iterator<Item = &'a Event>) -> Vec<Event> {
    type Of = (EdgeId, i32, [Option<Arc<str>>; 4]);
    let mut merged: BTreeMap<Of, Event> = BTreeMap::new();
    for gap in gaps {
        let of = [&gap.device, &gap.metric, &gap.tier, &gap.reason];
        let of = (gap.edge, gap.day(), of.map(Clone::clone));
        let add = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| a + b);
        match merged.get_mut(&of) {
            None => {
                merged.insert(of, gap.clone());
            }
            Some(known) => {
                known.ts = known.ts.min(gap.ts);
                known.until = known.until.max(gap.until);
                known.rows = add(known.rows, gap.rows);
                known.bytes = add(known.bytes, gap.bytes);
                known.first_seq = known.first_seq.min(gap.first_seq);
                known.last_seq = known.last_seq.max(gap.last_seq);
            }
        }
    }
    merged.into_values().collect()
}
