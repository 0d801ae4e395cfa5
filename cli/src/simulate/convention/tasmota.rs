//! Tasmota: telemetry and states under a full topic that each device may choose.
//!
//! ```text
//! tasmota/discovery/<MAC>/config   (retained)  {"dn":"Kettle","t":"tasmota_49A3BC","ft":"%prefix%/%topic%/",…}
//! tasmota/discovery/<MAC>/sensors  (retained)  {"sn":{"Time":…,"ENERGY":{…}},"ver":1}
//! tele/<t>/LWT                     (retained)  Online | Offline
//! tele/<t>/SENSOR, tele/<t>/STATE              {"Time":"2023-05-19T20:52:56",…}
//! cmnd/<t>/POWER                               ON | OFF | TOGGLE: answered on stat/<t>/RESULT and …/POWER
//! ```
//!
//! `Time` is local time without an offset.

use bytes::Bytes;
use mqtt_proto::TopicName;
use serde::Serialize;
use serde_json::json;

use super::{Device, Turn, payload_text};
use crate::simulate::appliance::Appliance;
use crate::simulate::channel::{humidity, indoor_c, volts};
use crate::simulate::fault::Oddity;
use crate::simulate::identity::Identity;
use crate::simulate::message::{Keep, Outbox, topic};
use crate::simulate::meter::Meter;
use crate::simulate::signal::{Dice, SimTime};
use crate::simulate::thing::switch_word;
use crate::simulate::values::{Value, Values, round};

/// What is screwed to the board.
#[derive(Debug)]
pub(in crate::simulate) enum Board {
    /// One relay with a meter for each appliance; two of them make the meter tell arrays.
    Meters(Vec<Appliance>),
    /// Temperature and humidity, under a full topic with the device first.
    Climate,
}

/// One Tasmota device.
#[derive(Debug)]
pub(in crate::simulate) struct Tasmota {
    name: String,
    identity: Identity,
    meters: Vec<Meter>,
    dice: Dice,
    utc_offset_ms: i64,
    /// The full topic, with its placeholders.
    full_topic: &'static str,
    topics: Topics,
    /// How many messages of telemetry it has sent.
    told: u64,
}

#[derive(Debug)]
struct Topics {
    config: TopicName,
    sensors: TopicName,
    lwt: TopicName,
    sensor: TopicName,
    state: TopicName,
    result: TopicName,
    /// Where each relay is told.
    relays: Vec<TopicName>,
    /// Where each relay hears. The first one hears both `POWER` and `POWER1`.
    commands: Vec<(TopicName, usize)>,
}

/// `{"Time":…,"ENERGY":{…}}` or `{"Time":…,"SI7021":{…},"TempUnit":"C"}`.
#[derive(Serialize)]
struct Telemetry<'a> {
    #[serde(rename = "Time")]
    time: &'a str,
    #[serde(rename = "ENERGY", skip_serializing_if = "Option::is_none")]
    energy: Option<&'a Values>,
    #[serde(rename = "SI7021", skip_serializing_if = "Option::is_none")]
    climate: Option<&'a Values>,
    #[serde(rename = "TempUnit", skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
}

impl Tasmota {
    /// A device of that name, whose clock is so far from UTC.
    pub(in crate::simulate) fn new(
        name: &str,
        identity: Identity,
        board: Board,
        dice: Dice,
        utc_offset_ms: i64,
    ) -> Tasmota {
        let (meters, full_topic) = match board {
            Board::Meters(all) => (
                all.into_iter().map(Meter::new).collect(),
                "%prefix%/%topic%/",
            ),
            Board::Climate => (Vec::new(), "%topic%/%prefix%/"),
        };
        Tasmota {
            name: name.to_owned(),
            identity,
            topics: Topics::new(identity, full_topic, meters.len()),
            meters,
            dice,
            utc_offset_ms,
            full_topic,
            told: 0,
        }
    }

    fn config(&self) -> serde_json::Value {
        let relay = |index: usize| u8::from(index < self.meters.len());
        json!({
            "ip": self.identity.ip(),
            "dn": self.name,
            "fn": [self.name, null, null, null, null, null, null, null],
            "hn": own_topic(self.identity).replace('_', "-"),
            "mac": self.identity.mac(),
            "md": if self.meters.is_empty() { "Generic" } else { "Nous A1T" },
            "ty": 0,
            "if": 0,
            "ofln": "Offline",
            "onln": "Online",
            "state": ["OFF", "ON", "TOGGLE", "HOLD"],
            "sw": "14.1.0",
            "t": own_topic(self.identity),
            "ft": self.full_topic,
            "tp": ["cmnd", "stat", "tele"],
            "rl": (0..8).map(relay).collect::<Vec<u8>>(),
            "swc": [-1, -1, -1, -1, -1, -1, -1, -1],
            "swn": [null, null, null, null, null, null, null, null],
            "btn": [0, 0, 0, 0, 0, 0, 0, 0],
            "so": {"4": 0, "11": 0, "13": 0, "17": 0, "20": 0, "30": 0, "68": 0, "73": 0, "82": 0, "114": 0, "117": 0},
            "lk": 0,
            "lt_st": 0,
            "sho": [0, 0, 0, 0],
            "ver": 1
        })
    }

    fn values(&self, at: SimTime) -> Values {
        let mut values = Values::new();
        if self.meters.is_empty() {
            let (celsius, percent) = (indoor_c(self.dice, at, 16.0), humidity(self.dice, at));
            values.number("Temperature", celsius, 1);
            values.number("Humidity", percent, 1);
            values.number("DewPoint", celsius - (100.0 - percent) / 5.0, 1);
            return values;
        }
        let each = |read: &dyn Fn(&Meter) -> f64, decimals| match &*self.meters {
            [one, two, ..] => Value::Pair([round(read(one), decimals), round(read(two), decimals)]),
            [one] => Value::rounded(read(one), decimals),
            [] => Value::Whole(0),
        };
        values.add("TotalStartTime", Value::Word("2024-01-01T00:00:00"));
        values.add("Total", each(&|meter| meter.kwh(at), 3));
        values.add("Today", each(&|meter| meter.today_kwh(at), 3));
        values.add("Power", each(&|meter| meter.watts(at), 0));
        values.whole("Voltage", volts(self.dice, at));
        values.add("Current", each(&|meter| meter.watts(at) / 231.0, 3));
        values
    }

    fn sensor(&self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        let mut values = self.values(at);
        values.spoil(odd);
        out.json(
            &self.topics.sensor,
            Keep::Live,
            &self.telemetry(&self.time(at), &values),
        );
    }

    fn telemetry<'a>(&self, time: &'a str, values: &'a Values) -> Telemetry<'a> {
        let is_meter = !self.meters.is_empty();
        Telemetry {
            time,
            energy: is_meter.then_some(values),
            climate: (!is_meter).then_some(values),
            unit: (!is_meter).then_some("C"),
        }
    }

    fn time(&self, at: SimTime) -> String {
        let since = std::time::Duration::from_millis((at.0 + self.utc_offset_ms).max(0) as u64);
        let time = std::time::UNIX_EPOCH + since;
        let mut text = humantime::format_rfc3339_seconds(time).to_string();
        // The device writes its local time and does not say which.
        text.truncate(text.trim_end_matches('Z').len());
        text
    }

    fn status(&self, at: SimTime, out: &mut Outbox) {
        let signal = -60 - (8.0 * self.dice.drift(at, 600_000)) as i64;
        let mut document = json!({
            "Time": self.time(at),
            "Uptime": "3T02:10:35",
            "UptimeSec": 267_035 + self.told * 300,
            "Heap": 25,
            "LoadAvg": 19,
            "MqttCount": 1,
            "Wifi": {"AP": 1, "SSId": "home", "Channel": 6, "RSSI": 2 * (signal + 100), "Signal": signal}
        });
        for (index, meter) in self.meters.iter().enumerate() {
            document[self.relay_name(index)] = on_off(meter.is_on()).into();
        }
        out.json(&self.topics.state, Keep::Live, &document);
    }

    /// `POWER` where there is one relay, `POWER1` and so on where there are several.
    fn relay_name(&self, index: usize) -> String {
        relay_name(index, self.meters.len())
    }
}

fn relay_name(index: usize, relays: usize) -> String {
    match relays {
        1 => "POWER".to_owned(),
        _ => format!("POWER{}", index + 1),
    }
}

fn own_topic(identity: Identity) -> String {
    format!("tasmota_{}", identity.short())
}

fn on_off(on: bool) -> &'static str {
    if on { "ON" } else { "OFF" }
}

impl Topics {
    fn new(identity: Identity, full_topic: &str, relays: usize) -> Topics {
        let full = |prefix: &str, name: &str| {
            let path = full_topic
                .replace("%prefix%", prefix)
                .replace("%topic%", &own_topic(identity));
            topic(&format!("{path}{name}"))
        };
        let discovery = format!("tasmota/discovery/{}", identity.mac());
        let mut commands: Vec<(TopicName, usize)> = (0..relays)
            .map(|index| (full("cmnd", &format!("POWER{}", index + 1)), index))
            .collect();
        if relays > 0 {
            commands.push((full("cmnd", "POWER"), 0));
        }
        let relay = |index| full("stat", &relay_name(index, relays));
        Topics {
            config: topic(&format!("{discovery}/config")),
            sensors: topic(&format!("{discovery}/sensors")),
            lwt: full("tele", "LWT"),
            sensor: full("tele", "SENSOR"),
            state: full("tele", "STATE"),
            result: full("stat", "RESULT"),
            relays: (0..relays).map(relay).collect(),
            commands,
        }
    }
}

impl Device for Tasmota {
    fn turn(&self) -> Turn {
        Turn::Regular(1)
    }

    fn announce(&mut self, at: SimTime, out: &mut Outbox) {
        self.availability(true, at, out);
        out.json(&self.topics.config, Keep::Retained, &self.config());
        let (time, values) = (self.time(at), self.values(at));
        let sensors = json!({"sn": self.telemetry(&time, &values), "ver": 1});
        out.json(&self.topics.sensors, Keep::Retained, &sensors);
        for (meter, told) in self.meters.iter().zip(&self.topics.relays) {
            out.word(told, Keep::Live, on_off(meter.is_on()));
        }
        self.status(at, out);
        self.sensor(at, None, out);
    }

    /// SENSOR in every turn, STATE in every fourth.
    fn report(&mut self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        if self.told.is_multiple_of(4) {
            self.status(at, out);
        }
        self.told += 1;
        self.sensor(at, odd, out);
    }

    fn availability(&mut self, online: bool, _at: SimTime, out: &mut Outbox) {
        let word = if online { "Online" } else { "Offline" };
        out.bytes(
            &self.topics.lwt,
            Keep::Retained,
            Bytes::from_static(word.as_bytes()),
        );
    }

    fn power_up(&mut self, resets: bool, at: SimTime) {
        self.told = 0;
        for meter in self.meters.iter_mut().filter(|_| resets) {
            meter.reset(at);
        }
    }

    fn read_zero(&mut self, zero: bool) {
        for meter in &mut self.meters {
            meter.read_zero(zero);
        }
    }

    fn hears(&self) -> Vec<TopicName> {
        let commands = self.topics.commands.iter();
        commands.map(|(hears, _)| hears.clone()).collect()
    }

    fn hear(&mut self, on: &str, payload: &[u8], at: SimTime, out: &mut Outbox) {
        let mut commands = self.topics.commands.iter();
        let Some(&(_, index)) = commands.find(|(hears, _)| &**hears == on) else {
            return;
        };
        let Some(text) = payload_text(payload) else {
            return;
        };
        let meter = &mut self.meters[index];
        let wanted = match text {
            // An empty payload only asks.
            "" => Some(meter.is_on()),
            "1" => Some(true),
            "0" => Some(false),
            "2" => Some(!meter.is_on()),
            word => switch_word(word, "ON", "OFF", meter.is_on()),
        };
        let Some(wanted) = wanted else {
            out.json(
                &self.topics.result,
                Keep::Live,
                &json!({"Command": "Error"}),
            );
            return;
        };
        meter.switch(wanted, at);
        let result = json!({ self.relay_name(index): on_off(wanted) });
        out.json(&self.topics.result, Keep::Live, &result);
        out.word(&self.topics.relays[index], Keep::Live, on_off(wanted));
    }
}
