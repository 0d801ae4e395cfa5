//! What a bridge tells of a kind of device: its maker, and all that it can tell and be told.

use serde_json::{Value as Json, json};

use crate::simulate::thing::{Domain, Kind, Property, Thing};

/// Vendor, model and description.
pub(super) fn product(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Climate => ("Aqara", "WSDCGQ11LM", "Temperature and humidity sensor"),
        Kind::Motion => ("Aqara", "RTCGQ11LM", "Motion sensor"),
        Kind::Contact => ("Aqara", "MCCGQ11LM", "Door and window sensor"),
        Kind::Bulb => ("IKEA", "LED2101G4", "TRADFRI bulb E27"),
        Kind::Plug => ("Innr", "SP 240", "Smart plug with metering"),
        Kind::Lock => ("Danalock", "V3-BTZB", "Door lock"),
        Kind::Cover => ("IKEA", "E1926", "KADRILJ roller blind"),
        Kind::Thermostat => ("Bosch", "BTH-RA", "Radiator thermostat II"),
        Kind::Fan => ("IKEA", "E2006", "STARKVIND air purifier"),
        Kind::Air => ("IKEA", "E2112", "VINDSTYRKA air quality sensor"),
        Kind::Ventilation => ("Tuya", "TS0601", "Ventilation unit"),
    }
}

/// The composite type, where a kind has one.
fn composite(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Bulb => Some("light"),
        Kind::Plug => Some("switch"),
        Kind::Lock => Some("lock"),
        Kind::Cover => Some("cover"),
        Kind::Thermostat => Some("climate"),
        Kind::Fan => Some("fan"),
        _ => None,
    }
}

/// All that a device tells and takes.
pub(super) fn exposes(thing: &Thing) -> Json {
    let composite = composite(thing.kind());
    let (features, plain): (Vec<&Property>, Vec<&Property>) =
        thing.properties().iter().partition(|property| {
            composite.is_some() && (property.settable || composite == Some("climate"))
        });
    let mut all = Vec::new();
    if let Some(name) = composite {
        let features: Vec<Json> = features.into_iter().map(expose).collect();
        all.push(json!({"type": name, "features": features}));
    }
    all.extend(plain.into_iter().map(expose));
    all.push(json!({
        "type": "numeric", "name": "linkquality", "label": "Linkquality",
        "property": "linkquality", "access": 1, "unit": "lqi",
        "value_min": 0, "value_max": 255
    }));
    Json::Array(all)
}

/// One property as the bridge tells of it. Access: 1 published, 2 settable, 4 gettable.
fn expose(property: &Property) -> Json {
    let access = if property.settable { 7 } else { 1 };
    let mut own = json!({
        "name": property.name,
        "label": property.name.replace('_', " "),
        "property": property.name,
        "access": access
    });
    if let Some(unit) = property.unit {
        own["unit"] = unit.into();
    }
    match property.domain {
        Domain::Number { min, max, step } => {
            own["type"] = "numeric".into();
            if property.settable {
                own["value_min"] = min.into();
                own["value_max"] = max.into();
                own["value_step"] = step.into();
            }
        }
        Domain::Switch { on, off } => {
            own["type"] = "binary".into();
            own["value_on"] = on.into();
            own["value_off"] = off.into();
            own["value_toggle"] = "TOGGLE".into();
        }
        Domain::Flag => {
            own["type"] = "binary".into();
            // Zigbee2MQTT lists `false` as what a contact reads when it is tripped.
            let tripped = property.name != "contact";
            own["value_on"] = tripped.into();
            own["value_off"] = (!tripped).into();
        }
        Domain::OneOf(words) => {
            own["type"] = "enum".into();
            own["values"] = words.into();
        }
    }
    own
}
