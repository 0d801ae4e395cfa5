//! What a home's devices say and understand: topics and payloads become devices, metrics, units and
//! commands, with nothing to configure.
//!
//! Pure: no I/O and no clock; whoever calls gives messages, times and the home's time zone. In the order
//! that a message passes through:

/// What a message teaches about devices.
pub mod announcement;
/// How a topic's payloads are read.
pub mod binding;
/// From a value that somebody wants to a topic and a payload.
pub mod command;
/// How the devices of one make or firmware speak; a module each.
pub mod convention;
/// Counters that may begin again.
pub mod counter;
/// What is wrong with what a device says.
pub mod fault;
/// What names a device, and the stable id that follows from it.
pub mod identifier;
/// One message, as a convention sees it.
pub mod message;
/// What a device measures and how it is set.
pub mod point;
/// Readings of payloads with a layout of their own.
pub mod reading;
/// The devices of a home, merged from all that was announced.
pub mod registry;
/// Home Assistant's templates, bounded.
pub mod template;
/// What of a device box and cloud share.
pub mod twin;
/// Spellings of units.
pub mod unit;

pub use announcement::{
    About, Announcement, Availability, AvailabilityTopic, Layout, Mode, Stream, TimeKey,
};
pub use convention::{Convention, ConventionKind};
pub use fault::{Fault, FaultKind};
pub use identifier::{DeviceId, Identifier};
pub use message::Message;
pub use point::{At, Component, Domain, Encode, Form, Point, Read, StateClass, Words, Write};
