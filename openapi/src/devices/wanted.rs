use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tarn_common::{
    clock::Clock,
    twin::{
        command::{CommandState, commands_of, find, live_ttl, state_of},
        document::{DocumentId, Section},
        edit::Edit,
        home::{Change, HomeTwins},
        replica::Replica,
    },
};
use tokio::{
    sync::broadcast::Receiver,
    time::{Instant, timeout_at},
};

use super::{Command, DeviceError, SetRequest, check_heads};
use crate::{Any, types::moment};

/// Commands of a device that a node tells.
const COMMANDS_MAX: usize = 100;

/// What is wanted of a device that another node has: writes to its twin, and what becomes of them there.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The home's twins.
    pub twins: &'a HomeTwins,
    /// When it is.
    pub clock: &'a dyn Clock,
}

impl Wanted<'_> {
    /// The writes of a request, if its author has seen what is there.
    ///
    /// # Errors
    /// The twin is another than the author saw, or a value would be unsafe to carry out later.
    pub fn edits(
        &self,
        replica: &Replica,
        device: &str,
        request: &SetRequest,
    ) -> Result<Vec<Edit>, DeviceError> {
        let id = DocumentId::device(device);
        let document = replica.document(&id);
        check_heads(document, request.if_match.as_deref())?;
        let edit = |(metric, value): &(String, Value)| {
            let policy = document
                .map(|document| document.policy(Section::Desired, metric))
                .unwrap_or_default();
            let ttl_s = live_ttl(&policy, value, request.ttl)
                .map_err(|error| DeviceError::Bad(format!("{metric}: {error}")))?;
            Ok(Edit::new(id.clone(), Section::Desired, metric, value.clone()).for_s(ttl_s))
        };
        request.values.iter().map(edit).collect()
    }

    /// Write what is wanted, and wait for what becomes of it at most so long.
    ///
    /// # Errors
    /// It is wrong, or not stored.
    pub async fn set(
        &self,
        device: &str,
        request: &SetRequest,
        wait: Duration,
    ) -> Result<Vec<Command>, DeviceError> {
        let until = Instant::now() + wait;
        let ids = self
            .twins
            .edit_if(|replica| self.edits(replica, device, request), &request.by)
            .await?;
        self.outcomes(device, &ids, until).await;
        let now_ms = self.clock.now_ms();
        let states = self.twins.read(|replica| {
            let document = replica.document(&DocumentId::device(device));
            let state = |id: &String| state_of(document?, id, now_ms);
            ids.iter().filter_map(state).collect::<Vec<_>>()
        });
        Ok(states
            .into_iter()
            .map(|state| shape(device, state))
            .collect())
    }

    /// The latest commands to a device, latest first.
    #[must_use]
    pub fn commands(&self, device: &str) -> Vec<Command> {
        let now_ms = self.clock.now_ms();
        let states = self.twins.read(|replica| {
            let document = replica.document(&DocumentId::device(device));
            document
                .map(|document| commands_of(document, COMMANDS_MAX, now_ms))
                .unwrap_or_default()
        });
        states
            .into_iter()
            .map(|state| shape(device, state))
            .collect()
    }

    /// A command by its id, after waiting for its outcome at most so long.
    pub async fn command(&self, id: &str, wait: Duration) -> Option<Command> {
        let until = Instant::now() + wait;
        let look = || {
            self.twins
                .read(|replica| find(replica, id, self.clock.now_ms()))
        };
        let (document, _) = look()?;
        let device = document.as_device()?.to_owned();
        self.outcomes(&device, &[id.to_owned()], until).await;
        look().map(|(_, state)| shape(&device, state))
    }

    /// Wait for a change of this home; many homes are told on one channel. One that was missed was made before the next look.
    async fn change(&self, changes: &mut Receiver<Arc<Change>>) {
        while changes
            .recv()
            .await
            .is_ok_and(|change| change.home != *self.twins.home())
        {}
    }

    /// Wait until nothing more becomes of commands, at most until then.
    async fn outcomes(&self, device: &str, ids: &[String], until: Instant) {
        let mut changes = self.twins.changes();
        let document = DocumentId::device(device);
        loop {
            let now_ms = self.clock.now_ms();
            let is_done = self.twins.read(|replica| {
                let document = replica.document(&document);
                ids.iter().all(|id| {
                    let state = document.and_then(|document| state_of(document, id, now_ms));
                    state.is_none_or(|state| state.status.is_end() || state.done_ms.is_some())
                })
            });
            if is_done || timeout_at(until, self.change(&mut changes)).await.is_err() {
                return;
            }
        }
    }
}

/// A command as interfaces show it, by what its document says.
fn shape(device: &str, state: CommandState) -> Command {
    let deadline_ms = state
        .ttl_s
        .map(|ttl_s| state.at_ms.saturating_add(i64::from(ttl_s) * 1000));
    Command {
        command: state.id,
        device: device.to_owned(),
        metric: state.attribute,
        value: Any(state.value),
        status: state.status.name().to_owned(),
        reason: state.reason,
        topic: None,
        sent: moment(state.at_ms),
        deadline: deadline_ms.map(moment),
        done: state.done_ms.map(moment),
    }
}
