//! Appliances: what they draw now, and what their counter has counted.
//!
//! When an appliance runs is chosen so that the time it has run has a closed form. The counter is
//! therefore a pure function of time, as everything in the model, and still can never fall.

use super::signal::{DAY_MS, Dice, HOUR_MS, SimTime};

/// When every counter stood at zero: 2024-01-01.
const COUNTER_ZERO: SimTime = SimTime(1_704_067_200_000);

/// Watt-milliseconds in one kilowatt-hour.
const WATT_MS_PER_KWH: f64 = 3.6e9;

/// One consumer of power.
#[derive(Debug, Clone, Copy)]
pub(super) struct Appliance {
    pattern: Pattern,
    running_watts: u32,
    idle_watts: u32,
    dice: Dice,
}

#[derive(Debug, Clone, Copy)]
enum Pattern {
    /// On for `on_ms` of each `period_ms`, day and night, as a compressor is.
    Cycle { period_ms: i64, on_ms: i64 },
    /// `runs` times between two hours of each day, for `run_ms` each, as a kettle is. Each run has
    /// its own slot, so that runs never overlap or cross midnight.
    Daily {
        runs: i64,
        run_ms: i64,
        from_ms: i64,
        until_ms: i64,
    },
}

impl Appliance {
    /// A compressor that runs a third of the time.
    pub(super) fn fridge(dice: Dice) -> Appliance {
        let period_ms = dice.between(-1, 35.0, 55.0) as i64 * 60_000;
        let pattern = Pattern::Cycle {
            period_ms,
            on_ms: period_ms / 3,
        };
        Appliance::new(pattern, dice.between(-2, 70.0, 110.0) as u32, 1, dice)
    }

    /// Short high spikes.
    pub(super) fn kettle(dice: Dice) -> Appliance {
        Appliance::daily(dice, 6, 150_000, (6, 23), (2_050, 0))
    }

    /// One long run a day.
    pub(super) fn washer(dice: Dice) -> Appliance {
        Appliance::daily(dice, 1, 95 * 60_000, (8, 21), (480, 1))
    }

    /// Whatever is small and switched by hand: lamps, screens.
    pub(super) fn small(dice: Dice) -> Appliance {
        let watts = dice.between(-1, 25.0, 160.0) as u32;
        Appliance::daily(dice, 3, 70 * 60_000, (7, 24), (watts, 2))
    }

    /// A machine that works most of every hour.
    pub(super) fn machine(dice: Dice) -> Appliance {
        let watts = dice.between(-1, 2_000.0, 9_000.0) as u32;
        Appliance::daily(dice, 24, 48 * 60_000, (0, 24), (watts, 180))
    }

    fn daily(
        dice: Dice,
        runs: i64,
        run_ms: i64,
        hours: (i64, i64),
        watts: (u32, u32),
    ) -> Appliance {
        let pattern = Pattern::Daily {
            runs,
            run_ms,
            from_ms: hours.0 * HOUR_MS,
            until_ms: hours.1 * HOUR_MS,
        };
        Appliance::new(pattern, watts.0, watts.1, dice)
    }

    fn new(pattern: Pattern, running_watts: u32, idle_watts: u32, dice: Dice) -> Appliance {
        Appliance {
            pattern,
            running_watts,
            idle_watts,
            dice,
        }
    }

    /// Whether it runs at this moment.
    pub(super) fn is_running(&self, at: SimTime) -> bool {
        match self.pattern {
            Pattern::Cycle { period_ms, on_ms } => at.0.rem_euclid(period_ms) < on_ms,
            Pattern::Daily { runs, run_ms, .. } => {
                let (day, since) = at.day();
                (0..runs).any(|run| {
                    let start = self.start_ms(day, run);
                    (start..start + run_ms).contains(&since)
                })
            }
        }
    }

    /// What it draws now, with a little noise while it runs, as a meter would show it.
    pub(super) fn watts(&self, at: SimTime) -> f64 {
        if self.is_running(at) {
            let noise = 0.02 * self.dice.drift(at, 5_000);
            f64::from(self.running_watts) * (1.0 + noise)
        } else {
            f64::from(self.idle_watts)
        }
    }

    /// What its counter shows, in kWh. It never falls.
    pub(super) fn total_kwh(&self, at: SimTime) -> f64 {
        let whole_ms = (at.0 - COUNTER_ZERO.0).max(0) as f64;
        let running_ms = self.running_ms(at) as f64;
        let idle = f64::from(self.idle_watts);
        let extra = f64::from(self.running_watts) - idle;
        (whole_ms * idle + running_ms * extra) / WATT_MS_PER_KWH
    }

    /// What it has counted since midnight, in kWh.
    pub(super) fn today_kwh(&self, at: SimTime) -> f64 {
        let midnight = SimTime(at.0 - at.day().1);
        self.total_kwh(at) - self.total_kwh(midnight)
    }

    /// How long it has run since its counter stood at zero.
    pub(super) fn running_ms(&self, at: SimTime) -> i64 {
        (self.run_before(at) - self.run_before(COUNTER_ZERO)).max(0)
    }

    /// Running time from 1970 to `at`: the whole periods by multiplication, then the last one.
    fn run_before(&self, at: SimTime) -> i64 {
        match self.pattern {
            Pattern::Cycle { period_ms, on_ms } => {
                at.0.div_euclid(period_ms) * on_ms + at.0.rem_euclid(period_ms).min(on_ms)
            }
            Pattern::Daily { runs, run_ms, .. } => {
                let (day, since) = at.day();
                let today: i64 = (0..runs)
                    .map(|run| (since - self.start_ms(day, run)).clamp(0, run_ms))
                    .sum();
                day * runs * run_ms + today
            }
        }
    }

    /// When one run of one day starts, in milliseconds after midnight.
    fn start_ms(&self, day: i64, run: i64) -> i64 {
        match self.pattern {
            Pattern::Cycle { .. } => 0,
            Pattern::Daily {
                runs,
                run_ms,
                from_ms,
                until_ms,
            } => {
                let slot_ms = (until_ms.min(DAY_MS) - from_ms) / runs;
                let free_ms = (slot_ms - run_ms).max(0) as f64;
                let offset = self.dice.at(day * 64 + run) * free_ms;
                from_ms + run * slot_ms + offset as i64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(appliance: Appliance) {
        let start = 1_767_225_600_000;
        let mut before = 0.0;
        let mut ran = 0;
        for minute in 0..5_000 {
            let at = SimTime(start + minute * 60_000);
            let total = appliance.total_kwh(at);
            assert!(total >= before, "fell at minute {minute}");
            assert!(appliance.today_kwh(at) >= 0.0);
            ran += i64::from(appliance.is_running(at));
            before = total;
        }
        let counted = appliance.running_ms(SimTime(start + 5_000 * 60_000))
            - appliance.running_ms(SimTime(start));
        let difference = (counted / 60_000 - ran).abs();
        assert!(difference < 60, "counted {counted} ms, saw {ran} minutes");
    }

    #[test]
    fn counters_never_fall_and_agree_with_what_runs() {
        let dice = Dice::new(11);
        check(Appliance::fridge(dice));
        check(Appliance::kettle(dice));
        check(Appliance::washer(dice));
        check(Appliance::small(dice));
        check(Appliance::machine(dice));
    }
}
