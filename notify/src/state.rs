use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use crate::{
    alarm::{Alarm, AlarmState, Notice},
    channels::{Channel, Channels},
    delivery::{Delivery, DeliveryId, Outcome},
    message::Message,
    told::{self, Planned, Told, Waiting},
};

/// What goes next, and when.
mod next;
/// What became of an attempt.
mod record;
#[cfg(test)]
mod tests;

pub(crate) use next::Next;
pub(crate) use record::Attempt;

/// As many deliveries wait for one channel at most. Beyond that the least urgent, least severe and oldest goes.
pub(crate) const WAITING_MAX: usize = 1_000;
/// As many are kept that were given up. Beyond that the oldest goes.
pub(crate) const DEAD_MAX: usize = 1_000;

/// Channel, home, alarm.
pub(crate) type ToldKey = (String, String, String);

/// What waits, what was told, what is dead. Changes are noted, so that they can be written.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    pub(crate) waiting: BTreeMap<DeliveryId, Delivery>,
    pub(crate) told: BTreeMap<ToldKey, Told>,
    pub(crate) dead: BTreeMap<DeliveryId, Delivery>,
    pub(crate) next_id: u64,
    /// What is being sent; not on disk, since nothing is after a start.
    pub(crate) in_flight: BTreeSet<DeliveryId>,
    pub(crate) touched: Touched,
    /// What became of deliveries, to be told when it is on disk.
    pub(crate) outcomes: Vec<(Delivery, Outcome)>,
}

/// What is to be written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Touched {
    pub(crate) waiting: BTreeSet<DeliveryId>,
    pub(crate) told: BTreeSet<ToldKey>,
    pub(crate) dead: BTreeSet<DeliveryId>,
    pub(crate) next_id: bool,
}

impl Touched {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.told.is_empty() && self.dead.is_empty() && !self.next_id
    }
}

impl State {
    /// Queue what is new of these alarms.
    pub(crate) fn reconcile(
        &mut self,
        channels: &Channels,
        zone: &TimeZone,
        alarms: &[Alarm],
        now_ms: i64,
    ) {
        for channel in channels.iter() {
            let quiet = quiet_until(channel, zone, now_ms);
            for alarm in alarms {
                self.reconcile_one(channel, quiet.is_some(), alarm, now_ms);
            }
        }
        let past = self.told.iter().filter(|(_, told)| told.is_past(now_ms));
        let past: Vec<ToldKey> = past.map(|(key, _)| key.clone()).collect();
        for key in past {
            self.told.remove(&key);
            self.touched.told.insert(key);
        }
    }

    fn reconcile_one(&mut self, channel: &Channel, is_quiet: bool, alarm: &Alarm, now_ms: i64) {
        let key = (channel.name.clone(), alarm.home.clone(), alarm.id.clone());
        let told = self.told.get(&key);
        let subject = Some((&*alarm.home, &*alarm.id));
        let of_alarm = self
            .waiting
            .values()
            .filter(|delivery| delivery.channel == channel.name && delivery.subject() == subject);
        let waiting: Vec<Waiting<'_>> = of_alarm
            .map(|delivery| Waiting {
                delivery,
                is_held: delivery.is_early(now_ms) || (is_quiet && !delivery.message.is_urgent()),
                is_in_flight: self.in_flight.contains(&delivery.id),
            })
            .collect();
        let Some(decision) = told::decide(channel, alarm, told, &waiting, now_ms) else {
            return;
        };
        self.touched.told.insert(key.clone());
        self.told.insert(key, decision.told);
        for id in decision.withdrawn {
            self.remove(id, Outcome::Withdrawn);
        }
        for planned in decision.queued {
            self.queue(channel, planned, now_ms);
        }
    }

    /// Queue a message for the channels that take it.
    pub(crate) fn notify(
        &mut self,
        channels: &Channels,
        notice: &Notice,
        now_ms: i64,
        chance: u128,
    ) {
        let takes = |channel: &&Channel| {
            if notice.channels.is_empty() {
                channel.after.is_none() && notice.severity >= channel.severity
            } else {
                notice.channels.contains(&channel.name)
            }
        };
        for channel in channels.iter().filter(takes) {
            let message = Message::of_notice(&channel.name, notice, now_ms, chance);
            let mut waiting = self.waiting.values();
            if waiting.any(|delivery| delivery.message.id == message.id) {
                continue;
            }
            let planned = Planned {
                message,
                not_before_ms: None,
                first: false,
            };
            self.queue(channel, planned, now_ms);
        }
    }

    fn queue(&mut self, channel: &Channel, planned: Planned, now_ms: i64) {
        let id = DeliveryId(self.next_id);
        self.next_id += 1;
        self.touched.next_id = true;
        self.touched.waiting.insert(id);
        self.waiting.insert(
            id,
            Delivery {
                id,
                channel: channel.name.clone(),
                message: planned.message,
                queued_ms: now_ms,
                not_before_ms: planned.not_before_ms,
                attempts: 0,
                first_attempt_ms: None,
                retry_ms: None,
                failure: None,
                dead_ms: None,
                away: false,
                first: planned.first,
            },
        );
        self.keep_within_bound(channel);
    }

    fn keep_within_bound(&mut self, channel: &Channel) {
        let mut of_channel: Vec<&Delivery> = self.waiting_for(&channel.name).collect();
        if of_channel.len() <= WAITING_MAX {
            return;
        }
        of_channel.retain(|delivery| !self.in_flight.contains(&delivery.id));
        let least = of_channel.into_iter().min_by_key(|delivery| {
            (
                delivery.message.is_urgent(),
                delivery.message.severity(),
                delivery.id,
            )
        });
        if let Some(id) = least.map(|delivery| delivery.id)
            && let Some(dropped) = self.remove(id, Outcome::Dropped)
        {
            self.never_told(&dropped);
        }
    }

    /// What follows where the news that an alarm stands will not come: the rest of that makes no sense alone, unless
    /// it is told again that it stands.
    fn never_told(&mut self, lost: &Delivery) {
        let Some((home, alarm)) = lost.subject().filter(|_| lost.first) else {
            return;
        };
        let later = self
            .waiting_for(&lost.channel)
            .filter(|delivery| delivery.id > lost.id && delivery.subject() == Some((home, alarm)));
        let later = later.filter_map(|it| Some((it.id, it.message.alarm()?.state)));
        for (id, state) in later.collect::<Vec<_>>() {
            if state == AlarmState::Raised {
                if let Some(heir) = self.waiting.get_mut(&id) {
                    heir.first = true;
                    self.touched.waiting.insert(id);
                }
                return;
            }
            self.remove(id, Outcome::Withdrawn);
            if state == AlarmState::Cleared {
                return;
            }
        }
        let key = (lost.channel.clone(), home.to_owned(), alarm.to_owned());
        if let Some(told) = self.told.get_mut(&key) {
            told.knows = false;
            told.flapping = false;
            self.touched.told.insert(key);
        }
    }

    /// Give up what belongs to channels that are no more, and forget what they were told.
    pub(crate) fn without_strangers(&mut self, channels: &Channels, now_ms: i64) {
        let is_strange = |name: &str| channels.get(name).is_none();
        let strange: Vec<DeliveryId> = self
            .waiting
            .values()
            .filter(|delivery| is_strange(&delivery.channel))
            .map(|delivery| delivery.id)
            .collect();
        for id in strange {
            self.bury(id, "there is no such channel any more", now_ms);
        }
        let told = self.told.keys().filter(|(name, ..)| is_strange(name));
        let told: Vec<ToldKey> = told.cloned().collect();
        for key in told {
            self.told.remove(&key);
            self.touched.told.insert(key);
        }
    }

    /// Try a dead delivery again, as if it had never been tried. Gives whether there is one.
    pub(crate) fn retry(&mut self, channels: &Channels, id: DeliveryId) -> bool {
        let dead = self.dead.get(&id);
        let Some(channel) = dead.and_then(|dead| channels.get(&dead.channel)) else {
            return false;
        };
        let Some(dead) = self.dead.remove(&id) else {
            return false;
        };
        self.touched.dead.insert(id);
        self.touched.waiting.insert(id);
        self.tell_again(&dead);
        let again = Delivery {
            not_before_ms: None,
            attempts: 0,
            first_attempt_ms: None,
            retry_ms: None,
            failure: None,
            dead_ms: None,
            away: false,
            ..dead
        };
        self.waiting.insert(id, again);
        self.keep_within_bound(channel);
        true
    }

    /// A raise that goes after all is followed by what became of the alarm since, at the next reconciliation.
    fn tell_again(&mut self, dead: &Delivery) {
        let Some(alarm) = dead.message.alarm() else {
            return;
        };
        if alarm.state != AlarmState::Raised || !dead.first {
            return;
        }
        let key = (dead.channel.clone(), alarm.home.clone(), alarm.id.clone());
        let told = Told::raised(alarm);
        let is_newer = |known: &Told| known.knows || known.flapping;
        if self.told.get(&key).is_some_and(is_newer) {
            return;
        }
        self.touched.told.insert(key.clone());
        self.told.insert(key, told);
    }

    fn waiting_for<'a>(&'a self, channel: &'a str) -> impl Iterator<Item = &'a Delivery> {
        let waiting = self.waiting.values();
        waiting.filter(move |delivery| delivery.channel == channel)
    }

    fn remove(&mut self, id: DeliveryId, outcome: Outcome) -> Option<Delivery> {
        let delivery = self.waiting.remove(&id)?;
        self.in_flight.remove(&id);
        self.touched.waiting.insert(id);
        self.outcomes.push((delivery.clone(), outcome));
        Some(delivery)
    }

    /// Move a delivery to the dead.
    fn bury(&mut self, id: DeliveryId, words: &str, now_ms: i64) -> Option<Delivery> {
        let words = words.to_owned();
        let dead = Delivery {
            failure: Some(words.clone()),
            dead_ms: Some(now_ms),
            retry_ms: None,
            ..self.waiting.remove(&id)?
        };
        self.in_flight.remove(&id);
        self.touched.waiting.insert(id);
        self.touched.dead.insert(id);
        self.dead.insert(id, dead.clone());
        self.outcomes.push((dead.clone(), Outcome::Dead { words }));
        while self.dead.len() > DEAD_MAX
            && let Some((oldest, dropped)) = self.dead.pop_first()
        {
            self.touched.dead.insert(oldest);
            self.outcomes.push((dropped, Outcome::Dropped));
        }
        Some(dead)
    }
}

/// When the quiet hours of a channel end; none where it is not quiet.
fn quiet_until(channel: &Channel, zone: &TimeZone, now_ms: i64) -> Option<i64> {
    channel.quiet.as_ref()?.until_ms(now_ms, channel.zone(zone))
}
