use serde_json::Value;

use crate::{
    announcement::{Availability, AvailabilityTopic},
    fault::{Fault, FaultKind},
    identifier::Identifier,
    message::Message,
    point::At,
};

/// Who makes them.
pub(super) const VENDOR: &str = "Shelly";

/// Bytes of an announcement that is looked at; a full status of the largest device has some 8 KiB.
const ANNOUNCEMENT_BYTES_MAX: usize = 64 * 1024;

/// What names a Shelly: its address, as announced or as the end of its id, and its id.
pub(super) fn identifiers(id: &str, mac: Option<&str>) -> Vec<Identifier> {
    let mac = mac.and_then(Identifier::mac).or_else(|| mac_of(id));
    mac.into_iter()
        .chain([Identifier::native("shelly", id)])
        .collect()
}

/// The address at the end of an id; none where it is cut to its last six digits, as most of the first generation
/// have it, because two devices may share those.
pub(super) fn mac_of(id: &str) -> Option<Identifier> {
    let (_, digits) = id.rsplit_once('-')?;
    // Separators are for addresses that stand alone.
    let is_bare = digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_bare.then(|| Identifier::mac(digits)).flatten()
}

/// Both generations say `true` on this topic, and let the broker say `false` when they are gone.
pub(super) fn availability(prefix: &str) -> Availability {
    Availability {
        topics: vec![AvailabilityTopic {
            topic: format!("{prefix}/online"),
            at: At::Value,
            online: "true".to_owned(),
            offline: "false".to_owned(),
        }],
        ..Availability::default()
    }
}

/// The JSON object that a message is.
pub(super) fn object(message: &Message<'_>) -> Result<Value, Fault> {
    let fault = |detail: String| {
        let topic = message.topic;
        Fault::new(FaultKind::Announcement, format!("{topic}: {detail}"))
    };
    if message.payload.len() > ANNOUNCEMENT_BYTES_MAX {
        return Err(fault(format!("longer than {ANNOUNCEMENT_BYTES_MAX} bytes")));
    }
    match serde_json::from_slice(message.payload) {
        Ok(json @ Value::Object(_)) => Ok(json),
        Ok(_) => Err(fault("no JSON object".to_owned())),
        Err(error) => Err(fault(error.to_string())),
    }
}

/// A text that is not empty, under this pointer of the JSON.
pub(super) fn text(json: &Value, pointer: &str) -> Option<String> {
    let text = json.pointer(pointer)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
