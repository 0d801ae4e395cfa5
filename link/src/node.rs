//! Who speaks: a box, or a replica of the cloud.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use tarn_common::ids::{EdgeId, InvalidId};

/// One party of the exchange: a box by its edge id, a replica of the cloud by 64 random bits of its process. Written as
/// 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(EdgeId);

impl NodeId {
    /// A new one, for a replica that starts.
    #[must_use]
    pub fn random() -> NodeId {
        NodeId(EdgeId(rand::random()))
    }

    /// The box that it is, if it is one.
    #[must_use]
    pub fn edge(self) -> EdgeId {
        self.0
    }
}

impl From<EdgeId> for NodeId {
    fn from(edge: EdgeId) -> NodeId {
        NodeId(edge)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NodeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        text.parse().map(NodeId)
    }
}
