//! The wire between boxes and clouds: topics and messages over MQTT.
//!
//! Nodes of a home (its boxes, and replicas of the cloud) meet at a broker, the meeting place. Nothing here relies on
//! delivery: what is lost is told again. In the order that a message passes through it:

/// A connection to a meeting place that comes back.
pub mod link;
/// What is said on them.
pub mod message;
/// Figures of links.
pub mod metrics;
/// Who speaks: a box, or a replica of the cloud.
pub mod node;
/// Where nodes meet: the address of a broker, and how to get in.
pub mod place;
/// What a node does with what it hears.
pub mod service;
/// The roots that a broker's certificate is checked by.
pub mod tls;
/// The only place where topics are made or parsed.
pub mod topic;

pub use link::{Delivery, Link, LinkEvent, LinkEvents, LinkSettings, LinkTask, PublishError, Will};
pub use message::{
    Answer, AnswerKind, Ask, AskId, AskKind, BoxState, Envelope, LiveBatch, Presence,
};
pub use metrics::LinkMetrics;
pub use node::NodeId;
pub use place::{FreshLogin, MeetingPlace, PlaceError};
pub use service::{AskHandler, SyncNode};
pub use topic::{Channel, Topic};
