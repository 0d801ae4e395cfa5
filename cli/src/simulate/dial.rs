//! The road to a connection: first ones, and next ones after a loss.

use std::time::Duration;

use mqtt_proto::QoS;
use tokio::time::{Instant, sleep};

use super::SimulateError;
use super::link::{Link, LinkError};
use super::signal::Dice;
use super::wire::{Login, Version};

/// First pause before an attempt to connect again.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// Longest pause before an attempt to connect again.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How long a broker may be out of reach before the first connection.
const FIRST_CONNECT_MAX: Duration = Duration::from_secs(30);

/// How one client comes to a connection.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    /// Host and port of the broker.
    pub(super) address: String,
    /// What the client says of itself.
    pub(super) login: Login,
    /// Makes the pauses of clients differ.
    pub(super) jitter_seed: u64,
}

impl Dialer {
    /// The first connection of this run; the broker may take a while to come up.
    pub(super) async fn first(&self, qos: QoS) -> Result<Link, SimulateError> {
        let give_up = Instant::now() + FIRST_CONNECT_MAX;
        let mut attempt = 0;
        loop {
            let reason = match self.open_first(qos).await {
                Ok(link) => return Ok(link),
                Err(error) => self.passing(error)?,
            };
            if Instant::now() >= give_up {
                return Err(SimulateError::Unreachable {
                    address: self.address.clone(),
                    reason,
                });
            }
            sleep(self.backoff(attempt)).await;
            attempt += 1;
        }
    }

    /// Opens the session of this run, free of what an earlier process may have left in it: packet
    /// ids that the broker still holds at QoS 2 would make it drop new messages as repetitions.
    async fn open_first(&self, qos: QoS) -> Result<Link, LinkError> {
        if self.login.version == Version::V5 {
            return Link::open(&self.address, &self.login, true).await;
        }
        if qos == QoS::Level2 {
            // In MQTT 3 a session that begins clean also ends with its connection: connect twice.
            let wiped = Link::open(&self.address, &self.login, true).await?;
            wiped.close().await;
        }
        Link::open(&self.address, &self.login, false).await
    }

    /// One attempt to take up the session again; `None` if it failed and may yet succeed.
    pub(super) async fn again(&self) -> Result<Option<Link>, SimulateError> {
        match Link::open(&self.address, &self.login, false).await {
            Ok(link) => Ok(Some(link)),
            Err(error) => {
                let reason = self.passing(error)?;
                tracing::debug!(client = %self.login.client_id, reason, "no connection yet");
                Ok(None)
            }
        }
    }

    /// The pause before an attempt: doubles up to a bound, and half of it is random, so that many
    /// clients do not come back at the same moment.
    pub(super) fn backoff(&self, attempt: u32) -> Duration {
        let full = BACKOFF_MIN.saturating_mul(2_u32.saturating_pow(attempt));
        let part = Dice::new(self.jitter_seed).between(i64::from(attempt), 0.5, 1.0);
        full.min(BACKOFF_MAX).mul_f64(part)
    }

    /// The reason of a failure that may pass; the error of one that will not.
    fn passing(&self, error: LinkError) -> Result<String, SimulateError> {
        match error {
            LinkError::Lost(reason) => Ok(reason),
            LinkError::Refused(reason) => Err(SimulateError::Refused {
                address: self.address.clone(),
                reason,
            }),
        }
    }
}
