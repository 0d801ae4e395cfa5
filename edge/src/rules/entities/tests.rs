use serde_json::json;
use tarn_devices::template::Template;
use tarn_openapi::automation::AlarmRecord;
use tarn_rules::rule::Severity;

use super::*;

/// Of a home with a rule, and with these alarms.
fn settings(alarms: &[(&str, AlarmState)]) -> Settings {
    let rule = json!({
        "name": "water",
        "when": [{"reading": {"device": "cellar", "metric": "leak"}}],
        "if": "true",
        "then": [
            {"raise": {"alarm": "leak", "severity": "critical", "class": "water", "message": "Water in the cellar"}},
            {"mode": {"mode": "flood"}},
        ],
    });
    let record = |state| AlarmRecord {
        state,
        severity: Severity::Warning,
        class: Some(AlarmClass::Device),
        message: "It is silent".into(),
        raised_ms: 1,
        changed_ms: 1,
        by: "test".into(),
    };
    Settings {
        rules: BTreeMap::from([("leak".into(), serde_json::from_value(rule).expect("a rule"))]),
        mode: "home".into(),
        alarms: alarms
            .iter()
            .map(|(id, state)| ((*id).to_owned(), record(*state)))
            .collect(),
        ..Settings::default()
    }
}

#[test]
fn what_a_rule_may_raise_is_there_before_it_is() {
    let settings = settings(&[("device/a\"b/silent", AlarmState::Acknowledged)]);
    let shown = alarms(&settings);
    assert_eq!(shown["leak"].name, "Water in the cellar");
    assert_eq!(shown["leak"].class, Some(AlarmClass::Water));
    let told = summary(&settings, &shown);
    assert_eq!(
        told,
        json!({"standing": 1, "worst": "warning", "states": {"device/a\"b/silent": "acknowledged"}})
    );
    assert!(modes(&settings).contains("flood"));
}

#[test]
fn alarms_that_stand_are_shown_whatever_there_was() {
    let past: Vec<String> = (0..ALARMS_MAX + 10).map(|i| format!("a{i}")).collect();
    let mut all: Vec<_> = past.iter().map(|id| (&**id, AlarmState::Cleared)).collect();
    all.push(("z", AlarmState::Raised));
    let settings = settings(&all);
    let shown = alarms(&settings);
    assert_eq!(shown.len(), ALARMS_MAX);
    assert!(shown.contains_key("z"));
}

#[test]
fn ids_stay_apart_as_names_of_components() {
    assert_eq!(slug("device/a_b/silent"), "device_2f_a_5f_b_2f_silent");
    assert_ne!(slug("a/b"), slug("a_2f_b"));
}

#[test]
fn a_template_says_the_state_of_one_alarm() {
    let id = "device/a\"b'c\\d/silent";
    let template = state_template(id, "'raised', 'acknowledged'", ("ON", "OFF"));
    let template = Template::compile(&template).expect("a template");
    for (state, word) in [
        (AlarmState::Raised, "ON"),
        (AlarmState::Acknowledged, "ON"),
        (AlarmState::Cleared, "OFF"),
    ] {
        let settings = settings(&[(id, state)]);
        let told = summary(&settings, &alarms(&settings)).to_string();
        let said = template.value(&told).expect("a value");
        assert_eq!(said.as_deref(), Some(word), "{told}");
    }
}
