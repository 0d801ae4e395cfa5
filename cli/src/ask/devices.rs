//! `tarn devices`: what a home has, and one device in detail.

/// One device in detail.
mod detail;

use clap::Args;
use comfy_table::{Cell, Color};
use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;
use tarn_common::clock::{Clock, SystemClock};

use self::detail::Detail;
use super::{
    figures::{self, shown},
    output,
};
use crate::{
    client::{AskError, Client, ServiceArgs},
    exit::Failure,
    stores::table,
};

/// Readings that a device's line shows.
const READINGS_SHOWN: usize = 3;

/// `tarn devices`.
#[derive(Debug, Args)]
pub(crate) struct DevicesCommand {
    /// One device in detail, by its id or name
    #[arg(value_name = "DEVICE")]
    device: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Devices of a home, as the service lists them.
#[derive(Debug, Deserialize)]
pub(super) struct Devices {
    pub(super) devices: Vec<Device>,
    missing: Vec<IgnoredAny>,
}

/// A device.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Device {
    pub(super) device: String,
    pub(super) name: Option<String>,
    pub(super) room: Option<String>,
    pub(super) online: Option<bool>,
    battery: Option<f64>,
    vendor: Option<String>,
    model: Option<String>,
    firmware: Option<String>,
    rows: u64,
    #[serde(deserialize_with = "figures::moment")]
    first_ts: Option<Timestamp>,
    #[serde(deserialize_with = "figures::moment")]
    last_ts: Option<Timestamp>,
    metrics: Vec<Metric>,
}

/// What a device measures, with the latest reading.
#[derive(Debug, Deserialize)]
struct Metric {
    metric: String,
    unit: Option<String>,
    value: Option<f64>,
    text: Option<String>,
    rows: u64,
    #[serde(deserialize_with = "figures::moment")]
    last_ts: Option<Timestamp>,
}

pub(crate) async fn run(command: DevicesCommand) -> Result<(), Failure> {
    let client = Client::new(&command.service)?;
    let home = client.home().await?;
    let now = now();
    match &command.device {
        None if command.json => {
            let answer: Value = client.get(&["v1", "homes", &home, "devices"], &[]).await?;
            output::print_json(&answer)
        }
        None => output::print(&Devices::of(&client, &home).await?.table(now)),
        Some(named) => {
            let id = Devices::of(&client, &home).await?.id(named)?;
            let path = ["v1", "homes", &home, "devices", &id];
            let answer: Value = client.get(&path, &[]).await?;
            if command.json {
                return output::print_json(&answer);
            }
            let detail = serde_json::from_value::<Detail>(answer);
            let detail = detail.map_err(|e| client.strange(e.to_string()))?;
            output::print(&detail.text(now))
        }
    }
}

/// Now, by this machine.
pub(super) fn now() -> Timestamp {
    Timestamp::from_millisecond(SystemClock.now_ms()).unwrap_or_default()
}

impl Devices {
    /// The devices of a home.
    pub(super) async fn of(client: &Client, home: &str) -> Result<Devices, AskError> {
        client.get(&["v1", "homes", home, "devices"], &[]).await
    }

    /// The id of a device that there is, named by id or name.
    pub(super) async fn existing(
        client: &Client,
        home: &str,
        named: &str,
    ) -> Result<String, Failure> {
        let devices = Devices::of(client, home).await?;
        let id = devices.id(named)?;
        if devices.devices.iter().all(|device| device.device != id) {
            // Only the service knows ids of before, and it says best that there is no such device.
            let path = ["v1", "homes", home, "devices", &id];
            let _: IgnoredAny = client.get(&path, &[]).await?;
        }
        Ok(id)
    }

    /// The id of a device that is named by id or name. What is neither may be an id that it had before.
    pub(super) fn id(&self, named: &str) -> Result<String, Failure> {
        if self.devices.iter().any(|device| device.device == named) {
            return Ok(named.to_owned());
        }
        let wanted = named.to_lowercase();
        let is_wanted = |device: &&Device| {
            let name = device.name.as_deref();
            name.is_some_and(|name| name.to_lowercase() == wanted)
        };
        let mut found = self.devices.iter().filter(is_wanted);
        match (found.next(), found.next()) {
            (None, _) => Ok(named.to_owned()),
            (Some(only), None) => Ok(only.device.clone()),
            (Some(first), Some(second)) => Err(Failure::usage(format!(
                "several devices are called {named:?}: use an id, like {} or {}",
                first.device, second.device
            ))),
        }
    }

    fn table(&self, now: Timestamp) -> String {
        if self.devices.is_empty() {
            return "no devices yet: publish something to the box by MQTT\n".into();
        }
        let heads = [
            "device", "name", "room", "is", "battery", "latest", "readings", "values",
        ];
        let mut table = table(&heads, 6..7);
        for device in &self.devices {
            table.add_row([
                Cell::new(shown(&device.device)),
                Cell::new(shown_or_empty(device.name.as_deref())),
                Cell::new(shown_or_empty(device.room.as_deref())),
                presence(device.online),
                Cell::new(percent(device.battery)),
                Cell::new(figures::ago(device.last_ts, now)),
                Cell::new(figures::count(device.rows)),
                Cell::new(device.values()),
            ]);
        }
        let note = match self.missing.len() {
            0 => String::new(),
            missing => {
                format!("{missing} chunks could not be read: what is in them is not counted\n")
            }
        };
        format!("{}\n{note}", table.trim_fmt())
    }
}

impl Device {
    /// Latest readings: those of measurements before others.
    fn values(&self) -> String {
        let mut metrics: Vec<&Metric> = self.metrics.iter().collect();
        metrics.sort_by_key(|metric| metric.unit.is_none());
        let values = metrics.iter().take(READINGS_SHOWN).map(|metric| {
            let value = metric.latest();
            format!("{} {value}", shown(&metric.metric))
        });
        let more = self.metrics.len() > READINGS_SHOWN;
        let values = values.collect::<Vec<_>>().join(", ");
        format!("{values}{}", if more { ", …" } else { "" })
    }
}

impl Metric {
    fn latest(&self) -> String {
        figures::value(self.value, self.text.as_deref(), self.unit.as_deref())
    }
}

fn shown_or_empty(text: Option<&str>) -> String {
    text.map_or_else(String::new, shown)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(String::new, |share| format!("{} %", figures::number(share)))
}

/// Whether something is there, as a cell.
pub(super) fn presence(online: Option<bool>) -> Cell {
    match online {
        Some(true) => Cell::new("online").fg(Color::Green),
        Some(false) => Cell::new("away").fg(Color::Red),
        None => Cell::new(""),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn devices() -> Devices {
        let device = |id: &str, name: Option<&str>| {
            json!({
                "device": id, "name": name, "room": null, "online": true, "battery": 80.0, "vendor": null,
                "model": null, "firmware": null, "rows": 1200, "first_ts": null, "last_ts": "2026-11-22T09:59:00.000Z",
                "metrics": [
                    {"metric": "state", "unit": null, "value": 1.0, "text": "ON", "rows": 600,
                     "first_ts": "2026-11-22T09:00:00.000Z", "last_ts": "2026-11-22T09:59:00.000Z"},
                    {"metric": "power", "unit": "W", "value": 12.25, "text": null, "rows": 600,
                     "first_ts": "2026-11-22T09:00:00.000Z", "last_ts": "2026-11-22T09:59:00.000Z"},
                ],
            })
        };
        let list = json!({
            "devices": [
                device("aa", Some("Kettle")), device("bb", Some("lamp")), device("cc", Some("Lamp")), device("hall", None),
            ],
            "missing": [],
        });
        serde_json::from_value(list).expect("as the document has it")
    }

    #[test]
    fn a_device_is_found_by_id_or_name() {
        let devices = devices();
        let check = |named: &str, id: Option<&str>| {
            assert_eq!(devices.id(named).ok().as_deref(), id, "{named}");
        };
        check("aa", Some("aa"));
        check("kettle", Some("aa"));
        check("Lamp", None);
        check("hall", Some("hall"));
        check("of long ago", Some("of long ago"));
    }

    #[test]
    fn a_line_tells_of_a_device() {
        let now = "2026-11-22T10:00:00Z".parse().expect("a moment");
        let table = devices().table(now);
        let line = table.lines().nth(1).expect("a row");
        let words: Vec<&str> = line.split_whitespace().collect();
        let expected = "aa Kettle online 80 % 60 s ago 1 200 power 12.25 W, state ON";
        assert_eq!(words.join(" "), expected, "{table}");
    }
}
