use tarn_common::twin::{
    document::{Document, DocumentId},
    home::HomeTwins,
};

use super::DeviceError;
use crate::problem::Failure;

/// The heads of a twin in hex, as an `ETag` and [`SetRequest::if_match`] have them; none of a twin that is not there.
#[must_use]
pub fn heads(document: Option<&Document>) -> Vec<String> {
    let heads = document.map(Document::heads).unwrap_or_default();
    heads.iter().map(ToString::to_string).collect()
}

/// Check that a twin is as the author of a request saw it.
///
/// # Errors
/// [`DeviceError::Conflict`] where it is not.
pub fn check_heads(
    document: Option<&Document>,
    if_match: Option<&[String]>,
) -> Result<(), DeviceError> {
    let Some(seen) = if_match else {
        return Ok(());
    };
    let is = heads(document);
    if !is.is_empty() && is == seen {
        return Ok(());
    }
    Err(DeviceError::Conflict(
        "the twin was changed meanwhile; GET the device for what it is now, and for its ETag"
            .into(),
    ))
}

/// The `ETag` of a twin: its heads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Etag(pub(crate) Vec<String>);

impl Etag {
    /// The tag of a device's twin as it is now; none where there is no twin.
    pub(crate) fn of(twins: &HomeTwins, device: &str) -> Option<String> {
        let id = DocumentId::device(device);
        twins.read(|replica| Etag(heads(replica.document(&id))).text())
    }

    /// The header's value.
    pub(crate) fn text(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| format!("\"{}\"", self.0.join("-")))
    }
}

/// Heads that `If-Match` names; none where there is no such header, or any will do.
pub(crate) fn seen(if_match: Option<&str>) -> Result<Option<Vec<String>>, Failure> {
    let Some(text) = if_match.map(str::trim).filter(|text| *text != "*") else {
        return Ok(None);
    };
    let heads = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match heads {
        Some(heads) if !heads.contains('"') => {
            Ok(Some(heads.split('-').map(str::to_owned).collect()))
        }
        _ => Err(Failure::bad_request(
            "If-Match: use one ETag, in its quotes, as the device's GET gave it",
        )),
    }
}
