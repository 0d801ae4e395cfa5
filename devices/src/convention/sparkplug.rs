/// What a birth certificate says.
mod birth;
/// Data types by their numbers.
mod datatype;
/// From a value to the payload of a command.
mod encode;
#[cfg(test)]
mod encode_tests;
/// The messages on the wire.
mod proto;
/// From a payload to readings.
mod read;
#[cfg(test)]
mod tests;
/// Whose a topic is.
mod topic;
/// What values say.
mod value;
#[cfg(test)]
mod value_tests;

pub use encode::encode;
pub use read::{METRICS_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, read, read_typed};

use self::{
    birth::Birth,
    topic::{Kind, Place},
};
use super::{Convention, KeyMeaning};
use crate::{
    announcement::{About, Announcement, Layout, Stream},
    fault::{Fault, FaultKind},
    message::Message,
};

/// The convention.
///
/// A birth certificate both teaches and has readings: its announcement has a stream for its own topic, whose layout
/// is to be kept for it. Data and deaths that come before a birth are recognised by their topic; what a birth
/// then announces for the same topic knows more and goes before. Commands (`NCMD`, `DCMD`) and the state of hosts
/// are left as they are.
#[derive(Debug)]
pub struct Sparkplug;

impl Convention for Sparkplug {
    fn teaches(&self, topic: &str) -> bool {
        Place::of(topic).is_some_and(|place| place.kind == Kind::Birth)
    }

    fn learn(&self, message: &Message<'_>) -> Result<Vec<Announcement>, Fault> {
        let Some(place) = Place::of(message.topic) else {
            return Ok(Vec::new());
        };
        if message.payload.is_empty() {
            return Ok(Vec::new());
        }
        let payload = read::decode(message.payload).map_err(|detail| {
            let topic = message.topic;
            Fault::new(FaultKind::Announcement, format!("{topic}: {detail}"))
        })?;
        let birth = Birth::of(place, &payload);
        let kinds = [Kind::Birth, Kind::Data, Kind::Death];
        let mut announcement = announcement(place, &birth.layout, &kinds);
        announcement.points = birth.points;
        announcement.about = About {
            name: announcement.about.name,
            via: announcement.about.via,
            ..birth.about
        };
        Ok(vec![announcement])
    }

    fn recognise(&self, message: &Message<'_>) -> Option<Announcement> {
        let place = Place::of(message.topic)?;
        let known = matches!(place.kind, Kind::Data | Kind::Death);
        if !known || read::decode(message.payload).is_err() {
            return None;
        }
        let unborn = Layout::Sparkplug {
            aliases: Vec::new(),
            types: Vec::new(),
        };
        Some(announcement(place, &unborn, &[place.kind]))
    }

    fn meaning(&self, _key: &str) -> Option<KeyMeaning> {
        None
    }
}

/// A node or device with streams of these kinds; deaths have readings too, such as `bdSeq`.
fn announcement(place: Place<'_>, layout: &Layout, kinds: &[Kind]) -> Announcement {
    let streams = kinds.iter().map(|kind| Stream {
        topic: place.topic(*kind),
        layout: layout.clone(),
    });
    let via = place.device.map(|_| place.of_node().identifier());
    Announcement {
        identifiers: vec![place.identifier()],
        about: About {
            name: Some(place.device.unwrap_or(place.node).to_owned()),
            via,
            ..About::default()
        },
        points: Vec::new(),
        streams: streams.collect(),
        availability: place.availability(),
    }
}
