//! The cloud service: many homes of one set of stores, caches only.
//!
//! In the order that data passes through them:

/// Starting, serving and stopping.
pub mod app;
/// The cloud among the boxes of many homes.
pub mod downlink;
/// Following the commit log of the stores.
mod follow;
/// The lake that the service answers from: the catalog, and chunks through the cache.
mod lake;
/// The metrics `tarn_cloud_…`.
mod metrics;

pub use app::{Cloud, Settings, StartError};
pub use downlink::{Downlink, MeetingSettings, OwnBroker};

#[cfg(test)]
mod tests;
