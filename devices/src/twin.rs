//! What of a device goes into its twin, the document that box and cloud share: what can be set on it and is read back, and
//! states that change seldom. What is measured all the time stays in readings alone.

use serde_json::{Value, json};

use crate::{
    command::{self, Refusal},
    point::{Component, Domain},
    registry::Feature,
};

/// Changes of a number below this share of it are noise.
const DEADBAND: f64 = 0.01;

/// Classes of binary sensors that change seldom, and matter: Home Assistant's names.
const SLOW_CLASSES: [&str; 15] = [
    "battery",
    "carbon_monoxide",
    "cold",
    "connectivity",
    "door",
    "garage_door",
    "gas",
    "heat",
    "lock",
    "moisture",
    "opening",
    "problem",
    "safety",
    "smoke",
    "window",
];

/// How it is decided between two values that were wanted at once, where safety decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Safety {
    /// From the safest on.
    pub order: Vec<Value>,
    /// Whether the others are only carried out at once, and never when a cut line is mended later.
    pub is_live: bool,
}

/// Whether the feature's state is kept in the twin.
#[must_use]
pub fn is_shared(feature: &Feature) -> bool {
    if feature.write.is_some() {
        return feature.is_read && feature.domain != Domain::Press;
    }
    let class = feature.class.as_deref().unwrap_or_default();
    feature.component == Component::BinarySensor && SLOW_CLASSES.contains(&class)
}

/// A reading of the feature as a state of the twin; none where it says nothing.
#[must_use]
pub fn reported(feature: &Feature, value: Option<f64>, text: Option<&str>) -> Option<Value> {
    let is_switch =
        feature.domain == Domain::Switch || feature.component == Component::BinarySensor;
    match (value, text) {
        (Some(value), _) if is_switch && (value == 0.0 || value == 1.0) => {
            Some(json!(value == 1.0))
        }
        (_, Some(text)) if is_switch && text.eq_ignore_ascii_case("on") => Some(json!(true)),
        (_, Some(text)) if is_switch && text.eq_ignore_ascii_case("off") => Some(json!(false)),
        (_, Some(text)) if !matches!(feature.domain, Domain::Number { .. }) => Some(json!(text)),
        (Some(value), _) => Some(number(value)),
        (None, _) => None,
    }
}

/// Whether a state is another one, and not the same within the device's noise.
#[must_use]
pub fn is_change(feature: &Feature, was: &Value, is: &Value) -> bool {
    let (Some(was), Some(is)) = (was.as_f64(), is.as_f64()) else {
        return was != is;
    };
    let step = match feature.domain {
        Domain::Number { step, .. } => step.unwrap_or_default().abs() / 2.0,
        _ => 0.0,
    };
    (was - is).abs() > step.max(was.abs() * DEADBAND)
}

/// The value that would have to be wanted for the feature to be in this state; none where there is none.
#[must_use]
pub fn wanted(feature: &Feature, reported: &Value) -> Option<Value> {
    match &feature.domain {
        Domain::Options(options) => {
            let state = reported.as_str()?;
            let leads_there = |option: &&String| {
                option.eq_ignore_ascii_case(state)
                    || command::state_of(option)
                        .is_some_and(|said| said.eq_ignore_ascii_case(state))
            };
            options.iter().find(leads_there).map(|option| json!(option))
        }
        Domain::Press | Domain::Object(_) | Domain::Any => None,
        Domain::Switch | Domain::Number { .. } | Domain::Text => Some(reported.clone()),
    }
}

/// Whether a feature that was set to a value is in this state.
#[must_use]
pub fn leads_to(feature: &Feature, value: &Value, state: &Value) -> bool {
    let value = canonical(feature, value).unwrap_or_else(|_| value.clone());
    wanted(feature, state).is_some_and(|wanted| !is_change(feature, &value, &wanted))
}

/// A wanted value in the form in which it is compared with states.
///
/// # Errors
/// The feature does not take it.
pub fn canonical(feature: &Feature, value: &Value) -> Result<Value, Refusal> {
    let value = command::accept(feature, value)?;
    Ok(match (&feature.domain, value.as_str()) {
        (Domain::Switch, Some("on")) => json!(true),
        (Domain::Switch, Some("off")) => json!(false),
        _ => value,
    })
}

/// Whether a wanted value is a deed and not a state: doing it twice is not the same as doing it once.
#[must_use]
pub fn is_deed(feature: &Feature, value: &Value) -> bool {
    let is_word = |word: &str| {
        value
            .as_str()
            .is_some_and(|text| text.eq_ignore_ascii_case(word))
    };
    feature.domain == Domain::Press || is_word("toggle") || is_word("stop")
}

/// What is safe of the feature, where that matters: locked over unlocked, closed over open for what people pass or water runs
/// through, off over on for heat.
#[must_use]
pub fn safety(feature: &Feature) -> Option<Safety> {
    let (first, is_live) = match feature.component {
        Component::Lock => (["lock", "locked", "close"], true),
        Component::Cover => {
            let class = feature.class.as_deref().unwrap_or_default();
            let is_passage = ["door", "garage", "gate", "window"].contains(&class);
            is_passage.then_some((["close", "closed", "lock"], true))?
        }
        Component::Valve => (["close", "closed", "off"], false),
        // Heating is a matter of its mode; its fan and its presets are not.
        Component::Climate if heats(feature) => (["off", "off", "off"], false),
        _ => return None,
    };
    let order = match &feature.domain {
        Domain::Options(options) => {
            let is_first =
                |option: &&String| first.iter().any(|safe| option.eq_ignore_ascii_case(safe));
            let (safe, rest): (Vec<&String>, Vec<&String>) = options.iter().partition(is_first);
            if safe.is_empty() {
                return None;
            }
            safe.into_iter()
                .chain(rest)
                .map(|option| json!(option))
                .collect()
        }
        // A lock as a switch is locked when it is on; a valve or a heater is safe when it is off.
        Domain::Switch => {
            let safe = feature.component == Component::Lock;
            vec![json!(safe), json!(!safe)]
        }
        _ => return None,
    };
    Some(Safety { order, is_live })
}

fn heats(feature: &Feature) -> bool {
    matches!(&feature.domain, Domain::Options(options) if options.iter().any(|option| option.eq_ignore_ascii_case("heat")))
}

/// A whole number is written without a point.
fn number(value: f64) -> Value {
    command::number_value(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::point::{Encode, Form, Write};

    fn feature(component: Component, domain: Domain) -> Feature {
        Feature {
            metric: "state".into(),
            component,
            name: None,
            class: None,
            unit: None,
            raw_unit: None,
            state_class: None,
            domain,
            write: Some(Write::new("t", Encode::new(Form::Plain))),
            is_read: true,
            scale: 1.0,
            words: None,
        }
    }

    #[test]
    fn a_state_and_what_leads_to_it_are_told_alike() {
        let switch = feature(Component::Switch, Domain::Switch);
        assert_eq!(reported(&switch, Some(1.0), Some("ON")), Some(json!(true)));
        assert_eq!(
            canonical(&switch, &json!("On")).expect("takes it"),
            json!(true)
        );
        let options = ["LOCK", "UNLOCK"].map(str::to_owned).to_vec();
        let lock = feature(Component::Lock, Domain::Options(options));
        assert_eq!(wanted(&lock, &json!("locked")), Some(json!("LOCK")));
        assert_eq!(
            canonical(&lock, &json!("unlock")).expect("takes it"),
            json!("UNLOCK")
        );
        let safety = safety(&lock).expect("a lock has one");
        assert_eq!(safety.order, [json!("LOCK"), json!("UNLOCK")]);
        assert!(safety.is_live);
    }

    #[test]
    fn noise_is_no_change() {
        let domain = Domain::Number {
            min: None,
            max: None,
            step: Some(0.5),
        };
        let dial = feature(Component::Climate, domain);
        assert!(!is_change(&dial, &json!(20.0), &json!(20.1)));
        assert!(is_change(&dial, &json!(20.0), &json!(20.5)));
        assert!(is_change(&dial, &json!(20.0), &Value::Null));
        assert_eq!(safety(&dial), None);
    }
}
