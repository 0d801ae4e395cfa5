use std::{fmt, str::FromStr};

use super::ForeignKey;
use crate::ids::FleetId;

/// Prefix of what is said of the stores themselves.
pub const STORES: &str = "stores";

/// The key of a store's identity: `stores/identity-<fleet>-<store>.json`. There should be one; of several the
/// lowest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityKey {
    /// The fleet that it belongs to.
    pub fleet: FleetId,
    /// 64 random bits, so that one place by two URLs is found out.
    pub store: u64,
}

impl fmt::Display for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{STORES}/identity-{}-{:016x}.json",
            self.fleet, self.store
        )
    }
}

impl FromStr for IdentityKey {
    type Err = ForeignKey;

    fn from_str(key: &str) -> Result<Self, ForeignKey> {
        let parse = || {
            let name = key.strip_prefix(STORES)?.strip_prefix("/identity-")?;
            let (fleet, store) = name.strip_suffix(".json")?.split_once('-')?;
            let key = IdentityKey {
                fleet: fleet.parse().ok()?,
                // Sixteen hex digits, as a fleet's.
                store: store.parse::<FleetId>().ok()?.0,
            };
            Some(key)
        };
        parse().ok_or_else(|| ForeignKey(key.to_owned()))
    }
}

/// The key of a store set: `stores/<version>-<first 16 hex digits of its SHA-256>.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreSetKey {
    /// Its version.
    pub version: u64,
    /// The first 64 bits of its SHA-256, so that two of one version do not replace each other.
    pub digest: u64,
}

impl fmt::Display for StoreSetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{STORES}/{:012}-{:016x}.json", self.version, self.digest)
    }
}

impl FromStr for StoreSetKey {
    type Err = ForeignKey;

    fn from_str(key: &str) -> Result<Self, ForeignKey> {
        let parse = || {
            let name = key.strip_prefix(STORES)?.strip_prefix('/')?;
            let (version, digest) = name.strip_suffix(".json")?.split_once('-')?;
            let key = StoreSetKey {
                version: version.parse().ok()?,
                digest: digest.parse::<FleetId>().ok()?.0,
            };
            Some(key)
        };
        parse().ok_or_else(|| ForeignKey(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let identity = IdentityKey {
            fleet: FleetId(0xfe),
            store: 7,
        };
        let text = "stores/identity-00000000000000fe-0000000000000007.json";
        assert_eq!(identity.to_string(), text);
        assert_eq!(text.parse::<IdentityKey>().expect("parses"), identity);
        assert!(text.parse::<StoreSetKey>().is_err());
        let set = StoreSetKey {
            version: 12,
            digest: 0xab,
        };
        let text = "stores/000000000012-00000000000000ab.json";
        assert_eq!(set.to_string(), text);
        assert_eq!(text.parse::<StoreSetKey>().expect("parses"), set);
        assert!(text.parse::<IdentityKey>().is_err());
    }
}
