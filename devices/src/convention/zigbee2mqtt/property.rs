use crate::{convention::KeyMeaning, point::StateClass, unit};

/// Ends of property names that only say which part of a device they are of.
const ENDPOINTS: [&str; 27] = [
    "l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8", "1", "2", "3", "4", "5", "6", "7", "8", "left",
    "right", "center", "top", "bottom", "phase_a", "phase_b", "phase_c", "a", "b", "c",
];

/// What a number under a property's usual name is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Numeric {
    /// Home Assistant's device class.
    pub(super) class: Option<&'static str>,
    /// How its values belong together.
    pub(super) state_class: Option<StateClass>,
    /// Its unit, where all devices have the same.
    pub(super) unit: Option<&'static str>,
}

/// What a number of this name is. Units that differ between devices (volts of a plug, millivolts of a cell) are left to
/// what the device exposes.
pub(super) fn numeric(name: &str) -> Option<Numeric> {
    let (class, unit) = match name {
        "temperature"
        | "local_temperature"
        | "device_temperature"
        | "soil_temperature"
        | "external_temperature"
        | "cpu_temperature" => (Some("temperature"), Some("°C")),
        "occupied_heating_setpoint"
        | "unoccupied_heating_setpoint"
        | "current_heating_setpoint"
        | "occupied_cooling_setpoint" => (Some("temperature"), Some("°C")),
        "humidity" => (Some("humidity"), Some("%")),
        "soil_moisture" => (Some("moisture"), Some("%")),
        "battery" => (Some("battery"), Some("%")),
        "power" => (Some("power"), Some("W")),
        "power_apparent" => (Some("apparent_power"), Some("VA")),
        "power_reactive" => (Some("reactive_power"), Some("var")),
        "power_factor" => (Some("power_factor"), None),
        "current" | "current_neutral" => (Some("current"), Some("A")),
        "voltage" => (Some("voltage"), None),
        "ac_frequency" => (Some("frequency"), Some("Hz")),
        "energy" | "produced_energy" | "consumed_energy" | "energy_produced"
        | "energy_consumed" => (Some("energy"), Some("kWh")),
        "water_consumed" => (Some("water"), None),
        "flow" => (Some("volume_flow_rate"), None),
        "linkquality" => (None, Some("lqi")),
        // Without `_lux`, older devices count steps of their own.
        "illuminance" => (Some("illuminance"), None),
        "illuminance_lux" => (Some("illuminance"), Some("lx")),
        "pressure" => (Some("atmospheric_pressure"), None),
        "co2" | "eco2" => (Some("carbon_dioxide"), Some("ppm")),
        "co" => (Some("carbon_monoxide"), Some("ppm")),
        "voc_parts" => (Some("volatile_organic_compounds_parts"), None),
        "voc" => (Some("volatile_organic_compounds"), None),
        "pm1" => (Some("pm1"), Some("µg/m³")),
        "pm25" => (Some("pm25"), Some("µg/m³")),
        "pm10" => (Some("pm10"), Some("µg/m³")),
        "aqi" => (Some("aqi"), None),
        "noise" => (Some("sound_pressure"), None),
        "wind_speed" => (Some("wind_speed"), None),
        "distance" | "target_distance" => (Some("distance"), None),
        "pi_heating_demand" | "valve_position" => (None, Some("%")),
        _ => return None,
    };
    let counts = matches!(class, Some("energy" | "water"));
    let state_class = if counts {
        StateClass::TotalIncreasing
    } else {
        StateClass::Measurement
    };
    Some(Numeric {
        class,
        state_class: Some(state_class),
        unit,
    })
}

/// The class of a number that a device gives in this unit. A class was only guessed from a name, so the unit has the
/// last word.
pub(super) fn class_in(numeric: Numeric, unit: &str) -> Option<&'static str> {
    match numeric.class? {
        "volatile_organic_compounds" if matches!(unit, "ppb" | "ppm") => {
            Some("volatile_organic_compounds_parts")
        }
        class => unit::fits(class, unit).then_some(class),
    }
}

/// Home Assistant's class of a yes or no of this name.
///
/// `contact` has none: Home Assistant's doors and openings are on when they are open, and a contact is true
/// when it is closed. Its values stay what the device says.
pub(super) fn binary(name: &str) -> Option<&'static str> {
    Some(match name {
        "occupancy" => "occupancy",
        "presence" => "presence",
        "motion" => "motion",
        "water_leak" | "rain" => "moisture",
        "smoke" => "smoke",
        "gas" => "gas",
        "carbon_monoxide" => "carbon_monoxide",
        "vibration" => "vibration",
        "moving" => "moving",
        "tamper" => "tamper",
        "battery_low" => "battery",
        "noise_detected" => "sound",
        "window_open" => "window",
        "trouble" | "fault" => "problem",
        _ => return None,
    })
}

/// What a flattened key means that no device exposes.
pub(super) fn meaning(key: &str) -> Option<KeyMeaning> {
    let names = std::iter::once(key).chain(ENDPOINTS.iter().filter_map(|endpoint| {
        let name = key.strip_suffix(endpoint)?;
        name.strip_suffix('_')
    }));
    for name in names {
        if let Some(numeric) = numeric(name) {
            return Some(KeyMeaning {
                unit: numeric.unit,
                class: numeric.class,
                state_class: numeric.state_class,
                ..KeyMeaning::default()
            });
        }
        if let Some(class) = binary(name) {
            return Some(KeyMeaning {
                class: Some(class),
                ..KeyMeaning::default()
            });
        }
    }
    None
}
