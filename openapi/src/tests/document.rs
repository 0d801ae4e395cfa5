use super::*;
use crate::access::policy;

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let paths = document["paths"].as_object().unwrap().values();
    paths.flat_map(|path| path.as_object().unwrap().values())
}

#[test]
fn parameters_bodies_and_answers_have_examples() {
    for text in [edge_document(), cloud_document()] {
        let document: Value = serde_json::from_str(&text).unwrap();
        for operation in operations(&document) {
            let name = &operation["operationId"];
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(!parameter["example"].is_null(), "{name}: {parameter}");
            }
            let answers = operation["responses"].as_object().unwrap().iter();
            let answers = answers.filter(|(status, _)| status.starts_with('2'));
            let answers = answers.map(|(_, answer)| answer);
            for body in answers.chain(operation.get("requestBody")) {
                for (media_type, form) in body["content"].as_object().into_iter().flatten() {
                    let is_bytes = form["schema"]["format"] == "binary";
                    let is_there = !form["example"].is_null();
                    assert!(is_bytes || is_there, "{name}: {media_type}");
                }
            }
        }
    }
}

#[test]
fn operations_say_how_callers_are_known() {
    let document: Value = serde_json::from_str(&cloud_document()).unwrap();
    let schemes = &document["components"]["securitySchemes"];
    for operation in operations(&document) {
        let name = operation["operationId"].as_str().unwrap();
        let ways = operation["security"].as_array().unwrap();
        let is_open = policy::need(name) == Some(policy::Need::Nothing);
        assert_eq!(ways.is_empty(), is_open, "{name}");
        for way in ways {
            let (scheme, _) = way.as_object().unwrap().iter().next().unwrap();
            assert!(schemes.get(scheme).is_some(), "{name}: {scheme}");
        }
    }
}

/// Generators of clients stumble on them.
#[test]
fn documents_have_no_nulls_and_no_references_in_two_parts() {
    for text in [edge_document(), cloud_document()] {
        let document: Value = serde_json::from_str(&text).unwrap();
        for operation in operations(&document) {
            let has_null = operation.as_object().unwrap().values().any(Value::is_null);
            assert!(!has_null, "{operation}");
        }
        for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
            assert!(schema.is_object(), "{name}");
        }
        let detail = &document["components"]["schemas"]["DeviceDetail"];
        let twin = detail["properties"]["twin"]["allOf"].as_array().unwrap();
        assert_eq!(twin.len(), 1);
    }
}
