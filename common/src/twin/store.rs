/// A place with the layout of a store.
pub mod bucket;
/// The conformance suite of every kind of store.
#[cfg(test)]
mod conformance;
/// A store that fails as one is told to, for tests.
#[cfg(test)]
pub(crate) mod failing;
/// One file on a box's disk.
pub mod file;

use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
};

use async_trait::async_trait;
use automerge::Automerge;

pub use bucket::homes;

use super::{
    document::{Document, DocumentKey},
    replica::Bundle,
};

/// Twins could not be read or stored.
#[derive(Debug, thiserror::Error)]
#[error("{action} {place}")]
pub struct TwinStoreError {
    /// What was tried.
    pub action: &'static str,
    /// File or object.
    pub place: String,
    /// Why it failed.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl TwinStoreError {
    fn new(
        action: &'static str,
        place: impl ToString,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> TwinStoreError {
        TwinStoreError {
            action,
            place: place.to_string(),
            source: source.into(),
        }
    }
}

/// Where the documents of one home are kept.
#[async_trait]
pub trait TwinStore: Debug + Send + Sync + 'static {
    /// What is stored and was not given before: everything at first, later what others have stored. In any order. What is damaged is
    /// logged and left out.
    ///
    /// # Errors
    /// It cannot be read now.
    async fn load(&self) -> Result<Vec<Bundle>, TwinStoreError>;

    /// Store bundles: durable on return. After a crash or an error some may be stored and others not; each stands for itself, and
    /// storing one again is harmless.
    ///
    /// # Errors
    /// Some may not be stored.
    async fn append(&self, bundles: &[Bundle]) -> Result<(), TwinStoreError>;

    /// Documents of which so much is stored beside their snapshots that a new one is worth its while.
    fn worn(&self) -> Vec<DocumentKey>;

    /// Put snapshots in the place of all that this value has loaded or stored of their documents, and let go of the documents that are
    /// `gone`. At no moment is anything missing: what goes, goes after what replaces it is durable and was read back.
    ///
    /// # Errors
    /// Nothing is lost; it may be tried again.
    async fn compact(
        &self,
        snapshots: &[Bundle],
        gone: &[DocumentKey],
    ) -> Result<(), TwinStoreError>;
}

/// The snapshots that can be read as documents. One that cannot must not take the place of anything; what it was to replace stays.
fn readable(snapshots: &[Bundle]) -> Vec<&Bundle> {
    let is_readable = |snapshot: &&Bundle| match check(&snapshot.key, &snapshot.bytes) {
        Ok(()) => true,
        Err(reason) => {
            tracing::error!(document = %snapshot.key, reason,
                "a snapshot cannot be read again; the document stays as it is stored");
            false
        }
    };
    snapshots.iter().filter(is_readable).collect()
}

/// Whether a snapshot is a document, to its last byte.
fn check(key: &DocumentKey, bytes: &[u8]) -> Result<(), String> {
    Document::load(key, bytes).map_err(|error| error.to_string())?;
    // Loading a document passes over what it cannot read at its end, which would be all that is behind a tear.
    let strictly = catch_unwind(AssertUnwindSafe(|| Automerge::load(bytes).map(drop)));
    let loaded = strictly.map_err(|_| "Automerge panicked on it".to_owned())?;
    loaded.map_err(|error| error.to_string())
}
