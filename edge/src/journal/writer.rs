//! The one thread that writes the journal.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use prometheus_client::metrics::histogram::Histogram;

use tarn_broker::log::Refused;
use tarn_common::{
    durable::{self, RealDisk},
    ids::{EdgeId, Seq},
};
use tokio::sync::oneshot;

use super::{
    JournalError, JournalStart, Pending, Segment, Segments, Shared,
    frame::{self, Kind, Record, SEGMENT_HEAD},
    redelivery::Redelivery,
    segment::{self, RECORDS_AT, Scan},
};

/// Space taken from the file system at a time, so that a commit need not wait for its allocation.
const ALLOCATE_BYTES: u64 = 4 * 1024 * 1024;

/// Pause before a failing disk is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What is appended without a commit (confirmations) becomes durable within this time.
const QUIET_COMMIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Writer {
    dir: PathBuf,
    edge: EdgeId,
    file: File,
    active: Segment,
    allocated: u64,
    /// Publishes in the active segment: one without any is not worth a cut.
    publishes: u64,
}

/// One group commit.
struct Batch {
    frames: Vec<u8>,
    records: u64,
    publishes: u64,
    first: Seq,
    last: Seq,
    /// Snapshot records for the head of the next segment, when the active one is to be sealed.
    next_head: Option<(Seq, Vec<u8>, Seq)>,
    rolls: Vec<oneshot::Sender<()>>,
}

impl Writer {
    /// Open the newest segment for more, its torn tail cut off; a first one where there is none.
    pub(super) fn open(
        dir: &Path,
        start: JournalStart,
        redelivery: &mut Redelivery,
    ) -> Result<(Writer, Segments), JournalError> {
        let edge = start.edge;
        let files = segment::list(dir).map_err(JournalError::at("list", dir))?;
        let mut sealed = VecDeque::new();
        for pair in files.windows(2) {
            let [(first, path), (next, _)] = pair else {
                continue;
            };
            let meta = fs::metadata(path).map_err(JournalError::at("stat", path))?;
            sealed.push_back(Segment {
                path: path.clone(),
                first: *first,
                last: Seq(next.0 - 1),
                bytes: meta.len(),
            });
        }
        let newest = files.into_iter().next_back();
        let started = JournalError::at("start", dir);
        let (active, publishes) = match newest {
            Some((first, path)) => {
                let (found, publishes) = recover(&path, first, redelivery)
                    .map_err(JournalError::at("recover", &path))?;
                let is_others = found.first <= start.closed_upto;
                if is_others || (start.begin_anew && publishes > 0) {
                    let next = found.last.max(start.closed_upto).next();
                    let (frames, last) = snapshot(redelivery, next);
                    let mut fresh = create(dir, edge, next, &frames).map_err(started)?;
                    fresh.last = last;
                    sealed.push_back(found);
                    (fresh, 0)
                } else {
                    (found, publishes)
                }
            }
            None => {
                let first = start.closed_upto.next();
                (create(dir, edge, first, &[]).map_err(started)?, 0)
            }
        };
        let file = OpenOptions::new().read(true).write(true).open(&active.path);
        let file = file.map_err(JournalError::at("open", &active.path))?;
        let segments = Segments {
            sealed,
            active: active.clone(),
        };
        let allocated = active.bytes;
        Ok((
            Writer {
                dir: dir.to_owned(),
                edge,
                file,
                active,
                allocated,
                publishes,
            },
            segments,
        ))
    }

    pub(super) fn run(mut self, shared: &Shared) {
        while let Some(batch) = self.next_batch(shared) {
            self.store(shared, &batch);
            if let Some((first, frames, last)) = &batch.next_head {
                self.roll(shared, *first, frames, *last);
            }
            for done in batch.rolls {
                // Who asked may be gone by now.
                let _ = done.send(());
            }
        }
    }

    /// Wait for something to write; none when stopped and nothing is left.
    fn next_batch(&self, shared: &Shared) -> Option<Batch> {
        let mut pending = shared.pending.lock();
        let mut waited = false;
        while !(pending.commit || !pending.rolls.is_empty() || pending.stop) {
            if waited && !pending.frames.is_empty() {
                break;
            }
            waited = shared.wake.wait_for(&mut pending, QUIET_COMMIT).timed_out();
        }
        if pending.stop && pending.frames.is_empty() {
            pending.rolls.clear();
            return None;
        }
        let linger = shared.settings.linger;
        if !linger.is_zero() && !pending.stop && pending.rolls.is_empty() {
            drop(pending);
            std::thread::sleep(linger);
            pending = shared.pending.lock();
        }
        Some(self.take(&mut pending, shared))
    }

    fn take(&self, pending: &mut Pending, shared: &Shared) -> Batch {
        let frames = std::mem::take(&mut pending.frames);
        pending.frames.reserve(frames.len());
        let records = std::mem::take(&mut pending.records);
        let publishes = std::mem::take(&mut pending.publishes);
        let rolls = std::mem::take(&mut pending.rolls);
        pending.commit = false;
        let last = Seq(pending.next.0 - 1);
        let first = Seq(pending.next.0 - records);
        let full = self.active.bytes + frames.len() as u64 >= shared.settings.segment_bytes;
        let worth = full || self.publishes + publishes > 0;
        let next_head = ((full || !rolls.is_empty()) && worth).then(|| {
            let next = pending.next;
            let (frames, last) = snapshot(&pending.redelivery, next);
            pending.next = last.next();
            (next, frames, last)
        });
        Batch {
            frames,
            records,
            publishes,
            first,
            last,
            next_head,
            rolls,
        }
    }

    /// Make a batch durable, however long the disk takes to do it, and say so.
    fn store(&mut self, shared: &Shared, batch: &Batch) {
        if batch.frames.is_empty() {
            return;
        }
        let mut failed = false;
        loop {
            match self.append(&batch.frames, &shared.metrics.sync_seconds) {
                Ok(()) => break,
                Err(e) => {
                    failed = true;
                    shared.metrics.write_errors.inc();
                    let full = e.kind() == io::ErrorKind::StorageFull
                        || e.kind() == io::ErrorKind::QuotaExceeded;
                    let refused = if full {
                        Refused::Full
                    } else {
                        Refused::Unavailable
                    };
                    let stop = {
                        let mut pending = shared.pending.lock();
                        if pending.disk != Some(refused) {
                            tracing::error!(segment = %self.active.path.display(), error = %e, "journal cannot be written; publishes are refused until it can");
                        }
                        pending.disk = Some(refused);
                        pending.stop
                    };
                    if stop {
                        // Nothing of this batch was acknowledged, so its senders still have it.
                        return;
                    }
                    std::thread::sleep(RETRY_PAUSE);
                    if !full {
                        self.abandon(shared, batch.first);
                    }
                }
            }
        }
        if failed {
            shared.pending.lock().disk = None;
            tracing::info!("journal can be written again");
        }
        self.active.last = batch.last;
        self.active.bytes += batch.frames.len() as u64;
        self.publishes += batch.publishes;
        shared.segments.lock().active = self.active.clone();
        shared.metrics.commits.inc();
        shared.metrics.records.inc_by(batch.records);
        shared.metrics.bytes.inc_by(batch.frames.len() as u64);
        shared.durable.send_replace(batch.last);
    }

    fn append(&mut self, frames: &[u8], sync_seconds: &Histogram) -> io::Result<()> {
        let end = self.active.bytes + frames.len() as u64;
        if end > self.allocated {
            self.allocate(end)?;
        }
        self.file.write_all_at(frames, self.active.bytes)?;
        let began = Instant::now();
        self.file.sync_data()?;
        sync_seconds.observe(began.elapsed().as_secs_f64());
        Ok(())
    }

    fn allocate(&mut self, end: u64) -> io::Result<()> {
        let upto = end.next_multiple_of(ALLOCATE_BYTES);
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&self.file, flags, self.allocated, upto - self.allocated) {
            Ok(()) => self.allocated = upto,
            // Not every file system can; then the file grows as it is written.
            Err(e) if e == rustix::io::Errno::OPNOTSUPP || e == rustix::io::Errno::NOSYS => {
                self.allocated = u64::MAX;
            }
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    /// After a failed sync nothing is known of the pages that were written: go on in a new file,
    /// whose first sequence says that the old one's records end before.
    fn abandon(&mut self, shared: &Shared, first: Seq) {
        let attempt = || -> io::Result<(Segment, File)> {
            let fresh = create(&self.dir, self.edge, first, &[])?;
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .open(&fresh.path)?;
            Ok((fresh, file))
        };
        if let Ok((fresh, file)) = attempt() {
            let left = std::mem::replace(&mut self.active, fresh);
            self.file = file;
            self.allocated = self.active.bytes;
            self.publishes = 0;
            let mut segments = shared.segments.lock();
            if left.last >= left.first {
                segments.sealed.push_back(left);
            }
            segments.active = self.active.clone();
        }
    }

    /// Seal the active segment and start the next one.
    fn roll(&mut self, shared: &Shared, first: Seq, head: &[u8], last: Seq) {
        let seal = |file: &File| -> io::Result<()> {
            file.set_len(self.active.bytes)?;
            file.sync_all()
        };
        if let Err(e) = seal(&self.file) {
            tracing::warn!(error = %e, "sealing a journal segment");
        }
        let fresh = loop {
            match self.fresh(first, head, last) {
                Ok(fresh) => break fresh,
                Err(e) => {
                    shared.metrics.write_errors.inc();
                    tracing::error!(error = %e, "starting a journal segment");
                    if shared.pending.lock().stop {
                        return;
                    }
                    std::thread::sleep(RETRY_PAUSE);
                }
            }
        };
        let sealed = std::mem::replace(&mut self.active, fresh.0);
        self.file = fresh.1;
        self.allocated = self.active.bytes;
        self.publishes = 0;
        let mut segments = shared.segments.lock();
        segments.sealed.push_back(sealed);
        segments.active = self.active.clone();
        drop(segments);
        shared.sealed.notify_one();
        shared.durable.send_replace(last);
    }

    fn fresh(&self, first: Seq, head: &[u8], last: Seq) -> io::Result<(Segment, File)> {
        let mut fresh = create(&self.dir, self.edge, first, head)?;
        fresh.last = last;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&fresh.path)?;
        Ok((fresh, file))
    }
}

/// The redelivery table as records for the head of the segment that begins with `first`, and the last
/// of them: exactly as of the records before, none of which is lost if the segment exists.
fn snapshot(redelivery: &Redelivery, first: Seq) -> (Vec<u8>, Seq) {
    let mut frames = Vec::new();
    let mut next = first;
    for (client, payload) in redelivery.snapshot() {
        let record = Record {
            payload: &payload,
            ..Record::control(Kind::Snapshot, next, client)
        };
        if frame::encode(&record, &mut frames) {
            next = next.next();
        }
    }
    (frames, Seq(next.0 - 1))
}

/// Put a new segment in place, whole and durable, with `frames` as its first records.
fn create(dir: &Path, edge: EdgeId, first: Seq, frames: &[u8]) -> io::Result<Segment> {
    let path = segment::path(dir, first);
    let mut bytes = frame::segment_head(edge, first).to_vec();
    bytes.extend_from_slice(frames);
    durable::put(&RealDisk, &path, &bytes)?;
    Ok(Segment {
        path,
        first,
        last: Seq(first.0 - 1),
        bytes: bytes.len() as u64,
    })
}

/// Find the end of the newest segment's whole records and cut off what is behind it.
fn recover(path: &Path, first: Seq, redelivery: &mut Redelivery) -> io::Result<(Segment, u64)> {
    let bytes = fs::read(path)?;
    if !frame::is_segment(&bytes, first) {
        tracing::error!(segment = %path.display(), "journal segment has a damaged or foreign head; its records are searched for");
    }
    let mut scan = Scan::new(&bytes, SEGMENT_HEAD.min(bytes.len()), Seq(first.0 - 1));
    let mut publishes = 0;
    for record in scan.by_ref() {
        publishes += u64::from(record.kind.makes_rows());
        redelivery.apply(&record);
    }
    let (end, last, damage) = scan.end();
    for hole in damage {
        tracing::error!(segment = %path.display(), ?hole, "journal segment is damaged");
    }
    let end = (end as u64).max(RECORDS_AT);
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(end)?;
    file.sync_all()?;
    Ok((
        Segment {
            path: path.to_owned(),
            first,
            last,
            bytes: end,
        },
        publishes,
    ))
}
