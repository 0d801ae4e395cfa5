use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Stable id of a device that announced itself: 16 hex digits of the SHA-256 of its first identifier.
/// It never follows from a name, so a rename keeps it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeviceId(String);

impl DeviceId {
    /// The id of a device whose first identifier is this.
    #[must_use]
    pub fn of(identifier: &Identifier) -> DeviceId {
        let digest = Sha256::digest(identifier.as_str().as_bytes());
        DeviceId(hex::encode(&digest[..8]))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that names one physical device and no other, in one canonical spelling: `kind:value`.
///
/// Two announcements that share an identifier speak of the same device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Identifier(String);

impl Identifier {
    /// A MAC address in any usual spelling (`AA:BB:CC:DD:EE:FF`, `aabbccddeeff`, with dashes or dots); none
    /// where the text is not six bytes of hex, or is all zeros or all ones.
    #[must_use]
    pub fn mac(text: &str) -> Option<Identifier> {
        hex_address(text, 12).map(|digits| Identifier(format!("mac:{digits}")))
    }

    /// An IEEE 802.15.4 address as Zigbee devices have it (`0x00158d0001a2b3c4`); none where it is not eight bytes of hex.
    #[must_use]
    pub fn ieee(text: &str) -> Option<Identifier> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        hex_address(digits, 16).map(|digits| Identifier(format!("ieee:{digits}")))
    }

    /// An identifier of a Home Assistant discovery message. Those that hold an address in a spelling that
    /// is known (`zigbee2mqtt_0x00158d…`, a bare MAC address) are that address, so that what Zigbee2MQTT, a
    /// Shelly or ESPHome announces twice is one device.
    #[must_use]
    pub fn home_assistant(text: &str) -> Identifier {
        let text = text.trim();
        let ieee = text
            .rsplit_once("_0x")
            .map(|(_, digits)| digits)
            .or_else(|| text.strip_prefix("0x"))
            .and_then(Identifier::ieee);
        ieee.or_else(|| Identifier::mac(text))
            .unwrap_or_else(|| Identifier(format!("ha:{text}")))
    }

    /// A name that is unique within one convention, such as a Tasmota topic or an ESPHome node.
    #[must_use]
    pub fn native(convention: &str, name: &str) -> Identifier {
        Identifier(format!("{convention}:{name}"))
    }

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that a device has within its convention, where the identifier is one and no address: what it is called
    /// for want of a better name.
    #[must_use]
    pub fn given_name(&self) -> Option<String> {
        let (kind, name) = self.0.split_once(':')?;
        (!["mac", "ieee"].contains(&kind)).then(|| name.to_owned())
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The digits of an address in lower case without separators, if there are as many as it needs.
fn hex_address(text: &str, digits: usize) -> Option<String> {
    let bare: String = text
        .chars()
        .filter(|c| !matches!(c, ':' | '-' | '.'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let is_hex = bare.len() == digits && bare.bytes().all(|b| b.is_ascii_hexdigit());
    let says_something = bare.bytes().any(|b| b != b'0') && bare.bytes().any(|b| b != b'f');
    (is_hex && says_something).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_spelling() {
        for text in [
            "AA:BB:CC:DD:EE:0F",
            "aabbccddee0f",
            "aa-bb-cc-dd-ee-0f",
            "AABB.CCDD.EE0F",
        ] {
            let mac = Identifier::mac(text).expect(text);
            assert_eq!(mac.as_str(), "mac:aabbccddee0f");
        }
        assert_eq!(Identifier::mac("00:00:00:00:00:00"), None);
        assert_eq!(Identifier::mac("bedroom"), None);
    }

    #[test]
    fn an_address_inside_of_a_discovery_identifier_is_found() {
        let ieee = Identifier::ieee("0x00158D0001A2B3C4").expect("address");
        assert_eq!(
            Identifier::home_assistant("zigbee2mqtt_0x00158d0001a2b3c4"),
            ieee
        );
        assert_eq!(
            Identifier::home_assistant("AABBCCDDEE0F").as_str(),
            "mac:aabbccddee0f"
        );
        assert_eq!(Identifier::home_assistant("bedroom").as_str(), "ha:bedroom");
    }

    #[test]
    fn ids_are_short_and_stable() {
        let id = DeviceId::of(&Identifier::native("ha", "bedroom"));
        assert_eq!(id.as_str().len(), 16);
        assert_eq!(id, DeviceId::of(&Identifier::home_assistant("bedroom")));
    }
}
