use std::fmt::Debug;

use async_trait::async_trait;

use super::{document::DocumentKey, replica::Bundle};

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
