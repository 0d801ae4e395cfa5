//! The properties of every kind of thing: names and values as Zigbee2MQTT writes them.

use super::Kind;

/// One value that a thing tells, and perhaps takes.
#[derive(Debug, Clone, Copy)]
pub(in crate::simulate) struct Property {
    /// Its key in a report.
    pub(in crate::simulate) name: &'static str,
    /// Its unit, as Home Assistant writes it.
    pub(in crate::simulate) unit: Option<&'static str>,
    /// Its device class in Home Assistant.
    pub(in crate::simulate) class: Option<&'static str>,
    /// Which values there are.
    pub(in crate::simulate) domain: Domain,
    /// Whether a command can set it.
    pub(in crate::simulate) settable: bool,
}

/// Which values a property has.
#[derive(Debug, Clone, Copy)]
pub(in crate::simulate) enum Domain {
    /// A number within bounds.
    Number { min: f64, max: f64, step: f64 },
    /// One of two words.
    Switch { on: &'static str, off: &'static str },
    /// `true` or `false`.
    Flag,
    /// One of some words.
    OneOf(&'static [&'static str]),
}

const fn number(name: &'static str, unit: &'static str, class: &'static str) -> Property {
    Property {
        name,
        unit: Some(unit),
        class: if class.is_empty() { None } else { Some(class) },
        domain: Domain::Number {
            min: f64::MIN,
            max: f64::MAX,
            step: 0.1,
        },
        settable: false,
    }
}

const fn set_number(
    name: &'static str,
    unit: Option<&'static str>,
    (min, max, step): (f64, f64, f64),
) -> Property {
    Property {
        name,
        unit,
        class: None,
        domain: Domain::Number { min, max, step },
        settable: true,
    }
}

const fn flag(name: &'static str, class: &'static str) -> Property {
    Property {
        name,
        unit: None,
        class: Some(class),
        domain: Domain::Flag,
        settable: false,
    }
}

const fn switch(on: &'static str, off: &'static str) -> Property {
    Property {
        name: "state",
        unit: None,
        class: None,
        domain: Domain::Switch { on, off },
        settable: true,
    }
}

const fn one_of(name: &'static str, words: &'static [&'static str]) -> Property {
    Property {
        name,
        unit: None,
        class: None,
        domain: Domain::OneOf(words),
        settable: true,
    }
}

const BATTERY: Property = number("battery", "%", "battery");

/// The properties of one kind, in the order in which they are told.
pub(super) fn of(kind: Kind) -> &'static [Property] {
    match kind {
        Kind::Climate => {
            const {
                &[
                    number("temperature", "°C", "temperature"),
                    number("humidity", "%", "humidity"),
                    BATTERY,
                ]
            }
        }
        Kind::Motion => const { &[flag("occupancy", "occupancy"), BATTERY] },
        Kind::Contact => const { &[flag("contact", "door"), BATTERY] },
        Kind::Bulb => {
            const {
                &[
                    switch("ON", "OFF"),
                    set_number("brightness", None, (0.0, 254.0, 1.0)),
                ]
            }
        }
        Kind::Plug => {
            const {
                &[
                    switch("ON", "OFF"),
                    number("power", "W", "power"),
                    number("energy", "kWh", "energy"),
                    number("voltage", "V", "voltage"),
                ]
            }
        }
        Kind::Lock => const { &[switch("UNLOCK", "LOCK"), BATTERY] },
        Kind::Cover => {
            const {
                &[
                    switch("OPEN", "CLOSE"),
                    set_number("position", Some("%"), (0.0, 100.0, 1.0)),
                ]
            }
        }
        Kind::Thermostat => {
            const {
                &[
                    number("local_temperature", "°C", "temperature"),
                    set_number("occupied_heating_setpoint", Some("°C"), (5.0, 30.0, 0.5)),
                    one_of("system_mode", &["off", "heat", "auto"]),
                    number("pi_heating_demand", "%", ""),
                ]
            }
        }
        Kind::Fan => {
            const {
                &[
                    switch("ON", "OFF"),
                    set_number("speed", Some("%"), (0.0, 100.0, 1.0)),
                    one_of("preset", &["auto", "sleep", "boost"]),
                ]
            }
        }
        Kind::Air => {
            const {
                &[
                    number("co2", "ppm", "carbon_dioxide"),
                    number("voc", "ppb", "volatile_organic_compounds_parts"),
                    number("pm25", "µg/m³", "pm25"),
                ]
            }
        }
        Kind::Ventilation => {
            const {
                &[
                    number("supply_temperature", "°C", "temperature"),
                    number("flow", "m³/h", "volume_flow_rate"),
                    set_number("target_flow", Some("m³/h"), (50.0, 300.0, 10.0)),
                    one_of("mode", &["off", "auto", "boost"]),
                ]
            }
        }
    }
}
