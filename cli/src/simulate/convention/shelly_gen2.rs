//! Shelly devices from the second generation on: JSON-RPC, and notifications of what has changed.
//!
//! ```text
//! <id>/online           (retained)  true | false
//! <id>/events/rpc                   {"src":"<id>","dst":"<id>/events","method":"NotifyStatus",
//!                                    "params":{"ts":1736603810.49,"switch:0":{"id":0,"apower":47.1}}}
//! <id>/status/switch:0  (if on)     {"id":0,"output":true,"apower":47.1,"voltage":232.1,"aenergy":{"total":5.125}}
//! <id>/command/switch:0             on | off | toggle
//! <id>/rpc                          {"id":1,"src":"tarn","method":"Switch.Set","params":{"id":0,"on":true}},
//!                                   answered on <src>/rpc
//! ```

use mqtt_proto::TopicName;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{Device, Turn, payload_text};
use crate::simulate::appliance::Appliance;
use crate::simulate::channel::{indoor_c, volts};
use crate::simulate::fault::Oddity;
use crate::simulate::identity::Identity;
use crate::simulate::message::{Keep, Outbox, topic};
use crate::simulate::meter::Meter;
use crate::simulate::signal::{Dice, SimTime};
use crate::simulate::thing::switch_word;
use crate::simulate::values::{Value, Values};

/// The longest topic on which a caller may ask for its answer.
const REPLY_TOPIC_MAX: usize = 256;

/// A Plus 1PM: one relay with a meter.
#[derive(Debug)]
pub(in crate::simulate) struct Shelly {
    id: String,
    identity: Identity,
    meter: Meter,
    dice: Dice,
    /// Whether its user has switched the status topics on.
    tells_status: bool,
    topics: Topics,
    told: u64,
}

#[derive(Debug)]
struct Topics {
    online: TopicName,
    events: TopicName,
    status: TopicName,
    rpc: TopicName,
    command: TopicName,
    own_command: TopicName,
}

/// A notification, in the order in which devices write it.
#[derive(Serialize)]
struct Notification<'a> {
    src: &'a str,
    dst: &'a str,
    method: &'static str,
    params: Params<'a>,
}

#[derive(Serialize)]
struct Params<'a> {
    ts: f64,
    #[serde(rename = "switch:0")]
    switch: &'a Values,
}

impl Shelly {
    /// A device with that appliance behind its relay.
    pub(in crate::simulate) fn new(
        identity: Identity,
        appliance: Appliance,
        dice: Dice,
        tells_status: bool,
    ) -> Shelly {
        let id = format!("shellyplus1pm-{}", identity.mac().to_lowercase());
        let own = |rest: &str| topic(&format!("{id}/{rest}"));
        Shelly {
            topics: Topics {
                online: own("online"),
                events: own("events/rpc"),
                status: own("status/switch:0"),
                rpc: own("rpc"),
                command: own("command/switch:0"),
                own_command: own("command"),
            },
            id,
            identity,
            meter: Meter::new(appliance),
            dice,
            tells_status,
            told: 0,
        }
    }

    /// The whole status of the relay. Energy is in Wh.
    fn status(&self, at: SimTime) -> Values {
        let (watts, volts) = (self.meter.watts(at), volts(self.dice, at));
        let celsius = indoor_c(self.dice, at, 38.0);
        let mut values = Values::new();
        values.add("id", Value::Whole(0));
        values.add("source", Value::Word("mqtt"));
        values.add("output", Value::Flag(self.meter.is_on()));
        values.number("apower", watts, 1);
        values.number("voltage", volts, 1);
        values.number("current", watts / volts, 3);
        let watt_hours = (self.meter.kwh(at) * 1e6).round() / 1e3;
        values.add("aenergy", Value::Under("total", watt_hours));
        values.add(
            "temperature",
            Value::Under("tC", (celsius * 10.0).round() / 10.0),
        );
        values
    }

    fn notify(&self, method: &'static str, values: &Values, at: SimTime, out: &mut Outbox) {
        let notification = Notification {
            src: &self.id,
            dst: self.topics.events.trim_end_matches("/rpc"),
            method,
            params: Params {
                ts: at.0 as f64 / 1_000.0,
                switch: values,
            },
        };
        out.json(&self.topics.events, Keep::Live, &notification);
    }

    /// What has changed: the state after a command, else one measurement or another.
    fn partial(&self, keys: &[&str], at: SimTime) -> Values {
        let mut values = self.status(at);
        values.retain(|name| name == "id" || keys.contains(&name));
        values
    }

    fn tell_status(&self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        let mut values = self.status(at);
        spoil_measurement(&mut values, odd);
        out.json(&self.topics.status, Keep::Live, &values);
    }

    fn switch(&mut self, wanted: bool, at: SimTime, out: &mut Outbox) {
        self.meter.switch(wanted, at);
        let values = self.partial(&["output", "source", "apower", "current"], at);
        self.notify("NotifyStatus", &values, at, out);
        if self.tells_status {
            self.tell_status(at, None, out);
        }
    }

    fn answer(&mut self, request: &Json, at: SimTime, out: &mut Outbox) {
        let was_on = self.meter.is_on();
        let params = &request["params"];
        let method = request["method"].as_str().unwrap_or_default();
        let mut wanted = None;
        let outcome = match method {
            "Switch.Set" if params["on"].is_boolean() => {
                wanted = params["on"].as_bool();
                Ok(json!({"was_on": was_on}))
            }
            "Switch.Set" => Err((-103, "Missing required argument 'on'!".to_owned())),
            "Switch.Toggle" => {
                wanted = Some(!was_on);
                Ok(json!({"was_on": was_on}))
            }
            "Switch.GetStatus" => Ok(json!(self.status(at))),
            "Shelly.GetStatus" => Ok(json!({"switch:0": self.status(at)})),
            "Shelly.GetDeviceInfo" => Ok(json!({
                "id": self.id, "mac": self.identity.mac(), "model": "SNSW-001P16EU", "gen": 2,
                "fw_id": "20240625-122604/1.3.3-gbdfd9b3", "ver": "1.3.3", "app": "Plus1PM"
            })),
            other => Err((404, format!("No handler for {other}"))),
        };
        self.reply(request, outcome, out);
        if let Some(wanted) = wanted {
            self.switch(wanted, at, out);
        }
    }

    fn reply(&self, request: &Json, outcome: Result<Json, (i64, String)>, out: &mut Outbox) {
        // A request without a source, or with one that is no topic, gets no answer.
        let source = request["src"].as_str().unwrap_or_default();
        if source.is_empty() || source.len() > REPLY_TOPIC_MAX {
            return;
        }
        let Ok(topic) = TopicName::try_from(format!("{source}/rpc").as_str()) else {
            return;
        };
        let mut document = json!({"id": request["id"], "src": self.id, "dst": source});
        match outcome {
            Ok(result) => document["result"] = result,
            Err((code, message)) => document["error"] = json!({"code": code, "message": message}),
        }
        out.json(&topic, Keep::Live, &document);
    }
}

/// Spoils a measurement, and never the number of the relay.
fn spoil_measurement(values: &mut Values, odd: Option<Oddity>) {
    let id = values.get("id").cloned();
    values.retain(|name| name != "id");
    values.spoil(odd);
    if let Some(id) = id {
        values.add("id", id);
    }
}

impl Device for Shelly {
    fn turn(&self) -> Turn {
        Turn::Regular(1)
    }

    fn announce(&mut self, at: SimTime, out: &mut Outbox) {
        self.availability(true, at, out);
        self.notify("NotifyFullStatus", &self.status(at), at, out);
        if self.tells_status {
            self.tell_status(at, None, out);
        }
    }

    fn report(&mut self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        let keys: &[&str] = match self.told % 4 {
            0 => &["apower", "current"],
            1 => &["aenergy"],
            2 => &["voltage", "apower"],
            _ => &["temperature"],
        };
        self.told += 1;
        let mut values = self.partial(keys, at);
        spoil_measurement(&mut values, odd);
        self.notify("NotifyStatus", &values, at, out);
        if self.tells_status && self.told.is_multiple_of(4) {
            self.tell_status(at, None, out);
        }
    }

    fn availability(&mut self, online: bool, _at: SimTime, out: &mut Outbox) {
        let word = if online { "true" } else { "false" };
        out.word(&self.topics.online, Keep::Retained, word);
    }

    fn power_up(&mut self, resets: bool, at: SimTime) {
        self.told = 0;
        if resets {
            self.meter.reset(at);
        }
    }

    fn read_zero(&mut self, zero: bool) {
        self.meter.read_zero(zero);
    }

    fn hears(&self) -> Vec<TopicName> {
        let topics = &self.topics;
        vec![
            topics.rpc.clone(),
            topics.command.clone(),
            topics.own_command.clone(),
        ]
    }

    fn hear(&mut self, on: &str, payload: &[u8], at: SimTime, out: &mut Outbox) {
        if on == &*self.topics.rpc {
            if let Ok(request) = serde_json::from_slice::<Json>(payload) {
                self.answer(&request, at, out);
            }
            return;
        }
        let Some(text) = payload_text(payload) else {
            return;
        };
        if on == &*self.topics.command {
            if let Some(wanted) = switch_word(text, "on", "off", self.meter.is_on()) {
                self.switch(wanted, at, out);
            }
        } else if text == "status_update" {
            self.tell_status(at, None, out);
        }
    }
}
