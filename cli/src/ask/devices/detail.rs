use std::{collections::BTreeMap, fmt::Write};

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Device, percent};
use crate::{
    ask::figures::{self, shown},
    stores::table,
};

/// What a service knows of a device.
#[derive(Debug, Deserialize)]
pub(super) struct Detail {
    device: Device,
    announced: Option<Announced>,
    twin: Option<Twin>,
}

/// What it announced.
#[derive(Debug, Deserialize)]
struct Announced {
    conventions: Vec<String>,
    identifiers: Vec<String>,
    topics: Vec<String>,
    features: Vec<Feature>,
    faults: Vec<Fault>,
    clock_skew_ms: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Feature {
    metric: String,
    settable: bool,
    takes: Option<String>,
    options: Vec<String>,
    min: Option<f64>,
    max: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    kind: String,
    detail: String,
    count: u64,
}

/// What box and cloud share of it.
#[derive(Debug, Deserialize)]
struct Twin {
    owner: Option<String>,
    desired: BTreeMap<String, Wanted>,
    conflicts: u64,
}

#[derive(Debug, Deserialize)]
struct Wanted {
    value: Value,
    by: String,
    status: String,
    reason: Option<String>,
    #[serde(deserialize_with = "figures::moment")]
    at: Option<Timestamp>,
}

impl Detail {
    /// All of it, for people.
    pub(super) fn text(&self, now: Timestamp) -> String {
        let mut text = String::new();
        for (name, value) in self.facts(now) {
            // A text takes all that is written to it.
            let _ = writeln!(text, "{name:<12}{value}");
        }
        let mut metrics = table(&["metric", "latest", "when", "readings", "set by"], 3..4);
        for metric in &self.device.metrics {
            metrics.add_row([
                shown(&metric.metric),
                metric.latest(),
                figures::ago(metric.last_ts, now),
                figures::count(metric.rows),
                self.takes(&metric.metric),
            ]);
        }
        let _ = writeln!(text, "\n{}", metrics.trim_fmt());
        self.wanted(&mut text, now);
        for fault in self.announced.iter().flat_map(|known| &known.faults) {
            let (kind, detail) = (shown(&fault.kind), shown(&fault.detail));
            let _ = writeln!(text, "fault {kind}, {} times: {detail}", fault.count);
        }
        text
    }

    fn facts(&self, now: Timestamp) -> Vec<(&'static str, String)> {
        let device = &self.device;
        let is = match device.online {
            Some(true) => "online",
            Some(false) => "away",
            None => "",
        };
        let make = [&device.vendor, &device.model, &device.firmware];
        let make: Vec<String> = make.into_iter().flatten().map(|text| shown(text)).collect();
        let list = |texts: &[String]| shown(&texts.join(", "));
        let mut facts = vec![
            ("device", shown(&device.device)),
            ("name", super::shown_or_empty(device.name.as_deref())),
            ("room", super::shown_or_empty(device.room.as_deref())),
            ("is", is.to_owned()),
            ("battery", percent(device.battery)),
            ("make", make.join(", ")),
        ];
        if let Some(known) = &self.announced {
            facts.push(("speaks", list(&known.conventions)));
            facts.push(("identifiers", list(&known.identifiers)));
            facts.push(("topics", list(&known.topics)));
            let skew = known
                .clock_skew_ms
                .map(|ms| format!("{ms} ms off the box's"));
            facts.push(("clock", skew.unwrap_or_default()));
        }
        if let Some(twin) = &self.twin {
            facts.push(("box", super::shown_or_empty(twin.owner.as_deref())));
        }
        let readings = figures::count(device.rows);
        let readings = match (device.first_ts, device.last_ts) {
            (Some(first), Some(_)) => format!(
                "{readings}, from {} on, the latest {}",
                figures::local(first),
                figures::ago(device.last_ts, now)
            ),
            _ => readings,
        };
        facts.push(("readings", readings));
        facts.retain(|(_, value)| !value.is_empty());
        facts
    }

    /// What a metric takes when it is set.
    fn takes(&self, metric: &str) -> String {
        let mut features = self.announced.iter().flat_map(|known| &known.features);
        let Some(feature) = features.find(|feature| feature.settable && feature.metric == metric)
        else {
            return String::new();
        };
        let takes = feature.takes.as_deref().unwrap_or("any");
        let bounds = match (feature.min, feature.max) {
            (Some(min), Some(max)) => {
                format!(" {} to {}", figures::number(min), figures::number(max))
            }
            _ => String::new(),
        };
        let options = match feature.options.as_slice() {
            [] => String::new(),
            options => format!(": {}", options.join(", ")),
        };
        shown(&format!("{takes}{bounds}{options}"))
    }

    fn wanted(&self, text: &mut String, now: Timestamp) {
        let Some(twin) = &self.twin else {
            return;
        };
        for (metric, wanted) in &twin.desired {
            let reason = wanted.reason.as_deref();
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            let line = format!(
                "wanted {metric} = {} by {} {}: {}{reason}",
                wanted.value,
                wanted.by,
                figures::ago(wanted.at, now),
                wanted.status
            );
            let _ = writeln!(text, "{}", shown(&line));
        }
        if twin.conflicts > 0 {
            let _ = writeln!(
                text,
                "{} metrics have conflicts: GET …/conflicts shows them",
                twin.conflicts
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_that_is_known_is_told_and_nothing_else() {
        let detail = json!({
            "device": {
                "device": "aa", "name": "Kettle", "room": null, "online": true, "battery": null, "vendor": "Acme",
                "model": "K\u{1b}1", "firmware": null, "rows": 3, "first_ts": "2026-11-22T09:00:00Z",
                "last_ts": "2026-11-22T09:59:00Z",
                "metrics": [{"metric": "state", "unit": null, "value": 1.0, "text": "ON", "rows": 3,
                             "first_ts": "2026-11-22T09:00:00Z", "last_ts": "2026-11-22T09:59:00Z"}],
            },
            "announced": {
                "conventions": ["tasmota"], "identifiers": ["mac:1"], "topics": ["tele/kettle/SENSOR"],
                "features": [{"metric": "state", "settable": true, "takes": "option", "options": ["ON", "OFF"],
                              "min": null, "max": null}],
                "faults": [{"kind": "template", "detail": "no such filter", "count": 5}], "clock_skew_ms": null,
            },
            "twin": {
                "owner": "0f39d4f7b3fad130", "conflicts": 0,
                "desired": {"state": {"value": "ON", "by": "anna", "at": "2026-11-22T09:59:58Z", "status": "refused",
                                       "reason": "it is locked", "ttl_s": null, "command": "c"}},
            },
            "missing": [],
        });
        let detail: Detail = serde_json::from_value(detail).expect("as the document has it");
        let text = detail.text("2026-11-22T10:00:00Z".parse().expect("a moment"));
        for line in [
            "name        Kettle",
            "make        Acme, K\u{fffd}1",
            "speaks      tasmota",
            "wanted state = \"ON\" by anna 2 s ago: refused: it is locked",
            "fault template, 5 times: no such filter",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\n{text}");
        }
        assert!(text.contains("option: ON, OFF"), "{text}");
        assert!(
            !text.contains("room") && !text.contains("battery"),
            "{text}"
        );
    }
}
