//! The durable log that publishes go to before they are acknowledged.
//!
//! The broker does not know what is behind it: on the box it is the journal.

use std::io;

use tarn_common::ids::Seq;
use tokio::sync::watch;

/// One PUBLISH as a client sent it, borrowed from the session's read buffer.
#[derive(Debug, Clone, Copy)]
pub struct Publish<'a> {
    /// MQTT client id.
    pub client: &'a str,
    /// Topic name, valid UTF-8, without wildcards.
    pub topic: &'a str,
    /// Application payload.
    pub payload: &'a [u8],
    /// Quality of service: 0, 1 or 2.
    pub qos: u8,
    /// Packet identifier; 0 at QoS 0.
    pub packet_id: u16,
    /// The client marks it as sent before.
    pub dup: bool,
    /// To be kept as the topic's retained message.
    pub retain: bool,
    /// MQTT 5 properties as on the wire, without their length; empty where there are none.
    pub properties: &'a [u8],
}

/// One record as the log gives it back after a restart.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Position in the log.
    pub seq: Seq,
    /// When it was appended, milliseconds since 1970 UTC.
    pub received_ms: i64,
    /// What it is.
    pub kind: EntryKind<'a>,
}

/// What a record of the log is to the broker.
#[derive(Debug, Clone, Copy)]
pub enum EntryKind<'a> {
    /// A publish that was stored.
    Publish(Publish<'a>),
    /// What [`PublishLog::note`] was given.
    Note {
        /// MQTT client id.
        client: &'a str,
        /// The broker's own bytes.
        note: &'a [u8],
    },
}

/// What the log did with a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// New: acknowledge once the log is durable up to here, and route it.
    Stored(Seq),
    /// A redelivery of what the log already holds at this position: acknowledge once durable up
    /// to here, and do not route it again.
    Duplicate(Seq),
}

/// Why the log did not take a publish. It must not be acknowledged as a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The disk budget is full of data that no store has yet, or the disk itself is full.
    #[error("the disk budget is full")]
    Full,
    /// The disk fails, or the log is shutting down.
    #[error("the log cannot be written")]
    Unavailable,
    /// The record is larger than the log can hold.
    #[error("the record is too large")]
    TooLarge,
}

/// A log whose records become durable in order, many at a time (group commit).
pub trait PublishLog: Send + Sync + 'static {
    /// Add a record in memory; returns at once. Call [`PublishLog::commit`] after a batch.
    fn append(&self, publish: Publish<'_>) -> Result<Appended, Refused>;

    /// A PUBREL arrived: the packet id may be reused for a new QoS 2 message. PUBCOMP may be sent
    /// once the log is durable up to the position returned.
    fn release(&self, client: &str, packet_id: u16) -> Result<Seq, Refused>;

    /// The client is known to have got every acknowledgement of its records up to `seq`, so a
    /// later DUP with the same packet id is a new message. Need not be durable.
    fn confirm(&self, client: &str, seq: Seq);

    /// Add a note of the broker's own about a session: a subscription, a message sent. The log does
    /// not look into it. Call [`PublishLog::commit`] if it has to become durable soon.
    fn note(&self, client: &str, note: &[u8]) -> Result<Seq, Refused>;

    /// The position of the last record that was appended.
    fn last(&self) -> Seq;

    /// Give back every publish and note after a position, in order. Only called before anything is
    /// appended; blocks.
    fn replay(&self, after: Seq, each: &mut dyn FnMut(Entry<'_>)) -> io::Result<()>;

    /// Ask for everything appended so far to be made durable; returns at once.
    fn commit(&self);

    /// The position up to which everything is durable, as it grows. The sender goes away when the
    /// log stops.
    fn durable(&self) -> watch::Receiver<Seq>;
}
