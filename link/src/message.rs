//! What is said on the topics.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, de::DeserializeOwned};
use serde_json::Value;
use tarn_common::ids::EdgeId;
use ulid::Ulid;

use crate::node::NodeId;

/// Bytes of one message of the twins' exchange: it fits into a packet of any broker of ours with its default bounds.
pub const BODY_BYTES_MAX: usize = 960 * 1024;

/// Bytes of any other message that a node takes in; a batch of live events may have [`BODY_BYTES_MAX`].
pub const JSON_BYTES_MAX: usize = 64 * 1024;

/// Bytes of what a box tells of itself, which is kept for every box of every home.
pub const OF_A_BOX_BYTES_MAX: usize = 2048;

/// Version of the bytes of an [`Envelope`].
const VERSION: u8 = 1;

/// A message that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// It is larger than any that is meant.
    #[error("{bytes} bytes are too many")]
    TooLarge {
        /// How large.
        bytes: usize,
    },
    /// Its first byte tells of a version that is not known.
    #[error("version {0:?} is not known")]
    Version(Option<u8>),
    /// The bytes of an envelope are not those of one.
    #[error("envelope: {0}")]
    Envelope(#[from] postcard::Error),
    /// It is not the JSON that was meant.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// One message of the twins' exchange. Any node sends it; who gets it answers with any number of them to `from`.
///
/// | bytes | what |
/// |---|---|
/// | 1 | version, 1 |
/// | 1 to 10 | `from`, a varint |
/// | 1 to 10 | length of `body`, a varint |
/// | rest | `body` |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// Who sent it, so that it can be answered, and told from what one has sent oneself.
    pub from: NodeId,
    /// What the twins say, which nobody on the way looks into.
    pub body: &'a [u8],
}

#[derive(Serialize, Deserialize)]
struct Wire<'a> {
    from: u64,
    body: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// The bytes to send.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let wire = Wire {
            from: self.from.edge().0,
            body: self.body,
        };
        let mut bytes = Vec::with_capacity(self.body.len() + 16);
        bytes.push(VERSION);
        // Writing to memory cannot fail, and both fields have a length that is known.
        postcard::to_extend(&wire, bytes).unwrap_or_default()
    }

    /// Read what [`encode`](Envelope::encode) made.
    ///
    /// # Errors
    /// It is too large, of another version, or damaged.
    pub fn decode(bytes: &'a [u8]) -> Result<Envelope<'a>, MessageError> {
        if bytes.len() > BODY_BYTES_MAX + 32 {
            return Err(MessageError::TooLarge { bytes: bytes.len() });
        }
        match bytes.split_first() {
            Some((&VERSION, rest)) => {
                let wire: Wire<'a> = postcard::from_bytes(rest)?;
                Ok(Envelope {
                    from: EdgeId(wire.from).into(),
                    body: wire.body,
                })
            }
            other => Err(MessageError::Version(other.map(|(version, _)| *version))),
        }
    }
}

/// Whether a box is there. The box says so when it comes and when it goes; when it goes without a word its will says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// Whether it is there.
    pub online: bool,
    /// When it came or went, by its own clock; in a will, when it came.
    pub since: Timestamp,
    /// The version of its program.
    pub version: String,
    /// What it is called, if it is called anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// How a box is. The box says so when something of it changes that someone waits for, and every minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxState {
    /// Log entries that are not in the store yet.
    pub backlog_entries: u64,
    /// Bytes of their chunks.
    pub backlog_bytes: u64,
    /// When a chunk last got into the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_shipped: Option<Timestamp>,
    /// Devices that it knows.
    pub devices: u64,
    /// Bytes that chunks and the journal take on its disk.
    pub disk_used_bytes: u64,
    /// Bytes that they may take.
    pub disk_budget_bytes: u64,
    /// What its clock says.
    pub clock: Timestamp,
}

/// What a question and its answer are known by: a ULID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(Ulid);

impl AskId {
    /// A new one, asked at this time.
    #[must_use]
    pub fn new(now_ms: i64) -> AskId {
        AskId(Ulid::from_parts(
            now_ms.max(0).unsigned_abs(),
            rand::random(),
        ))
    }
}

impl fmt::Display for AskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for AskId {
    type Err = ulid::DecodeError;

    fn from_str(text: &str) -> Result<Self, ulid::DecodeError> {
        text.parse().map(AskId)
    }
}

impl Serialize for AskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AskId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A question of a replica to a box, which answers with one [`Answer`] before the deadline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// What the answer is known by.
    pub id: AskId,
    /// Who asks, so that the answer finds it.
    pub from: NodeId,
    /// After it nobody waits any more, and the box must not act.
    pub deadline: Timestamp,
    /// What is asked.
    pub ask: AskKind,
}

/// What can be asked of a box.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AskKind {
    /// To cut what is in the journal and to ship it now. Answered by [`AnswerKind::Fresh`].
    Fresh,
    /// To command a device now, or never. Answered by [`AnswerKind::Called`].
    Call {
        /// Whose.
        device: String,
        /// Which of its metrics.
        metric: String,
        /// The value that is wanted.
        value: Value,
        /// Who wants it.
        by: String,
        /// How long the device may take.
        timeout_ms: u64,
    },
    /// To tell what happens, from now on for a while. Answered by [`AnswerKind::Watching`], and then [`LiveBatch`]es.
    Watch {
        /// For how long, seconds.
        seconds: u64,
    },
}

/// What a box answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The question's.
    pub id: AskId,
    /// Who answers.
    pub edge: EdgeId,
    /// The answer.
    pub answer: AnswerKind,
}

/// What came of a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AnswerKind {
    /// What was cut and shipped.
    Fresh {
        /// Journal position up to which everything is cut.
        cut_upto_seq: u64,
        /// Whether all of it is in the store.
        shipped: bool,
        /// What is not, in words.
        missing: Vec<String>,
    },
    /// What became of the commands.
    Called {
        /// As the REST interface tells of commands.
        commands: Vec<Value>,
    },
    /// It tells what happens.
    Watching,
    /// Nothing came of it.
    Failed {
        /// Why, in words.
        reason: String,
    },
}

/// What has happened at a box since the batch before.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LiveBatch {
    /// The events, as whoever shows them understands them.
    pub events: Vec<Value>,
}

/// A wall time, milliseconds since 1970 UTC, as messages tell it; one that no calendar has is told as 1970.
#[must_use]
pub fn timestamp(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or_default()
}

/// The bytes of a message in JSON.
#[must_use]
pub fn to_json(message: &impl Serialize) -> Vec<u8> {
    // Every message here has string keys only, so that this cannot fail.
    serde_json::to_vec(message).unwrap_or_default()
}

/// Read a message in JSON that has at most `bytes_max` bytes.
///
/// # Errors
/// It is larger, or it is not the message that was meant.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8], bytes_max: usize) -> Result<T, MessageError> {
    match bytes.len() {
        bytes if bytes > bytes_max => Err(MessageError::TooLarge { bytes }),
        _ => Ok(serde_json::from_slice(bytes)?),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NODE: &str = "00000000000000ff";

    #[test]
    fn an_envelope_is_read_and_a_damaged_one_is_not() {
        let from: NodeId = NODE.parse().expect("a node");
        let envelope = Envelope {
            from,
            body: b"twins",
        };
        let bytes = envelope.encode();
        // The layout in the docs, to the byte.
        assert_eq!(bytes, [&[1, 0xff, 1, 5], &b"twins"[..]].concat());
        assert_eq!(Envelope::decode(&bytes).expect("reads"), envelope);
        for damaged in [&bytes[..0], &bytes[..1], &bytes[..8], &[2, 0xff, 1, 0]] {
            assert!(Envelope::decode(damaged).is_err(), "{damaged:?}");
        }
        let large = Envelope {
            from,
            body: &vec![0; BODY_BYTES_MAX + 64],
        };
        let read = large.encode();
        let refused = Envelope::decode(&read);
        assert!(matches!(refused, Err(MessageError::TooLarge { .. })));
    }

    /// Other programs speak this, too: each message as its JSON stands.
    fn check<T>(message: &T, expected: Value)
    where
        T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        assert_eq!(serde_json::to_value(message).expect("writes"), expected);
        let bytes = to_json(message);
        let read: T = from_json(&bytes, JSON_BYTES_MAX).expect("reads");
        assert_eq!(&read, message);
        assert!(from_json::<T>(&bytes, bytes.len() - 1).is_err());
        assert!(from_json::<T>(&bytes[1..], JSON_BYTES_MAX).is_err());
    }

    #[test]
    fn messages_stand_as_they_are_agreed() {
        let at = Timestamp::from_second(1_750_000_000).expect("a time");
        let id = AskId::new(1_750_000_000_000);
        check(
            &Presence {
                online: true,
                since: at,
                version: "0.1.0".into(),
                name: None,
            },
            json!({"online": true, "since": "2025-06-15T15:06:40Z", "version": "0.1.0"}),
        );
        check(
            &Ask {
                id,
                from: NODE.parse().expect("a node"),
                deadline: at,
                ask: AskKind::Fresh,
            },
            json!({"id": id.to_string(), "from": NODE, "deadline": "2025-06-15T15:06:40Z", "ask": {"kind": "fresh"}}),
        );
        check(
            &AskKind::Call {
                device: "lock".into(),
                metric: "state".into(),
                value: json!("unlocked"),
                by: "ann".into(),
                timeout_ms: 5000,
            },
            json!({"kind": "call", "device": "lock", "metric": "state", "value": "unlocked", "by": "ann", "timeout_ms": 5000}),
        );
        check(
            &AskKind::Watch { seconds: 30 },
            json!({"kind": "watch", "seconds": 30}),
        );
        let answer = |answer| Answer {
            id,
            edge: EdgeId(255),
            answer,
        };
        check(
            &answer(AnswerKind::Fresh {
                cut_upto_seq: 9,
                shipped: false,
                missing: vec!["no store".into()],
            }),
            json!({"id": id.to_string(), "edge": NODE, "answer":
                {"kind": "fresh", "cut_upto_seq": 9, "shipped": false, "missing": ["no store"]}}),
        );
        check(&AnswerKind::Watching, json!({"kind": "watching"}));
        check(
            &AnswerKind::Called {
                commands: vec![json!({"id": "1"})],
            },
            json!({"kind": "called", "commands": [{"id": "1"}]}),
        );
        let reason = "away".to_owned();
        check(
            &AnswerKind::Failed { reason },
            json!({"kind": "failed", "reason": "away"}),
        );
        check(
            &LiveBatch {
                events: vec![json!({"a": 1})],
            },
            json!([{"a": 1}]),
        );
    }
}
