//! Shelly devices of the first generation: scalars on many topics, energy in watt-minutes.
//!
//! ```text
//! shellies/announce                      {"id":"shellyplug-s-AABBCC","model":"SHPLG-S","mac":…,"fw_ver":…}
//! shellies/<id>/online       (retained)  true | false
//! shellies/<id>/relay/0                  on | off         and …/command, which it hears: on, off, toggle
//! shellies/<id>/relay/0/power, …/energy  23.41, 8117
//! shellies/command, shellies/<id>/command                  announce: every device introduces itself
//! ```

use mqtt_proto::TopicName;
use serde_json::json;

use super::{Device, Turn, payload_text};
use crate::simulate::appliance::Appliance;
use crate::simulate::channel::{battery, humidity, indoor_c};
use crate::simulate::fault::Oddity;
use crate::simulate::identity::Identity;
use crate::simulate::message::{Keep, Outbox, topic};
use crate::simulate::meter::Meter;
use crate::simulate::signal::{Dice, SimTime};
use crate::simulate::thing::switch_word;
use crate::simulate::values::Values;

/// Watt-minutes in one kilowatt-hour.
const WATT_MINUTES_PER_KWH: f64 = 60_000.0;

/// One device: a plug where it has a meter, else a sensor of temperature and humidity.
#[derive(Debug)]
pub(in crate::simulate) struct Shelly {
    id: String,
    identity: Identity,
    meter: Option<Meter>,
    dice: Dice,
    announce: TopicName,
    online: TopicName,
    info: TopicName,
    relay: TopicName,
    command: TopicName,
    own_command: TopicName,
    /// Where each of its values is told.
    topics: Vec<(&'static str, TopicName)>,
}

/// Where every device of the first generation hears.
const ALL_COMMAND: &str = "shellies/command";

impl Shelly {
    /// A Plug S with that appliance in it.
    pub(in crate::simulate) fn plug(
        identity: Identity,
        appliance: Appliance,
        dice: Dice,
    ) -> Shelly {
        Shelly::new("shellyplug-s", identity, Some(Meter::new(appliance)), dice)
    }

    /// An H&T on batteries.
    pub(in crate::simulate) fn climate(identity: Identity, dice: Dice) -> Shelly {
        Shelly::new("shellyht", identity, None, dice)
    }

    fn new(model: &str, identity: Identity, meter: Option<Meter>, dice: Dice) -> Shelly {
        let id = format!("{model}-{}", identity.short());
        let own = |rest: &str| topic(&format!("shellies/{id}/{rest}"));
        let names: &[&'static str] = match meter {
            Some(_) => &["relay/0/power", "relay/0/energy", "temperature"],
            None => &["sensor/temperature", "sensor/humidity", "sensor/battery"],
        };
        Shelly {
            announce: topic("shellies/announce"),
            online: own("online"),
            info: own("info"),
            relay: own("relay/0"),
            command: own("relay/0/command"),
            own_command: own("command"),
            topics: names.iter().map(|name| (*name, own(name))).collect(),
            id,
            identity,
            meter,
            dice,
        }
    }

    fn introduce(&self, out: &mut Outbox) {
        let document = json!({
            "id": self.id,
            "model": if self.meter.is_some() { "SHPLG-S" } else { "SHHT-1" },
            "mac": self.identity.mac(),
            "ip": self.identity.ip(),
            "new_fw": false,
            "fw_ver": "20230913-113421/v1.14.0-gcb84623"
        });
        out.json(&self.announce, Keep::Live, &document);
        let own = topic(&format!(
            "{}/announce",
            self.online.trim_end_matches("/online")
        ));
        out.json(&own, Keep::Live, &document);
    }

    fn values(&self, at: SimTime) -> Values {
        let mut values = Values::new();
        match &self.meter {
            Some(meter) => {
                let watts = meter.watts(at);
                values.number("relay/0/power", watts, 2);
                values.whole("relay/0/energy", meter.kwh(at) * WATT_MINUTES_PER_KWH);
                let celsius = indoor_c(self.dice, at, 24.0) + watts.min(2_500.0) / 200.0;
                values.number("temperature", celsius, 2);
            }
            None => {
                values.number("sensor/temperature", indoor_c(self.dice, at, 17.5), 2);
                values.number("sensor/humidity", humidity(self.dice, at), 1);
                values.whole("sensor/battery", battery(self.dice, at) as f64);
            }
        }
        values
    }

    fn tell_relay(&self, out: &mut Outbox) {
        if let Some(meter) = &self.meter {
            let word = if meter.is_on() { "on" } else { "off" };
            out.word(&self.relay, Keep::Live, word);
        }
    }

    fn tell_info(&self, out: &mut Outbox) {
        let document = json!({
            "wifi_sta": {"connected": true, "ssid": "home", "ip": self.identity.ip(), "rssi": -61},
            "cloud": {"enabled": false, "connected": false},
            "mqtt": {"connected": true},
            "serial": 1,
            "mac": self.identity.mac(),
            "has_update": false
        });
        out.json(&self.info, Keep::Live, &document);
    }
}

impl Device for Shelly {
    fn turn(&self) -> Turn {
        Turn::Regular(1)
    }

    fn announce(&mut self, at: SimTime, out: &mut Outbox) {
        self.availability(true, at, out);
        self.introduce(out);
        self.tell_info(out);
        self.report(at, None, out);
    }

    fn report(&mut self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        self.tell_relay(out);
        let mut values = self.values(at);
        values.spoil(odd);
        for (name, value) in values.iter() {
            if let Some((_, topic)) = self.topics.iter().find(|(own, _)| *own == name) {
                out.text(topic, Keep::Live, value);
            }
        }
    }

    fn availability(&mut self, online: bool, _at: SimTime, out: &mut Outbox) {
        let word = if online { "true" } else { "false" };
        out.word(&self.online, Keep::Retained, word);
    }

    /// This generation keeps its counter in memory that a restart clears, whatever the fault says.
    fn power_up(&mut self, _resets: bool, at: SimTime) {
        if let Some(meter) = &mut self.meter {
            meter.reset(at);
        }
    }

    fn read_zero(&mut self, zero: bool) {
        if let Some(meter) = &mut self.meter {
            meter.read_zero(zero);
        }
    }

    fn hears(&self) -> Vec<TopicName> {
        let mut topics = vec![topic(ALL_COMMAND), self.own_command.clone()];
        if self.meter.is_some() {
            topics.push(self.command.clone());
        }
        topics
    }

    fn hear(&mut self, on: &str, payload: &[u8], at: SimTime, out: &mut Outbox) {
        let Some(text) = payload_text(payload) else {
            return;
        };
        if on == &*self.command {
            if let Some(meter) = &mut self.meter
                && let Some(wanted) = switch_word(text, "on", "off", meter.is_on())
            {
                meter.switch(wanted, at);
                self.tell_relay(out);
            }
            return;
        }
        match text {
            "announce" => self.introduce(out),
            "update" => self.report(at, None, out),
            _ => {}
        }
    }
}
