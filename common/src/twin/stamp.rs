use std::fmt;

use serde::{Deserialize, Serialize};

/// How far the clocks of two nodes may be apart. A stamp from further ahead counts for nothing until its time comes.
pub const SKEW_MAX_MS: i64 = 5 * 60 * 1000;

/// A moment of a hybrid logical clock: wall time, and a count of writes that would have the same.
///
/// Orders writes of all nodes so that what was written after something was seen comes after it. Written as `[ms, count]`.
/// Source: Kulkarni, Demirbas et al., "Logical Physical Clocks" (2014).
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(from = "(i64, u32)", into = "(i64, u32)")]
pub struct Stamp {
    /// Milliseconds since 1970 UTC.
    pub ms: i64,
    /// Count within the millisecond.
    pub count: u32,
}

impl From<(i64, u32)> for Stamp {
    fn from((ms, count): (i64, u32)) -> Stamp {
        Stamp { ms, count }
    }
}

impl From<Stamp> for (i64, u32) {
    fn from(stamp: Stamp) -> (i64, u32) {
        (stamp.ms, stamp.count)
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.ms, self.count)
    }
}

impl Stamp {
    /// Whether it lies further ahead of `now_ms` than clocks may be apart.
    #[must_use]
    pub fn is_ahead(self, now_ms: i64) -> bool {
        self.ms > now_ms.saturating_add(SKEW_MAX_MS)
    }
}

/// Gives stamps, each later than all that it gave or heard.
#[derive(Debug, Clone, Default)]
pub struct HybridClock {
    last: Stamp,
}

impl HybridClock {
    /// The stamp of a write that happens now.
    pub fn tick(&mut self, now_ms: i64) -> Stamp {
        if self.last.is_ahead(now_ms) {
            // Our own clock was far ahead and was set right: whoever went on from there would count for nothing.
            self.last = Stamp::default();
        }
        self.last = match self.last.count.checked_add(1) {
            Some(count) if self.last.ms >= now_ms => Stamp { count, ..self.last },
            Some(_) => Stamp {
                ms: now_ms,
                count: 0,
            },
            None => Stamp {
                ms: self.last.ms.max(now_ms) + 1,
                count: 0,
            },
        };
        self.last
    }

    /// Note a stamp that was seen. One from too far ahead is not followed, so that one wrong clock does not set all others.
    pub fn hear(&mut self, stamp: Stamp, now_ms: i64) {
        if !stamp.is_ahead(now_ms) {
            self.last = self.last.max(stamp);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_grow_whatever_the_clock_does() {
        let mut clock = HybridClock::default();
        let first = clock.tick(1_000);
        let same = clock.tick(1_000);
        let back = clock.tick(400);
        assert!(first < same && same < back, "{first} {same} {back}");
        clock.hear(
            Stamp {
                ms: 90_000,
                count: 7,
            },
            1_000,
        );
        assert_eq!(
            clock.tick(1_001),
            Stamp {
                ms: 90_000,
                count: 8
            }
        );
    }

    #[test]
    fn a_stamp_from_far_ahead_is_not_followed() {
        let mut clock = HybridClock::default();
        clock.hear(
            Stamp {
                ms: 1_000 + SKEW_MAX_MS + 1,
                count: 0,
            },
            1_000,
        );
        assert_eq!(
            clock.tick(1_000),
            Stamp {
                ms: 1_000,
                count: 0
            }
        );
    }

    #[test]
    fn a_full_count_goes_on_in_the_next_millisecond() {
        let mut clock = HybridClock {
            last: Stamp {
                ms: 5,
                count: u32::MAX,
            },
        };
        assert_eq!(clock.tick(5), Stamp { ms: 6, count: 0 });
    }
}
