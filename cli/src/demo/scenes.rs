use std::{net::SocketAddr, time::Duration};

use rumqttc::{AsyncClient, MqttOptions, QoS};
use serde_json::{Value, json};
use tarn_common::{
    clock::{Clock, SystemClock},
    twin::home::HomeTwins,
};
use tarn_edge::Edge;
use tarn_openapi::{
    KnownDevice,
    automation::{self, Scene},
};
use tarn_rules::rule::{Action, Rule, Whereabouts};
use tokio::time::{Instant, sleep};

use super::count;
use crate::exit::Failure;

/// Who sets it all up.
const BY: &str = "demo";
/// How long a scene gets to come to its end.
const DONE_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Things of plain topics, and what they say before anything happens.
const THINGS: [(&str, &str); 6] = [
    ("demo/door", r#"{"open": 0}"#),
    ("demo/room", r#"{"temperature": 21}"#),
    ("demo/meter", r#"{"power": 300}"#),
    ("demo/lock", r#"{"battery_low": 0}"#),
    ("demo/air", r#"{"co2": 600}"#),
    ("demo/tv", r#"{"state": "idle"}"#),
];

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

    /// Has it set; where there is none, a topic is told the same.
    fn set(series: Option<Series>, value: Value, topic: &str) -> Value {
        match series {
            Some(Series(device, metric)) => {
                json!({"set": {"device": device, "values": {metric: value}}})
            }
            None => json!({"publish": {"topic": topic, "payload": value}}),
        }
    }
}

/// What sets a scene off.
enum Cue {
    Publish(&'static str, &'static str, usize),
    Goes(Whereabouts),
    Start(&'static str),
}

/// One of the scenes of docs/scenes.md.
struct Play {
    name: &'static str,
    /// What happens, in words.
    story: &'static str,
    cue: Cue,
    /// The event by which it has come to its end: kind, subject and word.
    end: (&'static str, &'static str, &'static str),
}

const PLAYS: [Play; 9] = [
    Play {
        name: "warmth",
        story: "a room is cold: its heating is turned up",
        cue: Cue::Publish("demo/room", r#"{"temperature": 16.5}"#, 1),
        end: ("rule", "cold", "done"),
    },
    Play {
        name: "energy",
        story: "too much power for a second: a plug goes off",
        cue: Cue::Publish("demo/meter", r#"{"power": 6100}"#, 1),
        end: ("rule", "shed", "done"),
    },
    Play {
        name: "devices",
        story: "a battery runs down: it is told, with no rule",
        cue: Cue::Publish("demo/lock", r#"{"battery_low": 1}"#, 1),
        end: ("alarm", "device/demo/lock/battery_low", "raised"),
    },
    Play {
        name: "health",
        story: "the air is bad on average: people are told",
        cue: Cue::Publish("demo/air", r#"{"co2": 1900}"#, 6),
        end: ("rule", "air", "done"),
    },
    Play {
        name: "film",
        story: "the television plays: the lights follow",
        cue: Cue::Publish("demo/tv", r#"{"state": "playing"}"#, 1),
        end: ("rule", "film", "done"),
    },
    Play {
        name: "many makes",
        story: "the last one goes: all lights go off",
        cue: Cue::Goes(Whereabouts::Away),
        end: ("rule", "lights", "done"),
    },
    Play {
        name: "security",
        story: "the door opens: an alarm is raised",
        cue: Cue::Publish("demo/door", r#"{"open": 1}"#, 1),
        end: ("alarm", "intrusion", "raised"),
    },
    Play {
        name: "security",
        story: "somebody comes home: the alarm is cleared",
        cue: Cue::Goes(Whereabouts::Home),
        end: ("alarm", "intrusion", "cleared"),
    },
    Play {
        name: "one word",
        story: "good night: lights off, mode night",
        cue: Cue::Start("rest"),
        end: ("rule", "scene/rest", "done"),
    },
];

/// Give the first home the rules and scenes of docs/scenes.md, play them, and tell how long each took.
pub(super) async fn show(edge: &Edge) -> Result<(), Failure> {
    let home = &edge.identity().home;
    let devices = edge.devices();
    let twins = devices.twins(home).await.map_err(Failure::broken)?;
    let Some(twins) = twins else { return Ok(()) };
    let stage = Stage::enter(edge, edge.mqtt_addresses()[0].1).await?;
    // Who is at home has to be known before anybody can go.
    let now_ms = SystemClock.now_ms();
    let set = automation::set_presence(&twins, "ada", Whereabouts::Home, BY, now_ms);
    set.await.map_err(Failure::broken)?;
    let known = devices.known(home).await;
    for (id, rule) in rules(&known)? {
        let set = automation::set_rule(&twins, id, &rule, BY);
        set.await.map_err(Failure::broken)?;
    }
    for (id, scene) in scenes()? {
        let set = automation::set_scene(&twins, id, Some(&scene), BY, now_ms);
        set.await.map_err(Failure::broken)?;
    }
    println!("What {home} does by itself:");
    for play in &PLAYS {
        let took = stage.play(play, &twins).await?;
        println!("  {:<11} {:<46} {took:>6} ms", play.name, play.story);
    }
    println!();
    Ok(())
}

fn scenes() -> Result<Vec<(&'static str, Scene)>, Failure> {
    let light = |values: Value| json!({"group": {"component": "light", "values": values}});
    let scene = |name: &str, then: Value| {
        let then: Vec<Action> = serde_json::from_value(then).map_err(Failure::broken)?;
        let name = name.into();
        Ok::<_, Failure>(Scene { name, then })
    };
    let rest = json!([light(json!({"on": false})), {"mode": {"mode": "night"}}]);
    Ok(vec![
        (
            "film",
            scene("Film", json!([light(json!({"on": true, "percent": 20}))]))?,
        ),
        ("rest", scene("Good night", rest)?),
    ])
}

fn rules(known: &[KnownDevice]) -> Result<Vec<(&'static str, Rule)>, Failure> {
    let settable = |component: &'static str, takes: &'static str| {
        Series::find(known, move |f| {
            f.settable && f.component == component && f.takes == takes
        })
    };
    let heat = Series::set(settable("climate", "number"), json!(21), "demo/heater");
    let shed = Series::set(settable("switch", "switch"), json!(false), "demo/boiler");
    let change = |device: &str, metric: &str, to: Value| json!([{"change": {"device": device, "metric": metric, "to": to}}]);
    let reading =
        |device: &str, metric: &str| json!([{"reading": {"device": device, "metric": metric}}]);
    let rules = [
        (
            "arm",
            json!({
                "name": "The last one goes", "when": [{"presence": {"is": "away"}}],
                "then": [{"mode": {"mode": "away"}}],
            }),
        ),
        (
            "disarm",
            json!({
                "name": "Somebody comes home", "when": [{"presence": {"is": "home"}}],
                "then": [{"mode": {"mode": "home"}}, {"clear": {"alarm": "intrusion"}}],
            }),
        ),
        (
            "lights",
            json!({
                "name": "Nobody is there", "when": [{"mode": {"to": "away"}}],
                "then": [{"group": {"component": "light", "values": {"on": false}}}],
            }),
        ),
        (
            "door",
            json!({
                "name": "The door opens while nobody is there", "when": change("demo/door", "open", json!(1)),
                "if": "mode == 'away'",
                "then": [{"raise": {"alarm": "intrusion", "severity": "critical", "class": "intrusion", "message": "The door was opened"}}],
            }),
        ),
        (
            "cold",
            json!({
                "name": "It is cold", "when": reading("demo/room", "temperature"),
                "if": "value('demo/room/temperature') < 18.0", "then": [heat],
            }),
        ),
        (
            "shed",
            json!({
                "name": "Too much power", "when": reading("demo/meter", "power"),
                "if": "value('demo/meter/power') > 5000.0", "for": "1s", "then": [shed],
            }),
        ),
        (
            "air",
            json!({
                "name": "Bad air", "when": reading("demo/air", "co2"),
                "if": "count('demo/air/co2', '10m') >= 5.0 && avg('demo/air/co2', '10m') > 1000.0",
                "then": [{"notify": {"title": "Open a window"}}],
            }),
        ),
        (
            "film",
            json!({
                "name": "The film begins", "when": change("demo/tv", "state", json!("playing")),
                "then": [{"scene": {"scene": "film"}}],
            }),
        ),
    ];
    rules
        .into_iter()
        .map(|(id, rule)| Ok((id, serde_json::from_value(rule).map_err(Failure::broken)?)))
        .collect()
}

/// Where scenes are played: a box, and a client of it that speaks for the things.
struct Stage<'a> {
    edge: &'a Edge,
    things: AsyncClient,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Stage<'_> {
    /// Have the things say something, and wait until the box knows them.
    async fn enter(edge: &Edge, broker: SocketAddr) -> Result<Stage<'_>, Failure> {
        let options = MqttOptions::new("demo-things", broker.ip().to_string(), broker.port());
        let (things, mut events) = AsyncClient::new(options, 64);
        let connection = tokio::spawn(async move { while events.poll().await.is_ok() {} });
        let stage = Stage {
            edge,
            things,
            connection,
        };
        for (topic, payload) in THINGS {
            stage.say(topic, payload).await?;
        }
        let question = "SELECT count(DISTINCT device) FROM readings WHERE device LIKE 'demo/%'";
        stage
            .wait("the things of the demo", || async {
                count(edge.engine(), question).await >= Some(THINGS.len() as u64)
            })
            .await?;
        Ok(stage)
    }

    async fn say(&self, topic: &str, payload: &str) -> Result<(), Failure> {
        let said = self
            .things
            .publish(topic, QoS::AtLeastOnce, false, payload.to_owned());
        said.await.map_err(Failure::broken)
    }

    /// Set a scene off and wait for its end; gives how many milliseconds lie between the two.
    async fn play(&self, play: &Play, twins: &HomeTwins) -> Result<i64, Failure> {
        let began_ms = SystemClock.now_ms();
        match play.cue {
            Cue::Publish(topic, payload, times) => {
                for _ in 0..times {
                    self.say(topic, payload).await?;
                }
            }
            Cue::Goes(whereabouts) => {
                let set = automation::set_presence(twins, "ada", whereabouts, BY, began_ms);
                set.await.map_err(Failure::broken)?;
            }
            Cue::Start(scene) => {
                let started = automation::start_scene(twins, scene, BY, began_ms);
                started.await.map_err(Failure::broken)?;
            }
        }
        let (kind, subject, word) = play.end;
        let question = format!(
            "SELECT CAST(max(ts) AS BIGINT) FROM events WHERE kind = '{kind}' AND metric = '{subject}' AND reason = '{word}'"
        );
        let ended_ms = async || count(self.edge.engine(), &question).await.unwrap_or(0) as i64;
        self.wait(play.story, || async { ended_ms().await >= began_ms })
            .await?;
        Ok(ended_ms().await - began_ms)
    }

    async fn wait<F: Future<Output = bool>>(
        &self,
        what: &str,
        is_so: impl Fn() -> F,
    ) -> Result<(), Failure> {
        let until = Instant::now() + DONE_WITHIN;
        while !is_so().await {
            if Instant::now() >= until {
                return Err(Failure::broken(anyhow::anyhow!(
                    "not seen within {DONE_WITHIN:?}: {what}"
                )));
            }
            sleep(LOOK_EVERY).await;
        }
        Ok(())
    }
}
