use rustc_hash::FxHashSet;
use serde_json::Value;

use super::{
    fault, native, settable,
    topics::{Prefix, Topics, flat},
};
use crate::{
    announcement::{About, Announcement, Availability, AvailabilityTopic, Stream},
    fault::Fault,
    identifier::Identifier,
    point::{At, Point},
};

/// What a device says by itself.
const TELE: [&str; 6] = ["SENSOR", "STATE", "RESULT", "INFO1", "INFO2", "INFO3"];

/// Highest number of a `STATUS` answer.
const STATUS_MAX: usize = 13;

/// A device by its `config`.
pub(super) fn learn(mac: &str, config: &Value) -> Result<Announcement, Fault> {
    let topic = text(config, "t").ok_or_else(|| fault("config without the topic `t`"))?;
    let mac = text(config, "mac").unwrap_or(mac);
    let topics = Topics::of_config(config, topic, &mac.replace(':', ""))
        .ok_or_else(|| fault("config with topics that cannot be (`ft`, `t`, `tp`)"))?;
    let points = settable::points(config, &topics);
    let streams = streams(&topics, &points);
    let availability = availability(
        &topics,
        text(config, "onln").unwrap_or("Online"),
        text(config, "ofln").unwrap_or("Offline"),
    );
    Ok(Announcement {
        identifiers: Identifier::mac(mac)
            .into_iter()
            .chain([native(topic)])
            .collect(),
        about: About {
            name: ["dn", "hn", "t"]
                .iter()
                .find_map(|key| text(config, key))
                .map(str::to_owned),
            vendor: Some("Tasmota".to_owned()),
            model: text(config, "md").map(str::to_owned),
            firmware: text(config, "sw").map(str::to_owned),
            ..About::default()
        },
        points,
        streams,
        availability,
    })
}

/// The will that a device leaves, and what it says when it is back.
pub(super) fn availability(topics: &Topics, online: &str, offline: &str) -> Availability {
    Availability {
        topics: vec![AvailabilityTopic {
            topic: format!("{}LWT", topics.tele),
            at: At::Value,
            online: online.to_owned(),
            offline: offline.to_owned(),
        }],
        ..Availability::default()
    }
}

/// All topics of a device, each once: its own, those that its points read, and those of its commands.
fn streams(topics: &Topics, points: &[Point]) -> Vec<Stream> {
    let status = (0..=STATUS_MAX).map(|number| format!("STATUS{number}"));
    let power = points
        .iter()
        .map(|point| &point.metric)
        .filter(|metric| metric.starts_with("POWER"));
    let stat = ["RESULT", "STATUS"].map(str::to_owned).into_iter();
    let stat = stat.chain(status).chain(power.cloned());
    let mut streams: Vec<Stream> = TELE
        .iter()
        .filter_map(|leaf| topics.stream(Prefix::Tele, leaf))
        .chain(stat.filter_map(|leaf| topics.stream(Prefix::Stat, &leaf)))
        .collect();
    let mut known: FxHashSet<String> = streams.iter().map(|s| s.topic.clone()).collect();
    for point in points {
        // Where answers have topics of their own, they are no less the device's.
        if let Some(read) = &point.read
            && known.insert(read.topic.clone())
        {
            streams.push(Stream {
                topic: read.topic.clone(),
                layout: flat(&point.metric, ""),
            });
        }
        let write = point.write.as_ref().map(|write| write.topic.as_str());
        if let Some(leaf) = write.and_then(|topic| topic.strip_prefix(&topics.cmnd))
            && let Some(stream) = topics.stream(Prefix::Cmnd, leaf)
            && known.insert(stream.topic.clone())
        {
            streams.push(stream);
        }
    }
    streams
}

pub(super) fn text<'a>(config: &'a Value, key: &str) -> Option<&'a str> {
    let text = config[key].as_str().map(str::trim);
    text.filter(|text| !text.is_empty())
}
