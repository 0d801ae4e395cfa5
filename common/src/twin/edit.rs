use automerge::ScalarValue;
use serde_json::Value;

use super::document::{DocumentId, Section};

/// Attributes that one document may have in one section.
pub const ATTRIBUTES_MAX: usize = 1_000;
/// Bytes of one value, as JSON.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one scalar of a document: a value with its author.
pub const SCALAR_BYTES_MAX: usize = 2 * VALUE_BYTES_MAX;

/// One change of one attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Edit {
    /// The document.
    pub document: DocumentId,
    /// Its section.
    pub section: Section,
    /// The attribute.
    pub attribute: String,
    /// What it becomes: null takes it away. In a section that only the owner writes, objects and lists become JSON text.
    pub value: Value,
    /// Seconds that a write may be carried out; for ever where it is absent.
    pub ttl_s: Option<u32>,
    /// Who writes, where it is not the author of the whole edit.
    pub by: Option<String>,
}

impl Edit {
    /// A change by the author of the whole edit, for ever.
    #[must_use]
    pub fn new(
        document: DocumentId,
        section: Section,
        attribute: &str,
        value: impl Into<Value>,
    ) -> Edit {
        Edit {
            document,
            section,
            attribute: attribute.to_owned(),
            value: value.into(),
            ttl_s: None,
            by: None,
        }
    }

    /// The same by somebody else.
    #[must_use]
    pub fn by(self, author: &str) -> Edit {
        Edit {
            by: Some(author.to_owned()),
            ..self
        }
    }

    /// The same, for so many seconds.
    #[must_use]
    pub fn for_s(self, ttl_s: Option<u32>) -> Edit {
        Edit { ttl_s, ..self }
    }
}

/// Why an edit is not made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// There is no such document, and none of this name can be made.
    #[error("{0:?} is no document of a home")]
    Document(String),
    /// There is a bound.
    #[error("{what} would be more than {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// The document does not take it.
    #[error("the document does not take it")]
    Refused(#[from] super::document::DocumentError),
}

/// A value as a scalar of a document.
pub(super) fn scalar(value: &Value) -> ScalarValue {
    match value {
        Value::Null => ScalarValue::Null,
        Value::Bool(value) => ScalarValue::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => ScalarValue::Int(number),
            None => ScalarValue::F64(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => ScalarValue::Str(text.as_str().into()),
        other => ScalarValue::Str(other.to_string().into()),
    }
}

/// A scalar of a document as a value.
#[must_use]
pub fn value(scalar: &ScalarValue) -> Value {
    match scalar {
        ScalarValue::Boolean(value) => (*value).into(),
        ScalarValue::Int(number) => (*number).into(),
        ScalarValue::Uint(number) => (*number).into(),
        ScalarValue::Timestamp(number) => (*number).into(),
        ScalarValue::F64(number) => (*number).into(),
        ScalarValue::Str(text) => text.as_str().into(),
        _ => Value::Null,
    }
}
