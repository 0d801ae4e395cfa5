use std::{cmp::Reverse, collections::BTreeMap};

use jiff::tz::TimeZone;

use super::{State, quiet_until};
use crate::{
    channels::Channel,
    delivery::{Delivery, DeliveryId},
    retry::{CLOCK_STEP_MS, RETRY_AFTER_MS_MAX},
    told::FLAP_REST_MS,
};

/// What a channel does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This goes now.
    Send(Box<Delivery>),
    /// Something goes then, milliseconds since 1970 UTC.
    At(i64),
    /// Nothing waits.
    Idle,
}

/// What waits of one alarm, or one message. Its deliveries go in their order, and all when one may: a later one must
/// not wait for an earlier one that could have been told just before.
struct Line {
    head: DeliveryId,
    ready_ms: i64,
    is_urgent: bool,
}

impl State {
    /// What goes next: what is urgent, then what has waited longest.
    pub(crate) fn next(&self, channel: &Channel, zone: &TimeZone, now_ms: i64) -> Next {
        let lines = self.lines(channel, zone, now_ms);
        let ready = lines.iter().filter(|line| line.ready_ms <= now_ms);
        let first = ready.min_by_key(|line| (Reverse(line.is_urgent), line.head));
        if let Some(delivery) = first.and_then(|line| self.waiting.get(&line.head)) {
            return Next::Send(Box::new(delivery.clone()));
        }
        let soonest = lines.iter().map(|line| line.ready_ms).min();
        soonest.map_or(Next::Idle, Next::At)
    }

    /// Everything that could go now.
    pub(super) fn ready(&self, channel: &Channel, zone: &TimeZone, now_ms: i64) -> Vec<DeliveryId> {
        let quiet = quiet_until(channel, zone, now_ms);
        self.waiting_for(&channel.name)
            .filter(|delivery| ready_ms(channel, delivery, quiet, now_ms) <= now_ms)
            .map(|delivery| delivery.id)
            .collect()
    }

    fn lines(&self, channel: &Channel, zone: &TimeZone, now_ms: i64) -> Vec<Line> {
        let quiet = quiet_until(channel, zone, now_ms);
        let mut of_alarms = BTreeMap::new();
        let mut lines: Vec<Line> = Vec::new();
        for delivery in self.waiting_for(&channel.name) {
            let ready_ms = ready_ms(channel, delivery, quiet, now_ms);
            let is_urgent = delivery.message.is_urgent();
            let place = delivery.subject().map(|subject| {
                let next = lines.len();
                *of_alarms.entry(subject).or_insert(next)
            });
            match place.and_then(|place| lines.get_mut(place)) {
                Some(line) => {
                    line.ready_ms = line.ready_ms.min(ready_ms);
                    line.is_urgent |= is_urgent;
                }
                None => lines.push(Line {
                    head: delivery.id,
                    ready_ms,
                    is_urgent,
                }),
            }
        }
        lines
    }
}

/// When a delivery may go. A time that is farther off than any can be was told by a clock that has been set back, and
/// does not count.
fn ready_ms(channel: &Channel, delivery: &Delivery, quiet: Option<i64>, now_ms: i64) -> i64 {
    let held_ms_max = channel.after_ms().unwrap_or_default().max(FLAP_REST_MS);
    let within =
        |at: &i64, max: i64| *at <= now_ms.saturating_add(max).saturating_add(CLOCK_STEP_MS);
    let not_before = delivery.not_before_ms.filter(|at| within(at, held_ms_max));
    let retry = delivery
        .retry_ms
        .filter(|at| within(at, RETRY_AFTER_MS_MAX));
    let quiet = quiet.filter(|_| !delivery.message.is_urgent());
    [not_before, retry, quiet]
        .into_iter()
        .flatten()
        .fold(i64::MIN, i64::max)
}
