use std::sync::Arc;

use serde_json::json;
use tarn_common::{
    clock::Clock,
    event::{DELIVERY, LoggedEvent},
};
use tarn_notify::{Delivery, Outcome};

use crate::journal::Journal;

/// Notes what becomes of messages to people.
pub fn noting(
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
) -> impl Fn(&Delivery, &Outcome) + Send + Sync {
    move |delivery, outcome| {
        journal.tell(&LoggedEvent {
            at_ms: clock.now_ms(),
            kind: DELIVERY.into(),
            subject: delivery.channel.clone(),
            reason: outcome.word().into(),
            detail: json!({"id": delivery.message.id, "attempts": delivery.attempts, "message": delivery.message, "outcome": words(outcome)}),
        });
    }
}

fn words(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Failed { words, .. } | Outcome::Dead { words } => Some(words),
        _ => None,
    }
}
