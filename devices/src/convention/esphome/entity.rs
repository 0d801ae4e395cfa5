use serde_json::{Map, Value};

use super::{
    announcement,
    component::{Kind, Shape, kind},
};
use crate::{
    announcement::{Announcement, Layout, Stream, TimeKey},
    message::Message,
    point::{Component, Domain, Encode, Form, Point, Read, Write},
};

/// Longest object id.
const OBJECT_BYTES_MAX: usize = 128;

/// One value of one component of a node.
#[derive(Debug, Clone, Copy)]
struct Entity<'a> {
    node: &'a str,
    component: &'a str,
    object: &'a str,
    /// What of a component that has several values (`position` of a cover).
    part: Option<&'a str>,
}

impl Entity<'_> {
    fn topic(&self, end: &str) -> String {
        let Entity {
            node,
            component,
            object,
            part,
        } = self;
        match part {
            Some(part) => format!("{node}/{component}/{object}/{part}/{end}"),
            None => format!("{node}/{component}/{object}/{end}"),
        }
    }

    /// The object's id, and the part with a dot before it, as if both stood in one JSON object.
    fn metric(&self) -> String {
        match self.part {
            Some(part) => format!("{}.{part}", self.object),
            None => self.object.to_owned(),
        }
    }

    fn point(&self, component: Component) -> Point {
        let mut point = Point::new(self.metric(), component);
        // Two components of one node may go by the same id.
        self.component.clone_into(&mut point.qualifier);
        point
    }

    fn write(&self, encode: Encode) -> Write {
        Write::new(self.topic("command"), encode)
    }
}

/// A component by its topic, where its payload is what such a component says.
pub(super) fn recognise(node: &str, rest: &str, message: &Message<'_>) -> Option<Announcement> {
    let (entity, end) = entity(node, rest)?;
    let kind = kind(entity.component, entity.part)?;
    let text = message.text()?;
    let json = || serde_json::from_str::<Value>(text).ok();
    let (points, streams) = match end {
        "state" if kind.shape == Shape::Json => {
            let said = json().filter(Value::is_object)?;
            let topic = entity.topic("state");
            (
                json_points(entity, &kind, Some(&said)),
                vec![nested(topic, entity.object)],
            )
        }
        "state" if kind.shape.fits(text) => (vec![plain_point(entity, &kind)], Vec::new()),
        "command" if kind.encode.is_some() => {
            let points = match kind.shape {
                Shape::Json => json_points(entity, &kind, None),
                // A button has no state: that it is there shows when it is pressed.
                Shape::None if text != "PRESS" => return None,
                _ => vec![plain_point(entity, &kind)],
            };
            (points, Vec::new())
        }
        _ => return None,
    };
    let mut known = announcement(node, streams);
    if kind.encode.is_some() {
        let topic = entity.topic("command");
        let metric = topic[node.len() + 1..].to_owned();
        known.streams.push(Stream::raw(topic, metric));
    }
    known.points = points;
    Some(known)
}

fn entity<'a>(node: &'a str, rest: &'a str) -> Option<(Entity<'a>, &'a str)> {
    let mut levels = rest.split('/');
    let (component, object) = (levels.next()?, levels.next()?);
    let (part, end) = match (levels.next()?, levels.next()) {
        (end, None) => (None, end),
        (part, Some(end)) => (Some(part), end),
    };
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let is_object = (1..=OBJECT_BYTES_MAX).contains(&object.len()) && object.bytes().all(fits);
    let entity = Entity {
        node,
        component,
        object,
        part,
    };
    (levels.next().is_none() && is_object).then_some((entity, end))
}

/// JSON whose keys are metrics behind the object's id.
fn nested(topic: String, object: &str) -> Stream {
    Stream {
        topic,
        layout: Layout::Flat {
            metric: object.to_owned(),
            prefix: format!("{object}."),
            root: String::new(),
            time: TimeKey::Usual,
        },
    }
}

fn plain_point(entity: Entity<'_>, kind: &Kind) -> Point {
    let mut point = entity.point(kind.component);
    if kind.shape != Shape::None {
        let mut read = Read::value(entity.topic("state"));
        read.words.clone_from(&kind.words);
        point.read = Some(read);
    }
    point.domain = kind.domain.clone();
    point.write = kind.encode.clone().map(|encode| entity.write(encode));
    point
}

/// A light is its state; all else that it says can be set beside it. Dates and times are set as a whole.
fn json_points(entity: Entity<'_>, kind: &Kind, said: Option<&Value>) -> Vec<Point> {
    let topic = entity.topic("state");
    let mut point = entity.point(kind.component);
    point.domain = kind.domain.clone();
    point.write = kind.encode.clone().map(|encode| entity.write(encode));
    if kind.component != Component::Light {
        return if point.write.is_some() {
            vec![point]
        } else {
            Vec::new()
        };
    }
    point.read = Some(Read::path(&topic, "state"));
    let mut points = vec![point];
    let settable = said.into_iter().flat_map(|said| {
        let keys = said.as_object().into_iter().flatten();
        keys.filter_map(|(key, value)| Some((key, light(key, value)?)))
    });
    for (key, domain) in settable {
        let mut point = entity.point(Component::Light);
        point.metric = format!("{}.{key}", entity.object);
        // A colour is several values; each is read by its own name.
        if !matches!(domain, Domain::Object(_)) {
            point.read = Some(Read::path(&topic, key));
        }
        point.domain = domain;
        let with = Map::from_iter([("state".to_owned(), Value::from("ON"))]);
        let form = Form::Json {
            path: key.clone(),
            with,
        };
        point.write = Some(entity.write(Encode::new(form)));
        points.push(point);
    }
    points
}

/// Values that a light takes under this key.
fn light(key: &str, value: &Value) -> Option<Domain> {
    let steps = Domain::Number {
        min: Some(0.0),
        max: Some(255.0),
        step: Some(1.0),
    };
    Some(match key {
        "brightness" | "white_value" | "white" => steps,
        "color_temp" => Domain::Number {
            min: None,
            max: None,
            step: None,
        },
        "effect" => Domain::Text,
        "color" => Domain::Object(value.as_object()?.keys().cloned().collect()),
        _ => return None,
    })
}
