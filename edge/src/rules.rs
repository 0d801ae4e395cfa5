//! The rules of the home, run by its box.
//!
//! What becomes durable in the journal is told to the engine, and what fires is noted in the journal before it is carried
//! out, and once more when it was: after a restart what was noted is not done again, and what was begun is.

/// Carrying out what fires.
mod act;
/// Telling what becomes of alarms.
mod alarms;
/// What clients ask of the home by MQTT.
mod asked;
/// Going on after a stop.
mod begin;
/// What Home Assistant is shown of it.
mod entities;
/// One look at what is new.
mod look;
/// Figures for `/metrics`.
mod metrics;
/// What the journal has of what rules and alarms did.
mod noted;
/// The rules, the mode and the alarms of the home's document.
mod settings;
/// How far the rules are, over restarts.
mod state;
/// Waiting until what was stored is known here.
mod taken;
/// What windows that begin know of the time before.
mod windows;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use jiff::tz::TimeZone;
use tarn_broker::log::PublishLog;
use tarn_common::{
    clock::Clock,
    ids::{HomeId, Seq},
    query::Engine as QueryEngine,
    twin::home::HomeTwins,
};
use tarn_rules::{engine::Engine, firing::Firing, input::Input, stats::Stats};
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

pub use self::{
    act::{Act, Underway},
    alarms::Alarms,
    entities::Entities,
    metrics::RuleMetrics,
    taken::Taken,
};
use self::{look::Seen, settings::Settings, state::Kept};
use crate::{
    devices::Devices, journal::Journal, kept_file::KeptFile, shelf::Shelf, stream::Stream,
};

/// Between two looks at a journal that grows there is a pause so many times as long as the look took, so that a busy one is read in
/// pieces…
const PAUSE_TIMES: u32 = 4;
/// …but not a longer one.
const PAUSE_MAX: Duration = Duration::from_millis(5);
/// Pause after the journal could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How often it is kept how far the rules are, beside each cut. What was noted since is found in the journal.
const KEEP_EVERY: Duration = Duration::from_secs(300);
/// The longest sleep, so that a clock that was set is seen.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How long rules wait for the latest readings when the first of them is set.
const LATEST_WITHIN: Duration = Duration::from_secs(30);

/// Runs the rules.
pub struct RuleStage {
    /// The home.
    pub home: HomeId,
    /// Where readings come from, and where firings are noted.
    pub journal: Arc<Journal>,
    /// What is known of devices.
    pub devices: Arc<Devices>,
    /// What is cut already.
    pub shelf: Arc<Shelf>,
    /// Answers what the latest readings are.
    pub query: Arc<QueryEngine>,
    /// Where rules, mode and alarms are.
    pub twins: Arc<HomeTwins>,
    /// Carries out what fires.
    pub act: Arc<Act>,
    /// Tells alarms.
    pub alarms: Alarms,
    /// Shows Home Assistant what there is, where it is to be shown anything.
    pub entities: Option<Entities>,
    /// When it is.
    pub clock: Arc<dyn Clock>,
    /// The home's time zone, where nobody says another.
    pub zone: TimeZone,
    /// The file that has how far the rules are.
    pub file: PathBuf,
    /// Alarm that this box is silent, which it is not.
    pub silent: String,
    /// Changes with each cut.
    pub cuts: watch::Receiver<u64>,
    /// Told how far the journal is read and what came of it kept: what is cut may go up to there.
    pub read_upto: watch::Sender<Seq>,
    /// Who waits until what was stored is known here.
    pub taken: Arc<Taken>,
    /// Figures.
    pub metrics: RuleMetrics,
}

/// What runs.
struct Running {
    engine: Engine,
    /// Whether the journal is read: it is not while there is nothing to look for.
    is_awake: bool,
    /// Records up to this one are only to be known: they came before there was anything to look for.
    known_upto: Seq,
    /// What clients asked by MQTT is answered up to this record.
    asked_upto: Seq,
    stream: Stream,
    /// Of the home's document, when the settings were read.
    version: Vec<String>,
    settings: Settings,
    file: KeptFile,
    /// When it was last kept how far it is.
    kept_at: Instant,
    /// Rules were set since: nothing that came before is theirs, after a power cut neither.
    has_new_rules: bool,
    /// The last note of a firing.
    noted_upto: Option<Seq>,
    /// What the engine had counted at the last look.
    counted: Stats,
}

impl Running {
    /// Keep how far it is: the engine was told the records up to this one, and what fired is done but for what is underway.
    /// Whether it is kept.
    async fn keep(&self, upto: Seq, underway: Vec<Firing>) -> bool {
        let mut state = self.engine.snapshot();
        state.upto = state.upto.max(Some(upto.0));
        let kept = Kept {
            state,
            latest: state::latest_in(&self.engine),
            alarms: self.settings.alarms.clone(),
            starts: self.settings.starts.clone(),
            asked_upto: self.asked_upto.0,
            underway,
        };
        self.file.put(&kept).await
    }
}

impl RuleStage {
    /// Run the rules until stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut entities = self.entities.take();
        let stage = Arc::new(self);
        while !stop.is_cancelled() {
            match stage.clone().begin().await {
                Some(Ok((mut running, seen, undone))) => {
                    stage.fill_windows(&mut running).await;
                    stage.go_on(&mut running, seen, undone).await;
                    stage.alarms.begin(&running.settings);
                    stage.tell_people(&running.settings).await;
                    if let Some(entities) = &mut entities {
                        entities.tell(&running.settings).await;
                    }
                    let stage = stage.clone();
                    stage.follow(running, &mut entities, &stop).await;
                }
                Some(Err(error)) => {
                    stage.metrics.read_errors.inc();
                    tracing::warn!(%error, "rules wait: the journal cannot be read");
                }
                None => {}
            }
            // Whatever ended, they begin again from what is kept.
            stop.run_until_cancelled(sleep(RETRY_PAUSE)).await;
        }
        // What is stored now is known at the next start before anything comes.
        stage.taken.reach(u64::MAX);
    }

    /// Look at what is new until stopped, or until a look fails in a way that leaves nothing to go on from.
    async fn follow(
        self: Arc<Self>,
        mut running: Running,
        entities: &mut Option<Entities>,
        stop: &CancellationToken,
    ) {
        let mut changes = self.twins.changes();
        let mut durable = self.journal.durable();
        let mut cuts = self.cuts.clone();
        let mut asked = self.taken.asked();
        loop {
            let waiting = *asked.borrow_and_update();
            // Before the settings are read: what comes after a rule was set counts for it.
            let upto = *durable.borrow_and_update();
            let settings = self.changed_settings(&mut running);
            let now = settings.as_ref().unwrap_or(&running.settings);
            if !running.is_awake && now.want_journal() {
                self.wake(&mut running).await;
            } else if !running.is_awake {
                running.known_upto = upto;
                running.asked_upto = upto;
            }
            let is_changed = settings.is_some();
            let mut seen = None;
            if let Some(settings) = settings {
                let taken = self.clone().on_thread(move |stage| {
                    let seen = stage.take_settings(&mut running, settings);
                    (running, seen)
                });
                let Some((next, taken)) = taken.await else {
                    return;
                };
                (running, seen) = (next, Some(taken));
                self.fill_windows(&mut running).await;
            }
            let began = Instant::now();
            let looked = self.clone().on_thread(move |stage| {
                let seen = stage.look(&mut running, seen);
                (running, seen)
            });
            let Some((next, seen)) = looked.await else {
                return;
            };
            running = next;
            let pause = (began.elapsed() * PAUSE_TIMES).min(PAUSE_MAX);
            let alarms_changed = seen.alarms_changed;
            self.carry_out(&mut running, seen).await;
            if alarms_changed {
                self.tell_people(&running.settings).await;
            }
            if let (Some(entities), true) = (&mut *entities, is_changed) {
                entities.tell(&running.settings).await;
            }
            self.keep(&mut running, stop.is_cancelled()).await;
            if !running.has_new_rules && self.taken.is_awaited(waiting) {
                self.wait_noted(&mut running).await;
                self.taken.reach(waiting);
            }
            if stop.is_cancelled() {
                return;
            }
            sleep(pause).await;
            tokio::select! {
                changed = durable.changed() => if changed.is_err() { return },
                changed = changes.recv() => match changed {
                    Err(RecvError::Closed) => return,
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                },
                Ok(()) = cuts.changed() => {}
                Ok(()) = asked.changed() => {}
                () = sleep(self.until_wake(&running.engine)) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Reading a journal, decoding and evaluating is work for a thread that may block. None where it fails as nothing should.
    async fn on_thread<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&RuleStage) -> T + Send + 'static,
    ) -> Option<T> {
        let done = tokio::task::spawn_blocking(move || work(&self)).await;
        done.inspect_err(
            |error| tracing::error!(%error, "running the rules failed; they begin again"),
        )
        .ok()
    }

    fn until_wake(&self, engine: &Engine) -> Duration {
        let wait_ms = engine.next_wake().map(|at| at - self.clock.now_ms());
        let wait = wait_ms.map(|ms| self.clock.wait(ms));
        wait.unwrap_or(SLEEP_MAX).min(SLEEP_MAX)
    }

    /// Carry out what a look has brought.
    async fn carry_out(&self, running: &mut Running, seen: Seen) {
        for firing in seen.firings {
            running.noted_upto = self.act.fire(firing).or(running.noted_upto);
        }
        self.act.place(seen.presence);
        if let Some(upto) = seen.asked_upto {
            self.act.answer(seen.asked).await;
            running.asked_upto = upto;
            self.keep_now(running).await;
        }
        if seen.is_called_silent {
            self.act.clear(self.silent.clone());
        }
    }

    async fn tell_people(&self, settings: &Settings) {
        self.act.teller.alarms(&self.home, &settings.alarms).await;
    }

    fn stream_after(&self, last: Seq) -> Stream {
        let state = self.devices.state_before(last.next());
        Stream::after(last, state, Vec::new())
    }

    /// Begin to read the journal, with what is known by then.
    async fn wake(&self, running: &mut Running) {
        let (_, cut_upto) = self.shelf.view();
        let known = self.query.devices_cut(&self.home, LATEST_WITHIN).await;
        self.read_upto.send_replace(cut_upto);
        if self.shelf.view().1 != cut_upto {
            // A cut came between; the next look tries again.
            self.read_upto.send_replace(Seq::MAX);
            return;
        }
        match known {
            Ok(known) => {
                let now_ms = self.clock.now_ms();
                for latest in state::latest_of(&known.devices) {
                    let reading = latest.as_reading();
                    running.engine.on(&Input::Reading(reading), now_ms);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "rules begin without what was measured before");
            }
        }
        running.stream = self.stream_after(cut_upto);
        running.is_awake = true;
        // From here on a restart goes on.
        running.keep(running.known_upto, Vec::new()).await;
    }

    /// Keep how far the rules are, now and then, when rules were set, and when records leave the journal.
    async fn keep(&self, running: &mut Running, is_last: bool) {
        let (_, cut_upto) = self.shelf.view();
        let is_due = *self.read_upto.borrow() < cut_upto
            || running.kept_at.elapsed() >= KEEP_EVERY
            || running.has_new_rules
            || is_last;
        if running.is_awake && is_due {
            self.keep_now(running).await;
            running.kept_at = Instant::now();
        }
    }

    /// Wait until what fired is noted on the disk.
    async fn wait_noted(&self, running: &mut Running) {
        if let Some(noted) = running.noted_upto.take() {
            self.journal.wait_durable(noted, act::NOTED_WITHIN).await;
        }
    }

    async fn keep_now(&self, running: &mut Running) {
        // What fired is noted before it is kept that its readings are read.
        self.wait_noted(running).await;
        let upto = running.stream.last();
        let underway = self.act.underway();
        if running.keep(upto, underway).await {
            running.has_new_rules = false;
        }
        self.read_upto.send_replace(upto);
    }

    /// The settings, if they have changed.
    fn changed_settings(&self, running: &mut Running) -> Option<Settings> {
        let version = settings::version(&self.twins);
        if version == running.version {
            return None;
        }
        running.version = version;
        Some(Settings::of(&self.twins, self.clock.now_ms()))
    }

    fn count(&self, running: &mut Running) {
        let now = running.engine.stats();
        self.metrics.count(&running.counted, &now);
        running.counted = now;
    }

    /// Show how many rules run, and how many fail: a rule that begins or ceases to fail says so.
    fn show_rules(&self, engine: &Engine) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.rules.set(gauge(engine.rules_count()));
        self.metrics.failing.set(gauge(engine.faults().count()));
    }
}
