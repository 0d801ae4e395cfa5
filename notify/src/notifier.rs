use std::{collections::BTreeMap, fmt, path::Path, sync::Arc};

use jiff::tz::TimeZone;
use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    alarm::{Alarm, Notice},
    channel::{Sender, http},
    channels::{Channel, Channels},
    deliver,
    delivery::{Delivery, DeliveryId, Outcome},
    outbox::Outbox,
    state::{Attempt, Next, State},
};

pub use tarn_common::database::DatabaseError;

/// The time, in milliseconds since 1970 UTC.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Who wants to hear what becomes of deliveries.
pub trait Observer: Send + Sync {
    /// This has become of a delivery. It is on disk. It is called in the middle of the work, so it must not wait for
    /// anything.
    fn became(&self, delivery: &Delivery, outcome: &Outcome);
}

/// What a notifier is told of the world.
#[derive(Clone)]
pub struct Surroundings {
    /// The time.
    pub clock: Clock,
    /// The home's time zone, for quiet hours and for times in texts.
    pub zone: TimeZone,
    /// Who wants to hear what becomes of deliveries.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Alarms and messages cannot be queued.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The disk does not take it, or cannot be read.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// There is no such channel.
    #[error("there is no channel `{name}`, there are: {known}")]
    NoChannel {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// A channel of the file cannot be used here.
    #[error("channel `{channel}`: {problem}")]
    Channel {
        /// Its name.
        channel: String,
        /// What is wrong.
        problem: String,
    },
    /// No HTTP can be spoken here.
    #[error("start HTTP: {0}")]
    Http(String),
    /// The runtime stops.
    #[error("the work was given up")]
    Stopped(#[source] JoinError),
}

/// How often each outcome came of each channel, since the start: `(channel, outcome)`.
pub type Counts = BTreeMap<(String, &'static str), u64>;

/// Tells people of alarms, and of messages.
#[derive(Debug, Clone)]
pub struct Notifier {
    core: Arc<Core>,
}

/// What the notifier and the tasks of its channels share.
pub(crate) struct Core {
    outbox: Outbox,
    channels: Channels,
    surroundings: Surroundings,
    counts: Mutex<Counts>,
    wakes: BTreeMap<String, Arc<Notify>>,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

impl Notifier {
    /// Open the file of what waits, made if absent. What waits for channels that are no more is given up. One process
    /// may have it open.
    ///
    /// # Errors
    /// The file can neither be read nor put aside.
    pub fn open(
        path: &Path,
        channels: Channels,
        surroundings: Surroundings,
    ) -> Result<Notifier, NotifyError> {
        let outbox = Outbox::open(path)?;
        let wakes = channels
            .iter()
            .map(|channel| (channel.name.clone(), Arc::default()));
        let core = Arc::new(Core {
            outbox,
            wakes: wakes.collect(),
            channels,
            surroundings,
            counts: Mutex::default(),
        });
        let now_ms = core.now_ms();
        core.change(|state| state.without_strangers(&core.channels, now_ms))?;
        Ok(Notifier { core })
    }

    /// Queue what is new of these alarms: all of a home, or only some. On return that is on disk, in one transaction.
    /// Called at the start and whenever an alarm has changed; nothing comes of it where nothing has. Of one alarm, a
    /// later call must not know less than an earlier one.
    ///
    /// # Errors
    /// The disk does not take it; nothing is queued then.
    pub async fn reconcile(&self, alarms: &[Alarm]) -> Result<(), NotifyError> {
        let alarms = alarms.to_vec();
        self.core
            .blocking(move |core| {
                let now_ms = core.now_ms();
                let zone = &core.surroundings.zone;
                core.change(|state| state.reconcile(&core.channels, zone, &alarms, now_ms))
            })
            .await
    }

    /// Queue a message. On return it is on disk.
    ///
    /// # Errors
    /// It names a channel that there is not, or the disk does not take it.
    pub async fn notify(&self, notice: Notice) -> Result<(), NotifyError> {
        let channels = &self.core.channels;
        let strange = |name: &&String| channels.get(name).is_none();
        if let Some(name) = notice.channels.iter().find(strange) {
            let known: Vec<&str> = channels.iter().map(|channel| &*channel.name).collect();
            return Err(NotifyError::NoChannel {
                name: name.clone(),
                known: known.join(", "),
            });
        }
        self.core
            .blocking(move |core| {
                let now_ms = core.now_ms();
                let chance = rand::random();
                core.change(|state| state.notify(&core.channels, &notice, now_ms, chance))
            })
            .await
    }

    /// Deliver until `stop`. One task per channel, so that one that hangs keeps nobody waiting. Called once.
    ///
    /// # Errors
    /// A channel cannot be used here, for instance because there are no root certificates. Nothing is delivered then.
    pub async fn run(&self, stop: CancellationToken) -> Result<(), NotifyError> {
        let client = http::client().map_err(NotifyError::Http)?;
        let mut senders = Vec::new();
        for channel in self.core.channels.iter() {
            let sender = Sender::new(channel, &self.core.surroundings.zone, &client);
            let sender = sender.map_err(|problem| NotifyError::Channel {
                channel: channel.name.clone(),
                problem,
            })?;
            senders.push((channel.clone(), sender));
        }
        let mut tasks = JoinSet::new();
        for (channel, sender) in senders {
            let wake = self
                .core
                .wakes
                .get(&channel.name)
                .cloned()
                .unwrap_or_default();
            let (core, stop) = (Arc::clone(&self.core), stop.clone());
            tasks.spawn(deliver::run(core, channel, sender, wake, stop));
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a channel has ended"
                );
            }
        }
        Ok(())
    }

    /// The names of its channels.
    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.core.channels.iter().map(|channel| &*channel.name)
    }

    /// Look at once for what may go: the clock has been set, or the line is back.
    pub fn wake(&self) {
        self.core.wake();
    }

    /// What waits, in the order in which it was queued.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub async fn waiting(&self) -> Result<Vec<Delivery>, NotifyError> {
        let look = |state: &State| state.waiting.values().cloned().collect();
        self.core
            .blocking(move |core| Ok(core.outbox.read(look)?))
            .await
    }

    /// What was given up, the oldest first.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub async fn dead(&self) -> Result<Vec<Delivery>, NotifyError> {
        let look = |state: &State| state.dead.values().cloned().collect();
        self.core
            .blocking(move |core| Ok(core.outbox.read(look)?))
            .await
    }

    /// Try again what was given up, under the same webhook-id. Gives whether there is such a one, and its channel.
    /// A reconciliation afterwards has the channel told what became of the alarm since.
    ///
    /// # Errors
    /// The disk does not take it.
    pub async fn retry(&self, id: DeliveryId) -> Result<bool, NotifyError> {
        self.core
            .blocking(move |core| core.change(|state| state.retry(&core.channels, id)))
            .await
    }

    /// How often each outcome came of each channel since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.core.counts.lock().clone()
    }
}

impl Core {
    pub(crate) fn now_ms(&self) -> i64 {
        (self.surroundings.clock)()
    }

    /// What a channel does next. What is to be sent counts as being sent from now on.
    pub(crate) async fn next(self: &Arc<Self>, channel: &Channel) -> Result<Next, NotifyError> {
        let channel = channel.clone();
        self.blocking(move |core| {
            let now_ms = core.now_ms();
            let zone = &core.surroundings.zone;
            let (next, _) = core.outbox.change(|state| {
                let next = state.next(&channel, zone, now_ms);
                if let Next::Send(delivery) = &next {
                    state.in_flight.insert(delivery.id);
                }
                next
            })?;
            Ok(next)
        })
        .await
    }

    /// Note what became of an attempt.
    pub(crate) async fn record(
        self: &Arc<Self>,
        channel: &Channel,
        attempt: &Arc<Attempt>,
    ) -> Result<(), NotifyError> {
        let (channel, attempt) = (channel.clone(), Arc::clone(attempt));
        self.blocking(move |core| {
            let zone = &core.surroundings.zone;
            core.change(|state| state.record(&channel, zone, &attempt))
        })
        .await
    }

    /// Change what waits, tell what became of it, and have every channel look.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, NotifyError> {
        let (changed, outcomes) = self.outbox.change(change)?;
        for (delivery, outcome) in outcomes {
            let key = (delivery.channel.clone(), outcome.word());
            *self.counts.lock().entry(key).or_default() += 1;
            if let Some(observer) = &self.surroundings.observer {
                observer.became(&delivery, &outcome);
            }
        }
        self.wake();
        Ok(changed)
    }

    fn wake(&self) {
        for wake in self.wakes.values() {
            wake.notify_one();
        }
    }

    /// Work that waits for the disk.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Core) -> Result<T, NotifyError> + Send + 'static,
    ) -> Result<T, NotifyError> {
        let core = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&core));
        done.await.map_err(NotifyError::Stopped)?
    }
}
