//! The box's twins: what devices are and say goes into their documents, and what is wanted of them comes out as commands.

/// From documents to commands, and what became of them.
pub mod actuate;
/// A store as a peer: what it has comes here, and what is here goes there.
pub mod backup;
/// What devices said that belongs into their twins.
pub mod heard;
/// From the registry and from what was heard to documents.
pub mod mirror;
/// The box's side of the exchange with other nodes.
pub mod node;

use std::{sync::Arc, time::Duration};

use tarn_common::{
    clock::Clock,
    durable::RealDisk,
    ids::EdgeId,
    twin::{
        home::{self, HomeTwins},
        resolve::Policy,
        store::{TwinStoreError, file::FileStore},
    },
};
use tarn_devices::{registry::Feature, twin};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::identity::{DataDir, Identity};

/// How often documents are looked at for what has grown.
pub const TIDY_EVERY: Duration = Duration::from_secs(60);

/// Whether a box of the home can be reached now; none where nobody knows.
pub type Presence = Arc<dyn Fn(EdgeId) -> Option<bool> + Send + Sync>;

/// Open the box's twins.
///
/// # Errors
/// Their file cannot be read.
pub async fn open(
    data: &DataDir,
    identity: &Identity,
    clock: Arc<dyn Clock>,
) -> Result<Arc<HomeTwins>, TwinStoreError> {
    let store = FileStore::open(Arc::new(RealDisk), &data.twins())?;
    let me = identity.edge.to_string();
    let twins = HomeTwins::open(
        identity.home.clone(),
        &me,
        true,
        Arc::new(store),
        clock,
        home::changes(),
    )
    .await?;
    Ok(Arc::new(twins))
}

/// Tidy documents from time to time, until stopped.
pub async fn tidy(twins: Arc<HomeTwins>, stop: CancellationToken) {
    let mut tick = interval(TIDY_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(tick.tick()).await.is_some() {
        if let Err(error) = twins.tidy().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "twins are not tidied; it is tried again"
            );
        }
    }
}

/// How it is decided between values of a feature that were wanted at once.
pub(crate) fn policy(feature: &Feature) -> Policy {
    twin::safety(feature).map_or(Policy::Latest, |safety| Policy::Safe {
        order: safety.order,
        live: safety.is_live,
    })
}
