use std::time::Duration;

use poem_openapi::types::Any;
use tarn_common::twin::{
    command::{CommandState, wanted_ttl},
    document::{Document, DocumentId, Section},
    edit::Edit,
    replica::Replica,
};

use super::{Command, DeviceError, SetRequest};
use crate::types::moment;

/// The edits that say what is wanted of a device, for [`HomeTwins::edit_if`](tarn_common::twin::home::HomeTwins::edit_if): one for
/// each value, in the order of the request. Box and cloud write the same.
///
/// # Errors
/// The twin is not as the author saw it, or a value would wait longer than it is safe.
pub fn wanted(
    replica: &Replica,
    device: &str,
    request: &SetRequest,
) -> Result<Vec<Edit>, DeviceError> {
    let id = DocumentId::device(device);
    let document = replica.document(&id);
    check_heads(document, request.if_match.as_deref())?;
    let edit = |(attribute, value): &(String, serde_json::Value)| {
        let ttl_s = wanted_ttl(document, attribute, value, request.ttl)
            .map_err(|error| DeviceError::Bad(format!("{attribute}: {error}")))?;
        let edit = Edit::new(id.clone(), Section::Desired, attribute, value.clone());
        Ok(edit.by(&request.by).for_s(ttl_s))
    };
    request.values.iter().map(edit).collect()
}

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

impl Command {
    /// A command by what the documents say of it.
    #[must_use]
    pub fn of(device: &str, state: &CommandState) -> Command {
        let ttl = state.ttl_s.map(|ttl_s| Duration::from_secs(ttl_s.into()));
        let ttl_ms = ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        Command {
            command: state.id.clone(),
            device: device.to_owned(),
            metric: state.attribute.clone(),
            value: Any(state.value.clone()),
            status: state.status.name().to_owned(),
            reason: state.reason.clone(),
            topic: None,
            sent: moment(state.at_ms),
            deadline: ttl_ms.map(|ttl_ms| moment(state.at_ms.saturating_add(ttl_ms))),
            done: state.done_ms.map(moment),
        }
    }
}
