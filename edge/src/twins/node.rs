use std::sync::Arc;

use async_trait::async_trait;
use tarn_common::twin::home::HomeTwins;
use tarn_link::SyncNode;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

/// News that a meeting place may be behind.
const NEWS_MAX: usize = 1_024;

/// The box's side of the exchange of twins, at all places where it meets other nodes.
#[derive(Debug)]
pub struct TwinNode {
    twins: Arc<HomeTwins>,
    news: broadcast::Sender<Arc<Vec<u8>>>,
    /// Whether what came from one node is told to others: where there is more than one place.
    relays: bool,
}

impl TwinNode {
    /// The side of these twins.
    #[must_use]
    pub fn new(twins: Arc<HomeTwins>, relays: bool) -> TwinNode {
        TwinNode {
            twins,
            news: broadcast::Sender::new(NEWS_MAX),
            relays,
        }
    }

    /// Tell what changes until stopped.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut changes = self.twins.changes();
        loop {
            let change = tokio::select! {
                () = stop.cancelled() => return,
                change = changes.recv() => change,
            };
            let bodies = match change {
                Ok(change) if self.relays || change.from.is_none() => change.bodies.clone(),
                Ok(_) => continue,
                // Whatever was missed is found out by comparing.
                Err(RecvError::Lagged(_)) => vec![self.twins.digest()],
                Err(RecvError::Closed) => return,
            };
            for body in bodies {
                // Nobody may be listening.
                let _ = self.news.send(Arc::new(body));
            }
        }
    }
}

#[async_trait]
impl SyncNode for TwinNode {
    async fn receive(&self, from: &str, body: &[u8]) -> Vec<Vec<u8>> {
        match self.twins.receive(from, body).await {
            Ok(received) => received.replies,
            Err(error) => {
                tracing::error!(
                    peer = from,
                    error = &error as &dyn std::error::Error,
                    "what a peer sent is not stored"
                );
                Vec::new()
            }
        }
    }

    fn digest(&self) -> Option<Vec<u8>> {
        Some(self.twins.digest())
    }

    fn news(&self) -> broadcast::Receiver<Arc<Vec<u8>>> {
        self.news.subscribe()
    }
}
