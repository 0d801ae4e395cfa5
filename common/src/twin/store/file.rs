/// The layout of the file.
mod frame;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{TwinStore, TwinStoreError, readable};
use crate::{
    durable::{self, Disk},
    twin::{
        document::DocumentKey,
        replica::{Bundle, BundleKind},
    },
};

/// Bytes beside snapshots that are never worth new ones.
pub const TAIL_BYTES_MIN: u64 = 1 << 20;
/// Bytes beside snapshots that are worth new ones, in sizes of the snapshots.
pub const TAIL_SNAPSHOTS: u64 = 2;

/// The documents of one home in one file, which bundles are appended to. One value at a time has it: the lock of the data directory sees
/// to that.
///
/// What is told as stored was synced. A tail that a crash has torn is cut off before anything is put behind it, because what stands behind
/// something unreadable is found only by luck. After a write or a sync that failed nothing that the system says of the file's tail is
/// believed: before the next append, all that was stored is written to a new file.
#[derive(Debug, Clone)]
pub struct FileStore {
    log: Arc<Mutex<Log>>,
}

#[derive(Debug)]
struct Log {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// What is stored, in the order of the file.
    frames: Vec<Frame>,
    /// What was read at the opening, until it is asked for.
    unread: Vec<Bundle>,
    /// Where the next frame goes.
    end: u64,
    tail: Tail,
    /// Bytes beside snapshots that the last compaction could not do without.
    kept_bytes: u64,
}

#[derive(Debug)]
struct Frame {
    key: DocumentKey,
    kind: BundleKind,
    place: Range<u64>,
}

/// What is behind the last frame that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// Nothing.
    Clean,
    /// Something that a crash left.
    Torn,
    /// Something that may be or come to be on the disk, or not; or the file has another flaw that only writing it anew mends.
    InDoubt,
}

impl FileStore {
    /// Open a file, or make it.
    ///
    /// # Errors
    /// It cannot be made or read, or is of a later version.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<FileStore, TwinStoreError> {
        let log = Log::open(disk, path)?;
        Ok(FileStore {
            log: Arc::new(Mutex::new(log)),
        })
    }

    /// Use the file where waiting for the disk holds up nobody else.
    async fn with_log<T: Send + 'static>(
        &self,
        action: &'static str,
        run: impl FnOnce(&mut Log) -> Result<T, TwinStoreError> + Send + 'static,
    ) -> Result<T, TwinStoreError> {
        let log = self.log.clone();
        let done = tokio::task::spawn_blocking(move || run(&mut log.lock())).await;
        done.unwrap_or_else(|error| Err(TwinStoreError::new(action, "twins", error)))
    }
}

#[async_trait]
impl TwinStore for FileStore {
    async fn load(&self) -> Result<Vec<Bundle>, TwinStoreError> {
        Ok(std::mem::take(&mut self.log.lock().unread))
    }

    async fn append(&self, bundles: &[Bundle]) -> Result<(), TwinStoreError> {
        let bundles = bundles.to_vec();
        self.with_log("append to", move |log| log.append(&bundles))
            .await
    }

    fn worn(&self) -> Vec<DocumentKey> {
        self.log.lock().worn()
    }

    async fn compact(
        &self,
        snapshots: &[Bundle],
        gone: &[DocumentKey],
    ) -> Result<(), TwinStoreError> {
        let (snapshots, gone) = (snapshots.to_vec(), gone.to_vec());
        self.with_log("compact", move |log| log.compact(&snapshots, &gone))
            .await
    }
}

impl Log {
    fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Log, TwinStoreError> {
        let error =
            |action| move |source: io::Error| TwinStoreError::new(action, path.display(), source);
        let file: Bytes = match std::fs::read(path) {
            Ok(bytes) => bytes.into(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                durable::put(&*disk, path, &frame::HEAD).map_err(error("make"))?;
                frame::HEAD.to_vec().into()
            }
            Err(e) => return Err(error("read")(e)),
        };
        let Some(scan) = frame::scan(&file) else {
            return Err(TwinStoreError::new(
                "read",
                path.display(),
                "a later version of Tarn wrote it",
            ));
        };
        // A process that was killed may have left frames that are in the system's memory only. Others will be told of them.
        disk.sync_file(path).map_err(error("sync"))?;
        for damaged in &scan.damaged {
            tracing::error!(file = %path.display(), offset = damaged.start, bytes = damaged.end - damaged.start,
                "a part of the twins' file is damaged and left out");
        }
        let left_over = (file.len() as u64).saturating_sub(scan.end);
        let tail = match left_over {
            _ if !scan.has_head => Tail::InDoubt,
            0 => Tail::Clean,
            _ => Tail::Torn,
        };
        if tail != Tail::Clean {
            tracing::warn!(file = %path.display(), offset = scan.end, bytes = left_over,
                "the end of the twins' file was never stored whole");
        }
        let frames = scan.frames.iter().map(|(bundle, place)| Frame {
            key: bundle.key.clone(),
            kind: bundle.kind,
            place: place.clone(),
        });
        Ok(Log {
            frames: frames.collect(),
            unread: scan.frames.into_iter().map(|(bundle, _)| bundle).collect(),
            end: scan.end,
            tail,
            kept_bytes: 0,
            disk,
            path: path.to_owned(),
        })
    }

    fn error<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &self,
        action: &'static str,
    ) -> impl FnOnce(E) -> TwinStoreError {
        let place = self.path.display().to_string();
        move |source| TwinStoreError::new(action, place, source)
    }

    fn append(&mut self, bundles: &[Bundle]) -> Result<(), TwinStoreError> {
        let mut bytes = Vec::new();
        let frames = self.encode(bundles, self.end, &mut bytes)?;
        if bytes.is_empty() {
            return Ok(());
        }
        match self.tail {
            Tail::Clean => {}
            Tail::Torn => {
                self.tail = Tail::InDoubt;
                self.disk
                    .truncate(&self.path, self.end)
                    .and_then(|()| self.disk.sync_file(&self.path))
                    .map_err(self.error("cut off the torn end of"))?;
            }
            Tail::InDoubt => self.rewrite(&[], &BTreeSet::new())?,
        }
        // A file that was written anew may be shorter.
        let frames = if frames
            .first()
            .is_some_and(|frame| frame.place.start == self.end)
        {
            frames
        } else {
            bytes.clear();
            self.encode(bundles, self.end, &mut bytes)?
        };
        self.tail = Tail::InDoubt;
        self.disk
            .write_at(&self.path, self.end, &bytes)
            .map_err(self.error("write to"))?;
        self.disk
            .sync_data(&self.path)
            .map_err(self.error("sync"))?;
        self.tail = Tail::Clean;
        self.end += bytes.len() as u64;
        self.frames.extend(frames);
        Ok(())
    }

    /// Frames of bundles, of which the first is to stand at `at`.
    fn encode(
        &self,
        bundles: &[Bundle],
        at: u64,
        out: &mut Vec<u8>,
    ) -> Result<Vec<Frame>, TwinStoreError> {
        let mut frames = Vec::with_capacity(bundles.len());
        for bundle in bundles {
            let start = at + out.len() as u64;
            if !frame::encode(bundle, out) {
                let reason = format!(
                    "{} bytes of {} are more than {}",
                    bundle.bytes.len(),
                    bundle.key,
                    frame::BODY_BYTES_MAX
                );
                return Err(self.error("write to")(reason));
            }
            frames.push(Frame {
                key: bundle.key.clone(),
                kind: bundle.kind,
                place: start..at + out.len() as u64,
            });
        }
        Ok(frames)
    }

    /// Bytes of snapshots, and of all else.
    fn sizes(&self) -> (u64, u64) {
        let snapshots = self
            .frames
            .iter()
            .filter(|frame| frame.kind == BundleKind::Snapshot);
        let bytes = snapshots
            .map(|frame| frame.place.end - frame.place.start)
            .sum();
        (bytes, self.end - frame::HEAD.len() as u64 - bytes)
    }

    fn worn(&self) -> Vec<DocumentKey> {
        let (snapshots, beside) = self.sizes();
        let worth = TAIL_BYTES_MIN.max(TAIL_SNAPSHOTS * snapshots);
        if beside.saturating_sub(self.kept_bytes) <= worth {
            return Vec::new();
        }
        let keys: BTreeSet<&DocumentKey> = self.frames.iter().map(|frame| &frame.key).collect();
        keys.into_iter().cloned().collect()
    }

    fn compact(
        &mut self,
        snapshots: &[Bundle],
        gone: &[DocumentKey],
    ) -> Result<(), TwinStoreError> {
        let snapshots = readable(snapshots);
        let replaced = snapshots.iter().map(|snapshot| &snapshot.key).chain(gone);
        let replaced: BTreeSet<&DocumentKey> = replaced.collect();
        if self
            .frames
            .iter()
            .any(|frame| replaced.contains(&frame.key))
            || !snapshots.is_empty()
        {
            self.rewrite(&snapshots, &replaced)?;
        }
        self.kept_bytes = self.sizes().1;
        Ok(())
    }

    /// Write a new file of snapshots and of what is stored of all documents that are not `replaced`, and let it take the place of the
    /// old one once it is durable and was read back.
    fn rewrite(
        &mut self,
        snapshots: &[&Bundle],
        replaced: &BTreeSet<&DocumentKey>,
    ) -> Result<(), TwinStoreError> {
        let old = std::fs::read(&self.path).map_err(self.error("read"))?;
        let mut bytes = frame::HEAD.to_vec();
        let owned: Vec<Bundle> = snapshots.iter().map(|&snapshot| snapshot.clone()).collect();
        let mut frames = self.encode(&owned, 0, &mut bytes)?;
        for kept in self
            .frames
            .iter()
            .filter(|frame| !replaced.contains(&frame.key))
        {
            let place = kept.place.start as usize..kept.place.end as usize;
            let content = old
                .get(place)
                .ok_or_else(|| self.error("read")("it is shorter than what was stored in it"))?;
            let start = bytes.len() as u64;
            bytes.extend_from_slice(content);
            frames.push(Frame {
                key: kept.key.clone(),
                kind: kept.kind,
                place: start..bytes.len() as u64,
            });
        }
        let aside = durable::aside(&self.path);
        self.disk
            .write(&aside, &bytes)
            .and_then(|()| self.disk.sync_file(&aside))
            .map_err(self.error("write aside"))?;
        check(&aside, &bytes, &frames, snapshots.len()).map_err(self.error("read back"))?;
        // From here on it is not known which of the two has the name, until the directory is synced.
        self.tail = Tail::InDoubt;
        self.disk
            .rename(&aside, &self.path)
            .map_err(self.error("rename"))?;
        (self.frames, self.end) = (frames, bytes.len() as u64);
        durable::sync_name(&*self.disk, &self.path).map_err(self.error("sync the name of"))?;
        self.tail = Tail::Clean;
        Ok(())
    }
}

/// Whether a file can be read again as it was meant, and the snapshots that it begins with as documents.
fn check(path: &Path, bytes: &[u8], frames: &[Frame], snapshots: usize) -> Result<(), String> {
    let read: Bytes = std::fs::read(path).map_err(|e| e.to_string())?.into();
    if read != bytes {
        return Err("it is not what was written".into());
    }
    let scan = frame::scan(&read).ok_or("it has another version")?;
    let is_whole = scan.damaged.is_empty() && scan.end == bytes.len() as u64;
    if !is_whole || scan.frames.len() != frames.len() {
        return Err("frames are missing".into());
    }
    for (bundle, _) in scan.frames.iter().take(snapshots) {
        super::check(&bundle.key, &bundle.bytes)
            .map_err(|reason| format!("{}: {reason}", bundle.key))?;
    }
    Ok(())
}
