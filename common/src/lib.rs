//! The words, formats and pure algorithms that the box and the cloud share.
//!
//! In the order that data passes through them:

/// Copies of a store's chunks on local disk, verified before their first use.
pub mod cache;
/// The live set of chunks: all adds less all removes.
pub mod catalog;
/// The Parquet chunk: encode, inspect, verify.
pub mod chunk;
/// The only place that reads the wall clock.
pub mod clock;
/// The commit log: numbered entries that add and remove chunks.
pub mod commit_log;
/// An embedded database that outlives errors of the disk.
pub mod database;
/// Files that are whole or absent after a crash.
pub mod durable;
/// What happens that is no reading: gaps and audit rows, and later alarms.
pub mod event;
/// The stores that belong together: their names, whose they are, and the store set that all agree on.
pub mod fleet;
/// Identifiers: every id, sequence and shard number is a type of its own.
pub mod ids;
/// Looking after the copies of chunks: placing them anew, mending them.
pub mod keeper;
/// The layout of a store: the only place where object keys are made or parsed.
pub mod layout;
/// The Merkle root over live chunks.
pub mod merkle;
/// Passwords as hashes.
pub mod password;
/// Which stores a chunk goes to.
pub mod placement;
/// Questions over chunks: SQL and typed reading queries.
pub mod query;
/// What one row means: its columns, its flags, its Arrow schema.
pub mod reading;
/// Many readings in columns, on their way into chunks.
pub mod rows;
/// Going through all copies for ever, and repairing them.
pub mod scrub;
/// A place with the layout: a directory or an S3 bucket.
pub mod store;
/// TLS servers whose certificates may change.
pub mod tls;
/// Twins: state of a home that two sides may change while the line is cut.
pub mod twin;
/// Checking a whole store against its commit log.
pub mod verify;
/// Files that are read again when they change.
pub mod watched;

// The conformance suite of stores names this crate as the scenarios do, which run it as well.
#[cfg(test)]
extern crate self as tarn_common;
