//! Publishing from inside the process.

use std::sync::Arc;

use bytes::Bytes;

use tarn_common::ids::Seq;

use crate::{
    envelope::Properties,
    exchange::{Batch, Exchange, Message, Sender},
    limits::Limits,
    log::{Appended, Refused},
    topics,
};

/// Publishes to subscribers from inside the process. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) limits: Arc<Limits>,
}

/// A topic that is empty, too long or too deep, or has wildcards.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0:?} is not a topic name to publish to")]
pub struct InvalidTopic(pub String);

/// A message that was published from inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Where it stands in the log.
    pub seq: Seq,
    /// Subscribers that it goes to; of those on the router's ways at least one.
    pub subscribers: usize,
}

/// Why a message was not published.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PublishError {
    /// Not a topic to publish to.
    #[error(transparent)]
    Topic(#[from] InvalidTopic),
    /// The log does not take it.
    #[error(transparent)]
    Log(#[from] Refused),
}

impl Publisher {
    /// Send a message that is not logged to all who subscribe to the topic now, and with `retain` keep it for those
    /// who will. `qos` (0, 1 or 2; more counts as 2) is an upper bound, as with any publish.
    pub fn publish(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
        qos: u8,
        retain: bool,
    ) -> Result<(), InvalidTopic> {
        // Nothing is asked of the log, so nothing is refused.
        let _ = self.send(topic, payload.into(), qos, retain, None)?;
        Ok(())
    }

    /// The same as a client of this id, whose message is logged first: it is stored as any publish, and
    /// waits for persistent subscribers through a power cut. Gives the number of subscribers that it went to, and where
    /// it stands in the log; it is durable once the log is up to there.
    ///
    /// # Errors
    /// The topic is none, or the log refuses.
    pub fn publish_logged(
        &self,
        client: &str,
        topic: &str,
        payload: impl Into<Bytes>,
        qos: u8,
        retain: bool,
    ) -> Result<Published, PublishError> {
        let sender = Sender {
            client,
            packet_id: 0,
            dup: false,
        };
        let published = self.send(topic, payload.into(), qos, retain, Some(sender))??;
        self.exchange.commit();
        Ok(published)
    }

    fn send(
        &self,
        topic: &str,
        payload: Bytes,
        qos: u8,
        retain: bool,
        sender: Option<Sender<'_>>,
    ) -> Result<Result<Published, Refused>, InvalidTopic> {
        if !topics::is_valid_name(topic, &self.limits) {
            return Err(InvalidTopic(topic.to_owned()));
        }
        let properties = Properties::default();
        let qos = qos.min(2);
        let message = Message {
            topic,
            payload: &payload,
            qos,
            retain,
            properties: &properties,
            origin: 0,
        };
        let mut batch = Batch::default();
        let appended = self.exchange.publish(message, sender, &mut batch);
        // That the router died is told by `Broker::failed`, once and to the one who can act on it.
        let _ = self.exchange.flush(&mut batch);
        Ok(appended.map(|appended| {
            let (Appended::Stored(seq) | Appended::Duplicate(seq)) = appended;
            Published {
                seq,
                subscribers: batch.reached,
            }
        }))
    }
}
