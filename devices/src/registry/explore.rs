use serde_json::Value;

use crate::announcement::Layout;

/// Bytes of a payload whose keys are looked at, at most.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a key that is looked at, at most: every key is remembered, and nesting makes many long ones of a few bytes.
const METRIC_BYTES_MAX: usize = 256;

/// The metrics that a payload of a flat layout has, as flattening names them.
pub(super) fn metrics(layout: &Layout, payload: &[u8]) -> Vec<String> {
    let Layout::Flat { prefix, root, .. } = layout else {
        return Vec::new();
    };
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Vec::new();
    }
    let Ok(json) = serde_json::from_slice::<Value>(payload) else {
        return Vec::new();
    };
    let top = match root.as_str() {
        "" => Some(&json),
        root => root.split('.').try_fold(&json, |at, key| at.get(key)),
    };
    let mut metrics = Vec::new();
    if let Some(top @ (Value::Object(_) | Value::Array(_))) = top {
        walk(top, prefix, "", &mut metrics);
    }
    metrics
}

fn walk(value: &Value, path: &str, separator: &str, metrics: &mut Vec<String>) {
    if path.len() > METRIC_BYTES_MAX {
        return;
    }
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (key, value) in fields {
                walk(value, &format!("{path}{separator}{key}"), ".", metrics);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (place, value) in items.iter().enumerate() {
                walk(value, &format!("{path}{separator}{place}"), ".", metrics);
            }
        }
        _ => metrics.push(path.to_owned()),
    }
}
