use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tarn_common::ids::{EdgeId, HomeId};
use tarn_link::{Answer, AnswerKind, message::AskId};
use tokio::sync::oneshot;

/// Questions without an answer.
const ASKS_MAX: usize = 4096;

/// What was asked, and who waits for it.
#[derive(Debug)]
pub(super) struct Asks {
    open: Mutex<HashMap<AskId, Waiting>>,
    count: Gauge,
}

#[derive(Debug)]
struct Waiting {
    home: HomeId,
    edge: EdgeId,
    answer: oneshot::Sender<AnswerKind>,
}

/// A question that waits; dropping it ends the waiting.
pub(super) struct Open {
    id: AskId,
    asks: Arc<Asks>,
    answer: Option<oneshot::Receiver<AnswerKind>>,
}

impl Asks {
    pub(super) fn new(count: Gauge) -> Asks {
        Asks {
            open: Mutex::default(),
            count,
        }
    }

    /// Begin to wait for an answer, unless too many are waited for.
    pub(super) fn open(self: &Arc<Self>, id: AskId, home: &HomeId, edge: EdgeId) -> Option<Open> {
        let (answer, answered) = oneshot::channel();
        let mut open = self.open.lock();
        if open.len() >= ASKS_MAX {
            return None;
        }
        let waiting = Waiting {
            home: home.clone(),
            edge,
            answer,
        };
        open.insert(id, waiting);
        self.count.set(open.len() as i64);
        Some(Open {
            id,
            asks: self.clone(),
            answer: Some(answered),
        })
    }

    /// How many wait now.
    #[cfg(test)]
    pub(super) fn open_now(&self) -> usize {
        self.open.lock().len()
    }

    /// An answer has come. Returns whether someone waited for it from there.
    pub(super) fn answered(&self, home: &HomeId, answer: Answer) -> bool {
        let mut open = self.open.lock();
        let waiting = open.get(&answer.id);
        // Who may speak for another home or box may not answer in its place.
        if waiting.is_none_or(|waiting| waiting.home != *home || waiting.edge != answer.edge) {
            return false;
        }
        let waiting = open.remove(&answer.id);
        self.count.set(open.len() as i64);
        waiting.is_some_and(|waiting| waiting.answer.send(answer.answer).is_ok())
    }
}

impl Open {
    /// The answer, when it comes.
    pub(super) async fn answer(mut self) -> Option<AnswerKind> {
        match &mut self.answer {
            Some(answer) => answer.await.ok(),
            None => None,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.asks.open.lock();
        open.remove(&self.id);
        self.asks.count.set(open.len() as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_box_that_was_asked_answers() {
        let asks = Arc::new(Asks::new(Gauge::default()));
        let home: HomeId = "a".parse().expect("a home");
        let other: HomeId = "b".parse().expect("a home");
        let (id, edge) = (AskId::new(1), EdgeId(1));
        let open = asks.open(id, &home, edge).expect("there is room");
        let answer = |edge| Answer {
            id,
            edge,
            answer: AnswerKind::Watching,
        };
        assert!(!asks.answered(&other, answer(edge)));
        assert!(!asks.answered(&home, answer(EdgeId(2))));
        assert!(asks.answered(&home, answer(edge)));
        assert!(!asks.answered(&home, answer(edge)));
        assert_eq!(open.answer().await, Some(AnswerKind::Watching));
        let all: Vec<_> = (0..=ASKS_MAX as i64)
            .map(|n| asks.open(AskId::new(n), &home, edge))
            .collect();
        assert!(all[ASKS_MAX - 1].is_some() && all[ASKS_MAX].is_none());
        drop(all);
        assert_eq!(asks.count.get(), 0);
    }
}
