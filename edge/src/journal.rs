/// When the box's clock is set under a running journal.
mod clock_watch;
/// Reading a journal that grows, each record once.
pub mod follow;
/// Byte layout of a record and of a segment's head.
pub mod frame;
/// What has been stored but may be sent again, so that it is not stored twice.
pub mod redelivery;
/// Reading a segment back, whole or damaged.
pub mod segment;
mod writer;

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use bytesize::ByteSize;
use parking_lot::{Condvar, Mutex};
use tarn_broker::log::{Appended, Entry, EntryKind, Publish, PublishLog, Refused};
use tarn_common::{
    clock::Clock,
    durable,
    event::{AuditEntry, LoggedEvent},
    ids::{EdgeId, Seq},
};
use tokio::sync::{Notify, oneshot, watch};

use self::{
    clock_watch::ClockWatch,
    frame::{Kind, Record},
    redelivery::Redelivery,
    segment::{RECORDS_AT, Scan},
    writer::Writer,
};
use crate::metrics::JournalMetrics;

/// How the journal is kept.
#[derive(Debug, Clone)]
pub struct JournalSettings {
    /// A segment is sealed, and so becomes ready for a cut, when it has grown to this.
    pub segment_bytes: u64,
    /// How long a commit waits for more records, to spare flash; zero acknowledges soonest.
    pub linger: Duration,
    /// Bytes that may wait in memory for the disk; past it publishes are refused.
    pub pending_bytes_max: usize,
}

impl Default for JournalSettings {
    fn default() -> Self {
        JournalSettings {
            segment_bytes: ByteSize::mib(32).as_u64(),
            linger: Duration::ZERO,
            pending_bytes_max: ByteSize::mib(64).as_u64() as usize,
        }
    }
}

/// How a journal goes on from what is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalStart {
    /// The id that new segments are marked with.
    pub edge: EdgeId,
    /// New records come after this one and share no segment with it: all up to there is cut, or is
    /// stored under another id.
    pub closed_upto: Seq,
    /// Begin a segment of its own, where the newest one has publishes.
    pub begin_anew: bool,
}

impl JournalStart {
    /// Go on where the newest segment ends, and after what is cut.
    #[must_use]
    pub fn after(edge: EdgeId, cut_upto: Seq) -> JournalStart {
        JournalStart {
            edge,
            closed_upto: cut_upto,
            begin_anew: false,
        }
    }
}

/// A run of consecutive records in one file. A sealed one never changes again; one cut takes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where it lies.
    pub path: PathBuf,
    /// Its first record.
    pub first: Seq,
    /// Its last record; before `first` when it has none.
    pub last: Seq,
    /// Bytes of whole, durable records, the head included.
    pub bytes: u64,
}

impl Segment {
    /// Whether it has no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.last < self.first
    }
}

/// The segments of a journal at one moment.
#[derive(Debug, Clone)]
pub struct Segments {
    /// Sealed ones, oldest first.
    pub sealed: VecDeque<Segment>,
    /// The one that is written to, up to what is durable.
    pub active: Segment,
}

impl Segments {
    /// This segment alone.
    #[must_use]
    pub fn only(segment: &Segment) -> Segments {
        Segments {
            sealed: VecDeque::new(),
            active: segment.clone(),
        }
    }
}

/// The segments as they lie on disk, oldest first, each up to its last whole record; nothing is changed.
pub fn on_disk(dir: &Path) -> io::Result<Vec<Segment>> {
    let files = match segment::list(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut segments = Vec::new();
    for (index, (first, path)) in files.iter().enumerate() {
        let bytes = fs::metadata(path)?.len();
        let last = match files.get(index + 1) {
            Some((next, _)) => Seq(next.0 - 1),
            None => {
                let bytes = fs::read(path)?;
                let before = Seq(first.0 - 1);
                let mut scan = Scan::new(&bytes, frame::SEGMENT_HEAD.min(bytes.len()), before);
                scan.by_ref().for_each(drop);
                scan.end().1
            }
        };
        segments.push(Segment {
            path: path.clone(),
            first: *first,
            last,
            bytes,
        });
    }
    Ok(segments)
}

/// The journal could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{action} {path}")]
pub struct JournalError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl JournalError {
    fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
        let path = path.to_owned();
        move |source| JournalError {
            action,
            path,
            source,
        }
    }
}

/// The journal: records appended from many sessions, made durable together by one thread.
///
/// Who syncs what: the writer thread syncs a segment's data before it tells `durable`; a new
/// segment's head and name are synced before its first record is. A crash leaves whole records up
/// to some point at or after the last one told, and perhaps a torn tail, which opening cuts off.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    settings: JournalSettings,
    clock: Arc<dyn Clock>,
    metrics: JournalMetrics,
    pending: Mutex<Pending>,
    wake: Condvar,
    segments: Mutex<Segments>,
    durable: watch::Sender<Seq>,
    sealed: Arc<Notify>,
}

/// What waits for the writer thread.
#[derive(Debug)]
struct Pending {
    frames: Vec<u8>,
    records: u64,
    publishes: u64,
    next: Seq,
    commit: bool,
    rolls: Vec<oneshot::Sender<()>>,
    /// The budget keeper's verdict.
    full: bool,
    /// The writer's verdict on the disk.
    disk: Option<Refused>,
    stop: bool,
    redelivery: Redelivery,
    clock: ClockWatch,
}

impl Journal {
    /// Open the journal in `dir`, made if absent: cut a torn tail off, remember what may be
    /// redelivered, start the writer thread. Records continue after the last whole one.
    pub fn open(
        dir: &Path,
        start: JournalStart,
        settings: JournalSettings,
        clock: Arc<dyn Clock>,
        metrics: JournalMetrics,
    ) -> Result<Journal, JournalError> {
        durable::create_dirs(&durable::RealDisk, dir).map_err(JournalError::at("make", dir))?;
        let mut redelivery = Redelivery::default();
        let (writer, segments) = Writer::open(dir, start, &mut redelivery)?;
        let last = segments.active.last;
        let shared = Arc::new(Shared {
            settings,
            clock: clock.clone(),
            metrics,
            pending: Mutex::new(Pending {
                frames: Vec::new(),
                records: 0,
                publishes: 0,
                next: last.next(),
                commit: false,
                rolls: Vec::new(),
                full: false,
                disk: None,
                stop: false,
                redelivery,
                clock: ClockWatch::new(&*clock, last.next()),
            }),
            wake: Condvar::new(),
            segments: Mutex::new(segments),
            durable: watch::Sender::new(last),
            sealed: Arc::default(),
        });
        let thread = std::thread::Builder::new().name("journal".into()).spawn({
            let shared = shared.clone();
            move || writer.run(&shared)
        });
        let thread = thread.map_err(JournalError::at("start the writer of", dir))?;
        Ok(Journal {
            shared,
            writer: Mutex::new(Some(thread)),
        })
    }

    /// The segments now, the active one up to what is durable.
    #[must_use]
    pub fn segments(&self) -> Segments {
        self.shared.segments.lock().clone()
    }

    /// Notified when a segment was sealed.
    #[must_use]
    pub fn sealed(&self) -> Arc<Notify> {
        self.shared.sealed.clone()
    }

    /// Seal the active segment if it has records, so that a cut can take it.
    pub async fn roll(&self) {
        let (done, sealed) = oneshot::channel();
        self.shared.pending.lock().rolls.push(done);
        self.shared.wake.notify_one();
        // A writer that stops drops the sender; then all that can be sealed is.
        let _ = sealed.await;
    }

    /// Forget the oldest sealed segment after its cut is durable: remove its file, or keep a
    /// damaged one aside for a human to look at.
    pub fn retire(&self, segment: &Segment, keep_aside: bool) -> io::Result<()> {
        if keep_aside {
            let aside = segment.path.with_extension("damaged");
            fs::rename(&segment.path, &aside)?;
        } else {
            fs::remove_file(&segment.path)?;
        }
        let mut segments = self.shared.segments.lock();
        segments.sealed.retain(|sealed| sealed.path != segment.path);
        Ok(())
    }

    /// Refuse publishes (or take them again) because the disk budget is full of unshipped data.
    pub fn set_full(&self, full: bool) {
        self.shared.pending.lock().full = full;
    }

    /// Note who asked for what. It is on disk once the sequence is durable.
    ///
    /// # Errors
    /// The disk takes nothing now.
    pub fn audit(&self, entry: &AuditEntry) -> Result<Seq, Refused> {
        self.note(Kind::Audit, &entry.to_json())
    }

    /// Note what happened that is no reading. It is on disk once the sequence is durable; none where the disk takes nothing now,
    /// and then it is told here.
    pub fn tell(&self, event: &LoggedEvent) -> Option<Seq> {
        let event = event.to_json();
        let noted = self.note(Kind::Event, &event);
        if noted.is_err() {
            tracing::error!(event, "what happened cannot be written; it is only here");
        }
        noted.ok()
    }

    fn note(&self, kind: Kind, payload: &str) -> Result<Seq, Refused> {
        let mut pending = self.shared.pending.lock();
        let record = Record {
            payload: payload.as_bytes(),
            ..self.shared.control(kind, pending.next, "")
        };
        pending.push(&record, &self.shared.settings)
    }

    /// Wait until a record is on disk, at most so long. False where it is not.
    pub async fn wait_durable(&self, seq: Seq, within: Duration) -> bool {
        self.commit();
        let mut durable = self.durable();
        let waited = tokio::time::timeout(within, durable.wait_for(|upto| *upto >= seq)).await;
        matches!(waited, Ok(Ok(_)))
    }

    /// Bytes of records that no cut has taken yet.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let segments = self.shared.segments.lock();
        segments.sealed.iter().map(|s| s.bytes).sum::<u64>() + segments.active.bytes
    }

    /// Make everything appended durable, seal the active segment, stop the writer thread. Blocks.
    pub fn close(&self) {
        self.shared.pending.lock().stop = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.writer.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.close();
    }
}

impl PublishLog for Journal {
    fn append(&self, publish: Publish<'_>) -> Result<Appended, Refused> {
        let shared = &self.shared;
        let received_ms = shared.clock.now_ms();
        let mut pending = shared.pending.lock();
        if publish.qos > 0
            && let Some(seq) = pending.redelivery.find(&publish)
        {
            shared.metrics.duplicates.inc();
            return Ok(Appended::Duplicate(seq));
        }
        if let Some(step) = pending.clock.look(received_ms, &*shared.clock) {
            tracing::warn!(
                step_ms = step.delta_ms,
                "the clock was set; what came before is stamped anew"
            );
            let payload = step.payload();
            let record = Record {
                payload: &payload,
                ..shared.control(Kind::Clock, pending.next, "")
            };
            // Refused means that the publish is refused, too, and that the step is told with the next one.
            pending.push(&record, &shared.settings)?;
            pending.clock.told(&step);
        }
        let record = Record {
            kind: Kind::Publish,
            qos: publish.qos,
            retain: publish.retain,
            dup: publish.dup,
            packet_id: publish.packet_id,
            seq: pending.next,
            received_ms,
            client: publish.client,
            topic: publish.topic,
            properties: publish.properties,
            payload: publish.payload,
        };
        let seq = pending.push(&record, &shared.settings)?;
        if publish.packet_id > 0 {
            pending.redelivery.apply(&record);
        }
        Ok(Appended::Stored(seq))
    }

    fn release(&self, client: &str, packet_id: u16) -> Result<Seq, Refused> {
        let mut pending = self.shared.pending.lock();
        if !pending.redelivery.knows(client, packet_id) {
            return Ok(Seq(pending.next.0 - 1));
        }
        let record = Record {
            packet_id,
            ..self.shared.control(Kind::Release, pending.next, client)
        };
        let seq = pending.push(&record, &self.shared.settings)?;
        pending.redelivery.apply(&record);
        Ok(seq)
    }

    fn confirm(&self, client: &str, upto: Seq) {
        let mut pending = self.shared.pending.lock();
        if !pending.redelivery.awaits_confirmation(client, upto) {
            return;
        }
        let payload = upto.0.to_le_bytes();
        let record = Record {
            payload: &payload,
            ..self.shared.control(Kind::Confirm, pending.next, client)
        };
        // Refused means only that a redelivery stays possible to tell for longer.
        if pending.push(&record, &self.shared.settings).is_ok() {
            pending.redelivery.apply(&record);
        }
    }

    fn note(&self, client: &str, note: &[u8]) -> Result<Seq, Refused> {
        let mut pending = self.shared.pending.lock();
        let record = Record {
            payload: note,
            ..self.shared.control(Kind::Note, pending.next, client)
        };
        pending.push(&record, &self.shared.settings)
    }

    fn last(&self) -> Seq {
        Seq(self.shared.pending.lock().next.0 - 1)
    }

    fn replay(&self, after: Seq, each: &mut dyn FnMut(Entry<'_>)) -> io::Result<()> {
        let segments = self.segments();
        for segment in segments.sealed.iter().chain([&segments.active]) {
            if segment.last <= after {
                continue;
            }
            let bytes = match segment::read(segment, RECORDS_AT) {
                Ok(bytes) => bytes,
                Err(e) => {
                    // The cut tells it as lost; sessions lose what was in it, too.
                    tracing::error!(segment = %segment.path.display(), error = %e, "journal segment cannot be read for sessions");
                    continue;
                }
            };
            Scan::new(&bytes, 0, Seq(segment.first.0 - 1))
                .filter(|record| record.seq > after && record.seq <= segment.last)
                .filter_map(|record| entry(&record))
                .for_each(&mut *each);
        }
        Ok(())
    }

    fn commit(&self) {
        let mut pending = self.shared.pending.lock();
        if !pending.commit && !pending.frames.is_empty() {
            pending.commit = true;
            self.shared.wake.notify_one();
        }
    }

    fn durable(&self) -> watch::Receiver<Seq> {
        self.shared.durable.subscribe()
    }
}

/// What the broker sees of a record.
fn entry<'a>(record: &Record<'a>) -> Option<Entry<'a>> {
    let kind = match record.kind {
        Kind::Publish => EntryKind::Publish(Publish {
            client: record.client,
            topic: record.topic,
            payload: record.payload,
            qos: record.qos,
            packet_id: record.packet_id,
            dup: record.dup,
            retain: record.retain,
            properties: record.properties,
        }),
        Kind::Note => EntryKind::Note {
            client: record.client,
            note: record.payload,
        },
        Kind::Release
        | Kind::Confirm
        | Kind::Snapshot
        | Kind::Clock
        | Kind::Audit
        | Kind::Event => return None,
    };
    Some(Entry {
        seq: record.seq,
        received_ms: record.received_ms,
        kind,
    })
}

impl Shared {
    fn control<'a>(&self, kind: Kind, seq: Seq, client: &'a str) -> Record<'a> {
        let received_ms = self.clock.now_ms();
        Record {
            received_ms,
            ..Record::control(kind, seq, client)
        }
    }
}

impl Pending {
    fn push(&mut self, record: &Record<'_>, settings: &JournalSettings) -> Result<Seq, Refused> {
        if self.stop {
            return Err(Refused::Unavailable);
        }
        // What sessions need to go on is small, and readings are refused before it.
        if self.full && record.kind == Kind::Publish {
            return Err(Refused::Full);
        }
        if let Some(refused) = self.disk {
            return Err(refused);
        }
        if self.frames.len() > settings.pending_bytes_max {
            return Err(Refused::Unavailable);
        }
        if !frame::encode(record, &mut self.frames) {
            return Err(Refused::TooLarge);
        }
        self.records += 1;
        self.publishes += u64::from(record.kind.makes_rows());
        let seq = self.next;
        self.next = seq.next();
        Ok(seq)
    }
}
