use crate::{
    announcement::{Layout, Stream, TimeKey},
    convention::shelly,
};

/// A topic of a device: its prefix, which may have several levels, and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// The whole topic.
    pub(super) topic: &'a str,
    /// The device's prefix: its id, unless the owner chose another.
    pub(super) prefix: &'a str,
    /// What the topic is for.
    pub(super) kind: Kind<'a>,
}

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// `events/rpc`: the device notifies.
    Events,
    /// `status/<component>`: the whole status of this component.
    Status(&'a str),
    /// `online`: whether it is there.
    Online,
    /// `announce`: what it is, when it was asked.
    Announce,
    /// `rpc`: somebody calls it.
    Rpc,
    /// `command` and what is below: somebody commands it.
    Command,
}

impl<'a> Place<'a> {
    /// The place that a topic may be, by its last levels.
    pub(super) fn of(topic: &'a str) -> Option<Place<'a>> {
        let (above, last) = topic.rsplit_once('/')?;
        let (prefix, kind) = match (above.rsplit_once('/'), last) {
            (Some((prefix, "events")), "rpc") => (prefix, Kind::Events),
            (Some((prefix, "status")), component) => (prefix, Kind::Status(component)),
            (Some((prefix, "command")), _) => (prefix, Kind::Command),
            (_, "online") => (above, Kind::Online),
            (_, "announce") => (above, Kind::Announce),
            (_, "rpc") => (above, Kind::Rpc),
            (_, "command") => (above, Kind::Command),
            _ => return None,
        };
        let complete = !prefix.is_empty() && !last.is_empty();
        complete.then_some(Place {
            topic,
            prefix,
            kind,
        })
    }

    /// The id of the device, where its prefix ends with it.
    pub(super) fn id(self) -> Option<&'a str> {
        let id = self
            .prefix
            .rsplit_once('/')
            .map_or(self.prefix, |(_, id)| id);
        is_id(id).then_some(id)
    }

    /// A topic of the same device.
    pub(super) fn sibling(self, below: &str) -> String {
        format!("{}/{below}", self.prefix)
    }

    /// How the payloads of the topic are read; none for what has no readings.
    pub(super) fn stream(self) -> Option<Stream> {
        let flat = |metric: &str, prefix: String, root: &str, clock: &str| Layout::Flat {
            metric: metric.to_owned(),
            prefix,
            root: root.to_owned(),
            time: TimeKey::Unix(clock.to_owned()),
        };
        let layout = match self.kind {
            Kind::Events => flat("events", String::new(), "params", "ts"),
            Kind::Online => return Some(Stream::new(self.topic, "online")),
            // Only this component has a clock; other times in a status are those of events before.
            Kind::Status("sys") => flat("sys", "sys.".to_owned(), "", "unixtime"),
            Kind::Status(component) => flat(component, format!("{component}."), "", "ts"),
            Kind::Announce => return None,
            Kind::Rpc | Kind::Command => Layout::Raw {
                metric: self.topic[self.prefix.len() + 1..].replace('/', "."),
            },
        };
        Some(Stream {
            topic: self.topic.to_owned(),
            layout,
        })
    }
}

/// Whether a text is the id of a device: `shelly`, the model, a dash and the whole address.
pub(super) fn is_id(text: &str) -> bool {
    const MAKE: &[u8] = b"shelly";
    let Some((model, _)) = text.rsplit_once('-') else {
        return false;
    };
    let make = model.as_bytes().get(..MAKE.len());
    make.is_some_and(|make| make.eq_ignore_ascii_case(MAKE))
        && model.bytes().all(|b| b.is_ascii_alphanumeric())
        && shelly::mac_of(text).is_some()
}
