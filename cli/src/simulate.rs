//! `tarn simulate`: homes, hotels and factories that publish over MQTT, and a load generator.
//!
//! In the order that data passes through: what a device measures, how its convention puts it, who
//! speaks next, the client that publishes it and keeps it until its ack, and what is told about the
//! run. Commands come in by the same client and go to the devices.

/// What the command line asks for.
mod args;

/// The broker's address, and secrets that are never shown.
mod broker_url;

/// Random numbers by position, slow noise, daily and yearly curves.
mod signal;

/// What draws power, and counters that never fall.
mod appliance;

/// A meter that can be switched, reset and misread.
mod meter;

/// What one plain topic says at a given time.
mod channel;

/// What a device is, whatever it speaks.
mod thing;

/// Named values, as a report holds them.
mod values;

/// Hardware addresses.
mod identity;

/// What goes wrong, and when.
mod fault;

/// One message, and the queue of what devices have to say.
mod message;

/// How real devices speak.
mod convention;

/// Which devices one client has: a house, a floor of a hotel, a line of a factory.
mod population;

/// Whose turn it is, what goes wrong, who hears a command.
mod home;

/// Which message is next, and when it is due.
mod source;

/// What is in flight, in order.
mod window;

/// MQTT packets of both versions.
mod wire;

/// One connection to a broker.
mod link;

/// The road to a first and to a next connection.
mod dial;

/// One client: publishes, keeps, sends again.
mod publisher;

/// The list of acknowledged messages.
mod acked;

/// The counters of a run, to be watched.
mod live;

/// Progress and summary.
mod report;

/// A bare broker that acks at once.
mod ceiling;

#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mqtt_proto::QoS;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use acked::AckedFile;
use dial::Dialer;
use message::Message;
use publisher::{Publisher, Settings, Shared};
use signal::SimTime;
use source::Source;
use wire::{Login, Version};

pub(crate) use args::{Args, Profile};
pub(crate) use broker_url::{BrokerUrl, Secret};
pub(crate) use live::Live;
pub(crate) use report::{Summary, print_progress, print_summary};

/// A client asks for a sign of life after half of this, and gives up after one and a half.
const KEEP_ALIVE_S: u16 = 30;
/// How long an MQTT 5 broker is asked to keep the session of a client that is away.
const SESSION_EXPIRY_S: u32 = 3_600;
/// How often the list of acknowledged messages is flushed.
const ACKED_FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SimulateError {
    /// The arguments do not fit together.
    #[error("{0}")]
    Usage(String),
    /// No connection came about; the command ends with exit code 3.
    #[error("cannot reach the broker at {address}: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What the last attempt said.
        reason: String,
    },
    /// The broker will not have these clients.
    #[error("the broker at {address} refused the connection: {reason}")]
    Refused {
        /// Host and port.
        address: String,
        /// The broker's reason.
        reason: String,
    },
    /// The list of acknowledged messages cannot be written.
    #[error("write {path}")]
    AckedFile {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The bare broker of `--ceiling` did not start, or a client ended by a panic.
    #[error("{0}")]
    Broken(String),
}

/// What the sources of all clients need to know.
#[derive(Debug, Clone)]
pub(crate) struct RunPlan {
    profile: Profile,
    seed: u64,
    clients: u64,
    rate: f64,
    messages: Option<u64>,
    home_prefix: String,
    start: SimTime,
    speed: f64,
    /// Faults for each thousand messages.
    faults: f64,
    utc_offset_ms: i64,
}

impl RunPlan {
    fn new(args: &Args) -> RunPlan {
        RunPlan {
            profile: args.profile,
            seed: args.seed,
            clients: args.clients,
            rate: args.rate,
            messages: args.messages,
            home_prefix: args.home_prefix.trim_end_matches('/').to_owned(),
            start: simulated_start(args.start),
            speed: args.speed,
            faults: args.faults,
            utc_offset_ms: i64::from(args.utc_offset) * 60_000,
        }
    }
}

/// The only look at the wall clock: a home that is not told its time begins at the present.
#[allow(clippy::disallowed_methods, reason = "the simulated time begins now")]
fn simulated_start(start: Option<SystemTime>) -> SimTime {
    let start = start.unwrap_or_else(SystemTime::now);
    let since = start.duration_since(UNIX_EPOCH).unwrap_or_default();
    SimTime(since.as_millis() as i64)
}

/// Runs the load and returns what it did; `live` can be watched meanwhile.
///
/// It ends when the time is over, the messages are sent or `stop` is cancelled, and then waits a
/// bounded time for the acks that are still out.
pub(crate) async fn run(
    args: &Args,
    live: Arc<Live>,
    stop: CancellationToken,
) -> Result<Summary, SimulateError> {
    // The bare broker must outlive the clients, so it does not hear the stop of the run.
    let bare_stop = CancellationToken::new();
    let _bare_guard = bare_stop.clone().drop_guard();
    let broker = broker(args, bare_stop).await?;
    let acked = open_acked(args)?.map(Arc::new);
    let shared = Shared {
        live: Arc::clone(&live),
        acked: acked.clone(),
        ready: Arc::new(Barrier::new(args.clients as usize)),
        stop,
    };
    let plan = RunPlan::new(args);
    let mut clients = JoinSet::new();
    for client in 0..args.clients {
        let source = Source::new(&plan, client)
            .map_err(|error| SimulateError::Usage(format!("--home-prefix: {error}")))?;
        let settings = settings(args, &broker, client, source.will());
        clients.spawn(Publisher::new(settings, shared.clone(), source).run());
    }
    let finished = finish(clients, acked.as_deref()).await;
    let flushed = acked.as_deref().map_or(Ok(()), AckedFile::flush);
    finished?
        .and(flushed)
        .map_err(|source| SimulateError::AckedFile {
            path: args.acked_file.clone().unwrap_or_default(),
            source,
        })?;
    Ok(summarize(args, &live))
}

async fn broker(args: &Args, stop: CancellationToken) -> Result<BrokerUrl, SimulateError> {
    if args.ceiling {
        let bare = ceiling::start(stop).await;
        let address = bare.map_err(|error| SimulateError::Broken(error.to_string()))?;
        return Ok(BrokerUrl {
            address: address.to_string(),
            username: None,
            password: None,
        });
    }
    args.mqtt
        .clone()
        .ok_or_else(|| SimulateError::Usage("give the broker with --mqtt URL".to_owned()))
}

fn open_acked(args: &Args) -> Result<Option<AckedFile>, SimulateError> {
    let Some(path) = &args.acked_file else {
        return Ok(None);
    };
    match AckedFile::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(source) => Err(SimulateError::AckedFile {
            path: path.clone(),
            source,
        }),
    }
}

fn settings(args: &Args, broker: &BrokerUrl, client: u64, will: Option<Message>) -> Settings {
    let username = args.username.as_ref().or(broker.username.as_ref());
    let password = args.password.as_ref().or(broker.password.as_ref());
    // The id names the run's arguments and nothing else, so that a session is found again.
    let client_id = format!("tarn-{}-{}-{}", args.profile.name(), args.seed, client + 1);
    let dialer = Dialer {
        address: broker.address.clone(),
        login: Login {
            version: if args.version == 5 {
                Version::V5
            } else {
                Version::V3
            },
            client_id: client_id.into(),
            username: username.map(|name| name.as_str().into()),
            password: password.map(|Secret(text)| text.clone().into_bytes().into()),
            keep_alive_s: KEEP_ALIVE_S,
            session_expiry_s: SESSION_EXPIRY_S,
            will,
        },
        jitter_seed: args.seed.wrapping_add(client),
    };
    Settings {
        dialer,
        qos: match args.qos {
            0 => QoS::Level0,
            1 => QoS::Level1,
            _ => QoS::Level2,
        },
        in_flight: usize::from(args.in_flight),
        duration: args.seconds.map(Duration::from_secs_f64),
        drain: Duration::from_secs_f64(args.drain),
    }
}

/// Waits for all clients; the first error ends the others. Inside is what the acked file said.
async fn finish(
    mut clients: JoinSet<Result<(), SimulateError>>,
    acked: Option<&AckedFile>,
) -> Result<io::Result<()>, SimulateError> {
    let mut flush = tokio::time::interval(ACKED_FLUSH_EVERY);
    loop {
        tokio::select! {
            ended = clients.join_next() => match ended {
                None => return Ok(Ok(())),
                Some(Ok(result)) => result?,
                Some(Err(error)) => return Err(SimulateError::Broken(format!("a client: {error}"))),
            },
            _ = flush.tick() => {
                if let Some(Err(error)) = acked.map(AckedFile::flush) {
                    return Ok(Err(error));
                }
            }
        }
    }
}

fn summarize(args: &Args, live: &Live) -> Summary {
    let seconds = live.busy().as_secs_f64();
    let counted = if args.qos == 0 {
        live.published()
    } else {
        live.acked()
    };
    let rate = if seconds > 0.0 {
        counted as f64 / seconds
    } else {
        0.0
    };
    Summary {
        profile: args.profile.name(),
        clients: args.clients,
        in_flight: u64::from(args.in_flight),
        qos: args.qos,
        published: live.published(),
        acked: live.acked(),
        redelivered: live.redelivered(),
        refused: live.refused(),
        reconnects: live.reconnects(),
        seconds: (seconds * 1e6).round() / 1e6,
        rate: (rate * 10.0).round() / 10.0,
        ack_p50_us: live.ack_latency_us(50.0),
        ack_p90_us: live.ack_latency_us(90.0),
        ack_p99_us: live.ack_latency_us(99.0),
        ack_max_us: live.ack_latency_max_us(),
    }
}

/// The whole command: runs, tells progress on stderr and the summary on stdout.
pub(crate) async fn command(
    args: &Args,
    stop: CancellationToken,
) -> Result<Summary, SimulateError> {
    let live = Arc::new(Live::default());
    let told = CancellationToken::new();
    let progress = print_progress(&live, &told);
    let running = run(args, Arc::clone(&live), stop);
    let (summary, ()) = tokio::join!(
        async {
            let summary = running.await;
            told.cancel();
            summary
        },
        progress
    );
    let summary = summary?;
    print_summary(&summary, args.json).map_err(|error| SimulateError::Broken(error.to_string()))?;
    Ok(summary)
}
