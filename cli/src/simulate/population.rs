//! Which devices a client has, of every convention at once.

use super::Profile;
use super::appliance::Appliance;
use super::convention::backlog::{Form, Sleeper};
use super::convention::esphome;
use super::convention::home_assistant::{Announcer, Traits};
use super::convention::plain::PlainTopics;
use super::convention::tasmota::{Board, Tasmota};
use super::convention::zigbee2mqtt::{Bridge, Network, Zigbee};
use super::convention::{Device, shelly_gen1, shelly_gen2, sparkplug};
use super::home::Resident;
use super::identity::Identity;
use super::signal::Dice;
use super::thing::{Kind, Thing};

/// Rooms of one floor of a hotel.
const HOTEL_ROOMS: u64 = 40;
/// Machines behind one Sparkplug node.
const LINE_MACHINES: u64 = 6;
/// One hotel room in so many has a minibar on a Tasmota plug; the others have a Shelly.
const TASMOTA_ROOMS: u64 = 4;

/// The lamp whose odd firmware ignores commands: every house has one.
pub(super) const DEAF_LAMP: &str = "hall/old-lamp";

/// Whose devices they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) profile: Profile,
    pub(super) seed: u64,
    pub(super) client: u64,
    pub(super) home_prefix: &'a str,
    pub(super) utc_offset_ms: i64,
}

/// The devices of one client; fails where the prefix cannot stand in a topic.
pub(super) fn residents(setting: Setting<'_>) -> Result<Vec<Resident>, mqtt_proto::Error> {
    let Setting {
        profile,
        seed,
        client,
        home_prefix,
        ..
    } = setting;
    let plain = PlainTopics::new(profile, seed, client, home_prefix)?;
    let mut builder = Builder {
        setting,
        seed: Dice::new(seed),
        // Apart from the dice of the plain topics, which stay what they are.
        dice: Dice::new(seed).fork(client).fork(0x00C0_FFEE),
        numbers: 0,
        residents: Vec::new(),
    };
    match profile {
        Profile::Plain | Profile::Load => {}
        Profile::House => builder.house(),
        Profile::Hotel => builder.hotel(),
        Profile::Factory => builder.factory(),
    }
    let mut residents = builder.residents;
    residents.extend(plain.into_devices().map(Resident::new));
    Ok(residents)
}

/// Collects the devices of one client.
struct Builder<'a> {
    setting: Setting<'a>,
    seed: Dice,
    dice: Dice,
    numbers: u64,
    residents: Vec<Resident>,
}

impl Builder<'_> {
    fn add(&mut self, device: impl Device + 'static) {
        self.residents.push(Resident::new(Box::new(device)));
    }

    /// A new device: its address and its dice.
    fn next(&mut self) -> (Identity, Dice) {
        self.numbers += 1;
        let identity = Identity::new(self.seed, self.setting.client, self.numbers);
        (identity, self.dice.fork(self.numbers))
    }

    /// A name that no other client has: the first client is plain, further ones are told apart.
    fn named(&self, name: &str) -> String {
        match self.setting.client {
            0 => name.to_owned(),
            client => format!("{name}-{}", client + 1),
        }
    }

    fn house(&mut self) {
        self.zigbee(&[
            ("living-room/climate", Kind::Climate),
            ("bedroom/climate", Kind::Climate),
            ("hall/motion", Kind::Motion),
            ("front door", Kind::Contact),
            ("kitchen/plug", Kind::Plug),
            ("living-room/lamp", Kind::Bulb),
            (DEAF_LAMP, Kind::Bulb),
            ("hall/lock", Kind::Lock),
            ("bedroom/blind", Kind::Cover),
            ("office/radiator", Kind::Thermostat),
        ]);
        self.announcers();
        let kettle = Appliance::kettle(self.dice.fork(2_001));
        let (washer, fridge) = (
            Appliance::washer(self.dice.fork(2_002)),
            Appliance::fridge(self.dice.fork(2_003)),
        );
        self.tasmota("Kettle", Board::Meters(vec![kettle]));
        self.tasmota("Laundry", Board::Meters(vec![washer, fridge]));
        self.tasmota("Cellar", Board::Climate);
        for place in [2_004, 2_005] {
            let (identity, dice) = self.next();
            let appliance = Appliance::small(self.dice.fork(place));
            self.add(shelly_gen1::Shelly::plug(identity, appliance, dice));
        }
        let (identity, dice) = self.next();
        self.add(shelly_gen1::Shelly::climate(identity, dice));
        self.shelly_gen2(Appliance::fridge(self.dice.fork(2_006)), true);
        self.shelly_gen2(Appliance::small(self.dice.fork(2_007)), false);
        self.esphome(
            "greenhouse",
            &[("bed", Kind::Climate), ("pump", Kind::Plug)],
        );
        self.esphome(
            "airbox",
            &[("room", Kind::Air), ("vent", Kind::Ventilation)],
        );
        self.sleepers("garden", "attic-logger");
    }

    fn announcers(&mut self) {
        let single = Traits::default();
        let device = Traits {
            as_device: true,
            ..single
        };
        let broken = Traits {
            broken_template: true,
            ..single
        };
        let button = Traits {
            button: true,
            ..device
        };
        for (id, name, kind, traits) in [
            ("back-door", "Back door", Kind::Lock, single),
            ("garage", "Garage", Kind::Cover, single),
            ("heat-pump", "Heat pump", Kind::Thermostat, device),
            ("ceiling-fan", "Ceiling fan", Kind::Fan, single),
            ("ventilation", "Ventilation", Kind::Ventilation, button),
            ("porch-light", "Porch light", Kind::Bulb, device),
            ("shed-door", "Shed door", Kind::Contact, single),
            ("attic", "Attic", Kind::Climate, broken),
            ("pond-pump", "Pond pump", Kind::Plug, device),
        ] {
            let (_, dice) = self.next();
            let thing = Thing::new(kind, dice);
            self.add(Announcer::new(&self.named(id), name, thing, traits));
        }
    }

    /// One floor: a coordinator for all rooms, a lock and a minibar in each.
    fn hotel(&mut self) {
        let floor = self.setting.client + 1;
        let rooms: Vec<String> = (1..=HOTEL_ROOMS)
            .map(|number| format!("room-{floor}{number:02}"))
            .collect();
        let mut list = Vec::new();
        for room in &rooms {
            list.push((format!("{room}/radiator"), Kind::Thermostat));
            list.push((format!("{room}/lamp"), Kind::Bulb));
            list.push((format!("{room}/window"), Kind::Contact));
        }
        let list: Vec<(&str, Kind)> = list.iter().map(|(name, kind)| (&**name, *kind)).collect();
        self.zigbee(&list);
        for (number, room) in (0..).zip(&rooms) {
            let (_, dice) = self.next();
            let id = format!("{room}-lock");
            let thing = Thing::new(Kind::Lock, dice);
            self.add(Announcer::new(&id, &id, thing, Traits::default()));
            let minibar = Appliance::fridge(self.dice.fork(3_000 + number));
            match number % TASMOTA_ROOMS {
                0 => self.tasmota(&format!("{room} minibar"), Board::Meters(vec![minibar])),
                _ => self.shelly_gen2(minibar, true),
            }
        }
        let (identity, dice) = self.next();
        let laundry = Appliance::washer(self.dice.fork(3_100));
        self.add(shelly_gen1::Shelly::plug(identity, laundry, dice));
        self.esphome(
            &format!("corridor-{floor}"),
            &[("air", Kind::Air), ("seen", Kind::Motion)],
        );
        self.sleepers("linen-store", "roof-logger");
    }

    /// One line: a Sparkplug node with its machines, and meters of other makes.
    fn factory(&mut self) {
        let line = self.setting.client + 1;
        let machines: Vec<(String, Dice)> = (1..=LINE_MACHINES)
            .map(|number| {
                (
                    format!("press-{line}-{number:02}"),
                    self.dice.fork(4_000 + number),
                )
            })
            .collect();
        let (node, machines) = sparkplug::line("plant", &format!("line-{line}"), &machines);
        self.add(node);
        for machine in machines {
            self.add(machine);
        }
        for number in 0..3 {
            let one = Appliance::machine(self.dice.fork(4_100 + number));
            let two = Appliance::machine(self.dice.fork(4_200 + number));
            self.tasmota(
                &format!("Feeder {line}-{}", number + 1),
                Board::Meters(vec![one, two]),
            );
            self.shelly_gen2(
                Appliance::machine(self.dice.fork(4_300 + number)),
                number == 0,
            );
        }
        let (identity, dice) = self.next();
        let charger = Appliance::machine(self.dice.fork(4_400));
        self.add(shelly_gen1::Shelly::plug(identity, charger, dice));
        self.esphome(
            &format!("hall-{line}"),
            &[("hall", Kind::Air), ("dock", Kind::Ventilation)],
        );
        self.sleepers("silo", "tank-logger");
    }

    fn zigbee(&mut self, devices: &[(&str, Kind)]) {
        let network = Network::new(self.setting.client);
        let (coordinator, _) = self.next();
        let mut list = Vec::new();
        for (name, kind) in devices {
            let (identity, dice) = self.next();
            let thing = Thing::new(*kind, dice);
            // The base topic tells the clients apart, and so do the names, for people.
            list.push(Zigbee::new(
                &network,
                &self.named(name),
                identity,
                thing,
                dice,
            ));
        }
        self.add(Bridge::new(network, coordinator, &list));
        let deaf = self.named(DEAF_LAMP);
        for device in list {
            let resident = match device.is_named(&deaf) {
                true => Resident::deaf(Box::new(device)),
                false => Resident::new(Box::new(device)),
            };
            self.residents.push(resident);
        }
    }

    fn tasmota(&mut self, name: &str, board: Board) {
        let (identity, dice) = self.next();
        let offset_ms = self.setting.utc_offset_ms;
        self.add(Tasmota::new(name, identity, board, dice, offset_ms));
    }

    fn shelly_gen2(&mut self, appliance: Appliance, tells_status: bool) {
        let (identity, dice) = self.next();
        self.add(shelly_gen2::Shelly::new(
            identity,
            appliance,
            dice,
            tells_status,
        ));
    }

    fn esphome(&mut self, node: &str, things: &[(&'static str, Kind)]) {
        let (identity, dice) = self.next();
        let thing = |(place, (name, kind)): (usize, &(&'static str, Kind))| {
            (*name, Thing::new(*kind, dice.fork(place as u64)))
        };
        let things = things.iter().enumerate().map(thing).collect();
        self.add(esphome::Node::new(&self.named(node), identity, things));
    }

    fn sleepers(&mut self, rows: &str, columns: &str) {
        for (name, form) in [(rows, Form::Rows), (columns, Form::Columns)] {
            let (_, dice) = self.next();
            self.add(Sleeper::new(&self.named(name), form, dice));
        }
    }
}
