//! The box's devices: learnt from the journal as it grows, kept over restarts, set by commands.

/// Commands on their way, until their devices confirm them.
pub mod commands;
/// The box as a device of Home Assistant.
pub mod self_discovery;
/// From a value that is wanted to a publish.
pub mod send;
/// What the REST interface asks of devices.
pub mod service;
/// Devices and commands as interfaces show them.
mod shown;
/// What is kept of devices over a restart.
pub mod store;

#[cfg(test)]
mod tests;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::tz::TimeZone;
use parking_lot::{Mutex, RwLock};
use tarn_broker::log::PublishLog;
use tarn_common::{database::DatabaseError, ids::Seq};
use tarn_devices::{
    message::Message,
    registry::{Heard as Learnt, Registry},
};
use tarn_link::topic::is_between_boxes;
use tokio::{
    sync::{Notify, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use self::{commands::Commands, store::DeviceStore};
use crate::{
    decode::{
        Context, DecodeFault, Decoded, Decoder,
        state::{Memory, Past, State},
        time::{ClockStep, Skews},
        topic::Topics,
    },
    journal::{
        Journal, Segments,
        follow::Follow,
        frame::{Kind, Record},
    },
    metrics::DeviceMetrics,
    twins::heard::Heard,
};

/// Client id under which the box itself publishes.
pub const OWN_CLIENT: &str = "tarn";

/// Pause between two looks at a journal that grows, so that a busy one is read in large pieces.
const FOLLOW_PAUSE: Duration = Duration::from_millis(20);

/// Home Assistant's prefix unless it was given another.
pub const DISCOVERY_PREFIX: &str = "homeassistant";

/// What the box knows of its devices. One reader follows the journal; whoever decodes goes by what it has learnt.
#[derive(Debug)]
pub struct Devices {
    pub(crate) registry: RwLock<Registry>,
    pub(crate) commands: Commands,
    /// What devices said that belongs into their twins.
    pub(crate) heard: Heard,
    store: Option<Arc<DeviceStore>>,
    topics: Topics,
    zone: TimeZone,
    /// How far the journal is read.
    place: Mutex<Follow>,
    steps: RwLock<Arc<Vec<ClockStep>>>,
    skews: Mutex<Skews>,
    /// The registry is other than what the store has.
    unsaved: AtomicBool,
    /// Held from the look at the registry until it is stored, so that an older state never replaces a newer one.
    saving: Mutex<()>,
    /// Topic on which Home Assistant says that it has started.
    home_assistant_status: String,
    home_assistant_started: Arc<Notify>,
    /// Whether what the journal had at the start is read.
    caught_up: watch::Sender<bool>,
    metrics: DeviceMetrics,
}

impl Devices {
    /// Devices as the store has them, or none that is kept. `discovery_prefix` is that of Home Assistant.
    #[must_use]
    pub fn new(
        topics: Topics,
        zone: TimeZone,
        store: Option<(Arc<DeviceStore>, Registry)>,
        cut_upto: Seq,
        discovery_prefix: &str,
        metrics: DeviceMetrics,
    ) -> Devices {
        let (store, registry) = match store {
            Some((store, registry)) => (Some(store), registry),
            None => (None, Registry::new()),
        };
        Devices {
            registry: RwLock::new(registry),
            commands: Commands::default(),
            heard: Heard::default(),
            store,
            topics,
            zone,
            place: Mutex::new(Follow::after(cut_upto)),
            steps: RwLock::default(),
            skews: Mutex::default(),
            unsaved: AtomicBool::new(false),
            saving: Mutex::default(),
            home_assistant_status: format!("{discovery_prefix}/status"),
            home_assistant_started: Arc::default(),
            caught_up: watch::Sender::new(false),
            metrics,
        }
    }

    /// What decoding goes by now.
    #[must_use]
    pub fn context(&self) -> Context {
        Context {
            topics: self.topics.clone(),
            schema: self.registry.read().schema(),
            steps: self.steps.read().clone(),
            zone: self.zone.clone(),
        }
    }

    /// What decoding the record `first` goes on from.
    #[must_use]
    pub fn state_before(&self, first: Seq) -> State {
        let Some(store) = &self.store else {
            return State::default();
        };
        let memory = store.memory_before(first).unwrap_or_else(|e| {
            tracing::error!(error = ?e, "what decoding goes on from cannot be read; cumulative metrics begin anew");
            Memory::default()
        });
        let past: Arc<dyn Past> = store.clone();
        State {
            memory,
            past: Some(past),
            ..State::default()
        }
    }

    /// Keep what a cut up to `last` has come to, before the cut's log entry makes it count.
    ///
    /// # Errors
    /// It is not stored; the cut has to be done again.
    pub fn cut(&self, last: Seq, decoded: &Decoded) -> Result<(), DatabaseError> {
        self.take(&decoded.faults, &decoded.skews);
        let Some(store) = &self.store else {
            return Ok(());
        };
        let _saving = self.saving.lock();
        let unsaved = self.unsaved.swap(false, Ordering::AcqRel);
        let saved = unsaved.then(|| self.registry.read().save());
        let kept = store.keep(last, &decoded.state, saved.as_ref());
        if kept.is_err() && unsaved {
            self.unsaved.store(true, Ordering::Release);
        }
        kept
    }

    /// Take in what decoding found out about devices.
    pub fn take(&self, faults: &[DecodeFault], skews: &Skews) {
        if !faults.is_empty() {
            let mut registry = self.registry.write();
            for found in faults {
                let fault = found.fault.clone();
                registry.report(
                    &found.device,
                    &found.topic,
                    fault,
                    found.seq,
                    found.received_ms,
                );
            }
        }
        self.skews.lock().extend(skews.clone());
        self.figures();
    }

    /// Learn from every record of these segments that was not read yet. Blocks.
    ///
    /// # Errors
    /// A segment cannot be read.
    pub fn catch_up(&self, segments: &Segments) -> io::Result<()> {
        let mut place = self.place.lock();
        let mut changed = false;
        let read = place.read(segments, |record| changed |= self.follow(record));
        // What was learnt before a segment that cannot be read is learnt.
        if changed {
            self.unsaved.store(true, Ordering::Release);
            self.figures();
        }
        read
    }

    /// Learn from one record. True where something is to be kept.
    fn follow(&self, record: &Record<'_>) -> bool {
        match record.kind {
            Kind::Publish => {}
            Kind::Clock => {
                self.clock_set(record);
                return false;
            }
            Kind::Release
            | Kind::Confirm
            | Kind::Snapshot
            | Kind::Note
            | Kind::Audit
            | Kind::Event => {
                return false;
            }
        }
        if is_between_boxes(record.topic) {
            return false;
        }
        if record.topic == self.home_assistant_status && record.payload == b"online" {
            self.home_assistant_started.notify_one();
        }
        let message = Message {
            topic: record.topic,
            payload: record.payload,
        };
        let heard = self
            .registry
            .write()
            .hear(&message, record.seq.0, record.received_ms);
        if heard != Learnt::Nothing {
            self.heard.look_again();
        }
        if record.client != OWN_CLIENT {
            self.listen(record);
        }
        heard != Learnt::Nothing
    }

    fn clock_set(&self, record: &Record<'_>) {
        let Some((from, delta)) = record.payload.split_at_checked(8) else {
            return;
        };
        if let (Ok(from), Ok(delta)) = (from.try_into(), delta.try_into()) {
            let step = ClockStep {
                from: u64::from_le_bytes(from),
                before: record.seq.0,
                delta_ms: i64::from_le_bytes(delta),
            };
            let mut steps = self.steps.write();
            Arc::make_mut(&mut steps).push(step);
            self.metrics.clock_steps.inc();
        }
    }

    /// Whether a record says what a command waits for, or what belongs into a twin.
    fn listen(&self, record: &Record<'_>) {
        let (is_waited_for, is_shared) = {
            let registry = self.registry.read();
            let schema = registry.schema();
            let Some(binding) = schema.binding(record.topic) else {
                return;
            };
            let is_waited_for = self.commands.is_waiting() && self.commands.concerns(binding);
            let is_shared = self.heard.concerns(record.topic, &schema, &registry);
            (is_waited_for, is_shared)
        };
        if !is_waited_for && !is_shared {
            return;
        }
        let context = self.context();
        let mut decoder = Decoder::new(&context, State::default());
        decoder.record(record);
        let decoded = decoder.finish();
        let registry = self.registry.read();
        for (device, metric, value, text) in decoded.rows.iter() {
            // First what is heard, so that a command is still under way when its own effect is.
            if is_shared {
                self.heard.said(&registry, device, metric, value, text);
            }
            self.commands.said(device, metric, value, text, record);
        }
    }

    /// Forget steps of the clock that no record concerns any more.
    pub fn forget_steps(&self, cut_upto: Seq) {
        let mut steps = self.steps.write();
        if steps.iter().any(|step| step.before <= cut_upto.0) {
            Arc::make_mut(&mut steps).retain(|step| step.before > cut_upto.0);
        }
    }

    /// Learn from the journal as it grows, until stopped.
    pub async fn run(self: Arc<Self>, journal: Arc<Journal>, stop: CancellationToken) {
        let mut durable = journal.durable();
        loop {
            let (devices, looked) = (self.clone(), journal.clone());
            let read = tokio::task::spawn_blocking(move || devices.catch_up(&looked.segments()));
            if let Ok(Err(e)) = read.await {
                // A cut may have taken the segment meanwhile, after it has learnt from it itself.
                tracing::debug!(error = %e, "a journal segment was gone before it was read");
            }
            if !self.caught_up.send_replace(true) {
                self.heard.go_live();
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = durable.changed() => if changed.is_err() { return },
            }
            sleep(FOLLOW_PAUSE).await;
        }
    }

    /// Wait until what the journal had when [`Devices::run`] began is read.
    pub async fn caught_up(&self) {
        // The sender lives as long as this.
        let _ = self.caught_up.subscribe().wait_for(|done| *done).await;
    }

    /// Save the registry now, because somebody was told that it is.
    ///
    /// # Errors
    /// It is not stored.
    pub fn save(&self) -> Result<(), DatabaseError> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let _saving = self.saving.lock();
        let saved = self.registry.read().save();
        let kept = store.keep_registry(&saved);
        if kept.is_err() {
            self.unsaved.store(true, Ordering::Release);
        }
        kept
    }

    /// Whether each device is there, where anything says it.
    #[must_use]
    pub fn online(&self) -> Vec<(Arc<str>, bool)> {
        let registry = self.registry.read();
        let devices = registry.devices();
        devices
            .filter_map(|device| Some((device.id.clone(), registry.is_online(device)?)))
            .collect()
    }

    /// How many devices announced themselves.
    #[must_use]
    pub fn count(&self) -> usize {
        self.registry.read().devices().len()
    }

    fn figures(&self) {
        let registry = self.registry.read();
        self.metrics.devices.set(registry.devices().len() as i64);
        self.metrics.set_faults(registry.fault_totals());
    }
}
