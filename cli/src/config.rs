//! Settings from three places that mean the same: flags, `TARN_…` variables, a TOML file.
//!
//! A flag wins over a variable, a variable over the file.

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tarn_broker::{
    Limits as BrokerLimits,
    auth::{Anonymous, UsersSettings},
};
use tarn_cloud::UpkeepSettings;
use tarn_common::{
    ids::HomeId,
    query::{EngineSettings, Limits},
    store::Store,
};
use tarn_edge::{
    budget::{DiskFull, SEGMENTS_MIN},
    decode::topic::{Pattern, Topics},
    devices::DISCOVERY_PREFIX,
    journal::JournalSettings,
    settings::Settings,
    ship::ShipSettings,
};
use tarn_insights::{Pack, Tariff};
use tarn_notify::Channels;

use crate::{
    bridge::BridgeArgs,
    cloud_link::{CloudLinkArgs, MeetingArgs},
    exit::Failure,
    http::HttpArgs,
    lan::LanArgs,
    mqtt::MqttArgs,
    store::S3Args,
    store_args::StoreArgs,
};

/// Where clients without a user name may come from.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AnonymousFrom {
    /// Nowhere: every client needs a user name and a password.
    Never,
    /// This machine only.
    Loopback,
    /// Anywhere.
    Always,
}

impl From<AnonymousFrom> for Anonymous {
    fn from(from: AnonymousFrom) -> Anonymous {
        match from {
            AnonymousFrom::Never => Anonymous::Never,
            AnonymousFrom::Loopback => Anonymous::Loopback,
            AnonymousFrom::Always => Anonymous::Always,
        }
    }
}

/// What happens when readings that no store has fill the disk budget.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WhenFull {
    /// Publishes are refused, so that devices keep what they have.
    Refuse,
    /// What is worth least is dropped, and told as gaps.
    Evict,
}

impl From<WhenFull> for DiskFull {
    fn from(full: WhenFull) -> DiskFull {
        match full {
            WhenFull::Refuse => DiskFull::Refuse,
            WhenFull::Evict => DiskFull::Evict,
        }
    }
}

/// What can be said of a box. `None` is "not said here".
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct EdgeArgs {
    /// Directory that the box keeps everything in; made if absent
    #[arg(long, env = "TARN_DATA", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<PathBuf>,
    /// Name of the home: 1 to 64 of a-z A-Z 0-9 _ . -
    #[arg(long, env = "TARN_HOME", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) home: Option<HomeId>,
    /// Where MQTT clients connect [default: 0.0.0.0:1883]
    #[arg(long, env = "TARN_MQTT", value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mqtt: Option<SocketAddr>,
    /// Where the REST interface and the dashboard are served; for other machines give a certificate, see --http-cert [default: 127.0.0.1:8080]
    #[arg(long, env = "TARN_HTTP", value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<SocketAddr>,
    /// Copies of each chunk, each in another store; for a fleet that is new, see `tarn stores` for one that is not [default: 1]
    #[arg(long, env = "TARN_COPIES", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) copies: Option<usize>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) stores: StoreArgs,
    /// The oldest a reading gets before it is cut into a chunk [default: 15m]
    #[arg(long, env = "TARN_CUT_AGE", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(
        with = "humantime_serde",
        skip_serializing_if = "Option::is_none",
        default
    )]
    pub(crate) cut_age: Option<Duration>,
    /// Shards that readings are split into, fixed when the directory is made [default: 4]
    #[arg(long, env = "TARN_SHARDS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shards: Option<u16>,
    /// Journal size at which a cut is made whatever its age [default: 32MiB]
    #[arg(long, env = "TARN_SEGMENT_SIZE", value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) segment_size: Option<ByteSize>,
    /// How long a commit waits for more publishes; 5ms spares flash, 0s acknowledges soonest [default: 0s]
    #[arg(long, env = "TARN_LINGER", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(
        with = "humantime_serde",
        skip_serializing_if = "Option::is_none",
        default
    )]
    pub(crate) linger: Option<Duration>,
    /// Disk space for chunks and journal; shipped chunks go first, then --disk-full says what happens [default: 10GiB]
    #[arg(long, env = "TARN_DISK_BUDGET", value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disk_budget: Option<ByteSize>,
    /// When the disk budget is full of readings that no store has: refuse publishes, so that devices keep them, or evict what is worth least and tell it as gaps [default: refuse]
    #[arg(long, env = "TARN_DISK_FULL", value_name = "POLICY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disk_full: Option<WhenFull>,
    /// Bytes a second that shipping may use [default: no limit]
    #[arg(long, env = "TARN_SHIP_RATE", value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ship_rate: Option<ByteSize>,
    /// How long one chunk may take to get into the store; raise it where the line is very slow [default: 60s]
    #[arg(long, env = "TARN_SHIP_TIMEOUT", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(
        with = "humantime_serde",
        skip_serializing_if = "Option::is_none",
        default
    )]
    pub(crate) ship_timeout: Option<Duration>,
    /// How long what was in the journal when a box was copied waits for the other copy to store it [default: 30m]
    #[arg(long, env = "TARN_COPIED_WAIT", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(
        with = "humantime_serde",
        skip_serializing_if = "Option::is_none",
        default
    )]
    pub(crate) copied_wait: Option<Duration>,
    /// Where MQTT clients without a user name may come from [default: loopback]
    #[arg(long, env = "TARN_ANONYMOUS", value_name = "FROM")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) anonymous: Option<AnonymousFrom>,
    /// An MQTT user; may be repeated (in the file: users = ["name:password"])
    #[arg(
        long = "user",
        env = "TARN_USERS",
        value_name = "NAME:PASSWORD",
        value_delimiter = ',',
        hide_env_values = true
    )]
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) users: Vec<String>,
    /// File of MQTT users, kept by `tarn user`; read again when it changes
    #[arg(long, env = "TARN_PASSWORD_FILE", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
    /// File of what MQTT clients may read, write and subscribe to; read again when it changes; without one everybody may do everything
    #[arg(long, env = "TARN_ACL_FILE", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) acl_file: Option<PathBuf>,
    /// How a topic names device and metric, such as site/+/{device}/{metric}; may be repeated, the first that fits counts (in the file: topics = [...])
    #[arg(
        long = "topic",
        env = "TARN_TOPICS",
        value_name = "PATTERN",
        value_delimiter = ','
    )]
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) topics: Vec<String>,
    /// Time zone of the home, such as Europe/Vienna, for devices that tell local time [default: the system's]
    #[arg(long, env = "TARN_TIME_ZONE", value_name = "ZONE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) time_zone: Option<String>,
    /// File of ways to tell people of alarms: ntfy, webhook, mail; see docs/notify.md
    #[arg(long, env = "TARN_CHANNELS", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channels: Option<PathBuf>,
    /// Directory of the home's own insights, beside those of Tarn; see docs/insights.md
    #[arg(long, env = "TARN_INSIGHTS", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) insights: Option<PathBuf>,
    /// File that says what energy costs at which hour, for insights that go by prices; see docs/insights.md
    #[arg(long, env = "TARN_TARIFF", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tariff: Option<PathBuf>,
    /// Prefix of Home Assistant's discovery topics, under which the box shows itself there; empty for not at all [default: homeassistant]
    #[arg(long, env = "TARN_DISCOVERY_PREFIX", value_name = "TOPIC")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) discovery_prefix: Option<String>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) mqtt_args: MqttArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) bridge_args: BridgeArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) cloud_link: CloudLinkArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) lan: LanArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) s3: S3Args,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) http_args: HttpArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) query: QueryArgs,
}

/// What queries may cost.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct QueryArgs {
    /// Memory of all queries together [default: 512MiB]
    #[arg(long, env = "TARN_QUERY_MEMORY", value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) query_memory: Option<ByteSize>,
    /// Time of one query [default: 30s]
    #[arg(long, env = "TARN_QUERY_TIME", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(
        with = "humantime_serde",
        skip_serializing_if = "Option::is_none",
        default
    )]
    pub(crate) query_time: Option<Duration>,
    /// Rows of one answer of POST /v1/sql [default: 100000]
    #[arg(long, env = "TARN_QUERY_ROWS", value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) query_rows: Option<usize>,
}

/// What can be said of the cloud service.
#[derive(Debug, Default, Clone, Args, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct CloudArgs {
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) stores: StoreArgs,
    /// File of ways to tell people of alarms: ntfy, webhook, mail; see docs/notify.md
    #[arg(long, env = "TARN_CHANNELS", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) channels: Option<PathBuf>,
    /// How long the box of a home in the mode away, holiday or night may be silent before that is an alarm [default: 2m]
    #[arg(long, env = "TARN_SILENT_AFTER", value_name = "DURATION", value_parser = humantime::parse_duration)]
    #[serde(
        with = "humantime_serde::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub(crate) silent_after: Option<Duration>,
    /// Where the REST interface and the dashboard are served; for other machines give a certificate, see --http-cert [default: 127.0.0.1:8090]
    #[arg(long, env = "TARN_HTTP", value_name = "ADDR:PORT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<SocketAddr>,
    /// Directory for copies of chunks that queries read; may be deleted at any time the service is down [default: a temporary one]
    #[arg(long, env = "TARN_CACHE", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache: Option<PathBuf>,
    /// Size of these copies [default: 10GiB]
    #[arg(long, env = "TARN_CACHE_SIZE", value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_size: Option<ByteSize>,
    /// How often the store is asked for new chunks [default: 2s]
    #[arg(long, env = "TARN_REFRESH", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(
        with = "humantime_serde",
        skip_serializing_if = "Option::is_none",
        default
    )]
    pub(crate) refresh: Option<Duration>,
    /// How much is read per second to check all copies of all chunks; what is missing or damaged is repaired. 0 does neither [default: 4MiB]
    #[arg(long, env = "TARN_SCRUB_RATE", value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scrub_rate: Option<ByteSize>,
    /// How often the stores are listed, and what is missing is made good [default: 10m]
    #[arg(long, env = "TARN_SCRUB_LIST", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(
        with = "humantime_serde",
        skip_serializing_if = "Option::is_none",
        default
    )]
    pub(crate) scrub_list: Option<Duration>,
    /// How often reading all copies may begin anew [default: 1d]
    #[arg(long, env = "TARN_SCRUB_READ", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(
        with = "humantime_serde",
        skip_serializing_if = "Option::is_none",
        default
    )]
    pub(crate) scrub_read: Option<Duration>,
    /// Bytes a second that moving chunks between stores may use; 0 moves nothing by itself [default: 8MiB]
    #[arg(long, env = "TARN_UPKEEP_RATE", value_name = "SIZE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upkeep_rate: Option<ByteSize>,
    /// How often it is looked whether chunks are to be moved [default: 30s]
    #[arg(long, env = "TARN_UPKEEP_EVERY", value_name = "TIME", value_parser = humantime::parse_duration)]
    #[serde(
        with = "humantime_serde",
        skip_serializing_if = "Option::is_none",
        default
    )]
    pub(crate) upkeep_every: Option<Duration>,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) meeting: MeetingArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) http_args: HttpArgs,
    #[command(flatten)]
    #[serde(flatten)]
    pub(crate) query: QueryArgs,
}

/// Flags and variables over a TOML file.
///
/// # Errors
/// A file that cannot be read, or a key in it that is not known or has a wrong value.
pub(crate) fn over_file<T>(said: T, file: Option<&PathBuf>) -> Result<T, Failure>
where
    T: Args + Serialize + DeserializeOwned,
{
    let Some(path) = file else { return Ok(said) };
    let name = path.display();
    let wrong = |e: &dyn std::fmt::Display| Failure::usage(format!("{name}: {e}"));
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
    let mut merged: toml::Table = toml::from_str(&text).map_err(|e| wrong(&e))?;
    check_keys::<T>(&merged).map_err(|e| wrong(&e))?;
    merged.extend(toml::Table::try_from(&said).map_err(|e| wrong(&e))?);
    merged.try_into().map_err(|e| wrong(&e))
}

/// Check each key alone, so that the message can name it.
fn check_keys<T: Args + DeserializeOwned>(table: &toml::Table) -> Result<(), String> {
    let command = T::augment_args(clap::Command::new("keys"));
    let known: Vec<String> = command
        .get_arguments()
        .map(|arg| arg.get_id().as_str().replace('_', "-"))
        .collect();
    for (key, value) in table {
        if !known.contains(key) {
            return Err(format!(
                "key `{key}` is not known; the keys are {}",
                known.join(", ")
            ));
        }
        let alone = toml::Table::from_iter([(key.clone(), value.clone())]);
        alone
            .try_into::<T>()
            .map_err(|e| format!("key `{key}`: {}", e.message()))?;
    }
    Ok(())
}

impl EdgeArgs {
    /// Check everything at once and give the box's settings.
    pub(crate) fn settings(self) -> Result<Settings, Failure> {
        let required = |key: &str| {
            Failure::usage(format!(
                "--{key} is missing (or TARN_{}, or `{key}` in the file)",
                key.to_uppercase()
            ))
        };
        let home = self.home.clone().ok_or_else(|| required("home"))?;
        let pattern = |text: &String| {
            text.parse::<Pattern>()
                .map_err(|e| Failure::usage(format!("--topic: {e}")))
        };
        let topics = self
            .topics
            .iter()
            .map(pattern)
            .collect::<Result<Vec<_>, _>>()?;
        let journal = JournalSettings {
            segment_bytes: self
                .segment_size
                .map_or(JournalSettings::default().segment_bytes, |s| s.as_u64())
                .max(1 << 20),
            linger: self.linger.unwrap_or_default().min(Duration::from_secs(1)),
            ..JournalSettings::default()
        };
        let disk_budget_bytes = disk_budget(self.disk_budget, journal.segment_bytes)?;
        let stores = self.stores.open()?;
        let defaults = ShipSettings::default();
        let ship = ShipSettings {
            bytes_per_second: self.ship_rate.map(|s| s.as_u64()),
            object_timeout: self.ship_timeout.unwrap_or(defaults.object_timeout),
            copied_wait: self.copied_wait.unwrap_or(defaults.copied_wait),
            ..defaults
        };
        let data = self.data.ok_or_else(|| required("data"))?;
        // Queries name files by URLs, and a URL has no relative path.
        let data = std::path::absolute(&data)
            .map_err(|e| Failure::usage(format!("--data {}: {e}", data.display())))?;
        let mqtt = self.mqtt_args.listen(self.mqtt)?;
        let http = self
            .http
            .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080)));
        // The first listener is the plain one.
        let lan = (self.lan).settings(self.cloud_link.home_key(), mqtt[0].address)?;
        Ok(Settings {
            data,
            home: home.clone(),
            mqtt,
            lan,
            broker: self.mqtt_args.limits(BrokerLimits::default()),
            http,
            http_settings: self.http_args.settings(http)?,
            copies: copies(self.copies, &stores)?,
            stores,
            ship_at_stop: Settings::SHIP_AT_STOP,
            cut_age: self
                .cut_age
                .unwrap_or(Settings::CUT_AGE)
                .max(Duration::from_millis(100)),
            shards: self.shards.unwrap_or(Settings::SHARDS),
            journal,
            ship,
            disk_budget_bytes,
            disk_full: self.disk_full.map(DiskFull::from).unwrap_or_default(),
            topics: Topics::new(topics),
            zone: zone(self.time_zone.as_deref())?,
            channels: channels(self.channels.as_deref())?,
            packs: packs(self.insights.as_deref(), self.tariff.as_deref())?,
            discovery_prefix: discovery_prefix(self.discovery_prefix)?,
            bridge: self.bridge_args.settings(&home)?,
            s3: self.s3.settings()?,
            meeting_places: self.cloud_link.settings(&home)?,
            users: UsersSettings {
                fixed: self
                    .users
                    .iter()
                    .map(|user| name_and_password(user))
                    .collect::<Result<HashMap<_, _>, _>>()?,
                password_file: self.password_file,
                acl_file: self.acl_file,
                anonymous: self.anonymous.unwrap_or(AnonymousFrom::Loopback).into(),
                certificate_names: true,
                tokens: None,
            },
            engine: self.query.engine(EngineSettings::default()),
            limits: self.query.limits(),
        })
    }
}

impl CloudArgs {
    /// Check everything at once and give the service's settings.
    pub(crate) fn settings(self) -> Result<tarn_cloud::Settings, Failure> {
        let defaults = tarn_cloud::Settings::new(self.stores.open_some()?);
        let http = self
            .http
            .unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8090)));
        Ok(tarn_cloud::Settings {
            http,
            channels: channels(self.channels.as_deref())?,
            silent_after: self.silent_after.unwrap_or(defaults.silent_after),
            http_settings: self.http_args.settings(http)?,
            cache_directory: self.cache,
            cache_bytes: self.cache_size.map_or(defaults.cache_bytes, |s| s.as_u64()),
            refresh_every: self
                .refresh
                .unwrap_or(defaults.refresh_every)
                .max(Duration::from_millis(100)),
            scrub: tarn_cloud::ScrubSettings {
                bytes_per_second: self
                    .scrub_rate
                    .map_or(defaults.scrub.bytes_per_second, |s| s.as_u64()),
                list_every: self
                    .scrub_list
                    .unwrap_or(defaults.scrub.list_every)
                    .max(Duration::from_millis(100)),
                read_every: self.scrub_read.unwrap_or(defaults.scrub.read_every),
            },
            meeting: self.meeting.settings()?,
            upkeep: UpkeepSettings {
                every: self
                    .upkeep_every
                    .unwrap_or(defaults.upkeep.every)
                    .max(Duration::from_millis(100)),
                bytes_per_second: self
                    .upkeep_rate
                    .map_or(defaults.upkeep.bytes_per_second, |rate| rate.as_u64()),
                rule: defaults.upkeep.rule,
            },
            limits: self.query.limits(),
            engine: self.query.engine(defaults.engine.clone()),
            ..defaults
        })
    }
}

/// Copies of each chunk: no more than there are stores.
fn copies(said: Option<usize>, stores: &[Store]) -> Result<Option<usize>, Failure> {
    let copies = said.unwrap_or(1);
    if copies == 0 || copies > stores.len().max(1) {
        return Err(Failure::usage(format!(
            "--copies {copies}: each copy needs a store of its own, and there are {}; give more --store, or --copies 1 to {}",
            stores.len(),
            stores.len().max(1)
        )));
    }
    Ok(said)
}

impl QueryArgs {
    /// Bounds of the engine.
    pub(crate) fn engine(&self, settings: EngineSettings) -> EngineSettings {
        let memory_bytes = self
            .query_memory
            .map_or(settings.memory_bytes, |s| s.as_u64() as usize);
        EngineSettings {
            memory_bytes,
            ..settings
        }
    }

    /// Bounds of one question.
    pub(crate) fn limits(&self) -> Limits {
        let limits = Limits::default();
        Limits {
            time: self.query_time.unwrap_or(limits.time),
            rows: self.query_rows.unwrap_or(limits.rows),
            ..limits
        }
    }
}

/// A budget in which the journal itself has room.
fn disk_budget(said: Option<ByteSize>, segment_bytes: u64) -> Result<u64, Failure> {
    let budget = said.unwrap_or(Settings::DISK_BUDGET);
    let least = ByteSize(SEGMENTS_MIN.saturating_mul(segment_bytes));
    if budget < least {
        let segment = ByteSize(segment_bytes);
        return Err(Failure::usage(format!(
            "--disk-budget: {budget} is less than {SEGMENTS_MIN} journal segments of {segment}; use {least} or more, or a smaller --segment-size"
        )));
    }
    Ok(budget.as_u64())
}

fn discovery_prefix(prefix: Option<String>) -> Result<Option<String>, Failure> {
    let prefix = prefix.unwrap_or_else(|| DISCOVERY_PREFIX.to_owned());
    if prefix.contains(['+', '#']) || prefix.starts_with('/') || prefix.ends_with('/') {
        return Err(Failure::usage(format!(
            "--discovery-prefix: {prefix:?} is no topic; write it like homeassistant, or leave it empty"
        )));
    }
    Ok(Some(prefix).filter(|prefix| !prefix.is_empty()))
}

fn channels(file: Option<&Path>) -> Result<Channels, Failure> {
    let Some(file) = file else {
        return Ok(Channels::default());
    };
    Channels::load(file)
        .map_err(|e| Failure::usage(format!("--channels: {:#}", anyhow::Error::from(e))))
}

/// A home's own insights, and those that go by its tariff. An insight that is wrong is told, and keeps no box from starting.
fn packs(directory: Option<&Path>, tariff: Option<&Path>) -> Result<Vec<Pack>, Failure> {
    let mut packs = Vec::new();
    if let Some(directory) = directory {
        let loaded = tarn_insights::load(directory)
            .map_err(|e| Failure::usage(format!("--insights: {e}")))?;
        for refused in &loaded.refused {
            tracing::error!(%refused, "an insight of the home's own does not run");
        }
        packs = loaded.packs;
    }
    match tariff {
        None => Ok(packs),
        Some(file) => Tariff::load(file)
            .and_then(|tariff| tariff.applied(packs))
            .map_err(|e| Failure::usage(format!("--tariff: {e}"))),
    }
}

fn zone(name: Option<&str>) -> Result<TimeZone, Failure> {
    let Some(name) = name else {
        return Ok(TimeZone::system());
    };
    TimeZone::get(name).map_err(|_| {
        Failure::usage(format!(
            "--time-zone: {name:?} is not known; write it like Europe/Vienna or UTC"
        ))
    })
}

fn name_and_password(user: &str) -> Result<(String, String), Failure> {
    match user.split_once(':') {
        Some((name, password)) if !name.is_empty() => Ok((name.to_owned(), password.to_owned())),
        _ => Err(Failure::usage("--user: write it as NAME:PASSWORD".into())),
    }
}
