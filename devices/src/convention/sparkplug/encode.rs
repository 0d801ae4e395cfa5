use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use prost::Message as _;
use serde_json::Value as Json;

use super::{
    datatype,
    proto::{Metric, Payload, Value},
};
use crate::fault::{Fault, FaultKind};

/// A command (`NCMD`, `DCMD`): a payload that sets one metric.
///
/// Numbers must fit the data type exactly; a boolean may also be 1 or 0, a date may be RFC 3339 or milliseconds,
/// bytes are Base64, null is null. A metric that has an alias is named by that alone, as the specification wants it.
///
/// # Errors
/// The value is not one of the data type, or none of it can be sent (tables, templates and arrays).
pub fn encode(
    name: &str,
    alias: Option<u64>,
    datatype: u32,
    value: &Json,
    timestamp_ms: i64,
) -> Result<Vec<u8>, Fault> {
    let field = match value {
        Json::Null => None,
        value => Some(field(datatype, value).ok_or_else(|| {
            let detail = format!("{name}: {value} is no value of Sparkplug's data type {datatype}");
            Fault::new(FaultKind::Payload, detail)
        })?),
    };
    let timestamp = u64::try_from(timestamp_ms).ok();
    let metric = Metric {
        name: alias.is_none().then(|| name.to_owned()),
        alias,
        timestamp,
        datatype: Some(datatype),
        is_null: field.is_none().then_some(true),
        value: field,
        ..Metric::default()
    };
    let payload = Payload {
        timestamp,
        metrics: vec![metric],
        seq: None,
    };
    Ok(payload.encode_to_vec())
}

/// The field that holds a value of this type.
fn field(datatype: u32, value: &Json) -> Option<Value> {
    match datatype {
        datatype::INT8..=datatype::UINT64 => integer(datatype, value),
        datatype::FLOAT => {
            let number = value.as_f64()? as f32;
            number.is_finite().then_some(Value::Float(number))
        }
        datatype::DOUBLE => value.as_f64().map(Value::Double),
        datatype::BOOLEAN => boolean(value).map(Value::Boolean),
        datatype::STRING | datatype::TEXT | datatype::UUID => {
            value.as_str().map(|text| Value::String(text.to_owned()))
        }
        datatype::DATE_TIME => date_time(value).map(Value::Long),
        datatype::BYTES | datatype::FILE => {
            let bytes = BASE64.decode(value.as_str()?).ok()?;
            Some(Value::Bytes(bytes))
        }
        _ => None,
    }
}

/// A whole number in the bounds of its type; 21.0 is one.
fn integer(datatype: u32, value: &Json) -> Option<Value> {
    let (min, max) = match datatype {
        datatype::INT8 => (i128::from(i8::MIN), i128::from(i8::MAX)),
        datatype::INT16 => (i128::from(i16::MIN), i128::from(i16::MAX)),
        datatype::INT32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        datatype::INT64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        datatype::UINT8 => (0, i128::from(u8::MAX)),
        datatype::UINT16 => (0, i128::from(u16::MAX)),
        datatype::UINT32 => (0, i128::from(u32::MAX)),
        _ => (0, i128::from(u64::MAX)),
    };
    let whole = whole(value)?;
    if !(min..=max).contains(&whole) {
        return None;
    }
    let field = match datatype {
        datatype::INT64 | datatype::UINT64 => Value::Long(whole as u64),
        _ => Value::Int(whole as u32),
    };
    Some(field)
}

fn whole(value: &Json) -> Option<i128> {
    let number = value.as_number()?;
    number.as_i128().or_else(|| {
        let float = number.as_f64()?;
        (float.fract() == 0.0).then_some(float as i128)
    })
}

fn boolean(value: &Json) -> Option<bool> {
    value.as_bool().or_else(|| match whole(value)? {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    })
}

fn date_time(value: &Json) -> Option<u64> {
    let milliseconds = match value {
        Json::String(text) => text.parse::<jiff::Timestamp>().ok()?.as_millisecond(),
        number => i64::try_from(whole(number)?).ok()?,
    };
    u64::try_from(milliseconds).ok()
}
