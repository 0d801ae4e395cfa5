use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::{
    alarm::{Class, Severity},
    message::Flapping,
    retry::{ATTEMPTS_MIN, Failure, GIVE_UP_MS},
};

mod believe;
mod escalation;
mod flapping;
mod found;
mod order;
mod quiet;

const MINUTE: i64 = 60_000;
/// 2025-05-01 12:00 UTC, so no quiet hour of the tests.
const NOON: i64 = 1_746_100_800_000;

/// A state with one channel, a clock, and what the channel was told.
struct House {
    state: State,
    channels: Channels,
    now_ms: i64,
    alarm: Alarm,
    heard: Vec<String>,
    flying: Option<Delivery>,
}

impl House {
    fn new(lines: &str) -> House {
        let text = format!(
            "[[channel]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1/\"\n{lines}"
        );
        House {
            state: State::default(),
            channels: Channels::parse(&text, Path::new(".")).expect("channels"),
            now_ms: NOON,
            alarm: Alarm {
                home: "h".into(),
                id: "leak".into(),
                state: AlarmState::Cleared,
                severity: Severity::Warning,
                class: None,
                message: "wet".into(),
                raised_ms: 0,
                changed_ms: 0,
                by: "rule:leak".into(),
            },
            heard: Vec::new(),
            flying: None,
        }
    }

    fn channel(&self) -> Channel {
        self.channels.get("a").expect("the channel").clone()
    }

    fn pass(&mut self, ms: i64) -> &mut House {
        self.now_ms += ms;
        self
    }

    fn raise(&mut self, severity: Severity) -> &mut House {
        if self.alarm.state == AlarmState::Cleared {
            self.alarm.raised_ms = self.now_ms;
        }
        self.alarm.severity = severity;
        self.become_(AlarmState::Raised)
    }

    fn warn(&mut self) -> &mut House {
        self.raise(Severity::Warning)
    }

    fn acknowledge(&mut self) -> &mut House {
        self.become_(AlarmState::Acknowledged)
    }

    fn clear(&mut self) -> &mut House {
        self.become_(AlarmState::Cleared)
    }

    fn become_(&mut self, state: AlarmState) -> &mut House {
        self.alarm.state = state;
        self.alarm.changed_ms = self.now_ms;
        self.reconcile()
    }

    fn reconcile(&mut self) -> &mut House {
        let alarms = [self.alarm.clone()];
        self.state
            .reconcile(&self.channels, &TimeZone::UTC, &alarms, self.now_ms);
        self
    }

    fn next(&self) -> Next {
        self.state
            .next(&self.channel(), &TimeZone::UTC, self.now_ms)
    }

    /// What goes next is being sent from now on.
    fn begin(&mut self) -> Option<Delivery> {
        if self.flying.is_none()
            && let Next::Send(delivery) = self.next()
        {
            self.state.in_flight.insert(delivery.id);
            self.flying = Some(*delivery);
        }
        self.flying.clone()
    }

    /// Try what goes next, if anything does, with this result.
    fn attempt(&mut self, result: Result<(), Failure>) -> Option<Delivery> {
        let delivery = self.begin()?;
        self.state.in_flight.remove(&delivery.id);
        self.flying = None;
        if result.is_ok() {
            self.heard.push(words(&delivery.message));
        }
        let attempt = Attempt {
            id: delivery.id,
            result,
            now_ms: self.now_ms,
            chance: 0.5,
        };
        let channel = self.channel();
        self.state.record(&channel, &TimeZone::UTC, &attempt);
        Some(delivery)
    }

    /// Deliver all that may go now.
    fn deliver(&mut self) -> &mut House {
        while self.attempt(Ok(())).is_some() {}
        self
    }

    /// The channel has heard this since it was last asked.
    #[track_caller]
    fn heard(&mut self, expected: &[&str]) -> &mut House {
        self.deliver();
        assert_eq!(self.heard, expected);
        self.heard.clear();
        self
    }
}

/// `raised warning`, `raised critical began`.
fn words(message: &Message) -> String {
    let Some(alarm) = message.alarm() else {
        return message.title();
    };
    let severity = alarm.severity.word();
    let flapping = match message.flapping() {
        None => "",
        Some(Flapping::Began) => " began",
        Some(Flapping::Ended) => " ended",
    };
    format!("{} {severity}{flapping}", alarm.state.word())
}

fn away() -> Result<(), Failure> {
    Err(Failure::Away {
        words: "no route".into(),
        retry_after: None,
    })
}

fn never() -> Result<(), Failure> {
    Err(Failure::Never {
        words: "answered 404".into(),
    })
}

fn notice(house: &mut House, title: &str, severity: Severity) {
    let notice = Notice {
        title: title.into(),
        severity,
        ..Notice::default()
    };
    let (channels, chance) = (house.channels.clone(), u128::from(house.state.next_id));
    house.state.notify(&channels, &notice, house.now_ms, chance);
}
