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

/// Devices that were announced by these messages.
fn announced(messages: &[(&str, &[u8])]) -> Context {
    let mut registry = tarn_devices::registry::Registry::new();
    for (topic, payload) in messages {
        let message = tarn_devices::Message { topic, payload };
        registry.hear(&message, 1, RECEIVED);
    }
    Context {
        schema: registry.schema(),
        zone: TimeZone::get("Europe/Vienna").expect("zone"),
        ..Context::default()
    }
}

/// What payloads on a device's topic become, one line a reading: `metric value text unit`, and the faults.
fn said(context: &Context, topic: &str, payloads: &[&[u8]]) -> (Vec<String>, Vec<FaultKind>) {
    let mut decoder = Decoder::new(context, State::default());
    for (n, payload) in payloads.iter().enumerate() {
        decoder.record(&Record {
            topic,
            payload,
            received_ms: RECEIVED + n as i64,
            ..Record::control(Kind::Publish, Seq(n as u64 + 1), "c")
        });
    }
    let decoded = decoder.finish();
    let batch = decoded.rows.batch(&decoded.rows.all()).expect("batch");
    let unit = cast(batch.column(5), &DataType::Utf8).expect("casts");
    let unit = unit.as_string::<i32>();
    let lines = decoded
        .rows
        .iter()
        .enumerate()
        .map(|(row, (_, metric, value, text))| {
            let value = value.map_or_else(|| "-".to_owned(), |value| value.to_string());
            let unit = if unit.is_null(row) {
                "-"
            } else {
                unit.value(row)
            };
            format!("{metric} {value} {} {unit}", text.unwrap_or("-"))
        });
    (
        lines.collect(),
        decoded.faults.iter().map(|f| f.fault.kind).collect(),
    )
}

fn check_said(context: &Context, topic: &str, payload: &[u8], expected: &[&str]) {
    let (lines, faults) = said(context, topic, &[payload]);
    assert_eq!(lines, expected, "{topic}");
    assert_eq!(faults, [], "{topic}");
}

fn sensor(more: &str) -> String {
    format!(
        r#"{{"name":"Temperature","uniq_id":"u","stat_t":"a/state","unit_of_meas":"C","dev":{{"ids":["a"]}}{more}}}"#
    )
}

const CONFIG: &str = "homeassistant/sensor/a/config";

#[test]
fn a_template_makes_a_reading_beside_the_raw_ones() {
    let config = sensor(r#","val_tpl":"{{ value_json.temperature / 10 }}""#);
    let context = announced(&[(CONFIG, config.as_bytes())]);
    check_said(
        &context,
        "a/state",
        br#"{"temperature":215,"humidity":40}"#,
        &[
            "temperature.raw 215 - -",
            "humidity 40 - -",
            "temperature 21.5 - °C",
        ],
    );
}

#[test]
fn a_template_that_fails_keeps_the_raw_reading() {
    let config = sensor(r#","val_tpl":"{{ value | no_such_filter }}""#);
    let context = announced(&[(CONFIG, config.as_bytes())]);
    let (lines, faults) = said(&context, "a/state", &[b"215"]);
    assert_eq!(lines, ["state 215 - -"]);
    assert_eq!(faults, [FaultKind::Template]);
}

#[test]
fn a_payload_that_is_not_what_was_announced_is_kept_and_told() {
    let config = sensor(r#","val_tpl":"{{ value_json.temperature }}""#);
    let context = announced(&[(CONFIG, config.as_bytes())]);
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    let (lines, faults) = said(&context, "a/state", &[b"n/a", deep.as_bytes()]);
    assert_eq!(
        lines,
        ["state - n/a -".to_owned(), format!("state - {deep} -")]
    );
    assert_eq!(faults, [FaultKind::Payload, FaultKind::Payload]);
}

#[test]
fn a_counter_goes_on_over_its_resets() {
    let config = sensor(r#","stat_cla":"total_increasing","val_tpl":"{{ value_json.e }}""#)
        .replace("\"C\"", "\"kwh\"");
    let context = announced(&[(CONFIG, config.as_bytes())]);
    let payloads: [&[u8]; 4] = [
        br#"{"e":514}"#,
        br#"{"e":0}"#,
        br#"{"e":514.5}"#,
        br#"{"e":"n/a"}"#,
    ];
    let (lines, _) = said(&context, "a/state", &payloads);
    assert_eq!(
        lines,
        [
            "e 514 - kWh",
            "e.cumulative 514 - kWh",
            "e 0 - kWh",
            "e.cumulative 514 - kWh",
            "e 514.5 - kWh",
            "e.cumulative 514.5 - kWh",
            "e - n/a -",
        ]
    );
}

#[test]
fn local_time_is_the_homes() {
    let config = r#"{"dn":"Plug","mac":"AABBCCDDEEFF","t":"plug","ft":"%prefix%/%topic%/","tp":["cmnd","stat","tele"],"onln":"Online","ofln":"Offline","rl":[1],"ver":1}"#;
    let context = announced(&[("tasmota/discovery/AABBCCDDEEFF/config", config.as_bytes())]);
    let payload = br#"{"Time":"2027-01-15T09:00:00","ENERGY":{"Power":56}}"#;
    check_said(
        &context,
        "tele/plug/SENSOR",
        payload,
        &["ENERGY.Power 56 - W"],
    );
    let mut decoder = Decoder::new(&context, State::default());
    decoder.record(&Record {
        topic: "tele/plug/SENSOR",
        payload,
        received_ms: RECEIVED,
        ..Record::control(Kind::Publish, Seq(1), "c")
    });
    let decoded = decoder.finish();
    let batch = decoded.rows.batch(&decoded.rows.all()).expect("batch");
    let ts = batch.column(0).as_primitive::<TimestampMillisecondType>();
    // 09:00 in Vienna in winter is 08:00 UTC.
    assert_eq!(ts.value(0), 1_800_000_000_000);
}

#[test]
fn a_partial_status_gives_what_changed() {
    let rpc = "shellyplus1pm-a8032abe54dc/events/rpc";
    let payload = br#"{"src":"shellyplus1pm-a8032abe54dc","dst":"x/events","method":"NotifyStatus","params":{"ts":1800000000.49,"switch:0":{"id":0,"apower":47.1}}}"#;
    let context = announced(&[(rpc, payload)]);
    check_said(
        &context,
        rpc,
        payload,
        &["switch:0.id 0 - -", "switch:0.apower 47.1 - W"],
    );
    let event = br#"{"src":"s","dst":"x","method":"Ping"}"#;
    let (lines, _) = said(&context, rpc, &[event]);
    assert_eq!(
        lines.len(),
        1,
        "a message without parameters is kept whole: {lines:?}"
    );
}

#[test]
fn announcements_become_what_they_say_once() {
    let config = sensor(r#","val_tpl":"{{ value_json.t }}""#)
        .replace(r#"["a"]"#, r#"["a"],"name":"Attic","mf":"Acme""#);
    let context = announced(&[(CONFIG, config.as_bytes())]);
    let (lines, _) = said(
        &context,
        CONFIG,
        &[config.as_bytes(), config.as_bytes(), b""],
    );
    assert_eq!(lines, ["device.name - Attic -", "device.vendor - Acme -"]);
    let (lines, _) = said(&context, CONFIG, &[b"{nonsense"]);
    assert_eq!(lines, ["config - {nonsense -"]);
}

#[test]
fn availability_is_a_reading() {
    let config = sensor(r#","avty_t":"a/there""#);
    let context = announced(&[(CONFIG, config.as_bytes())]);
    let (lines, _) = said(&context, "a/there", &[b"online", b"offline", b"?"]);
    assert_eq!(
        lines,
        [
            "availability 1 online -",
            "availability 0 offline -",
            "availability - ? -"
        ]
    );
}

#[test]
fn each_reading_of_the_past_comes_once() {
    let context = Context::default();
    let rows = br#"[{"ts":1500000000,"metric":"t","value":1},{"ts":1500000060,"metric":"t","value":2},{"ts":1500000000,"metric":"t","value":1}]"#;
    let columns = br#"{"ts":[1500000060,1500000120],"t":[2,3]}"#;
    let (lines, _) = said(&context, "tarn/backlog/garden", &[rows, columns, rows]);
    assert_eq!(lines, ["t 1 - -", "t 2 - -", "t 3 - -"]);
    let (lines, faults) = said(
        &context,
        "tarn/backlog/garden",
        &[br#"{"ts":[1],"t":[1,2]}"#],
    );
    assert_eq!((lines.len(), faults), (1, vec![FaultKind::Payload]));
}

#[test]
fn what_was_told_live_does_not_come_again_with_the_backlog() {
    let context = Context::default();
    let mut decoder = Decoder::new(&context, State::default());
    let ts = RECEIVED - 60_000;
    let live = format!(r#"{{"ts":{ts},"t":1}}"#);
    let backlog = format!(r#"[{{"ts":{ts},"t":1}},{{"ts":{},"t":2}}]"#, ts + 1_000);
    for (seq, topic, payload) in [(1, "garden", &live), (2, "tarn/backlog/garden", &backlog)] {
        decoder.record(&Record {
            topic,
            payload: payload.as_bytes(),
            received_ms: RECEIVED,
            ..Record::control(Kind::Publish, Seq(seq), "c")
        });
    }
    let decoded = decoder.finish();
    let of_t = decoded.rows.iter().filter(|(_, metric, ..)| *metric == "t");
    let values: Vec<Option<f64>> = of_t.map(|(_, _, value, _)| value).collect();
    assert_eq!(values, [Some(1.0), Some(2.0)]);
}

#[test]
fn readings_of_before_the_clock_was_set_are_stamped_anew() {
    let steps = Arc::new(vec![ClockStep {
        from: 1,
        before: 3,
        delta_ms: RECEIVED,
    }]);
    let context = Context {
        steps,
        ..Context::default()
    };
    let mut decoder = Decoder::new(&context, State::default());
    for (seq, received_ms) in [(1, 1_000), (2, 2_000), (4, RECEIVED + 5_000)] {
        decoder.record(&Record {
            topic: "home/kitchen/temperature",
            payload: b"21",
            received_ms,
            ..Record::control(Kind::Publish, Seq(seq), "c")
        });
    }
    let decoded = decoder.finish();
    let batch = decoded.rows.batch(&decoded.rows.all()).expect("batch");
    let ts = batch
        .column(0)
        .as_primitive::<TimestampMillisecondType>()
        .values()
        .to_vec();
    let quality = batch.column(8).as_primitive::<Int8Type>().values().to_vec();
    assert_eq!(ts, [RECEIVED + 1_000, RECEIVED + 2_000, RECEIVED + 5_000]);
    assert_eq!(quality, [1, 1, 0]);
}

#[test]
fn skew_is_the_median_of_what_a_device_said() {
    let context = Context::default();
    let payload = |ts: i64| format!(r#"{{"ts":{ts},"t":1}}"#).into_bytes();
    let mut decoder = Decoder::new(&context, State::default());
    for (n, skew) in [-50, -60, 3_600_000, -55].into_iter().enumerate() {
        decoder.record(&Record {
            topic: "home/kitchen",
            payload: &payload(RECEIVED + skew),
            received_ms: RECEIVED,
            ..Record::control(Kind::Publish, Seq(n as u64 + 1), "c")
        });
    }
    assert_eq!(decoder.finish().skews.of("home/kitchen"), Some(-50));
}
