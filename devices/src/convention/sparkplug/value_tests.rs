use super::{
    proto::{Cell, CellValue, DataSet, Metric, Row, Value},
    tests::{AT, learn, metric, payload, taken, template},
};

/// What a value of this type reads.
fn check(datatype: u32, value: Value, number: Option<f64>, text: Option<&str>) {
    let shown = format!("{datatype}: {value:?}");
    let payload = payload(vec![metric("m", datatype, value)]);
    let taken = taken(&payload);
    assert_eq!(taken.len(), 1, "{shown}");
    assert_eq!(taken[0].value, number, "{shown}");
    assert_eq!(taken[0].text.as_deref(), text, "{shown}");
}

#[test]
fn integers_have_the_sign_of_their_type() {
    check(1, Value::Int(251), Some(-5.0), None);
    check(1, Value::Int(0xffff_fffb), Some(-5.0), None);
    check(2, Value::Int(0xfffb), Some(-5.0), None);
    check(3, Value::Int(0xffff_fffb), Some(-5.0), None);
    check(3, Value::Long(0xffff_ffff_ffff_fffb), Some(-5.0), None);
    check(4, Value::Long(0xffff_ffff_ffff_fffb), Some(-5.0), None);
    check(5, Value::Int(251), Some(251.0), None);
    check(7, Value::Long(4_294_967_291), Some(4_294_967_291.0), None);
    check(0, Value::Int(5), Some(5.0), None);
    let many = u64::MAX;
    check(
        8,
        Value::Long(many),
        Some(many as f64),
        Some("18446744073709551615"),
    );
}

#[test]
fn every_type_has_a_number_or_a_text() {
    check(9, Value::Float(21.3), Some(21.3), None);
    check(10, Value::Double(-0.25), Some(-0.25), None);
    check(10, Value::Double(f64::NAN), None, Some("NaN"));
    check(9, Value::Float(f32::INFINITY), None, Some("inf"));
    check(11, Value::Boolean(true), Some(1.0), Some("true"));
    check(11, Value::Int(0), Some(0.0), Some("false"));
    check(12, Value::String("on".to_owned()), None, Some("on"));
    let date = Some("2025-01-11T13:56:50.49Z");
    check(13, Value::Long(AT), Some(AT as f64), date);
    check(
        13,
        Value::Long(u64::MAX >> 1),
        Some(2f64.powi(63)),
        Some("9223372036854775807"),
    );
    check(17, Value::Bytes(vec![0, 255, 16]), None, Some("AP8Q"));
    check(18, Value::Bytes(Vec::new()), None, Some(""));
}

#[test]
fn arrays_are_json() {
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec());
    check(22, bytes(&[1, 255]), None, Some("[1,-1]"));
    check(23, bytes(&[0xfb, 0xff]), None, Some("[-5]"));
    check(28, bytes(&[0, 0, 1, 0]), None, Some("[65536]"));
    check(30, bytes(&21.3f32.to_le_bytes()), None, Some("[21.3]"));
    check(31, bytes(&1.5f64.to_le_bytes()), None, Some("[1.5]"));
    check(
        32,
        bytes(&[3, 0, 0, 0, 0xa0]),
        None,
        Some("[true,false,true]"),
    );
    check(33, bytes(b"a\0bc\0"), None, Some(r#"["a","bc"]"#));
    check(33, bytes(b""), None, Some("[]"));
    // What does not fit its type stays bytes.
    check(23, bytes(&[1, 2, 3]), None, Some("AQID"));
    check(32, bytes(&[255, 255, 255, 255, 0]), None, Some("/////wA="));
    check(32, bytes(&[1]), None, Some("AQ=="));
    check(33, bytes(b"a"), None, Some("YQ=="));
    check(33, bytes(&[255, 0]), None, Some("/wA="));
}

#[test]
fn a_table_is_json() {
    let row = |cells: Vec<CellValue>| Row {
        elements: cells.into_iter().map(|c| Cell { value: Some(c) }).collect(),
    };
    let table = DataSet {
        columns: vec!["n".to_owned(), "word".to_owned()],
        types: vec![1, 12],
        rows: vec![
            row(vec![CellValue::Int(251), CellValue::String("a".to_owned())]),
            row(vec![CellValue::Double(f64::NAN)]),
        ],
    };
    let text = r#"{"columns":["n","word"],"rows":[[-5,"a"],["NaN"]]}"#;
    check(16, Value::DataSet(Box::new(table)), None, Some(text));
}

#[test]
fn members_of_a_template_are_metrics_below_its_name() {
    let member = || vec![metric("rpm", 3, Value::Int(900))];
    let inner = metric("pump", 19, template(member(), false));
    let payload = payload(vec![
        metric("boiler", 19, template(vec![inner], false)),
        metric("Pump", 19, template(member(), true)),
    ]);
    let taken = taken(&payload);
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].metric, "boiler/pump/rpm");
    assert_eq!(taken[0].value, Some(900.0));
    let born = learn("spBv1.0/home/NBIRTH/gw", &payload);
    assert_eq!(born.points, []);
}

#[test]
fn times_and_history_are_the_metric_s_own() {
    let late = Metric {
        timestamp: Some(1_700_000_000_000),
        is_historical: Some(true),
        ..metric("late", 10, Value::Double(1.0))
    };
    let null = Metric {
        is_null: Some(true),
        value: None,
        ..metric("null", 10, Value::Double(1.0))
    };
    let never = Metric {
        timestamp: Some(u64::MAX),
        ..metric("never", 10, Value::Double(1.0))
    };
    let payload = payload(vec![late, null, never]);
    let taken = taken(&payload);
    assert_eq!(
        (taken[0].ts, taken[0].historical),
        (Some(1_700_000_000_000), true)
    );
    assert_eq!((taken[1].ts, taken[1].historical), (Some(AT as i64), false));
    assert_eq!(
        (taken[1].value, taken[1].text.as_deref()),
        (None, Some("null"))
    );
    assert_eq!(taken[2].ts, None);
}
