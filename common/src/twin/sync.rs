use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::document::{DocumentId, DocumentKey};

/// Version of messages, their first byte.
const VERSION: u8 = 1;
/// Bytes of one message body, beyond which what is to be said is said in several; a whole document may be larger.
pub const BODY_BYTES: usize = 96 * 1024;
/// Bytes of a body that is taken.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// Messages of one body.
pub const MESSAGES_MAX: usize = 8_192;

/// The heads of a document, in order.
pub type Heads = Vec<[u8; 32]>;

/// What one replica says to another. Each stands for itself: it may be lost, repeated, or come late.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Message {
    /// Said on meeting and from time to time: the digest of everything. Answered by an [`Message::Index`] where it differs, and
    /// by nothing where it does not.
    Digest {
        /// The digest.
        root: [u8; 16],
    },
    /// The heads of every document from one name to another, without those that are not there. Answered for each document that
    /// differs: by [`Message::Changes`] where the other has more, by [`Message::Heads`] where it has less.
    Index {
        /// Documents after this one; from the first on where it is absent.
        after: Option<DocumentId>,
        /// Documents up to this one; to the last where it is absent.
        upto: Option<DocumentId>,
        /// Their heads.
        entries: Vec<(DocumentKey, Heads)>,
    },
    /// "This is what I have of these documents": answered by what is missing, or by [`Message::Known`] where the heads are not known.
    Heads {
        /// Heads by document; none where nothing is there.
        entries: Vec<(DocumentKey, Heads)>,
    },
    /// Changes of a document. Answered by what the sender lacks, or by [`Message::Heads`] where something lies between.
    Changes {
        /// The document.
        key: DocumentKey,
        /// What the sender has.
        heads: Heads,
        /// Whether more of the same document follows, so that an answer has time.
        more: bool,
        /// The changes.
        payload: Payload,
    },
    /// "Your heads I do not know; so many changes of each actor I have." Answered by the others, as [`Payload::Rest`], and by the same in
    /// return where the sender has more.
    Known {
        /// The document.
        key: DocumentKey,
        /// Heads of the sender.
        heads: Heads,
        /// Changes of each actor.
        actors: BTreeMap<Vec<u8>, u64>,
        /// Whether this answers another one, so that nothing is to be told in return but changes.
        is_answer: bool,
    },
}

/// Changes as they are sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Payload {
    /// Some, those first that others stand on.
    Changes(Vec<Vec<u8>>),
    /// All that somebody lacks who said what it has of each actor. Should something still lie between, an actor ran twice, and the
    /// document is asked for whole.
    Rest(Vec<Vec<u8>>),
    /// The whole document.
    Document(Vec<u8>),
}

impl Message {
    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        let entries = |entries: &[(DocumentKey, Heads)]| {
            entries
                .iter()
                .map(|(key, heads)| key.id.as_str().len() + 8 + 33 * heads.len())
                .sum::<usize>()
        };
        16 + match self {
            Message::Digest { .. } => 16,
            Message::Index { entries: all, .. } | Message::Heads { entries: all } => entries(all),
            Message::Changes { heads, payload, .. } => {
                let payload = match payload {
                    Payload::Changes(changes) | Payload::Rest(changes) => {
                        changes.iter().map(|change| change.len() + 4).sum()
                    }
                    Payload::Document(bytes) => bytes.len(),
                };
                33 * heads.len() + payload
            }
            Message::Known { heads, actors, .. } => 33 * heads.len() + 20 * actors.len(),
        }
    }
}

/// Write messages as bodies, each of about [`BODY_BYTES`] at most.
#[must_use]
pub fn encode(messages: &[Message]) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    let mut from = 0;
    let mut bytes = 0;
    for (at, message) in messages.iter().enumerate() {
        if at > from && (bytes + message.bytes() > BODY_BYTES || at - from >= MESSAGES_MAX) {
            bodies.push(body(&messages[from..at]));
            (from, bytes) = (at, 0);
        }
        bytes += message.bytes();
    }
    if from < messages.len() {
        bodies.push(body(&messages[from..]));
    }
    bodies
}

fn body(messages: &[Message]) -> Vec<u8> {
    postcard::to_extend(messages, vec![VERSION]).unwrap_or_default()
}

/// Read a body.
///
/// # Errors
/// It is too large, of another version, or no body at all; the text says which.
pub fn decode(body: &[u8]) -> Result<Vec<Message>, String> {
    if body.len() > BODY_BYTES_MAX {
        return Err(format!(
            "{} bytes are more than {BODY_BYTES_MAX}",
            body.len()
        ));
    }
    match body.split_first() {
        Some((&VERSION, messages)) => {
            // Its first number is how many messages there are.
            let (count, _) =
                postcard::take_from_bytes::<u64>(messages).map_err(|error| error.to_string())?;
            if count > MESSAGES_MAX as u64 {
                return Err(format!("{count} messages are more than {MESSAGES_MAX}"));
            }
            postcard::from_bytes(messages).map_err(|error| error.to_string())
        }
        Some((version, _)) => Err(format!("version {version} is not known")),
        None => Err("it is empty".into()),
    }
}
