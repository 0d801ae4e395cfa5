use poem_openapi::types::{ParseFromJSON, ToJSON};
use serde_json::{Value, json};
use tarn_common::twin::{
    document::{Document, Section},
    edit::value,
};

use crate::devices::KnownDevice;

/// The scalars of [`Section::About`]; lists are JSON texts, null is what the device does not say.
#[must_use]
pub fn scalars(device: &KnownDevice) -> Vec<(&'static str, Value)> {
    let list = |list: &[String]| match list.is_empty() {
        true => Value::Null,
        false => json!(json!(list).to_string()),
    };
    let features: Vec<Value> = device.features.iter().filter_map(ToJSON::to_json).collect();
    vec![
        ("name", json!(device.name)),
        ("room", json!(device.room)),
        ("vendor", json!(device.vendor)),
        ("model", json!(device.model)),
        ("firmware", json!(device.firmware)),
        ("hardware", json!(device.hardware)),
        ("serial", json!(device.serial)),
        ("online", json!(device.online)),
        ("identifiers", list(&device.identifiers)),
        ("aliases", list(&device.aliases)),
        ("conventions", list(&device.conventions)),
        ("topics", list(&device.topics)),
        ("features", json!(Value::from(features).to_string())),
    ]
}

/// The device that a document is about, as the box that has it knows it; none for the document of the home.
#[must_use]
pub fn device(document: &Document) -> Option<KnownDevice> {
    let id = document.key().id.as_device()?;
    let is = |attribute: &str| {
        document
            .scalar(Section::About, attribute)
            .map(|scalar| value(&scalar))
    };
    let text = |attribute: &str| is(attribute).and_then(|value| value.as_str().map(str::to_owned));
    let list = |attribute: &str| list(document, attribute);
    let features: Option<Value> =
        text("features").and_then(|text| serde_json::from_str(&text).ok());
    let features =
        features.and_then(|features| ParseFromJSON::parse_from_json(Some(features)).ok());
    Some(KnownDevice {
        device: id.to_owned(),
        name: text("name"),
        room: text("room"),
        vendor: text("vendor"),
        model: text("model"),
        firmware: text("firmware"),
        hardware: text("hardware"),
        serial: text("serial"),
        online: is("online").and_then(|online| online.as_bool()),
        clock_skew_ms: None,
        identifiers: list("identifiers"),
        aliases: list("aliases"),
        conventions: list("conventions"),
        topics: list("topics"),
        features: features.unwrap_or_default(),
        faults: Vec::new(),
    })
}

/// Ids that readings of a document's device were stored under before.
#[must_use]
pub fn aliases(document: &Document) -> Vec<String> {
    list(document, "aliases")
}

fn list(document: &Document, attribute: &str) -> Vec<String> {
    let scalar = document.scalar(Section::About, attribute);
    let text = scalar.as_ref().and_then(|scalar| scalar.as_str());
    let list = text.and_then(|text| serde_json::from_str(text).ok());
    list.unwrap_or_default()
}
