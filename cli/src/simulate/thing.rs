//! What a device is, whatever it speaks: a lamp, a lock, a thermostat, with its properties.
//!
//! Home Assistant, Zigbee2MQTT and ESPHome put the same things into different words, so the things
//! stand here once: what they can tell, what can be set, and what they tell at a given time.

/// The table of properties.
mod property;

use super::appliance::Appliance;
use super::channel::{self, indoor_c};
use super::meter::Meter;
use super::signal::{Dice, HOUR_MS, SimTime, awake};
use super::values::{Value, Values};

pub(super) use property::{Domain, Property};

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Temperature and humidity.
    Climate,
    /// Someone moves.
    Motion,
    /// A door or a window.
    Contact,
    /// A lamp that can be dimmed.
    Bulb,
    /// A socket that switches and meters.
    Plug,
    /// A door lock.
    Lock,
    /// A blind or a garage door.
    Cover,
    /// A radiator or heat pump with a set point.
    Thermostat,
    /// A fan with speeds and programmes.
    Fan,
    /// What is in the air.
    Air,
    /// Ventilation with a number and a programme to set.
    Ventilation,
}

/// One thing, with what people have set on it.
#[derive(Debug, Clone)]
pub(super) struct Thing {
    kind: Kind,
    dice: Dice,
    meter: Option<Meter>,
    /// What was last commanded, and what the schedule said then: a hand holds until the schedule
    /// changes its mind.
    manual: Option<(bool, bool)>,
    number: f64,
    choice: &'static str,
}

impl Thing {
    /// A thing as it comes out of its box.
    pub(super) fn new(kind: Kind, dice: Dice) -> Thing {
        let (number, choice) = match kind {
            Kind::Bulb => (180.0, ""),
            Kind::Cover => (100.0, ""),
            Kind::Thermostat => (21.0, "heat"),
            Kind::Fan => (60.0, "auto"),
            Kind::Ventilation => (150.0, "auto"),
            _ => (0.0, ""),
        };
        let meter = (kind == Kind::Plug).then(|| Meter::new(Appliance::small(dice.fork(40))));
        Thing {
            kind,
            dice,
            meter,
            manual: None,
            number,
            choice,
        }
    }

    /// What it is.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// What it can tell and be told.
    pub(super) fn properties(&self) -> &'static [Property] {
        property::of(self.kind)
    }

    /// Its meter, if it has one.
    pub(super) fn meter(&mut self) -> Option<&mut Meter> {
        self.meter.as_mut()
    }

    /// Whether it speaks when something happens, and not in turn.
    pub(super) fn tells_changes(&self) -> bool {
        use Kind::{Bulb, Contact, Cover, Fan, Lock, Motion};
        matches!(self.kind, Bulb | Contact | Cover | Fan | Lock | Motion)
    }

    /// Whether it is on, open, unlocked or moved at this moment.
    pub(super) fn is_on(&self, at: SimTime) -> bool {
        if let Some(meter) = &self.meter {
            return meter.is_on();
        }
        let scheduled = self.schedule(at);
        match self.manual {
            Some((wanted, before)) if before == scheduled => wanted,
            _ => scheduled,
        }
    }

    fn schedule(&self, at: SimTime) -> bool {
        let model = match self.kind {
            Kind::Motion => channel::Kind::Motion,
            Kind::Contact => channel::Kind::Contact { json: true },
            Kind::Lock => channel::Kind::Lock,
            Kind::Bulb => channel::Kind::Light { json: true },
            Kind::Cover => return (7.0..20.5).contains(&at.hour()),
            Kind::Fan => return awake(at) > 0.3,
            _ => return true,
        };
        model.state(self.dice, at).unwrap_or_default()
    }

    /// What it tells at this moment, in the order of its properties.
    pub(super) fn read(&self, at: SimTime) -> Values {
        let (dice, on) = (self.dice, self.is_on(at));
        let mut values = Values::new();
        match self.kind {
            Kind::Climate => {
                values.number("temperature", indoor_c(dice, at, 20.5), 1);
                values.number("humidity", channel::humidity(dice, at), 1);
            }
            Kind::Motion => values.add("occupancy", Value::Flag(on)),
            // A closed circuit reads `true`, so an open door is `false`.
            Kind::Contact => values.add("contact", Value::Flag(!on)),
            Kind::Bulb => {
                values.add("state", switched(on));
                values.whole("brightness", self.number);
            }
            Kind::Plug => self.read_plug(at, &mut values),
            Kind::Lock => values.add("state", Value::Word(if on { "UNLOCK" } else { "LOCK" })),
            Kind::Cover => {
                let open = if on { "OPEN" } else { "CLOSE" };
                values.add("state", Value::Word(open));
                values.whole("position", if on { self.number } else { 0.0 });
            }
            Kind::Thermostat => self.read_thermostat(at, &mut values),
            Kind::Fan => {
                values.add("state", switched(on));
                values.whole("speed", if on { self.number } else { 0.0 });
                values.add("preset", Value::Word(self.choice));
            }
            Kind::Air => self.read_air(at, &mut values),
            Kind::Ventilation => {
                let flow = self.number + 4.0 * dice.drift(at, 60_000);
                values.number("supply_temperature", indoor_c(dice, at, 19.0), 1);
                values.number("flow", flow, 1);
                values.whole("target_flow", self.number);
                values.add("mode", Value::Word(self.choice));
            }
        }
        if self.properties().iter().any(|own| own.name == "battery") {
            values.add("battery", Value::Whole(channel::battery(dice, at)));
        }
        values
    }

    fn read_plug(&self, at: SimTime, values: &mut Values) {
        let Some(meter) = &self.meter else {
            return;
        };
        values.add("state", switched(meter.is_on()));
        values.number("power", meter.watts(at), 1);
        values.number("energy", meter.kwh(at), 3);
        values.number("voltage", channel::volts(self.dice, at), 1);
    }

    fn read_thermostat(&self, at: SimTime, values: &mut Values) {
        let now = indoor_c(self.dice, at, 20.8);
        let demand = match self.choice {
            "off" => 0.0,
            _ => ((self.number - now) * 40.0 + 20.0).clamp(0.0, 100.0),
        };
        values.number("local_temperature", now, 1);
        values.number("occupied_heating_setpoint", self.number, 1);
        values.add("system_mode", Value::Word(self.choice));
        values.whole("pi_heating_demand", demand);
    }

    fn read_air(&self, at: SimTime, values: &mut Values) {
        let people = 0.5 + 0.5 * self.dice.drift(at, HOUR_MS);
        values.whole("co2", 430.0 + 700.0 * people * awake(at));
        values.whole(
            "voc",
            90.0 + 60.0 * self.dice.fork(1).drift(at, 2 * HOUR_MS),
        );
        values.whole("pm25", 6.0 + 5.0 * self.dice.fork(2).drift(at, 3 * HOUR_MS));
    }

    /// Sets one property as a command says. False if it cannot be set so: a device then stays as it is.
    pub(super) fn write(&mut self, name: &str, text: &str, at: SimTime) -> bool {
        let mut properties = self.properties().iter();
        let Some(property) = properties.find(|own| own.name == name && own.settable) else {
            return false;
        };
        match property.domain {
            Domain::Switch { on, off } => match switch_word(text, on, off, self.is_on(at)) {
                Some(wanted) => self.switch(wanted, at),
                None => return false,
            },
            Domain::Number { min, max, .. } => match text.parse::<f64>() {
                Ok(number) if (min..=max).contains(&number) => self.set_number(number, at),
                _ => return false,
            },
            Domain::OneOf(words) => match words.iter().find(|own| **own == text) {
                Some(word) => self.choice = word,
                None => return false,
            },
            Domain::Flag => return false,
        }
        true
    }

    fn switch(&mut self, on: bool, at: SimTime) {
        if let Some(meter) = &mut self.meter {
            meter.switch(on, at);
        }
        self.manual = Some((on, self.schedule(at)));
        if self.kind == Kind::Cover && on {
            self.number = 100.0;
        }
    }

    fn set_number(&mut self, number: f64, at: SimTime) {
        // Lamps, covers and fans go off at zero and on above it.
        if matches!(self.kind, Kind::Bulb | Kind::Cover | Kind::Fan) {
            self.switch(number > 0.0, at);
        }
        if number > 0.0 || self.kind == Kind::Thermostat {
            self.number = number;
        }
    }
}

fn switched(on: bool) -> Value {
    Value::Word(if on { "ON" } else { "OFF" })
}

/// What a word means for a switch that knows two of its own.
pub(super) fn switch_word(text: &str, on: &str, off: &str, now: bool) -> Option<bool> {
    if text.eq_ignore_ascii_case("toggle") {
        Some(!now)
    } else if text.eq_ignore_ascii_case(on) {
        Some(true)
    } else if text.eq_ignore_ascii_case(off) {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noon of 2026-03-01.
    const NOON: SimTime = SimTime(1_772_323_200_000 + 12 * HOUR_MS);

    const ALL: [Kind; 11] = [
        Kind::Climate,
        Kind::Motion,
        Kind::Contact,
        Kind::Bulb,
        Kind::Plug,
        Kind::Lock,
        Kind::Cover,
        Kind::Thermostat,
        Kind::Fan,
        Kind::Air,
        Kind::Ventilation,
    ];

    #[test]
    fn every_thing_tells_its_properties_and_no_others() {
        for kind in ALL {
            let thing = Thing::new(kind, Dice::new(4));
            let values = thing.read(NOON);
            let told: Vec<&str> = values.iter().map(|(name, _)| name).collect();
            let known: Vec<&str> = thing.properties().iter().map(|own| own.name).collect();
            assert_eq!(told, known, "{kind:?}");
        }
    }

    #[test]
    fn what_is_set_is_told_and_what_cannot_be_set_is_left() {
        let cases: [(Kind, &str, &str, &str); 9] = [
            (Kind::Bulb, "brightness", "33", "33"),
            (Kind::Bulb, "state", "on", "ON"),
            (Kind::Plug, "state", "OFF", "OFF"),
            (Kind::Lock, "state", "UNLOCK", "UNLOCK"),
            (Kind::Cover, "position", "40", "40"),
            (Kind::Cover, "state", "CLOSE", "CLOSE"),
            (
                Kind::Thermostat,
                "occupied_heating_setpoint",
                "17.5",
                "17.5",
            ),
            (Kind::Fan, "preset", "sleep", "sleep"),
            (Kind::Ventilation, "target_flow", "220", "220"),
        ];
        for (kind, name, text, told) in cases {
            let mut thing = Thing::new(kind, Dice::new(4));
            assert!(thing.write(name, text, NOON), "{kind:?} {name}");
            let value = thing.read(NOON).get(name).map(Value::to_string);
            assert_eq!(value.as_deref(), Some(told), "{kind:?} {name}");
        }
        let mut thermostat = Thing::new(Kind::Thermostat, Dice::new(4));
        let before = thermostat.read(NOON);
        assert!(!thermostat.write("occupied_heating_setpoint", "99", NOON));
        assert!(!thermostat.write("system_mode", "party", NOON));
        assert!(!thermostat.write("local_temperature", "20", NOON));
        assert_eq!(thermostat.read(NOON), before);
    }

    #[test]
    fn a_hand_holds_until_the_schedule_changes() {
        let mut blind = Thing::new(Kind::Cover, Dice::new(4));
        assert!(blind.is_on(NOON));
        assert!(blind.write("state", "TOGGLE", NOON));
        assert!(!blind.is_on(SimTime(NOON.0 + HOUR_MS)));
        // The evening closes what is closed already; the next morning opens it.
        assert!(!blind.is_on(SimTime(NOON.0 + 10 * HOUR_MS)));
    }
}
