//! The harness of the scenarios: real processes, real MQTT clients, a real S3 server, real readers.
//!
//! A scenario starts what it needs, waits for conditions with a deadline, and states what must hold.
//! Whatever the harness cannot do is a panic with a message that says what to do about it. Every
//! process is ended by its own id when its handle is dropped, and also when the test binary is killed.

/// Tokens for the REST interfaces.
pub mod access;
/// A certificate for TLS on the loopback.
pub mod certificates;
/// Processes that do not outlive the test binary, with their output in a file.
pub mod child;
/// Devices that publish, listen and answer, as the real ones do.
pub mod device;
/// What stands between Tarn and the S3 server, and misbehaves when told to.
pub mod fault_proxy;
/// A client for the REST interface.
pub mod http;
/// The MQTT clients of the mosquitto project.
pub mod mosquitto;
/// The mosquitto broker, to compare with and to bridge to.
pub mod mosquitto_server;
/// TCP ports that nobody else takes.
pub mod ports;
/// The program under test: boxes, clouds, simulators and one-off commands.
pub mod process;
/// The scripts under `tests/python`: readers of a store, a publisher, a checker.
pub mod python;
/// The S3 server that stores live on.
pub mod s3;
/// A listener to server-sent events.
pub mod sse;
/// The programs that scenarios run, and where they are.
pub mod tools;
/// Waiting for a condition, with a deadline.
pub mod wait;
