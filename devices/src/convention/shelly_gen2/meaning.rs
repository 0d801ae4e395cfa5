use crate::{convention::KeyMeaning, point::StateClass};

/// Phases and sums that a three-phase meter puts before its keys.
const PHASES: [&str; 5] = ["a_", "b_", "c_", "n_", "total_"];

/// Milliwatt-hours in a watt-hour, the other way round.
const MILLIWATT_HOUR_WH: f64 = 1.0 / 1000.0;

/// What a metric means: `<component>.<key>`, where the component's kind stands before its colon.
pub(super) fn of(metric: &str) -> Option<KeyMeaning> {
    let (component, key) = metric.split_once('.')?;
    let kind = component
        .split_once(':')
        .map_or(component, |(kind, _)| kind);
    of_component(kind, key)
        .or_else(|| of_energy(kind, key))
        .or_else(|| of_key(key))
}

/// Keys that mean something only in their component.
fn of_component(kind: &str, key: &str) -> Option<KeyMeaning> {
    let meaning = match (kind, key) {
        ("wifi", "rssi") | ("blutrv" | "bthomedevice", "rssi") => {
            KeyMeaning::measured("dBm", "signal_strength")
        }
        ("sys", "uptime") => KeyMeaning::measured("s", "duration"),
        ("sys", "ram_size" | "ram_free" | "ram_min_free" | "fs_size" | "fs_free") => {
            KeyMeaning::measured("B", "data_size")
        }
        ("humidity", "rh") => KeyMeaning::measured("%", "humidity"),
        ("illuminance", "lux") => KeyMeaning::measured("lx", "illuminance"),
        ("devicepower", "battery.V") | ("devicepower", "external.V") => {
            KeyMeaning::measured("V", "voltage")
        }
        ("devicepower", "battery.percent") | ("blutrv" | "bthomedevice", "battery") => {
            KeyMeaning::measured("%", "battery")
        }
        ("input", "percent") | ("blutrv", "pos") => KeyMeaning::amount("%"),
        ("thermostat" | "blutrv", "target_C" | "current_C") => {
            KeyMeaning::measured("°C", "temperature")
        }
        ("thermostat" | "blutrv", "target_F" | "current_F") => {
            KeyMeaning::measured("°F", "temperature")
        }
        ("flood", "alarm") => KeyMeaning::state("moisture"),
        ("smoke", "alarm") => KeyMeaning::state("smoke"),
        ("presence" | "motion", "state" | "motion") => KeyMeaning::state("motion"),
        _ => return None,
    };
    Some(meaning)
}

/// Counters of energy: of switches and lights by `aenergy`, of meters in their own data component.
fn of_energy(kind: &str, key: &str) -> Option<KeyMeaning> {
    if matches!(key, "aenergy.total" | "ret_aenergy.total") {
        return Some(counter());
    }
    let minutes = ["aenergy.by_minute.", "ret_aenergy.by_minute."];
    if minutes.iter().any(|minute| key.starts_with(minute)) {
        return Some(KeyMeaning {
            unit: Some("Wh"),
            raw_unit: Some("mWh"),
            scale: MILLIWATT_HOUR_WH,
            ..KeyMeaning::state("energy")
        });
    }
    let of_meter = matches!(kind, "emdata" | "em1data")
        && matches!(
            phase_removed(key),
            "act" | "act_ret" | "act_energy" | "act_ret_energy"
        );
    // `total_act_energy` of a phase keeps a sum's name behind the phase.
    let of_phase = matches!(kind, "emdata" | "em1data")
        && matches!(
            phase_removed(phase_removed(key)),
            "act_energy" | "act_ret_energy"
        );
    (of_meter || of_phase).then(counter)
}

/// Keys that mean the same in every component.
fn of_key(key: &str) -> Option<KeyMeaning> {
    let meaning = match phase_removed(key) {
        "apower" | "act_power" => KeyMeaning::measured("W", "power"),
        "aprt_power" => KeyMeaning::measured("VA", "apparent_power"),
        "voltage" => KeyMeaning::measured("V", "voltage"),
        "current" => KeyMeaning::measured("A", "current"),
        "freq" => KeyMeaning::measured("Hz", "frequency"),
        "pf" => KeyMeaning {
            state_class: Some(StateClass::Measurement),
            ..KeyMeaning::state("power_factor")
        },
        "temperature.tC" | "tC" => KeyMeaning::measured("°C", "temperature"),
        "temperature.tF" | "tF" => KeyMeaning::measured("°F", "temperature"),
        "brightness" | "current_pos" | "target_pos" => KeyMeaning::amount("%"),
        "ct" => KeyMeaning::amount("K"),
        _ => return None,
    };
    Some(meaning)
}

fn phase_removed(key: &str) -> &str {
    PHASES
        .iter()
        .find_map(|phase| key.strip_prefix(phase))
        .unwrap_or(key)
}

fn counter() -> KeyMeaning {
    KeyMeaning {
        unit: Some("Wh"),
        state_class: Some(StateClass::TotalIncreasing),
        ..KeyMeaning::state("energy")
    }
}
