//! What goes wrong in a home, and when.
//!
//! Faults are drawn for each message and not for each hour, so that a short run at a high rate shows
//! them as well as a long one.

use super::signal::Dice;

/// How long a device stays away, in messages of its client.
const AWAY_MESSAGES: (f64, f64) = (30.0, 300.0);

/// What odd firmware makes of one report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Oddity {
    /// `"n/a"` where a number belongs.
    NotANumber,
    /// A key that is usually there is not.
    Missing,
    /// `"23.4 °C"` where a number belongs, whatever the unit should be.
    WithUnit,
    /// The same report once more.
    Twice,
}

/// What happens to one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Out of reach for so many messages.
    Away { messages: u64 },
    /// Out of reach, and then powered up anew: it introduces itself again. `resets` tells whether its
    /// counters begin at zero.
    Restart { messages: u64, resets: bool },
    /// Its counters read zero in one report.
    Glitch,
    /// One report is odd.
    Odd(Oddity),
}

/// The faults of one client, by the number of its message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Faults {
    dice: Dice,
    /// Chance of a fault with each message.
    chance: f64,
}

impl Faults {
    /// So many faults for each thousand messages.
    pub(super) fn new(dice: Dice, per_thousand: f64) -> Faults {
        Faults {
            dice,
            chance: per_thousand / 1_000.0,
        }
    }

    /// What happens with message `n`, and to which of so many devices.
    pub(super) fn at(&self, n: u64, devices: usize) -> Option<(usize, Fault)> {
        let n = n as i64;
        if devices == 0 || self.dice.at(n) >= self.chance {
            return None;
        }
        let which = self.dice.fork(1).at(n) * devices as f64;
        let messages = self
            .dice
            .fork(2)
            .between(n, AWAY_MESSAGES.0, AWAY_MESSAGES.1) as u64;
        let detail = self.dice.fork(3).at(n);
        let fault = match (self.dice.fork(4).at(n) * 10.0) as u32 {
            0 => Fault::Glitch,
            1 | 2 => Fault::Away { messages },
            3 | 4 => Fault::Restart {
                messages,
                resets: detail < 0.6,
            },
            _ => Fault::Odd(match (detail * 4.0) as u32 {
                0 => Oddity::NotANumber,
                1 => Oddity::Missing,
                2 => Oddity::WithUnit,
                _ => Oddity::Twice,
            }),
        };
        Some((which as usize, fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_happens_about_as_often_as_asked() {
        let faults = Faults::new(Dice::new(3), 5.0);
        let all: Vec<_> = (0..200_000).filter_map(|n| faults.at(n, 7)).collect();
        assert!((900..1_100).contains(&all.len()), "{}", all.len());
        let count = |test: fn(&Fault) -> bool| all.iter().filter(|(_, one)| test(one)).count();
        assert!(count(|one| matches!(one, Fault::Glitch)) > 50);
        assert!(count(|one| matches!(one, Fault::Away { .. })) > 100);
        assert!(count(|one| matches!(one, Fault::Restart { resets: true, .. })) > 60);
        assert!(count(|one| matches!(one, Fault::Odd(Oddity::Twice))) > 60);
        assert!(all.iter().all(|(device, _)| *device < 7));
        let calm = Faults::new(Dice::new(3), 0.0);
        assert!((0..10_000).all(|n| calm.at(n, 7).is_none()));
    }
}
