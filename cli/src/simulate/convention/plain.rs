//! Plain topics: scalars and JSON that nothing announces, as homes have grown them.
//!
//! ```text
//! <prefix>/<room>/<metric or device>   21.5 | 21.5 °C | on | {"state":"ON","power":56.3}
//! ```

use bytes::Bytes;
use mqtt_proto::TopicName;

use super::{Device, Turn};
use crate::simulate::Profile;
use crate::simulate::appliance::Appliance;
use crate::simulate::channel::Kind;
use crate::simulate::fault::Oddity;
use crate::simulate::message::{Keep, Message, Outbox};
use crate::simulate::signal::{Dice, SimTime};

/// Rooms of one client of a hotel.
const HOTEL_ROOMS: usize = 40;
/// Machines of one client of a factory.
const FACTORY_MACHINES: usize = 12;

/// The topics of one client. Every payload is a pure function of (seed, profile, client, time).
#[derive(Debug)]
pub(in crate::simulate) struct PlainTopics {
    channels: Vec<Channel>,
}

/// One topic.
#[derive(Debug)]
struct Channel {
    topic: TopicName,
    kind: Kind,
    dice: Dice,
}

impl PlainTopics {
    /// Builds the topics of client number `client`; fails where `prefix` cannot stand in a topic.
    pub(in crate::simulate) fn new(
        profile: Profile,
        seed: u64,
        client: u64,
        prefix: &str,
    ) -> Result<PlainTopics, mqtt_proto::Error> {
        let dice = Dice::new(seed).fork(client);
        let mut plan = Plan {
            prefix,
            dice,
            channels: Vec::new(),
        };
        match profile {
            Profile::Plain | Profile::House | Profile::Load => plan.house(client)?,
            Profile::Hotel => plan.hotel(client)?,
            Profile::Factory => plan.factory(client)?,
        }
        Ok(PlainTopics {
            channels: plan.channels,
        })
    }

    /// How many topics there are.
    pub(in crate::simulate) fn len(&self) -> usize {
        self.channels.len()
    }

    /// The state of one topic, where it is one that reports when it changes.
    pub(in crate::simulate) fn state(&self, index: usize, at: SimTime) -> Option<bool> {
        let channel = &self.channels[index];
        channel.kind.state(channel.dice, at)
    }

    /// What one topic says at this time.
    pub(in crate::simulate) fn message(&self, index: usize, at: SimTime) -> Message {
        let channel = &self.channels[index];
        Message {
            topic: channel.topic.clone(),
            payload: Bytes::from(channel.kind.payload(channel.dice, at)),
            retain: false,
        }
    }

    /// The same topics, each as a device among others.
    pub(in crate::simulate) fn into_devices(self) -> impl Iterator<Item = Box<dyn Device>> {
        let boxed = |channel| Box::new(channel) as Box<dyn Device>;
        self.channels.into_iter().map(boxed)
    }
}

impl Device for Channel {
    fn turn(&self) -> Turn {
        match self.kind.state(self.dice, SimTime(0)) {
            Some(_) => Turn::OnChange,
            None => Turn::Regular(1),
        }
    }

    fn state(&self, at: SimTime) -> bool {
        self.kind.state(self.dice, at).unwrap_or_default()
    }

    fn announce(&mut self, _at: SimTime, _out: &mut Outbox) {}

    fn report(&mut self, at: SimTime, _odd: Option<Oddity>, out: &mut Outbox) {
        let payload = Bytes::from(self.kind.payload(self.dice, at));
        out.bytes(&self.topic, Keep::Live, payload);
    }

    fn availability(&mut self, _online: bool, _at: SimTime, _out: &mut Outbox) {}

    /// Nothing would tell that it is away.
    fn can_fail(&self) -> bool {
        false
    }
}

/// Collects the channels of one client.
struct Plan<'a> {
    prefix: &'a str,
    dice: Dice,
    channels: Vec<Channel>,
}

impl Plan<'_> {
    fn add(&mut self, room: &str, what: &str, kind: Kind) -> Result<(), mqtt_proto::Error> {
        let topic = format!("{}/{room}/{what}", self.prefix);
        self.channels.push(Channel {
            topic: TopicName::try_from(topic.as_str())?,
            kind,
            dice: self.next_dice(),
        });
        Ok(())
    }

    /// Each channel has dice of its own, so that two rooms never move together.
    fn next_dice(&self) -> Dice {
        self.dice.fork(self.channels.len() as u64)
    }

    /// A family home: plain scalars in some rooms, objects in others, as real homes have grown.
    fn house(&mut self, client: u64) -> Result<(), mqtt_proto::Error> {
        // The first client is the plain house; further ones are more of the same, told apart.
        let named = |room: &str| match client {
            0 => room.to_owned(),
            _ => format!("{room}-{}", client + 1),
        };
        for (room, base_c) in [("living-room", 21.5), ("bedroom", 18.5), ("office", 21.0)] {
            let room = named(room);
            self.add(&room, "climate", Kind::Climate { base_c })?;
            self.add(&room, "motion", Kind::Motion)?;
            self.add(&room, "window", Kind::Contact { json: true })?;
            self.add(&room, "light", Kind::Light { json: true })?;
        }
        for (room, base_c, unit) in [
            ("kitchen", 21.8, false),
            ("bathroom", 22.4, false),
            ("hall", 19.5, false),
            ("cellar", 14.0, true),
        ] {
            let room = named(room);
            self.add(&room, "temperature", Kind::Temperature { base_c, unit })?;
            self.add(&room, "humidity", Kind::Humidity)?;
        }
        self.house_extras(&named("hall"), &named("living-room"))?;
        self.house_power(&named("kitchen"), &named("cellar"), &named("meter"))?;
        self.add(&named("outside"), "temperature", Kind::Outdoor)
    }

    fn house_extras(&mut self, hall: &str, living: &str) -> Result<(), mqtt_proto::Error> {
        self.add(hall, "motion", Kind::Motion)?;
        self.add(hall, "door", Kind::Contact { json: false })?;
        self.add(hall, "lock", Kind::Lock)?;
        self.add(hall, "light", Kind::Light { json: false })?;
        self.add(living, "thermostat", Kind::Thermostat { base_c: 21.5 })?;
        self.add(living, "air", Kind::Air)
    }

    fn house_power(
        &mut self,
        kitchen: &str,
        cellar: &str,
        meter: &str,
    ) -> Result<(), mqtt_proto::Error> {
        let fridge = Appliance::fridge(self.dice.fork(1_001));
        let kettle = Appliance::kettle(self.dice.fork(1_002));
        let washer = Appliance::washer(self.dice.fork(1_003));
        let small = Appliance::small(self.dice.fork(1_004));
        self.add(kitchen, "fridge", Kind::NestedPlug(fridge))?;
        self.add(kitchen, "kettle", Kind::FlatPlug(kettle))?;
        self.add(cellar, "washer", Kind::FlatPlug(washer))?;
        let all = vec![fridge, kettle, washer, small];
        self.add(meter, "power", Kind::Power(all.clone()))?;
        self.add(meter, "energy", Kind::Energy(all))
    }

    /// One floor of a hotel: many equal rooms.
    fn hotel(&mut self, client: u64) -> Result<(), mqtt_proto::Error> {
        for number in 1..=HOTEL_ROOMS {
            let room = format!("room-{}{number:02}", client + 1);
            let plug = Appliance::small(self.next_dice().fork(1));
            self.add(&room, "climate", Kind::Thermostat { base_c: 21.0 })?;
            self.add(&room, "humidity", Kind::Humidity)?;
            self.add(&room, "door", Kind::Contact { json: false })?;
            self.add(&room, "motion", Kind::Motion)?;
            self.add(&room, "lock", Kind::Lock)?;
            self.add(&room, "light", Kind::Light { json: true })?;
            self.add(&room, "minibar", Kind::NestedPlug(plug))?;
        }
        Ok(())
    }

    /// One line of a factory: machines with many numbers each.
    fn factory(&mut self, client: u64) -> Result<(), mqtt_proto::Error> {
        for number in 1..=FACTORY_MACHINES {
            let name = format!("machine-{}-{number:02}", client + 1);
            let drive = Appliance::machine(self.next_dice().fork(1));
            self.add(&name, "drive", Kind::Machine(drive))?;
            self.add(&name, "supply", Kind::NestedPlug(drive))?;
            for (what, base, swing) in [
                ("pressure", 4.8, 0.3),
                ("flow", 12.5, 1.5),
                ("torque", 33.0, 6.0),
                ("oil_temperature", 52.0, 7.0),
            ] {
                self.add(&name, what, Kind::Analogue { base, swing })?;
            }
        }
        Ok(())
    }
}
