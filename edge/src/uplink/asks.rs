use std::{collections::VecDeque, sync::Arc, time::Duration};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tarn_link::{AnswerKind, Ask, AskHandler, message::AskId};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// Questions that are answered at one time.
const ASKS_MAX: usize = 16;
/// Questions that are remembered, so that one that comes twice is answered once.
const REMEMBERED_MAX: usize = 256;
/// The longest that a question may take.
const ASK_TIME_MAX: Duration = Duration::from_secs(300);

/// Questions, each answered once.
#[derive(Debug)]
pub(super) struct Asks {
    places: Arc<Semaphore>,
    seen: Mutex<VecDeque<AskId>>,
    open: Gauge,
}

/// What is to be done with a question.
pub(super) enum Taken {
    /// It is to be answered by what the box does.
    Do(Asked),
    /// It is to be answered with this.
    Refuse(AnswerKind),
    /// It has been taken before.
    Known,
}

/// A question that is being answered.
pub(super) struct Asked {
    ask: Ask,
    deadline: Instant,
    open: Gauge,
    _place: OwnedSemaphorePermit,
}

impl Asks {
    pub(super) fn new(open: Gauge) -> Asks {
        Asks {
            places: Arc::new(Semaphore::new(ASKS_MAX)),
            seen: Mutex::default(),
            open,
        }
    }

    /// Take a question at this time of the box's clock.
    pub(super) fn take(&self, ask: Ask, now_ms: i64) -> Taken {
        {
            let mut seen = self.seen.lock();
            if seen.contains(&ask.id) {
                return Taken::Known;
            }
            if seen.len() >= REMEMBERED_MAX {
                seen.pop_front();
            }
            seen.push_back(ask.id);
        }
        // What nobody waits for any more must not be done.
        let left_ms = ask.deadline.as_millisecond().saturating_sub(now_ms);
        let Ok(left_ms @ 1..) = u64::try_from(left_ms) else {
            let reason = format!(
                "too late: by the clock of the box its time was over {} ms ago",
                left_ms.unsigned_abs()
            );
            return Taken::Refuse(AnswerKind::Failed { reason });
        };
        let left = Duration::from_millis(left_ms).min(ASK_TIME_MAX);
        match self.places.clone().try_acquire_owned() {
            Ok(place) => {
                self.open.inc();
                Taken::Do(Asked {
                    ask,
                    deadline: Instant::now() + left,
                    open: self.open.clone(),
                    _place: place,
                })
            }
            Err(_) => Taken::Refuse(AnswerKind::Failed {
                reason: "the box is asked too much at one time".to_owned(),
            }),
        }
    }
}

impl Asked {
    /// Have it done; none if its time is over first.
    pub(super) async fn answer(self, handler: &dyn AskHandler) -> Option<AnswerKind> {
        let asking = handler.ask(self.ask.ask.clone(), self.deadline);
        timeout_at(self.deadline, asking).await.ok()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use tarn_link::{AskKind, NodeId, message::timestamp};

    use super::*;

    const NOW: i64 = 1_750_000_000_000;

    fn ask(deadline_ms: i64) -> Ask {
        Ask {
            id: AskId::new(NOW),
            from: NodeId::random(),
            deadline: timestamp(deadline_ms),
            ask: AskKind::Fresh,
        }
    }

    #[tokio::test]
    async fn once_in_time_and_not_too_many() {
        let asks = Asks::new(Gauge::default());
        let once = ask(NOW + 1000);
        let Taken::Do(asked) = asks.take(once.clone(), NOW) else {
            panic!("it is in time");
        };
        assert!(matches!(asks.take(once, NOW), Taken::Known));
        assert!(matches!(asks.take(ask(NOW), NOW), Taken::Refuse(_)));
        let more: Vec<_> = (1..ASKS_MAX)
            .map(|_| asks.take(ask(NOW + 1000), NOW))
            .collect();
        assert!(more.iter().all(|taken| matches!(taken, Taken::Do(_))));
        assert!(matches!(asks.take(ask(NOW + 1000), NOW), Taken::Refuse(_)));
        assert_eq!(asks.open.get(), ASKS_MAX as i64);
        drop((asked, more));
        assert_eq!(asks.open.get(), 0);
        assert!(matches!(asks.take(ask(NOW + 1000), NOW), Taken::Do(_)));
    }
}
