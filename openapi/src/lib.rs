//! The REST interface that the box and the cloud both serve, and its OpenAPI documents.
//!
//! In the order that a request passes through:

/// What a device announced, as scalars of its twin: written by the box that has it, read by everyone.
pub mod about;
/// What `Accept` asks for.
mod accept;
/// Who may ask for what.
pub mod access;
/// Operations on it: logins, tokens, audit.
mod access_api;
/// Operations on alarms.
mod alarms_api;
/// Operations, as the document shows them.
mod api;
/// What a home does by itself, in its document: rules, scenes, alarms, the mode, who is at home, where it is.
pub mod automation;
/// Operations that only a box has, on its MQTT broker.
mod broker_api;
/// The page for people, embedded.
mod dashboard;
/// Operations on messages to people that are not delivered.
mod deliveries_api;
/// What a host does for devices.
mod devices;
/// Operations on devices that only a box has.
mod devices_api;
/// The committed documents.
pub mod document;
/// Arrow batches as JSON, CSV, Arrow or Parquet.
mod encode;
/// Bodies of the sync protocol in one answer.
pub mod frames;
/// Operations on homes: place, rooms, members, boxes, and the sync of twins.
mod homes_api;
/// Changes that are asked for again under their key, done once.
mod idempotency;
/// Running insights.
pub mod insights;
/// Operations on insights.
mod insights_api;
/// Answers that are given again.
mod kept;
/// What all devices of a home measured last.
mod latest_api;
/// What happens in a home, told as it happens.
pub mod live;
/// The operation that listens to it.
mod live_api;
/// Counts and times of requests.
mod metrics;
/// Alarms and messages on their way to people.
pub mod notices;
/// Errors as RFC 9457 problems, everywhere.
pub mod problem;
/// Operations on rules.
mod rules_api;
/// Operations on scenes and modes.
mod scenes_api;
/// The HTTP server: routes, limits, graceful stop.
pub mod server;
/// What a host gives: an engine, a clock, whether it is ready.
pub mod service;
/// Operations on stores, which only the cloud has.
mod stores_api;
/// Connections by TLS.
mod tls;
/// Operations on twins.
mod twins_api;
/// The shapes of JSON answers.
pub mod types;

pub use access::{Access, AccessSettings};
pub use broker_api::{BrokerService, MqttClient, MqttClients, MqttConnection};
pub use devices::{
    BoxInfo, Command, DeviceError, DeviceFault, DeviceService, Feature, KnownDevice, SetRequest,
    Twin, Wanted, WantedValue, announced, check_heads, heads, names_of,
};
pub use document::{cloud_document, edge_document};
pub use poem_openapi::types::{Any, ParseFromJSON, ToJSON};
pub use rules_api::of_series;
pub use server::{HttpSettings, SharedRegistry, serve};
pub use service::{Freshness, Kind, Service};
pub use stores_api::{CopyFault, LostChunk, Moving, ScrubState, StoresNow, StoresService};

#[cfg(test)]
mod tests;
