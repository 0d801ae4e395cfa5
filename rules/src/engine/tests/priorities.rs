use super::*;

fn wants(when: Value, condition: Option<&str>, value: Value, priority: i32) -> Value {
    let mut parts = json!({
        "when": when,
        "then": [{"set": {"device": "lamp", "values": {"on": value}}}, {"mode": {"mode": "x"}}],
        "priority": priority,
    });
    if let Some(condition) = condition {
        parts["if"] = json!(condition);
    }
    parts
}

/// Each firing's rule, how many actions are left and who overruled it.
fn outcome(fired: &[Firing]) -> Vec<(&str, usize, Vec<&str>)> {
    fired
        .iter()
        .map(|firing| {
            let words = firing
                .overruled
                .iter()
                .map(|overruled| overruled.words.as_str())
                .collect();
            (firing.rule.as_str(), firing.actions.len(), words)
        })
        .collect()
}

#[test]
fn of_two_at_once_the_higher_priority_wins() {
    let mut home = Home::new(&[
        ("a", wants(at_reading("s/x"), None, json!(true), 0)),
        ("b", wants(at_reading("s/x"), None, json!(false), 5)),
        ("c", wants(at_reading("s/x"), None, json!(false), -5)),
    ]);
    let fired = home.tell("s/x", 1.0);
    assert_eq!(
        outcome(&fired),
        [
            ("a", 1, vec!["overruled by b"]),
            ("b", 2, vec![]),
            ("c", 2, vec![])
        ]
    );
    assert_eq!(fired[0].overruled[0].wanted, crate::Scalar::Bool(true));
    assert_eq!(home.engine.stats().overruled, 1);
}

#[test]
fn of_equals_the_first_by_id_wins() {
    let mut home = Home::new(&[
        ("b", wants(at_reading("s/x"), None, json!(1), 0)),
        ("a", wants(at_reading("s/x"), None, json!(2), 0)),
    ]);
    assert_eq!(
        outcome(&home.tell("s/x", 1.0)),
        [("a", 2, vec![]), ("b", 1, vec!["overruled by a"])]
    );
}

#[test]
fn an_active_level_holds_what_it_set() {
    let mut home = Home::new(&[
        (
            "frost",
            wants(
                at_reading("out/temperature"),
                Some("value('out/temperature') < 0"),
                json!(true),
                10,
            ),
        ),
        ("saver", wants(at_reading("s/x"), None, json!(false), 0)),
        ("boss", wants(at_reading("s/y"), None, json!(false), 20)),
    ]);
    assert_eq!(outcome(&home.tell("s/x", 1.0)), [("saver", 2, vec![])]);
    assert_eq!(
        outcome(&home.tell("out/temperature", -1.0)),
        [("frost", 2, vec![])]
    );
    assert_eq!(
        outcome(&home.tell("s/x", 1.0)),
        [("saver", 1, vec!["overruled by frost"])]
    );
    assert_eq!(outcome(&home.tell("s/y", 1.0)), [("boss", 2, vec![])]);
    home.tell("out/temperature", 1.0);
    assert_eq!(outcome(&home.tell("s/x", 1.0)), [("saver", 2, vec![])]);
}

#[test]
fn only_the_metric_in_question_is_withdrawn() {
    let all = json!({
        "when": at_reading("s/x"),
        "then": [{"set": {"device": "lamp", "values": {"on": true, "level": 5}}}],
    });
    let mut home = Home::new(&[
        ("a", all),
        ("b", wants(at_reading("s/x"), None, json!(false), 1)),
    ]);
    let fired = home.tell("s/x", 1.0);
    let left = serde_json::to_value(&fired[0].actions).expect("json");
    assert_eq!(
        left,
        json!([{"set": {"device": "lamp", "values": {"level": 5}}}])
    );
}
