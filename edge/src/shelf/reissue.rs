use std::{fs, path::Path};

use arrow::compute::concat_batches;
use bytes::Bytes;
use tarn_common::{
    chunk::{self, ChunkError, ZSTD_LEVEL_BOX},
    commit_log::{Chunk, Entry},
    durable::{self, Disk},
    ids::EdgeId,
    layout::ChunkKey,
};

use super::{ShelfError, io_error, read_log};
use crate::{
    cut::{CutError, name_all, write_aside},
    identity::Identity,
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
        for entry in log.iter().filter(|entry| entry.first > era.last) {
            reissue_entry(lake, identity, entry, disk)?;
            done += 1;
        }
    }
    Ok(done)
}

fn reissue_entry(
    lake: &Path,
    identity: &Identity,
    old: &Entry,
    disk: &dyn Disk,
) -> Result<(), ReissueError> {
    let writer = identity.edge_at(old.first);
    let log = read_log(lake, &identity.home, writer)?;
    let last = log.last();
    if last.is_none_or(|last| last.last < old.first) {
        let mut entry = Entry {
            writer,
            number: last.map_or(0, |last| last.number) + 1,
            adds: Vec::new(),
            origin: identity.origin_of(writer),
            places: Vec::new(),
            root: None,
            ..old.clone()
        };
        for chunk in &old.adds {
            match rewrite(lake, chunk, writer, disk)? {
                Some(chunk) => entry.adds.push(chunk),
                None => {
                    // It was shipped and evicted, so another copy of the box has overwritten its entry only.
                    tracing::error!(chunk = %chunk.key, rows = chunk.rows, "a chunk that another copy of this box has taken the log entry of is not on this disk any more; its object in the store is in no log");
                }
            }
        }
        name_all(disk, lake, &entry.adds)?;
        let path = lake.join(entry.key().to_string());
        durable::put(disk, &path, &entry.to_bytes()).map_err(io_error("write", &path))?;
    }
    let path = lake.join(old.key().to_string());
    disk.remove(&path).map_err(io_error("remove", &path))?;
    durable::sync_name(disk, &path).map_err(io_error("sync the directory of", &path))?;
    Ok(())
}

/// The same rows aside under another id; none where the chunk is no longer there.
fn rewrite(
    lake: &Path,
    old: &Chunk,
    writer: EdgeId,
    disk: &dyn Disk,
) -> Result<Option<Chunk>, ReissueError> {
    let path = lake.join(old.key.to_string());
    let bytes = match fs::read(&path) {
        Ok(bytes) => Bytes::from(bytes),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error("read", &path)(e).into()),
    };
    let key = ChunkKey {
        edge: writer,
        ..old.key.clone()
    };
    let failed = |source| CutError::Chunk {
        key: old.key.to_string(),
        source,
    };
    let fault = |reason: String| failed(ChunkError::Fault(reason));
    old.check(&bytes).map_err(|e| fault(e.to_string()))?;
    let batches: Vec<_> = chunk::read(bytes)
        .and_then(Iterator::collect)
        .map_err(failed)?;
    let schema = batches.first().map(|batch| batch.schema());
    let schema = schema.ok_or_else(|| failed(ChunkError::Empty))?;
    let rows = concat_batches(&schema, &batches).map_err(|e| fault(e.to_string()))?;
    let encoded = chunk::encode(&key, &rows, ZSTD_LEVEL_BOX).map_err(failed)?;
    Ok(Some(write_aside(disk, lake, key, &encoded)?))
}
