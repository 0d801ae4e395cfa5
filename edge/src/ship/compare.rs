//! What the store says of the box's own log: whether another copy of the box has written to it.

use std::{fs, path::Path};

use arrow::{
    array::AsArray,
    datatypes::{Int64Type, TimestampMillisecondType},
};
use futures::TryStreamExt;
use rustc_hash::FxHashMap;
use tarn_common::{
    catalog::read_entry,
    chunk,
    commit_log::{Entry, covers},
    ids::{EdgeId, HomeId, Seq},
    layout::{EntryKey, log_prefix},
    store::{Store, StoreError},
};

use super::memory::Shipped;

/// Readings of another copy that are held against ours at most; what lies beyond is taken for our own,
/// and may be stored twice.
pub const COMPARED_ROWS_MAX: usize = 4_000_000;

/// Another copy of the box has written under an id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict {
    /// The id.
    pub writer: EdgeId,
    /// Our entries up to this number are the store's, too, or are not there yet.
    pub kept: u64,
}

/// How an entry of the store stands to ours of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// It is ours.
    Same,
    /// It is ours, put there without chunks because others have stored its records.
    StoredElsewhere,
    /// Somebody else wrote it.
    Other,
}

/// Hold an entry of the store against ours.
#[must_use]
pub fn compare(key: &EntryKey, ours: &[u8], theirs: &[u8]) -> Likeness {
    if ours == theirs {
        return Likeness::Same;
    }
    let elsewhere = Entry::parse(key, ours).is_ok_and(|entry| {
        let is_shared = entry.origin.as_ref().is_some_and(|o| !o.shared.is_empty());
        is_shared && entry.stored_elsewhere().to_bytes() == theirs
    });
    if elsewhere {
        Likeness::StoredElsewhere
    } else {
        Likeness::Other
    }
}

/// Numbers of a writer's entries in the store after one, lowest first.
pub async fn numbers_after(
    store: &Store,
    home: &HomeId,
    writer: EdgeId,
    number: u64,
) -> Result<Vec<u64>, StoreError> {
    let offset = EntryKey {
        home: home.clone(),
        writer,
        number,
    };
    let prefix = log_prefix(home, writer);
    let listed: Vec<_> = store
        .list(&prefix, Some(&offset.to_string()))
        .try_collect()
        .await?;
    let keys = listed
        .iter()
        .filter_map(|object| object.location.as_ref().parse::<EntryKey>().ok());
    let mut numbers: Vec<u64> = keys.map(|key| key.number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What the box has under one of its ids.
#[derive(Debug)]
pub struct Log {
    /// The id.
    pub writer: EdgeId,
    /// Numbers of its entries, lowest first.
    pub numbers: Vec<u64>,
    /// The box still writes under it, so that nobody else may have more.
    pub is_current: bool,
}

/// Where the store has another entry than we under one of our ids, or more than we have.
///
/// Only what we have not shipped can differ, and the newest that we have: it is held against the
/// store's, too, in case two copies put theirs at the same moment.
pub async fn conflict(
    store: &Store,
    lake: &Path,
    home: &HomeId,
    log: &Log,
    shipped: &Shipped,
) -> Result<Option<Conflict>, StoreError> {
    let is_shipped = |number: &u64| shipped.contains(log.writer, *number);
    let newest_shipped = log.numbers.iter().copied().rfind(is_shipped);
    let unshipped = log.numbers.iter().copied().filter(|n| !is_shipped(n));
    let mut suspects: Vec<u64> = newest_shipped
        .filter(|_| log.is_current)
        .into_iter()
        .chain(unshipped)
        .collect();
    suspects.sort_unstable();
    if suspects.is_empty() && !log.is_current {
        return Ok(None);
    }
    let last = log.numbers.last().copied().unwrap_or(0);
    let from = suspects.first().map_or(last, |lowest| lowest - 1);
    let there = numbers_after(store, home, log.writer, from).await?;
    for number in suspects {
        let key = EntryKey {
            home: home.clone(),
            writer: log.writer,
            number,
        };
        if there.binary_search(&number).is_ok() && is_others(store, lake, &key).await? {
            return Ok(Some(Conflict {
                writer: log.writer,
                kept: number - 1,
            }));
        }
    }
    let has_more = log.is_current && there.last().is_some_and(|&number| number > last);
    Ok(has_more.then_some(Conflict {
        writer: log.writer,
        kept: last,
    }))
}

async fn is_others(store: &Store, lake: &Path, key: &EntryKey) -> Result<bool, StoreError> {
    let theirs = match store.get(&key.to_string()).await {
        Err(StoreError::NotFound { .. }) => return Ok(false),
        other => other?,
    };
    // One that cannot be read here is told of where it is read to be shipped.
    let ours = fs::read(lake.join(key.to_string()));
    Ok(ours.is_ok_and(|ours| compare(key, &ours, &theirs) == Likeness::Other))
}

/// Whether the logs of other copies of the box account for all records of an entry. `known` says up to
/// which of their entries we need not look, because they are ours, too.
pub async fn is_stored_elsewhere(
    store: &Store,
    entry: &Entry,
    known: impl Fn(EdgeId) -> u64,
) -> Result<bool, StoreError> {
    let shared = entry.origin.iter().flat_map(|origin| &origin.shared);
    let mut stretches = Vec::new();
    for other in shared.filter(|other| other.upto >= entry.first) {
        let numbers = numbers_after(store, &entry.home, other.writer, known(other.writer)).await?;
        for number in numbers {
            let Some(theirs) = entry_of(store, &entry.home, other.writer, number).await else {
                continue;
            };
            if theirs.first > entry.last {
                break;
            }
            stretches.push((theirs.first, theirs.last.min(other.upto)));
        }
    }
    Ok(covers(stretches, entry.first, entry.last))
}

async fn entry_of(store: &Store, home: &HomeId, writer: EdgeId, number: u64) -> Option<Entry> {
    let key = EntryKey {
        home: home.clone(),
        writer,
        number,
    };
    match read_entry(store, &key).await {
        Ok(entry) => Some(entry),
        Err(reason) => {
            tracing::warn!(%reason, "a log entry of another copy of this box cannot be read");
            None
        }
    }
}

/// When another copy of the box received its records, by sequence.
#[derive(Debug, Default)]
pub struct Received(FxHashMap<u64, i64>);

impl Received {
    /// Read what the store has of a writer after one entry, up to a record.
    pub async fn read(
        store: &Store,
        home: &HomeId,
        conflict: Conflict,
        upto: Seq,
    ) -> Result<Received, StoreError> {
        let mut received = Received::default();
        for number in numbers_after(store, home, conflict.writer, conflict.kept).await? {
            let Some(entry) = entry_of(store, home, conflict.writer, number).await else {
                continue;
            };
            if entry.first > upto || received.0.len() > COMPARED_ROWS_MAX {
                break;
            }
            for chunk in entry.adds.iter().filter(|c| !c.key.is_events()) {
                match store.get(&chunk.key.to_string()).await {
                    // The other copy was full and has evicted it.
                    Err(StoreError::NotFound { .. }) => {}
                    bytes => received.add(bytes?),
                }
            }
        }
        Ok(received)
    }

    /// When the other copy received a record; none where it has none of that sequence.
    #[must_use]
    pub fn of(&self, seq: Seq) -> Option<i64> {
        self.0.get(&seq.0).copied()
    }

    fn add(&mut self, bytes: bytes::Bytes) {
        for (seq, at) in records(bytes) {
            self.0.insert(seq, at);
        }
    }
}

/// Sequence and time of receipt of each row of a chunk; nothing of one that cannot be read.
pub fn records(bytes: bytes::Bytes) -> Vec<(u64, i64)> {
    let batches = chunk::read(bytes).map(|batches| batches.flatten().collect::<Vec<_>>());
    let mut found = Vec::new();
    for batch in batches.unwrap_or_default() {
        let at = batch
            .column(6)
            .as_primitive_opt::<TimestampMillisecondType>();
        let seq = batch.column(7).as_primitive_opt::<Int64Type>();
        if let (Some(at), Some(seq)) = (at, seq) {
            let rows = seq.values().iter().zip(at.values());
            found.extend(rows.map(|(&seq, &at)| (seq as u64, at)));
        }
    }
    found
}
