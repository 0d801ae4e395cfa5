//! `<base>/bridge/devices` names every device with all that it exposes: nothing needs to be guessed. A device's
//! readings stand on `<base>/<friendly name>`, its commands on `…/set`. The base topic may have levels of its own, and
//! so may friendly names.

/// The bridge itself: its topics, and those of its messages that teach.
mod bridge;
/// The devices of one `bridge/devices`.
mod devices;
/// What a device exposes, as points.
mod exposes;
/// What the usual properties are.
mod property;
#[cfg(test)]
mod tests;

use super::{Convention, KeyMeaning};
use crate::{announcement::Announcement, fault::Fault, message::Message};

/// Largest message that is read: about 2,000 devices.
const LESSON_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Most devices of one bridge; a Zigbee network has a few hundred.
const DEVICES_MAX: usize = 2_000;

/// The convention.
#[derive(Debug)]
pub struct Zigbee2Mqtt;

impl Convention for Zigbee2Mqtt {
    fn teaches(&self, topic: &str) -> bool {
        lesson(topic).is_some()
    }

    fn learn(&self, message: &Message<'_>) -> Result<Vec<Announcement>, Fault> {
        let Some((base, lesson)) = lesson(message.topic) else {
            return Ok(Vec::new());
        };
        let Some(payload) = message.lesson(LESSON_BYTES_MAX)? else {
            return Ok(Vec::new());
        };
        match lesson {
            Lesson::Devices => devices::learn(base, payload),
            Lesson::Info => bridge::learn(base, payload).map(|bridge| vec![bridge]),
        }
    }

    fn recognise(&self, message: &Message<'_>) -> Option<Announcement> {
        // A device is never guessed: its topic has no shape of its own until the bridge names it.
        bridge::recognise(message)
    }

    fn meaning(&self, key: &str) -> Option<KeyMeaning> {
        property::meaning(key)
    }
}

/// What a topic of the bridge teaches.
#[derive(Debug, Clone, Copy)]
enum Lesson {
    Devices,
    Info,
}

fn lesson(topic: &str) -> Option<(&str, Lesson)> {
    let lessons = [
        ("/bridge/devices", Lesson::Devices),
        ("/bridge/info", Lesson::Info),
    ];
    lessons.into_iter().find_map(|(end, lesson)| {
        let base = topic.strip_suffix(end)?;
        (!base.is_empty()).then_some((base, lesson))
    })
}
