/// Examples of everything that is sent and answered.
mod examples;
/// How a change is asked for again.
mod repeats;
/// How who asks is known.
mod security;

use std::collections::{BTreeMap, BTreeSet};

use poem_openapi::{OpenApi, OpenApiService};
use serde_json::{Value, json};

use tokio_util::sync::CancellationToken;

use crate::{
    access_api::AccessApi, alarms_api::AlarmsApi, api::Api, broker_api::BrokerApi,
    deliveries_api::DeliveriesApi, devices::Access, devices_api::DevicesApi, homes_api::HomesApi,
    insights_api::InsightsApi, latest_api::LatestApi, live_api::LiveApi, rules_api::RulesApi,
    scenes_api::ScenesApi, service::Kind, stores_api::StoresApi, twins_api::TwinsApi,
};

/// Shapes that are only sent, never received: all their fields are always there, null where unknown.
const SENT: [&str; 73] = [
    "Alarm",
    "AlarmList",
    "AuditEntry",
    "AuditPage",
    "BoxInfo",
    "Boxes",
    "Column",
    "Command",
    "Commands",
    "Conflict",
    "Conflicts",
    "Contender",
    "CopyFault",
    "Delivery",
    "DeliveryList",
    "Device",
    "DeviceDetail",
    "DeviceFault",
    "DeviceList",
    "Feature",
    "Fresh",
    "GroupDevice",
    "GroupSet",
    "Home",
    "HomeDetail",
    "Homes",
    "Insight",
    "InsightList",
    "InsightPack",
    "InsightPackList",
    "InsightParam",
    "KnownDevice",
    "LatestList",
    "LatestReading",
    "LiveAlarm",
    "LiveGap",
    "LivePresence",
    "LiveReading",
    "LiveReset",
    "LiveTwin",
    "LostChunk",
    "Member",
    "Members",
    "Metric",
    "MissingChunk",
    "Moving",
    "MqttClient",
    "MqttClients",
    "MqttConnection",
    "Problem",
    "Reading",
    "ReadingsPage",
    "Room",
    "RuleFiring",
    "RuleFirings",
    "SceneList",
    "ScrubState",
    "Session",
    "SplitDone",
    "SqlAnswer",
    "StoreInfo",
    "StoreLoad",
    "StoreMove",
    "StoredScene",
    "Stores",
    "StoresPlan",
    "Token",
    "TokenCreated",
    "Tokens",
    "Twin",
    "TwinChange",
    "TwinHistory",
    "WantedValue",
];

/// The OpenAPI document of a box: pretty JSON, the same order at each run.
#[must_use]
pub fn edge_document() -> String {
    document(Kind::Edge)
}

/// The OpenAPI document of the cloud service.
#[must_use]
pub fn cloud_document() -> String {
    document(Kind::Cloud)
}

pub(crate) fn document(kind: Kind) -> String {
    let (title, description) = match kind {
        Kind::Edge => (
            "Tarn box",
            "The data lake of one home, served by the box in it. The cloud service has the same paths for many homes.",
        ),
        Kind::Cloud => (
            "Tarn cloud",
            "The data lake of many homes, served from their stores. A box has the same paths for its own home.",
        ),
    };
    let (api, broker) = (Api::default(), BrokerApi { broker: None });
    let devices = DevicesApi {
        access: Access::default(),
    };
    let twins = TwinsApi {
        access: Access::default(),
    };
    let live = LiveApi {
        api: api.clone(),
        stop: CancellationToken::new(),
    };
    let homes = HomesApi {
        access: Access::default(),
    };
    let latest = LatestApi { api: api.clone() };
    let mut document = described(api, title, description);
    join(&mut document, described(latest, title, description));
    join(&mut document, described(live, title, description));
    if kind == Kind::Edge {
        join(&mut document, described(broker, title, description));
        join(&mut document, described(devices, title, description));
    }
    if kind == Kind::Cloud {
        let stores = StoresApi { stores: None };
        join(&mut document, described(stores, title, description));
    }
    join(
        &mut document,
        described(AccessApi::default(), title, description),
    );
    join(&mut document, described(twins, title, description));
    join(&mut document, described(homes, title, description));
    join(
        &mut document,
        described(RulesApi::default(), title, description),
    );
    join(
        &mut document,
        described(ScenesApi::default(), title, description),
    );
    join(
        &mut document,
        described(AlarmsApi::default(), title, description),
    );
    join(
        &mut document,
        described(InsightsApi::default(), title, description),
    );
    join(
        &mut document,
        described(DeliveriesApi::default(), title, description),
    );
    for name in SENT {
        if document["components"]["schemas"][name].is_null() {
            continue;
        }
        always_there(&mut document["components"]["schemas"][name]);
    }
    simplify_references(&mut document);
    security::add(&mut document);
    repeats::add(&mut document);
    examples::add(&mut document);
    let mut text = serde_json::to_string_pretty(&sorted(document)).unwrap_or_default();
    text.push('\n');
    text
}

fn described(api: impl OpenApi, title: &str, description: &str) -> Value {
    let text = OpenApiService::new(api, title, env!("CARGO_PKG_VERSION"))
        .description(description)
        .license(poem_openapi::LicenseObject::new("MIT OR Apache-2.0"))
        .server("/")
        .spec();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Put what another document says into this one. The library joins several parts by itself, but names a path twice where two of
/// them have operations on it, so that readers see the last only.
fn join(document: &mut Value, other: Value) {
    match (document, other) {
        (Value::Object(fields), Value::Object(others)) => {
            for (name, other) in others {
                join(fields.entry(name).or_insert(Value::Null), other);
            }
        }
        (Value::Array(items), Value::Array(others)) => {
            let news: Vec<Value> = others
                .into_iter()
                .filter(|other| !items.contains(other))
                .collect();
            items.extend(news);
        }
        (place @ Value::Null, other) => *place = other,
        // What both say, like a shape, they say alike.
        _ => {}
    }
}

/// The same with plain media types, and all names in order whichever kind of map the JSON library was
/// built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields
                .into_iter()
                .map(|(name, v)| (plain(&name).to_owned(), sorted(v)))
                .collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// A media type without its encoding: generated clients look for the plain one, and JSON is UTF-8 anyway.
fn plain(media_type: &str) -> &str {
    media_type
        .strip_suffix("; charset=utf-8")
        .unwrap_or(media_type)
}

/// Say of a shape that is only sent what the library cannot: optional fields are there, as null.
fn always_there(schema: &mut Value) {
    let required: Vec<String> = strings(&schema["required"]);
    let Some(properties) = schema["properties"].as_object_mut() else {
        return;
    };
    let names: BTreeSet<String> = properties.keys().cloned().collect();
    for (name, property) in properties {
        if !required.contains(name) {
            property["nullable"] = json!(true);
        }
    }
    schema["required"] = json!(names);
}

fn strings(value: &Value) -> Vec<String> {
    let values = value.as_array().into_iter().flatten();
    values
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect()
}

/// Every operation of a document, with its method in small letters.
fn operations(document: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(_, path)| path.as_object_mut().into_iter().flatten())
}

/// Have a reference that is described be one, with its description beside it. The library makes two schemas of them, of which
/// the second says nothing of a type, and generators of clients cannot tell that they are one.
fn simplify_references(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::Array(parts)) = fields.get_mut("allOf")
                && is_described_reference(parts)
            {
                parts.truncate(1);
            }
            fields.values_mut().for_each(simplify_references);
        }
        Value::Array(items) => items.iter_mut().for_each(simplify_references),
        _ => {}
    }
}

fn is_described_reference(parts: &[Value]) -> bool {
    let [reference, Value::Object(fields)] = parts else {
        return false;
    };
    reference.get("$ref").is_some() && fields.keys().all(|name| name == "description")
}

/// A page that shows the document and loads nothing from outside.
pub(crate) fn docs_html(document: &str) -> String {
    let service = OpenApiService::new(Api::default(), "Tarn", env!("CARGO_PKG_VERSION"));
    let page = service.rapidoc_html();
    // The library's page names a font of another host, and embeds its own document; ours says more.
    let page: String = page
        .lines()
        .filter(|line| !line.contains("<link href=\"http"))
        .collect::<Vec<_>>()
        .join("\n");
    let own = service.spec();
    // Inside of a script the text must not end it.
    page.replace(&own, &document.replace("</", "<\\/"))
}
