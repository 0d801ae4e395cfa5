//! What the broker writes into the log about sessions, so that they survive a crash.
//!
//! One log holds publishes and these notes in the order in which they happened, so one sync makes
//! both durable, and replaying it after the last checkpoint gives the sessions as they were. Notes
//! are encoded by postcard behind a version byte; a variant is never changed, only added.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::envelope::Properties;

/// Version of the encoding of notes and of the stored state.
const VERSION: u8 = 1;

/// One step of one session. Written by the session or the exchange, read at a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Note {
    /// The client connected.
    Opened {
        /// Seconds that the session outlives its connection; 0 ends it there.
        expiry_s: u32,
        /// What the client id had before is gone.
        clean: bool,
        will: Option<Will>,
    },
    /// The connection ended.
    Closed {
        expiry_s: u32,
        /// The will waits for its delay.
        will_pending: bool,
    },
    /// The session is gone, with all that waited in it.
    Ended,
    /// The will was published later than the connection's end.
    WillPublished,
    /// A filter was subscribed to, or its subscription replaced.
    Subscribed(Subscription),
    /// A filter is no longer subscribed to.
    Unsubscribed { filter: String },
    /// Messages went out or arrived.
    Progress(Progress),
    /// The member of a group that got the message of a shared subscription.
    Shared { filter: String, seq: u64 },
}

/// How far the messages of one client have come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Packet ids that are free: acked or given up.
    pub(crate) done: Vec<u16>,
    /// Packet ids of QoS 2 that the client has received and that only wait for PUBCOMP.
    pub(crate) received: Vec<u16>,
    /// Messages that got a packet id.
    pub(crate) sent: Vec<Sent>,
}

impl Progress {
    pub(crate) fn is_empty(&self) -> bool {
        self.done.is_empty() && self.received.is_empty() && self.sent.is_empty()
    }
}

/// A message that got a packet id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(crate) packet_id: u16,
    /// Position of its publish in the log.
    pub(crate) seq: u64,
    /// Set where it is the retained message of a topic rather than one of the queue.
    pub(crate) retained: Option<SentRetained>,
}

/// Where a retained message that was sent is found again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SentRetained {
    pub(crate) topic: String,
    pub(crate) qos: u8,
    pub(crate) identifiers: Vec<u32>,
}

/// A subscription as the client asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Subscription {
    /// With its `$share/group/`, if it has one.
    pub(crate) filter: String,
    pub(crate) options: Options,
    pub(crate) identifier: Option<u32>,
}

/// What matters of a subscription's options after SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Options {
    pub(crate) qos: u8,
    pub(crate) no_local: bool,
    pub(crate) retain_as_published: bool,
}

/// A client's last will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    /// Seconds between the connection's end and the will.
    pub(crate) delay_s: u32,
    pub(crate) properties: Properties,
}

/// Bytes of a note or of stored state.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    // Writing to memory cannot fail, and every type here has a length that is known.
    postcard::to_extend(value, vec![VERSION]).unwrap_or_default()
}

/// Read back what [`encode`] made.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (&version, rest) = bytes.split_first()?;
    if version != VERSION {
        return None;
    }
    postcard::from_bytes(rest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_was_written_and_nothing_else() {
        let note = Note::Progress(Progress {
            done: vec![1],
            received: vec![],
            sent: vec![Sent {
                packet_id: 2,
                seq: 1 << 40,
                retained: None,
            }],
        });
        let bytes = encode(&note);
        assert_eq!(decode(&bytes), Some(note));
        assert_eq!(decode::<Note>(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode::<Note>(&[]), None);
        assert_eq!(decode::<Note>(&[9, 2]), None);
    }
}
