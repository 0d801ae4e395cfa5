//! A machine behind a Sparkplug node: what it measures, and what can be set on it.

use super::proto::{DataType, Metric, MetricValue, PropertySet};
use crate::simulate::appliance::Appliance;
use crate::simulate::fault::Oddity;
use crate::simulate::meter::Meter;
use crate::simulate::signal::{Dice, HOUR_MS, SimTime};
use crate::simulate::values::round;

/// Aliases of one machine: those of the next begin so much higher.
pub(super) const ALIASES: u64 = 100;

/// How long a machine takes for one part.
const PART_MS: i64 = 7_500;
/// The fastest that it can be set to, in 1/min.
const SPEED_MAX: f64 = 3_000.0;

/// One metric, under its place in [`METRICS`].
struct Declared {
    name: &'static str,
    datatype: DataType,
    unit: &'static str,
}

const fn metric(name: &'static str, datatype: DataType, unit: &'static str) -> Declared {
    Declared {
        name,
        datatype,
        unit,
    }
}

const METRICS: [Declared; 10] = [
    metric("Drive/Speed", DataType::Double, "1/min"),
    metric("Drive/Current", DataType::Double, "A"),
    metric("Vibration/X", DataType::Double, "mm/s"),
    metric("Vibration/Y", DataType::Double, "mm/s"),
    metric("Bearing/Temperature", DataType::Double, "°C"),
    metric("Energy/Total", DataType::Double, "kWh"),
    metric("Counter/Parts", DataType::Int64, ""),
    metric("State", DataType::String, ""),
    metric(RUNNING, DataType::Boolean, ""),
    metric(SETPOINT, DataType::Double, "1/min"),
];

const RUNNING: &str = "Control/Running";
const SETPOINT: &str = "Control/Speed Setpoint";

/// What the fast reports tell: drive and vibration.
pub(super) const FAST: &[usize] = &[0, 1, 2, 3];
/// What is told now and then.
pub(super) const SLOW: &[usize] = &[4, 5, 6, 7];
/// What a command changes.
pub(super) const CONTROL: &[usize] = &[0, 7, 8, 9];

/// The model of one machine.
#[derive(Debug)]
pub(super) struct Model {
    meter: Meter,
    dice: Dice,
    setpoint: f64,
    /// Parts that were counted before the counter was last reset, and whether it reads zero.
    parts_before: i64,
    reads_zero: bool,
    alias_base: u64,
}

impl Model {
    /// Machine number `number` of its node.
    pub(super) fn new(number: u64, dice: Dice) -> Model {
        Model {
            meter: Meter::new(Appliance::machine(dice.fork(1))),
            dice,
            setpoint: 1_480.0,
            parts_before: 0,
            reads_zero: false,
            alias_base: (number + 1) * ALIASES,
        }
    }

    fn value(&self, place: usize, at: SimTime) -> MetricValue {
        let running = self.meter.is_running(at);
        let fast = |part| self.dice.fork(part).drift(at, 300);
        let shake = if running { 1.1 } else { 0.02 };
        match place {
            0 if running => MetricValue::Double(round(self.setpoint * (1.0 + 0.01 * fast(1)), 1)),
            0 => MetricValue::Double(0.0),
            1 => MetricValue::Double(round(self.meter.watts(at) / 400.0, 2)),
            2 => MetricValue::Double(round(shake * (1.0 + 0.4 * fast(2)), 3)),
            3 => MetricValue::Double(round(shake * (1.0 + 0.4 * fast(3)), 3)),
            4 => MetricValue::Double(round(48.0 + 9.0 * self.dice.fork(4).drift(at, HOUR_MS), 1)),
            5 => MetricValue::Double(round(self.meter.kwh(at), 3)),
            6 => MetricValue::Long(self.parts(at) as u64),
            7 => MetricValue::Text(if running { "RUNNING" } else { "IDLE" }.to_owned()),
            8 => MetricValue::Boolean(self.meter.is_on()),
            _ => MetricValue::Double(self.setpoint),
        }
    }

    fn parts(&self, at: SimTime) -> i64 {
        if self.reads_zero {
            return 0;
        }
        (self.meter.running_ms(at) / PART_MS - self.parts_before).max(0)
    }

    /// All metrics with their names, aliases, types and units.
    pub(super) fn birth(&self, at: SimTime) -> Vec<Metric> {
        let declare = |(place, declared): (usize, &Declared)| Metric {
            name: Some(declared.name.to_owned()),
            datatype: Some(declared.datatype as u32),
            properties: (!declared.unit.is_empty()).then(|| PropertySet::unit(declared.unit)),
            ..self.metric(place, at)
        };
        METRICS.iter().enumerate().map(declare).collect()
    }

    /// Some metrics under their aliases.
    pub(super) fn data(&self, places: &[usize], at: SimTime) -> Vec<Metric> {
        places.iter().map(|place| self.metric(*place, at)).collect()
    }

    fn metric(&self, place: usize, at: SimTime) -> Metric {
        Metric {
            alias: Some(self.alias_base + place as u64),
            timestamp: Some(at.0.max(0) as u64),
            value: Some(self.value(place, at)),
            ..Metric::default()
        }
    }

    /// Sets what a command names, by name or by alias. False if there is nothing like that to set.
    pub(super) fn write(&mut self, wanted: &Metric, at: SimTime) -> bool {
        let by_alias = wanted
            .alias
            .and_then(|alias| alias.checked_sub(self.alias_base))
            .and_then(|place| METRICS.get(usize::try_from(place).ok()?))
            .map(|declared| declared.name);
        let Some(name) = wanted.name.as_deref().or(by_alias) else {
            return false;
        };
        match (name, &wanted.value) {
            (RUNNING, Some(MetricValue::Boolean(on))) => self.meter.switch(*on, at),
            (SETPOINT, Some(value)) => {
                let speed = match value {
                    MetricValue::Double(speed) => *speed,
                    MetricValue::Float(speed) => f64::from(*speed),
                    MetricValue::Int(speed) => f64::from(*speed),
                    MetricValue::Long(speed) => *speed as f64,
                    _ => return false,
                };
                if !(0.0..=SPEED_MAX).contains(&speed) {
                    return false;
                }
                self.setpoint = speed;
            }
            _ => return false,
        }
        true
    }

    /// Its counters begin at zero.
    pub(super) fn reset(&mut self, at: SimTime) {
        self.meter.reset(at);
        self.parts_before = self.meter.running_ms(at) / PART_MS;
    }

    /// Its counters read zero, or right again.
    pub(super) fn read_zero(&mut self, zero: bool) {
        self.meter.read_zero(zero);
        self.reads_zero = zero;
    }
}

/// Spoils the first metric, as odd firmware does.
pub(super) fn spoil(metrics: &mut Vec<Metric>, odd: Option<Oddity>) {
    let Some(odd) = odd.filter(|_| !metrics.is_empty()) else {
        return;
    };
    let first = &mut metrics[0];
    match odd {
        Oddity::Twice => {}
        Oddity::Missing => drop(metrics.remove(0)),
        Oddity::NotANumber => {
            first.value = None;
            first.is_null = Some(true);
        }
        Oddity::WithUnit => {
            // A text where the birth has promised a number.
            first.datatype = Some(DataType::String as u32);
            first.value = Some(MetricValue::Text("23.4 °C".to_owned()));
        }
    }
}
