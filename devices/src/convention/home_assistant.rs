use super::{Convention, KeyMeaning};
use crate::{announcement::Announcement, fault::Fault, message::Message};

/// The convention.
#[derive(Debug)]
pub struct HomeAssistant;

impl Convention for HomeAssistant {
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
