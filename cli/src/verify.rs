//! `tarn verify`: reads stores whole, prints what it found, and repairs it if asked to.

use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use tarn_common::{
    ids::HomeId,
    verify::{Lost, Options, Progress, Report, verify_all},
};
use tokio::sync::watch;

use crate::{exit::Failure, progress, store_args::StoreArgs};

/// Faults that are printed one by one; the rest is counted. JSON has them all.
const PRINTED_MAX: usize = 200;

/// `tarn verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyCommand {
    #[command(flatten)]
    stores: StoreArgs,
    /// Only this home
    #[arg(long, env = "TARN_HOME", value_name = "NAME")]
    home: Option<HomeId>,
    /// Put right what is missing or damaged from a good copy, and give each store what others have of logs and twins
    #[arg(long)]
    repair: bool,
    /// With --repair: delete copies of chunks that the log does not name, once all that it names are found good
    #[arg(long, requires = "repair")]
    delete_unlogged: bool,
    /// With --delete-unlogged: how long such a copy must be known before; less only where no cloud and no other repair
    /// works on these stores
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    grace: Duration,
    /// Trust nothing but these stores: each home must have a Merkle root in its log, and come to it
    #[arg(long)]
    offline: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: VerifyCommand) -> Result<(), Failure> {
    let stores = command.stores.open_some()?;
    let options = Options {
        home: command.home,
        repair: command.repair,
        delete_surplus: command.delete_unlogged.then_some(command.grace),
        needs_roots: command.offline,
        progress: Some(watch::Sender::default()),
    };
    let bar = progress::steps("chunks");
    let report = tokio::select! {
        report = verify_all(stores, &options) => report,
        never = shown(&options, &bar) => match never {},
    };
    bar.finish_and_clear();
    let report = report.map_err(Failure::unreachable)?;
    if command.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&report).map_err(Failure::broken)?
        );
    } else {
        print(&report);
    }
    let away: Vec<&str> = report.away().map(|store| store.name.as_str()).collect();
    if !report.ok {
        Err(Failure::check())
    } else if away.is_empty() {
        Ok(())
    } else {
        let away = away.join(", ");
        Err(Failure::unreachable(anyhow::anyhow!(
            "not looked at: {away}"
        )))
    }
}

/// Move the bar as the check goes on.
async fn shown(options: &Options, bar: &ProgressBar) -> std::convert::Infallible {
    let mut told = options.progress.as_ref().map(watch::Sender::subscribe);
    while let Some(told) = &mut told
        && told.changed().await.is_ok()
    {
        let Progress { done, total } = *told.borrow_and_update();
        bar.set_length(total);
        bar.set_position(done);
    }
    std::future::pending().await
}

fn print(report: &Report) {
    for store in &report.stores {
        match &store.away {
            Some(reason) => println!(
                "store {}  {}: NOT LOOKED AT: {reason}",
                store.name, store.url
            ),
            None => println!(
                "store {}  {}: {} copies, {}",
                store.name,
                store.url,
                store.copies,
                bytesize::ByteSize(store.bytes)
            ),
        }
    }
    for log in &report.writers {
        println!(
            "home {}  edge {}  {} entries, records {} to {}{}{}",
            log.home,
            log.writer,
            log.entries,
            log.first_seq,
            log.last_seq,
            if log.lost_records > 0 {
                format!(", {} told as lost", log.lost_records)
            } else {
                String::new()
            },
            log.after
                .map_or_else(String::new, |after| format!(", after {after}"))
        );
    }
    for root in &report.roots {
        let found = if root.ok {
            "as it was"
        } else {
            "NOT AS IT WAS"
        };
        println!(
            "home {}  root of {} over {} chunks {found}: {}",
            root.home, root.date, root.chunks, root.sha256
        );
    }
    println!(
        "{} chunks in {} copies, {} rows, {}",
        report.chunks,
        report.copies,
        report.rows,
        bytesize::ByteSize(report.bytes)
    );
    for (count, what) in [
        (
            report.not_looked_at,
            "copies are at stores that were not looked at",
        ),
        (
            report.evicted_rows,
            "readings told as evicted on a full box",
        ),
        (report.unlogged.len() as u64, "objects are in no log entry"),
        (
            report.surplus.len() as u64,
            "copies are at stores where the log has none",
        ),
        (report.deleted, "of them deleted"),
    ] {
        if count > 0 {
            println!("{count} {what}");
        }
    }
    for twice in &report.twice {
        println!(
            "TWICE records {} to {} of home {}: {} and {} are copies of one box, and both have stored them",
            twice.first, twice.last, twice.home, twice.writer, twice.other
        );
    }
    for fault in report.faults.iter().take(PRINTED_MAX) {
        let word = if fault.repaired { "REPAIRED" } else { "FAULT" };
        let store = fault.store.as_ref();
        let store = store.map_or_else(String::new, |store| format!(" at {store}"));
        println!(
            "{word} {:?} {}{store}: {}",
            fault.kind, fault.key, fault.detail
        );
    }
    if let Some(more) = report
        .faults
        .len()
        .checked_sub(PRINTED_MAX)
        .filter(|more| *more > 0)
    {
        println!("and {more} more; --json has them all");
    }
    report.lost.iter().for_each(print_lost);
    println!("{}", if report.ok { "all good" } else { "NOT GOOD" });
}

fn time_of(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms);
    time.map_or_else(|_| format!("{ms} ms"), |time| time.to_string())
}

fn print_lost(lost: &Lost) {
    let devices = match &lost.devices {
        Some(devices) => devices.join(", "),
        None => format!("unknown, those of shard {}", lost.shard),
    };
    println!(
        "LOST {}: {} readings of home {} from {} to {} (records {} to {} of {}); devices: {devices}",
        lost.key,
        lost.rows,
        lost.home,
        time_of(lost.min_ts),
        time_of(lost.max_ts),
        lost.first_seq,
        lost.last_seq,
        lost.edge
    );
}
