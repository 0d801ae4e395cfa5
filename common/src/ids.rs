use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Position of a record in one box's journal: starts at 1, grows by one, is never reused.
///
/// 0 means "before the first record".
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// The position before the first record.
    pub const ZERO: Seq = Seq(0);

    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a shard, `0 .. shards`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

impl Shard {
    /// The shard that a device's readings go to: `xxh3_64(device) mod shards`.
    #[must_use]
    pub fn of(device: &str, shards: u16) -> Shard {
        let hash = xxhash_rust::xxh3::xxh3_64(device.as_bytes());
        Shard((hash % u64::from(shards.max(1))) as u16)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identity of one box's data directory: 64 random bits, made with the directory, so that a box
/// set up anew never reuses a sequence. Written as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(pub u64);

impl fmt::Display for EdgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for EdgeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let well_formed =
            text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match u64::from_str_radix(text, 16) {
            Ok(id) if well_formed => Ok(EdgeId(id)),
            _ => Err(InvalidId {
                kind: "edge id",
                text: text.to_owned(),
                rule: "16 hex digits",
            }),
        }
    }
}

impl Serialize for EdgeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EdgeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Name of a home: what its path `home=<name>` in a store says. 1 to 64 of `a-z A-Z 0-9 _ . -`,
/// not starting with a dot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct HomeId(String);

impl HomeId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HomeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for HomeId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if (1..=64).contains(&text.len()) && !text.starts_with('.') && text.bytes().all(allowed) {
            Ok(HomeId(text.to_owned()))
        } else {
            Err(InvalidId {
                kind: "home name",
                text: text.to_owned(),
                rule: "1 to 64 of a-z A-Z 0-9 _ . - and no leading dot",
            })
        }
    }
}

impl<'de> Deserialize<'de> for HomeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that does not follow the rule of its kind of id.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{text:?} is not a {kind}: use {rule}")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
    rule: &'static str,
}
