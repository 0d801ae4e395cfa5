use serde::Serialize;

use crate::{
    commit_log::Chunk,
    ids::{EdgeId, HomeId, Seq, Shard, StoreName},
};

/// What a check of stores found.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Nothing is wrong, or all that was is repaired.
    pub ok: bool,
    /// Each store that was given.
    pub stores: Vec<StoreReport>,
    /// Each log that was read.
    pub writers: Vec<Writer>,
    /// Live chunks of which a good copy was read.
    pub chunks: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Readings that events tell as evicted, so that no chunk has them.
    pub evicted_rows: u64,
    /// Copies that were read, good or not.
    pub copies: u64,
    /// Copies at stores that were not given, or did not answer: nothing is said of them.
    pub not_looked_at: u64,
    /// Parts of twins read.
    pub twins: u64,
    /// Objects where chunks lie that no log entry names: of cuts that are being shipped, or left over.
    pub unlogged: Vec<String>,
    /// Copies of live chunks at stores where the log has none.
    pub surplus: Vec<Surplus>,
    /// Surplus copies that were deleted.
    pub deleted: u64,
    /// Records that two copies of one box have both stored, so that their readings are there twice.
    pub twice: Vec<Twice>,
    /// The newest Merkle root of each home that has one.
    pub roots: Vec<CheckedRoot>,
    /// Chunks of which no good copy is left.
    pub lost: Vec<Lost>,
    /// Everything that is wrong.
    pub faults: Vec<Fault>,
}

/// A store that was given.
#[derive(Debug, Clone, Serialize)]
pub struct StoreReport {
    /// The word that the log uses for it.
    pub name: StoreName,
    /// Where it is.
    pub url: String,
    /// Why it could not be looked at, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
    /// Copies that it has.
    pub copies: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// A copy of a live chunk that the log does not name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Surplus {
    /// The store that has it.
    pub store: StoreName,
    /// Its key there.
    pub key: String,
}

/// A Merkle root that was checked.
#[derive(Debug, Clone, Serialize)]
pub struct CheckedRoot {
    /// The home.
    pub home: HomeId,
    /// The UTC day it was taken on.
    pub date: String,
    /// Live chunks at that time.
    pub chunks: u64,
    /// The root, 64 hex digits.
    pub sha256: String,
    /// Whether the log comes to the same now.
    pub ok: bool,
}

/// A chunk of which no good copy is left: these readings are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// The home.
    pub home: HomeId,
    /// Key of the chunk.
    pub key: String,
    /// The box that wrote it.
    pub edge: EdgeId,
    /// Shard of its devices.
    pub shard: Shard,
    /// Devices in it, as far as a damaged copy still says; none where nothing can be read.
    pub devices: Option<Vec<String>>,
    /// Earliest reading, milliseconds since 1970 UTC.
    pub min_ts: i64,
    /// Latest reading.
    pub max_ts: i64,
    /// First journal record.
    pub first_seq: Seq,
    /// Last journal record.
    pub last_seq: Seq,
    /// Readings in it.
    pub rows: u64,
}

impl Lost {
    /// What the log says of a lost chunk, with the devices that a damaged copy still names.
    #[must_use]
    pub fn of(chunk: &Chunk, devices: Option<Vec<String>>) -> Lost {
        Lost {
            home: chunk.key.home.clone(),
            key: chunk.key.to_string(),
            edge: chunk.key.edge,
            shard: chunk.key.shard,
            devices,
            min_ts: chunk.min_ts,
            max_ts: chunk.max_ts,
            first_seq: chunk.key.first,
            last_seq: chunk.key.last,
            rows: chunk.rows,
        }
    }
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
#[derive(Debug, Clone, Serialize)]
pub struct Fault {
    /// What kind of fault.
    pub kind: FaultKind,
    /// Key of the object, or prefix of the log.
    pub key: String,
    /// The store, where it is one store's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreName>,
    /// What exactly.
    pub detail: String,
    /// It was put right.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repaired: bool,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
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
    /// Something that other stores have and this one is to have, too.
    Lacking,
    /// A Merkle root that the log does not come to, or none where one is needed.
    Root,
}

impl FaultKind {
    /// The word for it, as in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            FaultKind::Entry => "entry",
            FaultKind::Gap => "gap",
            FaultKind::Overlap => "overlap",
            FaultKind::Missing => "missing",
            FaultKind::Checksum => "checksum",
            FaultKind::Content => "content",
            FaultKind::Order => "order",
            FaultKind::Duplicate => "duplicate",
            FaultKind::Lacking => "lacking",
            FaultKind::Root => "root",
        }
    }
}

impl Report {
    pub(super) fn fault(&mut self, kind: FaultKind, key: impl ToString, detail: impl ToString) {
        self.fault_at(kind, key, None, detail, false);
    }

    pub(super) fn fault_at(
        &mut self,
        kind: FaultKind,
        key: impl ToString,
        store: Option<&StoreName>,
        detail: impl ToString,
        repaired: bool,
    ) {
        self.faults.push(Fault {
            kind,
            key: key.to_string(),
            store: store.cloned(),
            detail: detail.to_string(),
            repaired,
        });
    }

    /// Stores that could not be looked at.
    pub fn away(&self) -> impl Iterator<Item = &StoreReport> {
        self.stores.iter().filter(|store| store.away.is_some())
    }
}
