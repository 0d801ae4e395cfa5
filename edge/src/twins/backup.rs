use std::{sync::Arc, time::Duration};

use tarn_common::{
    clock::Clock,
    fleet::Fleet,
    ids::HomeId,
    store::mirror::Mirror,
    twin::{
        home::{self, HomeTwins},
        store::{TwinStoreError, bucket::BucketStore},
    },
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Name of the store as a peer.
const PEER: &str = "store";
/// Changes that come within this time go into the store together.
const GATHER: Duration = Duration::from_secs(5);
/// Pauses between tries at a store that fails.
const RETRY_MIN: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// How long a stopping box tries to store what was changed last.
const AT_STOP: Duration = Duration::from_secs(5);
/// Turns of a conversation, which ends after a few.
const TURNS_MAX: usize = 50;

/// Keeps the home's twins in its store, and takes from there what the box does not have: what a box that this one
/// replaces has left. The store is one more peer.
#[derive(Debug)]
pub struct Backup {
    /// The home.
    pub home: HomeId,
    /// The box's twins.
    pub twins: Arc<HomeTwins>,
    /// Whether it is enough to meet it once.
    pub once: bool,
    /// The stores: each has the twins.
    pub fleet: Arc<Fleet>,
    /// When it is.
    pub clock: Arc<dyn Clock>,
}

impl Backup {
    /// Keep the store like the box until stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut peer = None;
        let is_met = stop.run_until_cancelled(self.keep(&mut peer)).await;
        if is_met.is_none() {
            // What does not get there in time is stored by the next start.
            let last = timeout(AT_STOP, self.meet(&mut peer)).await;
            if !matches!(last, Ok(Ok(()))) {
                tracing::info!(
                    "stopping with twins that are not in the store; they go at the next start"
                );
            }
        }
    }

    async fn keep(&self, peer: &mut Option<HomeTwins>) {
        let mut pause = RETRY_MIN;
        let mut changes = self.twins.changes();
        loop {
            match self.meet(peer).await {
                Ok(()) if self.once => return,
                Ok(()) => {
                    pause = RETRY_MIN;
                    // One that fell behind has something to tell all the same.
                    let _ = changes.recv().await;
                    sleep(GATHER).await;
                    changes = changes.resubscribe();
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "twins are not in the store; it is tried again"
                    );
                    sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Make the store and the box equal.
    async fn meet(&self, peer: &mut Option<HomeTwins>) -> Result<(), TwinStoreError> {
        if self.fleet.is_any_unknown()
            && let Err(reason) = self.fleet.join().await
        {
            tracing::info!(reason, "no store says whose it is");
        }
        let stored = match peer {
            Some(stored) => stored,
            None => {
                let store = Mirror::of(self.fleet.pool().clone());
                let store = Arc::new(BucketStore::new(store, self.home.clone()));
                let stored = HomeTwins::open(
                    self.home.clone(),
                    PEER,
                    false,
                    store,
                    self.clock.clone(),
                    home::changes(),
                )
                .await?;
                peer.insert(stored)
            }
        };
        converse(&self.twins, stored).await?;
        stored.tidy().await
    }
}

/// Let two replicas talk until they have nothing to say.
async fn converse(ours: &HomeTwins, stored: &HomeTwins) -> Result<(), TwinStoreError> {
    let me = ours.read(|replica| replica.me().to_owned());
    let mut to_store = vec![ours.digest()];
    for _ in 0..TURNS_MAX {
        let mut to_us = Vec::new();
        for body in to_store.drain(..) {
            to_us.extend(stored.receive(&me, &body).await?.replies);
        }
        for body in to_us {
            to_store.extend(ours.receive(PEER, &body).await?.replies);
        }
        if to_store.is_empty() {
            return Ok(());
        }
    }
    tracing::warn!("the twins of the box and the store did not become equal; it is tried again");
    Ok(())
}
