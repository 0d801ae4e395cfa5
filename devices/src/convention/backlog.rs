use crate::{fault::Fault, reading::Taken};

/// First levels of the topic; the device's id is what follows.
pub const PREFIX: &str = "tarn/backlog/";

/// The readings of a payload.
///
/// # Errors
/// It has neither form.
pub fn read(_payload: &[u8]) -> Result<Vec<Taken<'_>>, Fault> {
    Ok(Vec::new())
}
