//! Which message a client publishes next, and when.

use std::time::Duration;

use bytes::Bytes;
use mqtt_proto::TopicName;

use super::convention::plain::PlainTopics;
use super::fault::Faults;
use super::home::Home;
use super::message::Message;
use super::population::{self, Setting};
use super::signal::{Dice, SimTime};
use super::{Profile, RunPlan};

/// Size of every payload of the profile `load`, in bytes: what benchmarks of brokers use.
pub(super) const LOAD_PAYLOAD_BYTES: usize = 61;

/// How fast simulated time passes where no rate is set, in messages per simulated second.
const UNPACED_RATE: f64 = 10_000.0;

/// Spreads the messages of all clients evenly over time.
///
/// The clients take turns: message `n` of client `c` is number `n × clients + c` of the run, so
/// neither a second nor a client ever sees a burst.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    rate: f64,
    clients: u64,
    client: u64,
}

impl Pace {
    /// `rate` is in messages per second over all clients; 0 means as fast as acks allow.
    pub(super) fn new(rate: f64, clients: u64, client: u64) -> Pace {
        Pace {
            rate,
            clients,
            client,
        }
    }

    /// The number in the whole run of this client's message `n`.
    pub(super) fn number(&self, n: u64) -> u64 {
        n * self.clients + self.client
    }

    /// When this client's message `n` is due after the start of the run; `None` when at once.
    pub(super) fn due(&self, n: u64) -> Option<Duration> {
        (self.rate > 0.0).then(|| Duration::from_secs_f64(self.number(n) as f64 / self.rate))
    }

    /// When this client's message `n` is measured in the simulated home.
    ///
    /// Simulated time follows the number of the message, never the wall clock, so that a slow
    /// broker changes when a message is sent and not what it says.
    fn simulated(&self, n: u64, start: SimTime, speed: f64) -> SimTime {
        let rate = if self.rate > 0.0 {
            self.rate
        } else {
            UNPACED_RATE
        };
        SimTime(start.0 + (self.number(n) as f64 / rate * speed * 1_000.0) as i64)
    }
}

/// The messages of one client, in order.
#[derive(Debug)]
pub(crate) struct Source {
    pace: Pace,
    start: SimTime,
    speed: f64,
    next: u64,
    end: u64,
    flow: Flow,
}

#[derive(Debug)]
enum Flow {
    Load { topic: TopicName },
    Plain(Turns),
    Home(Box<Home>),
}

impl Source {
    /// The messages of client number `client` of this run.
    pub(crate) fn new(plan: &RunPlan, client: u64) -> Result<Source, mqtt_proto::Error> {
        let flow = match plan.profile {
            Profile::Load => {
                let topic = format!("{}/load-{}/counter", plan.home_prefix, client + 1);
                Flow::Load {
                    topic: TopicName::try_from(topic.as_str())?,
                }
            }
            Profile::Plain => {
                let prefix = &plan.home_prefix;
                let topics = PlainTopics::new(plan.profile, plan.seed, client, prefix)?;
                Flow::Plain(Turns::new(topics))
            }
            profile => {
                let residents = population::residents(Setting {
                    profile,
                    seed: plan.seed,
                    client,
                    home_prefix: &plan.home_prefix,
                    utc_offset_ms: plan.utc_offset_ms,
                })?;
                let dice = Dice::new(plan.seed).fork(client).fork(0x0FA1);
                let faults = Faults::new(dice, plan.faults);
                Flow::Home(Box::new(Home::new(residents, faults)))
            }
        };
        let pace = Pace::new(plan.rate, plan.clients, client);
        Ok(Source {
            pace,
            start: plan.start,
            speed: plan.speed,
            next: 0,
            end: share(plan.messages, plan.clients, client),
            flow,
        })
    }

    /// Whether every message has been taken.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.next >= self.end
    }

    /// When the next message is due after the start of the run; `None` when at once.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.pace.due(self.next)
    }

    /// Takes the next message.
    pub(crate) fn take(&mut self) -> Message {
        let n = self.next;
        self.next += 1;
        match &mut self.flow {
            Flow::Load { topic } => Message {
                topic: topic.clone(),
                payload: load_payload(self.pace.number(n)),
                retain: false,
            },
            Flow::Plain(turns) => turns.take(self.pace.simulated(n, self.start, self.speed)),
            Flow::Home(home) => home.take(n, self.pace.simulated(n, self.start, self.speed)),
        }
    }

    /// The topics on which the devices of this client hear commands.
    pub(crate) fn hears(&self) -> Vec<TopicName> {
        self.home().map(Home::hears).unwrap_or_default()
    }

    /// What the broker is to say when the connection breaks.
    pub(crate) fn will(&self) -> Option<Message> {
        self.home().and_then(Home::will)
    }

    /// A command has come.
    pub(crate) fn hear(&mut self, topic: &TopicName, payload: &[u8]) {
        if let Flow::Home(home) = &mut self.flow {
            home.hear(topic, payload);
        }
    }

    /// The next answer to a command. Answers are not among the messages of the run.
    pub(crate) fn answer(&mut self) -> Option<Message> {
        match &mut self.flow {
            Flow::Home(home) => home.answer(),
            _ => None,
        }
    }

    /// The connection broke, so that the will was told.
    pub(crate) fn connection_lost(&mut self) {
        if let Flow::Home(home) = &mut self.flow {
            home.connection_lost();
        }
    }

    fn home(&self) -> Option<&Home> {
        match &self.flow {
            Flow::Home(home) => Some(home),
            _ => None,
        }
    }
}

/// How many of the run's messages fall to one client.
fn share(messages: Option<u64>, clients: u64, client: u64) -> u64 {
    match messages {
        None => u64::MAX,
        Some(all) => all / clients + u64::from(client < all % clients),
    }
}

/// The payload of the profile `load`: 61 bytes of JSON that differ in `n` for every message.
///
/// The counter is padded with spaces before the number, which JSON allows, where zeros would not be.
pub(super) fn load_payload(number: u64) -> Bytes {
    use std::io::Write;
    let mut payload = Vec::with_capacity(LOAD_PAYLOAD_BYTES);
    let tenths = number % 50;
    let (whole, tenth) = (tenths / 10, tenths % 10);
    // Writing to a vector cannot fail.
    let _ = write!(
        payload,
        r#"{{"n":{number:>20},"temperature":2{whole}.{tenth},"humidity":4{whole}.{tenth}}}"#
    );
    Bytes::from(payload)
}

/// Lets the plain topics of a home take turns, with events let through as they happen.
#[derive(Debug)]
struct Turns {
    topics: PlainTopics,
    /// The topics that report in turn.
    regular: Vec<usize>,
    /// The topics that report a change, each with the state it last told.
    events: Vec<(usize, Option<bool>)>,
    regular_turn: usize,
    event_turn: usize,
}

impl Turns {
    fn new(topics: PlainTopics) -> Turns {
        let (events, regular): (Vec<usize>, Vec<usize>) =
            (0..topics.len()).partition(|&index| topics.state(index, SimTime(0)).is_some());
        Turns {
            topics,
            regular,
            events: events.into_iter().map(|index| (index, None)).collect(),
            regular_turn: 0,
            event_turn: 0,
        }
    }

    /// Looks at one event topic per message, so that a hotel costs no more per message than a house.
    fn take(&mut self, at: SimTime) -> Message {
        let events = self.events.len();
        if let Some((index, told)) = self.events.get_mut(self.event_turn % events.max(1)) {
            self.event_turn += 1;
            let now = self.topics.state(*index, at);
            if *told != now {
                *told = now;
                return self.topics.message(*index, at);
            }
        }
        let index = self.regular[self.regular_turn % self.regular.len()];
        self.regular_turn += 1;
        self.topics.message(index, at)
    }
}
