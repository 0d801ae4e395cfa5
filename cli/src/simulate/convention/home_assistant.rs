//! Home Assistant MQTT discovery, as bridges and hand-made devices use it.
//!
//! ```text
//! homeassistant/<component>/<id>/<object>/config  (retained)  one component, abbreviated, with `~`
//! homeassistant/device/<id>/config                (retained)  all components of a device
//! things/<id>/availability                        (retained)  online | offline, or connected | lost
//! things/<id>/state                                           {"state":"LOCK","battery":88}
//! things/<id>/set/<property>                                  what it hears
//! homeassistant/status                                        online: it introduces itself again
//! ```

/// The discovery payloads.
pub(super) mod discovery;

use mqtt_proto::TopicName;

use super::{Device, Turn, payload_text};
use crate::simulate::fault::Oddity;
use crate::simulate::message::{Keep, Outbox, topic};
use crate::simulate::signal::SimTime;
use crate::simulate::thing::Thing;

use discovery::{Announced, Form};

/// Where Home Assistant says that it has come up.
pub(super) const STATUS_TOPIC: &str = "homeassistant/status";

/// The property name that stands for the button that restarts a device.
const RESTART: &str = "restart";

/// One device that announces itself to Home Assistant.
#[derive(Debug)]
pub(in crate::simulate) struct Announcer {
    thing: Thing,
    discovery: Vec<Announced>,
    state: TopicName,
    availability: TopicName,
    words: (&'static str, &'static str),
    set: String,
}

/// What is special about a device.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::simulate) struct Traits {
    /// It announces its components together.
    pub(in crate::simulate) as_device: bool,
    /// One of its templates asks for a filter that nobody has.
    pub(in crate::simulate) broken_template: bool,
    /// It has a button that restarts it.
    pub(in crate::simulate) button: bool,
}

impl Announcer {
    /// A device of that id and name.
    pub(in crate::simulate) fn new(
        id: &str,
        name: &str,
        thing: Thing,
        traits: Traits,
    ) -> Announcer {
        let form = match traits.as_device {
            true => Form::Device,
            false => Form::Single,
        };
        let words = form.availability_words();
        let base = format!("things/{id}");
        Announcer {
            discovery: discovery::announced(id, name, &base, &thing, form, traits),
            thing,
            state: topic(&format!("{base}/state")),
            availability: topic(&format!("{base}/availability")),
            words,
            set: format!("{base}/set/"),
        }
    }

    fn tell(&self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        let mut values = self.thing.read(at);
        values.spoil(odd);
        out.json(&self.state, Keep::Live, &values);
    }
}

impl Device for Announcer {
    fn turn(&self) -> Turn {
        match self.thing.tells_changes() {
            true => Turn::OnChange,
            false => Turn::Regular(1),
        }
    }

    fn state(&self, at: SimTime) -> bool {
        self.thing.is_on(at)
    }

    fn announce(&mut self, at: SimTime, out: &mut Outbox) {
        for one in &self.discovery {
            out.bytes(&one.topic, Keep::Retained, one.payload.clone());
        }
        self.availability(true, at, out);
        self.tell(at, None, out);
    }

    fn report(&mut self, at: SimTime, odd: Option<Oddity>, out: &mut Outbox) {
        self.tell(at, odd, out);
    }

    fn availability(&mut self, online: bool, _at: SimTime, out: &mut Outbox) {
        let word = if online { self.words.0 } else { self.words.1 };
        out.word(&self.availability, Keep::Retained, word);
    }

    fn power_up(&mut self, resets: bool, at: SimTime) {
        if let Some(meter) = self.thing.meter().filter(|_| resets) {
            meter.reset(at);
        }
    }

    fn read_zero(&mut self, zero: bool) {
        if let Some(meter) = self.thing.meter() {
            meter.read_zero(zero);
        }
    }

    fn hears(&self) -> Vec<TopicName> {
        let settable = self.thing.properties().iter().filter(|own| own.settable);
        let mut topics: Vec<TopicName> = settable
            .map(|own| topic(&format!("{}{}", self.set, own.name)))
            .collect();
        topics.push(topic(&format!("{}{RESTART}", self.set)));
        topics.push(topic(STATUS_TOPIC));
        topics
    }

    fn hear(&mut self, on: &str, payload: &[u8], at: SimTime, out: &mut Outbox) {
        let Some(text) = payload_text(payload) else {
            return;
        };
        match on.strip_prefix(&self.set) {
            Some(RESTART) if text == "PRESS" => {
                self.availability(false, at, out);
                self.announce(at, out);
            }
            Some(name) if self.thing.write(name, text, at) => self.tell(at, None, out),
            None if on == STATUS_TOPIC && text == "online" => self.announce(at, out),
            _ => {}
        }
    }
}
