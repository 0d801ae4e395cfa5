use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tarn_common::clock::{Clock, SystemClock};
use tarn_edge::Edge;
use tarn_openapi::{
    KnownDevice,
    automation::{self, Scene},
};
use tarn_rules::rule::Rule;
use tokio::time::sleep;

use super::count;
use crate::exit::Failure;

/// Who sets it all up.
const BY: &str = "demo";
/// How long scenes get to be carried out.
const DONE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A device and one of its metrics.
struct Series(String, String);

impl Series {
    /// The first one of a home of which this holds.
    fn find(known: &[KnownDevice], is: impl Fn(&tarn_openapi::Feature) -> bool) -> Option<Series> {
        let there = known.iter().filter(|device| device.online != Some(false));
        let mut found = there.filter_map(|device| {
            let feature = device.features.iter().find(|feature| is(feature))?;
            Some(Series(device.device.clone(), feature.metric.clone()))
        });
        found.next()
    }
}

/// Give the first home rules and scenes as docs/scenes.md has them, start two of the scenes, and tell what was done.
pub(super) async fn show(edge: &Edge) -> Result<(), Failure> {
    let home = &edge.identity().home;
    let devices = edge.devices();
    let known = devices.known(home).await;
    let twins = devices.twins(home).await.map_err(Failure::broken)?;
    let Some(twins) = twins else { return Ok(()) };
    let rules = rules(&known);
    for (id, rule) in &rules {
        automation::set_rule(&twins, id, rule, BY)
            .await
            .map_err(Failure::broken)?;
    }
    let light = |values: Value| json!({"group": {"component": "light", "values": values}});
    let now_ms = SystemClock.now_ms();
    for (id, name, then) in [
        (
            "film",
            "Film",
            json!([light(json!({"on": true, "percent": 20}))]),
        ),
        (
            "rest",
            "Good night",
            json!([light(json!({"on": false})), {"mode": {"mode": "night"}}]),
        ),
    ] {
        let scene = Scene {
            name: name.into(),
            then: serde_json::from_value(then).map_err(Failure::broken)?,
        };
        automation::set_scene(&twins, id, Some(&scene), BY, now_ms)
            .await
            .map_err(Failure::broken)?;
    }
    let names: Vec<&str> = rules.iter().map(|(_, rule)| &*rule.name).collect();
    println!("{home} has rules now: {}", names.join(", "));
    let started = Instant::now();
    for id in ["film", "rest"] {
        automation::start_scene(&twins, id, BY, SystemClock.now_ms())
            .await
            .map_err(Failure::broken)?;
    }
    let question = "SELECT count(*) FROM events WHERE kind = 'rule' AND reason = 'done' AND text LIKE '%scene/%'";
    let done = async || count(edge.engine(), question).await.unwrap_or(0);
    while done().await < 2 && started.elapsed() < DONE_WITHIN {
        sleep(LOOK_EVERY).await;
    }
    let mode = twins.read(|replica| automation::mode(replica, SystemClock.now_ms()));
    println!(
        "scenes film and rest: {} of 2 carried out after {} ms, the mode is {mode}\n",
        done().await,
        started.elapsed().as_millis()
    );
    Ok(())
}

/// Rules for what the home has.
fn rules(known: &[KnownDevice]) -> Vec<(&'static str, Rule)> {
    let class = |class: &'static str| {
        Series::find(known, move |feature| {
            feature.class.as_deref() == Some(class)
        })
    };
    let settable = |component: &'static str, takes: &'static str| {
        Series::find(known, move |f| {
            f.settable && f.component == component && f.takes == takes
        })
    };
    let mut rules = Vec::new();
    let mut add = |id: &'static str, rule: Value| {
        rules.extend(serde_json::from_value(rule).ok().map(|rule| (id, rule)));
    };
    if let Some(Series(device, metric)) = class("door") {
        add(
            "door",
            json!({
                "name": "the door opens while nobody is there",
                "when": [{"change": {"device": device, "metric": metric}}],
                "if": "mode == 'away'",
                "then": [{"raise": {"alarm": "intrusion", "severity": "critical", "class": "intrusion", "message": "The door was opened"}}],
            }),
        );
    }
    if let (Some(Series(sensor, measured)), Some(Series(dial, aim))) =
        (class("temperature"), settable("climate", "number"))
    {
        let cold = format!("value('{sensor}/{measured}') < 18.0");
        add(
            "cold",
            json!({
                "name": "it is cold",
                "when": [{"reading": {"device": sensor, "metric": measured}}],
                "if": cold,
                "then": [{"set": {"device": dial, "values": {aim: 21}}}],
            }),
        );
    }
    if let (Some(Series(meter, watts)), Some(Series(plug, power))) =
        (class("power"), settable("switch", "switch"))
    {
        add(
            "shed",
            json!({
                "name": "too much power",
                "when": [{"reading": {"device": meter, "metric": watts}}],
                "if": format!("value('{meter}/{watts}') > 5000.0"),
                "for": "1m",
                "then": [{"set": {"device": plug, "values": {power: false}}}],
            }),
        );
    }
    if let Some(Series(sensor, percent)) = class("humidity") {
        add(
            "damp",
            json!({
                "name": "damp air",
                "when": [{"reading": {"device": sensor, "metric": percent}}],
                "if": format!("avg('{sensor}/{percent}', '10m') > 70.0"),
                "then": [{"notify": {"title": "Open a window"}}],
            }),
        );
    }
    rules
}
