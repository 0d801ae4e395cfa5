use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::error::QueryError;

/// The key of the last row of a page: the next page starts after it. To callers it is opaque.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cursor {
    /// Of raw rows: `ts`, metric, edge, `seq`.
    #[serde(rename = "r")]
    Raw(i64, String, String, i64),
    /// Of buckets: start, metric, unit.
    #[serde(rename = "b")]
    Bucket(i64, String, Option<String>),
}

impl Cursor {
    pub(super) fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    pub(super) fn parse(text: &str) -> Result<Cursor, QueryError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok();
        let cursor = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        cursor.ok_or_else(|| {
            QueryError::bad("cursor: use the next_cursor of the page before, unchanged")
        })
    }
}
