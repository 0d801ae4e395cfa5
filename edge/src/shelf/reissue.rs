use std::{collections::HashSet, fs, path::Path};

use arrow::compute::concat_batches;
use bytes::Bytes;
use tarn_common::{
    chunk::{self, ChunkError, ZSTD_LEVEL_BOX},
    commit_log::{Chunk, Entry},
    durable::{self, Disk},
    event,
    ids::Seq,
    layout::{ChunkKey, Content},
};

use super::{ShelfError, io_error, read_log};
use crate::{
    cut::{CutError, name_all, write_aside},
    identity::{Era, Identity},
};

/// An entry could not be given another id. It still has its old one, and the next start tries again.
#[derive(Debug, thiserror::Error)]
pub enum ReissueError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] ShelfError),
    /// A chunk or an entry cannot be written.
    #[error(transparent)]
    Write(#[from] CutError),
}

/// Give the entries that lie past the end of their id's stretch the id that their records have now.
///
/// The order: the chunks under their new names, synced; the new entry; then the old entry goes, and the
/// old chunks with the next look at the lake. A crash at any point is mended by doing it again: an entry
/// whose records the new id's log accounts for is only removed. Says how many entries that were.
pub fn reissue(lake: &Path, identity: &Identity, disk: &dyn Disk) -> Result<usize, ReissueError> {
    let mut done = 0;
    for era in &identity.eras {
        let log = read_log(lake, &identity.home, era.edge)?;
        let removes = log.iter().flat_map(|entry| &entry.removes);
        let moving = Moving {
            lake,
            identity,
            disk,
            era,
            removed: removes.collect(),
        };
        for entry in log.iter().filter(|entry| era.has_left(entry)) {
            moving.reissue(entry)?;
            done += 1;
        }
    }
    Ok(done)
}

/// The entries of one id that get another.
struct Moving<'a> {
    lake: &'a Path,
    identity: &'a Identity,
    disk: &'a dyn Disk,
    era: &'a Era,
    /// Chunks that entries of this id have removed.
    removed: HashSet<&'a ChunkKey>,
}

impl Moving<'_> {
    fn reissue(&self, old: &Entry) -> Result<(), ReissueError> {
        let (lake, disk) = (self.lake, self.disk);
        let writer = self.identity.edge_at(old.first);
        let log = read_log(lake, &self.identity.home, writer)?;
        let last = log.last();
        let number = last.map_or(0, |last| last.number) + 1;
        let removes: Vec<_> = old.removes.iter().map(|key| self.moved(key)).collect();
        // A chunk is removed once, so who has removed the same has done it all.
        let is_done = if old.has_records() {
            last.is_some_and(|last| last.last >= old.first)
        } else {
            let mut done = log.iter().filter(|entry| !entry.has_records());
            done.any(|entry| entry.removes == removes)
        };
        if !is_done {
            let mut entry = Entry {
                writer,
                number,
                adds: Vec::new(),
                removes,
                origin: self.identity.origin_of(writer),
                places: Vec::new(),
                root: None,
                ..old.clone()
            };
            for chunk in &old.adds {
                let key = match chunk.key.content {
                    Content::Events => ChunkKey {
                        edge: writer,
                        first: Seq(number),
                        last: Seq(number),
                        ..chunk.key.clone()
                    },
                    Content::Readings | Content::Left(_) => self.moved(&chunk.key),
                };
                if key == chunk.key {
                    // What is left of a chunk whose records keep their id.
                    entry.adds.push(chunk.clone());
                } else if let Some(chunk) = self.rewrite(chunk, key)? {
                    name_all(disk, lake, std::slice::from_ref(&chunk))?;
                    entry.adds.push(chunk);
                } else if !self.removed.contains(&chunk.key) {
                    // It was shipped and evicted, so another copy of the box has overwritten its entry only.
                    tracing::error!(chunk = %chunk.key, rows = chunk.rows, "a chunk that another copy of this box has taken the log entry of is not on this disk any more; its object in the store is in no log");
                }
            }
            let path = lake.join(entry.key().to_string());
            durable::put(disk, &path, &entry.to_bytes()).map_err(io_error("write", &path))?;
        }
        let path = lake.join(old.key().to_string());
        disk.remove(&path).map_err(io_error("remove", &path))?;
        durable::sync_name(disk, &path).map_err(io_error("sync the directory of", &path))?;
        Ok(())
    }

    /// The key that a chunk has once the records after the era have their new ids.
    fn moved(&self, key: &ChunkKey) -> ChunkKey {
        let has_left = key.edge == self.era.edge && key.first > self.era.last;
        let edge = if has_left {
            self.identity.edge_at(key.first)
        } else {
            key.edge
        };
        ChunkKey {
            edge,
            ..key.clone()
        }
    }

    /// The same rows aside under another key; none where the chunk is no longer there.
    fn rewrite(&self, old: &Chunk, key: ChunkKey) -> Result<Option<Chunk>, ReissueError> {
        let path = self.lake.join(old.key.to_string());
        let bytes = match fs::read(&path) {
            Ok(bytes) => Bytes::from(bytes),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error("read", &path)(e).into()),
        };
        let failed = |source| CutError::Chunk {
            key: old.key.to_string(),
            source,
        };
        let fault = |reason: String| failed(ChunkError::Fault(reason));
        old.check(&bytes).map_err(|e| fault(e.to_string()))?;
        let encoded = if key.is_events() {
            let mut events = event::decode(bytes).map_err(failed)?;
            for event in &mut events {
                if event.edge == self.era.edge && event.first_seq > self.era.last {
                    event.edge = self.identity.edge_at(event.first_seq);
                }
            }
            event::encode(&key, &events, ZSTD_LEVEL_BOX).map_err(failed)?
        } else {
            let batches: Vec<_> = chunk::read(bytes)
                .and_then(Iterator::collect)
                .map_err(failed)?;
            let schema = batches.first().map(|batch| batch.schema());
            let schema = schema.ok_or_else(|| failed(ChunkError::Empty))?;
            let rows = concat_batches(&schema, &batches).map_err(|e| fault(e.to_string()))?;
            chunk::encode(&key, &rows, ZSTD_LEVEL_BOX).map_err(failed)?
        };
        Ok(Some(write_aside(
            self.disk,
            self.lake,
            key,
            &encoded,
            old.stores.clone(),
        )?))
    }
}
