//! MQTT sessions of our own over rumqttd's router, with acks that mean "on disk".
//!
//! In the order that a publish passes through them:

// What the operator may set: the address and every limit.
mod limits;

// The listener: accepts, counts, starts sessions and stops them.
mod broker;
// Receive buffers and their bound.
mod buffers;

// A socket with its read and write buffers.
mod connection;

// The byte streams that MQTT runs on: TCP, TLS, WebSocket.
mod transport;

// The fixed header: how long a packet is, before any of it is kept.
mod frame;

// Packets of both protocol versions as one type.
mod packet;

// The rules a client can break, and what each is answered with.
mod violation;

// CONNECT to CONNACK.
mod handshake;

// Who may connect.
pub mod auth;

// Which session owns a client id, and how another takes it over.
mod clients;

// One client's connection, from CONNACK to its end.
mod session;

// The durable log that publishes go to before they are acknowledged.
pub mod log;

// From one publish to everyone who wants it: retained store, routes, mailboxes, router.
mod exchange;

// What outlives a client's connection.
mod mailbox;

// What the log is told about sessions.
mod note;

// Sessions and retained messages on disk.
mod store;

// Topic names and filters: rules and matching.
mod topics;

// Topic filters as a tree.
mod filters;

// The last retained message of every topic.
mod retained;

// A publish on its way through the router.
mod envelope;

// rumqttd's router, its links and its end.
mod router;

// What one connection allows to be sent on it.
mod outlet;

// Packets that the broker sends.
mod reply;

// Publishing from inside the process.
mod publisher;

// What an operator sees of the clients, and does to them.
mod operator;

// The broker's own figures as messages.
mod sys;

// Counters and gauges.
mod metrics;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
#[allow(missing_docs, clippy::expect_used)]
pub mod fuzzing;

pub use broker::{Broker, Checkpoints, RouterDied, StartError};
pub use exchange::CheckpointError;
pub use limits::{Config, Limits};
pub use operator::{ClientState, Connection, Operator};
pub use publisher::{InvalidTopic, PublishError, Published, Publisher};
pub use transport::{Listen, Tls, TlsError};
