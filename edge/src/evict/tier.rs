use tarn_devices::{
    point::{Component, StateClass},
    registry::Feature,
};

/// What a reading is worth when not all can be kept, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Numbers that are measured again and again: temperature, power.
    Telemetry,
    /// Words and switches, which are told when they change.
    State,
    /// What a house is asked about afterwards: alarms, locks, contacts, leaks, smoke, and energy counters.
    Vital,
}

impl Tier {
    /// Every tier, lowest first.
    pub const ALL: [Tier; 3] = [Tier::Telemetry, Tier::State, Tier::Vital];

    /// Its name in events and figures.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Tier::Telemetry => "telemetry",
            Tier::State => "state",
            Tier::Vital => "vital",
        }
    }

    /// The tier of a reading of a series that is vital or not, by whether it has words.
    #[must_use]
    pub fn of(is_vital: bool, has_text: bool) -> Tier {
        match (is_vital, has_text) {
            (true, _) => Tier::Vital,
            (false, true) => Tier::State,
            (false, false) => Tier::Telemetry,
        }
    }
}

/// Home Assistant's device classes of what is vital.
const VITAL_CLASSES: &[&str] = &[
    "carbon_monoxide",
    "door",
    "energy",
    "garage_door",
    "gas",
    "lock",
    "moisture",
    "opening",
    "safety",
    "smoke",
    "tamper",
    "water",
    "window",
];

/// Words of metrics and of topics that say the same of a device that announces nothing.
const VITAL_WORDS: &[&str] = &[
    "alarm",
    "contact",
    "door",
    "fire",
    "flood",
    "garage",
    "gas",
    "gate",
    "intrusion",
    "leak",
    "lock",
    "panic",
    "safety",
    "siren",
    "smoke",
    "tamper",
    "window",
];

/// Units of counters.
const COUNTER_UNITS: &[&str] = &["Wh", "kWh", "MWh", "J", "kJ", "MJ", "GJ"];

/// Whether a series is vital: by what its device announced, else by its names and unit.
#[must_use]
pub fn is_vital(device: &str, metric: &str, unit: Option<&str>, known: Option<&Feature>) -> bool {
    let is_counter =
        metric.ends_with(".cumulative") || unit.is_some_and(|unit| COUNTER_UNITS.contains(&unit));
    if let Some(feature) = known {
        let of_class = feature.class.as_deref();
        return is_counter
            || matches!(feature.component, Component::Lock | Component::Siren)
            || feature.state_class == Some(StateClass::TotalIncreasing)
            || of_class.is_some_and(|class| VITAL_CLASSES.contains(&class));
    }
    // The temperature that a door's contact measures beside is no contact: a unit says so.
    let names = if unit.is_none() { device } else { "" };
    is_counter || has_vital_word(metric) || has_vital_word(names)
}

fn has_vital_word(name: &str) -> bool {
    let mut words = name.split(|c: char| !c.is_ascii_alphabetic());
    words.any(|word| {
        let is_it = |vital: &str| {
            let plural = word.strip_suffix(['s', 'S']).unwrap_or(word);
            word.eq_ignore_ascii_case(vital) || plural.eq_ignore_ascii_case(vital)
        };
        VITAL_WORDS.iter().any(|vital| is_it(vital))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_tell_what_is_vital() {
        let check = |device, metric, unit, vital| {
            assert_eq!(
                is_vital(device, metric, unit, None),
                vital,
                "{device} {metric}"
            );
        };
        check("home/kitchen", "temperature", Some("°C"), false);
        check("home/kitchen", "temperature", None, false);
        check("home/meter", "ENERGY.Total", Some("kWh"), true);
        check("home/meter", "power", Some("W"), false);
        check("home/meter", "pulses.cumulative", None, true);
        check("home/front-door", "state", None, true);
        check("home/front-door", "temperature", Some("°C"), false);
        check("home/hall", "smoke_alarm", None, true);
        check("home/hall", "Windows", None, true);
        check("home/clock", "blocked", None, false);
    }

    #[test]
    fn what_a_device_announced_says_more_than_its_names() {
        let mut point = tarn_devices::point::Point::new("x", Component::BinarySensor);
        point.class = Some("moisture".into());
        let check = |component, class: Option<&str>, state_class, vital| {
            let feature = Feature {
                metric: "window".into(),
                component,
                name: None,
                class: class.map(str::to_owned),
                unit: None,
                raw_unit: None,
                state_class,
                domain: tarn_devices::point::Domain::Any,
                write: None,
                is_read: true,
                scale: 1.0,
                words: None,
            };
            let found = is_vital("d", "window", None, Some(&feature));
            assert_eq!(found, vital, "{component:?} {class:?}");
        };
        check(Component::BinarySensor, Some("moisture"), None, true);
        check(Component::BinarySensor, Some("motion"), None, false);
        check(Component::Lock, None, None, true);
        check(Component::Sensor, Some("temperature"), None, false);
        let counter = Some(StateClass::TotalIncreasing);
        check(Component::Sensor, None, counter, true);
    }
}
