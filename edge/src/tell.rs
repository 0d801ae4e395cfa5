//! Alarms and messages on their way to people.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use jiff::tz::TimeZone;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use serde_json::json;
use tarn_common::{
    clock::Clock,
    event::{DELIVERY, LoggedEvent},
    ids::HomeId,
};
use tarn_notify::{
    Channels, Delivery, Notice, Notifier, NotifyError, Observer, Outcome, Surroundings,
};
use tarn_openapi::{automation::AlarmRecord, notices::alarm};
use tokio_util::sync::CancellationToken;

use crate::journal::Journal;

/// Tells people, where channels to them are set up.
#[derive(Debug, Clone)]
pub struct Teller {
    home: HomeId,
    notifier: Option<Notifier>,
}

/// Which deliveries are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    channel: String,
    outcome: &'static str,
}

/// Notes what becomes of deliveries.
struct Noting {
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    deliveries: Family<DeliveryLabels, Counter>,
}

impl Observer for Noting {
    fn became(&self, delivery: &Delivery, outcome: &Outcome) {
        let labels = DeliveryLabels {
            channel: delivery.channel.clone(),
            outcome: outcome.word(),
        };
        self.deliveries.get_or_create(&labels).inc();
        let event = LoggedEvent {
            at_ms: self.clock.now_ms(),
            kind: DELIVERY.into(),
            subject: delivery.channel.clone(),
            reason: outcome.word().into(),
            detail: json!({"id": delivery.message.id, "attempts": delivery.attempts, "message": delivery.message, "outcome": words(outcome)}),
        };
        if self.journal.log(&event).is_err() {
            tracing::error!(
                event = event.to_json(),
                "what became of a message cannot be written; it is only here"
            );
        }
    }
}

fn words(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Failed { words, .. } | Outcome::Dead { words } => Some(words),
        _ => None,
    }
}

impl Teller {
    /// One for these channels; what waits is in `outbox`.
    ///
    /// # Errors
    /// The file of what waits can neither be read nor put aside.
    pub fn open(
        home: HomeId,
        outbox: &Path,
        channels: Channels,
        (clock, zone): (Arc<dyn Clock>, TimeZone),
        journal: Arc<Journal>,
        registry: &mut Registry,
    ) -> Result<Teller, NotifyError> {
        let deliveries = Family::default();
        registry.register(
            "tarn_deliveries",
            "What became of messages to people",
            deliveries.clone(),
        );
        if channels.iter().next().is_none() {
            return Ok(Teller {
                home,
                notifier: None,
            });
        }
        let now = clock.clone();
        let surroundings = Surroundings {
            clock: Arc::new(move || now.now_ms()),
            zone,
            observer: Some(Arc::new(Noting {
                journal,
                clock,
                deliveries,
            })),
        };
        let notifier = Notifier::open(outbox, channels, surroundings)?;
        Ok(Teller {
            home,
            notifier: Some(notifier),
        })
    }

    /// Deliver until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let Some(notifier) = self.notifier else {
            return;
        };
        if let Err(error) = notifier.run(stop).await {
            tracing::error!(%error, "nobody is told of alarms");
        }
    }

    /// See to it that people are told of these alarms, which are all that the home has. On return what is new is on disk.
    pub async fn alarms(&self, alarms: &BTreeMap<String, AlarmRecord>) {
        let Some(notifier) = &self.notifier else {
            return;
        };
        let alarms: Vec<_> = alarms
            .iter()
            .map(|(id, record)| alarm(&self.home, id, record))
            .collect();
        if let Err(error) = notifier.reconcile(&alarms).await {
            tracing::error!(%error, "alarms cannot be queued for people; it is tried again with the next");
        }
    }

    /// Tell people something. On return it is on disk.
    ///
    /// # Errors
    /// The disk does not take it.
    pub async fn notice(&self, notice: Notice) -> Result<(), NotifyError> {
        match &self.notifier {
            Some(notifier) => notifier.notify(notice).await,
            None => Ok(()),
        }
    }
}
