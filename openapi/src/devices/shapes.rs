use poem_openapi::{Object, types::Any};
use serde_json::Value;

/// What a device announced, and what was made of it.
#[derive(Debug, Clone, Default, Object)]
pub struct KnownDevice {
    /// Its id.
    pub device: String,
    /// Its name for people; null where it has none.
    pub name: Option<String>,
    /// The room that it is in; null where nobody said it.
    pub room: Option<String>,
    /// Who made it; null where it does not say.
    pub vendor: Option<String>,
    /// What its vendor calls it; null where it does not say.
    pub model: Option<String>,
    /// Version of its firmware; null where it does not say.
    pub firmware: Option<String>,
    /// Version of its hardware; null where it does not say.
    pub hardware: Option<String>,
    /// Its serial number; null where it does not say.
    pub serial: Option<String>,
    /// Whether it is there; null where nothing says it.
    pub online: Option<bool>,
    /// Its clock less the box's in milliseconds, delays included; null where it does not tell its time.
    pub clock_skew_ms: Option<i64>,
    /// What names it, like `mac:aabbccddeeff` or `ieee:00158d0001a2b3c4`.
    pub identifiers: Vec<String>,
    /// Ids that its readings were stored under before.
    pub aliases: Vec<String>,
    /// How it speaks, like `zigbee2mqtt` or `home_assistant`.
    pub conventions: Vec<String>,
    /// MQTT topics that are its own.
    pub topics: Vec<String>,
    /// What it measures, and what can be set on it.
    pub features: Vec<Feature>,
    /// What is wrong with what it says. Its readings are kept all the same.
    pub faults: Vec<DeviceFault>,
}

/// Something that a device measures or that can be set on it.
#[derive(Debug, Clone, Object)]
pub struct Feature {
    /// Its metric in readings, and its name in commands.
    pub metric: String,
    /// What kind of thing it is, by Home Assistant's names, like `sensor`, `switch` or `light`.
    pub component: String,
    /// Its name for people; null where it has none.
    pub name: Option<String>,
    /// Home Assistant's device class, like `temperature`; null without one.
    pub class: Option<String>,
    /// Unit of its readings; null without one.
    pub unit: Option<String>,
    /// The unit as the device spells it; null without one.
    pub raw_unit: Option<String>,
    /// `measurement`, `total` or `total_increasing`; null where nobody says it. Beside a metric that is
    /// `total_increasing` stands `<metric>.cumulative`, which goes on over resets.
    pub state_class: Option<String>,
    /// Whether it can be set.
    pub settable: bool,
    /// What it takes when it is set: `any`, `switch`, `number`, `option`, `text`, `press` or `object`.
    pub takes: String,
    /// Lowest number that it takes; null without a bound.
    pub min: Option<f64>,
    /// Highest number that it takes; null without a bound.
    pub max: Option<f64>,
    /// Distance between two numbers that it takes; null where any will do.
    pub step: Option<f64>,
    /// Words that it takes, or keys of an object; empty for others.
    pub options: Vec<String>,
}

/// Something wrong with what a device says.
#[derive(Debug, Clone, Object)]
pub struct DeviceFault {
    /// `announcement`, `template`, `payload`, `duplicate_id`, `identity_changed`, `unit`, `clock` or `too_large`.
    pub kind: String,
    /// What is wrong.
    pub detail: String,
    /// Topic that it came on.
    pub topic: String,
    /// How often since the box started.
    pub count: u64,
    /// When first, RFC 3339 UTC; null where it was found at the start again.
    pub first: Option<String>,
    /// When last, RFC 3339 UTC; null where it was found at the start again.
    pub last: Option<String>,
}

/// A change of what a user says of a device.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct DeviceUpdate {
    /// Its name; an empty text goes back to the one that it announced.
    #[oai(validator(max_length = 256))]
    pub(crate) name: Option<String>,
    /// The room that it is in; an empty text goes back to the one that it suggested.
    #[oai(validator(max_length = 256))]
    pub(crate) room: Option<String>,
}

/// The other of two devices that are one.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct MergeRequest {
    /// Id of the device that goes; its readings are shown with those of the one that stays.
    #[oai(validator(max_length = 1024))]
    pub(crate) other: String,
}

/// What is to be a device of its own.
#[derive(Debug, Object)]
#[oai(deny_unknown_fields)]
pub(crate) struct SplitRequest {
    /// Some of the device's identifiers, or ids that were merged into it.
    #[oai(validator(min_items = 1, max_items = 100))]
    pub(crate) identifiers: Vec<String>,
}

/// A device of its own.
#[derive(Debug, Object)]
pub(crate) struct SplitDone {
    /// Its id.
    pub(crate) device: String,
}

/// Commands, one for each value.
#[derive(Debug, Object)]
pub(crate) struct Commands {
    /// In the order of the request, or latest first.
    pub(crate) commands: Vec<Command>,
}

/// A command to a device.
#[derive(Debug, Clone, Object)]
pub struct Command {
    /// Its id; `GET /v1/homes/{home}/commands/{command}` follows it.
    pub command: String,
    /// Id of the device.
    pub device: String,
    /// What is set.
    pub metric: String,
    /// What it is set to.
    pub value: Any<Value>,
    /// `pending` until the device's box has it, `delivered` to whoever listens for the device, `confirmed` by the device's
    /// own state, `timed_out` without that, `refused`, or `superseded` by a later one. What has no state to read back stays
    /// `delivered`.
    pub status: String,
    /// Why it was refused, or what came in its place; null otherwise.
    pub reason: Option<String>,
    /// MQTT topic that it went to; null where it did not, or where another node knows it.
    pub topic: Option<String>,
    /// When it was asked for, RFC 3339 UTC.
    pub sent: String,
    /// Until when it may be carried out or the device may confirm it, RFC 3339 UTC; null where there is no such bound.
    pub deadline: Option<String>,
    /// When it came to its end, RFC 3339 UTC; null while it waits.
    pub done: Option<String>,
}

/// A box of a home, and how it is.
#[derive(Debug, Clone, Default, Object)]
pub struct BoxInfo {
    /// Its id, 16 hex digits.
    pub edge: String,
    /// Whether it is connected; null where nobody here can tell.
    pub online: Option<bool>,
    /// Since when it is connected, or away, RFC 3339 UTC; null where nobody here can tell.
    pub since: Option<String>,
    /// Version of its software; null where it never said it.
    pub version: Option<String>,
    /// Its name for people; null without one.
    pub name: Option<String>,
    /// When it last said anything, RFC 3339 UTC; null where it never did.
    pub last_seen: Option<String>,
    /// Records that wait on it to be shipped; null where it does not say.
    pub backlog_entries: Option<u64>,
    /// Bytes of them; null where it does not say.
    pub backlog_bytes: Option<u64>,
    /// When it last shipped readings, RFC 3339 UTC; null where it never did.
    pub last_shipped: Option<String>,
    /// Devices at it; null where it does not say.
    pub devices: Option<u64>,
    /// Bytes of disk that it uses; null where it does not say.
    pub disk_used_bytes: Option<u64>,
    /// Bytes of disk that it may use; null where it does not say.
    pub disk_budget_bytes: Option<u64>,
}
