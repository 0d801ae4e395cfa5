use serde_json::json;

use super::conventions::{Case, check};
use super::fixture;

/// Data types of the specification.
const INT16: u64 = 2;
const FLOAT: u64 = 9;
/// Fields of a metric.
const INT_VALUE: u64 = 10;
const FLOAT_VALUE: u64 = 12;
/// Numbers of the wire types of protobuf.
const VARINT: u64 = 0;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

/// When the birth certificate was made.
const BORN_MS: u64 = 1_736_603_810_490;

#[test]
fn sparkplug() {
    let hex = String::from_utf8(fixture("sparkplug/nbirth.hex")).expect("text");
    let hex: String = hex.lines().filter(|l| !l.starts_with('#')).collect();
    let digits = hex.as_bytes().chunks(2);
    let birth = digits.map(|pair| {
        let pair = std::str::from_utf8(pair).expect("digits");
        u8::from_str_radix(pair, 16).expect("hex")
    });
    let (flow, offset) = (62.5_f32.to_bits(), (-3_i16).cast_unsigned());
    check(Case {
        house: "sparkplug",
        identifier: "sparkplug:home/gw",
        says: vec![
            ("spBv1.0/home/NBIRTH/gw", birth.collect()),
            (
                "spBv1.0/home/NDATA/gw",
                data(BORN_MS + 1_000, &flow_is(flow)),
            ),
        ],
        rows: vec![
            ("Boiler/Flow", Some(61.5), None, "°C"),
            ("Boiler/Flow", Some(62.5), None, "°C"),
            ("Boiler/Offset", Some(-5.0), None, ""),
            ("Boiler/Offset", Some(-3.0), None, ""),
            ("Properties/Model", None, Some("EG-4"), ""),
        ],
        set: ("Boiler/Offset", json!(-3)),
        refuses: json!(40_000),
        command_topic: "spBv1.0/home/NCMD/gw",
        is_command: |payload| {
            // The payload's time, then the metric by its alias with the same time, and nothing else.
            let (&key, rest) = payload.split_first().expect("a payload");
            assert_eq!(u64::from(key), 1 << 3 | VARINT);
            let ts = read_varint(rest);
            assert!(ts > BORN_MS, "{ts}");
            let metric = [
                field(2, 3),
                field(3, ts),
                field(4, INT16),
                // As the reference implementation writes a negative number.
                field(INT_VALUE, u64::from((-3_i32).cast_unsigned())),
            ];
            assert_eq!(
                payload,
                [field(1, ts), message(2, &metric.concat())].concat()
            );
        },
        answer: (
            "spBv1.0/home/NDATA/gw",
            data(
                BORN_MS + 1_000,
                &[
                    field(2, 3),
                    field(4, INT16),
                    field(INT_VALUE, u64::from(offset)),
                ]
                .concat(),
            ),
        ),
    });
}

/// The metric with the alias 2, a float of these bits.
fn flow_is(bits: u32) -> Vec<u8> {
    let mut value = varint(FLOAT_VALUE << 3 | FIXED32);
    value.extend(bits.to_le_bytes());
    [field(2, 2), field(4, FLOAT), value].concat()
}

/// A payload with one metric.
fn data(ts: u64, metric: &[u8]) -> Vec<u8> {
    [field(1, ts), message(2, metric), field(3, 1)].concat()
}

fn field(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3 | VARINT), varint(value)].concat()
}

fn message(number: u64, bytes: &[u8]) -> Vec<u8> {
    let length = varint(bytes.len() as u64);
    [varint(number << 3 | BYTES), length, bytes.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn read_varint(bytes: &[u8]) -> u64 {
    let last = bytes.iter().position(|byte| byte & 0x80 == 0);
    let bytes = &bytes[..=last.expect("it ends")];
    bytes
        .iter()
        .rev()
        .fold(0, |value, byte| value << 7 | u64::from(byte & 0x7f))
}
