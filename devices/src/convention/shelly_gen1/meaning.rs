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
        ["ext_temperature", _] => Some(measured("°C", "temperature")),
        ["ext_humidity", _] | ["hum", "value"] => Some(measured("%", "humidity")),
        ["adc", _] => Some(measured("V", "voltage")),
        ["bat", "value"] => Some(measured("%", "battery")),
        ["lux", "value"] => Some(measured("lx", "illuminance")),
        ["sensor", "state"] => Some(KeyMeaning {
            words: Some(Words::switch("open", "close")),
            ..state("opening")
        }),
        [.., last] => of_last(last),
        [] => None,
    }
}

fn of_last(last: &str) -> Option<KeyMeaning> {
    let meaning = match last {
        "power" | "overpower_value" => measured("W", "power"),
        "reactive_power" | "reactive" => measured("var", "reactive_power"),
        "voltage" => measured("V", "voltage"),
        "current" => measured("A", "current"),
        "pf" => KeyMeaning {
            class: Some("power_factor"),
            state_class: Some(StateClass::Measurement),
            ..KeyMeaning::default()
        },
        "temperature" | "tC" => measured("°C", "temperature"),
        "temperature_f" | "tF" => measured("°F", "temperature"),
        "humidity" => measured("%", "humidity"),
        "battery" | "bat" => measured("%", "battery"),
        "lux" => measured("lx", "illuminance"),
        "rssi" => measured("dBm", "signal_strength"),
        "uptime" => measured("s", "duration"),
        "concentration" => amount("ppm"),
        "tilt" => amount("°"),
        "pos" | "current_pos" | "brightness" | "gain" => amount("%"),
        "motion" => state("motion"),
        "flood" => state("moisture"),
        "smoke" => state("smoke"),
        "vibration" => state("vibration"),
        _ => return None,
    };
    Some(meaning)
}

fn measured(unit: &'static str, class: &'static str) -> KeyMeaning {
    KeyMeaning {
        class: Some(class),
        ..amount(unit)
    }
}

fn amount(unit: &'static str) -> KeyMeaning {
    KeyMeaning {
        unit: Some(unit),
        state_class: Some(StateClass::Measurement),
        ..KeyMeaning::default()
    }
}

fn state(class: &'static str) -> KeyMeaning {
    KeyMeaning {
        class: Some(class),
        ..KeyMeaning::default()
    }
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
