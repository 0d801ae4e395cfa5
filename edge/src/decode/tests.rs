use arrow::{
    array::{Array, AsArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Int8Type, TimestampMillisecondType},
};
use tarn_common::ids::Seq;

use super::*;

const RECEIVED: i64 = 1_800_000_000_000;

/// What payloads on one topic become, one line a reading: `device metric value text unit`.
fn lines(topics: &Topics, topic: &str, payload: &[u8]) -> Vec<String> {
    let context = Context {
        topics: topics.clone(),
        ..Context::default()
    };
    let mut decoder = Decoder::new(&context, State::default());
    let record = Record {
        topic,
        payload,
        received_ms: RECEIVED,
        ..Record::control(Kind::Publish, Seq(1), "c")
    };
    decoder.record(&record);
    let rows = decoder.finish().rows;
    let batch = rows.batch(&rows.all()).expect("batch");
    let text = |i: usize| cast(batch.column(i), &DataType::Utf8).expect("casts");
    let (device, metric, words, unit) = (text(1), text(2), text(4), text(5));
    let value = batch.column(3).as_primitive::<Float64Type>();
    let show = |a: &dyn Array, row: usize| {
        if a.is_null(row) {
            "-".to_owned()
        } else {
            a.as_string::<i32>().value(row).to_owned()
        }
    };
    (0..batch.num_rows())
        .map(|r| {
            let number = if value.is_null(r) {
                "-".to_owned()
            } else {
                value.value(r).to_string()
            };
            let show = |a| show(a, r);
            format!(
                "{} {} {number} {} {}",
                show(&device),
                show(&metric),
                show(&words),
                show(&unit)
            )
        })
        .collect()
}

fn check(topic: &str, payload: impl AsRef<[u8]>, expected: &[&str]) {
    assert_eq!(lines(&Topics::default(), topic, payload.as_ref()), expected);
}

#[test]
fn plain_values() {
    check(
        "home/kitchen/temperature",
        "21.5",
        &["home/kitchen temperature 21.5 - -"],
    );
    check(
        "home/kitchen/temperature",
        " -3e2\n",
        &["home/kitchen temperature -300 - -"],
    );
    check(
        "home/kitchen/temperature",
        "23°C",
        &["home/kitchen temperature 23 - °C"],
    );
    check(
        "home/kitchen/temperature",
        "23.1 °C",
        &["home/kitchen temperature 23.1 - °C"],
    );
    check(
        "home/kitchen/humidity",
        "45%",
        &["home/kitchen humidity 45 - %"],
    );
    check("home/kitchen/light", "on", &["home/kitchen light 1 on -"]);
    check("home/kitchen/light", "OFF", &["home/kitchen light 0 OFF -"]);
    check("home/door", "locked", &["home door - locked -"]);
    check("temperature", "1", &["temperature value 1 - -"]);
    check("/leading", "1", &["/leading leading 1 - -"]);
    check("trailing/", "1", &["trailing value 1 - -"]);
}

#[test]
fn what_only_looks_like_a_number_is_text() {
    for text in [
        "12:30",
        "1.2.3.4",
        "2026-11-22",
        "3 apples",
        "NaN",
        "inf",
        "-Infinity",
        "1e400",
        "0x10",
        "",
        "null",
        "\"21\"",
    ] {
        check("d/m", text, &[&format!("d m - {text} -")]);
    }
}

#[test]
fn objects_are_flattened() {
    check(
        "home/kitchen",
        r#"{"temperature":21.5,"humidity":40}"#,
        &[
            "home/kitchen temperature 21.5 - -",
            "home/kitchen humidity 40 - -",
        ],
    );
    check(
        "tele/x/SENSOR",
        r#"{"ENERGY":{"Power":56,"Total":[2.5,0.25]},"state":"ON","ok":true,"none":null,"e":{},"l":[],"t":"23 °C"}"#,
        &[
            "tele/x/SENSOR ENERGY.Power 56 - -",
            "tele/x/SENSOR ENERGY.Total.0 2.5 - -",
            "tele/x/SENSOR ENERGY.Total.1 0.25 - -",
            "tele/x/SENSOR state 1 ON -",
            "tele/x/SENSOR ok 1 true -",
            "tele/x/SENSOR none - null -",
            "tele/x/SENSOR e - {} -",
            "tele/x/SENSOR l - [] -",
            "tele/x/SENSOR t 23 - °C",
        ],
    );
    check("d", "[1,2]", &["d 0 1 - -", "d 1 2 - -"]);
    check("d", "{}", &["d value - {} -"]);
}

#[test]
fn names_that_collide_stay_apart() {
    let payload = r#"{"a.b":1,"a":{"b":2},"a.b#2":3,"a.b":4}"#;
    check(
        "d",
        payload,
        &[
            "d a.b 1 - -",
            "d a.b#2 2 - -",
            "d a.b#2#2 3 - -",
            "d a.b#3 4 - -",
        ],
    );
}

#[test]
fn a_key_may_be_repeated_as_often_as_readings_may_be() {
    // Looking for each free number from the beginning would take seconds.
    let payload = format!(
        "{{{}\"a\":1}}",
        r#""a":1,"#.repeat(READINGS_PER_PAYLOAD_MAX - 1)
    );
    let lines = lines(&Topics::default(), "d", payload.as_bytes());
    assert_eq!(lines.len(), READINGS_PER_PAYLOAD_MAX);
    assert_eq!(lines[0], "d a 1 - -");
    let last = format!("d a#{READINGS_PER_PAYLOAD_MAX} 1 - -");
    assert_eq!(lines.last(), Some(&last));
}

#[test]
fn names_of_many_payloads_are_bounded() {
    let context = Context::default();
    let mut decoder = Decoder::new(&context, State::default());
    let payloads = NAMES_BYTES_MAX / (1000 * READINGS_PER_PAYLOAD_MAX) + 2;
    for n in 0..payloads {
        let values = "1,".repeat(READINGS_PER_PAYLOAD_MAX - 1);
        let payload = format!("{{\"{n:01000}\":[{values}1]}}");
        decoder.record(&Record {
            topic: "d",
            payload: payload.as_bytes(),
            received_ms: RECEIVED,
            ..Record::control(Kind::Publish, Seq(1), "c")
        });
    }
    let decoded = decoder.finish();
    assert!(decoded.odd_payloads > 0);
    assert!(decoded.rows.len() > READINGS_PER_PAYLOAD_MAX);
}

#[test]
fn bad_json_is_kept_whole() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = format!("[{}1]", "1,".repeat(READINGS_PER_PAYLOAD_MAX));
    let long = format!(r#"{{"a":1,"{}":[1,2]}}"#, "b".repeat(METRIC_BYTES_MAX));
    for text in [
        r#"{"a":1,"b":"#,
        r#"{"a":1e400}"#,
        r#"{"a":1} x"#,
        &long,
        &deep,
        &wide,
    ] {
        check("d/m", text, &[&format!("d m - {text} -")]);
    }
}

#[test]
fn bytes_that_are_no_text_are_kept_as_base64() {
    check("d/m", b"\xff\x00", &["d m - /wA= -"]);
}

#[test]
fn a_devices_own_time_counts_where_it_is_plausible() {
    let cases = [
        (
            r#"{"ts":1799999999,"t":1}"#,
            1_799_999_999_000,
            Quality::Good,
        ),
        (
            r#"{"t":1,"timestamp":1799999999500}"#,
            1_799_999_999_500,
            Quality::Good,
        ),
        (
            r#"{"time":"2027-01-15T08:00:00Z","t":1}"#,
            1_800_000_000_000,
            Quality::Good,
        ),
        (
            r#"{"ts":1790000000,"t":1}"#,
            1_790_000_000_000,
            Quality::Late,
        ),
        (r#"{"ts":86400,"t":1}"#, RECEIVED, Quality::ClockMended),
        (
            r#"{"ts":"2300-01-01T00:00:00Z","t":1}"#,
            RECEIVED,
            Quality::ClockMended,
        ),
        (r#"{"ts":"soon","t":1}"#, RECEIVED, Quality::Good),
        (r#"{"x":{"ts":5},"t":1}"#, RECEIVED, Quality::Good),
        (r#"{"ts":-1e300,"t":1}"#, RECEIVED, Quality::ClockMended),
    ];
    for (payload, ts, quality) in cases {
        let context = Context::default();
        let mut decoder = Decoder::new(&context, State::default());
        let record = Record {
            topic: "d",
            payload: payload.as_bytes(),
            received_ms: RECEIVED,
            ..Record::control(Kind::Publish, Seq(1), "c")
        };
        decoder.record(&record);
        let rows = decoder.finish().rows;
        let batch = rows.batch(&rows.all()).expect("batch");
        let found = batch.column(0).as_primitive::<TimestampMillisecondType>();
        let flags = batch.column(8).as_primitive::<Int8Type>();
        assert!(
            found.values().iter().all(|t| *t == ts),
            "{payload}: {found:?}"
        );
        assert!(
            flags.values().iter().all(|f| *f == quality as i8),
            "{payload}: {flags:?}"
        );
    }
}

#[test]
fn patterns_name_device_and_metric() {
    let topics = |pattern: &str| Topics::new(vec![pattern.parse().expect("pattern")]);
    let t = topics("site/+/{device}/{metric}");
    assert_eq!(lines(&t, "site/1/boiler/flow", b"7"), ["boiler flow 7 - -"]);
    assert_eq!(
        lines(&t, "site/1/boiler/flow", br#"{"a":7}"#),
        ["boiler flow.a 7 - -"]
    );
    assert_eq!(
        lines(&t, "other/1/boiler/flow", b"7"),
        ["other/1/boiler flow 7 - -"],
        "falls to the default"
    );
    let t = topics("z/{device}/{device}/#");
    assert_eq!(lines(&t, "z/a/b/c/d", b"7"), ["a/b value 7 - -"]);
    for bad in ["a/#/{device}", "a/b", "a/x{device}"] {
        assert!(bad.parse::<topic::Pattern>().is_err(), "{bad}");
    }
}
