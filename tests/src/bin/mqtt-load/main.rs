//! Load for an MQTT broker, and what it makes of it: one tool for every broker that is compared.
//!
//! It runs on one thread, so that on a machine of two cores the broker has the other. Each command prints
//! one JSON object. Only MQTT 3.1.1, which every broker speaks.

mod client;
mod run;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};

use client::Target;

#[derive(Parser)]
#[command(about = "Load for an MQTT broker")]
struct Cli {
    /// The broker, as address:port
    #[arg(long)]
    broker: SocketAddr,
    /// Connect by TLS, and trust this authority for the name localhost
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Publish without subscribers; tells messages/s, and the time to an ack
    Publish(PublishArgs),
    /// Publish to subscribers of one topic, never further ahead of the slowest than the window
    Fan(FanArgs),
    /// Connect and disconnect; tells connections/s
    Connect(ConnectArgs),
    /// Hold connections open until standard input ends; prints `{"open":N}` when all are
    Idle(ConnectArgs),
    /// Subscribe to retained messages; tells messages/s
    Retained(RetainedArgs),
    /// Publish for subscribers that are away, then let them come back
    Offline(FanArgs),
}

/// Publishers and what they publish.
#[derive(Args, Clone)]
struct PublishArgs {
    /// Publishing connections
    #[arg(long, default_value_t = 1)]
    clients: usize,
    /// Publishes of each that are not acked yet
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    #[arg(long, default_value_t = 1)]
    qos: u8,
    /// Messages of all together
    #[arg(long)]
    messages: usize,
    /// Bytes of a payload
    #[arg(long, default_value_t = 61)]
    size: usize,
}

#[derive(Args)]
struct FanArgs {
    #[command(flatten)]
    publish: PublishArgs,
    #[arg(long, default_value_t = 1)]
    subscribers: usize,
    /// How many messages the slowest subscriber may be behind
    #[arg(long, default_value_t = 1000)]
    window: usize,
}

#[derive(Args)]
struct ConnectArgs {
    /// Connections in all
    #[arg(long)]
    connections: usize,
    /// Connections that are being made at one time
    #[arg(long, default_value_t = 20)]
    parallel: usize,
}

#[derive(Args)]
struct RetainedArgs {
    /// Topics with a retained message each
    #[arg(long)]
    messages: usize,
    #[arg(long, default_value_t = 200)]
    size: usize,
    #[arg(long, default_value_t = 0)]
    qos: u8,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let cli = Cli::parse();
    let target = Target::new(cli.broker, cli.ca.as_deref())?;
    let told = match cli.command {
        Command::Publish(args) => run::publish(&target, &args).await?,
        Command::Fan(args) => run::fan(&target, &args).await?,
        Command::Connect(args) => run::connect(&target, &args).await?,
        Command::Idle(args) => run::idle(&target, &args).await?,
        Command::Retained(args) => run::retained(&target, &args).await?,
        Command::Offline(args) => run::offline(&target, &args).await?,
    };
    println!("{told}");
    Ok(())
}
