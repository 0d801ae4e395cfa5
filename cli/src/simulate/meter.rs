//! An energy meter on one appliance: it can be switched off, set back to zero, and misread.

use super::appliance::Appliance;
use super::signal::SimTime;

/// A relay with a meter behind it.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    appliance: Appliance,
    /// What the appliance would have counted, and this meter did not.
    missed_kwh: f64,
    off_since: Option<SimTime>,
    reads_zero: bool,
}

impl Meter {
    /// A meter that has counted from the beginning and is switched on.
    pub(super) fn new(appliance: Appliance) -> Meter {
        Meter {
            appliance,
            missed_kwh: 0.0,
            off_since: None,
            reads_zero: false,
        }
    }

    /// Whether its relay is closed.
    pub(super) fn is_on(&self) -> bool {
        self.off_since.is_none()
    }

    /// Opens or closes the relay. What is off draws nothing and counts nothing.
    pub(super) fn switch(&mut self, on: bool, at: SimTime) {
        match (self.off_since, on) {
            (None, false) => self.off_since = Some(at),
            (Some(since), true) => {
                self.missed_kwh += self.appliance.total_kwh(at) - self.appliance.total_kwh(since);
                self.off_since = None;
            }
            _ => {}
        }
    }

    /// What it draws now, in W.
    pub(super) fn watts(&self, at: SimTime) -> f64 {
        if self.is_on() {
            self.appliance.watts(at)
        } else {
            0.0
        }
    }

    /// What its counter shows, in kWh.
    pub(super) fn kwh(&self, at: SimTime) -> f64 {
        if self.reads_zero {
            return 0.0;
        }
        let until = self.off_since.unwrap_or(at);
        (self.appliance.total_kwh(until) - self.missed_kwh).max(0.0)
    }

    /// What its counter has gained since midnight, in kWh.
    pub(super) fn today_kwh(&self, at: SimTime) -> f64 {
        self.appliance.today_kwh(at).min(self.kwh(at))
    }

    /// How long the appliance has run, in milliseconds.
    pub(super) fn running_ms(&self, at: SimTime) -> i64 {
        self.appliance.running_ms(at)
    }

    /// Whether the appliance works at this moment.
    pub(super) fn is_running(&self, at: SimTime) -> bool {
        self.is_on() && self.appliance.is_running(at)
    }

    /// The counter begins at zero, as after a loss of power.
    pub(super) fn reset(&mut self, at: SimTime) {
        let until = self.off_since.unwrap_or(at);
        self.missed_kwh = self.appliance.total_kwh(until);
    }

    /// Whether the counter reads zero although it is not: the glitch of some firmware.
    pub(super) fn read_zero(&mut self, zero: bool) {
        self.reads_zero = zero;
    }
}

#[cfg(test)]
mod tests {
    use super::super::signal::{DAY_MS, Dice};
    use super::*;

    #[test]
    fn it_counts_only_while_it_is_on_and_from_its_last_reset() {
        let day = |day: i64| SimTime((20_500 + day) * DAY_MS);
        let mut meter = Meter::new(Appliance::fridge(Dice::new(1)));
        let before = meter.kwh(day(0));
        assert!(before > 0.0 && meter.kwh(day(1)) > before);
        meter.switch(false, day(1));
        assert_eq!(meter.kwh(day(5)), meter.kwh(day(1)));
        assert_eq!(meter.watts(day(5)), 0.0);
        let held = meter.kwh(day(5));
        meter.switch(true, day(5));
        assert!((meter.kwh(day(5)) - held).abs() < 1e-9);
        meter.read_zero(true);
        assert_eq!(meter.kwh(day(6)), 0.0);
        meter.read_zero(false);
        assert!(meter.kwh(day(6)) > held);
        meter.reset(day(6));
        assert_eq!(meter.kwh(day(6)), 0.0);
        assert!(meter.kwh(day(7)) > 0.0 && meter.kwh(day(7)) < held);
    }
}
