use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tarn_broker::Publisher;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::Devices;
use crate::identity::Identity;

/// How often the box tells its state.
const EVERY: Duration = Duration::from_secs(30);
/// Home Assistant takes the box for gone after so long without its state: a box that lost its power cannot say so.
const EXPIRE_AFTER_S: u64 = 120;

/// A broker that stops sends nothing more, so what the box says last gets this long to reach who listens.
const FAREWELL: Duration = Duration::from_millis(250);

/// The box's own health, as it is told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Health {
    /// Log entries that no store has yet.
    pub backlog_entries: u64,
    /// Bytes of their chunks.
    pub backlog_bytes: u64,
    /// Milliseconds since 1970 UTC of the last chunk that got into the store; none before the first.
    pub last_shipped_ms: Option<i64>,
    /// Bytes of chunks and journal on the disk.
    pub disk_used_bytes: u64,
    /// Bytes that they may take.
    pub disk_budget_bytes: u64,
    /// Devices that announced themselves.
    pub devices: u64,
    /// Whether publishes are refused because the disk or the budget is full.
    pub is_full: bool,
}

/// Shows the box to Home Assistant as a device with sensors.
pub struct SelfDiscovery {
    /// First level of discovery topics.
    pub prefix: String,
    /// Who the box is.
    pub identity: Identity,
    /// Where it is told.
    pub publisher: Publisher,
    /// Whose start is heard.
    pub devices: Arc<Devices>,
    /// What is told.
    pub health: Box<dyn Fn() -> Health + Send + Sync>,
}

impl SelfDiscovery {
    /// Tell until stopped; then say that the box is gone.
    pub async fn run(self, stop: CancellationToken) {
        let mut every = interval(EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.announce();
        loop {
            tokio::select! {
                _ = every.tick() => {}
                () = self.devices.home_assistant_started.notified() => self.announce(),
                () = stop.cancelled() => break,
            }
            self.tell(
                &self.topic("state"),
                &state(&(self.health)()).to_string(),
                true,
            );
        }
        self.tell(&self.topic("availability"), "offline", true);
        sleep(FAREWELL).await;
    }

    fn announce(&self) {
        let id = self.id();
        let config = self.config().to_string();
        self.tell(
            &format!("{}/device/{id}/config", self.prefix),
            &config,
            true,
        );
        self.tell(&self.topic("availability"), "online", true);
    }

    fn id(&self) -> String {
        format!("tarn_{}", self.identity.edge)
    }

    /// A topic of the box's own.
    fn topic(&self, name: &str) -> String {
        format!(
            "tarn/{}/box/{}/{name}",
            self.identity.home, self.identity.edge
        )
    }

    /// The discovery message, in the device form.
    fn config(&self) -> Value {
        let id = self.id();
        let sensor = |key: &str, name: &str, more: Value| {
            let mut component = json!({
                "p": "sensor",
                "name": name,
                "unique_id": format!("{id}_{key}"),
                "value_template": format!("{{{{ value_json.{key} }}}}"),
                "entity_category": "diagnostic",
                "expire_after": EXPIRE_AFTER_S,
            });
            if let (Some(component), Value::Object(more)) = (component.as_object_mut(), more) {
                component.extend(more);
            }
            component
        };
        let bytes = json!({"device_class": "data_size", "unit_of_measurement": "B", "state_class": "measurement"});
        let count = json!({"state_class": "measurement"});
        let mut problem = sensor("problem", "Problem", json!({"device_class": "problem"}));
        problem["p"] = json!("binary_sensor");
        json!({
            "dev": {
                "ids": [id],
                "name": format!("Tarn {}", self.identity.home),
                "mf": "Tarn",
                "mdl": "Box",
                "sw": env!("CARGO_PKG_VERSION"),
            },
            "o": {"name": "tarn", "sw": env!("CARGO_PKG_VERSION")},
            "state_topic": self.topic("state"),
            "availability_topic": self.topic("availability"),
            "cmps": {
                "backlog_entries": sensor("backlog_entries", "Backlog", count.clone()),
                "backlog_bytes": sensor("backlog_bytes", "Backlog size", bytes.clone()),
                "last_shipped": sensor("last_shipped", "Last shipped", json!({"device_class": "timestamp"})),
                "disk_used": sensor("disk_used", "Disk used", bytes),
                "disk_used_percent": sensor("disk_used_percent", "Disk budget used", json!({"unit_of_measurement": "%", "state_class": "measurement"})),
                "devices": sensor("devices", "Devices", count),
                "problem": problem,
            },
        })
    }

    fn tell(&self, topic: &str, payload: &str, retain: bool) {
        if let Err(error) = self.publisher.publish(topic, payload.to_owned(), 0, retain) {
            tracing::error!(%error, "a topic of the box's own");
        }
    }
}

fn state(health: &Health) -> Value {
    let budget = health.disk_budget_bytes.max(1) as f64;
    let percent = health.disk_used_bytes as f64 / budget * 100.0;
    let shipped = health.last_shipped_ms.map(tarn_openapi::types::moment);
    json!({
        "backlog_entries": health.backlog_entries,
        "backlog_bytes": health.backlog_bytes,
        "last_shipped": shipped,
        "disk_used": health.disk_used_bytes,
        "disk_used_percent": (percent * 10.0).round() / 10.0,
        "devices": health.devices,
        "problem": if health.is_full { "ON" } else { "OFF" },
    })
}
