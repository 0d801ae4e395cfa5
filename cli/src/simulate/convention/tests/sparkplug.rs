//! Sparkplug B: births, aliases, deaths, commands.

use std::collections::HashSet;

use super::super::sparkplug::proto::{Metric, MetricValue};
use super::*;

/// A line of a factory after its first thousand messages.
fn factory(faults: f64) -> (Home, Vec<Message>) {
    let mut home = home(Profile::Factory, 1, 0, faults);
    let all = messages(&mut home, 3_000, 500);
    (home, all)
}

#[test]
fn sparkplug_begins_with_births_and_goes_on_in_aliases() {
    let (home, all) = factory(0.0);
    let all: Vec<&Message> = all
        .iter()
        .filter(|one| one.topic.starts_with("spBv1.0/"))
        .collect();
    assert_eq!(&*all[0].topic, "spBv1.0/plant/NBIRTH/line-1");
    let birth = payload(all[1]);
    assert_eq!(&*all[1].topic, "spBv1.0/plant/DBIRTH/line-1/press-1-01");
    assert!(
        birth
            .metrics
            .iter()
            .all(|one| one.name.is_some() && one.alias.is_some())
    );
    let mut aliases = HashSet::new();
    for (place, message) in all.iter().enumerate() {
        let payload = payload(message);
        assert_eq!(payload.seq, Some(place as u64 % 256), "{}", message.topic);
        assert!(!message.retain);
        let is_birth = message.topic.contains("BIRTH");
        for metric in payload.metrics {
            let alias = metric.alias;
            match is_birth {
                true => drop(alias.map(|alias| assert!(aliases.insert(alias)))),
                false => assert!(
                    metric.name.is_none() && alias.is_some_and(|one| aliases.contains(&one))
                ),
            }
        }
    }
    let will = home.will().expect("a will");
    assert_eq!(&*will.topic, "spBv1.0/plant/NDEATH/line-1");
    assert_eq!(payload(&will).metrics[0], payload(all[0]).metrics[0]);
}

#[test]
fn sparkplug_devices_do_what_they_are_told() {
    let (mut home, _) = factory(0.0);
    let set = |name: Option<&str>, alias, value| {
        let metric = Metric {
            name: name.map(str::to_owned),
            alias,
            value: Some(value),
            ..Metric::default()
        };
        let command = Payload {
            metrics: vec![metric],
            ..Payload::default()
        };
        command.encode_to_vec()
    };
    let topic = "spBv1.0/plant/DCMD/line-1/press-1-02";
    let command = set(
        Some("Control/Speed Setpoint"),
        None,
        MetricValue::Double(900.0),
    );
    let answer = answers(&mut home, topic, &command);
    assert_eq!(&*answer[0].topic, "spBv1.0/plant/DDATA/line-1/press-1-02");
    let told = |answer: &Message, alias| {
        let metrics = payload(answer).metrics;
        let found = metrics.into_iter().find(|one| one.alias == Some(alias));
        found.and_then(|one| one.value)
    };
    assert_eq!(told(&answer[0], 209), Some(MetricValue::Double(900.0)));
    let answer = answers(
        &mut home,
        topic,
        &set(None, Some(208), MetricValue::Boolean(false)),
    );
    assert_eq!(told(&answer[0], 208), Some(MetricValue::Boolean(false)));
    assert_eq!(told(&answer[0], 200), Some(MetricValue::Double(0.0)));
    let command = set(
        Some("Node Control/Rebirth"),
        None,
        MetricValue::Boolean(true),
    );
    let answer = answers(&mut home, "spBv1.0/plant/NCMD/line-1", &command);
    assert_eq!(payload(&answer[0]).seq, Some(0));
    // The machines follow at once.
    assert_eq!(&*answer[1].topic, "spBv1.0/plant/DBIRTH/line-1/press-1-01");
    assert_eq!(answer.len(), 7);
}

#[test]
fn a_new_connection_of_a_sparkplug_node_has_a_new_birth_and_a_will_that_names_it() {
    let (mut home, _) = factory(0.0);
    let before = payload(&home.will().expect("a will"));
    home.connection_lost();
    let birth = home.answer().expect("a birth");
    let after = payload(&home.will().expect("a will"));
    assert_ne!(before, after);
    assert_eq!(payload(&birth).metrics[0], after.metrics[0]);
}

#[test]
fn what_a_machine_stored_while_it_was_away_is_historical() {
    let (_, all) = factory(20.0);
    let mut stored = 0;
    for message in all.iter().filter(|one| one.topic.contains("/DDATA/")) {
        let payload = payload(message);
        for metric in &payload.metrics {
            if metric.is_historical == Some(true) {
                stored += 1;
                assert!(metric.timestamp < payload.timestamp);
            }
        }
    }
    assert!(stored > 0);
    let has = |kind: &str| all.iter().any(|one| one.topic.contains(kind));
    assert!(has("/DDEATH/") && has("/NDEATH/"));
}
