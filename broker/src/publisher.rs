//! Publishing from inside the process.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    envelope::Properties,
    exchange::{Batch, Exchange, Message},
    limits::Limits,
    topics,
};

/// Publishes to subscribers from inside the process. What it sends is not logged. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    pub(crate) exchange: Arc<Exchange>,
    pub(crate) limits: Arc<Limits>,
}

/// A topic that is empty, too long or too deep, or has wildcards.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0:?} is not a topic name to publish to")]
pub struct InvalidTopic(pub String);

impl Publisher {
    /// Send a message to all who subscribe to the topic now, and with `retain` keep it for those
    /// who will. `qos` (0, 1 or 2; more counts as 2) is an upper bound, as with any publish.
    pub fn publish(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
        qos: u8,
        retain: bool,
    ) -> Result<(), InvalidTopic> {
        if !topics::is_valid_name(topic, &self.limits) {
            return Err(InvalidTopic(topic.to_owned()));
        }
        let payload = payload.into();
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
        // Nothing is asked of the log, so nothing is refused.
        let _ = self.exchange.publish(message, None, &mut batch);
        // That the router died is told by `Broker::failed`, once and to the one who can act on it.
        let _ = self.exchange.flush(&mut batch);
        Ok(())
    }
}
