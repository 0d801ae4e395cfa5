/// Objects of access: who may ask for what.
mod access;
/// Objects of the fleet: whose a store is, and the store sets.
mod fleet;
/// Objects of twins.
mod twins;

use std::{fmt, str::FromStr};

use jiff::civil::Date;

pub use self::access::{ACCESS, AccessKey};
pub use self::fleet::{IdentityKey, STORES, StoreSetKey};
pub use self::twins::{TWINS, TwinDocument, TwinKey, twins_prefix};
use crate::ids::{EdgeId, HomeId, Seq, Shard};

/// Prefix of the primary copies, what analysts read.
pub const READINGS: &str = "readings";
/// Prefix of events: gaps, and what else happens that is no reading.
pub const EVENTS: &str = "events";
/// Prefix of the copies beside the primary ones, which a glob over [`READINGS`] does not see.
pub const REPLICAS: &str = "replicas";
/// Prefix of the commit logs.
pub const LOG: &str = "log";

/// What a chunk holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Content {
    /// Readings as they were cut.
    #[default]
    Readings,
    /// What eviction has left of a chunk of readings, by the step that it went to, 1 and up. It is made of the same
    /// chunk in the same way wherever it is made.
    Left(u8),
    /// Events; `first` and `last` of the key are the number of the log entry that adds it, `shard` is 0.
    Events,
}

/// Word in place of the shard in the names of events, so that a name alone tells what a chunk holds.
const EVENTS_WORD: &str = "events";

/// The key of a chunk: `readings/home=<home>/date=<day>/<edge>-<shard>-<first>-<last>.parquet`, with `-<step>` behind
/// `last` where eviction has left only a part of it, or `events/home=<home>/date=<day>/<edge>-events-<first>-<last>.parquet`.
///
/// Numbers are padded with zeros to 12 digits, so that names sort as their sequences do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkKey {
    /// The home it belongs to.
    pub home: HomeId,
    /// UTC day of every reading in it, as days since 1970-01-01.
    pub day: i32,
    /// The box that wrote it.
    pub edge: EdgeId,
    /// Shard of every device in it.
    pub shard: Shard,
    /// First journal record of its cut.
    pub first: Seq,
    /// Last journal record of its cut.
    pub last: Seq,
    /// What it holds.
    pub content: Content,
}

impl ChunkKey {
    /// Whether it holds events rather than readings.
    #[must_use]
    pub fn is_events(&self) -> bool {
        self.content == Content::Events
    }
}

impl fmt::Display for ChunkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.is_events() { EVENTS } else { READINGS };
        let (home, date) = (&self.home, date_of(self.day));
        write!(f, "{prefix}/home={home}/date={date}/{}-", self.edge)?;
        match self.content {
            Content::Events => f.write_str(EVENTS_WORD)?,
            Content::Readings | Content::Left(_) => self.shard.fmt(f)?,
        }
        write!(f, "-{:012}-{:012}", self.first.0, self.last.0)?;
        if let Content::Left(step) = self.content {
            write!(f, "-{step}")?;
        }
        f.write_str(".parquet")
    }
}

/// A key that is not one of this layout.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0:?} is not a key of this layout")]
pub struct ForeignKey(pub String);

impl FromStr for ChunkKey {
    type Err = ForeignKey;

    fn from_str(key: &str) -> Result<Self, ForeignKey> {
        parse_chunk_key(key).ok_or_else(|| ForeignKey(key.to_owned()))
    }
}

impl serde::Serialize for ChunkKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ChunkKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = <String as serde::Deserialize>::deserialize(deserializer)?;
        key.parse().map_err(serde::de::Error::custom)
    }
}

impl ChunkKey {
    /// The key of a copy: the primary lies at the chunk's own, every other below [`REPLICAS`].
    #[must_use]
    pub fn copy(&self, is_primary: bool) -> String {
        let own = self.to_string();
        match own.split_once('/') {
            Some((_, rest)) if !is_primary => format!("{REPLICAS}/{rest}"),
            _ => own,
        }
    }

    /// Read the key of a copy, and whether it is the primary's.
    #[must_use]
    pub fn of_copy(key: &str) -> Option<(ChunkKey, bool)> {
        let Some(rest) = key.strip_prefix(REPLICAS) else {
            return Some((key.parse().ok()?, true));
        };
        // The name says what it holds.
        let mut of = [READINGS, EVENTS].into_iter();
        let key = of.find_map(|prefix| format!("{prefix}{rest}").parse().ok())?;
        Some((key, false))
    }
}

/// The key of a commit log entry: `log/home=<home>/<writer>/<number>.json`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryKey {
    /// The home it belongs to.
    pub home: HomeId,
    /// Who wrote it.
    pub writer: EdgeId,
    /// Its number: 1, 2, 3 …
    pub number: u64,
}

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{:012}.json",
            log_prefix(&self.home, self.writer),
            self.number
        )
    }
}

impl FromStr for EntryKey {
    type Err = ForeignKey;

    fn from_str(key: &str) -> Result<Self, ForeignKey> {
        let parse = || {
            let mut parts = key.strip_prefix(LOG)?.strip_prefix('/')?.split('/');
            let home = parts.next()?.strip_prefix("home=")?.parse().ok()?;
            let writer = parts.next()?.parse().ok()?;
            let number = parts.next()?.strip_suffix(".json")?.parse().ok()?;
            parts.next().is_none().then_some(EntryKey {
                home,
                writer,
                number,
            })
        };
        parse().ok_or_else(|| ForeignKey(key.to_owned()))
    }
}

/// The prefix under which one writer's entries lie, with a slash at its end.
#[must_use]
pub fn log_prefix(home: &HomeId, writer: EdgeId) -> String {
    format!("{LOG}/home={home}/{writer}/")
}

/// The calendar day that lies `day` days after 1970-01-01, held within the years that a key can name.
#[must_use]
pub fn date_of(day: i32) -> Date {
    let epoch = Date::constant(1970, 1, 1);
    let span = jiff::Span::new().try_days(day).unwrap_or_default();
    epoch.saturating_add(span)
}

fn parse_chunk_key(key: &str) -> Option<ChunkKey> {
    let (prefix, rest) = key.split_once('/')?;
    let mut parts = rest.split('/');
    let home = parts.next()?.strip_prefix("home=")?.parse().ok()?;
    let date: Date = parts.next()?.strip_prefix("date=")?.parse().ok()?;
    let mut name = parts.next()?.strip_suffix(".parquet")?.split('-');
    let edge = name.next()?.parse().ok()?;
    let shard = name.next()?;
    let first = Seq(name.next()?.parse().ok()?);
    let last = Seq(name.next()?.parse().ok()?);
    let step = name.next();
    let (shard, content) = match (prefix, shard, step) {
        (EVENTS, EVENTS_WORD, None) => (0, Content::Events),
        (READINGS, shard, None) => (shard.parse().ok()?, Content::Readings),
        (READINGS, shard, Some(step)) => {
            let step = step.parse().ok().filter(|&step: &u8| step > 0);
            (shard.parse().ok()?, Content::Left(step?))
        }
        _ => return None,
    };
    let whole = name.next().is_none() && parts.next().is_none();
    let day = (date - Date::constant(1970, 1, 1)).get_days();
    whole.then_some(ChunkKey {
        home,
        day,
        edge,
        shard: Shard(shard),
        first,
        last,
        content,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        let key = ChunkKey {
            home: "my-home.1".parse().expect("home"),
            day: 20_779,
            edge: EdgeId(0xab),
            shard: Shard(3),
            first: Seq(1),
            last: Seq(5_000_000_000_000),
            content: Content::Readings,
        };
        let text = key.to_string();
        assert_eq!(
            text,
            "readings/home=my-home.1/date=2026-11-22/00000000000000ab-3-000000000001-5000000000000.parquet"
        );
        assert_eq!(text.parse::<ChunkKey>().expect("parses"), key);
        let left = ChunkKey {
            content: Content::Left(2),
            ..key.clone()
        };
        let text = text.replace(".parquet", "-2.parquet");
        assert_eq!(left.to_string(), text);
        assert_eq!(text.parse::<ChunkKey>().expect("parses"), left);
        let events = ChunkKey {
            shard: Shard(0),
            last: Seq(1),
            content: Content::Events,
            ..key.clone()
        };
        let text = "events/home=my-home.1/date=2026-11-22/00000000000000ab-events-000000000001-000000000001.parquet";
        assert_eq!(events.to_string(), text);
        assert_eq!(text.parse::<ChunkKey>().expect("parses"), events);
        for key in [&key, &left, &events] {
            for is_primary in [true, false] {
                let copy = key.copy(is_primary);
                let read = ChunkKey::of_copy(&copy).expect("parses");
                assert_eq!(read, (key.clone(), is_primary), "{copy}");
            }
        }
        assert!(key.copy(false).starts_with("replicas/home=my-home.1/date="));
        let entry = EntryKey {
            home: key.home,
            writer: key.edge,
            number: 7,
        };
        assert_eq!(
            entry.to_string(),
            "log/home=my-home.1/00000000000000ab/000000000007.json"
        );
        assert_eq!(
            entry.to_string().parse::<EntryKey>().expect("parses"),
            entry
        );
    }

    #[test]
    fn foreign_keys_are_refused() {
        for key in [
            "",
            "readings",
            "readings/home=a/date=2026-01-01/x.parquet",
            "readings/home=../date=2026-01-01/00000000000000ab-0-1-2.parquet",
            "readings/home=a/date=2026-01-01/00000000000000ab-0-1-2-0.parquet",
            "readings/home=a/date=2026-01-01/00000000000000ab-0-1-2-3-4.parquet",
            "readings/home=a/date=2026-01-01/00000000000000ab-events-1-2.parquet",
            "events/home=a/date=2026-01-01/00000000000000ab-0-1-2.parquet",
            "events/home=a/date=2026-01-01/00000000000000ab-events-1-1-1.parquet",
        ] {
            assert!(key.parse::<ChunkKey>().is_err(), "{key}");
        }
    }
}
