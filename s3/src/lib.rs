//! Directories, served by the S3 protocol: a box as a store of its house.
//!
//! The protocol itself (requests, signatures, XML) is the library's; what a directory is, how a file in it becomes
//! durable and what is not served is told here. An answered PUT is on disk.
//!
//! In the order that a request passes through:

/// What is served, where, and to whom.
mod settings;

/// Keys that are made once and kept in a file.
mod keys;

/// Listening, connections, and the end of both.
mod server;

/// Who may do what; and everything that is not served.
mod gate;

/// The directories that are served.
mod served;

/// The operations that are served, by their names.
mod service;

/// Those that read.
mod reads;

/// Those that put and delete.
mod writes;

/// Those of uploads in parts.
mod parts;

/// Conditions of a request: "if it is still this one".
mod conditions;

/// What a PUT brings, written aside and compared with its checksums.
mod receive;

/// Uploads in parts that are under way.
mod uploads;

/// Which keys there may be.
mod key;

/// A directory as a bucket: what lies at a key, and putting and deleting it durably.
mod tree;

/// The keys of a directory in the order of S3.
mod walk;

/// One page of a listing.
mod listing;

/// Errors as S3 tells them.
mod error;

/// Figures.
mod metrics;

pub use self::{
    keys::{KeptKeys, KeysError, kept_keys},
    metrics::S3Metrics,
    server::{S3Server, StartError},
    settings::{Bucket, KeyPair, Rights, Settings},
};

#[cfg(test)]
mod tests;
