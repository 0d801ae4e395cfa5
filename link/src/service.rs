//! What a node does with what it hears.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::{sync::broadcast, time::Instant};

use crate::message::{AnswerKind, AskKind};

/// A node's side of the twins' exchange. It must bear any bytes, and the same ones many times in any order.
#[async_trait]
pub trait SyncNode: Send + Sync + 'static {
    /// A message has come from another node: what is to be answered to that node alone.
    async fn receive(&self, from: &str, body: &[u8]) -> Vec<Vec<u8>>;

    /// What others need to tell whether this node has what they have; none if there is nothing to compare.
    fn digest(&self) -> Option<Vec<u8>>;

    /// What all other nodes should have, as it comes up. Who falls behind sends a digest in its place.
    fn news(&self) -> broadcast::Receiver<Arc<Vec<u8>>>;
}

/// What a box does when it is asked.
#[async_trait]
pub trait AskHandler: Send + Sync + 'static {
    /// Do it, and say what came of it. After the deadline nobody waits any more: this is dropped then.
    async fn ask(&self, ask: AskKind, deadline: Instant) -> AnswerKind;
}
