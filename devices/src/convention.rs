//! A convention is how the devices of one make or firmware speak. Each is a module that knows only topics
//! and payloads; the registry puts together what they say.

/// Readings of the past, sent by devices that sleep: Tarn's own topic.
pub mod backlog;
/// ESPHome: plain scalars.
pub mod esphome;
/// Home Assistant's MQTT discovery.
pub mod home_assistant;
/// What both kinds of Shelly have in common.
mod shelly;
/// Shelly of the first generation.
pub mod shelly_gen1;
/// Shelly from the second generation on.
pub mod shelly_gen2;
/// Sparkplug B.
pub mod sparkplug;
/// Tasmota.
pub mod tasmota;
/// Zigbee2MQTT.
pub mod zigbee2mqtt;

use crate::{
    announcement::Announcement,
    fault::Fault,
    message::Message,
    point::{Point, StateClass, Words},
};

/// How the devices of one make or firmware speak.
pub trait Convention: std::fmt::Debug + Sync {
    /// Whether messages on this topic teach: discovery, announcements, birth certificates. Told by the topic
    /// alone, and quick: it is asked once of every topic.
    fn teaches(&self, topic: &str) -> bool;

    /// What a message on a teaching topic says. It replaces all that the topic said before; nothing (an
    /// empty payload) takes it back.
    ///
    /// # Errors
    /// It cannot be understood. What the topic said before stays, and the payload is kept as a reading.
    fn learn(&self, message: &Message<'_>) -> Result<Vec<Announcement>, Fault>;

    /// The announcer within a teaching topic that several devices share: what this message announces replaces
    /// only what the same announcer said before. None where the topic is one device's own.
    fn source(&self, message: &Message<'_>) -> Option<String> {
        let _ = message;
        None
    }

    /// What the first message on a topic that nothing announced says about who sent it, where topic (and payload)
    /// are of a shape that only this convention has. The announcement names that topic in a stream or a
    /// point, and is asked for once.
    fn recognise(&self, message: &Message<'_>) -> Option<Announcement>;

    /// How what a flattened key reads is set, on a topic that this convention recognised: asked once for each
    /// new key (with its prefix, without the root), since a later message may show what the first did not.
    /// The point has that key as its metric.
    fn discover(&self, topic: &str, metric: &str) -> Option<Point> {
        let _ = (topic, metric);
        None
    }

    /// What a flattened key (or the metric of a plain value) means on this convention's devices, where no announced
    /// point says it.
    fn meaning(&self, key: &str) -> Option<KeyMeaning>;
}

/// What a key means by convention.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct KeyMeaning {
    /// Unit of the value, after scaling.
    pub unit: Option<&'static str>,
    /// The unit as the device has it, where it is another.
    pub raw_unit: Option<&'static str>,
    /// Home Assistant's device class.
    pub class: Option<&'static str>,
    /// How its values belong together.
    pub state_class: Option<StateClass>,
    /// What a number is multiplied by; 0 and 1 leave it as it is.
    pub scale: f64,
    /// Words with a meaning of their own.
    pub words: Option<Words>,
}

impl KeyMeaning {
    /// A value of the moment in this unit, of no class.
    pub(crate) fn amount(unit: &'static str) -> KeyMeaning {
        KeyMeaning {
            unit: Some(unit),
            state_class: Some(StateClass::Measurement),
            ..KeyMeaning::default()
        }
    }

    /// A value of the moment in this unit and of this class.
    pub(crate) fn measured(unit: &'static str, class: &'static str) -> KeyMeaning {
        KeyMeaning {
            class: Some(class),
            ..KeyMeaning::amount(unit)
        }
    }

    /// A state of this class.
    pub(crate) fn state(class: &'static str) -> KeyMeaning {
        KeyMeaning {
            class: Some(class),
            ..KeyMeaning::default()
        }
    }
}

/// A convention by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the modules say it")]
pub enum ConventionKind {
    Zigbee2Mqtt,
    Tasmota,
    ShellyGen1,
    ShellyGen2,
    EspHome,
    Sparkplug,
    HomeAssistant,
}

impl ConventionKind {
    /// All, in the order in which they are asked: those with topics of their own before Home Assistant's
    /// discovery, which describes the topics of others.
    pub const ALL: [ConventionKind; 7] = [
        ConventionKind::Zigbee2Mqtt,
        ConventionKind::Tasmota,
        ConventionKind::ShellyGen1,
        ConventionKind::ShellyGen2,
        ConventionKind::EspHome,
        ConventionKind::Sparkplug,
        ConventionKind::HomeAssistant,
    ];

    /// The convention whose messages on this topic teach, if one's do.
    #[must_use]
    pub fn teacher(topic: &str) -> Option<ConventionKind> {
        let mut all = ConventionKind::ALL.into_iter();
        all.find(|kind| kind.convention().teaches(topic))
    }

    /// Whether later messages of a recognised topic may show what the first did not.
    #[must_use]
    pub fn discovers(self) -> bool {
        self == ConventionKind::ShellyGen2
    }

    /// Its name in answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ConventionKind::Zigbee2Mqtt => "zigbee2mqtt",
            ConventionKind::Tasmota => "tasmota",
            ConventionKind::ShellyGen1 => "shelly_gen1",
            ConventionKind::ShellyGen2 => "shelly_gen2",
            ConventionKind::EspHome => "esphome",
            ConventionKind::Sparkplug => "sparkplug",
            ConventionKind::HomeAssistant => "home_assistant",
        }
    }

    /// The convention itself.
    #[must_use]
    pub fn convention(self) -> &'static dyn Convention {
        match self {
            ConventionKind::Zigbee2Mqtt => &zigbee2mqtt::Zigbee2Mqtt,
            ConventionKind::Tasmota => &tasmota::Tasmota,
            ConventionKind::ShellyGen1 => &shelly_gen1::ShellyGen1,
            ConventionKind::ShellyGen2 => &shelly_gen2::ShellyGen2,
            ConventionKind::EspHome => &esphome::EspHome,
            ConventionKind::Sparkplug => &sparkplug::Sparkplug,
            ConventionKind::HomeAssistant => &home_assistant::HomeAssistant,
        }
    }
}
