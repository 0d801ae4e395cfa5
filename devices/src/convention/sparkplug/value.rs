use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Number, Value as Json, json};

use super::{
    datatype,
    proto::{CellValue, DataSet, Value},
};

/// Above this, not every integer is a 64-bit float.
const EXACT_MAX: u128 = 1 << 53;

/// Elements of an array that is read; a longer one stays bytes. A bit becomes many bytes of JSON.
const ELEMENTS_MAX: usize = 64 * 1024;

/// What a value says: its number, and its text where it is not just a number.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Said {
    pub(super) value: Option<f64>,
    pub(super) text: Option<String>,
}

impl Said {
    pub(super) fn text(text: impl Into<String>) -> Said {
        Said {
            value: None,
            text: Some(text.into()),
        }
    }

    fn number(number: f64) -> Said {
        if number.is_finite() {
            Said {
                value: Some(number),
                text: None,
            }
        } else {
            Said::text(number.to_string())
        }
    }

    fn integer(integer: i128) -> Said {
        let exact = integer.unsigned_abs() <= EXACT_MAX;
        Said {
            value: Some(integer as f64),
            text: (!exact).then(|| integer.to_string()),
        }
    }

    fn boolean(on: bool) -> Said {
        Said {
            value: Some(f64::from(u8::from(on))),
            text: Some(on.to_string()),
        }
    }

    /// Milliseconds since 1970 as a number, and the date as text.
    fn date_time(milliseconds: u64) -> Said {
        let date = i64::try_from(milliseconds)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let number = Said::integer(i128::from(milliseconds));
        Said {
            text: date.map(|date| date.to_string()).or(number.text),
            ..number
        }
    }
}

/// What the value of a metric says. Templates are no value of their own.
pub(super) fn said(datatype: u32, value: &Value) -> Said {
    match value {
        Value::Int(field) => whole(datatype, u64::from(*field)),
        Value::Long(field) => whole(datatype, *field),
        Value::Float(number) => Said::number(widened(*number)),
        Value::Double(number) => Said::number(*number),
        Value::Boolean(on) => Said::boolean(*on),
        Value::String(text) => Said::text(text),
        Value::Bytes(bytes) => Said::text(
            array(datatype, bytes).map_or_else(|| BASE64.encode(bytes), |array| array.to_string()),
        ),
        Value::DataSet(table) => Said::text(rows(table).to_string()),
        Value::Template(_) => Said::default(),
    }
}

fn whole(datatype: u32, field: u64) -> Said {
    match datatype {
        datatype::BOOLEAN => Said::boolean(field != 0),
        datatype::DATE_TIME => Said::date_time(field),
        _ => Said::integer(datatype::integer(datatype, field)),
    }
}

/// A 32-bit float as the decimal that its sender meant: 21.3, not 21.299999237060547.
pub(super) fn widened(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::from(number))
}

/// A table as JSON.
fn rows(table: &DataSet) -> Json {
    let cell = |place: usize, cell: &Option<CellValue>| {
        let datatype = table.types.get(place).copied().unwrap_or_default();
        cell.as_ref()
            .map_or(Json::Null, |cell| cell_json(datatype, cell))
    };
    let rows: Vec<Json> = table
        .rows
        .iter()
        .map(|row| {
            let cells = row.elements.iter().enumerate();
            cells.map(|(n, c)| cell(n, &c.value)).collect()
        })
        .collect();
    json!({"columns": table.columns, "rows": rows})
}

fn cell_json(datatype: u32, cell: &CellValue) -> Json {
    match cell {
        CellValue::Int(field) if datatype == datatype::BOOLEAN => Json::Bool(*field != 0),
        CellValue::Int(field) => whole_json(datatype, u64::from(*field)),
        CellValue::Long(field) => whole_json(datatype, *field),
        CellValue::Float(number) => float_json(widened(*number)),
        CellValue::Double(number) => float_json(*number),
        CellValue::Boolean(on) => Json::Bool(*on),
        CellValue::String(text) => Json::String(text.clone()),
    }
}

fn whole_json(datatype: u32, field: u64) -> Json {
    Number::from_i128(datatype::integer(datatype, field)).map_or(Json::Null, Json::Number)
}

/// JSON has no words for what is not finite; those stay text.
fn float_json(number: f64) -> Json {
    Number::from_f64(number).map_or_else(|| Json::String(number.to_string()), Json::Number)
}

/// An array, which stands in bytes; none where the type is no array or the bytes do not fit it.
fn array(datatype: u32, bytes: &[u8]) -> Option<Json> {
    let width = match datatype {
        datatype::INT8_ARRAY | datatype::UINT8_ARRAY => 1,
        datatype::INT16_ARRAY | datatype::UINT16_ARRAY => 2,
        datatype::INT32_ARRAY | datatype::UINT32_ARRAY | datatype::FLOAT_ARRAY => 4,
        datatype::INT64_ARRAY
        | datatype::UINT64_ARRAY
        | datatype::DOUBLE_ARRAY
        | datatype::DATE_TIME_ARRAY => 8,
        datatype::BOOLEAN_ARRAY => return booleans(bytes),
        datatype::STRING_ARRAY => return strings(bytes),
        _ => return None,
    };
    if !bytes.len().is_multiple_of(width) || bytes.len() / width > ELEMENTS_MAX {
        return None;
    }
    let element = |bytes: &[u8]| {
        let field = bytes
            .iter()
            .rev()
            .fold(0, |field, byte| field << 8 | u64::from(*byte));
        match datatype {
            datatype::FLOAT_ARRAY => float_json(widened(f32::from_bits(field as u32))),
            datatype::DOUBLE_ARRAY => float_json(f64::from_bits(field)),
            _ => whole_json(datatype, field),
        }
    };
    Some(bytes.chunks_exact(width).map(element).collect())
}

/// Four bytes that count, then a bit for each, the highest first.
fn booleans(bytes: &[u8]) -> Option<Json> {
    let (count, bits) = bytes.split_first_chunk::<4>()?;
    let count = u32::from_le_bytes(*count) as usize;
    if bits.len() != count.div_ceil(8) || count > ELEMENTS_MAX {
        return None;
    }
    let bit = |n: usize| Json::Bool(bits[n / 8] & (0x80 >> (n % 8)) != 0);
    Some((0..count).map(bit).collect())
}

/// Texts that each end with a zero byte.
fn strings(bytes: &[u8]) -> Option<Json> {
    let text = std::str::from_utf8(bytes).ok()?;
    if bytes.iter().filter(|byte| **byte == 0).count() > ELEMENTS_MAX {
        return None;
    }
    let Some(text) = text.strip_suffix('\0') else {
        return text.is_empty().then(|| json!([]));
    };
    Some(text.split('\0').collect())
}
