//! What a host does for the devices of its homes, and the shapes that this comes in.

/// How operations find their home and what serves it.
mod access;
/// Which state of a twin somebody saw.
mod heads;
/// The shapes of devices, commands and boxes.
mod shapes;
/// The shapes of twins, and how documents become them.
pub(crate) mod twin;
/// What is wanted of a device that another node has.
mod wanted;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::Value;
use tarn_common::{
    ids::HomeId,
    twin::{
        home::{HomeTwins, TwinError},
        store::TwinStoreError,
    },
};

pub(crate) use access::{Access, Place, author, duration, shown};
pub(crate) use heads::{Etag, seen};
pub use heads::{check_heads, heads};
pub use shapes::{BoxInfo, Command, DeviceFault, Feature, KnownDevice};
pub(crate) use shapes::{Commands, DeviceUpdate, MergeRequest, SplitDone, SplitRequest};
pub use twin::{Twin, WantedValue, announced, names_of};
pub use wanted::Wanted;

use crate::problem::Failure;

/// The devices of homes: what they announced, what is wanted of them, and the boxes that they are at. A box serves its own
/// home, the cloud all that it knows.
#[async_trait]
pub trait DeviceService: Send + Sync + 'static {
    /// The twins of a home; none where there is no such home here.
    async fn twins(&self, home: &HomeId) -> Result<Option<Arc<HomeTwins>>, DeviceError>;
    /// Every device that announced itself.
    async fn known(&self, home: &HomeId) -> Vec<KnownDevice>;
    /// The device of this id, or of one that was merged into it. One that is known by its topics only is there
    /// where something was wrong with what it said.
    async fn device(&self, home: &HomeId, id: &str) -> Option<KnownDevice>;
    /// The device's present id, and all ids that its readings are stored under.
    async fn ids(&self, home: &HomeId, id: &str) -> (String, Vec<String>);
    /// Make two devices one. Only a box is asked.
    async fn merge(&self, home: &HomeId, id: &str, other: &str) -> Result<(), DeviceError>;
    /// Make some identifiers of a device a device of their own; gives its id. Only a box is asked.
    async fn split(
        &self,
        home: &HomeId,
        id: &str,
        identifiers: Vec<String>,
    ) -> Result<String, DeviceError>;
    /// Say what is wanted of a device, each value by a command, and wait for their outcome at most so long. What is answered
    /// with success is stored, and reaches the device's box whenever that is there.
    async fn set(
        &self,
        home: &HomeId,
        id: &str,
        request: SetRequest,
        wait: Duration,
    ) -> Result<Vec<Command>, DeviceError>;
    /// Have values set now, or not at all: a box that is away is [`DeviceError::Away`].
    async fn call(
        &self,
        home: &HomeId,
        id: &str,
        request: SetRequest,
        wait: Duration,
    ) -> Result<Vec<Command>, DeviceError>;
    /// The latest commands to a device, latest first.
    async fn commands(&self, home: &HomeId, id: &str) -> Vec<Command>;
    /// A command, after waiting for its outcome at most so long.
    async fn command(&self, home: &HomeId, id: &str, wait: Duration) -> Option<Command>;
    /// The boxes of a home.
    async fn boxes(&self, home: &HomeId) -> Vec<BoxInfo>;
    /// Take in what a peer says in a body of the sync protocol; gives the bodies to answer.
    async fn sync(
        &self,
        home: &HomeId,
        from: &str,
        body: &[u8],
    ) -> Result<Vec<Vec<u8>>, DeviceError>;
}

/// Values that somebody wants of a device.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SetRequest {
    /// What by metric, in the order of metrics.
    pub values: Vec<(String, Value)>,
    /// Who wants it.
    pub by: String,
    /// How long it may still be carried out; where it is absent for ever, or for a short time where it would be unsafe later.
    pub ttl: Option<Duration>,
    /// How long the device may take to confirm it; what is usual for its kind where it is absent.
    pub timeout: Option<Duration>,
    /// Heads of the device's twin as the author saw it, in hex: only if these are still its heads.
    pub if_match: Option<Vec<String>>,
}

/// Why something was not done to a device.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DeviceError {
    /// There is no such device.
    #[error("{0}")]
    NotFound(String),
    /// The request is wrong.
    #[error("{0}")]
    Bad(String),
    /// The twin is not what the request says that it saw.
    #[error("{0}")]
    Conflict(String),
    /// The box that the device is at is away.
    #[error("{0}")]
    Away(String),
    /// Not now.
    #[error("{0}")]
    Unavailable(String),
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Failure {
        match error {
            DeviceError::NotFound(detail) => Failure::not_found(detail),
            DeviceError::Bad(detail) => Failure::bad_request(detail),
            DeviceError::Conflict(detail) => Failure::precondition(detail),
            DeviceError::Away(detail) => Failure::away(detail),
            DeviceError::Unavailable(detail) => Failure::unavailable(detail),
        }
    }
}

impl From<TwinError> for DeviceError {
    fn from(error: TwinError) -> DeviceError {
        match error {
            TwinError::Edit(error) => DeviceError::Bad(error.to_string()),
            TwinError::Store(error) => error.into(),
        }
    }
}

impl From<TwinStoreError> for DeviceError {
    fn from(error: TwinStoreError) -> DeviceError {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a change of twins is not stored"
        );
        DeviceError::Unavailable("the change is not stored; it may be tried again".into())
    }
}
