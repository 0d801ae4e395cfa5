//! Alarms and messages on their way to people.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use jiff::tz::TimeZone;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tarn_common::{clock::Clock, ids::HomeId};
use tarn_notify::{
    Alarm, AlarmState, Channels, Class, Delivery, DeliveryId, Notice, Notifier, NotifyError,
    Observer, Outcome, Severity, Surroundings,
};
use tarn_rules::{input, rule};
use tokio_util::sync::CancellationToken;

use crate::automation::AlarmRecord;

/// Tells people, where channels to them are set up.
#[derive(Debug, Clone)]
pub struct Teller(Option<Notifier>);

/// Which deliveries are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    channel: String,
    outcome: &'static str,
}

/// Counts what becomes of deliveries, and tells it on.
struct Counting<F> {
    deliveries: Family<DeliveryLabels, Counter>,
    tell: F,
}

impl<F: Fn(&Delivery, &Outcome) + Send + Sync> Observer for Counting<F> {
    fn became(&self, delivery: &Delivery, outcome: &Outcome) {
        let labels = DeliveryLabels {
            channel: delivery.channel.clone(),
            outcome: outcome.word(),
        };
        self.deliveries.get_or_create(&labels).inc();
        (self.tell)(delivery, outcome);
    }
}

impl Teller {
    /// One for these channels; what waits is in `outbox`. `tell` hears what becomes of each delivery, and must not wait for
    /// anything.
    ///
    /// # Errors
    /// The file of what waits can neither be read nor put aside.
    pub fn open(
        outbox: &Path,
        channels: Channels,
        (clock, zone): (Arc<dyn Clock>, TimeZone),
        registry: &mut Registry,
        tell: impl Fn(&Delivery, &Outcome) + Send + Sync + 'static,
    ) -> Result<Teller, NotifyError> {
        let deliveries = Family::default();
        registry.register(
            "tarn_deliveries",
            "What became of messages to people",
            deliveries.clone(),
        );
        if channels.iter().next().is_none() {
            return Ok(Teller(None));
        }
        let surroundings = Surroundings {
            clock: Arc::new(move || clock.now_ms()),
            zone,
            observer: Some(Arc::new(Counting { deliveries, tell })),
        };
        let notifier = Notifier::open(outbox, channels, surroundings)?;
        Ok(Teller(Some(notifier)))
    }

    /// Deliver until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let Some(notifier) = self.0 else {
            return;
        };
        if let Err(error) = notifier.run(stop).await {
            tracing::error!(%error, "nobody is told of alarms");
        }
    }

    /// Whether there is anybody to tell.
    #[must_use]
    pub fn has_channels(&self) -> bool {
        self.0.is_some()
    }

    /// The names of the channels to people.
    #[must_use]
    pub fn channels(&self) -> Vec<String> {
        let channels = self.0.iter().flat_map(Notifier::channels);
        channels.map(str::to_owned).collect()
    }

    /// See to it that people are told of these alarms, which are all that the home has. On return what is new is on disk.
    pub async fn alarms(&self, home: &HomeId, alarms: &BTreeMap<String, AlarmRecord>) {
        let Some(notifier) = &self.0 else {
            return;
        };
        let alarms: Vec<_> = alarms
            .iter()
            .map(|(id, record)| alarm(home, id, record))
            .collect();
        if let Err(error) = notifier.reconcile(&alarms).await {
            tracing::error!(%home, %error, "alarms cannot be queued for people; it is tried again with the next");
        }
    }

    /// What waits for people of this home, and what was given up, each in the order in which it was queued.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub async fn undelivered(
        &self,
        home: &HomeId,
    ) -> Result<(Vec<Delivery>, Vec<Delivery>), NotifyError> {
        let Some(notifier) = &self.0 else {
            return Ok(Default::default());
        };
        let (mut waiting, mut dead) = (notifier.waiting().await?, notifier.dead().await?);
        for deliveries in [&mut waiting, &mut dead] {
            deliveries.retain(|delivery| delivery.message.home() == home.as_str());
        }
        Ok((waiting, dead))
    }

    /// Try again what was given up. Gives whether there is such a message of this home.
    ///
    /// # Errors
    /// The disk does not take it.
    pub async fn retry(&self, home: &HomeId, id: DeliveryId) -> Result<bool, NotifyError> {
        let Some(notifier) = &self.0 else {
            return Ok(false);
        };
        let dead = notifier.dead().await?;
        let is_own = |it: &Delivery| it.id == id && it.message.home() == home.as_str();
        Ok(dead.iter().any(is_own) && notifier.retry(id).await?)
    }

    /// Tell people something. On return it is on disk.
    ///
    /// # Errors
    /// The disk does not take it.
    pub async fn notice(&self, notice: Notice) -> Result<(), NotifyError> {
        match &self.0 {
            Some(notifier) => notifier.notify(notice).await,
            None => Ok(()),
        }
    }
}

/// An alarm of a home in the words of what delivers it.
fn alarm(home: &HomeId, id: &str, record: &AlarmRecord) -> Alarm {
    Alarm {
        home: home.to_string(),
        id: id.to_owned(),
        state: match record.state {
            input::AlarmState::Raised => AlarmState::Raised,
            input::AlarmState::Acknowledged => AlarmState::Acknowledged,
            input::AlarmState::Cleared => AlarmState::Cleared,
        },
        severity: match record.severity {
            rule::Severity::Info => Severity::Info,
            rule::Severity::Warning => Severity::Warning,
            rule::Severity::Critical => Severity::Critical,
        },
        class: record.class.map(|class| match class {
            rule::AlarmClass::Smoke => Class::Smoke,
            rule::AlarmClass::Gas => Class::Gas,
            rule::AlarmClass::Water => Class::Water,
            rule::AlarmClass::Intrusion => Class::Intrusion,
            rule::AlarmClass::Device => Class::Device,
            rule::AlarmClass::Health => Class::Health,
            rule::AlarmClass::Energy => Class::Energy,
            rule::AlarmClass::Climate => Class::Climate,
        }),
        message: record.message.clone(),
        raised_ms: record.raised_ms,
        changed_ms: record.changed_ms,
        by: record.by.clone(),
    }
}
