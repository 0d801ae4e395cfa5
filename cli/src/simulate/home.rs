//! The devices of one client together: whose turn it is, what goes wrong, and who hears a command.

use std::collections::HashMap;

use mqtt_proto::TopicName;

use super::convention::{Device, Turn};
use super::fault::{Fault, Faults, Oddity};
use super::message::{Message, Outbox};
use super::signal::SimTime;

/// One device and how it fares.
#[derive(Debug)]
pub(super) struct Resident {
    device: Box<dyn Device>,
    /// Its odd firmware takes commands and does nothing about them.
    is_deaf: bool,
    away: Option<Away>,
    /// The state it last told, where it speaks on change.
    told: Option<bool>,
}

/// Out of reach.
#[derive(Debug, Clone, Copy)]
struct Away {
    /// Until this message of the client.
    until: u64,
    /// It then starts anew; inside is whether its counters do.
    restart: Option<bool>,
}

impl Resident {
    /// A device that works.
    pub(super) fn new(device: Box<dyn Device>) -> Resident {
        Resident {
            device,
            is_deaf: false,
            away: None,
            told: None,
        }
    }

    /// A device that ignores commands.
    pub(super) fn deaf(device: Box<dyn Device>) -> Resident {
        Resident {
            is_deaf: true,
            ..Resident::new(device)
        }
    }
}

/// All devices of one client.
#[derive(Debug)]
pub(super) struct Home {
    residents: Vec<Resident>,
    /// Those that report in turn, as often as their turn says.
    regular: Vec<usize>,
    /// Those that report a change.
    events: Vec<usize>,
    /// Those that faults may meet.
    fallible: Vec<usize>,
    /// Who hears on which topic.
    ears: HashMap<TopicName, Vec<usize>>,
    faults: Faults,
    out: Outbox,
    answers: Outbox,
    regular_turn: usize,
    event_turn: usize,
    /// The first message with which someone comes back.
    next_return: u64,
    has_begun: bool,
    now: SimTime,
}

impl Home {
    /// A home that has not spoken yet. At least one device must report in turn and never fail.
    pub(super) fn new(residents: Vec<Resident>, faults: Faults) -> Home {
        let mut home = Home {
            regular: Vec::new(),
            events: Vec::new(),
            fallible: Vec::new(),
            ears: HashMap::new(),
            residents: Vec::new(),
            faults,
            out: Outbox::default(),
            answers: Outbox::default(),
            regular_turn: 0,
            event_turn: 0,
            next_return: u64::MAX,
            has_begun: false,
            now: SimTime(0),
        };
        for (index, resident) in residents.iter().enumerate() {
            match resident.device.turn() {
                Turn::Regular(times) => home.regular.extend([index].repeat(times)),
                Turn::OnChange => home.events.push(index),
                Turn::Never => {}
            }
            if resident.device.can_fail() {
                home.fallible.push(index);
            }
            for topic in resident.device.hears() {
                home.ears.entry(topic).or_default().push(index);
            }
        }
        home.regular = scattered(home.regular);
        home.residents = residents;
        home
    }

    /// The topics on which someone hears.
    pub(super) fn hears(&self) -> Vec<TopicName> {
        let mut topics: Vec<TopicName> = self.ears.keys().cloned().collect();
        topics.sort_unstable();
        topics
    }

    /// What the broker is to say when the connection breaks.
    pub(super) fn will(&self) -> Option<Message> {
        self.residents.iter().find_map(|one| one.device.will())
    }

    /// Takes message number `n` of this client.
    pub(super) fn take(&mut self, n: u64, at: SimTime) -> Message {
        self.now = at;
        loop {
            if let Some(message) = self.out.pop() {
                return message;
            }
            self.step(n, at);
        }
    }

    /// Lets somebody speak.
    fn step(&mut self, n: u64, at: SimTime) {
        if !self.has_begun {
            self.has_begun = true;
            for resident in &mut self.residents {
                resident.device.announce(at, &mut self.out);
                resident.told = Some(resident.device.state(at));
            }
            return;
        }
        if n >= self.next_return {
            self.welcome_back(n, at);
        }
        if let Some((place, fault)) = self.faults.at(n, self.fallible.len()) {
            self.fail(self.fallible[place], fault, n, at);
        }
        // A fault or a return may have said something; the turns go on when it is out.
        if self.out.is_empty() && !self.tell_change(at) {
            self.tell_regular(at);
        }
    }

    /// Looks at one device, so that a hotel costs no more per message than a house.
    fn tell_change(&mut self, at: SimTime) -> bool {
        if self.events.is_empty() {
            return false;
        }
        let index = self.events[self.event_turn % self.events.len()];
        self.event_turn += 1;
        let resident = &mut self.residents[index];
        let state = resident.device.state(at);
        if resident.away.is_some() || resident.told == Some(state) {
            return false;
        }
        resident.told = Some(state);
        resident.device.report(at, None, &mut self.out);
        true
    }

    fn tell_regular(&mut self, at: SimTime) {
        let index = self.regular[self.regular_turn % self.regular.len()];
        self.regular_turn += 1;
        let resident = &mut self.residents[index];
        if resident.away.is_none() {
            resident.device.report(at, None, &mut self.out);
        }
    }

    fn fail(&mut self, index: usize, fault: Fault, n: u64, at: SimTime) {
        let resident = &mut self.residents[index];
        if resident.away.is_some() {
            return;
        }
        let device = &mut resident.device;
        let away = match fault {
            Fault::Glitch => {
                device.read_zero(true);
                device.report(at, None, &mut self.out);
                device.read_zero(false);
                return;
            }
            Fault::Odd(odd) => {
                device.report(at, Some(odd), &mut self.out);
                if odd == Oddity::Twice {
                    self.out.repeat_last();
                }
                return;
            }
            Fault::Away { messages } => Away {
                until: n + messages,
                restart: None,
            },
            Fault::Restart { messages, resets } => Away {
                until: n + messages,
                restart: Some(resets),
            },
        };
        device.availability(false, at, &mut self.out);
        resident.away = Some(away);
        self.next_return = self.next_return.min(away.until);
    }

    fn welcome_back(&mut self, n: u64, at: SimTime) {
        self.next_return = u64::MAX;
        for resident in &mut self.residents {
            let Some(away) = resident.away else {
                continue;
            };
            if away.until > n {
                self.next_return = self.next_return.min(away.until);
                continue;
            }
            resident.away = None;
            match away.restart {
                Some(resets) => {
                    resident.device.power_up(resets, at);
                    resident.device.announce(at, &mut self.out);
                }
                None => resident.device.availability(true, at, &mut self.out),
            }
        }
        follow_up(&mut self.residents, at, &mut self.out);
    }

    /// Hands a command to whoever hears on its topic. Who is away or deaf does not.
    pub(super) fn hear(&mut self, topic: &TopicName, payload: &[u8]) {
        // A command before the first message finds nobody at home.
        if !self.has_begun {
            return;
        }
        let ears = self.ears.get(topic).map_or(&[][..], Vec::as_slice);
        for &index in ears {
            let resident = &mut self.residents[index];
            if resident.is_deaf || resident.away.is_some() {
                continue;
            }
            let device = &mut resident.device;
            device.hear(topic, payload, self.now, &mut self.answers);
            resident.told = Some(device.state(self.now));
        }
        follow_up(&mut self.residents, self.now, &mut self.answers);
    }

    /// What was answered to commands, and is said before anything else.
    pub(super) fn answer(&mut self) -> Option<Message> {
        self.answers.pop()
    }

    /// The connection broke: what its will has told is put right on the next one.
    pub(super) fn connection_lost(&mut self) {
        if !self.has_begun {
            return;
        }
        for resident in self.residents.iter_mut().filter(|one| one.away.is_none()) {
            resident.device.connection_lost(self.now, &mut self.answers);
        }
        follow_up(&mut self.residents, self.now, &mut self.answers);
    }
}

/// Lets those speak who must after what another has said.
fn follow_up(residents: &mut [Resident], at: SimTime, out: &mut Outbox) {
    for resident in residents.iter_mut().filter(|one| one.away.is_none()) {
        resident.device.follow_up(at, out);
    }
}

/// The same turns, those of one device far apart, so that a node with many entities does not speak
/// them all in a row.
fn scattered(turns: Vec<usize>) -> Vec<usize> {
    let mut seen = HashMap::new();
    let mut counts = HashMap::new();
    for &index in &turns {
        *counts.entry(index).or_insert(0_usize) += 1;
    }
    let mut placed: Vec<(f64, usize)> = Vec::with_capacity(turns.len());
    for index in turns {
        let place = seen.entry(index).or_insert(0_usize);
        placed.push(((*place as f64 + 0.5) / counts[&index] as f64, index));
        *place += 1;
    }
    placed.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    placed.into_iter().map(|(_, index)| index).collect()
}
