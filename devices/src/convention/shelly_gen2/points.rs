use serde_json::{Map, Value, json};

use super::topic::{Kind, Place};
use crate::point::{Component, Domain, Encode, Form, Point, Read, Write};

/// What a command calls itself: answers go to `tarn/rpc`.
const SOURCE: &str = "tarn";

/// Words of a cover and the methods that they call; `closed` and `stopped` are what its state then says.
const COVER_METHODS: [(&str, &str); 5] = [
    ("open", "Cover.Open"),
    ("close", "Cover.Close"),
    ("closed", "Cover.Close"),
    ("stop", "Cover.Stop"),
    ("stopped", "Cover.Stop"),
];

/// The point that a metric of a device is, if it can be set; told by the metric alone.
pub(super) fn of(place: Place<'_>, metric: &str) -> Option<Point> {
    let path = match place.kind {
        Kind::Events => metric,
        Kind::Status(component) => metric.strip_prefix(component)?.strip_prefix('.')?,
        _ => return None,
    };
    let (component, key) = metric.split_once('.')?;
    let (kind, number) = component.split_once(':')?;
    let id: u32 = number.parse().ok()?;
    let (point, encode) = settable(kind, key, id)?;
    Some(Point {
        metric: metric.to_owned(),
        read: Some(Read::path(place.topic, path)),
        write: Some(Write::new(place.sibling("rpc"), encode)),
        ..point
    })
}

/// What a key of a component is and how it is set.
fn settable(kind: &str, key: &str, id: u32) -> Option<(Point, Encode)> {
    let (point, encode) = match (kind, key) {
        ("switch", "output") => switch(Component::Switch, call("Switch.Set", id, "on")),
        ("boolean", "value") => switch(Component::Switch, call("Boolean.Set", id, "value")),
        ("light" | "rgb" | "rgbw" | "cct", "output") => {
            switch(Component::Light, call(light_method(kind), id, "on"))
        }
        ("light" | "rgb" | "rgbw" | "cct", "brightness") => {
            let form = call(light_method(kind), id, key);
            number("%", Some((0.0, 100.0)), 1.0, form)
        }
        ("rgbw", "white") => number(
            "",
            Some((0.0, 255.0)),
            1.0,
            call(light_method(kind), id, key),
        ),
        ("cct", "ct") => number("K", Some((2700.0, 6500.0)), 1.0, call("CCT.Set", id, key)),
        ("cover", "state") => cover(id),
        ("cover", "current_pos") => {
            let (point, encode) = number(
                "%",
                Some((0.0, 100.0)),
                1.0,
                call("Cover.GoToPosition", id, "pos"),
            );
            (of_component(point, Component::Cover), encode)
        }
        ("thermostat", "target_C") => target(
            json!({"method": "Thermostat.SetConfig", "params": {"id": id}}),
            "params.config.target_C",
        ),
        ("blutrv", "target_C") => {
            let inner = json!({"id": id, "method": "TRV.SetTarget", "params": {"id": 0}});
            target(
                json!({"method": "BluTrv.Call", "params": inner}),
                "params.params.target_C",
            )
        }
        ("number", "value") => number("", None, 0.0, call("Number.Set", id, key)),
        ("text", "value") => words(Component::Text, Domain::Text, call("Text.Set", id, key)),
        ("enum", "value") => words(Component::Select, Domain::Any, call("Enum.Set", id, key)),
        _ => return None,
    };
    Some((point, encode))
}

/// A call of a method with the value as one of its parameters.
fn call(method: &str, id: u32, key: &str) -> Form {
    Form::Rpc {
        method: method.to_owned(),
        params: Map::from_iter([("id".to_owned(), Value::from(id))]),
        key: key.to_owned(),
    }
}

fn light_method(kind: &str) -> &'static str {
    match kind {
        "rgb" => "RGB.Set",
        "rgbw" => "RGBW.Set",
        "cct" => "CCT.Set",
        _ => "Light.Set",
    }
}

fn of_component(point: Point, component: Component) -> Point {
    Point { component, ..point }
}

fn switch(component: Component, form: Form) -> (Point, Encode) {
    let point = Point {
        domain: Domain::Switch,
        ..Point::new("", component)
    };
    (point, Encode::switch(form, true, false))
}

fn number(unit: &str, range: Option<(f64, f64)>, step: f64, form: Form) -> (Point, Encode) {
    let point = Point {
        unit: (!unit.is_empty()).then(|| unit.to_owned()),
        domain: Domain::Number {
            min: range.map(|(min, _)| min),
            max: range.map(|(_, max)| max),
            step: (step > 0.0).then_some(step),
        },
        ..Point::new("", Component::Number)
    };
    (point, Encode::new(form))
}

fn words(component: Component, domain: Domain, form: Form) -> (Point, Encode) {
    let point = Point {
        domain,
        ..Point::new("", component)
    };
    (point, Encode::new(form))
}

/// A cover has a method for each of its words, so that a word stands for a whole call.
fn cover(id: u32) -> (Point, Encode) {
    let call = |method| json!({"id": 1, "src": SOURCE, "method": method, "params": {"id": id}});
    let encode = Encode {
        words: COVER_METHODS
            .map(|(word, method)| (word.to_owned(), call(method)))
            .to_vec(),
        ..Encode::new(Form::Plain)
    };
    let options = COVER_METHODS.map(|(word, _)| word.to_owned()).to_vec();
    let point = Point {
        domain: Domain::Options(options),
        ..Point::new("", Component::Cover)
    };
    (point, encode)
}

/// A target temperature, which stands deeper inside of a call than a parameter.
fn target(mut around: Value, path: &str) -> (Point, Encode) {
    around["id"] = Value::from(1);
    around["src"] = Value::from(SOURCE);
    let with = around.as_object().cloned().unwrap_or_default();
    let form = Form::Json {
        path: path.to_owned(),
        with,
    };
    let (point, encode) = number("°C", Some((4.0, 35.0)), 0.5, form);
    let class = Some("temperature".to_owned());
    (Point { class, ..point }, encode)
}
