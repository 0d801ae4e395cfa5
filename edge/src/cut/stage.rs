use std::{sync::Arc, time::Duration};

use tarn_broker::Checkpoints;
use tarn_common::ids::Seq;
use tokio::{
    sync::{Notify, mpsc, oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{CutError, Cutter, with_sources};
use crate::{
    decode::time::PLAUSIBLE_FROM_MS,
    journal::{Journal, Segment},
    shelf::Shelf,
    tail::Tail,
};

/// Pause after the first failure of a cut; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(500);
/// Longest pause between two tries of a cut.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A segment that could not be read so often is put aside, and its records are told as lost.
const UNREADABLE_AFTER: u32 = 5;

/// A segment that is cut waits so long for rules that do not read on; then it goes unread.
const UNREAD_MAX: Duration = Duration::from_secs(60);

/// Seals segments by age and on demand, and cuts each sealed one, oldest first.
#[derive(Debug)]
pub struct CutStage {
    /// Does the cut.
    pub cutter: Arc<Cutter>,
    /// Where segments come from.
    pub journal: Arc<Journal>,
    /// Where entries go.
    pub shelf: Arc<Shelf>,
    /// What decodes the same segments for queries.
    pub tail: Arc<Tail>,
    /// What the broker's sessions need of a segment is stored before the segment goes; none where
    /// no broker reads the journal.
    pub checkpoints: Option<Checkpoints>,
    /// The oldest a reading gets before it is cut.
    pub age: Duration,
    /// Tells of each new entry's number.
    pub entries: watch::Sender<u64>,
    /// Someone wants a cut now, and to hear when it is done.
    pub demands: mpsc::Receiver<oneshot::Sender<()>>,
    /// How far rules have read and kept what came of it. No segment goes before, for at most [`UNREAD_MAX`].
    pub read_upto: watch::Receiver<Seq>,
    /// Since when segments wait to be read, with no step forward.
    pub unread_since: Option<Instant>,
}

impl CutStage {
    /// Cut until stopped; at the stop everything durable is sealed and cut once more.
    pub async fn run(mut self, stop: CancellationToken) {
        let sealed: Arc<Notify> = self.journal.sealed();
        let mut age = interval(self.age);
        age.set_missed_tick_behavior(MissedTickBehavior::Delay);
        age.reset();
        let mut failures = 0;
        loop {
            let mut waiting = None;
            if failures == 0 {
                tokio::select! {
                    _ = age.tick() => if self.clock_is_set() { self.journal.roll().await },
                    () = sealed.notified() => {}
                    Ok(()) = self.read_upto.changed() => {}
                    Some(done) = self.demands.recv() => {
                        if self.clock_is_set() {
                            self.journal.roll().await;
                        }
                        waiting = Some(done);
                    }
                    () = stop.cancelled() => break,
                }
            } else {
                let pause = PAUSE_MIN * 2u32.saturating_pow(failures - 1);
                tokio::select! {
                    () = sleep(pause.min(PAUSE_MAX)) => {}
                    () = stop.cancelled() => break,
                }
            }
            failures = self.cut_all(failures).await;
            if let Some(done) = waiting {
                // Who asked may be gone by now.
                let _ = done.send(());
            }
        }
        self.journal.roll().await;
        self.cut_all(0).await;
    }

    /// Before the clock is set nothing is cut: its readings would lie in a wrong day for ever, and in the journal
    /// they are stamped anew once the time is known.
    fn clock_is_set(&self) -> bool {
        self.cutter.clock.now_ms() >= PLAUSIBLE_FROM_MS
    }

    /// Cut every sealed segment, and let go of those that are read, too. Says how often the oldest one has failed; 0 when none
    /// is left.
    pub(super) async fn cut_all(&mut self, mut failures: u32) -> u32 {
        self.retire_read();
        if !self.clock_is_set() {
            return failures;
        }
        while let Some(segment) = self.next_uncut() {
            if let Some(checkpoints) = &self.checkpoints
                && let Err(e) = checkpoints.make().await
            {
                if failures == 0 {
                    tracing::error!(error = ?e, "the broker's sessions are not stored, so no journal segment can go; it is tried again");
                }
                return failures + 1;
            }
            match self.cut(&segment, failures >= UNREADABLE_AFTER).await {
                Ok(()) => failures = 0,
                Err(reason) => {
                    self.cutter.metrics.errors.inc();
                    if failures == 0 {
                        tracing::error!(segment = %segment.path.display(), error = %reason, "a cut failed; it is tried again");
                    }
                    return failures + 1;
                }
            }
            self.retire_read();
        }
        0
    }

    fn next_uncut(&self) -> Option<Segment> {
        let (_, cut_upto) = self.shelf.view();
        let mut sealed = self.journal.segments().sealed.into_iter();
        sealed.find(|segment| segment.last > cut_upto && !segment.is_empty())
    }

    /// Let go of the segments that are cut, empty ones with them, as far as rules have read them.
    fn retire_read(&mut self) {
        let (_, cut_upto) = self.shelf.view();
        let read_upto = *self.read_upto.borrow_and_update();
        let mut since = self.unread_since.take();
        let is_late = since.is_some_and(|since| since.elapsed() >= UNREAD_MAX);
        for segment in self.journal.segments().sealed {
            if !segment.is_empty() {
                if segment.last > cut_upto {
                    break;
                }
                if segment.last > read_upto && !is_late {
                    self.unread_since = since.or_else(|| Some(Instant::now()));
                    break;
                }
                if segment.last > read_upto {
                    self.cutter.metrics.unread.inc();
                    tracing::error!(segment = %segment.path.display(), %read_upto, "rules do not read on: what is in this journal segment is stored, but fires no rule");
                }
            }
            self.retire(&segment, false);
            since = None;
        }
    }

    pub(super) async fn cut(&self, segment: &Segment, give_up: bool) -> Result<(), String> {
        let writer = self.cutter.identity.edge_at(segment.first);
        let (cutter, taken, journal) = (self.cutter.clone(), segment.clone(), self.journal.clone());
        let shelf = self.shelf.clone();
        let work = move || {
            // What is known by now is better than what was known at the segment's end. Where a later segment
            // cannot be read, this one need not wait for it.
            let _ = cutter.devices.catch_up(&journal.segments());
            let _writing = shelf.writing();
            let number = shelf.next_number(writer);
            let cut = match cutter.cut(&taken, number) {
                Err(e) if give_up && e.is_unreadable() => cutter.cut_as_lost(&taken, number),
                other => other,
            }?;
            shelf.take(&cut.entry);
            Ok(cut)
        };
        let cut = match tokio::task::spawn_blocking(work).await {
            Ok(cut) => cut.map_err(|e: CutError| with_sources(&e))?,
            Err(panic) => return Err(panic.to_string()),
        };
        self.tail.forget(cut.entry.last);
        if !cut.damage.is_empty() {
            self.retire(segment, true);
        }
        self.entries.send_replace(cut.entry.number);
        Ok(())
    }

    fn retire(&self, segment: &Segment, keep_aside: bool) {
        if let Err(e) = self.journal.retire(segment, keep_aside) {
            tracing::warn!(segment = %segment.path.display(), error = %e, "removing a journal segment that was cut");
        }
        self.cutter.devices.forget_steps(segment.last);
    }
}
