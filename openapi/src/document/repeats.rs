use poem::http::Method;
use serde_json::{Value, json};

use super::operations;
use crate::{
    access::policy::{self, Need},
    idempotency::{KEPT_FOR, KEY_BYTES_MAX},
};

/// Say which operations take an idempotency key. As with callers, the gate before them does that.
pub(super) fn add(document: &mut Value) {
    let hours = KEPT_FOR.as_secs() / 3600;
    for (method, operation) in operations(document) {
        let name = operation["operationId"].as_str().unwrap_or_default();
        let is_for_all = policy::need(name) == Some(Need::Nothing);
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap_or_default();
        if is_for_all || !policy::is_change(name, &method) {
            continue;
        }
        let parameter = json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "schema": {"type": "string", "minLength": 1, "maxLength": KEY_BYTES_MAX, "pattern": "^[!#-~]+$"},
            "description": format!(
                "The same for each time that this request is sent again, like a UUID. What succeeded under it in the last {hours} h, since the service was started, is not done again but answered as before, with the header `Idempotent-Replayed: true`."
            ),
        });
        match operation["parameters"].as_array_mut() {
            Some(parameters) => parameters.push(parameter),
            None => operation["parameters"] = json!([parameter]),
        }
    }
}
