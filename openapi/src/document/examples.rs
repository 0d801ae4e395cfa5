use serde_json::Value;

use super::{operations, plain};

/// Examples of parameters by name, and of those that are lists; of events and of bodies by shape; and of bodies and answers
/// without one by operation and media type.
const EXAMPLES: &str = include_str!("examples.json");

/// Give every parameter, body and answer its example, but for answers that are bytes.
pub(super) fn add(document: &mut Value) {
    // A test asks all of them for their examples, so that a fault in the file is found.
    let examples: Value = serde_json::from_str(EXAMPLES).unwrap_or_default();
    for (_, operation) in operations(document) {
        add_to(operation, &examples);
    }
    for (name, example) in examples["shapes"].as_object().into_iter().flatten() {
        if let Some(schema) = document["components"]["schemas"].get_mut(name) {
            schema["example"] = example.clone();
        }
    }
}

fn add_to(operation: &mut Value, examples: &Value) {
    let name = operation["operationId"].as_str().unwrap_or_default();
    let (request, answer) = (
        examples["requests"][name].clone(),
        examples["answers"][name].clone(),
    );
    let parameters = operation
        .get_mut("parameters")
        .and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let is_list = parameter["schema"]["type"] == "array";
        let kind = if is_list { "lists" } else { "parameters" };
        let name = parameter["name"].as_str().unwrap_or_default();
        let example = examples[kind][name].clone();
        if !example.is_null() {
            parameter["example"] = example;
        }
    }
    if let Some(body) = operation.get_mut("requestBody") {
        fill(body, &request, &examples["bodies"]);
    }
    let responses = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut);
    for (status, response) in responses.into_iter().flatten() {
        if status.starts_with('2') {
            fill(response, &answer, &examples["bodies"]);
        }
    }
}

/// Give each form of a body its example: one of its own by media type, else that of its shape.
fn fill(body: &mut Value, own: &Value, shapes: &Value) {
    let forms = body.get_mut("content").and_then(Value::as_object_mut);
    for (media_type, form) in forms.into_iter().flatten() {
        let reference = form["schema"]["$ref"].as_str().unwrap_or_default();
        let shape = reference.rsplit('/').next().unwrap_or_default();
        let found = [&own[plain(media_type)], &shapes[shape]]
            .into_iter()
            .find(|example| !example.is_null());
        if let Some(example) = found.cloned() {
            form["example"] = example;
        }
    }
}
