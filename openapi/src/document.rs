use std::collections::{BTreeMap, BTreeSet};

use poem_openapi::{OpenApi, OpenApiService};
use serde_json::{Value, json};

use tokio_util::sync::CancellationToken;

use crate::{
    api::Api, broker_api::BrokerApi, devices::Access, devices_api::DevicesApi, homes_api::HomesApi,
    live_api::LiveApi, service::Kind, stores_api::StoresApi, twins_api::TwinsApi,
};

/// Shapes that are only sent, never received: all their fields are always there, null where unknown.
const SENT: [&str; 49] = [
    "BoxInfo",
    "Boxes",
    "Column",
    "Command",
    "Commands",
    "Conflict",
    "Conflicts",
    "Contender",
    "CopyFault",
    "Device",
    "DeviceDetail",
    "DeviceFault",
    "DeviceList",
    "Feature",
    "Fresh",
    "Home",
    "HomeDetail",
    "Homes",
    "KnownDevice",
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
    "ScrubState",
    "SplitDone",
    "SqlAnswer",
    "StoreInfo",
    "StoreLoad",
    "StoreMove",
    "Stores",
    "StoresPlan",
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
    let (api, broker) = (Api { host: None }, BrokerApi { broker: None });
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
    let mut document = described(api, title, description);
    join(&mut document, described(live, title, description));
    if kind == Kind::Edge {
        join(&mut document, described(broker, title, description));
        join(&mut document, described(devices, title, description));
    }
    if kind == Kind::Cloud {
        let stores = StoresApi { stores: None };
        join(&mut document, described(stores, title, description));
    }
    join(&mut document, described(twins, title, description));
    join(&mut document, described(homes, title, description));
    for name in SENT {
        if document["components"]["schemas"][name].is_null() {
            continue;
        }
        always_there(&mut document["components"]["schemas"][name]);
    }
    document["components"]["schemas"]["SqlAnswer"]["properties"]["rows"]["items"]["items"]["nullable"] =
        json!(true);
    add_examples(&mut document);
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
            // Generated clients look for the plain media type; JSON is UTF-8 anyway.
            let plain = |name: String| {
                name.strip_suffix("; charset=utf-8")
                    .map_or(name.clone(), str::to_owned)
            };
            let fields: BTreeMap<String, Value> = fields
                .into_iter()
                .map(|(name, v)| (plain(name), sorted(v)))
                .collect();
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
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

/// Examples of parameters and bodies, by name.
fn add_examples(document: &mut Value) {
    let example = |name: &str, is_query: bool| {
        Some(match name {
            "device" if is_query => json!(["attic/thermometer"]),
            "kind" => json!(["reading"]),
            "Last-Event-ID" => json!("3f9a27c05d1be864-1042"),
            "fresh" => json!("5s"),
            "home" => json!("my-home"),
            "device" => json!("attic/thermometer"),
            "metric" if is_query => json!(["temperature"]),
            "metric" => json!("state"),
            "from" => json!("-24h"),
            "to" => json!("2026-11-22T10:00:00Z"),
            "every" => json!("15m"),
            "agg" => json!("avg"),
            "limit" => json!(1000),
            "wait" => json!("5s"),
            "timeout" => json!("10s"),
            "ttl" => json!("10m"),
            "room" => json!("Living room"),
            "member" => json!("ada"),
            "If-Match" => {
                json!("\"0f4b2c3d9a8e7f6051423324150607f8e9dacbbc9d8e7f60a1b2c3d4e5f60718\"")
            }
            "tarn-author" => json!("app of Ada"),
            "tarn-node" => json!("00c0ffee00c0ffee"),
            "command" => json!("01KAV6M3V7XJ3T1S9Q4YB2N8ZD"),
            _ => return None,
        })
    };
    let paths = document["paths"].as_object_mut().into_iter().flatten();
    let operations = paths.flat_map(|(_, path)| path.as_object_mut().into_iter().flatten());
    for (_, operation) in operations {
        for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
            let is_query = parameter["in"] == "query";
            let name = parameter["name"].as_str();
            let value = name.and_then(|name| example(name, is_query));
            if let Some(value) = value {
                parameter["example"] = value;
            }
        }
    }
    for (name, example) in [
        (
            "DeviceUpdate",
            json!({"name": "Reading lamp", "room": "Living room"}),
        ),
        ("MergeRequest", json!({"other": "8f3a1c5e9b7d2046"})),
        ("MemberUpdate", json!({"name": "Ada", "role": "owner"})),
        ("ConflictResolution", json!({"value": 18})),
        ("SplitRequest", json!({"identifiers": ["ha:bedroom"]})),
        (
            "LiveReading",
            json!({"device": "attic/thermometer", "metric": "temperature", "value": 21.5, "text": null, "unit": "°C", "ts": "2026-11-22T10:00:00.000Z", "received": "2026-11-22T10:00:00.120Z"}),
        ),
        (
            "LiveTwin",
            json!({"device": "8f3a1c5e9b7d2046", "changed": ["desired.state"]}),
        ),
        (
            "LivePresence",
            json!({"what": "device", "id": "8f3a1c5e9b7d2046", "online": false, "since": "2026-11-22T10:00:00.000Z"}),
        ),
        ("LiveGap", json!({"dropped": 12})),
        ("LiveReset", json!({"reason": "it is too long ago"})),
    ] {
        let schema = &mut document["components"]["schemas"][name];
        if !schema.is_null() {
            schema["example"] = example;
        }
    }
    for (operation, example) in [
        ("desired/patch", json!({"state": true, "brightness": 120})),
        ("call/post", json!({"state": "UNLOCK"})),
    ] {
        let body = format!(
            "/paths/~1v1~1homes~1{{home}}~1devices~1{{device}}~1{operation}/requestBody/content"
        );
        let forms = document.pointer_mut(&body).and_then(Value::as_object_mut);
        for (_, form) in forms.into_iter().flatten() {
            form["example"] = example.clone();
        }
    }
    document["components"]["schemas"]["SqlRequest"]["example"] = json!({"sql": "SELECT metric, count(*), avg(value) FROM readings WHERE ts > now() - INTERVAL '1 day' GROUP BY metric"});
}

/// A page that shows the document and loads nothing from outside.
pub(crate) fn docs_html(document: &str) -> String {
    let service = OpenApiService::new(Api { host: None }, "Tarn", env!("CARGO_PKG_VERSION"));
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
