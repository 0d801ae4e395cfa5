//! The rules of the home, run by its box.
//!
//! What becomes durable in the journal is told to the engine, and what fires is noted in the journal before it is carried
//! out, and once more when it was: after a restart what was noted is not done again, and what was begun is.

/// Carrying out what fires.
mod act;
/// The rules, the mode and the alarms of the home's document.
mod settings;
/// How far the rules are, over restarts.
mod state;

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tarn_broker::log::PublishLog;
use tarn_common::{
    clock::Clock,
    event::{LoggedEvent, RULE},
    ids::{HomeId, Seq},
    query::Engine as QueryEngine,
    reading::Quality,
    twin::home::HomeTwins,
};
use tarn_rules::{
    Place,
    engine::Engine,
    firing::Firing,
    input::{Input, Reading},
};
use tokio::{
    sync::{broadcast::error::RecvError, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

pub use self::{act::Act, settings::Alarms};
use self::{
    settings::Settings,
    state::{Kept, StateFile},
};
use crate::{
    devices::Devices,
    journal::{Journal, frame::Kind},
    shelf::Shelf,
    stream::Stream,
};

/// Pause between two looks at a journal that grows, so that a busy one is read in pieces.
const FOLLOW_PAUSE: Duration = Duration::from_millis(5);
/// Pause after the journal could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How often it is kept how far the rules are, beside each cut. What was noted since is found in the journal.
const KEEP_EVERY: Duration = Duration::from_secs(300);
/// The longest sleep, so that a clock that was set is seen.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// How long rules wait for the latest readings when the first of them is set.
const LATEST_WITHIN: Duration = Duration::from_secs(30);

/// Word of a firing's event: it was noted, and is carried out now.
const FIRED: &str = "fired";
/// Word of the event that a firing was carried out.
const DONE: &str = "done";

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
    /// When it is.
    pub clock: Arc<dyn Clock>,
    /// Where the home is.
    pub place: Place,
    /// The file that has how far the rules are.
    pub file: PathBuf,
    /// Changes with each cut.
    pub cuts: watch::Receiver<u64>,
}

/// What runs.
struct Running {
    engine: Engine,
    /// Whether the journal is read: it is not while there is no rule.
    is_awake: bool,
    /// Records up to this one are only to be known: they came before there was a rule.
    known_upto: Seq,
    stream: Stream,
    /// Of the home's document, when the settings were read.
    version: Vec<String>,
    settings: Settings,
    file: StateFile,
    /// What was cut, and the time, when it was last kept how far it is.
    kept: (Seq, Instant),
}

/// What one look at the journal gave.
#[derive(Default)]
struct Seen {
    firings: Vec<Firing>,
    /// Firings that the journal has, with whether they were carried out.
    noted: BTreeMap<String, (Firing, bool)>,
}

impl RuleStage {
    /// Run the rules until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let stage = Arc::new(self);
        let mut changes = stage.twins.changes();
        let mut durable = stage.journal.durable();
        let mut cuts = stage.cuts.clone();
        let (mut running, seen) = loop {
            match stage.clone().on_thread(RuleStage::begin).await {
                Some(started) => break started,
                None if stop.is_cancelled() => return,
                None => sleep(RETRY_PAUSE).await,
            }
        };
        stage.go_on(seen);
        stage.alarms.begin(&running.settings);
        loop {
            // Before the settings are read: what comes after a rule was set counts for it.
            let upto = *durable.borrow_and_update();
            let settings = stage.changed_settings(&mut running);
            let rules = &settings.as_ref().unwrap_or(&running.settings).rules;
            if !running.is_awake && !rules.is_empty() {
                stage.wake(&mut running).await;
            } else if !running.is_awake {
                running.known_upto = upto;
            }
            let looked = stage.clone().on_thread(move |stage| {
                let seen = stage.look(&mut running, settings)?;
                Ok((running, seen))
            });
            let Some((next, seen)) = looked.await else {
                tracing::error!("the rules stand still: the journal could not be read");
                return;
            };
            running = next;
            for firing in seen.firings {
                stage.act.fire(firing);
            }
            stage.keep(&mut running, stop.is_cancelled()).await;
            if stop.is_cancelled() {
                return;
            }
            sleep(FOLLOW_PAUSE).await;
            tokio::select! {
                changed = durable.changed() => if changed.is_err() { return },
                changed = changes.recv() => match changed {
                    Err(RecvError::Closed) => return,
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                },
                Ok(()) = cuts.changed() => {}
                () = sleep(stage.until_wake(&running.engine)) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Reading a journal, decoding and evaluating is work for a thread that may block.
    async fn on_thread<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&RuleStage) -> io::Result<T> + Send + 'static,
    ) -> Option<T> {
        match tokio::task::spawn_blocking(move || work(&self)).await {
            Ok(Ok(done)) => Some(done),
            Ok(Err(e)) => {
                tracing::warn!(error = %e, "the journal could not be read for rules");
                None
            }
            Err(failed) => {
                tracing::error!(error = %failed, "running the rules failed");
                None
            }
        }
    }

    fn until_wake(&self, engine: &Engine) -> Duration {
        let wait_ms = engine.next_wake().map(|at| at - self.clock.now_ms());
        let wait = wait_ms.map(|ms| Duration::from_millis(ms.max(0).unsigned_abs()));
        wait.unwrap_or(SLEEP_MAX).min(SLEEP_MAX)
    }

    /// Take in what is in no chunk yet: what came before the box stopped counts as it did then.
    fn begin(&self) -> io::Result<(Running, Seen)> {
        let (file, kept) = StateFile::open(self.file.clone())?;
        let (_, cut_upto) = self.shelf.view();
        let version = settings::version(&self.twins);
        let now_ms = self.clock.now_ms();
        let settings = Settings::of(&self.twins, now_ms);
        // Rules that never ran have no past to catch up with.
        let is_awake = kept.is_some() && !settings.rules.is_empty();
        let Kept { mut state, latest } = kept.unwrap_or_default();
        if is_awake && state.upto.is_some_and(|upto| upto < cut_upto.0) {
            // They had read it, unless they were more than a cut behind.
            tracing::info!(upto = state.upto, %cut_upto, "rules go on behind what was cut");
        }
        // What the document says now is what rules know of it.
        state.mode = Some(settings.mode.clone());
        let alarms = settings.alarms.iter();
        state.alarms = alarms
            .map(|(id, alarm)| (id.clone(), alarm.state))
            .collect();
        let mut engine = Engine::restore(self.place.clone(), state);
        engine.set_rules(&settings.rules, now_ms);
        for latest in &latest {
            engine.on(&Input::Reading(latest.as_reading()), now_ms);
        }
        let mut running = Running {
            engine,
            is_awake,
            known_upto: match is_awake {
                true => Seq::ZERO,
                false => *self.journal.durable().borrow(),
            },
            stream: self.stream_after(cut_upto),
            version,
            settings,
            file,
            kept: (cut_upto, Instant::now()),
        };
        let mut seen = self.look(&mut running, None)?;
        // What the journal has was fired before.
        let Seen { firings, noted } = &mut seen;
        firings.retain(|firing| !noted.contains_key(&firing.id));
        Ok((running, seen))
    }

    /// Carry out what fired while the box was going down, or was not carried out to its end.
    fn go_on(&self, seen: Seen) {
        let begun = seen.noted.into_values().filter(|(_, is_done)| !is_done);
        for (firing, _) in begun {
            tracing::info!(rule = %firing.rule, id = firing.id, "carrying out what was begun before the stop");
            self.act.carry_out(firing);
        }
        for firing in seen.firings {
            self.act.fire(firing);
        }
    }

    fn stream_after(&self, cut_upto: Seq) -> Stream {
        let state = self.devices.state_before(cut_upto.next());
        Stream::after(cut_upto, state, Vec::new())
    }

    /// Begin to read the journal, with what is known by then.
    async fn wake(&self, running: &mut Running) {
        let (_, cut_upto) = self.shelf.view();
        let known = self.query.devices_cut(&self.home, LATEST_WITHIN).await;
        if self.shelf.view().1 != cut_upto {
            // A cut came between; the next look tries again.
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
        running.file.keep(&running.engine, running.known_upto).await;
    }

    /// Keep how far the rules are, now and then, and when records leave the journal.
    async fn keep(&self, running: &mut Running, is_last: bool) {
        let (_, cut_upto) = self.shelf.view();
        let (kept_upto, kept_at) = running.kept;
        let is_due = cut_upto != kept_upto || kept_at.elapsed() >= KEEP_EVERY || is_last;
        if running.is_awake && is_due {
            let upto = running.stream.last();
            running.file.keep(&running.engine, upto).await;
            running.kept = (cut_upto, Instant::now());
        }
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

    /// Tell the engine what has changed since the last look.
    fn look(&self, running: &mut Running, settings: Option<Settings>) -> io::Result<Seen> {
        let now_ms = self.clock.now_ms();
        let mut seen = Seen::default();
        if let Some(settings) = settings {
            self.take_settings(running, settings, now_ms, &mut seen);
        }
        if running.is_awake {
            self.read_journal(running, now_ms, &mut seen)?;
        }
        seen.firings.extend(running.engine.tick(now_ms));
        for notice in running.engine.take_notices() {
            tracing::warn!(rule = %notice.rule, kind = ?notice.kind, "{}", notice.words);
            self.act.note(&notice);
        }
        Ok(seen)
    }

    fn take_settings(&self, running: &mut Running, now: Settings, now_ms: i64, seen: &mut Seen) {
        let before = std::mem::replace(&mut running.settings, now);
        let now = &running.settings;
        if now.rules != before.rules {
            running.engine.set_rules(&now.rules, now_ms);
        }
        if now.mode != before.mode {
            let fired = running.engine.on(&Input::Mode(&now.mode), now_ms);
            seen.firings.extend(fired);
        }
        for (id, alarm) in self.alarms.tell(&before, now) {
            let state = alarm.state;
            let fired = running.engine.on(&Input::Alarm { id, state }, now_ms);
            seen.firings.extend(fired);
        }
    }

    fn read_journal(&self, running: &mut Running, now_ms: i64, seen: &mut Seen) -> io::Result<()> {
        let heard = running
            .stream
            .read(&self.journal, &self.devices, |record| {
                if record.kind == Kind::Event {
                    note(&mut seen.noted, record.payload);
                }
            })?;
        for row in heard.rows.shown() {
            let reading = Reading {
                seq: row.seq.0,
                ts_ms: row.ts,
                device: row.device,
                metric: row.metric,
                value: row.value,
                text: row.text,
                // What a device tells of the past is no news.
                replayed: row.quality == Quality::Historical as i8 || row.seq <= running.known_upto,
            };
            let at_ms = row.received.min(now_ms);
            let fired = running.engine.on(&Input::Reading(reading), at_ms);
            seen.firings.extend(fired);
        }
        for (device, online) in &heard.come_and_gone {
            let (device, online) = (&**device, *online);
            let input = Input::Online { device, online };
            seen.firings.extend(running.engine.on(&input, now_ms));
        }
        heard.read
    }
}

/// Take in what the journal says of a firing.
fn note(noted: &mut BTreeMap<String, (Firing, bool)>, payload: &[u8]) {
    let text = std::str::from_utf8(payload).unwrap_or_default();
    let Some(event) = LoggedEvent::from_json(text, 0).filter(|event| event.kind == RULE) else {
        return;
    };
    match &*event.reason {
        FIRED => {
            if let Ok(firing) = serde_json::from_value::<Firing>(event.detail) {
                noted.insert(firing.id.clone(), (firing, false));
            }
        }
        DONE => {
            let id = event.detail["id"].as_str().unwrap_or_default();
            if let Some((_, is_done)) = noted.get_mut(id) {
                *is_done = true;
            }
        }
        _ => {}
    }
}
