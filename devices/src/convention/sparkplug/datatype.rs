//! Sparkplug's numbers of data types (specification, 6.4.16).

pub(super) const INT8: u32 = 1;
pub(super) const INT16: u32 = 2;
pub(super) const INT32: u32 = 3;
pub(super) const INT64: u32 = 4;
pub(super) const UINT8: u32 = 5;
pub(super) const UINT16: u32 = 6;
pub(super) const UINT32: u32 = 7;
pub(super) const UINT64: u32 = 8;
pub(super) const FLOAT: u32 = 9;
pub(super) const DOUBLE: u32 = 10;
pub(super) const BOOLEAN: u32 = 11;
pub(super) const STRING: u32 = 12;
pub(super) const DATE_TIME: u32 = 13;
pub(super) const TEXT: u32 = 14;
pub(super) const UUID: u32 = 15;
pub(super) const BYTES: u32 = 17;
pub(super) const FILE: u32 = 18;
pub(super) const INT8_ARRAY: u32 = 22;
pub(super) const INT16_ARRAY: u32 = 23;
pub(super) const INT32_ARRAY: u32 = 24;
pub(super) const INT64_ARRAY: u32 = 25;
pub(super) const UINT8_ARRAY: u32 = 26;
pub(super) const UINT16_ARRAY: u32 = 27;
pub(super) const UINT32_ARRAY: u32 = 28;
pub(super) const UINT64_ARRAY: u32 = 29;
pub(super) const FLOAT_ARRAY: u32 = 30;
pub(super) const DOUBLE_ARRAY: u32 = 31;
pub(super) const BOOLEAN_ARRAY: u32 = 32;
pub(super) const STRING_ARRAY: u32 = 33;
pub(super) const DATE_TIME_ARRAY: u32 = 34;

/// Whether it is a whole number.
pub(super) fn is_integer(datatype: u32) -> bool {
    (INT8..=UINT64).contains(&datatype)
}

/// Whether it is a number that is measured or set.
pub(super) fn is_number(datatype: u32) -> bool {
    (INT8..=DOUBLE).contains(&datatype)
}

/// Whether it is text.
pub(super) fn is_text(datatype: u32) -> bool {
    matches!(datatype, STRING | TEXT | UUID)
}

/// Whether a value of it can be made of JSON and sent.
pub(super) fn is_settable(datatype: u32) -> bool {
    (INT8..=UUID).contains(&datatype) || matches!(datatype, BYTES | FILE)
}

/// The integer that stands in an unsigned field, which holds negative ones as two's complement of the
/// type's own width or of the field's.
pub(super) fn integer(datatype: u32, field: u64) -> i128 {
    match datatype {
        INT8 | INT8_ARRAY => i128::from(field as i8),
        INT16 | INT16_ARRAY => i128::from(field as i16),
        INT32 | INT32_ARRAY => i128::from(field as i32),
        INT64 | INT64_ARRAY => i128::from(field as i64),
        _ => i128::from(field),
    }
}
