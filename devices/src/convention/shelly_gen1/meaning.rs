use crate::{
    convention::KeyMeaning,
    point::{StateClass, Words},
};

/// Watt-minutes in a watt-hour, the other way round.
const WATT_MINUTE_WH: f64 = 1.0 / 60.0;

/// What a metric means, told by its last part and by the component that it is of.
pub(super) fn of(key: &str) -> Option<KeyMeaning> {
    let parts: Vec<&str> = key.split('.').collect();
    match parts[..] {
        ["emeter" | "emeters", _, "total" | "total_returned"] => Some(counter(1.0)),
        ["meters", _, "total"] | [.., "energy" | "returned_energy"] => {
            Some(counter(WATT_MINUTE_WH))
        }
        ["ext_temperature", _] => Some(KeyMeaning::measured("°C", "temperature")),
        ["ext_humidity", _] | ["hum", "value"] => Some(KeyMeaning::measured("%", "humidity")),
        ["adc", _] => Some(KeyMeaning::measured("V", "voltage")),
        ["bat", "value"] => Some(KeyMeaning::measured("%", "battery")),
        ["lux", "value"] => Some(KeyMeaning::measured("lx", "illuminance")),
        ["sensor", "state"] => Some(KeyMeaning {
            words: Some(Words::switch("open", "close")),
            ..KeyMeaning::state("opening")
        }),
        [.., last] => of_last(last),
        [] => None,
    }
}

fn of_last(last: &str) -> Option<KeyMeaning> {
    let meaning = match last {
        "power" | "overpower_value" => KeyMeaning::measured("W", "power"),
        "reactive_power" | "reactive" => KeyMeaning::measured("var", "reactive_power"),
        "voltage" => KeyMeaning::measured("V", "voltage"),
        "current" => KeyMeaning::measured("A", "current"),
        "pf" => KeyMeaning {
            class: Some("power_factor"),
            state_class: Some(StateClass::Measurement),
            ..KeyMeaning::default()
        },
        "temperature" | "tC" => KeyMeaning::measured("°C", "temperature"),
        "temperature_f" | "tF" => KeyMeaning::measured("°F", "temperature"),
        "humidity" => KeyMeaning::measured("%", "humidity"),
        "battery" | "bat" => KeyMeaning::measured("%", "battery"),
        "lux" => KeyMeaning::measured("lx", "illuminance"),
        "rssi" => KeyMeaning::measured("dBm", "signal_strength"),
        "uptime" => KeyMeaning::measured("s", "duration"),
        "concentration" => KeyMeaning::amount("ppm"),
        "tilt" => KeyMeaning::amount("°"),
        "pos" | "current_pos" | "brightness" | "gain" => KeyMeaning::amount("%"),
        "motion" => KeyMeaning::state("motion"),
        "flood" => KeyMeaning::state("moisture"),
        "smoke" => KeyMeaning::state("smoke"),
        "vibration" => KeyMeaning::state("vibration"),
        _ => return None,
    };
    Some(meaning)
}

/// Energy that only grows, until the device restarts; its relays count it in watt-minutes.
fn counter(scale: f64) -> KeyMeaning {
    let raw_unit = if scale == 1.0 { None } else { Some("W.min") };
    KeyMeaning {
        unit: Some("Wh"),
        raw_unit,
        class: Some("energy"),
        state_class: Some(StateClass::TotalIncreasing),
        scale,
        words: None,
    }
}
