use prost::Message as _;
use serde_json::json;

use super::{encode, proto::Payload, read};

const AT: i64 = 1_736_603_810_490;

/// A value as a command, and what a node reads in it.
fn check_command(datatype: u32, value: serde_json::Value, number: Option<f64>, text: Option<&str>) {
    let payload = encode("m", None, datatype, &value, AT).expect("command");
    let taken = read(&payload, &[]).expect("payload");
    assert_eq!(taken[0].metric, "m");
    assert_eq!(taken[0].ts, Some(AT));
    assert_eq!(taken[0].value, number, "{datatype}: {value}");
    assert_eq!(taken[0].text.as_deref(), text, "{datatype}: {value}");
}

#[test]
fn commands_read_as_they_were_meant() {
    check_command(1, json!(-128), Some(-128.0), None);
    check_command(3, json!(-5), Some(-5.0), None);
    check_command(3, json!(21.0), Some(21.0), None);
    check_command(4, json!(-5), Some(-5.0), None);
    check_command(7, json!(4_294_967_295_u32), Some(4_294_967_295.0), None);
    check_command(9, json!(21.3), Some(21.3), None);
    check_command(10, json!(7), Some(7.0), None);
    check_command(11, json!(true), Some(1.0), Some("true"));
    check_command(11, json!(0), Some(0.0), Some("false"));
    check_command(12, json!("eco"), None, Some("eco"));
    let date = "2025-01-11T13:56:50.49Z";
    check_command(13, json!(date), Some(AT as f64), Some(date));
    check_command(17, json!("AP8Q"), None, Some("AP8Q"));
    check_command(3, json!(null), None, Some("null"));
}

#[test]
fn commands_that_do_not_fit_are_faults() {
    for (datatype, value) in [
        (1, json!(128)),
        (5, json!(-1)),
        (8, json!(18_446_744_073_709_551_616.0)),
        (3, json!(21.5)),
        (3, json!("21")),
        (9, json!(1e300)),
        (10, json!("warm")),
        (11, json!("on")),
        (11, json!(2)),
        (12, json!(5)),
        (13, json!("tomorrow")),
        (13, json!(-1)),
        (17, json!("no base64!")),
        (16, json!({})),
        (22, json!([1])),
        (0, json!(1)),
    ] {
        let fault = encode("target", None, datatype, &value, 0).expect_err("fault");
        assert!(fault.detail.starts_with("target: "), "{fault}");
    }
}

#[test]
fn a_command_names_its_metric_by_the_alias_alone() {
    let payload = encode("Boiler/Target", Some(7), 10, &json!(40.0), AT).expect("command");
    let decoded = Payload::decode(payload.as_slice()).expect("payload");
    assert_eq!(decoded.metrics[0].alias, Some(7));
    assert_eq!(decoded.metrics[0].name, None);
    let aliases = [(7, "Boiler/Target".to_owned())];
    let taken = read(&payload, &aliases).expect("payload");
    assert_eq!(taken[0].metric, "Boiler/Target");
}
