//! The broker's own figures as messages: the `$SYS` topics that dashboards know from mosquitto.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{broker::Shared, publisher::Publisher};

/// How often figures are published.
const EVERY: Duration = Duration::from_secs(10);

/// The averages of figures per minute, by the minutes they look back.
const LOADS: [(&str, f64); 3] = [("1min", 1.0), ("5min", 5.0), ("15min", 15.0)];

/// Publish the figures until the broker stops. Only what has changed is published again.
pub(crate) async fn publish(shared: Arc<Shared>, publisher: Publisher) {
    let mut sys = Sys {
        publisher,
        started: Instant::now(),
        last: HashMap::new(),
        loads: HashMap::new(),
        clients_max: 0,
    };
    sys.tell("version", format!("tarn {}", env!("CARGO_PKG_VERSION")));
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            _ = every.tick() => sys.look(&shared),
        }
    }
}

struct Sys {
    publisher: Publisher,
    started: Instant,
    /// What was published last, by topic.
    last: HashMap<String, String>,
    /// Counter at the last look and averages per minute, by topic.
    loads: HashMap<&'static str, (u64, [f64; 3])>,
    clients_max: i64,
}

impl Sys {
    fn look(&mut self, shared: &Shared) {
        let metrics = &shared.metrics;
        let totals = metrics.totals();
        let connected = shared.clients.len() as i64;
        let sessions = metrics.sessions.get();
        self.clients_max = self.clients_max.max(connected);
        let gauges = [
            (
                "uptime",
                format!("{} seconds", self.started.elapsed().as_secs()),
            ),
            ("clients/connected", connected.to_string()),
            (
                "clients/disconnected",
                (sessions - connected).max(0).to_string(),
            ),
            ("clients/total", sessions.max(connected).to_string()),
            ("clients/maximum", self.clients_max.to_string()),
            (
                "clients/expired",
                metrics.sessions_expired.get().to_string(),
            ),
            (
                "subscriptions/count",
                metrics.subscriptions.get().to_string(),
            ),
            (
                "retained messages/count",
                metrics.retained_messages.get().to_string(),
            ),
            (
                "store/messages/count",
                metrics.queued_messages.get().to_string(),
            ),
            (
                "store/messages/bytes",
                metrics.queued_bytes.get().to_string(),
            ),
            ("publish/messages/dropped", totals.dropped.to_string()),
        ];
        for (topic, value) in gauges {
            self.tell(topic, value);
        }
        for (topic, count) in [
            ("messages/received", metrics.received_packets.get()),
            ("messages/sent", metrics.sent_packets.get()),
            ("bytes/received", metrics.received_bytes.get()),
            ("bytes/sent", metrics.sent_bytes.get()),
            ("publish/messages/received", totals.published),
            ("publish/messages/sent", totals.delivered),
            ("publish/bytes/received", totals.published_bytes),
            ("publish/bytes/sent", totals.delivered_bytes),
        ] {
            self.tell(topic, count.to_string());
            self.tell_load(topic, count);
        }
    }

    /// Publish how much a counter grows in a minute, as moving averages.
    fn tell_load(&mut self, topic: &'static str, count: u64) {
        let (last, averages) = self.loads.entry(topic).or_insert((count, [0.0; 3]));
        let minutes = EVERY.as_secs_f64() / 60.0;
        let per_minute = (count - *last) as f64 / minutes;
        *last = count;
        let mut averages_now = Vec::with_capacity(LOADS.len());
        for (average, (name, span)) in averages.iter_mut().zip(LOADS) {
            let weight = (-minutes / span).exp();
            *average = *average * weight + per_minute * (1.0 - weight);
            averages_now.push((name, *average));
        }
        for (name, average) in averages_now {
            self.tell(&format!("load/{topic}/{name}"), format!("{average:.2}"));
        }
    }

    fn tell(&mut self, topic: &str, value: String) {
        if self.last.get(topic) == Some(&value) {
            return;
        }
        let name = format!("$SYS/broker/{topic}");
        if let Err(error) = self.publisher.publish(&name, value.clone(), 0, true) {
            tracing::error!(%error, "a topic of the broker's own");
        }
        self.last.insert(topic.to_owned(), value);
    }
}
