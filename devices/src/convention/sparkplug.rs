use super::{Convention, KeyMeaning};
use crate::{announcement::Announcement, fault::Fault, message::Message};

/// The convention.
#[derive(Debug)]
pub struct Sparkplug;

impl Convention for Sparkplug {
    fn teaches(&self, _topic: &str) -> bool {
        false
    }

    fn learn(&self, _message: &Message<'_>) -> Result<Vec<Announcement>, Fault> {
        Ok(Vec::new())
    }

    fn recognise(&self, _message: &Message<'_>) -> Option<Announcement> {
        None
    }

    fn meaning(&self, _key: &str) -> Option<KeyMeaning> {
        None
    }
}

/// stub
///
/// # Errors
/// stub
pub fn encode(
    _name: &str,
    _alias: Option<u64>,
    _datatype: u32,
    _value: &serde_json::Value,
    _now_ms: i64,
) -> Result<Vec<u8>, Fault> {
    Ok(Vec::new())
}
