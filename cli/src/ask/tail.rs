//! `tarn tail`: what happens, as it happens.

use std::collections::BTreeMap;

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    devices::{Device, Devices},
    figures,
    live::{Live, Next},
    output,
};
use crate::{
    client::{Client, ServiceArgs},
    exit::Failure,
};

/// `tarn tail`.
#[derive(Debug, Args)]
pub(crate) struct TailCommand {
    /// Only these devices, by id or name
    #[arg(value_name = "DEVICE")]
    devices: Vec<String>,
    /// Only readings of this metric; may be repeated
    #[arg(long, value_name = "METRIC")]
    metric: Vec<String>,
    /// End after so many events
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// Print each event as JSON, one a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    service: ServiceArgs,
}

pub(crate) async fn run(command: TailCommand, stop: CancellationToken) -> Result<(), Failure> {
    tokio::select! {
        ended = listen(command) => ended,
        () = stop.cancelled() => Ok(()),
    }
}

async fn listen(command: TailCommand) -> Result<(), Failure> {
    let client = Client::new(&command.service)?;
    let home = client.home().await?;
    let known = Devices::of(&client, &home).await?;
    let mut query = Vec::new();
    for device in &command.devices {
        query.push(("device", known.id(device)?));
    }
    if !command.metric.is_empty() {
        query.push(("kind", "reading".to_owned()));
    }
    let names = known.devices.into_iter().filter_map(named).collect();
    let mut live = Live::open(&client, &home, query).await?;
    let mut left = command.count.unwrap_or(u64::MAX);
    while left > 0 {
        match live.next().await? {
            Next::Event(event) if is_wanted(&event, &command.metric) => {
                let line = match command.json {
                    true => event.to_string(),
                    false => line(&event, &names),
                };
                output::print(&format!("{line}\n"))?;
                left -= 1;
            }
            Next::Event(_) => {}
            Next::Lost(reason) => eprintln!("tarn: {reason}; trying again"),
        }
    }
    Ok(())
}

fn named(device: Device) -> Option<(String, String)> {
    Some((device.device, device.name?))
}

/// Readings of other metrics are left out; what tells of something that did not come never is.
fn is_wanted(event: &Value, metrics: &[String]) -> bool {
    metrics.is_empty()
        || match event["metric"].as_str() {
            Some(metric) => metrics.iter().any(|wanted| wanted == metric),
            None => matches!(event["kind"].as_str(), Some("gap" | "reset")),
        }
}

/// An event in one line.
fn line(event: &Value, names: &BTreeMap<String, String>) -> String {
    let text = |key: &str| event[key].as_str().unwrap_or_default();
    let name = |id: &str| figures::shown(names.get(id).map_or(id, String::as_str));
    let time = |key: &str| {
        let moment: Option<Timestamp> = text(key).parse().ok();
        moment.map_or_else(|| " ".repeat(12), figures::time_of_day)
    };
    let blank = " ".repeat(12);
    match text("kind") {
        "reading" => {
            let value = figures::value(
                event["value"].as_f64(),
                event["text"].as_str(),
                event["unit"].as_str(),
            );
            let metric = figures::shown(text("metric"));
            format!(
                "{}  {}  {metric}  {value}",
                time("ts"),
                name(text("device"))
            )
        }
        "presence" => {
            let is = match event["online"].as_bool() {
                Some(true) => "online",
                _ => "offline",
            };
            let what = figures::shown(text("what"));
            format!("{}  {what} {}  {is}", time("since"), name(text("id")))
        }
        "twin" => {
            let changed = event["changed"].as_array();
            let changed = changed.into_iter().flatten().filter_map(Value::as_str);
            let changed = changed.map(figures::shown).collect::<Vec<_>>().join(", ");
            format!("{blank}  {}  changed: {changed}", name(text("device")))
        }
        "gap" => format!("{blank}  {} events were dropped here", event["dropped"]),
        "reset" => format!("{blank}  begins anew: {}", figures::shown(text("reason"))),
        _ => format!("{blank}  {}", figures::shown(&event.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_has_its_line() {
        let names = BTreeMap::from([("5da".to_owned(), "Kettle".to_owned())]);
        // What stands before is the time of the day here, wherever that is.
        let check = |event: Value, said: &str| {
            let line = line(&event, &names);
            let (time, rest) = line.split_at(12);
            assert_eq!(rest, said, "{event}");
            let has_time = event["ts"].is_string() || event["since"].is_string();
            assert_eq!(time.trim().is_empty(), !has_time, "{line}");
        };
        let ts = "2026-11-22T10:00:00.120Z";
        check(
            json!({"kind": "reading", "device": "5da", "metric": "power", "value": 3.50, "unit": "W", "text": null, "ts": ts}),
            "  Kettle  power  3.5 W",
        );
        check(
            json!({"kind": "reading", "device": "hall", "metric": "lock", "value": null, "unit": null, "text": "a\u{7}b", "ts": ts}),
            "  hall  lock  a\u{fffd}b",
        );
        check(
            json!({"kind": "presence", "what": "device", "id": "5da", "online": false, "since": ts}),
            "  device Kettle  offline",
        );
        check(
            json!({"kind": "twin", "device": "5da", "changed": ["meta.name", "desired.state"]}),
            "  Kettle  changed: meta.name, desired.state",
        );
        check(
            json!({"kind": "gap", "dropped": 7}),
            "  7 events were dropped here",
        );
        check(
            json!({"kind": "reset", "reason": "too long ago"}),
            "  begins anew: too long ago",
        );
        check(json!({"kind": "later"}), "  {\"kind\":\"later\"}");
    }

    #[test]
    fn a_metric_leaves_out_other_readings_and_no_gap() {
        let wanted = |event: Value| is_wanted(&event, &["power".to_owned()]);
        assert!(wanted(json!({"kind": "reading", "metric": "power"})));
        assert!(!wanted(json!({"kind": "reading", "metric": "state"})));
        assert!(!wanted(json!({"kind": "twin"})));
        assert!(wanted(json!({"kind": "gap", "dropped": 1})));
        assert!(is_wanted(&json!({"kind": "twin"}), &[]));
    }
}
