use crate::{convention::KeyMeaning, point::StateClass};

/// What a number under one of Tasmota's usual keys is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quantity {
    pub(super) unit: Option<&'static str>,
    pub(super) class: Option<&'static str>,
    pub(super) state_class: Option<StateClass>,
    /// Key at the top of the same message that says another unit.
    pub(super) unit_key: Option<&'static str>,
}

/// What stands under a flattened key: `AM2301.Temperature`, `ENERGY.Total.0`, `TX23.Speed.Act`. The device's
/// sensors give the levels above their names; the last level that has a meaning counts.
pub(super) fn of(key: &str) -> Option<Quantity> {
    // `STATUS` answers repeat settings under the same names.
    if key.starts_with("Status") || key.starts_with("Info") {
        return None;
    }
    if let Some(pm) = particles(key) {
        return Some(pm);
    }
    if let Some(wifi) = key.strip_prefix("Wifi.") {
        return match wifi {
            "RSSI" => Some(measured("%", "")),
            "Signal" => Some(measured("dBm", "signal_strength")),
            _ => None,
        };
    }
    // Rain has a total too.
    let is_energy = key.starts_with("ENERGY");
    key.rsplit('.').find_map(|level| {
        let bare = level.trim_end_matches(|c: char| c.is_ascii_digit());
        let energy = || is_energy.then(|| energy(level)).flatten();
        energy().or_else(|| named(level)).or_else(|| named(bare))
    })
}

/// What a flattened key means, in the unit that devices have unless they were set to another.
pub(super) fn meaning(key: &str) -> Option<KeyMeaning> {
    of(key).map(|quantity| KeyMeaning {
        unit: quantity.unit,
        class: quantity.class,
        state_class: quantity.state_class,
        ..KeyMeaning::default()
    })
}

/// Particles have a dot in their names.
fn particles(key: &str) -> Option<Quantity> {
    let fine = key.ends_with("PM2.5") || key.ends_with("CF2.5");
    fine.then(|| measured("µg/m³", "pm25"))
}

fn energy(name: &str) -> Option<Quantity> {
    Some(match name {
        "Total" | "TotalTariff" | "Today" | "ImportActive" | "ExportActive" | "ExportTariff" => {
            counted("kWh", "energy")
        }
        "Yesterday" => unclassed("kWh", "energy"),
        // What was used since the last message.
        "Period" => unclassed("Wh", "energy"),
        "ImportReactive" | "ExportReactive" => counted("kvarh", "reactive_energy"),
        _ => return None,
    })
}

fn named(name: &str) -> Option<Quantity> {
    let quantity = match name {
        "Power" | "ActivePower" => measured("W", "power"),
        "ApparentPower" => measured("VA", "apparent_power"),
        "ReactivePower" => measured("var", "reactive_power"),
        "Factor" => measured("", "power_factor"),
        "Voltage" | "Vcc" => measured("V", "voltage"),
        "Current" | "CurrentNeutral" => measured("A", "current"),
        "Frequency" => measured("Hz", "frequency"),
        "PhaseAngle" => measured("°", ""),
        "Temperature" | "DewPoint" | "FeelsLike" | "HeatIndex" | "ObjTemp" | "AmbTemp" => {
            follows("TempUnit", measured("°C", "temperature"))
        }
        "Humidity" => measured("%", "humidity"),
        "Pressure" | "SeaPressure" => {
            follows("PressureUnit", measured("hPa", "atmospheric_pressure"))
        }
        "Speed" => follows("SpeedUnit", measured("km/h", "speed")),
        "Illuminance" | "Ambient" => measured("lx", "illuminance"),
        "UvIndex" | "UVIndex" => measured("UV index", ""),
        "UvPower" | "UVPower" => measured("W/m²", "irradiance"),
        "Distance" => measured("cm", "distance"),
        "Weight" => measured("kg", "weight"),
        "Moisture" => measured("%", "moisture"),
        "Battery" | "BatteryPercentage" => measured("%", "battery"),
        "CarbonDioxide" | "CO2" | "eCO2" => measured("ppm", "carbon_dioxide"),
        "TVOC" => measured("ppb", "volatile_organic_compounds_parts"),
        "PM1" | "CF1" => measured("µg/m³", "pm1"),
        "PM10" | "CF10" => measured("µg/m³", "pm10"),
        "RSSI" => measured("dBm", "signal_strength"),
        "UptimeSec" => measured("s", "duration"),
        "Heap" => measured("kB", "data_size"),
        "LoadAvg" => measured("", ""),
        "CT" | "CCT" => measured(if name == "CT" { "mired" } else { "K" }, ""),
        "Dimmer" | "White" | "Channel" => measured("%", ""),
        _ => return None,
    };
    Some(quantity)
}

fn unclassed(unit: &'static str, class: &'static str) -> Quantity {
    let said = |text: &'static str| (!text.is_empty()).then_some(text);
    Quantity {
        unit: said(unit),
        class: said(class),
        state_class: None,
        unit_key: None,
    }
}

fn measured(unit: &'static str, class: &'static str) -> Quantity {
    Quantity {
        state_class: Some(StateClass::Measurement),
        ..unclassed(unit, class)
    }
}

fn counted(unit: &'static str, class: &'static str) -> Quantity {
    Quantity {
        state_class: Some(StateClass::TotalIncreasing),
        ..unclassed(unit, class)
    }
}

fn follows(unit_key: &'static str, quantity: Quantity) -> Quantity {
    Quantity {
        unit_key: Some(unit_key),
        ..quantity
    }
}
