//! `tarn readings`: a device's history, metric by metric.

/// Pages of readings, one after another.
mod pages;
/// What buckets say of each metric.
mod summary;

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tarn_common::query::when;

use self::{
    pages::{Page, Pages},
    summary::{Bucket, Summaries, Window},
};
use super::{
    devices::{Devices, now},
    export::{Export, ExportArgs},
    output,
};
use crate::{
    client::{Client, JSON, ServiceArgs},
    exit::Failure,
    progress,
};

/// Show a device's history: each metric with a line of how it went
///
/// A blank in the line is time without a reading, a dot (·) time whose
/// readings are missing for good. With --csv, --parquet or --json come the readings themselves, or with --every one row
/// per bucket.
#[derive(Debug, Args)]
pub(crate) struct ReadingsCommand {
    /// The device, by its id or name
    #[arg(value_name = "DEVICE")]
    device: String,
    /// Only these metrics
    #[arg(value_name = "METRIC")]
    metrics: Vec<String>,
    /// From this moment on: RFC 3339, a date, or a duration back from now
    #[arg(
        long,
        value_name = "TIME",
        default_value = "-24h",
        allow_hyphen_values = true
    )]
    from: String,
    /// Up to before this moment
    #[arg(
        long,
        value_name = "TIME",
        default_value = "now",
        allow_hyphen_values = true
    )]
    to: String,
    /// Width of a bucket, like 15m, 1h or 1d [default: what fits the line]
    #[arg(long, value_name = "WIDTH")]
    every: Option<String>,
    /// How a bucket becomes one value
    #[arg(long, value_enum, value_name = "HOW", default_value_t = Aggregate::Avg)]
    agg: Aggregate,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    export: ExportArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

/// How a bucket becomes one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Aggregate {
    Avg,
    Min,
    Max,
    Sum,
    Count,
    First,
    Last,
}

impl Aggregate {
    fn word(self) -> &'static str {
        match self {
            Aggregate::Avg => "avg",
            Aggregate::Min => "min",
            Aggregate::Max => "max",
            Aggregate::Sum => "sum",
            Aggregate::Count => "count",
            Aggregate::First => "first",
            Aggregate::Last => "last",
        }
    }
}

pub(crate) async fn run(command: ReadingsCommand) -> Result<(), Failure> {
    let client = Client::new(&command.service)?;
    let window = command.window()?;
    let export = command.export.open()?;
    let home = client.home().await?;
    let device = Devices::existing(&client, &home, &command.device).await?;
    let source = Source {
        client: &client,
        path: ["v1", "homes", &home, "devices", &device, "readings"]
            .map(str::to_owned)
            .to_vec(),
        metrics: &command.metrics,
        window,
    };
    let rows = command.every.as_ref().map(|_| command.agg);
    match export {
        Some(export) => source.export(rows, export).await,
        None if command.json => source.json(rows).await,
        None => source.table(&command.device, command.agg).await,
    }
}

impl ReadingsCommand {
    fn window(&self) -> Result<Window, Failure> {
        let now_ms = now().as_millisecond();
        let moment = |name: &str, text: &str| {
            let moment = when::moment(name, text, now_ms);
            moment.map_err(|e| Failure::usage(e.to_string()))
        };
        let (from_ms, to_ms) = (moment("--from", &self.from)?, moment("--to", &self.to)?);
        if from_ms >= to_ms {
            return Err(Failure::usage("--from is not before --to".into()));
        }
        let every = self.every.as_deref();
        let every = every.map(|every| when::width("--every", every));
        let every = every.transpose();
        let every = every.map_err(|e| Failure::usage(e.to_string()))?;
        Ok(Window::new(from_ms, to_ms, every))
    }
}

/// Readings of one device, within some time.
struct Source<'c> {
    client: &'c Client,
    path: Vec<String>,
    metrics: &'c [String],
    window: Window,
}

impl Source<'_> {
    /// All pages in the media type `accept`: readings, or buckets of them.
    fn pages(&self, accept: &'static str, buckets: Option<Aggregate>) -> Pages<'_> {
        let mut query = vec![
            ("from", self.window.from_ms.to_string()),
            ("to", self.window.to_ms.to_string()),
        ];
        let metrics = self.metrics.iter();
        query.extend(metrics.map(|metric| ("metric", metric.clone())));
        if let Some(aggregate) = buckets {
            query.push(("every", format!("{}ms", self.window.every_ms)));
            query.push(("agg", aggregate.word().to_owned()));
        }
        Pages::new(self.client, &self.path, query, accept)
    }

    async fn export(&self, buckets: Option<Aggregate>, mut file: Export) -> Result<(), Failure> {
        let bar = progress::counter("readings");
        let mut pages = self.pages(file.accept(), buckets);
        while let Some(page) = pages.next().await? {
            bar.inc(file.add(page)?);
        }
        file.finish()?;
        bar.finish_and_clear();
        // Who only sees the file is told, too.
        for (count, what) in [
            (
                pages.gaps,
                "gaps: readings of this time are missing for good",
            ),
            (
                pages.missing,
                "chunks could not be read: their readings are absent",
            ),
        ] {
            if count > 0 {
                eprintln!("tarn: {count} {what}");
            }
        }
        Ok(())
    }

    async fn json(&self, buckets: Option<Aggregate>) -> Result<(), Failure> {
        let bar = progress::counter("readings");
        let mut pages = self.pages(JSON, buckets);
        let (mut readings, mut missing) = (Vec::new(), Vec::new());
        // The first page starts where the time does, so its gaps are all of them.
        let mut gaps = None;
        while let Some(page) = pages.next().await? {
            let mut page: Value = pages.parse(&page)?;
            let mut list = |name: &str| match page[name].take() {
                Value::Array(list) => list,
                _ => Vec::new(),
            };
            let (rows, told) = (list("readings"), list("gaps"));
            for chunk in list("missing") {
                if !missing.contains(&chunk) {
                    missing.push(chunk);
                }
            }
            bar.inc(rows.len() as u64);
            readings.extend(rows);
            gaps.get_or_insert(told);
        }
        bar.finish_and_clear();
        let gaps = gaps.unwrap_or_default();
        output::print_json(&json!({ "readings": readings, "gaps": gaps, "missing": missing }))
    }

    async fn table(&self, named: &str, line: Aggregate) -> Result<(), Failure> {
        let mut needed = vec![
            Aggregate::Last,
            Aggregate::Avg,
            Aggregate::Min,
            Aggregate::Max,
        ];
        if !needed.contains(&line) {
            needed.push(line);
        }
        let bar = progress::counter("buckets");
        let mut buckets: BTreeMap<Aggregate, Vec<Bucket>> = BTreeMap::new();
        let mut first: Option<Page> = None;
        for aggregate in needed {
            let mut pages = self.pages(JSON, Some(aggregate));
            let all = buckets.entry(aggregate).or_default();
            while let Some(page) = pages.next().await? {
                let mut page: Page = pages.parse(&page)?;
                bar.inc(page.readings.len() as u64);
                all.append(&mut page.readings);
                first.get_or_insert(page);
            }
        }
        bar.finish_and_clear();
        let first = first.unwrap_or_default();
        let mut summaries = Summaries::new(self.window, first.gaps, first.missing);
        summaries.take_in(&buckets, line);
        output::print(&summaries.text(named))
    }
}
