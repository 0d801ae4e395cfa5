use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::tz::TimeZone;
use tarn_notify::{
    Alarm, AlarmState, Channels, Class, Delivery, Notifier, NotifyError, Observer, Outcome,
    Severity, Surroundings,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// 2025-05-01 12:00 UTC.
pub(crate) const NOON: i64 = 1_746_100_800_000;

/// A notifier that runs, its clock, and what it tells of its deliveries.
pub(crate) struct House {
    pub(crate) notifier: Notifier,
    now_ms: Arc<AtomicI64>,
    outcomes: mpsc::UnboundedReceiver<(Delivery, Outcome)>,
    stop: CancellationToken,
    running: JoinHandle<Result<(), NotifyError>>,
}

struct Ear(mpsc::UnboundedSender<(Delivery, Outcome)>);

impl Observer for Ear {
    fn became(&self, delivery: &Delivery, outcome: &Outcome) {
        // The test may be over already.
        let _ = self.0.send((delivery.clone(), outcome.clone()));
    }
}

impl House {
    pub(crate) fn start(folder: &Path, channels: &str) -> House {
        let now_ms = Arc::new(AtomicI64::new(NOON));
        let clock = Arc::clone(&now_ms);
        let (ear, outcomes) = mpsc::unbounded_channel();
        let notifier = Notifier::open(
            &folder.join("notify.redb"),
            Channels::parse(channels, folder).expect("channels"),
            Surroundings {
                clock: Arc::new(move || clock.load(Ordering::SeqCst)),
                zone: TimeZone::UTC,
                observer: Some(Arc::new(Ear(ear))),
            },
        );
        let notifier = notifier.expect("opens");
        let stop = CancellationToken::new();
        let (runs, stopped) = (notifier.clone(), stop.clone());
        House {
            notifier,
            now_ms,
            outcomes,
            stop,
            running: tokio::spawn(async move { runs.run(stopped).await }),
        }
    }

    /// Let the clock say this.
    pub(crate) fn set_clock(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
        self.notifier.wake();
    }

    /// What becomes of the next delivery.
    pub(crate) async fn outcome(&mut self) -> (Delivery, Outcome) {
        in_time(self.outcomes.recv()).await.expect("it runs")
    }

    /// The next delivery arrives.
    pub(crate) async fn delivered(&mut self) -> Delivery {
        let (delivery, outcome) = self.outcome().await;
        assert_eq!(outcome, Outcome::Delivered, "{delivery:?}");
        delivery
    }

    /// The next attempt fails. Gives why, and when it is tried again.
    pub(crate) async fn failed(&mut self) -> (String, i64) {
        match self.outcome().await {
            (_, Outcome::Failed { words, retry_ms }) => (words, retry_ms),
            other => panic!("{other:?}"),
        }
    }

    /// The next delivery is given up. Gives why.
    pub(crate) async fn dead(&mut self) -> (Delivery, String) {
        match self.outcome().await {
            (delivery, Outcome::Dead { words }) => (delivery, words),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.running.await.expect("ends").expect("ran");
    }
}

/// What has to happen soon; a test that waits for it must not wait for ever.
pub(crate) async fn in_time<T>(event: impl Future<Output = T>) -> T {
    let in_time = tokio::time::timeout(Duration::from_secs(30), event).await;
    in_time.expect("it happens within 30 s")
}

pub(crate) fn alarm(id: &str, state: AlarmState) -> Alarm {
    Alarm {
        home: "lakeside".into(),
        id: id.into(),
        state,
        severity: Severity::Critical,
        class: Some(Class::Water),
        message: "Wasser im Keller – 3 cm".into(),
        raised_ms: NOON,
        changed_ms: NOON,
        by: "rule:leak".into(),
    }
}

/// A file of channels, webhooks to these addresses.
pub(crate) fn webhooks(urls: &[(&str, &str)]) -> String {
    let channel = |(name, url): &(&str, &str)| {
        format!("[[channel]]\nname = \"{name}\"\nkind = \"webhook\"\nurl = \"{url}\"\n")
    };
    urls.iter().map(channel).collect()
}
