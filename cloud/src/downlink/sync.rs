use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use tarn_common::ids::HomeId;
use tarn_link::{
    Channel, Delivery, Envelope, Link, LinkEvent, LinkEvents, LinkMetrics, NodeId, Topic,
    link::Message, message::BODY_BYTES_MAX,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{CloudSync, SyncOut, SyncTo};

/// Messages that are worked on at one time. Beyond it the broker is held back.
const AT_ONE_TIME: usize = 32;

/// The link that twins are exchanged over.
#[derive(Clone)]
pub(super) struct SyncStage {
    pub(super) node: NodeId,
    pub(super) link: Link,
    pub(super) sync: Arc<dyn CloudSync>,
    pub(super) open: Gauge,
    pub(super) metrics: LinkMetrics,
}

impl SyncStage {
    pub(super) async fn run(
        self,
        events: LinkEvents,
        outbox: mpsc::Receiver<SyncOut>,
        stop: CancellationToken,
    ) {
        let working = async { tokio::join!(self.receive_all(events), self.send_all(outbox)) };
        let _ = stop.run_until_cancelled(working).await;
    }

    async fn receive_all(&self, mut events: LinkEvents) {
        let places = Arc::new(Semaphore::new(AT_ONE_TIME));
        let tasks = TaskTracker::new();
        // Never closed. What is not taken is not acked, and so the broker sends no more.
        while let Ok(place) = places.clone().acquire_owned().await {
            match events.recv().await {
                None => return,
                Some(LinkEvent::Connected | LinkEvent::Disconnected) => {}
                Some(LinkEvent::Message(message)) => {
                    let stage = self.clone();
                    tasks.spawn(async move {
                        stage.open.inc();
                        stage.receive(message).await;
                        stage.open.dec();
                        drop(place);
                    });
                }
            }
        }
    }

    async fn receive(&self, message: Message) {
        let topic = message.topic.parse::<Topic>();
        let envelope = Envelope::decode(&message.payload);
        let (Ok(topic), Ok(envelope)) = (topic, envelope) else {
            self.metrics.drop_one("odd");
            tracing::debug!(topic = message.topic, "a message of twins cannot be read");
            return;
        };
        if envelope.from == self.node {
            return;
        }
        let from = envelope.from.to_string();
        if topic.channel == Channel::SyncReplicas {
            self.sync.learn(&topic.home, &from, envelope.body).await;
            return;
        }
        for reply in self.sync.receive(&topic.home, &from, envelope.body).await {
            self.send(&topic.home, Channel::SyncTo(envelope.from), &reply)
                .await;
        }
    }

    async fn send_all(&self, mut outbox: mpsc::Receiver<SyncOut>) {
        while let Some(SyncOut { home, body, to }) = outbox.recv().await {
            let channel = match to {
                SyncTo::All => Channel::SyncAll,
                SyncTo::Replicas => Channel::SyncReplicas,
                SyncTo::Node(node) => Channel::SyncTo(node),
            };
            self.send(&home, channel, &body).await;
        }
    }

    async fn send(&self, home: &HomeId, channel: Channel, body: &[u8]) {
        if body.len() > BODY_BYTES_MAX {
            self.metrics.drop_one("too_large");
            tracing::error!(%home, bytes = body.len(), "a message of the twins is too large to send");
            return;
        }
        let envelope = Envelope {
            from: self.node,
            body,
        };
        let topic = Topic::new(home, channel);
        // Counted by the link; the next digest finds what is missing.
        let _ = self
            .link
            .publish(&topic, envelope.encode(), Delivery::ACKED)
            .await;
    }
}
