//! The box's twins: what devices are and say goes into their documents, and what is wanted of them comes out as commands.

/// What devices said that belongs into their twins.
pub mod heard;
/// From the registry and from what was heard to documents.
pub mod mirror;
/// From documents to commands, and what became of them.
pub mod actuate;
/// A store as a peer: what it has comes here, and what is here goes there.
pub mod backup;

use std::sync::Arc;

use tarn_common::{
    clock::Clock,
    durable::RealDisk,
    ids::EdgeId,
    twin::{
        home::{self, HomeTwins},
        store::{TwinStoreError, file::FileStore},
    },
};

use crate::identity::{DataDir, Identity};

/// How often documents are looked at for what has grown.
pub const TIDY_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

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
    let twins = HomeTwins::open(identity.home.clone(), &me, true, Arc::new(store), clock, home::changes()).await?;
    Ok(Arc::new(twins))
}
