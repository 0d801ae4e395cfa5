use std::{
    any::Any,
    collections::BTreeSet,
    fmt::Debug,
    hash::{Hash, Hasher},
    path::PathBuf,
    sync::Arc,
};

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::{
    catalog::Snapshot,
    commit_log::Chunk,
    event::Event,
    ids::{EdgeId, HomeId, Seq},
    layout::ChunkKey,
};

/// What a host (box or cloud) gives the engine.
#[async_trait]
pub trait Lake: Debug + Send + Sync + 'static {
    /// Chunks and readings not yet cut, of one consistent moment: no reading is in both, and none
    /// that was acknowledged before the call is in neither.
    async fn view(&self) -> Result<View, LakeError>;

    /// A local file with the chunk's verified content. It stays at least while the answer, or a
    /// clone of its guard, lives.
    async fn file(&self, chunk: &Chunk) -> Result<ChunkFile, Missing>;

    /// What it holds now, at no cost: as long as it stays the same, so do views. None where that is not known.
    fn stamp(&self) -> Option<Stamp> {
        None
    }
}

/// What a lake held at one moment.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// The live chunks.
    pub chunks: Snapshot,
    /// Last acknowledged record.
    pub upto: Seq,
    /// By which reading of devices its records are understood.
    pub generation: u64,
}

impl Stamp {
    fn id(&self) -> (*const Vec<Arc<Chunk>>, Seq, u64) {
        (Arc::as_ptr(&self.chunks), self.upto, self.generation)
    }
}

// A snapshot is the same only if it is the one: while a stamp has it, no other can have its place.
impl PartialEq for Stamp {
    fn eq(&self, other: &Stamp) -> bool {
        self.id() == other.id()
    }
}

impl Eq for Stamp {}

impl Hash for Stamp {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id().hash(state);
    }
}

/// A lake at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The live chunks, of readings and of events.
    pub chunks: Snapshot,
    /// Readings that are in no chunk yet.
    pub tail: Vec<Tail>,
    /// Events that are in no chunk yet, with their homes.
    pub uncut_events: Vec<(HomeId, Event)>,
}

impl View {
    /// The live chunks of readings.
    pub fn readings(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.chunks.iter().filter(|chunk| !chunk.key.is_events())
    }

    /// The same lake with nothing in it of other homes than these.
    #[must_use]
    pub fn only(self, homes: &BTreeSet<HomeId>) -> View {
        let chunks = self.chunks.iter();
        let chunks = chunks.filter(|chunk| homes.contains(&chunk.key.home));
        View {
            chunks: Arc::new(chunks.cloned().collect()),
            tail: self
                .tail
                .into_iter()
                .filter(|tail| homes.contains(&tail.home))
                .collect(),
            uncut_events: self
                .uncut_events
                .into_iter()
                .filter(|(home, _)| homes.contains(home))
                .collect(),
        }
    }

    /// The live chunks of events.
    pub fn events(&self) -> impl Iterator<Item = &Arc<Chunk>> {
        self.chunks.iter().filter(|chunk| chunk.key.is_events())
    }
}

/// Readings of one box that are in no chunk yet.
#[derive(Debug, Clone)]
pub struct Tail {
    /// The home they belong to.
    pub home: HomeId,
    /// The box that took them.
    pub edge: EdgeId,
    /// The rows, as [`crate::reading::batch_schema`], in any order.
    pub batch: RecordBatch,
}

/// A chunk's content as a local file.
#[derive(Debug, Clone)]
pub struct ChunkFile {
    /// Absolute path of the file.
    pub path: PathBuf,
    /// Keeps the file in place while it lives, where the host would remove it otherwise.
    pub guard: Option<Arc<dyn Any + Send + Sync>>,
}

/// A chunk that could not be had, or whose bytes are damaged: its rows are in no answer, and every
/// answer that should have held them says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Its key.
    pub chunk: ChunkKey,
    /// Earliest `ts` in it, milliseconds since 1970 UTC.
    pub from: i64,
    /// Latest `ts` in it.
    pub to: i64,
    /// Rows in it.
    pub rows: u64,
    /// Why it is missing.
    pub reason: String,
}

impl Missing {
    /// This chunk, for this reason.
    #[must_use]
    pub fn of(chunk: &Chunk, reason: impl Into<String>) -> Missing {
        Missing {
            chunk: chunk.key.clone(),
            from: chunk.min_ts,
            to: chunk.max_ts,
            rows: chunk.rows,
            reason: reason.into(),
        }
    }
}

/// Why a host has no view of its lake now; it may do better later.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct LakeError(pub String);
