//! The state at one position of the log, on disk.

use std::sync::Arc;

use tarn_common::database::DatabaseError;

use super::Exchange;
use crate::{
    log::Refused,
    mailbox::{Delivery, State},
    store::{Changes, Store, StoredSession},
};

/// A checkpoint was not made. The one before it holds.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The log stopped before it was durable.
    #[error("the log has stopped")]
    Log(#[from] Refused),
    /// The store cannot be written.
    #[error(transparent)]
    Store(#[from] DatabaseError),
    /// The task that writes it panicked.
    #[error("writing the broker store")]
    Task(#[from] tokio::task::JoinError),
}

impl Exchange {
    /// Write down the state as of the log's last position. After it, the log may let go of
    /// everything up to the position that was last when this was called.
    pub(crate) async fn checkpoint(&self) -> Result<(), CheckpointError> {
        let Some(store) = self.store.clone() else {
            return Ok(());
        };
        // One at a time, because each says that all changes before it are stored.
        let _turn = self.checkpoints.lock().await;
        let changes = Arc::new(self.changes());
        let result = self.write(store, changes.clone()).await;
        if result.is_err() {
            self.mark_again(&changes);
        }
        result
    }

    async fn write(&self, store: Arc<Store>, changes: Arc<Changes>) -> Result<(), CheckpointError> {
        // A position that a crash takes back would be given to other records.
        let mut durable = self.log.durable();
        self.log.commit();
        let upto = changes.upto;
        let reached = durable.wait_for(|&durable| durable >= upto).await;
        reached.map_err(|_| Refused::Unavailable)?;
        let written = tokio::task::spawn_blocking(move || store.write(&changes)).await?;
        Ok(written?)
    }

    /// What has changed since the last time, at one moment.
    fn changes(&self) -> Changes {
        let _alone = self.routes.write();
        let mut sessions = self.sessions.lock();
        let mut changes = Changes {
            upto: self.log.last(),
            retained: self.retained.take_changes(),
            gone: sessions.gone.drain().collect(),
            sessions: Vec::new(),
        };
        for (client, mailbox) in &sessions.by_client {
            let mut state = mailbox.lock();
            if !std::mem::take(&mut state.dirty) {
                continue;
            }
            let kept = state.is_kept();
            if kept {
                let (session, deliveries) = stored(&state);
                changes.sessions.push((client.clone(), session, deliveries));
            } else if state.stored {
                changes.gone.push(client.clone());
            }
            state.stored = kept;
        }
        changes
    }

    /// The changes could not be written: they are still to be.
    fn mark_again(&self, changes: &Changes) {
        let _alone = self.routes.write();
        let mut sessions = self.sessions.lock();
        let topics = changes.retained.iter().map(|(topic, _)| topic.clone());
        self.retained.mark(topics);
        sessions.gone.extend(changes.gone.iter().cloned());
        for (client, ..) in &changes.sessions {
            if let Some(mailbox) = sessions.by_client.get(client) {
                mailbox.lock().dirty = true;
            } else {
                sessions.gone.insert(client.clone());
            }
        }
    }
}

fn stored(state: &State) -> (StoredSession, Vec<Delivery>) {
    let mut session = StoredSession {
        expiry_s: state.expiry_s,
        closed_ms: state.closed_ms,
        subscriptions: Vec::new(),
        in_flight: Vec::new(),
        will: state.will.clone(),
    };
    if !state.is_persistent() {
        return (session, Vec::new());
    }
    session.subscriptions = state.subscriptions.values().cloned().collect();
    let (deliveries, in_flight) = state.deliveries.kept();
    session.in_flight = in_flight;
    (session, deliveries)
}
