use std::time::Duration;

use jiff::tz::TimeZone;

use super::State;
use crate::{
    channels::Channel,
    delivery::{Delivery, DeliveryId, Outcome},
    message::Flapping,
    retry::{self, Failure},
};

/// What became of an attempt.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) id: DeliveryId,
    pub(crate) result: Result<(), Failure>,
    /// When it ended.
    pub(crate) now_ms: i64,
    /// Spreads the next one, 0 to 1.
    pub(crate) chance: f64,
}

impl State {
    /// Note what became of an attempt.
    pub(crate) fn record(&mut self, channel: &Channel, zone: &TimeZone, attempt: &Attempt) {
        let Attempt { id, now_ms, .. } = *attempt;
        self.in_flight.remove(&id);
        match &attempt.result {
            Ok(()) => self.delivered(channel, id),
            Err(Failure::Never { words }) => {
                if let Some(delivery) = self.waiting.get_mut(&id) {
                    delivery.attempts = delivery.attempts.saturating_add(1);
                }
                if let Some(dead) = self.bury(id, words, now_ms) {
                    self.never_told(&dead);
                }
            }
            Err(Failure::NotNow { words, retry_after }) => {
                self.failed(&[id], attempt, words, *retry_after, false);
            }
            Err(Failure::Away { words, retry_after }) => {
                // Whatever could have gone now would have fared the same.
                let mut ready = self.ready(channel, zone, now_ms);
                if !ready.contains(&id) {
                    ready.push(id);
                }
                self.failed(&ready, attempt, words, *retry_after, true);
            }
        }
    }

    fn delivered(&mut self, channel: &Channel, id: DeliveryId) {
        let Some(delivery) = self.remove(id, Outcome::Delivered) else {
            return;
        };
        self.rested(&delivery);
        for waiting in self.waiting.values_mut() {
            if waiting.away && waiting.channel == channel.name {
                waiting.away = false;
                waiting.retry_ms = None;
                self.touched.waiting.insert(waiting.id);
            }
        }
    }

    /// The channel has heard that an alarm stands still again.
    fn rested(&mut self, delivery: &Delivery) {
        let Some(alarm) = delivery.message.alarm() else {
            return;
        };
        if delivery.message.flapping() != Some(Flapping::Ended) {
            return;
        }
        let key = (
            delivery.channel.clone(),
            alarm.home.clone(),
            alarm.id.clone(),
        );
        let Some(told) = self.told.get_mut(&key) else {
            return;
        };
        told.rested();
        self.touched.told.insert(key);
    }

    fn failed(
        &mut self,
        ids: &[DeliveryId],
        attempt: &Attempt,
        words: &str,
        retry_after: Option<Duration>,
        away: bool,
    ) {
        let now_ms = attempt.now_ms;
        let attempts = ids.iter().filter_map(|id| self.waiting.get(id));
        let attempts = attempts.map(|delivery| delivery.attempts).max();
        let attempts = attempts.unwrap_or_default().saturating_add(1);
        let retry_ms = now_ms.saturating_add(retry::wait_ms(attempts, retry_after, attempt.chance));
        let mut given_up = Vec::new();
        for id in ids {
            let Some(delivery) = self.waiting.get_mut(id) else {
                continue;
            };
            self.touched.waiting.insert(*id);
            delivery.attempts = delivery.attempts.saturating_add(1);
            let first_ms = *delivery.first_attempt_ms.get_or_insert(now_ms);
            delivery.retry_ms = Some(retry_ms);
            delivery.failure = Some(words.to_owned());
            delivery.away = away;
            if retry::is_given_up(delivery.attempts, first_ms, now_ms) {
                given_up.push(*id);
            } else if *id == attempt.id {
                let words = words.to_owned();
                let outcome = Outcome::Failed { words, retry_ms };
                self.outcomes.push((delivery.clone(), outcome));
            }
        }
        for id in given_up {
            if let Some(dead) = self.bury(id, &format!("given up: {words}"), now_ms) {
                self.never_told(&dead);
            }
        }
    }
}
