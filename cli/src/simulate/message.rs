//! One message, and the queue in which a device leaves what it has to say.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::Write;

use bytes::Bytes;
use mqtt_proto::TopicName;
use serde::Serialize;

/// One message, ready to be published. Cloning it copies no bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Where it is published.
    pub(crate) topic: TopicName,
    /// What is published.
    pub(crate) payload: Bytes,
    /// Whether the broker keeps it for those who come later.
    pub(crate) retain: bool,
}

/// The topic of that text, which the model made of its own words: no wildcard, no user's input.
pub(super) fn topic(text: &str) -> TopicName {
    TopicName::try_from(text).expect("a topic without wildcards")
}

/// Whether the broker keeps a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// It is told to the subscribers of the moment only.
    Live,
    /// It is told to later subscribers, too.
    Retained,
}

/// What devices have to say, in order.
///
/// Payloads are written into one buffer that is used again and again, so that a message costs one
/// allocation however it is put together.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Message>,
    scratch: Vec<u8>,
}

impl Outbox {
    /// Leaves a payload that is there already.
    pub(super) fn bytes(&mut self, topic: &TopicName, keep: Keep, payload: Bytes) {
        self.queue.push_back(Message {
            topic: topic.clone(),
            payload,
            retain: keep == Keep::Retained,
        });
    }

    /// Leaves a word that never changes.
    pub(super) fn word(&mut self, topic: &TopicName, keep: Keep, word: &'static str) {
        self.bytes(topic, keep, Bytes::from_static(word.as_bytes()));
    }

    /// Leaves whatever can be written as text.
    pub(super) fn text(&mut self, topic: &TopicName, keep: Keep, text: impl Display) {
        self.scratch.clear();
        // Writing to a vector cannot fail.
        let _ = write!(self.scratch, "{text}");
        self.copied(topic, keep);
    }

    /// Leaves a JSON document.
    pub(super) fn json(&mut self, topic: &TopicName, keep: Keep, document: &impl Serialize) {
        self.scratch.clear();
        serde_json::to_writer(&mut self.scratch, document)
            .expect("text keys and plain values, into memory");
        self.copied(topic, keep);
    }

    /// Leaves a protobuf message.
    pub(super) fn protobuf(&mut self, topic: &TopicName, message: &impl prost::Message) {
        self.scratch.clear();
        message
            .encode(&mut self.scratch)
            .expect("a vector grows as it must");
        self.copied(topic, Keep::Live);
    }

    fn copied(&mut self, topic: &TopicName, keep: Keep) {
        let payload = Bytes::copy_from_slice(&self.scratch);
        self.bytes(topic, keep, payload);
    }

    /// Says the last message again, as a device does that saw no ack.
    pub(super) fn repeat_last(&mut self) {
        if let Some(last) = self.queue.back().cloned() {
            self.queue.push_back(last);
        }
    }

    /// The next message.
    pub(super) fn pop(&mut self) -> Option<Message> {
        self.queue.pop_front()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
