use std::{fmt, str::FromStr, sync::Arc};

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
    /// After the last record that there can be.
    pub const MAX: Seq = Seq(u64::MAX);

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

/// Name of a store, the word that the commit log uses for it: 1 to 32 of `a-z`, `0-9` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreName(Arc<str>);

impl StoreName {
    /// Longest name.
    pub const LENGTH_MAX: usize = 32;

    /// The name of the first store that is given without one.
    #[must_use]
    pub fn main() -> StoreName {
        StoreName("main".into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The environment variable for something of this store: `TARN_STORE_<NAME>_<WHAT>`.
    #[must_use]
    pub fn variable(&self, what: &str) -> String {
        let name = self.0.to_ascii_uppercase().replace('-', "_");
        format!("TARN_STORE_{name}_{what}")
    }
}

impl FromStr for StoreName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fits = (1..=StoreName::LENGTH_MAX).contains(&text.len());
        if fits && text.bytes().all(is_allowed) {
            Ok(StoreName(text.into()))
        } else {
            Err(InvalidId {
                kind: "store name",
                text: text.to_owned(),
                rule: "1 to 32 of a-z, 0-9 and -",
            })
        }
    }
}

impl TryFrom<String> for StoreName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<StoreName> for String {
    fn from(name: StoreName) -> String {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Identity of a fleet: the homes, boxes and stores that belong together. 64 random bits, made with the
/// first store. Written as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FleetId(pub u64);

/// Identity of one box's data directory: 64 random bits, made with the directory, so that a box
/// set up anew never reuses a sequence. Written as 16 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(pub u64);

/// What ids of 64 bits have in common: they are written as 16 hex digits.
macro_rules! hex_id {
    ($id:ident, $kind:literal) => {
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl FromStr for $id {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let well_formed =
                    text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                match u64::from_str_radix(text, 16) {
                    Ok(id) if well_formed => Ok($id(id)),
                    _ => Err(InvalidId {
                        kind: $kind,
                        text: text.to_owned(),
                        rule: "16 hex digits",
                    }),
                }
            }
        }

        impl Serialize for $id {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $id {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id!(FleetId, "fleet id");
hex_id!(EdgeId, "edge id");

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
