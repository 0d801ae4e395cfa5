//! The arguments of `tarn simulate`.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::ValueEnum;

use super::broker_url::{BrokerUrl, Secret};

/// Publish what a home, a hotel or a factory would, or plain load for a benchmark.
///
/// A house, a hotel and a factory speak like real devices, all at once: Home Assistant discovery,
/// Zigbee2MQTT, Tasmota, Shelly of both generations, ESPHome, Sparkplug B, plain topics, and sleepers
/// with a backlog. They announce themselves first, take commands and answer them, go away, restart,
/// lose their counters and say odd things now and then. The profile `plain` has plain topics only.
///
/// The same seed, profile, start and rate give the same messages, answers to commands apart. A message
/// counts as acknowledged only when its ack has come; after a lost connection whatever is not
/// acknowledged is sent again, in order, before anything new.
///
/// Try:  tarn simulate --mqtt mqtt://localhost --rate 20
///       tarn simulate --mqtt mqtt://localhost --profile load --clients 50 --rate 0 --seconds 10
#[derive(Debug, Clone, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The broker: mqtt://host[:port], with mqtt://user:password@host where it asks for a login.
    #[arg(
        long,
        env = "TARN_MQTT",
        value_name = "URL",
        required_unless_present = "ceiling"
    )]
    pub(crate) mqtt: Option<BrokerUrl>,

    /// How many MQTT clients publish. Each is a house of its own (or a floor, or a line).
    #[arg(long, env = "TARN_CLIENTS", value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) clients: u64,

    /// Messages per second over all clients, evenly spread; 0 for as fast as acks allow.
    #[arg(long, env = "TARN_RATE", value_name = "N", default_value_t = 10.0, value_parser = not_negative)]
    pub(crate) rate: f64,

    /// Stop after this many seconds; without it, go on until stopped.
    #[arg(long, env = "TARN_SECONDS", value_name = "N", value_parser = not_negative)]
    pub(crate) seconds: Option<f64>,

    /// Stop after this many messages over all clients.
    #[arg(long, env = "TARN_MESSAGES", value_name = "N")]
    pub(crate) messages: Option<u64>,

    /// Chooses the home: every random thing comes from this number.
    #[arg(long, env = "TARN_SEED", value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// What publishes. `load` sends 61 bytes of JSON with a counter, for benchmarks; `plain` is a house
    /// of plain topics only, for tests that compare each payload with the row it becomes.
    #[arg(long, env = "TARN_PROFILE", value_enum, default_value_t = Profile::House)]
    pub(crate) profile: Profile,

    /// First level of every plain topic: <prefix>/<room>/<metric or device>. The topics of the
    /// conventions are those of the real devices.
    #[arg(
        long,
        env = "TARN_HOME_PREFIX",
        value_name = "TOPIC",
        default_value = "home"
    )]
    pub(crate) home_prefix: String,

    /// Quality of service: 0 sends and forgets, 1 waits for an ack, 2 counts exactly once.
    #[arg(long, env = "TARN_QOS", value_name = "0|1|2", default_value_t = 1,
          value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,

    /// How many messages a client may have sent without their acks. 1 waits for each.
    #[arg(long, env = "TARN_IN_FLIGHT", value_name = "N", default_value_t = 20,
          value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) in_flight: u16,

    /// MQTT version: 3 (3.1.1) or 5.
    #[arg(long = "version", env = "TARN_VERSION", value_name = "3|5", default_value_t = 3,
          value_parser = clap::value_parser!(u8).range(3..=5))]
    pub(crate) version: u8,

    /// User name, where the broker asks for one.
    #[arg(long, env = "TARN_USERNAME", value_name = "U")]
    pub(crate) username: Option<String>,

    /// Password; better given as TARN_PASSWORD, which no list of processes shows.
    #[arg(long, env = "TARN_PASSWORD", value_name = "P", hide_env_values = true)]
    pub(crate) password: Option<Secret>,

    /// How long to wait for outstanding acks at the end, in seconds.
    #[arg(long, env = "TARN_DRAIN", value_name = "SECONDS", default_value_t = 10.0, value_parser = not_negative)]
    pub(crate) drain: f64,

    /// When the simulated time begins, such as 2026-01-31T06:00:00Z; without it, now.
    #[arg(long, env = "TARN_START", value_name = "TIME", value_parser = humantime::parse_rfc3339_weak)]
    pub(crate) start: Option<SystemTime>,

    /// Simulated seconds per second: 1440 shows a day in a minute.
    #[arg(long, env = "TARN_SPEED", value_name = "FACTOR", default_value_t = 1.0, value_parser = not_negative)]
    pub(crate) speed: f64,

    /// Faults for each thousand messages: devices that go away, restart or say odd things. 0 for a
    /// home where all is well; the profiles `plain` and `load` have none.
    #[arg(long, env = "TARN_FAULTS", value_name = "N", default_value_t = 3.0, value_parser = not_negative)]
    pub(crate) faults: f64,

    /// How far the clocks of devices that tell local time without an offset (Tasmota) are ahead of
    /// UTC, in minutes.
    #[arg(long, env = "TARN_UTC_OFFSET", value_name = "MINUTES", default_value_t = 0, allow_hyphen_values = true,
          value_parser = clap::value_parser!(i16).range(-720..=840))]
    pub(crate) utc_offset: i16,

    /// Append one line, topic<TAB>payload, for each message once its ack has come. A payload that is
    /// no line of text, as all of Sparkplug, stands as base64:…
    #[arg(long, env = "TARN_ACKED_FILE", value_name = "FILE")]
    pub(crate) acked_file: Option<PathBuf>,

    /// Print the summary as JSON.
    #[arg(long, env = "TARN_JSON")]
    pub(crate) json: bool,

    /// Measure the most this machine could do: the same load against a bare loop that acks at once.
    #[arg(long, hide = true, conflicts_with = "mqtt")]
    pub(crate) ceiling: bool,
}

impl Args {
    /// What `tarn simulate --mqtt URL` would do, for use inside another command.
    pub(crate) fn new(mqtt: BrokerUrl) -> Args {
        Args {
            mqtt: Some(mqtt),
            clients: 1,
            rate: 10.0,
            seconds: None,
            messages: None,
            seed: 1,
            profile: Profile::House,
            home_prefix: "home".to_owned(),
            qos: 1,
            in_flight: 20,
            version: 3,
            username: None,
            password: None,
            drain: 10.0,
            start: None,
            speed: 1.0,
            faults: 3.0,
            utc_offset: 0,
            acked_file: None,
            json: false,
            ceiling: false,
        }
    }
}

/// What publishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// A family home: every convention that homes have, and plain topics.
    House,
    /// Forty equal rooms for each client.
    Hotel,
    /// Machines with many fast numbers for each client: Sparkplug B, meters, plain topics.
    Factory,
    /// The plain topics of a house, and nothing else.
    Plain,
    /// Messages of 61 bytes that differ in a counter.
    Load,
}

impl Profile {
    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Profile::House => "house",
            Profile::Hotel => "hotel",
            Profile::Factory => "factory",
            Profile::Plain => "plain",
            Profile::Load => "load",
        }
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && (0.0..=1e9).contains(&value) => Ok(value),
        _ => Err("give a number from 0 to 1000000000".to_owned()),
    }
}
