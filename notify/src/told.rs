use serde::{Deserialize, Serialize};

use crate::{
    alarm::{Alarm, AlarmState, Severity},
    channels::Channel,
    delivery::{Delivery, DeliveryId},
    message::{Flapping, Message},
};

/// An alarm that is raised more often than this within [`FLAP_WINDOW_MS`] comes and goes.
pub(crate) const FLAP_RAISES_MAX: usize = 5;
/// What counts as often; and an urgent alarm that comes and goes is told once in as long.
pub(crate) const FLAP_WINDOW_MS: i64 = 600_000;
/// An alarm that came and went is told again when it has stood still for so long.
pub(crate) const FLAP_REST_MS: i64 = 600_000;

/// What a channel was told of an alarm, or will have been when all that waits has gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The alarm as it was seen last: which time that it stands…
    pub(crate) raised_ms: i64,
    /// …what had become of it…
    pub(crate) state: AlarmState,
    /// …and how bad it was.
    pub(crate) severity: Severity,
    /// Whether the channel takes it for standing.
    pub(crate) knows: bool,
    /// When it was raised, within the window.
    pub(crate) raises: Vec<i64>,
    /// Whether it comes and goes.
    pub(crate) flapping: bool,
    /// When it was last told as raised.
    pub(crate) last_raise_ms: i64,
}

/// A delivery of the alarm that has not gone yet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting<'a> {
    pub(crate) delivery: &'a Delivery,
    /// Quiet hours or its time keep it.
    pub(crate) is_held: bool,
    /// It is being sent right now, so it cannot be taken back.
    pub(crate) is_in_flight: bool,
}

/// What follows from an alarm for a channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) told: Told,
    pub(crate) withdrawn: Vec<DeliveryId>,
    pub(crate) queued: Vec<Planned>,
}

/// A delivery to be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) message: Message,
    pub(crate) not_before_ms: Option<i64>,
    pub(crate) first: bool,
}

/// What is new of an alarm for a channel; none where nothing is.
pub(crate) fn decide(
    channel: &Channel,
    alarm: &Alarm,
    told: Option<&Told>,
    waiting: &[Waiting<'_>],
    now_ms: i64,
) -> Option<Decision> {
    if told.is_some_and(|told| told.is_of(alarm)) {
        return None;
    }
    let before = told.map_or(AlarmState::Cleared, |told| told.state);
    let is_same_time = told.is_some_and(|told| told.raised_ms == alarm.raised_ms);
    let is_worse = told.is_none_or(|told| alarm.severity > told.severity);
    let is_raise = alarm.state == AlarmState::Raised
        && (before != AlarmState::Raised || !is_same_time || is_worse);
    let is_told = is_raise && alarm.severity >= channel.severity;
    if told.is_none() && !is_told {
        return None;
    }
    let mut desk = Desk {
        channel,
        alarm,
        waiting,
        now_ms,
        is_new_time: before == AlarmState::Cleared || !is_same_time,
        decision: Decision {
            told: told.cloned().unwrap_or_else(|| Told::nothing(alarm)),
            withdrawn: Vec::new(),
            queued: Vec::new(),
        },
    };
    desk.rest_if_over();
    match alarm.state {
        AlarmState::Raised if is_told => desk.raise(),
        AlarmState::Raised if desk.decision.told.flapping => desk.tell_when_it_rests(),
        AlarmState::Raised => {}
        AlarmState::Acknowledged => desk.acknowledge(),
        AlarmState::Cleared => desk.clear(),
    }
    let told = &mut desk.decision.told;
    told.raised_ms = alarm.raised_ms;
    told.state = alarm.state;
    told.severity = alarm.severity;
    Some(desk.decision)
}

impl Told {
    fn nothing(alarm: &Alarm) -> Told {
        Told {
            raised_ms: alarm.raised_ms,
            state: AlarmState::Cleared,
            severity: alarm.severity,
            knows: false,
            raises: Vec::new(),
            flapping: false,
            last_raise_ms: i64::MIN,
        }
    }

    /// A channel that takes an alarm for standing.
    pub(crate) fn raised(alarm: &Alarm) -> Told {
        Told {
            state: AlarmState::Raised,
            knows: true,
            ..Told::nothing(alarm)
        }
    }

    fn is_of(&self, alarm: &Alarm) -> bool {
        (self.raised_ms, self.state, self.severity)
            == (alarm.raised_ms, alarm.state, alarm.severity)
    }

    /// It has stood still for long enough, which the channel has been told or is about to be.
    pub(crate) fn rested(&mut self) {
        if self.flapping {
            self.flapping = false;
            self.knows = self.state != AlarmState::Cleared;
        }
    }

    /// Whether nothing would be done otherwise without it.
    pub(crate) fn is_past(&self, now_ms: i64) -> bool {
        let is_recent = |at: &i64| (0..FLAP_WINDOW_MS).contains(&now_ms.saturating_sub(*at));
        self.state == AlarmState::Cleared
            && !self.knows
            && !self.flapping
            && !self.raises.iter().any(is_recent)
    }
}

/// One decision while it is made.
struct Desk<'a> {
    channel: &'a Channel,
    alarm: &'a Alarm,
    waiting: &'a [Waiting<'a>],
    now_ms: i64,
    /// It did not stand before, or this is another time that it stands.
    is_new_time: bool,
    decision: Decision,
}

impl Desk<'_> {
    /// What comes and goes has come to rest where the news of that wait no longer.
    fn rest_if_over(&mut self) {
        let is_pending = self
            .find(Flapping::Ended)
            .is_some_and(|waiting| !waiting.is_in_flight && waiting.delivery.is_early(self.now_ms));
        if !is_pending {
            self.decision.told.rested();
        }
    }

    fn raise(&mut self) {
        let now_ms = self.now_ms;
        let told = &mut self.decision.told;
        let is_recent = |at: &i64| (0..FLAP_WINDOW_MS).contains(&now_ms.saturating_sub(*at));
        told.raises.retain(is_recent);
        told.raises.push(now_ms);
        let excess = told.raises.len().saturating_sub(FLAP_RAISES_MAX + 1);
        told.raises.drain(..excess);
        if told.flapping {
            let is_due = now_ms.saturating_sub(told.last_raise_ms) >= FLAP_WINDOW_MS;
            if is_due && self.alarm.is_urgent() {
                let not_before_ms = self.unless_acknowledged(self.alarm.raised_ms);
                self.tell_raise(None, not_before_ms, false);
            }
            self.tell_when_it_rests();
        } else if told.raises.len() > FLAP_RAISES_MAX {
            told.flapping = true;
            let since_ms = told.raises.first().copied().unwrap_or(now_ms);
            let replaced = self.of_this_time();
            let first =
                self.withdraw(|waiting| waiting.is_held && replaced.contains(&waiting.delivery.id));
            let not_before_ms = self.unless_acknowledged(since_ms);
            self.tell_raise(Some(Flapping::Began), not_before_ms, first);
            self.tell_when_it_rests();
        } else {
            self.tell_raise_anew();
        }
    }

    /// What waits of this time that it stands is replaced.
    fn tell_raise_anew(&mut self) {
        let since_ms = if self.is_new_time {
            self.alarm.raised_ms
        } else {
            self.alarm.changed_ms
        };
        let mut not_before_ms = self.unless_acknowledged(since_ms);
        let replaced = if self.is_new_time {
            Vec::new()
        } else {
            self.of_this_time()
        };
        let is_replaced = |waiting: &Waiting<'_>| replaced.contains(&waiting.delivery.id);
        let earlier = self.waiting.iter().filter(|waiting| is_replaced(waiting));
        for earlier_ms in earlier.filter_map(|waiting| waiting.delivery.not_before_ms) {
            not_before_ms = not_before_ms.map(|at| at.min(earlier_ms));
        }
        let first = self.withdraw(is_replaced);
        self.tell_raise(None, not_before_ms, first);
    }

    fn tell_raise(&mut self, flapping: Option<Flapping>, not_before_ms: Option<i64>, first: bool) {
        let first = first || !self.decision.told.knows;
        self.decision.told.knows = true;
        self.decision.told.last_raise_ms = self.now_ms;
        self.queue(flapping, not_before_ms, first);
    }

    fn acknowledge(&mut self) {
        let now_ms = self.now_ms;
        let is_early = |waiting: &Waiting<'_>| {
            let alarm = waiting.delivery.message.alarm();
            alarm.is_some_and(|alarm| alarm.state == AlarmState::Raised)
                && waiting.delivery.is_early(now_ms)
        };
        let is_escalation = |waiting: &Waiting<'_>| {
            is_early(waiting) && waiting.delivery.message.flapping() != Some(Flapping::Ended)
        };
        let is_unknown = self.withdraw(is_escalation);
        let told = &mut self.decision.told;
        if is_unknown {
            told.knows = false;
            if std::mem::take(&mut told.flapping) {
                self.withdraw_rest();
            }
        } else if told.flapping {
            self.tell_when_it_rests();
        } else if told.knows {
            self.queue(None, None, false);
        }
    }

    fn clear(&mut self) {
        if self.decision.told.flapping {
            return self.tell_when_it_rests();
        }
        if !self.decision.told.knows {
            return;
        }
        self.decision.told.knows = false;
        let of_this_time = self.of_this_time();
        let is_of_this_time = |waiting: &Waiting<'_>| of_this_time.contains(&waiting.delivery.id);
        let is_unknown = self.withdraw(|waiting| waiting.is_held && is_of_this_time(waiting));
        if is_unknown {
            self.withdraw(is_of_this_time);
        } else {
            self.queue(None, None, false);
        }
    }

    /// What waits and tells of the time that it stands now: all since it was last cleared.
    fn of_this_time(&self) -> Vec<DeliveryId> {
        let since = self.waiting.iter().rev().take_while(|waiting| {
            let alarm = waiting.delivery.message.alarm();
            alarm.is_some_and(|alarm| alarm.state != AlarmState::Cleared)
        });
        since.map(|waiting| waiting.delivery.id).collect()
    }

    /// What it is by then will be told when nothing has changed for a while.
    fn tell_when_it_rests(&mut self) {
        let is_unknown = self.withdraw_rest();
        if is_unknown && self.alarm.state != AlarmState::Raised {
            let told = &mut self.decision.told;
            told.knows = false;
            told.flapping = false;
            return;
        }
        let began = self.find(Flapping::Began);
        let began_ms = began.and_then(|waiting| waiting.delivery.not_before_ms);
        let queued = self.decision.queued.iter();
        let queued_ms = queued.filter_map(|planned| planned.not_before_ms);
        let rest_ms = self.now_ms.saturating_add(FLAP_REST_MS);
        let not_before_ms = queued_ms.chain(began_ms).fold(rest_ms, i64::max);
        self.queue(Some(Flapping::Ended), Some(not_before_ms), is_unknown);
    }

    /// That it has come to rest is not so yet. Gives whether the channel then does not know that the alarm stands.
    fn withdraw_rest(&mut self) -> bool {
        self.withdraw(|waiting| waiting.delivery.message.flapping() == Some(Flapping::Ended))
    }

    /// When a channel for what nobody acknowledges is told of what is so since then.
    fn unless_acknowledged(&self, since_ms: i64) -> Option<i64> {
        let after_ms = self.channel.after_ms()?;
        Some(since_ms.min(self.now_ms).saturating_add(after_ms))
    }

    fn queue(&mut self, flapping: Option<Flapping>, not_before_ms: Option<i64>, first: bool) {
        self.decision.queued.push(Planned {
            message: Message::of_alarm(&self.channel.name, self.alarm, flapping),
            not_before_ms,
            first,
        });
    }

    /// Take back what has not gone. Gives whether the channel then does not know that the alarm stands.
    fn withdraw(&mut self, which: impl Fn(&Waiting<'_>) -> bool) -> bool {
        let mut is_unknown = false;
        for waiting in self.waiting {
            let id = waiting.delivery.id;
            if waiting.is_in_flight || self.decision.withdrawn.contains(&id) || !which(waiting) {
                continue;
            }
            is_unknown |= waiting.delivery.first;
            self.decision.withdrawn.push(id);
        }
        is_unknown
    }

    fn find(&self, flapping: Flapping) -> Option<&Waiting<'_>> {
        let mut waiting = self.waiting.iter();
        waiting.rfind(|waiting| waiting.delivery.message.flapping() == Some(flapping))
    }
}
