//! `tarn edge` and `tarn cloud`: start, say where, run until a signal.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tarn_cloud::{Cloud, MeetingSettings};
use tarn_common::{
    clock::{Clock, FastClock, SystemClock},
    durable::{self, RealDisk},
};
use tarn_edge::{
    Edge, Settings,
    app::{Failed, StartError},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{CloudArgs, EdgeArgs, over_file},
    exit::Failure,
};

/// Files that are open beside connections: journal, chunks, connections to stores.
const OTHER_FILES: u64 = 512;

/// What every service takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// TOML file with the same keys as the flags (cut-age = "5m"); flags and TARN_… variables win over it
    #[arg(long, env = "TARN_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Write the bound addresses here as JSON once everything is served
    #[arg(long, env = "TARN_READY_FILE", value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// `tarn edge`.
#[derive(Debug, Args)]
pub(crate) struct EdgeCommand {
    /// A clock that begins then and goes so many times as fast, like 2026-11-20T18:00:00Z*600, for simulated houses
    #[arg(long, hide = true, value_name = "TIME*RATE", value_parser = fast_clock)]
    clock: Option<(i64, f64)>,
    #[command(flatten)]
    settings: EdgeArgs,
    #[command(flatten)]
    common: Common,
}

/// `tarn cloud`.
#[derive(Debug, Args)]
pub(crate) struct CloudCommand {
    #[command(flatten)]
    settings: CloudArgs,
    #[command(flatten)]
    common: Common,
}

fn fast_clock(text: &str) -> Result<(i64, f64), String> {
    let (begin, rate) = text.split_once('*').ok_or("write TIME*RATE")?;
    let begin: jiff::Timestamp = begin.parse().map_err(|e| format!("{begin}: {e}"))?;
    let rate: f64 = rate.parse().map_err(|e| format!("{rate}: {e}"))?;
    match (0.001..=100_000.0).contains(&rate) {
        true => Ok((begin.as_millisecond(), rate)),
        false => Err(format!("{rate}: use 0.001 to 100000")),
    }
}

pub(crate) async fn edge(command: EdgeCommand, stop: CancellationToken) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = match command.clock {
        Some((begin_ms, rate)) => Arc::new(FastClock::new(begin_ms, rate)),
        None => Arc::new(SystemClock),
    };
    let args = over_file(command.settings, command.common.config.as_ref())?;
    loop {
        match run_edge(args.clone().settings()?, &clock, &command.common, &stop).await? {
            None => return Ok(()),
            // All that it needs is a new id, which it takes at its start.
            Some(Failed::Copied) if !stop.is_cancelled() => {}
            Some(failed) => return Err(Failure::broken(failed)),
        }
    }
}

async fn run_edge(
    settings: Settings,
    clock: &Arc<dyn Clock>,
    common: &Common,
    stop: &CancellationToken,
) -> Result<Option<Failed>, Failure> {
    allow_open_files(settings.broker.connections_max);
    let edge = Box::pin(Edge::start(settings, clock.clone()))
        .await
        .map_err(|e| match e {
            StartError::Data(e) => Failure::usage(format!("{:#}", anyhow::Error::from(e))),
            StartError::Users(e) => Failure::usage(e.to_string()),
            other => Failure::broken(other),
        })?;
    let mqtt = edge.mqtt_addresses().iter();
    let mut addresses: serde_json::Map<_, _> = mqtt
        .map(|(scheme, address)| ((*scheme).to_owned(), json!(address.to_string())))
        .collect();
    addresses.insert("http".into(), json!(edge.http_addr().to_string()));
    if let Some(s3) = edge.s3_addr() {
        addresses.insert("s3".into(), json!(s3.to_string()));
    }
    let addresses = addresses.into();
    tell_ready(common, &addresses)?;
    let failed = tokio::select! {
        () = stop.cancelled() => None,
        failed = edge.failed() => Some(failed),
    };
    edge.shutdown().await;
    Ok(failed)
}

pub(crate) async fn cloud(command: CloudCommand, stop: CancellationToken) -> Result<(), Failure> {
    let settings = over_file(command.settings, command.common.config.as_ref())?.settings()?;
    if let MeetingSettings::Own(broker) = &settings.meeting {
        allow_open_files(broker.limits.connections_max);
    }
    let cloud = Cloud::start(settings, Arc::new(SystemClock))
        .await
        .map_err(Failure::broken)?;
    let mqtt = cloud.downlink().mqtt_addresses().iter();
    let mut addresses: serde_json::Map<_, _> = mqtt
        .map(|(scheme, address)| ((*scheme).to_owned(), json!(address.to_string())))
        .collect();
    addresses.insert("http".into(), json!(cloud.http_addr().to_string()));
    tell_ready(&command.common, &addresses.into())?;
    let failed = tokio::select! {
        () = stop.cancelled() => None,
        died = cloud.downlink().failed() => Some(died),
    };
    cloud.shutdown().await;
    failed.map_or(Ok(()), |died| Err(Failure::broken(died)))
}

/// Let the process open a file for each connection, as far as the system allows it. What a service
/// gets by default is 1024, for programs of another age.
pub(crate) fn allow_open_files(connections_max: usize) {
    let wanted = connections_max as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    // None is without a limit.
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = limit.maximum.map_or(wanted, |most| most.min(wanted));
    let new = Rlimit {
        current: Some(raised),
        maximum: limit.maximum,
    };
    let set = setrlimit(Resource::Nofile, new);
    if raised < wanted || set.is_err() {
        tracing::warn!(
            connections_max,
            open_files_max = raised,
            "the system allows fewer open files than there may be connections"
        );
    }
}

pub(crate) fn tell_ready(common: &Common, addresses: &serde_json::Value) -> Result<(), Failure> {
    tracing::info!(%addresses, "serving");
    let Some(path) = &common.ready_file else {
        return Ok(());
    };
    durable::put(&RealDisk, path, addresses.to_string().as_bytes())
        .map_err(|e| Failure::usage(format!("--ready-file {}: {e}", path.display())))
}
