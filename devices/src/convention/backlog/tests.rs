use super::*;

const ROWS: &str = include_str!("../../../fixtures/backlog/rows.json");
const COLUMNS: &str = include_str!("../../../fixtures/backlog/columns.json");

type Shown<'a> = (i64, &'a str, Option<f64>, Option<&'a str>, Option<&'a str>);

/// A payload and its readings: time, metric, value, text, unit.
fn check(payload: &str, expected: &[Shown<'_>]) {
    let readings = read(payload.as_bytes()).expect(payload);
    let mut found: Vec<Shown<'_>> = readings
        .iter()
        .map(|r| {
            let ts = r.ts.expect("time");
            let (text, unit) = (r.text.as_deref(), r.unit.as_deref());
            (ts, r.metric.as_ref(), r.value, text, unit)
        })
        .collect();
    // The order of an object's keys is the parser's own.
    let mut expected = expected.to_vec();
    for rows in [&mut found, &mut expected] {
        rows.sort_by_key(|(ts, metric, ..)| (*ts, *metric));
    }
    assert_eq!(found, expected, "{payload}");
    assert!(readings.iter().all(|r| r.historical));
}

fn check_fault(payload: &str, detail: &str) {
    let fault = read(payload.as_bytes()).expect_err(detail);
    assert_eq!(fault.kind, FaultKind::Payload);
    assert!(fault.detail.contains(detail), "{fault} has no {detail}");
}

#[test]
fn rows_name_their_metric_or_have_several() {
    let late = 1_736_604_000_000;
    check(
        ROWS,
        &[
            (
                1_736_603_810_000,
                "temperature",
                Some(21.5),
                None,
                Some("°C"),
            ),
            (1_736_603_870_250, "window", Some(1.0), Some("true"), None),
            (1_736_603_930_000, "mode", None, Some("eco"), None),
            (late, "battery.cells.0", Some(1.51), None, None),
            (late, "battery.cells.1", Some(1.49), None, None),
            (late, "battery.percent", Some(81.0), None, None),
            (late, "humidity", Some(40.0), None, None),
            (late, "temperature", Some(21.7), None, None),
        ],
    );
}

#[test]
fn columns_share_their_times() {
    check(
        COLUMNS,
        &[
            (1_736_603_810_000, "door", Some(1.0), Some("on"), None),
            (1_736_603_870_000, "door", Some(0.0), Some("off"), None),
            (1_736_603_930_000, "door", None, Some("ajar"), None),
            (1_736_603_810_000, "humidity", Some(40.0), None, None),
            (1_736_603_870_000, "humidity", Some(41.0), None, None),
            (1_736_603_810_000, "temperature", Some(21.5), None, None),
            (1_736_603_930_000, "temperature", Some(21.7), None, None),
        ],
    );
}

#[test]
fn a_row_may_stand_alone() {
    check(
        r#"{"ts":1,"metric":"a.b","value":"-2.5"}"#,
        &[(1000, "a.b", Some(-2.5), None, None)],
    );
    check(
        r#"{"ts":1,"value":5,"unit":"x"}"#,
        &[
            (1000, "unit", None, Some("x"), None),
            (1000, "value", Some(5.0), None, None),
        ],
    );
    check("[]", &[]);
    check(r#"{"ts":[],"a":[]}"#, &[]);
    check(r#"{"ts":5}"#, &[]);
    check(r#"{"ts":5,"metric":"a","value":null}"#, &[]);
}

#[test]
fn a_time_is_seconds_milliseconds_or_a_date() {
    for (ts, milliseconds) in [
        ("0", 0),
        ("0.0005", 1),
        ("99999999999", 99_999_999_999_000),
        ("100000000000", 100_000_000_000),
        ("1736603810490", 1_736_603_810_490),
        ("253402300799999", 253_402_300_799_999),
        (r#""2025-01-11T13:56:50.49Z""#, 1_736_603_810_490),
        (r#""2025-01-11T13:56:50-02:00""#, 1_736_611_010_000),
    ] {
        let payload = format!(r#"{{"ts":{ts},"a":1}}"#);
        check(&payload, &[(milliseconds, "a", Some(1.0), None, None)]);
    }
}

#[test]
fn words_that_look_like_numbers_stay_words() {
    for word in ["inf", "NaN", "-infinity", "1e400", "21.5 °C", "", "-"] {
        let payload = format!(r#"{{"ts":1,"a":"{word}"}}"#);
        check(&payload, &[(1000, "a", None, Some(word), None)]);
    }
}

#[test]
fn a_reading_without_a_usable_time_spoils_its_payload() {
    check_fault(r#"[{"ts":1,"a":1},{"a":2}]"#, "row 1: no ts");
    check_fault(r#"{"a":2}"#, "no ts");
    check_fault(r#"[{"ts":"noon","a":1}]"#, "row 0: ts: \"noon\" is no time");
    check_fault(r#"[{"ts":"2025-01-11T13:56:50","a":1}]"#, "is no time");
    check_fault(r#"[{"ts":-1,"a":1}]"#, "ts: -1 is no time");
    check_fault(r#"[{"ts":1e300,"a":1}]"#, "is no time");
    check_fault(r#"[{"ts":253402300800000,"a":1}]"#, "is no time");
    check_fault(r#"[{"ts":null,"a":1}]"#, "ts: null is no time");
    check_fault(r#"[{"ts":[1],"a":1}]"#, "ts: an array is no time");
    check_fault(
        r#"{"ts":[1,{}],"a":[1,2]}"#,
        "place 1: ts: an object is no time",
    );
    let long = format!(r#"{{"ts":"{}"}}"#, "x".repeat(5000));
    let fault = read(long.as_bytes()).expect_err("no time");
    assert!(fault.detail.len() < 100, "{fault}");
}

#[test]
fn other_forms_are_faults() {
    check_fault("", "EOF");
    check_fault("21.5", "a number is no object");
    check_fault("[21.5]", "row 0: a number is no object");
    check_fault("null", "null is no object");
    check_fault("[{\"ts\":1},", "EOF");
    check_fault("\u{1}", "expected value");
    check_fault(r#"{"ts":1,"metric":"a"}"#, "a metric without a value");
    check_fault(
        r#"{"ts":1,"metric":5,"value":1}"#,
        "a metric without a value",
    );
    check_fault(r#"{"ts":1,"metric":"","value":1}"#, "without a name");
    check_fault(r#"{"ts":1,"":5}"#, "without a name");
    check_fault(r#"{"ts":1,"metric":"a","value":[1]}"#, "value: an array");
    check_fault(r#"{"ts":1,"metric":"a","value":1,"b":2}"#, "b: beside");
    check_fault(
        r#"{"ts":1,"metric":"a","value":1,"unit":2}"#,
        "unit: a number",
    );
    check_fault(r#"{"ts":[1,2],"a":[1]}"#, "a: 1 cells for 2 times");
    check_fault(r#"{"ts":[1,2],"a":5}"#, "a: a number is no column");
    assert!(read(&[0xff, 0xfe]).is_err());
}

#[test]
fn bounds_hold() {
    let nested = |n: usize| format!(r#"{{"ts":1,"a":{}1{}}}"#, "[".repeat(n), "]".repeat(n));
    let metric = format!("a{}", ".0".repeat(NESTING_MAX));
    check(
        &nested(NESTING_MAX),
        &[(1000, &metric, Some(1.0), None, None)],
    );
    check_fault(&nested(NESTING_MAX + 1), "a: nested deeper than 8");
    check_fault(&nested(100_000), "recursion");

    let key = |n: usize| format!(r#"{{"ts":1,"{}":1}}"#, "k".repeat(n));
    assert!(read(key(METRIC_BYTES_MAX).as_bytes()).is_ok());
    check_fault(
        &key(METRIC_BYTES_MAX + 1),
        "kkk: a name of more than 1024 bytes",
    );
    let fault = read(key(100_000).as_bytes()).expect_err("name");
    assert!(fault.detail.len() < 100, "{fault}");

    let columns = |n: usize| {
        let cells = vec!["1"; n].join(",");
        format!(r#"{{"ts":[{cells}],"a":[{cells}]}}"#)
    };
    let all = columns(READINGS_MAX);
    assert_eq!(read(all.as_bytes()).map(|r| r.len()), Ok(READINGS_MAX));
    check_fault(&columns(READINGS_MAX + 1), "more than 100000 times");
    let rows = vec![r#"{"ts":1,"a":1}"#; READINGS_MAX + 1].join(",");
    check_fault(
        &format!("[{rows}]"),
        "row 100000: a: more than 100000 readings",
    );
    check_fault(&" ".repeat(PAYLOAD_BYTES_MAX + 1), "longer than");
}
