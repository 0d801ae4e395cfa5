//! The box: takes what a home's devices publish, keeps it safe, cuts it into chunks, ships them.
//!
//! In the order that data passes through it:

/// Wires the stages, and stops them.
pub mod app;
/// What the box does when the cloud asks it.
pub mod asked;
/// The box as a client of an existing broker.
pub mod bridge;
/// The disk budget: what may be evicted, and when to refuse.
pub mod budget;
/// Faults of devices.
pub mod care;
/// Whether the data directory is a copy, and under which ids it goes on.
pub mod copied;
/// A sealed journal segment becomes chunks and one commit log entry.
pub mod cut;
/// Journal records become readings.
pub mod decode;
/// What is known of devices, and how they are set.
pub mod devices;
/// Room on a box that is full of what no store has, by value and told.
pub mod evict;
/// Everything cut and shipped at once, for who cannot wait.
pub mod fresh;
/// The home's key, and what proves that a box knows it.
pub mod home_key;
/// The data directory: its lock and its identity.
pub mod identity;
/// Insights, on their schedules.
pub mod insights;
/// Acknowledged publishes, durable before their acknowledgement.
pub mod journal;
/// What a stage goes on from after a restart.
mod kept_file;
/// Boxes of one home that meet on the LAN, without a cloud.
pub mod lan;
/// Readings as they come, for who listens.
pub mod live;
/// Figures for `/metrics`.
pub mod metrics;
/// What the home does by itself: its rules, and alarms.
pub mod rules;
/// The box as a store: its lake, and copies of its neighbours, by the S3 protocol.
pub mod served;
/// What the REST interface asks of a box.
pub mod service;
/// Checked settings of a box.
pub mod settings;
/// The box's own lake: chunks on its disk, and its commit log.
pub mod shelf;
/// Chunks go to the store, and stay until they are there.
pub mod ship;
/// What is published, decoded as it becomes durable.
pub mod stream;
/// Readings that are still in the journal, for queries.
pub mod tail;
/// What becomes of messages to people, noted.
pub mod tell;
/// Devices as documents that box and cloud share.
pub mod twins;
/// The box among the other nodes of its home: cloud, and boxes.
pub mod uplink;
/// What happens in the home, told to the cloud while somebody looks there.
pub mod watched;

#[cfg(test)]
mod failing_disk;

pub use app::Edge;
pub use settings::Settings;
