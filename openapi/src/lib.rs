//! The REST interface that the box and the cloud both serve, and its OpenAPI documents.
//!
//! In the order that a request passes through:

/// What a host gives: an engine, a clock, whether it is ready.
pub mod service;
/// The HTTP server: routes, limits, graceful stop.
pub mod server;
/// Counts and times of requests.
mod metrics;
/// Errors as RFC 9457 problems, everywhere.
pub mod problem;
/// Operations, as the document shows them.
mod api;
/// The shapes of JSON answers.
pub mod types;
/// What `Accept` asks for.
mod accept;
/// Arrow batches as JSON, CSV, Arrow or Parquet.
mod encode;
/// The committed documents.
pub mod document;

pub use document::{cloud_document, edge_document};
pub use server::{HttpSettings, SharedRegistry, serve};
pub use service::{Kind, Service};

#[cfg(test)]
mod tests;
