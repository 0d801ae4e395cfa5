use std::time::Duration;

use tokio::{sync::watch, time::timeout};

/// Whoever changes rules, the mode or who is there waits here until what runs the rules knows: what comes afterwards counts for
/// them, and what fires is noted, so that both hold over a power cut, too.
#[derive(Debug, Default)]
pub struct Taken {
    /// How often somebody asked.
    asked: watch::Sender<u64>,
    /// How many of those may go on.
    taken: watch::Sender<u64>,
}

impl Taken {
    /// Wait for it, at most so long; whether it came to that.
    pub async fn wait(&self, within: Duration) -> bool {
        let mut taken = self.taken.subscribe();
        let mut turn = 0;
        self.asked.send_modify(|asked| {
            *asked += 1;
            turn = *asked;
        });
        let wait = taken.wait_for(|taken| *taken >= turn);
        matches!(timeout(within, wait).await, Ok(Ok(_)))
    }

    /// How often somebody has asked, as it changes.
    pub(super) fn asked(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// Whether one of the first so many waits.
    pub(super) fn is_awaited(&self, asked: u64) -> bool {
        *self.taken.borrow() < asked
    }

    /// The first so many may go on.
    pub(super) fn reach(&self, asked: u64) {
        self.taken.send_replace(asked);
    }
}
