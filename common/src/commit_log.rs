use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    chunk::Encoded,
    ids::{EdgeId, HomeId, Seq, StoreName},
    layout::{ChunkKey, EntryKey},
};

/// Version of the entry format.
pub const VERSION: u32 = 1;

/// One numbered entry of one writer's log. Each cut of a box writes exactly one; a keeper, who looks after
/// the copies of chunks, writes one for what it has placed, and accounts for no records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Format version.
    pub v: u32,
    /// The home it belongs to.
    pub home: HomeId,
    /// Who wrote it.
    pub writer: EdgeId,
    /// 1, 2, 3 … for each writer.
    pub number: u64,
    /// When it was written, milliseconds since 1970 UTC.
    pub at_ms: i64,
    /// First journal record that this entry's chunks account for. Entries of a writer follow each
    /// other without a gap. An entry that accounts for none, as of an eviction, has the record after `last`.
    pub first: Seq,
    /// Last journal record that this entry's chunks account for.
    pub last: Seq,
    /// Journal records that were damaged and could not be read, if any: a told gap.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost_records: u64,
    /// Chunks that become visible.
    pub adds: Vec<Chunk>,
    /// Chunks that go away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removes: Vec<ChunkKey>,
    /// Where its journal came from, in every entry of a box that has changed its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Where chunks are from now on, by a keeper.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<Place>,
    /// What the live chunks came to at one moment, by a keeper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
}

/// Where the copies of a chunk are from now on. Of several the one with the highest `rev` holds, then the
/// one of the highest writer and number, so that keepers need not agree: what the other has placed
/// is found by listing, and never missed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The chunk.
    pub key: ChunkKey,
    /// The stores that hold a copy, the primary first.
    pub stores: Vec<StoreName>,
    /// One more than that of the place before; that of the entry that adds the chunk is 0.
    pub rev: u64,
    /// Where it should be instead, if it is here only because stores were away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wanted: Vec<StoreName>,
}

/// What the live chunks of a home came to at one moment. Who applies just the entries that it stands on
/// comes to the same, or something was altered since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The UTC day it was taken on, as days since 1970-01-01.
    pub day: i32,
    /// Live chunks.
    pub chunks: u64,
    /// Root of the Merkle tree over them ([`crate::merkle`]), 64 hex digits.
    #[serde(with = "hex::serde")]
    pub sha256: [u8; 32],
    /// The entries that it stands on: all of each writer up to a number.
    pub upto: BTreeMap<EdgeId, u64>,
}

/// What an id goes on from: a box that was copied or restored takes a new one, and its journal's
/// sequence goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The id that the records before this writer's first one are under, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<EdgeId>,
    /// Who else may have stored the same records: they were in the journal when it was copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<Shared>,
    /// The entry has no chunks, because the logs of those in `shared` account for all of its records.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stored_elsewhere: bool,
}

/// Records of a journal that was copied, under the id that the other copy may have stored them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// The id of then.
    pub writer: EdgeId,
    /// The last record that both copies have; what the other has after it is its own.
    pub upto: Seq,
}

/// Whether these stretches of records, in any order, leave nothing out from `first` to `last`.
#[must_use]
pub fn covers(mut stretches: Vec<(Seq, Seq)>, first: Seq, last: Seq) -> bool {
    stretches.sort_unstable();
    let mut next = first;
    for (from, to) in stretches {
        if from <= next && to >= next {
            next = to.next();
        }
    }
    next > last
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Entry {
    /// Where it lies in a store.
    #[must_use]
    pub fn key(&self) -> EntryKey {
        EntryKey {
            home: self.home.clone(),
            writer: self.writer,
            number: self.number,
        }
    }

    /// Whether it accounts for journal records at all.
    #[must_use]
    pub fn has_records(&self) -> bool {
        self.first <= self.last && !self.is_keepers()
    }

    /// An entry of a keeper.
    #[must_use]
    pub fn of_keeper(key: EntryKey, at_ms: i64, places: Vec<Place>, root: Option<Root>) -> Entry {
        Entry {
            v: VERSION,
            home: key.home,
            writer: key.writer,
            number: key.number,
            at_ms,
            first: Seq::ZERO,
            last: Seq::ZERO,
            lost_records: 0,
            adds: Vec::new(),
            removes: Vec::new(),
            origin: None,
            places,
            root,
        }
    }

    /// Whether a keeper wrote it: it accounts for no records.
    #[must_use]
    pub fn is_keepers(&self) -> bool {
        self.last == Seq::ZERO
    }

    /// The same entry with no chunks, for records that another writer has stored.
    #[must_use]
    pub fn stored_elsewhere(&self) -> Entry {
        let origin = self.origin.clone().map(|origin| Origin {
            stored_elsewhere: true,
            ..origin
        });
        Entry {
            adds: Vec::new(),
            removes: Vec::new(),
            origin,
            ..self.clone()
        }
    }

    /// As it is written: JSON with a line end.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    /// Read an entry and check that it is the one that its key names.
    pub fn parse(key: &EntryKey, bytes: &[u8]) -> Result<Entry, EntryError> {
        let bad = |reason: String| EntryError {
            key: key.to_string(),
            reason,
        };
        let entry: Entry = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
        if entry.v != VERSION {
            return Err(bad(format!("format version {} is not known", entry.v)));
        }
        if entry.key() != *key {
            return Err(bad(format!("it says that it is {}", entry.key())));
        }
        Ok(entry)
    }
}

/// A log entry that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("log entry {key}: {reason}")]
pub struct EntryError {
    key: String,
    reason: String,
}

/// What the log says about one chunk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Its key: home, day, edge, shard and journal range.
    pub key: ChunkKey,
    /// Rows in it.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// CRC32 (IEEE) of the file, 8 hex digits.
    #[serde(with = "hex_crc32")]
    pub crc32: u32,
    /// SHA-256 of the file, 64 hex digits.
    #[serde(with = "hex::serde")]
    pub sha256: [u8; 32],
    /// Earliest `ts`, milliseconds since 1970 UTC.
    pub min_ts: i64,
    /// Latest `ts`.
    pub max_ts: i64,
    /// Lowest `seq` in it.
    pub min_seq: Seq,
    /// Highest `seq` in it.
    pub max_seq: Seq,
    /// The stores that hold a copy, the primary first.
    pub stores: Vec<StoreName>,
}

impl Chunk {
    /// What the log will say of a chunk just encoded.
    #[must_use]
    pub fn new(key: ChunkKey, encoded: &Encoded, stores: Vec<StoreName>) -> Chunk {
        Chunk {
            key,
            rows: encoded.rows,
            bytes: encoded.bytes.len() as u64,
            crc32: encoded.digest.crc32,
            sha256: encoded.digest.sha256,
            min_ts: encoded.ts_range.0,
            max_ts: encoded.ts_range.1,
            min_seq: encoded.seq_range.0,
            max_seq: encoded.seq_range.1,
            stores,
        }
    }

    /// Check an object's bytes against the log by size and CRC32.
    pub fn check(&self, bytes: &[u8]) -> Result<(), ContentFault> {
        if bytes.len() as u64 != self.bytes {
            return Err(ContentFault::Size {
                found: bytes.len() as u64,
                logged: self.bytes,
            });
        }
        let found = crc32fast::hash(bytes);
        if found != self.crc32 {
            return Err(ContentFault::Crc32 {
                found,
                logged: self.crc32,
            });
        }
        Ok(())
    }
}

/// An object whose bytes are not what the log says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentFault {
    /// Cut short, or grown.
    #[error("{found} bytes, the log says {logged}")]
    Size {
        /// Bytes found.
        found: u64,
        /// Bytes logged.
        logged: u64,
    },
    /// Damaged.
    #[error("CRC32 {found:08x}, the log says {logged:08x}")]
    Crc32 {
        /// CRC32 found.
        found: u32,
        /// CRC32 logged.
        logged: u32,
    },
}

mod hex_crc32 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(crc: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{crc:08x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        let text = String::deserialize(deserializer)?;
        u32::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_cover_when_they_leave_nothing_out() {
        let check = |stretches: &[(u64, u64)], expected| {
            let stretches = stretches.iter().map(|&(a, b)| (Seq(a), Seq(b))).collect();
            assert_eq!(covers(stretches, Seq(5), Seq(9)), expected);
        };
        check(&[], false);
        check(&[(5, 9)], true);
        check(&[(8, 20), (1, 7)], true);
        check(&[(1, 6), (2, 3), (7, 9)], true);
        check(&[(1, 6), (8, 9)], false);
        check(&[(6, 9)], false);
        check(&[(5, 8)], false);
    }
}
