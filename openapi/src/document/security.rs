use serde_json::{Value, json};

use super::operations;
use crate::access::{
    COOKIE,
    policy::{self, Need},
};

/// Say how callers are known, and which operations are for everybody. The library would have each operation take a parameter
/// for it, but the gate before all of them does that.
pub(super) fn add(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A token of a program, from `POST /v1/tokens` or `tarn token create`.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": COOKIE,
            "description": "A login, from `POST /v1/session`. A change needs the header `tarn-csrf` beside it, as `GET /v1/session` tells it.",
        },
    });
    for (_, operation) in operations(document) {
        let need = operation["operationId"].as_str().and_then(policy::need);
        operation["security"] = match need {
            Some(Need::Nothing) => json!([]),
            _ => json!([{"bearer": []}, {"session": []}]),
        };
    }
}
