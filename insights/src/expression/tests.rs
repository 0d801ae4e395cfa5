use serde_json::json;

use super::*;

fn parse(source: &str) -> Result<Expression, String> {
    Expression::parse(source, &|name| name == "high")
}

fn frame() -> Frame {
    let declared = toml::from_str("high = { value = 10, about = 'x' }").expect("params");
    let params = Params::of(&declared, &Default::default()).expect("params");
    Frame::new(&params, 90_000)
}

fn row() -> Row {
    let row = json!({"kwh": 12, "part": 0.5, "name": "Desk", "none": null, "ok": true, "zero": 0});
    row.as_object().expect("row").clone()
}

fn words(source: &str) -> Result<String, String> {
    let scope = frame().scope(&row());
    parse(source).expect(source).words(&scope)
}

#[test]
fn numbers_of_both_kinds_go_together() {
    for (source, gives) in [
        ("row.kwh > params.high", "true"),
        ("row.kwh == 12", "true"),
        ("row.kwh + 1 == 13.0 && row.ok", "true"),
        ("row.kwh / 8", "1.5"),
        ("row.kwh * row.part", "6"),
        ("-row.kwh", "-12"),
        ("row.name", "Desk"),
        ("size(row.name) > 3", "true"),
        ("row.none != null && row.none > 3", "false"),
        ("row.name in ['Desk', 'Bed']", "true"),
        ("row.name.startsWith('D') ? 'yes' : 'no'", "yes"),
        ("'' + row.name + '!'", "Desk!"),
        ("now", "90"),
    ] {
        assert_eq!(words(source), Ok(gives.to_owned()), "{source}");
    }
}

#[test]
fn what_cannot_be_computed_is_told() {
    for (source, fault) in [
        ("row.kwh / row.zero", "division by zero"),
        ("row.other > 1", "the row has no column `other`"),
        ("row.none", "it gives neither a number nor a text"),
    ] {
        assert_eq!(words(source), Err(fault.to_owned()), "{source}");
    }
    let words = words("row.none > 1").expect_err("null");
    assert!(words.ends_with("is a column null, or a text?"), "{words}");
    let scope = frame().scope(&row());
    assert!(parse("row.kwh").expect("kwh").holds(&scope).is_err());
}

#[test]
fn what_costs_more_than_its_length_is_refused() {
    for source in [
        "",
        "row",
        "home",
        "params.low",
        "row.list.all(x, x > 1)",
        "[1, 2].map(x, x * 2)",
        "{'a': 1}",
        "row.name.matches('a+')",
        "row.a.b",
        "b'x'",
        "row.kwh %",
        "row.kwh % 2",
        "@divisor(1)",
        &format!("{}1{}", "(".repeat(40), ")".repeat(40)),
        &"1+".repeat(2000),
        &format!("{}1", "1 + ".repeat(300)),
    ] {
        assert!(parse(source).is_err(), "{source}");
    }
}
