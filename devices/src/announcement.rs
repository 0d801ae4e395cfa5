use crate::{
    identifier::Identifier,
    point::{At, Point},
};

/// What one message says of one device. All that a topic has announced is replaced by what it announces next.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Announcement {
    /// What names the device, the best first: a hardware address, then the announcer's own identifiers.
    pub identifiers: Vec<Identifier>,
    /// What it is.
    pub about: About,
    /// What it measures and how it is set.
    pub points: Vec<Point>,
    /// Topics that are the device's, beyond those that its points read: all that they carry is its readings.
    pub streams: Vec<Stream>,
    /// How to tell whether it is there.
    pub availability: Availability,
}

/// What a device is, as far as it says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its name for people.
    pub name: Option<String>,
    /// Room that it is in, or that it suggests.
    pub room: Option<String>,
    /// Who made it.
    pub vendor: Option<String>,
    /// What it is called by its vendor.
    pub model: Option<String>,
    /// Version of its firmware.
    pub firmware: Option<String>,
    /// Version of its hardware.
    pub hardware: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// The device that it speaks through, such as a Zigbee coordinator.
    pub via: Option<Identifier>,
}

/// A topic whose payloads are a device's readings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Topic, without wildcards.
    pub topic: String,
    /// How its payloads are laid out.
    pub layout: Layout,
}

impl Stream {
    /// A topic with a plain value, which is this metric, or with a JSON object, whose keys are metrics.
    #[must_use]
    pub fn new(topic: impl Into<String>, metric: impl Into<String>) -> Stream {
        Stream {
            topic: topic.into(),
            layout: Layout::Flat {
                metric: metric.into(),
                prefix: String::new(),
                root: String::new(),
                time: TimeKey::Usual,
            },
        }
    }

    /// A topic whose payloads are one text, which is this metric.
    #[must_use]
    pub fn raw(topic: impl Into<String>, metric: impl Into<String>) -> Stream {
        Stream {
            topic: topic.into(),
            layout: Layout::Raw {
                metric: metric.into(),
            },
        }
    }

    /// A topic whose payloads teach, or are too large to be readings.
    #[must_use]
    pub fn lesson(topic: impl Into<String>) -> Stream {
        Stream {
            topic: topic.into(),
            layout: Layout::Lesson,
        }
    }
}

/// How the payloads of a topic are laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// A plain value or JSON, which is flattened: keys joined by dots are metrics.
    Flat {
        /// Metric of a plain value.
        metric: String,
        /// Stands before each flattened key, with its separator (`switch:0.`).
        prefix: String,
        /// Only what stands under this key of the JSON is taken, without the key itself (`params`); empty for all.
        /// The paths of points ([`At::Path`]) and of the time are told from there, and without the prefix.
        root: String,
        /// Where the device's own time stands.
        time: TimeKey,
    },
    /// The payload as one text, whatever it is: a command that somebody sent, a line of a log. JSON in it is not
    /// taken apart.
    Raw {
        /// Metric of the text.
        metric: String,
    },
    /// A Sparkplug B payload: metrics by name or by alias, of the message's device.
    Sparkplug {
        /// Names by alias, from the birth certificate; sorted by alias.
        aliases: Vec<(u64, String)>,
        /// Sparkplug's numbers of data types by name, from the birth certificate; sorted by name. Data
        /// messages leave them out, and an integer's sign is only known by its type.
        types: Vec<(String, u32)>,
    },
    /// A message that teaches and has no readings of its own.
    Lesson,
}

/// Where the device's own time stands in a JSON payload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TimeKey {
    /// Under one of the usual names at the top (`ts`, `timestamp`, `time`): Unix time or RFC 3339.
    #[default]
    Usual,
    /// Under this flattened key as Unix seconds, with fractions. It is no reading.
    Unix(String),
    /// Under this flattened key as a date and time without an offset, in the home's time zone. It is no reading.
    Local(String),
}

/// How to tell whether a device is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Availability {
    /// Topics that say it; none where nothing does.
    pub topics: Vec<AvailabilityTopic>,
    /// How several topics are one answer.
    pub mode: Mode,
}

/// A topic that says whether a device is there.
#[derive(Debug, Clone, PartialEq)]
pub struct AvailabilityTopic {
    /// Topic, without wildcards.
    pub topic: String,
    /// Where in its payload; a path in a payload that is no JSON means the payload itself.
    pub at: At,
    /// What it says when the device is there.
    pub online: String,
    /// What it says when the device is not.
    pub offline: String,
}

/// How several availability topics are one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is there when all say so.
    All,
    /// It is there when one says so.
    Any,
    /// The latest message counts.
    #[default]
    Latest,
}
