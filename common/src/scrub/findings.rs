use std::collections::{BTreeMap, BTreeSet, VecDeque};

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{
    ids::StoreName,
    layout::ChunkKey,
    verify::{FaultKind, Lost},
};

/// Faults that are remembered; older ones are only counted.
const FAULTS_MAX: usize = 1_000;

/// Counters of a scrub.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    /// Copies read.
    pub copies: Counter,
    /// Bytes of them.
    pub bytes: Counter,
    /// Faults found, by kind.
    pub faults: Family<KindLabel, Counter>,
    /// Faults repaired.
    pub repaired: Counter,
    /// Chunks without a good copy.
    pub lost_chunks: Gauge,
}

/// A kind of fault as a label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabel {
    /// The kind.
    pub kind: FaultKind,
}

impl EncodeLabelValue for FaultKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        self.word().encode(encoder)
    }
}

impl Figures {
    /// Register the counters.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "copies",
            "Copies of chunks read and checked",
            self.copies.clone(),
        );
        registry.register_with_unit(
            "read",
            "Bytes read and checked",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register("faults", "Faults found", self.faults.clone());
        registry.register("repaired", "Faults repaired", self.repaired.clone());
        registry.register(
            "lost_chunks",
            "Chunks without a good copy",
            self.lost_chunks.clone(),
        );
    }
}

/// Something that was wrong at a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubFault {
    /// What kind of fault.
    pub kind: FaultKind,
    /// The store.
    pub store: StoreName,
    /// Key of the object.
    pub key: String,
    /// What exactly.
    pub detail: String,
    /// When it was found, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// It was put right.
    pub repaired: bool,
}

/// What a scrub has found so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// When the stores were last gone through by lists, milliseconds since 1970 UTC.
    pub listed_at_ms: Option<i64>,
    /// Stores that could not be listed then.
    pub away: Vec<StoreName>,
    /// When all copies had last been read.
    pub read_at_ms: Option<i64>,
    /// Chunks read in the round that is under way.
    pub read: u64,
    /// Chunks of that round.
    pub of: u64,
    /// The last faults, the newest first.
    pub faults: Vec<ScrubFault>,
    /// Chunks without a good copy.
    pub lost: Vec<Lost>,
}

#[derive(Debug, Default)]
pub(super) struct Findings {
    listed_at_ms: Option<i64>,
    away: BTreeSet<StoreName>,
    read_at_ms: Option<i64>,
    read: u64,
    of: u64,
    faults: VecDeque<ScrubFault>,
    lost: BTreeMap<ChunkKey, Lost>,
}

impl Findings {
    pub(super) fn report(&self) -> ScrubReport {
        ScrubReport {
            listed_at_ms: self.listed_at_ms,
            away: self.away.iter().cloned().collect(),
            read_at_ms: self.read_at_ms,
            read: self.read,
            of: self.of,
            faults: self.faults.iter().rev().cloned().collect(),
            lost: self.lost.values().cloned().collect(),
        }
    }

    pub(super) fn listed(&mut self, now_ms: i64, away: BTreeSet<StoreName>) {
        self.listed_at_ms = Some(now_ms);
        self.away = away;
    }

    pub(super) fn progress(&mut self, now_ms: i64, read: usize, of: usize) {
        (self.read, self.of) = (read as u64, of as u64);
        if read == of {
            self.read_at_ms = Some(now_ms);
        }
    }

    /// Whether a fault was not told before in the same words.
    pub(super) fn is_new(&self, fault: &ScrubFault) -> bool {
        let is_same = |other: &ScrubFault| {
            other.key == fault.key && other.store == fault.store && other.detail == fault.detail
        };
        !self.faults.iter().any(is_same)
    }

    pub(super) fn fault(&mut self, fault: ScrubFault) {
        // The same place is told once, as it was found last.
        let is_same = |other: &ScrubFault| other.key == fault.key && other.store == fault.store;
        self.faults.retain(|other| !is_same(other));
        self.faults.push_back(fault);
        if self.faults.len() > FAULTS_MAX {
            self.faults.pop_front();
        }
    }

    /// Take note of a lost chunk. Says whether it was not known.
    pub(super) fn lost(&mut self, key: &ChunkKey, lost: Lost) -> bool {
        self.lost.insert(key.clone(), lost).is_none()
    }

    pub(super) fn lost_count(&self) -> i64 {
        i64::try_from(self.lost.len()).unwrap_or(i64::MAX)
    }

    /// Keep the lost chunks that still are.
    pub(super) fn retain_lost(&mut self, mut is_lost: impl FnMut(&ChunkKey) -> bool) {
        self.lost.retain(|key, _| is_lost(key));
    }
}
