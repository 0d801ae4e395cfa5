//! What the cloud does about alarms: it tells people of them, and raises one of its own where the box of a home that nobody is
//! in falls silent.

use std::{path::Path, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tarn_common::{
    clock::Clock,
    ids::HomeId,
    twin::{
        document::DocumentId,
        home::{Change, HomeTwins},
    },
};
use tarn_notify::{Channels, Delivery, Notifier, NotifyError, Observer, Outcome, Surroundings};
use tarn_openapi::{
    automation::{self, AlarmChange, silent_alarm},
    notices::alarm,
};
use tarn_rules::rule::{AlarmClass, Severity};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{
    downlink::{BoxSeen, Downlink},
    twins::CloudTwins,
};

/// How often boxes are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Modes in which a silent box is an alarm.
const ARMED: [&str; 3] = ["away", "holiday", "night"];
/// Who raises alarms here.
const BY: &str = "cloud";

/// Which deliveries are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    channel: String,
    outcome: &'static str,
}

/// Counts what becomes of deliveries.
struct Counting(Family<DeliveryLabels, Counter>);

impl Observer for Counting {
    fn became(&self, delivery: &Delivery, outcome: &Outcome) {
        let labels = DeliveryLabels {
            channel: delivery.channel.clone(),
            outcome: outcome.word(),
        };
        self.0.get_or_create(&labels).inc();
        if let Outcome::Failed { words, .. } | Outcome::Dead { words } = outcome {
            tracing::warn!(
                channel = delivery.channel,
                id = delivery.message.id,
                outcome = outcome.word(),
                error = words,
                "a message to people"
            );
        }
    }
}

fn has_home(change: &Change) -> bool {
    change
        .documents
        .iter()
        .any(|(id, _)| *id == DocumentId::home())
}

/// Watches over the homes of the cloud.
pub(crate) struct Guard {
    pub(crate) twins: Arc<CloudTwins>,
    pub(crate) downlink: Arc<Downlink>,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a box may be silent.
    pub(crate) silent_after: Duration,
    /// Tells people; none where no channel is set up.
    pub(crate) notifier: Option<Notifier>,
}

/// Opens what waits to be told to people; none where no channel is set up.
///
/// # Errors
/// The file can neither be read nor put aside.
pub(crate) fn notifier(
    outbox: &Path,
    channels: Channels,
    clock: &Arc<dyn Clock>,
    registry: &mut Registry,
) -> Result<Option<Notifier>, NotifyError> {
    let deliveries = Family::default();
    registry.register(
        "tarn_deliveries",
        "What became of messages to people",
        deliveries.clone(),
    );
    if channels.iter().next().is_none() {
        return Ok(None);
    }
    let now = clock.clone();
    let surroundings = Surroundings {
        clock: Arc::new(move || now.now_ms()),
        // Homes are in many zones; quiet hours of a channel of the cloud are in UTC.
        zone: jiff::tz::TimeZone::UTC,
        observer: Some(Arc::new(Counting(deliveries))),
    };
    Notifier::open(outbox, channels, surroundings).map(Some)
}

impl Guard {
    /// Watch until stopped.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let delivering = self.notifier.clone().map(|notifier| {
            let stop = stop.clone();
            tokio::spawn(async move {
                if let Err(error) = notifier.run(stop).await {
                    tracing::error!(%error, "nobody is told of alarms");
                }
            })
        });
        let mut every = interval(LOOK_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.twins.changes();
        loop {
            tokio::select! {
                _ = every.tick() => self.look().await,
                changed = changes.recv() => match changed {
                    Ok(change) if has_home(&change) => self.tell(&change.home).await,
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => break,
                },
                () = stop.cancelled() => break,
            }
        }
        if let Some(delivering) = delivering {
            // It ends with the stop.
            let _ = delivering.await;
        }
    }

    /// Tell people of the alarms of a home.
    async fn tell(&self, home: &HomeId) {
        let Some(notifier) = &self.notifier else {
            return;
        };
        let Ok(twins) = self.twins.home(home).await else {
            return;
        };
        let now_ms = self.clock.now_ms();
        let alarms = twins.read(|replica| automation::alarms(replica, now_ms));
        let alarms: Vec<_> = alarms
            .iter()
            .map(|(id, record)| alarm(home, id, record))
            .collect();
        if let Err(error) = notifier.reconcile(&alarms).await {
            tracing::error!(%home, %error, "alarms cannot be queued for people");
        }
    }

    async fn look(&self) {
        if !self.downlink.is_up() {
            // Who cannot hear knows nothing of who is silent.
            return;
        }
        for home in self.downlink.homes() {
            let boxes = self.downlink.boxes(&home);
            let silent: Vec<String> = boxes
                .iter()
                .filter(|seen| self.is_silent(seen))
                .map(|seen| silent_alarm(seen.edge))
                .collect();
            if !silent.is_empty()
                && let Ok(twins) = self.twins.home(&home).await
            {
                self.judge(&home, &twins, &silent).await;
            }
        }
    }

    fn is_silent(&self, seen: &BoxSeen) -> bool {
        let is_away = seen.presence.as_ref().is_some_and(|p| !p.online);
        let for_ms = self.clock.now_ms().saturating_sub(seen.last_seen_ms);
        is_away && u128::from(for_ms.max(0).unsigned_abs()) >= self.silent_after.as_millis()
    }

    /// Raise what is to be raised. The box clears it when it is back.
    async fn judge(&self, home: &HomeId, twins: &HomeTwins, silent: &[String]) {
        let now_ms = self.clock.now_ms();
        let mode = twins.read(|replica| automation::mode(replica, now_ms));
        if !ARMED.contains(&&*mode) {
            return;
        }
        let raise = AlarmChange::Raise {
            severity: Severity::Critical,
            class: Some(AlarmClass::Intrusion),
            message: format!("The box of {home} is silent while the home is in the mode {mode}"),
        };
        for id in silent {
            // What stands is not raised again.
            if let Err(error) = automation::change_alarm(twins, id, &raise, BY, now_ms).await {
                tracing::error!(%home, alarm = id, %error, "an alarm about a silent box cannot be kept; it is tried again");
            }
        }
    }
}
