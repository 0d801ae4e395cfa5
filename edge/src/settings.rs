use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use jiff::tz::TimeZone;
use tarn_broker::{Limits as BrokerLimits, Listen, auth::UsersSettings};
use tarn_common::{
    ids::HomeId,
    query::{EngineSettings, Limits},
    store::Store,
};
use tarn_insights::Pack;
use tarn_link::MeetingPlace;
use tarn_notify::Channels;
use tarn_openapi::HttpSettings;

use crate::{
    bridge::BridgeSettings, budget::DiskFull, decode::topic::Topics, journal::JournalSettings,
    lan::LanSettings, served::S3Settings, ship::ShipSettings,
};

/// Settings of a box, checked.
#[derive(Debug)]
pub struct Settings {
    /// The data directory: made if absent, held alone.
    pub data: PathBuf,
    /// The home whose readings these are.
    pub home: HomeId,
    /// Where MQTT clients connect.
    pub mqtt: Vec<Listen>,
    /// Bounds of the MQTT broker.
    pub broker: BrokerLimits,
    /// Where the REST interface listens; port 0 lets the system choose.
    pub http: SocketAddr,
    /// How it is served, and to whom.
    pub http_settings: HttpSettings,
    /// Where chunks go; without one the box keeps them all.
    pub stores: Vec<Store>,
    /// Copies of each chunk, for a fleet that is new; 1 unless said.
    pub copies: Option<usize>,
    /// The oldest a reading gets before it is cut into a chunk.
    pub cut_age: Duration,
    /// How long a stopping box goes on shipping what it has just cut.
    pub ship_at_stop: Duration,
    /// Number of shards; fixed when the data directory is made.
    pub shards: u16,
    /// How the journal is kept.
    pub journal: JournalSettings,
    /// How shipping behaves.
    pub ship: ShipSettings,
    /// Bytes that chunks and the journal may take on disk.
    pub disk_budget_bytes: u64,
    /// What happens when readings that no store has fill them.
    pub disk_full: DiskFull,
    /// How topics are read.
    pub topics: Topics,
    /// The home's time zone, for devices that tell local time.
    pub zone: TimeZone,
    /// Prefix of Home Assistant's discovery, under which the box shows itself; none for not at all.
    pub discovery_prefix: Option<String>,
    /// Who may connect by MQTT, and what they may do.
    pub users: UsersSettings,
    /// An existing broker to be a client of.
    pub bridge: Option<BridgeSettings>,
    /// Where the box meets the other nodes of its home.
    pub meeting_places: Vec<MeetingPlace>,
    /// How it meets boxes on the LAN, if it does.
    pub lan: Option<LanSettings>,
    /// How its directory is served by the S3 protocol, if it is.
    pub s3: Option<S3Settings>,
    /// Ways to tell people of alarms.
    pub channels: Channels,
    /// The home's own insights.
    pub packs: Vec<Pack>,
    /// The query engine's bounds.
    pub engine: EngineSettings,
    /// What one question may cost.
    pub limits: Limits,
}

impl Settings {
    /// How long a stopping box goes on shipping where nothing is said.
    pub const SHIP_AT_STOP: Duration = Duration::from_secs(5);
    /// Cut age unless set.
    pub const CUT_AGE: Duration = Duration::from_secs(15 * 60);
    /// Shards unless set.
    pub const SHARDS: u16 = 4;
    /// Disk budget unless set.
    pub const DISK_BUDGET: ByteSize = ByteSize::gib(10);
}
