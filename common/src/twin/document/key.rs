use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::Section;

/// Bytes of a document's name.
pub const NAME_BYTES_MAX: usize = 1_100;

/// Names a document of a home: `home`, or `device/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentId(Arc<str>);

impl DocumentId {
    /// The document of the home itself.
    #[must_use]
    pub fn home() -> DocumentId {
        DocumentId("home".into())
    }

    /// The document of a device.
    #[must_use]
    pub fn device(id: &str) -> DocumentId {
        DocumentId(format!("device/{id}").into())
    }

    /// The device that it is about; none for the home.
    #[must_use]
    pub fn as_device(&self) -> Option<&str> {
        self.0.strip_prefix("device/")
    }

    /// Its sections: the maps at its root, in their order.
    #[must_use]
    pub fn sections(&self) -> &'static [Section] {
        match self.as_device() {
            Some(_) => &Section::OF_DEVICE,
            None => &Section::OF_HOME,
        }
    }

    /// Whether it is the name of a document.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let known = self
            .as_device()
            .map_or(&*self.0 == "home", |id| !id.is_empty());
        known && self.0.len() <= NAME_BYTES_MAX
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A document in one of its epochs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DocumentKey {
    /// The document.
    pub id: DocumentId,
    /// Its epoch: 0, 1, 2 …
    pub epoch: u32,
}

impl fmt::Display for DocumentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            0 => write!(f, "{}", self.id),
            epoch => write!(f, "{}~{epoch}", self.id),
        }
    }
}
