use std::time::Duration;

use tarn_common::{
    clock::Clock,
    twin::{
        command::{commands_of, find, state_of},
        document::DocumentId,
        home::HomeTwins,
    },
};
use tokio::time::{Instant, timeout_at};

use super::{Command, DeviceError, SetRequest, wanted};

/// Commands of a device that a node tells.
const COMMANDS_MAX: usize = 100;

/// Commands to devices that another node has: writes to their twins, and what becomes of them there.
#[derive(Debug, Clone, Copy)]
pub struct TwinCommands<'a> {
    /// The home's twins.
    pub twins: &'a HomeTwins,
    /// When it is.
    pub clock: &'a dyn Clock,
}

impl TwinCommands<'_> {
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
            .edit_if(|replica| wanted(replica, device, request), &request.by)
            .await?;
        self.outcomes(device, &ids, until).await;
        let now_ms = self.clock.now_ms();
        Ok(self.twins.read(|replica| {
            let document = replica.document(&DocumentId::device(device));
            let command =
                |id: &String| Some(Command::of(device, &state_of(document?, id, now_ms)?));
            ids.iter().filter_map(command).collect()
        }))
    }

    /// The latest commands to a device, latest first.
    #[must_use]
    pub fn of(&self, device: &str) -> Vec<Command> {
        let now_ms = self.clock.now_ms();
        self.twins.read(|replica| {
            let document = replica.document(&DocumentId::device(device));
            let states = document.map(|document| commands_of(document, COMMANDS_MAX, now_ms));
            states
                .unwrap_or_default()
                .iter()
                .map(|state| Command::of(device, state))
                .collect()
        })
    }

    /// A command by its id, after waiting for its outcome at most so long.
    pub async fn get(&self, id: &str, wait: Duration) -> Option<Command> {
        let until = Instant::now() + wait;
        let look = || {
            self.twins
                .read(|replica| find(replica, id, self.clock.now_ms()))
        };
        let (document, _) = look()?;
        let device = document.as_device()?.to_owned();
        self.outcomes(&device, &[id.to_owned()], until).await;
        look().map(|(_, state)| Command::of(&device, &state))
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
            // A change that was missed was made before the next look.
            if is_done || timeout_at(until, changes.recv()).await.is_err() {
                return;
            }
        }
    }
}
