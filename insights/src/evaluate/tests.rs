use std::collections::BTreeMap;

use serde_json::json;

use super::*;

fn pack(more: &str) -> Pack {
    let source = format!(
        r#"
        id = "mine"
        title = "Mine"
        about = "x"
        category = "health"
        severity = "warning"
        every = "1h"
        window = "1d"
        private = true
        disclaimer = "No diagnosis."
        sql = "SELECT device, n FROM readings WHERE home = {{home}}"
        key = "{{{{ row.device }}}}"
        advice = "{{{{ row.name }}}} has {{{{ row.n }}}}"
        {more}
        [params]
        high = {{ value = 10, about = "x" }}
        "#
    );
    Pack::parse("mine.toml", &source).unwrap_or_else(|error| panic!("{error}"))
}

fn row(device: &str, n: serde_json::Value) -> Row {
    json!({"device": device, "n": n})
        .as_object()
        .expect("row")
        .clone()
}

fn evaluate(pack: &Pack, rows: Vec<Row>) -> Result<Vec<Finding>, String> {
    let params = pack.params(&BTreeMap::new()).expect("params");
    let found = pack.evaluate(rows, &params, 5);
    found.map_err(|error| error.to_string())
}

#[test]
fn a_finding_says_all_there_is() {
    let pack = pack("condition = 'row.n > params.high'");
    let mut named = row("a1", 11.into());
    named.insert("name".to_owned(), "Desk".into());
    let rows = vec![named.clone(), row("b2", 10.into()), row("c3", 12.into())];
    let findings = evaluate(&pack, rows).expect("findings");
    assert_eq!(
        findings[0],
        Finding {
            pack: "mine".to_owned(),
            key: "a1".to_owned(),
            severity: tarn_rules::Severity::Warning,
            title: "Mine".to_owned(),
            advice: "Desk has 11".to_owned(),
            values: named,
            private: true,
            disclaimer: Some("No diagnosis.".to_owned()),
            at_ms: 5,
        }
    );
    assert_eq!(findings[1].advice, "c3 has 12");
    assert_eq!(findings.len(), 2);
}

#[test]
fn there_is_one_finding_for_a_key_and_not_too_many() {
    let twice = vec![row("a", 1.into()), row("a", 2.into())];
    let findings = evaluate(&pack(""), twice).expect("findings");
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].advice, "a has 1");

    let many = (0..FINDINGS_MAX + 5).map(|at| row(&at.to_string(), 1.into()));
    let findings = evaluate(&pack(""), many.collect()).expect("findings");
    assert_eq!(findings.len(), FINDINGS_MAX);
}

#[test]
fn what_goes_wrong_is_told_with_its_place() {
    let pack = pack("condition = 'row.n > params.high'");
    let no_number = evaluate(&pack, vec![row("a", json!(null))]).expect_err("null");
    assert!(
        no_number.starts_with("mine: condition: it cannot be computed"),
        "{no_number}"
    );
    let no_column = evaluate(&pack, vec![Row::new()]).expect_err("empty");
    assert_eq!(no_column, "mine: condition: the row has no column `n`");
    let rows = vec![row("a", 1.into()); ROWS_MAX + 1];
    let too_many = evaluate(&pack, rows).expect_err("rows");
    assert_eq!(
        too_many,
        "mine: its query gives 20001 rows, 20000 at most are looked at"
    );
}

#[test]
fn an_advice_that_cannot_be_filled_in_is_given_all_the_same() {
    let findings = evaluate(&pack(""), vec![row("a", json!(null))]).expect("findings");
    assert_eq!(findings[0].advice, "a has ?");
    let long = "x".repeat(5000);
    let findings = evaluate(&pack(""), vec![row(&long, 1.into())]).expect("findings");
    assert_eq!(findings[0].key.len(), KEY_CHARS_MAX);
}
