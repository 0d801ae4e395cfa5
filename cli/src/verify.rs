//! `tarn verify`: reads a whole store and prints what it found.

use clap::Args;
use tarn_common::{
    ids::HomeId,
    verify::{Report, verify},
};

use crate::{exit::Failure, store_args::StoreArgs};

/// `tarn verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyCommand {
    #[command(flatten)]
    stores: StoreArgs,
    /// Only this home
    #[arg(long, env = "TARN_HOME", value_name = "NAME")]
    home: Option<HomeId>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(command: VerifyCommand) -> Result<(), Failure> {
    let stores = command.stores.open_some()?;
    let report = verify(&stores[0], command.home.as_ref())
        .await
        .map_err(Failure::unreachable)?;
    if command.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&report).map_err(Failure::broken)?
        );
    } else {
        print(&report);
    }
    if report.ok {
        Ok(())
    } else {
        Err(Failure::check())
    }
}

fn print(report: &Report) {
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
    println!(
        "{} chunks, {} rows, {}",
        report.chunks,
        report.rows,
        bytesize::ByteSize(report.bytes)
    );
    if report.evicted_rows > 0 {
        println!(
            "{} readings told as evicted on a full box",
            report.evicted_rows
        );
    }
    if !report.unlogged.is_empty() {
        println!(
            "{} objects under readings/ are in no log entry",
            report.unlogged.len()
        );
    }
    for twice in &report.twice {
        println!(
            "TWICE records {} to {} of home {}: {} and {} are copies of one box, and both have stored them",
            twice.first, twice.last, twice.home, twice.writer, twice.other
        );
    }
    for fault in &report.faults {
        println!("FAULT {:?} {}: {}", fault.kind, fault.key, fault.detail);
    }
    println!("{}", if report.ok { "all good" } else { "NOT GOOD" });
}
