use poem_openapi::{Object, types::Any};
use serde_json::Value;

use crate::{
    devices::{KnownDevice, Twin},
    service::Freshness,
};
use tarn_common::event::Event;
use tarn_common::query::{
    Missing,
    devices::{DeviceSummary, SeriesSummary},
    homes::HomeSummary,
};

/// Homes of the lake.
#[derive(Debug, Object)]
pub struct Homes {
    /// By name.
    pub homes: Vec<Home>,
}

/// A home, by what the catalog says of it.
#[derive(Debug, Object)]
pub struct Home {
    /// Its name.
    pub home: String,
    /// Number of chunks (Parquet files).
    pub chunks: u64,
    /// Number of readings, those in no chunk yet included.
    pub rows: u64,
    /// Size of its chunks in bytes.
    pub bytes: u64,
    /// When its earliest reading was measured, RFC 3339 UTC; null without a reading.
    pub first_ts: Option<String>,
    /// When its latest reading was measured, RFC 3339 UTC; null without a reading.
    pub last_ts: Option<String>,
}

/// Devices of a home.
#[derive(Debug, Object)]
pub struct DeviceList {
    /// By id.
    pub devices: Vec<Device>,
    /// Chunks that could not be read, so that their readings are not counted in.
    pub missing: Vec<MissingChunk>,
}

/// A device, by its readings and by what it says of itself.
#[derive(Debug, Object)]
pub struct Device {
    /// Its id.
    pub device: String,
    /// Its name for people; null where it has none.
    pub name: Option<String>,
    /// The room that it is in; null where nobody said it.
    pub room: Option<String>,
    /// Who made it; null where it does not say.
    pub vendor: Option<String>,
    /// What its vendor calls it; null where it does not say.
    pub model: Option<String>,
    /// Version of its firmware; null where it does not say.
    pub firmware: Option<String>,
    /// Whether it is there; null where nothing says it.
    pub online: Option<bool>,
    /// What is left in its battery, in percent; null where it does not say.
    pub battery: Option<f64>,
    /// Number of readings.
    pub rows: u64,
    /// When its earliest reading was measured, RFC 3339 UTC; null without a reading.
    pub first_ts: Option<String>,
    /// When its latest reading was measured, RFC 3339 UTC; null without a reading.
    pub last_ts: Option<String>,
    /// What it measures, by name.
    pub metrics: Vec<Metric>,
}

/// A device with all that it announced.
#[derive(Debug, Object)]
pub struct DeviceDetail {
    /// The device, by its readings and by what it says of itself.
    pub device: Device,
    /// What it announced; null for a device that is known by its topics or by the lake only.
    pub announced: Option<KnownDevice>,
    /// What box and cloud share of it; null for a device that has no twin.
    pub twin: Option<Twin>,
    /// Chunks that could not be read, so that their readings are not counted in.
    pub missing: Vec<MissingChunk>,
}

/// One metric of a device, with its latest reading.
#[derive(Debug, Object)]
pub struct Metric {
    /// Its name, like `temperature`.
    pub metric: String,
    /// Unit of the latest value; null without one.
    pub unit: Option<String>,
    /// Number of readings.
    pub rows: u64,
    /// When its earliest reading was measured, RFC 3339 UTC.
    pub first_ts: String,
    /// When its latest reading was measured, RFC 3339 UTC.
    pub last_ts: String,
    /// The latest value; null where that reading is a text.
    pub value: Option<f64>,
    /// The latest text; null where that reading is a number.
    pub text: Option<String>,
}

/// Latest readings of a home.
#[derive(Debug, Object)]
pub struct LatestList {
    /// In the order of devices, then metrics.
    pub latest: Vec<LatestReading>,
    /// Chunks that could not be read, so that their readings are not counted in.
    pub missing: Vec<MissingChunk>,
}

/// The latest reading of one metric of a device.
#[derive(Debug, Object)]
pub struct LatestReading {
    /// Id of the device.
    pub device: String,
    /// Name of the metric, like `temperature`.
    pub metric: String,
    /// When it was measured, RFC 3339 UTC.
    pub ts: String,
    /// The value; null where it is a text.
    pub value: Option<f64>,
    /// The text; null where it is a number.
    pub text: Option<String>,
    /// Unit of the value; null without one.
    pub unit: Option<String>,
}

/// A page of readings.
#[derive(Debug, Object)]
pub struct ReadingsPage {
    /// In the order of time, then metric.
    pub readings: Vec<Reading>,
    /// Pass it as `cursor` for the next page; null at the end.
    pub next_cursor: Option<String>,
    /// Chunks that could not be read, so that their readings may be absent here.
    pub missing: Vec<MissingChunk>,
    /// What is missing for good in the asked time, from where the page starts; at most 1000.
    pub gaps: Vec<Gap>,
    /// How fresh they are; null where the request did not ask with `fresh`.
    pub fresh: Option<Fresh>,
}

/// How fresh an answer is.
#[derive(Debug, Clone, Object)]
pub struct Fresh {
    /// Readings that were acknowledged until then are in the answer, RFC 3339 UTC.
    pub as_of: String,
    /// Whether nothing is missing of them.
    pub complete: bool,
    /// What was not waited for, in words.
    pub missing: Vec<String>,
}

/// One reading, or with `every` one bucket of readings.
#[derive(Debug, Object)]
pub struct Reading {
    /// When it was measured, or where the bucket starts, RFC 3339 UTC.
    pub ts: String,
    /// Id of the device.
    pub device: String,
    /// What was measured.
    pub metric: String,
    /// The number, in `unit`; booleans as 0 and 1; null for a text.
    pub value: Option<f64>,
    /// The text; null for a number.
    pub text: Option<String>,
    /// Unit of the value; null without one.
    pub unit: Option<String>,
    /// When the box got it, RFC 3339 UTC; null for a bucket.
    pub received: Option<String>,
    /// Its number in the box's journal; null for a bucket.
    pub seq: Option<i64>,
    /// 0 good, 1 clock mended, 2 late, 3 estimated, 4 historical, 5 binary; null for a bucket.
    pub quality: Option<i8>,
    /// Id of the box that took it, 16 hex digits; null for a bucket.
    pub edge: Option<String>,
    /// Number of readings in the bucket; null for a single reading.
    pub count: Option<i64>,
}

/// A chunk whose readings should be in the answer and are not.
#[derive(Debug, Object)]
pub struct MissingChunk {
    /// Key of the chunk in its store.
    pub chunk: String,
    /// Home that it belongs to.
    pub home: String,
    /// Its earliest reading, RFC 3339 UTC.
    pub from: String,
    /// Its latest reading, RFC 3339 UTC.
    pub to: String,
    /// Number of readings in it.
    pub rows: u64,
    /// Why it could not be read.
    pub reason: String,
}

/// Gaps of a home.
#[derive(Debug, Object)]
pub struct GapList {
    /// In the order of time, at most 1000.
    pub gaps: Vec<Gap>,
    /// How many there are.
    pub count: u64,
    /// Chunks of events that could not be read, so that gaps may be absent here.
    pub missing: Vec<MissingChunk>,
}

/// Readings that are missing and will not come.
#[derive(Debug, Object)]
pub struct Gap {
    /// When the first missing reading was measured, RFC 3339 UTC; of damaged records, when the box was sure to be
    /// well before.
    pub from: String,
    /// When the last missing reading was measured, RFC 3339 UTC; of damaged records, when the box was well again.
    pub to: String,
    /// Id of the device; null where all may be concerned.
    pub device: Option<String>,
    /// What was measured; null where all may be concerned.
    pub metric: Option<String>,
    /// Number of missing readings; null where it is not known.
    pub rows: Option<u64>,
    /// Number of damaged records of the box's journal; null where it was not that.
    pub records: Option<u64>,
    /// Why they are missing: `thinned` (the box was full, and some readings of a dense series were dropped),
    /// `evicted` (the box was full) or `damaged` (the box's disk failed).
    pub reason: String,
    /// What they were worth: `telemetry`, `state` or `vital`; null where it is not known.
    pub tier: Option<String>,
    /// Id of the box that took them, 16 hex digits.
    pub edge: String,
}

/// A question in SQL.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub struct SqlRequest {
    /// One query that reads. The tables are `readings`, with the columns `ts`, `device`, `metric`, `value`,
    /// `text`, `unit`, `received`, `seq`, `quality`, `home`, `edge` and `date`, and `events`, with the columns `ts`,
    /// `until`, `kind`, `device`, `metric`, `tier`, `reason`, `rows`, `records`, `bytes`, `edge`, `first_seq`, `last_seq`,
    /// `recorded`, `text`, `home` and `date`; rows of the kind `gap` tell of readings that are missing for good.
    #[oai(validator(max_length = 65536))]
    pub sql: String,
}

/// The answer to a question in SQL.
#[derive(Debug, Object)]
pub struct SqlAnswer {
    /// Names and types, in the order of the cells of a row.
    pub columns: Vec<Column>,
    /// The rows: one array of cells each. Moments are RFC 3339 text, what is not a number or unknown is null.
    pub rows: Vec<Vec<Any<Value>>>,
    /// Whether rows were cut off at the limit of the service.
    pub truncated: bool,
    /// Chunks that could not be read, so that their readings are not in the answer.
    pub missing: Vec<MissingChunk>,
    /// How long it took, milliseconds.
    pub took_ms: u64,
}

/// A column of an answer.
#[derive(Debug, Object)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its Arrow type, like `Int64`, `Float64`, `Utf8` or `Timestamp(ms, "UTC")`.
    #[oai(rename = "type")]
    pub kind: String,
}

/// A moment as text: RFC 3339, UTC, milliseconds.
#[must_use]
pub fn moment(ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) => format!("{at:.3}"),
        // A device may claim a year that no calendar has: then the number itself is the honest answer.
        Err(_) => ms.to_string(),
    }
}

impl From<HomeSummary> for Home {
    fn from(home: HomeSummary) -> Home {
        Home {
            home: home.home.to_string(),
            chunks: home.chunks,
            rows: home.rows,
            bytes: home.bytes,
            first_ts: home.first_ts.map(moment),
            last_ts: home.last_ts.map(moment),
        }
    }
}

impl Device {
    /// A device of the lake; what it announced says more than what the lake has of that.
    #[must_use]
    pub fn new(summary: &DeviceSummary, known: Option<&KnownDevice>) -> Device {
        let metrics = &summary.metrics;
        let told = |name: &str| {
            metrics
                .get(name)
                .and_then(|m| m.text.as_deref().map(str::to_owned))
        };
        let mut device = Device {
            device: summary.device.to_string(),
            name: told("device.name"),
            room: told("device.room"),
            vendor: told("device.vendor"),
            model: told("device.model"),
            firmware: told("device.firmware"),
            online: None,
            battery: battery(summary, known),
            rows: summary.rows,
            first_ts: Some(moment(summary.first_ts)),
            last_ts: Some(moment(summary.last_ts)),
            metrics: metrics
                .iter()
                .map(|(name, series)| metric(name, series))
                .collect(),
        };
        if let Some(known) = known {
            device.announced(known);
        }
        device
    }

    /// A device that has announced itself and told no reading yet.
    #[must_use]
    pub fn silent(known: &KnownDevice) -> Device {
        let mut device = Device {
            device: known.device.clone(),
            name: None,
            room: None,
            vendor: None,
            model: None,
            firmware: None,
            online: None,
            battery: None,
            rows: 0,
            first_ts: None,
            last_ts: None,
            metrics: Vec::new(),
        };
        device.announced(known);
        device
    }

    fn announced(&mut self, known: &KnownDevice) {
        let say = |place: &mut Option<String>, said: &Option<String>| {
            if said.is_some() {
                place.clone_from(said);
            }
        };
        say(&mut self.name, &known.name);
        say(&mut self.room, &known.room);
        say(&mut self.vendor, &known.vendor);
        say(&mut self.model, &known.model);
        say(&mut self.firmware, &known.firmware);
        self.online = known.online;
    }
}

/// The latest charge: of the metric whose device class says so, else of one that is called so.
fn battery(summary: &DeviceSummary, known: Option<&KnownDevice>) -> Option<f64> {
    let features = known.into_iter().flat_map(|known| &known.features);
    let mut classed = features.filter(|feature| feature.class.as_deref() == Some("battery"));
    let named = classed.find_map(|feature| summary.metrics.get(feature.metric.as_str()));
    let series = named.or_else(|| summary.metrics.get("battery"))?;
    series
        .value
        .filter(|_| series.unit.as_deref().is_none_or(|unit| unit == "%"))
}

impl LatestReading {
    /// What a summary says of a metric's last reading.
    #[must_use]
    pub fn of(device: &str, metric: &str, series: &SeriesSummary) -> LatestReading {
        LatestReading {
            device: device.to_owned(),
            metric: metric.to_owned(),
            ts: moment(series.last_ts),
            value: series.value.filter(|v| v.is_finite()),
            text: series.text.as_deref().map(str::to_owned),
            unit: series.unit.as_deref().map(str::to_owned),
        }
    }
}

fn metric(name: &str, series: &SeriesSummary) -> Metric {
    Metric {
        metric: name.to_owned(),
        unit: series.unit.as_deref().map(str::to_owned),
        rows: series.rows,
        first_ts: moment(series.first_ts),
        last_ts: moment(series.last_ts),
        value: series.value.filter(|v| v.is_finite()),
        text: series.text.as_deref().map(str::to_owned),
    }
}

impl From<Freshness> for Fresh {
    fn from(freshness: Freshness) -> Fresh {
        Fresh {
            as_of: moment(freshness.as_of_ms),
            complete: freshness.missing.is_empty(),
            missing: freshness.missing,
        }
    }
}

impl Fresh {
    /// The same in one line of ASCII, for a header.
    #[must_use]
    pub fn line(&self) -> String {
        let Fresh {
            as_of,
            complete,
            missing,
        } = self;
        format!("{as_of}; complete={complete}; missing={}", missing.len())
    }
}

impl From<&Event> for Gap {
    fn from(gap: &Event) -> Gap {
        let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
        Gap {
            from: moment(gap.ts),
            to: moment(gap.until),
            device: text(&gap.device),
            metric: text(&gap.metric),
            rows: gap.rows,
            records: gap.records,
            reason: text(&gap.reason).unwrap_or_default(),
            tier: text(&gap.tier),
            edge: gap.edge.to_string(),
        }
    }
}

impl From<&Missing> for MissingChunk {
    fn from(missing: &Missing) -> MissingChunk {
        MissingChunk {
            chunk: missing.chunk.to_string(),
            home: missing.chunk.home.to_string(),
            from: moment(missing.from),
            to: moment(missing.to),
            rows: missing.rows,
            reason: missing.reason.clone(),
        }
    }
}
