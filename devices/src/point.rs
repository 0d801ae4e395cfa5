use serde_json::{Map, Value};

/// What kind of thing a point is, by Home Assistant's names for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Component {
    Sensor,
    BinarySensor,
    Switch,
    Light,
    Cover,
    Valve,
    Lock,
    Climate,
    Fan,
    Number,
    Select,
    Button,
    Siren,
    MediaPlayer,
    Text,
    Other,
}

impl Component {
    /// Home Assistant's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Component::Sensor => "sensor",
            Component::BinarySensor => "binary_sensor",
            Component::Switch => "switch",
            Component::Light => "light",
            Component::Cover => "cover",
            Component::Valve => "valve",
            Component::Lock => "lock",
            Component::Climate => "climate",
            Component::Fan => "fan",
            Component::Number => "number",
            Component::Select => "select",
            Component::Button => "button",
            Component::Siren => "siren",
            Component::MediaPlayer => "media_player",
            Component::Text => "text",
            Component::Other => "other",
        }
    }
}

/// How the values of a metric belong together over time (Home Assistant's state classes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateClass {
    /// A value of the moment.
    Measurement,
    /// An amount that may grow and shrink.
    Total,
    /// A counter that only grows, and may begin again at any value below.
    TotalIncreasing,
}

impl StateClass {
    /// Home Assistant's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StateClass::Measurement => "measurement",
            StateClass::Total => "total",
            StateClass::TotalIncreasing => "total_increasing",
        }
    }

    /// The class of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<StateClass> {
        [
            StateClass::Measurement,
            StateClass::Total,
            StateClass::TotalIncreasing,
        ]
        .into_iter()
        .find(|class| class.name() == name)
    }
}

/// One thing that a device measures, or that can be set on it: one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The metric's name in readings and in commands.
    pub metric: String,
    /// Set by conventions whose names may collide on one device: then a later point with the same
    /// metric and another source becomes `<metric>_<qualifier>`. Empty for names that are exact.
    pub qualifier: String,
    /// What kind of thing it is.
    pub component: Component,
    /// Its name for people.
    pub name: Option<String>,
    /// Home Assistant's device class, such as `temperature` or `battery`.
    pub class: Option<String>,
    /// The unit as the device spells it.
    pub unit: Option<String>,
    /// How its values belong together.
    pub state_class: Option<StateClass>,
    /// Values that it takes.
    pub domain: Domain,
    /// Where its state is read; none for what has no state (a button).
    pub read: Option<Read>,
    /// How it is set; none for what is only measured.
    pub write: Option<Write>,
    /// Home Assistant's `unique_id`: no two points of a home have the same.
    pub unique_id: Option<String>,
}

impl Point {
    /// A point that nothing is known of but its metric.
    #[must_use]
    pub fn new(metric: impl Into<String>, component: Component) -> Point {
        Point {
            metric: metric.into(),
            qualifier: String::new(),
            component,
            name: None,
            class: None,
            unit: None,
            state_class: None,
            domain: Domain::Any,
            read: None,
            write: None,
            unique_id: None,
        }
    }
}

/// Where a point's state stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// Topic, without wildcards.
    pub topic: String,
    /// Where in the payload.
    pub at: At,
    /// Words that are a switch or a state; none for the usual `on`, `off`, `true`, `false`.
    pub words: Option<Words>,
    /// What a number is multiplied by; 1 leaves it as it is.
    pub scale: f64,
}

impl Read {
    /// The whole payload of a topic.
    #[must_use]
    pub fn value(topic: impl Into<String>) -> Read {
        Read {
            topic: topic.into(),
            at: At::Value,
            words: None,
            scale: 1.0,
        }
    }

    /// A place in the JSON of a topic: keys and array places joined by dots (`ENERGY.Total.0`).
    #[must_use]
    pub fn path(topic: impl Into<String>, path: impl Into<String>) -> Read {
        Read {
            at: At::Path(path.into()),
            ..Read::value(topic)
        }
    }
}

/// A place in a payload.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum At {
    /// The payload itself.
    Value,
    /// Keys and array places of its JSON, joined by dots.
    Path(String),
    /// What a Home Assistant template makes of it.
    Template(String),
    /// No place: a message says this word, whatever its payload. A death certificate says `offline`.
    Always(String),
}

/// Words of a payload that stand for on and off, or for named states.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Words {
    /// What the payload says, what it means as a number (1 on, 0 off), and the word to keep as text.
    pub words: Vec<(String, Option<f64>, String)>,
}

impl Words {
    /// A switch with its own words for on and off; the words are kept as they are.
    #[must_use]
    pub fn switch(on: &str, off: &str) -> Words {
        let word = |word: &str, value| (word.to_owned(), Some(value), word.to_owned());
        Words {
            words: vec![word(on, 1.0), word(off, 0.0)],
        }
    }

    /// What a payload means, if it is one of the words.
    #[must_use]
    pub fn find(&self, payload: &str) -> Option<(Option<f64>, &str)> {
        self.words
            .iter()
            .find(|(word, ..)| word == payload)
            .map(|(_, value, text)| (*value, text.as_str()))
    }
}

/// Values that a point takes when it is set. JSON as the REST interface gets it.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Domain {
    /// Not known: any JSON value.
    #[default]
    Any,
    /// `true`, `false`, `"on"`, `"off"`, and `"toggle"` where the point has a word for it.
    Switch,
    /// A number within bounds, in the point's unit.
    Number {
        /// Lowest.
        min: Option<f64>,
        /// Highest.
        max: Option<f64>,
        /// Distance between two values.
        step: Option<f64>,
    },
    /// One of these words (`"lock"`, `"unlock"`; options of a select).
    Options(Vec<String>),
    /// Any text.
    Text,
    /// Nothing to choose: it is pressed, with any value.
    Press,
    /// A colour or another composite: a JSON object with these keys, or an array of as many numbers.
    Object(Vec<String>),
}

/// How a point is set.
#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    /// Topic to publish to.
    pub topic: String,
    /// How the value becomes a payload.
    pub encode: Encode,
    /// Quality of service, 0 to 2.
    pub qos: u8,
    /// Whether the broker is to keep the command.
    pub retain: bool,
}

impl Write {
    /// A command of QoS 0 that is not retained.
    #[must_use]
    pub fn new(topic: impl Into<String>, encode: Encode) -> Write {
        Write {
            topic: topic.into(),
            encode,
            qos: 0,
            retain: false,
        }
    }
}

/// From a JSON value to a payload: first its word or number, then the form around it.
#[derive(Debug, Clone, PartialEq)]
pub struct Encode {
    /// What stands for a value: the value's name (`on`, `off`, `toggle`, `lock`, `open`, …) and the JSON to
    /// send. `true` and `false` are `on` and `off`. A value without a word goes as it is.
    pub words: Vec<(String, Value)>,
    /// What a number is multiplied by before it is sent; 1 leaves it as it is.
    pub scale: f64,
    /// What is made of it.
    pub form: Form,
}

impl Encode {
    /// The value in this form, without words.
    #[must_use]
    pub fn new(form: Form) -> Encode {
        Encode {
            words: Vec::new(),
            scale: 1.0,
            form,
        }
    }

    /// A switch in this form, with its words for on and off.
    #[must_use]
    pub fn switch(form: Form, on: impl Into<Value>, off: impl Into<Value>) -> Encode {
        let words = vec![("on".to_owned(), on.into()), ("off".to_owned(), off.into())];
        Encode {
            words,
            ..Encode::new(form)
        }
    }
}

/// What a payload looks like around its value.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// The value as text: a word or a number, an array as numbers joined by commas, an object as JSON.
    Plain,
    /// A JSON object with the value under this key (dots go deeper), beside what is always said.
    Json {
        /// Where the value goes.
        path: String,
        /// What stands beside it.
        with: Map<String, Value>,
    },
    /// A Home Assistant command template over `value`.
    Template(String),
    /// A remote procedure call (Shelly Gen 2+): `{"id":…,"src":"tarn","method":…,"params":{…}}`.
    Rpc {
        /// Method, such as `Switch.Set`.
        method: String,
        /// Parameters beside the value.
        params: Map<String, Value>,
        /// The parameter that holds the value; empty where the value is the method's own object of parameters.
        key: String,
    },
    /// A Sparkplug B payload with one metric.
    Sparkplug {
        /// Name of the metric.
        name: String,
        /// Its alias, if its birth certificate gave one.
        alias: Option<u64>,
        /// Its data type, by Sparkplug's numbers.
        datatype: u32,
    },
}
