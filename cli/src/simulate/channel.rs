//! One topic of a simulated device: what it says at a given time, in the shape such devices use.

use super::appliance::Appliance;
use super::signal::{DAY_MS, Dice, HOUR_MS, SimTime, awake, daily, yearly};

const MINUTE_MS: i64 = 60_000;

/// How long one battery lasts in the model.
const BATTERY_LIFE_MS: i64 = 600 * DAY_MS;

/// How long a machine takes for one part.
const PART_MS: i64 = 7_500;

/// What one topic reports.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// `{"temperature":21.5,"humidity":40.2,"battery":97,"linkquality":112}`
    Climate { base_c: f64 },
    /// `21.5`, or `21.5 °C` where the device writes its unit.
    Temperature { base_c: f64, unit: bool },
    /// `8.4`, with the seasons and the weather in it.
    Outdoor,
    /// `40`, in whole percent.
    Humidity,
    /// `{"temperature":21.5,"target":21.0,"valve":35,"mode":"heat"}`
    Thermostat { base_c: f64 },
    /// `{"co2":640,"voc":118,"pm25":4}`
    Air,
    /// `56.3`: what these appliances draw together, in W.
    Power(Vec<Appliance>),
    /// `514.153`: what these appliances have counted together, in kWh.
    Energy(Vec<Appliance>),
    /// `{"ENERGY":{"Total":514.153,"Today":0.537,"Power":56,"Voltage":234}}`
    NestedPlug(Appliance),
    /// `{"state":"ON","power":56.3,"energy":514.153,"voltage":234}`
    FlatPlug(Appliance),
    /// `{"rpm":1480,"current":12.31,"vibration_x":0.112,…,"parts":48211}`
    Machine(Appliance),
    /// `4.812`: a fast analogue value around a base.
    Analogue { base: f64, swing: f64 },
    /// `on` or `off`: someone moves here.
    Motion,
    /// `on` while open, or `{"contact":false,"battery":88}` while open.
    Contact { json: bool },
    /// `locked` or `unlocked`.
    Lock,
    /// `on` or `off`, or `{"state":"ON","brightness":180}`.
    Light { json: bool },
}

impl Kind {
    /// The state of a channel that reports when it changes; `None` for one that reports in turn.
    pub(super) fn state(&self, dice: Dice, at: SimTime) -> Option<bool> {
        match self {
            Kind::Motion => Some(pulse(dice, at, 5 * MINUTE_MS, 0.6, (40, 200))),
            Kind::Contact { .. } => Some(pulse(dice, at, 25 * MINUTE_MS, 0.5, (5, 300))),
            Kind::Lock => Some(pulse(dice, at, 90 * MINUTE_MS, 0.5, (20, 900))),
            Kind::Light { .. } => Some(is_lit(dice, at)),
            _ => None,
        }
    }

    /// What the channel says at this time.
    pub(super) fn payload(&self, dice: Dice, at: SimTime) -> String {
        match self {
            Kind::Climate { base_c } => format!(
                r#"{{"temperature":{},"humidity":{},"battery":{},"linkquality":{}}}"#,
                tenths(indoor_c(dice, at, *base_c)),
                tenths(humidity(dice, at)),
                battery(dice, at),
                link_quality(dice, at)
            ),
            Kind::Temperature { base_c, unit } => {
                let value = tenths(indoor_c(dice, at, *base_c));
                if *unit { format!("{value} °C") } else { value }
            }
            Kind::Outdoor => tenths(outdoor_c(dice, at)),
            Kind::Humidity => format!("{:.0}", humidity(dice, at)),
            Kind::Thermostat { base_c } => thermostat(dice, at, *base_c),
            Kind::Air => air(dice, at),
            Kind::Power(all) => tenths(all.iter().map(|one| one.watts(at)).sum()),
            Kind::Energy(all) => {
                let total: f64 = all.iter().map(|one| one.total_kwh(at)).sum();
                format!("{total:.3}")
            }
            Kind::NestedPlug(one) => format!(
                r#"{{"ENERGY":{{"Total":{:.3},"Today":{:.3},"Power":{:.0},"Voltage":{:.0}}}}}"#,
                one.total_kwh(at),
                one.today_kwh(at),
                one.watts(at),
                volts(dice, at)
            ),
            Kind::FlatPlug(one) => format!(
                r#"{{"state":"{}","power":{},"energy":{:.3},"voltage":{:.0}}}"#,
                if one.is_running(at) { "ON" } else { "OFF" },
                tenths(one.watts(at)),
                one.total_kwh(at),
                volts(dice, at)
            ),
            Kind::Machine(one) => machine(dice, at, one),
            Kind::Analogue { base, swing } => {
                let slow = dice.drift(at, 20 * MINUTE_MS);
                let fast = 0.2 * dice.fork(1).drift(at, 700);
                format!("{:.3}", base + swing * (slow + fast))
            }
            _ => self.event(dice, at),
        }
    }

    fn event(&self, dice: Dice, at: SimTime) -> String {
        let on = self.state(dice, at).unwrap_or_default();
        match self {
            Kind::Contact { json: true } => {
                // A closed circuit reads `true`, so an open door is `false`.
                let closed = !on;
                format!(
                    r#"{{"contact":{closed},"battery":{},"linkquality":{}}}"#,
                    battery(dice, at),
                    link_quality(dice, at)
                )
            }
            Kind::Lock if on => "unlocked".to_owned(),
            Kind::Lock => "locked".to_owned(),
            Kind::Light { json: true } => {
                let brightness = if on {
                    dice.between(at.day().0, 60.0, 254.0)
                } else {
                    0.0
                };
                let state = if on { "ON" } else { "OFF" };
                format!(r#"{{"state":"{state}","brightness":{brightness:.0}}}"#)
            }
            _ if on => "on".to_owned(),
            _ => "off".to_owned(),
        }
    }
}

/// Sensors round to a tenth, and none of them says `-0.0`.
fn tenths(value: f64) -> String {
    let text = format!("{value:.1}");
    if text == "-0.0" {
        "0.0".to_owned()
    } else {
        text
    }
}

/// Around a base, with the sun, slow noise and a little fast noise.
pub(super) fn indoor_c(dice: Dice, at: SimTime, base_c: f64) -> f64 {
    base_c
        + 0.7 * daily(at, 17.0)
        + 0.6 * dice.drift(at, 5 * HOUR_MS)
        + 0.15 * dice.fork(1).drift(at, 4 * MINUTE_MS)
}

/// With the seasons and the weather in it.
pub(super) fn outdoor_c(dice: Dice, at: SimTime) -> f64 {
    9.5 + 9.0 * yearly(at)
        + 4.5 * daily(at, 15.0)
        + 3.5 * dice.drift(at, 2 * DAY_MS)
        + 0.3 * dice.fork(1).drift(at, 10 * MINUTE_MS)
}

/// In percent.
pub(super) fn humidity(dice: Dice, at: SimTime) -> f64 {
    let dice = dice.fork(2);
    let value = 46.0 - 4.0 * daily(at, 16.0) + 9.0 * dice.drift(at, 7 * HOUR_MS);
    (value + dice.fork(1).drift(at, 5 * MINUTE_MS)).clamp(5.0, 99.0)
}

/// What the mains has now.
pub(super) fn volts(dice: Dice, at: SimTime) -> f64 {
    232.0 + 4.0 * dice.fork(3).drift(at, 3 * MINUTE_MS)
}

/// Falls from 100 to 5 over one battery's life; then someone changes it.
pub(super) fn battery(dice: Dice, at: SimTime) -> i64 {
    let age_ms = at.0 + (dice.at(-3) * BATTERY_LIFE_MS as f64) as i64;
    100 - age_ms.rem_euclid(BATTERY_LIFE_MS) * 95 / BATTERY_LIFE_MS
}

/// From 0 to 255.
pub(super) fn link_quality(dice: Dice, at: SimTime) -> i64 {
    let dice = dice.fork(4);
    let base = dice.between(-1, 60.0, 200.0);
    (base + 12.0 * dice.drift(at, HOUR_MS) + 6.0 * dice.fork(1).drift(at, MINUTE_MS)) as i64
}

fn thermostat(dice: Dice, at: SimTime, base_c: f64) -> String {
    let target = if (6.0..22.5).contains(&at.hour()) {
        base_c
    } else {
        base_c - 3.5
    };
    let now = indoor_c(dice, at, base_c);
    let valve = ((target - now) * 40.0 + 20.0).clamp(0.0, 100.0);
    let mode = if valve > 0.0 { "heat" } else { "idle" };
    format!(
        r#"{{"temperature":{},"target":{},"valve":{valve:.0},"mode":"{mode}"}}"#,
        tenths(now),
        tenths(target)
    )
}

fn air(dice: Dice, at: SimTime) -> String {
    let people = 0.5 + 0.5 * dice.drift(at, HOUR_MS);
    let co2 = 430.0 + 700.0 * people * awake(at);
    let voc = 90.0 + 60.0 * dice.fork(1).drift(at, 2 * HOUR_MS);
    let dust = 6.0 + 5.0 * dice.fork(2).drift(at, 3 * HOUR_MS);
    format!(r#"{{"co2":{co2:.0},"voc":{voc:.0},"pm25":{dust:.0}}}"#)
}

fn machine(dice: Dice, at: SimTime, one: &Appliance) -> String {
    let running = one.is_running(at);
    let speed = if running { 1_480.0 } else { 0.0 };
    let shake = if running { 0.11 } else { 0.002 };
    let fast = |part| dice.fork(part).drift(at, 300);
    format!(
        concat!(
            r#"{{"rpm":{:.0},"current":{:.2},"vibration_x":{:.3},"vibration_y":{:.3},"#,
            r#""bearing":{:.1},"parts":{}}}"#
        ),
        speed * (1.0 + 0.01 * fast(1)),
        one.watts(at) / 400.0,
        shake * (1.0 + 0.4 * fast(2)),
        shake * (1.0 + 0.4 * fast(3)),
        48.0 + 9.0 * dice.fork(4).drift(at, HOUR_MS),
        one.running_ms(at) / PART_MS
    )
}

/// At most one on-time per slot: likely while the home is awake, at a random place in the slot.
fn pulse(dice: Dice, at: SimTime, slot_ms: i64, chance: f64, seconds: (u32, u32)) -> bool {
    let slot = at.0.div_euclid(slot_ms);
    if dice.at(slot) >= chance * awake(SimTime(slot * slot_ms)) {
        return false;
    }
    let shape = dice.fork(5);
    let on_ms = shape.between(2 * slot, f64::from(seconds.0), f64::from(seconds.1)) * 1_000.0;
    let free_ms = (slot_ms as f64 - on_ms).max(0.0);
    let start_ms = shape.at(2 * slot + 1) * free_ms;
    (start_ms..start_ms + on_ms).contains(&(at.0.rem_euclid(slot_ms) as f64))
}

/// Lit in the evening of most days, and on some winter mornings.
fn is_lit(dice: Dice, at: SimTime) -> bool {
    let (day, _) = at.day();
    let from = dice.between(4 * day, 16.5, 20.0);
    let until = dice.between(4 * day + 1, 20.5, 23.8);
    let morning = yearly(at) < 0.0 && dice.at(4 * day + 2) < 0.5;
    (from..until).contains(&at.hour()) || (morning && (6.4..7.8).contains(&at.hour()))
}
