use crate::{
    announcement::{Availability, AvailabilityTopic, Mode},
    identifier::Identifier,
    point::At,
};

/// First level of all topics: the namespace of Sparkplug B.
const NAMESPACE: &str = "spBv1.0";

/// Group under which hosts tell their own state.
const HOSTS: &str = "STATE";

/// A topic of an edge node, or of a device behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) kind: Kind,
    pub(super) group: &'a str,
    pub(super) node: &'a str,
    pub(super) device: Option<&'a str>,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A birth certificate.
    Birth,
    /// Values that changed.
    Data,
    /// A death certificate.
    Death,
    /// Values that somebody wants.
    Command,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Birth => "BIRTH",
            Kind::Data => "DATA",
            Kind::Death => "DEATH",
            Kind::Command => "CMD",
        }
    }
}

impl<'a> Place<'a> {
    /// The place that a topic is: `spBv1.0/<group>/<type>/<node>[/<device>]`.
    pub(super) fn of(topic: &'a str) -> Option<Place<'a>> {
        let mut levels = topic.split('/');
        let namespace = levels.next()?;
        let (group, kind, node) = (levels.next()?, levels.next()?, levels.next()?);
        let (device, rest) = (levels.next(), levels.next());
        let known = namespace == NAMESPACE && group != HOSTS && rest.is_none();
        let complete = !group.is_empty() && !node.is_empty() && device != Some("");
        let kind = kind.strip_prefix(if device.is_some() { 'D' } else { 'N' })?;
        let kind = [Kind::Birth, Kind::Data, Kind::Death, Kind::Command]
            .into_iter()
            .find(|known| known.name() == kind)?;
        (known && complete).then_some(Place {
            kind,
            group,
            node,
            device,
        })
    }

    /// The node that a device is behind.
    pub(super) fn of_node(self) -> Place<'a> {
        Place {
            device: None,
            ..self
        }
    }

    /// The topic of another kind, of the same node or device.
    pub(super) fn topic(self, kind: Kind) -> String {
        let (group, node, kind) = (self.group, self.node, kind.name());
        match self.device {
            Some(device) => format!("{NAMESPACE}/{group}/D{kind}/{node}/{device}"),
            None => format!("{NAMESPACE}/{group}/N{kind}/{node}"),
        }
    }

    /// Its name within the home.
    pub(super) fn identifier(self) -> Identifier {
        let name = match self.device {
            Some(device) => format!("{}/{}/{device}", self.group, self.node),
            None => format!("{}/{}", self.group, self.node),
        };
        Identifier::native("sparkplug", &name)
    }

    /// Births and data mean that it is there, a death that it is not; with a node all its devices go.
    pub(super) fn availability(self) -> Availability {
        let says = |topic: String, word: &str| AvailabilityTopic {
            topic,
            at: At::Always(word.to_owned()),
            online: "online".to_owned(),
            offline: "offline".to_owned(),
        };
        let mut topics = vec![
            says(self.topic(Kind::Birth), "online"),
            says(self.topic(Kind::Data), "online"),
            says(self.topic(Kind::Death), "offline"),
        ];
        if self.device.is_some() {
            topics.push(says(self.of_node().topic(Kind::Death), "offline"));
        }
        Availability {
            topics,
            mode: Mode::Latest,
        }
    }
}
