//! What the cloud does about alarms: it tells people of them, and raises one of its own where the box of a home that nobody is
//! in falls silent.

use std::{collections::HashSet, path::Path, sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use prometheus_client::registry::Registry;
use tarn_common::{
    clock::Clock,
    ids::{EdgeId, HomeId},
    twin::{document::DocumentId, home::Change},
};
use tarn_notify::{Channels, NotifyError, Outcome};
use tarn_openapi::{
    automation::{self, AlarmChange, silent_alarm},
    notices::Teller,
};
use tarn_rules::rule::{AlarmClass, Severity};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{downlink::Downlink, twins::CloudTwins};

/// How often boxes are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Modes in which a silent box is an alarm.
const ARMED: [&str; 3] = ["away", "holiday", "night"];
/// Who raises alarms here.
const BY: &str = "cloud";

/// Tells people for the cloud; what waits is in `outbox`.
///
/// # Errors
/// The file can neither be read nor put aside.
pub(crate) fn teller(
    outbox: &Path,
    channels: Channels,
    clock: &Arc<dyn Clock>,
    registry: &mut Registry,
) -> Result<Teller, NotifyError> {
    // Homes are in many zones; quiet hours of a channel of the cloud are in UTC.
    let surroundings = (clock.clone(), TimeZone::UTC);
    Teller::open(
        outbox,
        channels,
        surroundings,
        registry,
        |delivery, outcome| {
            if let Outcome::Failed { words, .. } | Outcome::Dead { words } = outcome {
                tracing::warn!(
                    channel = delivery.channel,
                    id = delivery.message.id,
                    outcome = outcome.word(),
                    error = words,
                    "a message to people"
                );
            }
        },
    )
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
    /// Tells people.
    pub(crate) teller: Teller,
}

impl Guard {
    /// Watch until stopped.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let delivering = tokio::spawn(self.teller.clone().run(stop.clone()));
        let mut every = interval(LOOK_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = self.twins.changes();
        // Silent boxes that need no second look until their home changes.
        let mut judged: HashSet<(HomeId, EdgeId)> = HashSet::new();
        loop {
            tokio::select! {
                _ = every.tick() => self.look(&mut judged).await,
                changed = changes.recv() => match changed {
                    Ok(change) if has_home(&change) => {
                        judged.retain(|(home, _)| *home != change.home);
                        self.tell(&change.home).await;
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => judged.clear(),
                    Err(RecvError::Closed) => break,
                },
                () = stop.cancelled() => break,
            }
        }
        // It ends with the stop.
        let _ = delivering.await;
    }

    /// Tell people of the alarms of a home.
    async fn tell(&self, home: &HomeId) {
        if !self.teller.has_channels() {
            return;
        }
        let Ok(twins) = self.twins.home(home).await else {
            return;
        };
        let now_ms = self.clock.now_ms();
        let alarms = twins.read(|replica| automation::alarms(replica, now_ms));
        self.teller.alarms(home, &alarms).await;
    }

    async fn look(&self, judged: &mut HashSet<(HomeId, EdgeId)>) {
        if !self.downlink.is_up() {
            // Who cannot hear knows nothing of who is silent.
            return;
        }
        let silent_ms = i64::try_from(self.silent_after.as_millis()).unwrap_or(i64::MAX);
        let heard_by_ms = self.clock.now_ms().saturating_sub(silent_ms);
        let silent: HashSet<_> = self.downlink.away_since(heard_by_ms).into_iter().collect();
        judged.retain(|known| silent.contains(known));
        for (home, edge) in silent {
            let known = (home, edge);
            if !judged.contains(&known) && self.judge(&known.0, edge).await {
                judged.insert(known);
            }
        }
    }

    /// Raise what is to be raised; the box clears it when it is back. Gives whether that is done.
    async fn judge(&self, home: &HomeId, edge: EdgeId) -> bool {
        let Ok(twins) = self.twins.home(home).await else {
            return false;
        };
        let now_ms = self.clock.now_ms();
        let mode = twins.read(|replica| automation::mode(replica, now_ms));
        if !ARMED.contains(&&*mode) {
            return true;
        }
        let raise = AlarmChange::Raise {
            severity: Severity::Critical,
            class: Some(AlarmClass::Intrusion),
            message: format!("The box of {home} is silent while the home is in the mode {mode}"),
        };
        let id = silent_alarm(edge);
        // What stands is not raised again.
        let raised = automation::change_alarm(&twins, &id, &raise, BY, now_ms).await;
        raised
            .inspect_err(|error| tracing::error!(%home, alarm = id, %error, "an alarm about a silent box cannot be kept; it is tried again"))
            .is_ok()
    }
}
