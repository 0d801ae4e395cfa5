//! Whether this data directory is a copy of another one, or went back to an older state: then what is
//! written from now on gets an id of its own. See `docs/decisions/0015-copied-boxes-take-a-new-id.md`.

#[cfg(test)]
mod tests;

use std::{fs, io, path::Path, time::Duration};

use tarn_common::{
    clock::Clock,
    commit_log::Entry,
    durable::Disk,
    ids::{EdgeId, Seq},
    store::Store,
};
use tokio::time::timeout;

use crate::{
    identity::{DataDir, DataDirError, Renewal},
    journal::{
        self, Segment,
        frame::Kind,
        segment::{RECORDS_AT, Scan, read_what_is_there},
    },
    shelf::{
        ShelfError, read_log, read_numbers,
        reissue::{ReissueError, reissue},
    },
    ship::{
        compare::{self, Conflict, Log, Received},
        memory::{Shipped, places},
    },
};

/// How long a start waits for the store to say whether another copy of the box has written to it. A
/// store that is away must not keep the house waiting; it is asked again before anything is shipped.
pub const ASK_TIME_MAX: Duration = Duration::from_secs(3);

/// How long it may take to find out which records another copy has, too. Without an answer all are
/// taken for this box's own, and some may be stored twice.
pub const COMPARE_TIME_MAX: Duration = Duration::from_secs(120);

/// It cannot be settled under which id to go on.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The data directory cannot be written.
    #[error(transparent)]
    Data(#[from] DataDirError),
    /// The log on this disk cannot be read.
    #[error(transparent)]
    Log(#[from] ShelfError),
    /// Entries cannot be given their new id.
    #[error(transparent)]
    Reissue(#[from] ReissueError),
    /// The journal cannot be read.
    #[error("look at the journal")]
    Journal(#[source] io::Error),
}

/// Settles under which ids a directory's records are stored, before anything else is opened or written.
pub struct Settling<'a> {
    /// The directory.
    pub data: &'a mut DataDir,
    /// Where its chunks go.
    pub stores: &'a [Store],
    /// When ids are made.
    pub clock: &'a dyn Clock,
    /// The files' operations.
    pub disk: &'a dyn Disk,
    /// Makes ids.
    pub fresh: &'a mut (dyn FnMut() -> EdgeId + Send),
}

impl std::fmt::Debug for Settling<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settling")
            .field("data", &self.data)
            .finish_non_exhaustive()
    }
}

impl Settling<'_> {
    /// Take new ids where the directory has left its place or the store shows that another copy went on.
    /// Says whether the store has confirmed that nobody did; if not, what this run writes to the journal
    /// begins with a segment of its own, so that it can be told later from what copies have in common.
    ///
    /// # Errors
    /// The directory cannot be read or written. Nothing is lost, and the next start does it again.
    pub async fn settle(&mut self) -> Result<bool, SettleError> {
        // A crash may have left some of it to do.
        self.reissue()?;
        if let Some(reason) = self.data.moved {
            self.leave_to_others(reason)?;
        }
        // One that answers is enough: each has the whole log, and the others are asked before anything is shipped.
        let mut confirmed = self.stores.is_empty();
        for store in self.stores {
            confirmed |= self.settle_with(store).await?;
        }
        Ok(confirmed)
    }

    async fn settle_with(&mut self, store: &Store) -> Result<bool, SettleError> {
        // Each answer concerns one id, and gives it up.
        for _ in 0..=self.data.identity.eras.len() + 1 {
            match timeout(ASK_TIME_MAX, self.ask(store)).await {
                Ok(Ok(None)) => return Ok(true),
                Ok(Ok(Some(conflict))) => self.step_aside(store, conflict).await?,
                Ok(Err(Asking::Store(e))) => {
                    tracing::info!(store = %store.url(), error = %e, "the store does not say whether another copy of this box has written to it; it is asked again before anything is shipped");
                    return Ok(false);
                }
                Ok(Err(Asking::Log(e))) => return Err(e.into()),
                Err(_) => {
                    tracing::info!(store = %store.url(), "the store does not answer; it is asked again before anything is shipped");
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    /// The directory has left its place: what it has not cut yet may be stored by the box that it is a
    /// copy of, and what comes now is its own.
    fn leave_to_others(&mut self, reason: &str) -> Result<(), SettleError> {
        let identity = &self.data.identity;
        let mut kept = Seq::ZERO;
        for era in identity.stretches() {
            let log = read_log(&self.data.lake(), &identity.home, era.edge)?;
            kept = kept.max(log.last().map_or(Seq::ZERO, |entry| entry.last));
        }
        let segments = journal::on_disk(&self.data.journal()).map_err(SettleError::Journal)?;
        let last = segments.last().map_or(Seq::ZERO, |segment| segment.last);
        let renewal = Renewal {
            kept,
            shared_upto: last.max(kept),
            last: None,
        };
        let was = identity.edge;
        let renewed = identity.renewed(renewal, self.clock.now_ms(), self.fresh);
        self.data.become_now(renewed, self.disk)?;
        tracing::warn!(reason, %was, edge = %self.data.identity.edge, uncut_records = last.0.saturating_sub(kept.0),
            "this data directory was copied, restored or moved: it takes a new id, and what it had not cut is stored only where the other copy does not");
        Ok(())
    }

    async fn ask(&self, store: &Store) -> Result<Option<Conflict>, Asking> {
        let identity = &self.data.identity;
        let first = identity.stretches()[0].edge;
        let shipped = Shipped::load(&self.data.shipped(), &places(self.stores.iter()), first);
        let lake = self.data.lake();
        for era in identity.stretches() {
            let log = Log {
                writer: era.edge,
                numbers: read_numbers(&lake, &identity.home, era.edge).map_err(Asking::Log)?,
                is_current: era.edge == identity.edge,
            };
            let found = compare::conflict(store, &lake, &identity.home, &log, &shipped).await;
            if let Some(conflict) = found.map_err(Asking::Store)? {
                return Ok(Some(conflict));
            }
        }
        Ok(None)
    }

    /// Another copy has gone on under an id of ours: what the store does not have of us gets another one.
    async fn step_aside(&mut self, store: &Store, conflict: Conflict) -> Result<(), SettleError> {
        let identity = self.data.identity.clone();
        let log = read_log(&self.data.lake(), &identity.home, conflict.writer)?;
        let index = identity.index_of(conflict.writer).unwrap_or_default();
        let is_kept = |entry: &&Entry| entry.number <= conflict.kept;
        let kept = log.iter().rfind(is_kept);
        let before = Seq(identity.first_of(index).0 - 1);
        let kept = kept.map_or(before, |entry| entry.last);
        let ours = Ours {
            lake: &self.data.lake(),
            entries: log.iter().filter(|e| !is_kept(e)).collect(),
            segments: if conflict.writer == identity.edge {
                journal::on_disk(&self.data.journal()).map_err(SettleError::Journal)?
            } else {
                Vec::new()
            },
        };
        let reading = Received::read(store, &identity.home, conflict, ours.last());
        let shared_upto = match timeout(COMPARE_TIME_MAX, reading).await {
            Ok(Ok(theirs)) => ours.shared_upto(kept, &theirs),
            failed => {
                let error = failed.ok().and_then(Result::err).map(|e| e.to_string());
                tracing::warn!(store = %store.url(), error, "it cannot be told which records another copy of this box has, too; some may be stored twice");
                kept
            }
        };
        let renewal = Renewal {
            kept,
            shared_upto,
            last: identity.eras.get(index).map(|era| era.last),
        };
        let mut renewed = identity.renewed(renewal, self.clock.now_ms(), self.fresh);
        let mut eras = renewed.eras.iter_mut();
        if let Some(era) = eras.find(|era| era.edge == conflict.writer) {
            era.entries = Some(conflict.kept);
        }
        self.data.become_now(renewed, self.disk)?;
        let reissued = self.reissue()?;
        tracing::warn!(was = %conflict.writer, edge = %self.data.identity.edge, entries_kept = conflict.kept, entries_reissued = reissued, shared_records = shared_upto.0 - kept.0,
            "another copy of this box has written to the store: this one takes a new id");
        Ok(())
    }

    fn reissue(&self) -> Result<usize, ReissueError> {
        reissue(&self.data.lake(), &self.data.identity, self.disk)
    }
}

enum Asking {
    Store(tarn_common::store::StoreError),
    Log(ShelfError),
}

/// What this box has after the last entry that is surely its own.
struct Ours<'a> {
    lake: &'a Path,
    entries: Vec<&'a Entry>,
    segments: Vec<Segment>,
}

impl Ours<'_> {
    fn last(&self) -> Seq {
        let entries = self.entries.iter().map(|entry| entry.last);
        let segments = self.segments.iter().map(|segment| segment.last);
        entries.chain(segments).max().unwrap_or(Seq::ZERO)
    }

    /// Up to where the other copy has the same records. Both went on from one state, so if the last
    /// reading of a cut or of a segment is the same in both, all before it is.
    fn shared_upto(&self, kept: Seq, theirs: &Received) -> Seq {
        let mut upto = kept;
        for entry in &self.entries {
            match last_row(self.lake, entry) {
                Some((seq, at)) if theirs.of(seq) != Some(at) => return upto,
                Some(_) => upto = entry.last,
                None => {}
            }
        }
        for segment in self.segments.iter().filter(|s| s.last > kept) {
            match last_publish(segment) {
                Some((seq, _)) if seq <= upto => {}
                Some((seq, at)) if theirs.of(seq) != Some(at) => return upto,
                Some(_) => upto = segment.last,
                None => {}
            }
        }
        upto
    }
}

fn last_row(lake: &Path, entry: &Entry) -> Option<(Seq, i64)> {
    let chunk = entry.adds.iter().max_by_key(|chunk| chunk.max_seq)?;
    let bytes = fs::read(lake.join(chunk.key.to_string())).ok()?;
    let last = compare::records(bytes.into()).into_iter().max()?;
    Some((Seq(last.0), last.1))
}

fn last_publish(segment: &Segment) -> Option<(Seq, i64)> {
    let bytes = read_what_is_there(segment, RECORDS_AT).ok()?;
    let records = Scan::new(&bytes, 0, Seq(segment.first.0 - 1));
    let publishes = records.filter(|record| record.kind == Kind::Publish);
    publishes
        .last()
        .map(|record| (record.seq, record.received_ms))
}
