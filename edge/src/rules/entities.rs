use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tarn_broker::Publisher;
use tarn_common::ids::{EdgeId, HomeId};
use tarn_rules::{
    input::AlarmState,
    rule::{Action, AlarmClass, Trigger},
};

use super::settings::Settings;
use crate::kept_file::KeptFile;

/// Modes that are offered, whether or not the home speaks of them.
const MODES: [&str; 4] = ["home", "away", "night", "holiday"];
/// As many alarms have an entity of their own; those that stand come first.
const ALARMS_MAX: usize = 200;

/// Shows Home Assistant what the home does by itself: its mode, its scenes and its alarms, as entities of one device.
pub struct Entities {
    /// First level of discovery topics.
    prefix: String,
    home: HomeId,
    edge: EdgeId,
    publisher: Publisher,
    /// What was announced before a stop, so that what is gone since can be taken back.
    file: KeptFile,
    /// What was announced: components and their platforms.
    announced: BTreeMap<String, String>,
    /// The topics as they were told last.
    told: BTreeMap<String, String>,
}

impl Entities {
    /// Those of a home, shown by this box. `file` has what was announced before.
    pub fn new(
        prefix: String,
        (home, edge): (HomeId, EdgeId),
        publisher: Publisher,
        file: std::path::PathBuf,
    ) -> Entities {
        let file = KeptFile::new(file, "what Home Assistant was told of");
        Entities {
            prefix,
            home,
            edge,
            publisher,
            announced: file.read_or_default(),
            file,
            told: BTreeMap::new(),
        }
    }

    /// Tell what has changed.
    pub(super) async fn tell(&mut self, settings: &Settings) {
        if !settings.want_journal() && self.announced.is_empty() {
            return;
        }
        let alarms = alarms(settings);
        self.publish(
            format!("tarn/{}/alarms", self.home),
            &summary(settings, &alarms),
        );
        let now = self.components(settings, &alarms);
        let platforms = now.iter().map(|(name, component)| {
            let platform = component["p"].as_str().unwrap_or_default();
            (name.clone(), platform.to_owned())
        });
        let platforms: BTreeMap<_, _> = platforms.collect();
        let gone = self.announced.iter();
        let gone = gone.filter(|(name, _)| !now.contains_key(*name));
        // Nothing but a platform takes a component back.
        let gone = gone.map(|(name, platform)| (name.clone(), json!({"p": platform})));
        let mut components: BTreeMap<String, Value> = gone.collect();
        components.extend(now);
        let is_told = self.publish(self.config_topic(), &self.config(&components));
        if is_told && platforms != self.announced {
            self.file.put(&platforms).await;
            self.announced = platforms;
        }
    }

    fn id(&self) -> String {
        format!("tarn_home_{}", self.home)
    }

    fn config_topic(&self) -> String {
        format!("{}/device/{}/config", self.prefix, self.id())
    }

    fn config(&self, components: &BTreeMap<String, Value>) -> Value {
        json!({
            "dev": {
                "ids": [self.id()],
                "name": format!("Home {}", self.home),
                "mf": "Tarn",
                "mdl": "Home",
                "via_device": format!("tarn_{}", self.edge),
            },
            "o": {"name": "tarn", "sw": env!("CARGO_PKG_VERSION")},
            "cmps": components,
        })
    }

    fn components(&self, settings: &Settings, alarms: &Alarms<'_>) -> BTreeMap<String, Value> {
        let (home, id) = (&self.home, self.id());
        let box_there = format!("tarn/{home}/box/{}/availability", self.edge);
        let mut components = BTreeMap::new();
        let mut add = |name: String, platform: &str, mut component: Value| {
            component["p"] = platform.into();
            component["unique_id"] = format!("{id}_{name}").into();
            if component["availability"].is_null() {
                component["availability_topic"] = box_there.as_str().into();
            }
            components.insert(name, component);
        };
        add(
            "mode".into(),
            "select",
            json!({
                "name": "Mode",
                "options": modes(settings),
                "state_topic": format!("tarn/{home}/mode"),
                "command_topic": format!("tarn/{home}/mode/set"),
            }),
        );
        let summary = format!("tarn/{home}/alarms");
        add(
            "alarms".into(),
            "sensor",
            json!({
                "name": "Alarms",
                "state_topic": summary,
                "value_template": "{{ value_json.standing }}",
                "state_class": "measurement",
            }),
        );
        for (scene, definition) in &settings.scenes {
            let topic = format!("tarn/{home}/scene/{scene}/start");
            let scene_of = json!({"name": definition.name, "command_topic": topic});
            add(format!("scene_{scene}"), "scene", scene_of);
        }
        for (alarm, shown) in alarms {
            let topic = format!("tarn/{home}/alarm/{alarm}");
            let name = slug(alarm);
            add(
                format!("alarm_{name}"),
                "binary_sensor",
                json!({
                    "name": shown.name,
                    "device_class": device_class(shown.class),
                    "state_topic": summary,
                    "value_template": state_template(alarm, "'raised', 'acknowledged'", ("ON", "OFF")),
                    "json_attributes_topic": topic,
                }),
            );
            add(
                format!("acknowledge_{name}"),
                "button",
                json!({
                    "name": format!("Acknowledge: {}", shown.name),
                    "command_topic": format!("{topic}/acknowledge"),
                    "entity_category": "config",
                    "availability_mode": "all",
                    "availability": [
                        {"topic": box_there},
                        {"topic": summary, "value_template": state_template(alarm, "'raised'", ("online", "offline"))},
                    ],
                }),
            );
        }
        components
    }

    /// Publish what is retained, where it is not what was told last. Gives whether it was told, now or before.
    fn publish(&mut self, topic: String, payload: &Value) -> bool {
        let payload = payload.to_string();
        if self.told.get(&topic) == Some(&payload) {
            return true;
        }
        let published = self.publisher.publish(&topic, payload.clone(), 0, true);
        match published {
            Ok(()) => {
                self.told.insert(topic, payload);
                true
            }
            Err(error) => {
                tracing::error!(topic, %error, "Home Assistant cannot be told");
                false
            }
        }
    }
}

/// An alarm as it is shown.
struct Shown<'a> {
    name: &'a str,
    class: Option<AlarmClass>,
    /// None where it was never raised.
    state: Option<AlarmState>,
}

type Alarms<'a> = BTreeMap<&'a str, Shown<'a>>;

/// Alarms that the home has or may have: those that stand first, until there are enough.
fn alarms(settings: &Settings) -> Alarms<'_> {
    let mut shown = Alarms::new();
    let mut add = |alarm, name, class, state| {
        if shown.len() < ALARMS_MAX {
            shown.entry(alarm).or_insert(Shown { name, class, state });
        }
    };
    // The words of a rule stay the same; those of an alarm have values in them.
    let raised: BTreeMap<&str, (&str, Option<AlarmClass>)> = actions(settings)
        .filter_map(|action| match action {
            Action::Raise {
                alarm,
                class,
                message,
                ..
            } => Some((&**alarm, (words(alarm, message), *class))),
            _ => None,
        })
        .collect();
    for stands in [true, false] {
        let records = settings.alarms.iter();
        for (id, record) in records.filter(|(_, record)| record.stands() == stands) {
            let known = raised.get(&**id).copied();
            let (name, class) = known.unwrap_or((&record.message, record.class));
            add(&**id, name, class, Some(record.state));
        }
    }
    for (id, (name, class)) in raised {
        add(id, name, class, None);
    }
    shown
}

/// What people call an alarm of a rule: its words, unless a value is to be filled in.
fn words<'a>(alarm: &'a str, message: &'a str) -> &'a str {
    match message.contains("{{") {
        true => alarm,
        false => message,
    }
}

fn actions(settings: &Settings) -> impl Iterator<Item = &Action> {
    let rules = settings.rules.values().flat_map(|rule| &rule.then);
    rules.chain(settings.scenes.values().flat_map(|scene| &scene.then))
}

/// Modes that may be wanted: the usual ones, and those that the home speaks of.
fn modes(settings: &Settings) -> BTreeSet<&str> {
    let wanted = actions(settings).filter_map(|action| match action {
        Action::Mode { mode } => Some(&**mode),
        _ => None,
    });
    let triggers = settings.rules.values().flat_map(|rule| &rule.when);
    let awaited = triggers.filter_map(|trigger| match trigger {
        Trigger::Mode { to } => Some(&**to),
        _ => None,
    });
    let modes = wanted.chain(awaited).chain(MODES);
    modes.chain([&*settings.mode]).collect()
}

/// What all of them say at once: how many stand, how bad the worst of them is, and the state of each that is shown.
fn summary(settings: &Settings, alarms: &Alarms<'_>) -> Value {
    let standing = settings.alarms.values();
    let standing = standing.filter(|alarm| alarm.stands());
    let worst = standing.clone().map(|alarm| alarm.severity).max();
    let states = alarms
        .iter()
        .filter_map(|(id, shown)| Some((*id, shown.state?)));
    json!({
        "standing": standing.count(),
        "worst": worst,
        "states": states.collect::<BTreeMap<_, _>>(),
    })
}

/// Says of the summary whether an alarm is in one of these states.
fn state_template(alarm: &str, states: &str, (yes, no): (&str, &str)) -> String {
    // What JSON quotes, a template does too.
    let id = Value::from(alarm);
    format!("{{{{ '{yes}' if value_json.states.get({id}) in [{states}] else '{no}' }}}}")
}

fn device_class(class: Option<AlarmClass>) -> &'static str {
    match class {
        Some(AlarmClass::Smoke) => "smoke",
        Some(AlarmClass::Gas) => "gas",
        Some(AlarmClass::Water) => "moisture",
        Some(AlarmClass::Intrusion) => "safety",
        Some(
            AlarmClass::Device | AlarmClass::Health | AlarmClass::Energy | AlarmClass::Climate,
        )
        | None => "problem",
    }
}

/// An id of which every character may stand in a component's name, and that no other id has.
fn slug(id: &str) -> String {
    let mut slug = String::new();
    for c in id.chars() {
        match c {
            'a'..='z' | '0'..='9' | '-' => slug.push(c),
            _ => slug.push_str(&format!("_{:x}_", u32::from(c))),
        }
    }
    slug
}

#[cfg(test)]
mod tests;
