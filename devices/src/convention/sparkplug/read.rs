use std::borrow::Cow;

use prost::Message as _;

use super::{
    proto::{Metric, Payload, Value},
    value::{Said, said},
};
use crate::{
    fault::{Fault, FaultKind},
    reading::Taken,
};

/// Metrics of one payload, with those inside of templates.
pub const METRICS_MAX: usize = 4096;

/// Bytes of one payload that is looked at; it bounds the memory that a hostile one may take.
pub const PAYLOAD_BYTES_MAX: usize = 512 * 1024;

/// Bytes of a metric's name, with those of the templates around it.
pub const NAME_BYTES_MAX: usize = 1024;

/// Templates inside of templates.
const TEMPLATE_DEPTH_MAX: usize = 8;

/// The readings of a payload, where the types of metrics are only known if it says them itself; see [`read_typed`].
///
/// # Errors
/// It is no Sparkplug payload, or goes beyond a bound.
pub fn read<'a>(payload: &'a [u8], aliases: &[(u64, String)]) -> Result<Vec<Taken<'a>>, Fault> {
    read_typed(payload, aliases, &[])
}

/// The readings of a payload, with what the birth certificate said: names by alias (sorted by alias) and
/// data types by name (sorted by name).
///
/// An alias that no birth gave is the metric `alias.<n>`. Metrics of a template are named `<template>/<metric>`,
/// definitions of templates have no readings. Bytes become Base64, tables and arrays become JSON,
/// null becomes the text `null`, as it does in JSON payloads.
///
/// # Errors
/// It is no Sparkplug payload, or goes beyond a bound.
pub fn read_typed<'a>(
    payload: &'a [u8],
    aliases: &[(u64, String)],
    types: &[(String, u32)],
) -> Result<Vec<Taken<'a>>, Fault> {
    let payload = decode(payload).map_err(|detail| Fault::new(FaultKind::Payload, detail))?;
    let mut reader = Reader {
        aliases,
        types,
        published: payload.timestamp,
        taken: Vec::with_capacity(payload.metrics.len()),
    };
    for (place, metric) in payload.metrics.iter().enumerate() {
        reader.metric("", metric, 0).map_err(|detail| {
            Fault::new(FaultKind::Payload, format!("metric {place}: {detail}"))
        })?;
    }
    Ok(reader.taken)
}

/// A payload within the bounds, or what is wrong with it.
pub(super) fn decode(payload: &[u8]) -> Result<Payload, String> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(format!("longer than {PAYLOAD_BYTES_MAX} bytes"));
    }
    let payload = Payload::decode(payload).map_err(|error| error.to_string())?;
    if payload.metrics.len() > METRICS_MAX {
        return Err(format!("more than {METRICS_MAX} metrics"));
    }
    Ok(payload)
}

struct Reader<'r> {
    aliases: &'r [(u64, String)],
    types: &'r [(String, u32)],
    published: Option<u64>,
    taken: Vec<Taken<'static>>,
}

impl Reader<'_> {
    /// Take the readings of a metric whose template has this name.
    fn metric(&mut self, template: &str, metric: &Metric, depth: usize) -> Result<(), String> {
        let name = self.name(template, metric)?;
        match &metric.value {
            Some(Value::Template(instance)) => {
                if instance.is_definition == Some(true) {
                    return Ok(());
                }
                if depth == TEMPLATE_DEPTH_MAX {
                    return Err(format!(
                        "templates inside of more than {TEMPLATE_DEPTH_MAX} templates"
                    ));
                }
                let mut members = instance.metrics.iter();
                members.try_for_each(|member| self.metric(&name, member, depth + 1))
            }
            Some(value) if metric.is_null != Some(true) => {
                let datatype = self.datatype(&name, metric);
                self.push(name, metric, said(datatype, value))
            }
            _ => self.push(name, metric, Said::text("null")),
        }
    }

    fn push(&mut self, name: String, metric: &Metric, said: Said) -> Result<(), String> {
        if self.taken.len() == METRICS_MAX {
            return Err(format!("more than {METRICS_MAX} metrics"));
        }
        let ts = metric.timestamp.or(self.published);
        self.taken.push(Taken {
            metric: Cow::Owned(name),
            value: said.value,
            text: said.text.map(Cow::Owned),
            unit: None,
            ts: ts.and_then(|ms| i64::try_from(ms).ok()),
            historical: metric.is_historical == Some(true),
        });
        Ok(())
    }

    fn name(&self, template: &str, metric: &Metric) -> Result<String, String> {
        let own = match (metric.name.as_deref(), metric.alias) {
            (Some(name), _) if !name.is_empty() => Cow::Borrowed(name),
            (_, Some(alias)) => self.alias(alias),
            _ => return Err("neither a name nor an alias".to_owned()),
        };
        let around = if template.is_empty() {
            0
        } else {
            template.len() + 1
        };
        if around + own.len() > NAME_BYTES_MAX {
            return Err(format!("a name of more than {NAME_BYTES_MAX} bytes"));
        }
        match around {
            0 => Ok(own.into_owned()),
            _ => Ok(format!("{template}/{own}")),
        }
    }

    fn alias(&self, alias: u64) -> Cow<'_, str> {
        match self.aliases.binary_search_by_key(&alias, |(n, _)| *n) {
            Ok(place) => Cow::Borrowed(&self.aliases[place].1),
            Err(_) => Cow::Owned(format!("alias.{alias}")),
        }
    }

    /// The type that a metric says itself, or else the one that its birth certificate said.
    fn datatype(&self, name: &str, metric: &Metric) -> u32 {
        let born = || {
            let place = self.types.binary_search_by(|(n, _)| n.as_str().cmp(name));
            place.ok().map(|place| self.types[place].1)
        };
        let own = metric.datatype.filter(|datatype| *datatype != 0);
        own.or_else(born).unwrap_or_default()
    }
}
