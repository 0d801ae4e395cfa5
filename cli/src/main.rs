//! The command line of Tarn: parses, sets up logging and signals, calls the crates.

mod ask;
mod bridge;
mod client;
mod cloud_link;
mod config;
mod demo;
mod exit;
mod http;
mod lan;
mod mqtt;
mod package;
mod progress;
mod serve;
mod simulate;
mod store;
mod store_args;
mod stores;
mod token;
mod user;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{exit::Failure, simulate::SimulateError};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A data lake for your house: takes what smart-home devices publish over MQTT, keeps it safe while
/// the internet is away, and drains it as plain Parquet into a bucket that you own.
///
/// Logs go to stderr (RUST_LOG sets how much), results to stdout. Exit codes: 0 done, 1 a check
/// failed, 2 wrong use, 3 not reachable.
#[derive(Debug, Parser)]
#[command(name = "tarn", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[command(disable_version_flag = true)]
enum Command {
    /// Run a box: an MQTT broker whose acks mean "on disk", its history and its REST interface
    Edge(Box<serve::EdgeCommand>),
    /// Run the cloud service: REST over everything that boxes have put into a store
    Cloud(Box<serve::CloudCommand>),
    /// Serve a directory by the S3 protocol: a store for boxes, clouds and analysts
    Store(Box<store::StoreCommand>),
    /// Show the whole road on this machine: two boxes, one cloud service, simulated devices
    Demo(demo::DemoCommand),
    // Its help stands with its arguments: a line here would take the place of all that is told there.
    Simulate(Box<simulate::Args>),
    /// Read every log and chunk of a store and check them; exit code 1 on any fault
    Verify(verify::VerifyCommand),
    /// List, add, drain and remove the stores of a fleet; show what would be moved, and move it
    Stores(stores::StoresCommand),
    /// Make, list and revoke tokens for the REST interface, and links for accounts
    Token(token::TokenCommand),
    /// Add, remove and list the MQTT users of a box
    User(user::UserCommand),
    // As with `simulate`, its help stands with its arguments.
    Status(Box<ask::status::StatusCommand>),
    /// List the devices of a home, or show one in detail
    Devices(Box<ask::devices::DevicesCommand>),
    Readings(Box<ask::readings::ReadingsCommand>),
    /// Ask a box or a cloud in SQL
    Sql(Box<ask::sql::SqlCommand>),
    /// Print what happens in a home as it happens, one line each
    Tail(Box<ask::tail::TailCommand>),
    /// Print the OpenAPI document
    Openapi {
        /// Whose document
        side: Side,
    },
    /// Print the completions of a shell, like `source <(tarn completions bash)`
    Completions(package::CompletionsCommand),
    /// Write the man pages into a directory, for packages
    #[command(hide = true)]
    Man(package::ManCommand),
}

impl Command {
    /// Whether what it does is told on the terminal, so that logs would stand between.
    fn answers_people(&self) -> bool {
        !matches!(
            self,
            Command::Edge(_) | Command::Cloud(_) | Command::Store(_) | Command::Simulate(_)
        )
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Side {
    /// The box's
    Edge,
    /// The cloud service's
    Cloud,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let quiet = cli.command.answers_people();
    // The libraries below tell of every connection; what matters of it Tarn says itself. The router
    // takes a link that ends with something still to be taken for an error.
    let default = if quiet {
        "error,s3s=off"
    } else {
        "info,rumqttd=error,rumqttd::router::routing=off,poem=warn,s3s=off"
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => return Failure::broken(e).exit(),
    };
    match runtime.block_on(run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Edge(command) => serve::edge(*command, stop_on_signal()).await,
        Command::Cloud(command) => serve::cloud(*command, stop_on_signal()).await,
        Command::Store(command) => store::run(*command, stop_on_signal()).await,
        Command::Demo(command) => demo::run(command, stop_on_signal()).await,
        Command::Simulate(args) => simulate(&args).await,
        Command::Verify(command) => verify::run(command).await,
        Command::Stores(command) => stores::run(command).await,
        Command::Token(command) => token::run(command).await,
        Command::User(command) => user::run(command),
        Command::Status(command) => ask::status::run(*command, stop_on_signal()).await,
        Command::Devices(command) => ask::devices::run(*command).await,
        Command::Readings(command) => ask::readings::run(*command).await,
        Command::Sql(command) => ask::sql::run(*command).await,
        Command::Tail(command) => ask::tail::run(*command, stop_on_signal()).await,
        Command::Completions(command) => package::completions(&command, Cli::command()),
        Command::Man(command) => package::man(&command, Cli::command()),
        Command::Openapi { side } => {
            println!(
                "{}",
                match side {
                    Side::Edge => tarn_openapi::edge_document(),
                    Side::Cloud => tarn_openapi::cloud_document(),
                }
                .trim_end()
            );
            Ok(())
        }
    }
}

async fn simulate(args: &simulate::Args) -> Result<(), Failure> {
    match simulate::command(args, stop_on_signal()).await {
        Ok(summary) if summary.unacked() > 0 => Err(Failure::check()),
        Ok(_) => Ok(()),
        Err(SimulateError::Usage(message)) => Err(Failure::usage(message)),
        Err(error @ SimulateError::Unreachable { .. }) => Err(Failure::unreachable(error)),
        Err(error) => Err(Failure::broken(error)),
    }
}

/// A token that is cancelled by Ctrl-C or SIGTERM. A second signal ends the process at once.
fn stop_on_signal() -> CancellationToken {
    let stop = CancellationToken::new();
    let heard = stop.clone();
    tokio::spawn(async move {
        for signals in 0.. {
            if signal().await.is_err() {
                return;
            }
            if signals > 0 {
                std::process::exit(130);
            }
            heard.cancel();
        }
    });
    stop
}

async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
