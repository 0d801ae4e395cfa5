use super::{
    datatype,
    proto::{Metric, Payload, Property, PropertyValue, Value},
    read::NAME_BYTES_MAX,
    topic::{Kind, Place},
    value::widened,
};
use crate::{
    announcement::{About, Layout},
    point::{Component, Domain, Encode, Form, Point, Read, Write},
};

/// The node's own count of its births, which nobody sets.
const BIRTH_COUNT: &str = "bdSeq";

/// Keys of the properties that hold a metric's unit, by different makers.
const UNIT_KEYS: [&str; 5] = [
    "engUnit",
    "Engineering Units",
    "engineeringUnits",
    "unit",
    "Unit",
];

/// What a birth certificate says of its metrics.
#[derive(Debug)]
pub(super) struct Birth {
    pub(super) about: About,
    pub(super) points: Vec<Point>,
    pub(super) layout: Layout,
}

impl Birth {
    /// What a payload says as the birth certificate of a node or device.
    pub(super) fn of(place: Place<'_>, payload: &Payload) -> Birth {
        let mut birth = (About::default(), Vec::new());
        let (mut aliases, mut types) = (Vec::new(), Vec::new());
        let named = payload.metrics.iter().filter_map(|metric| {
            let name = metric.name.as_deref()?;
            let usable = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
            usable.then_some((name, metric))
        });
        for (name, metric) in named {
            if let Some(alias) = metric.alias {
                aliases.push((alias, name.to_owned()));
            }
            types.push((name.to_owned(), metric.datatype.unwrap_or_default()));
            describe(&mut birth.0, name, metric);
            birth.1.extend(point(place, name, metric));
        }
        // A name or alias that is given twice keeps its first meaning, because the sorts are stable.
        aliases.sort_by_key(|(alias, _)| *alias);
        aliases.dedup_by_key(|(alias, _)| *alias);
        types.sort_by(|(a, _), (b, _)| a.cmp(b));
        types.dedup_by(|(a, _), (b, _)| a == b);
        Birth {
            about: birth.0,
            points: birth.1,
            layout: Layout::Sparkplug { aliases, types },
        }
    }
}

/// Take what a metric such as `Properties/Model` says of the device itself.
fn describe(about: &mut About, name: &str, metric: &Metric) {
    let Some(key) = ["Properties/", "Node Info/", "Device Info/"]
        .iter()
        .find_map(|group| name.strip_prefix(group))
    else {
        return;
    };
    let Some(Value::String(text)) = &metric.value else {
        return;
    };
    let field = match key.to_ascii_lowercase().as_str() {
        "model" | "hardware model" => &mut about.model,
        "vendor" | "manufacturer" | "make" | "hardware make" => &mut about.vendor,
        "firmware" | "firmware version" | "fw" | "fw version" => &mut about.firmware,
        "hardware version" | "hw version" => &mut about.hardware,
        "serial" | "serial number" | "serialnumber" => &mut about.serial,
        _ => return,
    };
    if field.is_none() && !text.trim().is_empty() {
        *field = Some(text.trim().to_owned());
    }
}

/// The point that a metric is; none for templates, whose members are only measured.
fn point(place: Place<'_>, name: &str, metric: &Metric) -> Option<Point> {
    if matches!(metric.value, Some(Value::Template(_))) || name == BIRTH_COUNT {
        return None;
    }
    let datatype = metric.datatype.unwrap_or_default();
    let read_only = property(metric, &["readOnly"]).is_some_and(is_true);
    let settable = datatype::is_settable(datatype) && !read_only;
    let (component, domain) = kind_of(metric, datatype, settable);
    let unit = property(metric, &UNIT_KEYS).and_then(text);
    Some(Point {
        unit,
        domain,
        read: Some(Read::path(place.topic(Kind::Data), name)),
        write: settable.then(|| write(place, name, metric.alias, datatype)),
        ..Point::new(name, component)
    })
}

fn kind_of(metric: &Metric, datatype: u32, settable: bool) -> (Component, Domain) {
    match (datatype, settable) {
        (datatype::BOOLEAN, true) => (Component::Switch, Domain::Switch),
        (datatype::BOOLEAN, false) => (Component::BinarySensor, Domain::Switch),
        (_, true) if datatype::is_text(datatype) => (Component::Text, Domain::Text),
        (_, true) if datatype::is_number(datatype) => {
            let domain = Domain::Number {
                min: property(metric, &["engLow"]).and_then(number),
                max: property(metric, &["engHigh"]).and_then(number),
                step: datatype::is_integer(datatype).then_some(1.0),
            };
            (Component::Number, domain)
        }
        _ => (Component::Sensor, Domain::Any),
    }
}

fn write(place: Place<'_>, name: &str, alias: Option<u64>, datatype: u32) -> Write {
    let form = Form::Sparkplug {
        name: name.to_owned(),
        alias,
        datatype,
    };
    let encode = match datatype {
        datatype::BOOLEAN => Encode::switch(form, true, false),
        _ => Encode::new(form),
    };
    Write::new(place.topic(Kind::Command), encode)
}

/// The first property of a metric under one of these keys.
fn property<'m>(metric: &'m Metric, keys: &[&str]) -> Option<&'m Property> {
    let set = metric.properties.as_ref()?;
    let place = keys
        .iter()
        .find_map(|key| set.keys.iter().position(|k| k == key))?;
    set.values.get(place)
}

fn text(property: &Property) -> Option<String> {
    match &property.value {
        Some(PropertyValue::String(text)) if !text.trim().is_empty() => {
            Some(text.trim().to_owned())
        }
        _ => None,
    }
}

fn is_true(property: &Property) -> bool {
    match &property.value {
        Some(PropertyValue::Boolean(on)) => *on,
        Some(PropertyValue::Int(number)) => *number != 0,
        _ => false,
    }
}

fn number(property: &Property) -> Option<f64> {
    let datatype = property.datatype.unwrap_or_default();
    let number = match &property.value {
        Some(PropertyValue::Int(field)) => datatype::integer(datatype, u64::from(*field)) as f64,
        Some(PropertyValue::Long(field)) => datatype::integer(datatype, *field) as f64,
        Some(PropertyValue::Float(number)) => widened(*number),
        Some(PropertyValue::Double(number)) => *number,
        _ => return None,
    };
    number.is_finite().then_some(number)
}
