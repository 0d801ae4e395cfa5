use serde::{Deserialize, Serialize};
use tarn_rules::Severity;

use crate::Row;

/// What a pack has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The pack's id.
    pub pack: String,
    /// What it is about, such as a device: of one pack and key there is one finding at a time.
    pub key: String,
    /// How bad it is.
    pub severity: Severity,
    /// The pack's title.
    pub title: String,
    /// What it means, and what can be done.
    pub advice: String,
    /// The row that it was found in.
    pub values: Row,
    /// Whether it is nobody's business but the home's.
    pub private: bool,
    /// What is to be read beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disclaimer: Option<String>,
    /// When it was found, in milliseconds since 1970.
    pub at_ms: i64,
}
