use std::collections::HashMap;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::{
    announcement::{About, Announcement, Availability, AvailabilityTopic, Layout, Stream, TimeKey},
    fault::{Fault, FaultKind},
    identifier::Identifier,
    message::Message,
    point::At,
};

/// Messages of the bridge that are too large, or too little of a reading, to be taken apart.
const LESSONS: [&str; 6] = [
    "info",
    "devices",
    "definitions",
    "groups",
    "extensions",
    "converters",
];

/// Messages that are kept whole: what they hold differs from one to the next, or names every device.
const WHOLE: [&str; 2] = ["event", "health"];

/// First levels of what may be asked of the bridge.
const REQUESTS: [&str; 15] = [
    "permit_join",
    "restart",
    "health_check",
    "coordinator_check",
    "networkmap",
    "backup",
    "install_code",
    "options",
    "config",
    "extension",
    "converter",
    "device",
    "group",
    "touchlink",
    "action",
];

/// The bridge's own name among identifiers: the base topic, which no two bridges of a broker share.
pub(super) fn identifier(base: &str) -> Identifier {
    Identifier::native("zigbee2mqtt", base)
}

/// The bridge with all its topics, as far as it is known. The base topic comes first among its identifiers, so that
/// its id is the same whichever of its messages arrives first.
pub(super) fn announcement(base: &str, coordinator: Option<Identifier>) -> Announcement {
    let mut streams = vec![stream(base, "state"), stream(base, "logging")];
    streams.extend(WHOLE.iter().chain(&LESSONS).map(|rest| stream(base, rest)));
    Announcement {
        identifiers: std::iter::once(identifier(base))
            .chain(coordinator)
            .collect(),
        about: About {
            name: Some("Zigbee2MQTT bridge".to_owned()),
            vendor: Some("Zigbee2MQTT".to_owned()),
            model: Some("Bridge".to_owned()),
            ..About::default()
        },
        points: Vec::new(),
        streams,
        availability: availability(format!("{base}/bridge/state")),
    }
}

/// Whether something of Zigbee2MQTT is there: `online` as it is, or in JSON under `state`.
pub(super) fn availability(topic: String) -> Availability {
    Availability {
        topics: vec![AvailabilityTopic {
            topic,
            at: At::Path("state".to_owned()),
            online: "online".to_owned(),
            offline: "offline".to_owned(),
        }],
        ..Availability::default()
    }
}

/// What `bridge/info` says: the version, and the stick behind the bridge.
pub(super) fn learn(base: &str, payload: &[u8]) -> Result<Announcement, Fault> {
    let fault = |detail: String| Fault::new(FaultKind::Announcement, detail);
    let info: Value =
        serde_json::from_slice(payload).map_err(|error| fault(format!("bridge/info: {error}")))?;
    let text = |pointer: &str| info.pointer(pointer).and_then(Value::as_str);
    let version = text("/version");
    let coordinator = text("/coordinator/ieee_address");
    if version.is_none() && coordinator.is_none() {
        return Err(fault(
            "bridge/info: neither a version nor a coordinator".to_owned(),
        ));
    }
    let mut bridge = announcement(base, coordinator.and_then(Identifier::ieee));
    bridge.about.firmware = version.map(str::to_owned);
    bridge.about.hardware = text("/coordinator/type").map(str::to_owned);
    Ok(bridge)
}

/// A topic of a bridge that has not said anything of itself yet.
pub(super) fn recognise(message: &Message<'_>) -> Option<Announcement> {
    let (base, rest) = message.topic.split_once("/bridge/")?;
    if base.is_empty() || !is_of_bridge(rest, message) {
        return None;
    }
    let bridge = announcement(base, None);
    Some(Announcement {
        streams: vec![stream(base, rest)],
        ..bridge
    })
}

/// How the payloads of a topic of the bridge are read.
fn stream(base: &str, rest: &str) -> Stream {
    let topic = format!("{base}/bridge/{rest}");
    match rest {
        "state" => Stream::new(topic, "state"),
        "logging" => Stream {
            topic,
            layout: Layout::Flat {
                metric: rest.to_owned(),
                prefix: "logging.".to_owned(),
                root: String::new(),
                time: TimeKey::Usual,
            },
        },
        _ if LESSONS.contains(&rest) => Stream::lesson(topic),
        _ => Stream::raw(topic, rest),
    }
}

/// Whether a payload is what a bridge publishes on this topic below `bridge/`.
fn is_of_bridge(rest: &str, message: &Message<'_>) -> bool {
    let has = |wanted: &[&str]| {
        keys(message.payload).is_some_and(|keys| wanted.iter().all(|key| keys.contains_key(*key)))
    };
    match rest {
        "state" => is_state(message),
        "logging" => has(&["level", "message"]),
        "event" => has(&["type", "data"]),
        "health" => has(&["process", "mqtt"]),
        "definitions" => has(&["clusters"]),
        "groups" => is_list(message.payload, "members"),
        "extensions" | "converters" => is_list(message.payload, "code"),
        _ => match rest.split_once('/') {
            Some(("response", _)) => has(&["status", "data"]),
            Some(("request", what)) => what
                .split('/')
                .next()
                .is_some_and(|first| REQUESTS.contains(&first)),
            _ => false,
        },
    }
}

fn is_state(message: &Message<'_>) -> bool {
    let is_word = |word: &str| matches!(word, "online" | "offline");
    let Some(text) = message.text() else {
        return false;
    };
    let said = || serde_json::from_str::<Value>(text).ok();
    is_word(text)
        || text.starts_with('{')
            && said().is_some_and(|said| said["state"].as_str().is_some_and(is_word))
}

/// The keys of a JSON object; what stands under them is not looked at.
fn keys(payload: &[u8]) -> Option<HashMap<String, IgnoredAny>> {
    serde_json::from_slice(payload).ok()
}

/// Whether a payload is a list of objects that all have this key. The list may be empty.
fn is_list(payload: &[u8], key: &str) -> bool {
    let list: Option<Vec<HashMap<String, IgnoredAny>>> = serde_json::from_slice(payload).ok();
    list.is_some_and(|list| list.iter().all(|entry| entry.contains_key(key)))
}
