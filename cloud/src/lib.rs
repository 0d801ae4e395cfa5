//! The cloud service: many homes of one set of stores, caches only.
//!
//! In the order that data passes through them:

/// Starting, serving and stopping.
pub mod app;
/// Who changed what, or was refused, on its way into the stores.
mod audit;
/// What is asked of devices, and done by their boxes.
mod devices;
/// The cloud among the boxes of many homes.
pub mod downlink;
/// Following the commit log of the stores.
mod follow;
/// Readings that boxes have not shipped yet, on demand.
mod fresh;
/// Alarms: telling people, and boxes that fall silent.
mod guard;
/// The lake that the service answers from: the catalog, and chunks through the cache.
mod lake;
/// What happens in homes that somebody listens to.
mod live;
/// The metrics `tarn_cloud_…`.
mod metrics;
/// The twins of all homes.
mod twins;
/// Looking after where chunks are.
mod upkeep;

pub use app::{Cloud, Settings, StartError};
pub use downlink::{Downlink, MeetingSettings, OwnBroker};
pub use upkeep::{ScrubSettings, UpkeepSettings};

#[cfg(test)]
mod tests;
